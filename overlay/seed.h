/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"
#include "record.h"
#include "tree.h"

/*
 * Seeds: untracked files of the repository's main worktree that a view shows as its own. What they
 * promise and the bytes of OP_SEED are at the head of seed.c. seed.c and seed_apply.c are pure;
 * seed_source.c looks at the main worktree; view_seed.c puts them together.
 */

/* What OP_SEED says; in the record's mask. */
enum seed_kind {
	SEED_NAMES = 0, /* names in a folder */
	SEED_BYTES = 1, /* a file's content is the view's own from here on */
	SEED_ATTRS = 2, /* a file that is too large for that has changed in the main worktree */
	SEED_DONE = 3,	/* all that view.conf names is in */
	SEED_KINDS = 0xff,
	SEED_MORE = 1 << 8, /* SEED_NAMES: further names of the folder follow */
};

enum {
	SEED_RECORD_BYTES = 256 << 10, /* of names in one record; a longer folder takes several */
	SEED_TARGET_MAX = 4095,
};

/* A folder of the main worktree that seeds lie in; shared by them, gone with the last. */
struct seed_dir {
	struct table *owner;
	struct seed_dir *next; /* of the same hash */
	uint64_t hash;
	uint64_t refs;
	size_t len;
	char path[]; /* from the main worktree, "" is its root */
};

/* Where a node still comes from: a file whose bytes were not taken over, a folder that nobody looked
 * into. NULL in all other nodes. */
struct seed {
	struct seed_dir *dir;
	uint64_t ino; /* as it was when its name was taken over */
	int64_t mtime, ctime;
	bool served; /* some of its bytes were given to a reader; not kept */
	char name[];
};

/* One name of a folder in the main worktree. */
struct seed_name {
	struct bytes name, target; /* target: symlinks */
	uint32_t mode;		   /* type and permissions */
	bool holder;		   /* a folder of which only what is named is taken */
	uint64_t size, ino;
	int64_t mtime, ctime;
};

/* --- seed.c: bytes --- */

/* Appends the name. Errors: -ENOMEM. */
int seed_encode(struct buf *b, const struct seed_name *n);

/* Takes one name off the front of *b; 1, or 0 at the end. Errors: -EBADMSG. The result borrows. */
int seed_decode(struct bytes *b, struct seed_name *ret);

/* A piece of a file's bytes in the data segments (SEED_BYTES). */
struct seed_piece {
	uint64_t off, len, place;
};
int seed_encode_piece(struct buf *b, const struct seed_piece *p);
int seed_decode_piece(struct bytes *b, struct seed_piece *ret);

/* Calls fn for each data range that the record names. Errors: -EBADMSG, those of fn. */
int seed_each_piece(const struct record *rec, int (*fn)(uint64_t place, uint64_t len, void *user),
		    void *user);

/* --- seed_apply.c: the tree --- */

/* NULL without memory. `dir` is a path from the main worktree. */
struct seed *seed_new(struct tree *t, struct bytes dir, struct bytes name);
void seed_free(struct seed *s);

/* For node `to` of another tree. Errors: -ENOMEM. */
int seed_clone(struct tree *t, const struct node *from, struct node *to);

/* Its path from the main worktree. Errors: -ENOMEM. */
int seed_path(const struct seed *s, struct buf *ret);

/* Unchanged since it came, as are the folders that came with it: no change of the view's. */
bool seed_is_intact(const struct tree *t, const struct node *n);

/* Is it a folder of a base, this one's or an earlier one's? What was put there lies there. */
bool seed_is_ground(const struct tree *t, uint64_t id);

/* A folder that came from the main worktree and that nobody has looked into. */
bool seed_is_unread(const struct tree *t, uint64_t id);

/* A file whose bytes are still those of the main worktree. */
bool seed_is_file(const struct node *n);

/* For apply.c: as apply_prepare() and apply_record() for an OP_SEED. */
int seed_prepare(struct tree *t, const struct record *rec);
void seed_apply(struct tree *t, const struct record *rec);

/* For checkpoint_load.c: the node has not taken over its bytes or names. Errors: -ENOMEM, -EBADMSG. */
int seed_load(struct tree *t, const struct record *rec);

/* It is counted among the seeds, or not any more (it goes, or its extents are about to). */
void seed_count(struct tree *t, const struct node *n);
void seed_uncount(struct tree *t, const struct node *n);

/* The agent changed the node itself: it is no seed any more. */
void seed_unflag(struct tree *t, struct node *n);
void seed_spares_clear(struct tree *t);

/* --- seed_source.c: the main worktree --- */

/* The main worktree as the user `uid` may see it: -1 is never returned where it can be read. */
struct seed_source {
	int root;
	uint32_t uid, gid;
};

struct seed_stat {
	uint32_t mode;
	uint64_t size, ino;
	int64_t mtime, ctime;
};

/* Errors: -ENOENT, -EACCES, -EPERM the user's permissions cannot be taken on. */
int seed_source_open(const char *worktree, uint32_t uid, uint32_t gid, struct seed_source *ret);
void seed_source_close(struct seed_source *s);

/* The names of a folder, as this user may see them: regular files, folders, symlinks; without .git,
 * mount points and what else is no file. `fn` ends it with a non-zero return. Errors: -ENOENT it is
 * no folder (any more), -EACCES, -E2BIG, those of fn. */
typedef int (*seed_name_fn)(const struct seed_name *n, void *user);
int seed_source_list(const struct seed_source *s, const char *path, seed_name_fn fn, void *user);

/* The same for one path. Errors: -ENOENT it is not there or none of these kinds. */
int seed_source_one(const struct seed_source *s, const char *path, seed_name_fn fn, void *user);

/* A regular file. Errors: -ENOENT it is none (any more), -EACCES. */
int seed_source_file(const struct seed_source *s, const char *path, int *ret_fd);
int seed_source_stat(int fd, struct seed_stat *ret);
