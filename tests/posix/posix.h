/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/*
 * The conformance suite's frame: what is run, what a check is, who acts, where.
 *
 * An area is a function that runs cases. A case begins with fresh(), which makes an empty folder and goes there, so
 * all paths are relative and no case sees another's files. Each check is counted under (area, operation,
 * condition, expected result): that is the matrix which --matrix prints.
 */

/* --- what was asked for --- */
struct suite {
	const char *area; /* the one that runs */
	bool view;	  /* the folder is in a view: the listed exceptions hold */
	const char *pool; /* things to use instead of new ones, or NULL: world.c */
	bool root;	  /* other users can be played */
	uid_t uid;	  /* who runs the suite */
	gid_t gid;
	uint32_t dev_flags; /* statvfs f_flag of the folder */
};
extern struct suite suite;

/* --- checks --- */

/* What the checks that follow are about: rows of the matrix. `operation` and `condition` are kept by pointer
 * or copied as they are told; printf style for the condition. */
void about(const char *operation, const char *condition, ...) __attribute__((format(printf, 2, 3)));
void when(const char *condition, ...) __attribute__((format(printf, 1, 2)));

/* A call's result r (and errno, when it is negative) against what is expected: 0 (success) or an errno. Returns
 * whether it was as expected. */
bool expect(int err, long r, const char *text, const char *file, int line);
bool expect_true(bool ok, const char *text, const char *file, int line);
bool expect_same(long long got, long long want, const char *text, const char *file, int line);

#define OK(call)       expect(0, (long)(call), #call, __FILE__, __LINE__)
#define FAILS(e, call) expect((e), (long)(call), #call, __FILE__, __LINE__)
#define TRUE(cond)     expect_true((cond), #cond, __FILE__, __LINE__)
#define SAME(got, want)                                                                            \
	expect_same((long long)(got), (long long)(want), #got " == " #want, __FILE__, __LINE__)

/* What a case needs before it can check anything; where it fails, the suite says so and counts a failure. */
#define NEED(call) expect_need((long)(call), #call, __FILE__, __LINE__)
long expect_need(long r, const char *text, const char *file, int line);

/* Checks of forked children reach the parent's counts: runs fn in a child and adds what it counted. */
void in_child(void (*fn)(void *arg), void *arg);

const char *errno_name(int err);

/* --- results --- */
void results_init(void);
unsigned int results_checks(void), results_failed(void);
void results_matrix(FILE *f);
void results_json(FILE *f, double seconds);

/* --- where: an empty folder of mode 0777, and the process in it --- */
void fresh(void);
void world_init(const char *dir);
void world_end(void);
/* The path of the suite's own folder, and of the case's. */
const char *world_dir(void);
const char *case_dir(void);

/* --- who --- */
enum who { OWNER, GROUP, EXTRA, OTHER, WHO_MAX }; /* EXTRA: in the group by a supplementary one */
struct person {
	const char *name;
	uid_t uid;
	gid_t gid;
	size_t ngroups;
	gid_t groups[2];
	unsigned int shift; /* of its bits in a mode */
};
extern struct person people[WHO_MAX];

/* The effective user becomes that one, and back. Only OWNER where the suite runs as a user. */
void become(enum who w);
void myself(void);
/* Can this one be played here? */
bool can_be(enum who w);

/* --- what: the kinds of names --- */
enum kind { K_FILE, K_DIR, K_FULL, K_LINK, K_DANGLING, K_FIFO, K_SOCKET, K_NONE, K_MAX };
extern const char *const kind_names[K_MAX];

/* Makes it (and, for K_FULL, "name/x"). A file holds its own name. */
void make(enum kind k, const char *name);
/* Is there exactly that? By its type, and for a file that its content is `content`. */
bool is_kind(enum kind k, const char *name);
bool holds(const char *name, const char *content);
void give(const char *name, enum who w); /* lchown, where it can be */
void put(const char *name, const char *content);
void fill(const char *name, size_t size, int byte);

/* --- when --- */
enum stamp { S_A = 1, S_M = 2, S_C = 4 };
struct stat look(const char *name); /* lstat */
void tick(void);		    /* returns when a new time stamp differs from all before */
/* Three checks: those of `which` are later than before, the others as they were. */
void stamps(const struct stat *before, const char *name, unsigned int which);
int times_set(const char *name, time_t atime, time_t mtime); /* utimensat, not followed */

/* --- tables of calls that take a path (ops.c) --- */
enum op_flags {
	OP_MAKES = 1 << 0,   /* makes the name: parent must be writable, name must not be there */
	OP_REMOVES = 1 << 1, /* takes the name away: parent must be writable */
	OP_FOLLOWS = 1 << 2, /* follows a symlink at the end */
	OP_READS = 1 << 3,   /* changes nothing: allowed on a read-only file system */
	OP_EXCL = 1 << 4,    /* EEXIST where the name is */
};
struct path_op {
	const char *area, *name;
	long (*call)(const char *path);
	enum kind kind; /* what must stand at the path; K_NONE for those that make it */
	unsigned int flags;
};
extern const struct path_op path_ops[];
extern const size_t path_nops;

/* All conditions of a path that hold for any call, for the operations of the area: length, loops,
 * components, permissions of folders, a read-only file system. */
void path_conditions(void);

/* A bad pointer that nobody has mapped. */
#define BAD_POINTER ((const char *)1)

/* --- areas --- */
struct area {
	const char *name;
	void (*run)(void);
};
extern const struct area areas[];
extern const size_t nareas;

void area_acl(void), area_append(void), area_chmod(void), area_chown(void), area_copy(void);
void area_create(void), area_dirstream(void), area_exceptions(void), area_fallocate(void);
void area_io(void), area_link(void), area_locks(void), area_mkdir(void), area_mkfifo(void),
	area_mknod(void);
void area_mmap(void), area_names(void), area_open(void), area_permission(void), area_rename(void);
void area_rmdir(void), area_sparse(void), area_statfs(void), area_symlink(void), area_times(void);
void area_truncate(void), area_unlink(void), area_unlinked(void), area_utimensat(void);
void area_xattr(void);
