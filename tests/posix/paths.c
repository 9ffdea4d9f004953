/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conditions of a path that hold for every call that takes one: what is missing, what is no folder, what is too
 * long, what loops, which folder may not be searched or written, what is read-only.
 */
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include "posix.h"

/* What the call finds when it is made on `path`: a fresh folder with the sources of link and rename. */
static void setting(const struct path_op *op)
{
	fresh();
	about(op->name, "as it should be");
	put("link-source", "link-source");
	put("rename-source", "rename-source");
}

/* The call on `path` succeeded. What makes a name has made it, what removes one has removed it. */
static void worked(const struct path_op *op, const char *path, long result)
{
	struct stat st;

	if (!OK(result))
		return;
	if (op->flags & OP_MAKES)
		OK(fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW));
	else if ((op->flags & OP_REMOVES) && strncmp(op->name, "rename EX", 9) != 0)
		FAILS(ENOENT, fstatat(AT_FDCWD, path, &st, AT_SYMLINK_NOFOLLOW));
}

static void works(const struct path_op *op, const char *path)
{
	worked(op, path, op->call(path));
}

static void plain(const struct path_op *op)
{
	setting(op);
	when("a good path");
	make(op->kind, "x");
	works(op, "x");
}

static void missing(const struct path_op *op)
{
	setting(op);
	when("a folder of the path is missing");
	FAILS(ENOENT, op->call("none/x"));
	when("the path is empty");
	FAILS(ENOENT, op->call(""));
	if (op->flags & OP_MAKES)
		return;
	when("the name is not there");
	FAILS(ENOENT, op->call("x"));
}

static void no_folder(const struct path_op *op)
{
	setting(op);
	when("a component is a file");
	put("file", "file");
	FAILS(ENOTDIR, op->call("file/x"));
	when("a component is a fifo");
	NEED(mkfifo("fifo", 0644));
	FAILS(ENOTDIR, op->call("fifo/x"));
	when("a component is a symlink to a file");
	NEED(symlink("file", "to-file"));
	FAILS(ENOTDIR, op->call("to-file/x"));
	if (op->kind != K_FILE)
		return;
	when("a file with a slash behind it");
	FAILS(ENOTDIR, op->call("file/"));
}

static void lengths(const struct path_op *op)
{
	char name[257], path[PATH_MAX + 2];

	setting(op);
	memset(name, 'n', sizeof(name));
	when("a name of 256 bytes");
	name[256] = '\0';
	FAILS(ENAMETOOLONG, op->call(name));
	when("a component of 256 bytes");
	(void)snprintf(path, sizeof(path), "%s/x", name);
	FAILS(ENAMETOOLONG, op->call(path));
	when("a name of 255 bytes");
	name[255] = '\0';
	make(op->kind, name);
	works(op, name);

	setting(op);
	for (size_t i = 0; i < PATH_MAX; i += 2)
		memcpy(path + i, "./", 2);
	when("a path of PATH_MAX bytes without its end");
	path[PATH_MAX] = '\0';
	path[PATH_MAX - 1] = 'x';
	FAILS(ENAMETOOLONG, op->call(path));
	when("the longest path, PATH_MAX - 1 bytes");
	make(op->kind, "x");
	path[PATH_MAX - 2] = 'x';
	path[PATH_MAX - 1] = '\0';
	path[0] = '.';
	works(op, path);
}

/* 40 symlinks on the way are followed, 41 are not. */
static void chain(unsigned int n)
{
	char from[32], to[32];

	NEED(mkdir("c0", 0777));
	for (unsigned int i = 1; i <= n; i++) {
		(void)snprintf(from, sizeof(from), "c%u", i);
		(void)snprintf(to, sizeof(to), "c%u", i - 1);
		NEED(symlink(to, from));
	}
}

/* Any mount on the machine may have the kernel begin its walk along a path anew, and it counts on then: of 40
 * symlinks it may have followed some twice. */
static long through_forty(const struct path_op *op, const char *path)
{
	long r = op->call(path);

	for (int i = 0; i < 10 && r < 0 && errno == ELOOP; i++)
		r = op->call(path);
	return r;
}

static void loops(const struct path_op *op)
{
	setting(op);
	NEED(symlink("loop", "loop"));
	NEED(symlink("pong", "ping"));
	NEED(symlink("ping", "pong"));
	when("a component is a symlink to itself");
	FAILS(ELOOP, op->call("loop/x"));
	when("two symlinks that name each other");
	FAILS(ELOOP, op->call("ping/x"));
	chain(41);
	when("41 symlinks on the way");
	FAILS(ELOOP, op->call("c41/x"));
	when("40 symlinks on the way");
	make(op->kind, "c0/x");
	worked(op, "c40/x", through_forty(op, "c40/x"));
	if (!(op->flags & OP_FOLLOWS))
		return;
	when("the last name is a symlink to itself");
	FAILS(ELOOP, op->call("loop"));
}

static void follows(const struct path_op *op)
{
	struct stat before, after;

	if (op->flags & OP_MAKES)
		return;
	if (op->flags & OP_FOLLOWS) {
		setting(op);
		when("through a symlink");
		make(op->kind, "x");
		NEED(symlink("x", "l"));
		before = look("l");
		OK(op->call("l"));
		after = look("l");
		SAME(after.st_mode, before.st_mode);
		SAME(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
		SAME(after.st_ctim.tv_nsec, before.st_ctim.tv_nsec);
		when("through a symlink to nothing");
		NEED(unlink("l"));
		NEED(symlink("nowhere", "l"));
		FAILS(ENOENT, op->call("l"));
	}
}

static void bad_pointer(const struct path_op *op)
{
	setting(op);
	when("a bad pointer");
	FAILS(EFAULT, op->call(BAD_POINTER));
}

static void exclusive(const struct path_op *op)
{
	char name[32];

	if (!(op->flags & OP_EXCL))
		return;
	setting(op);
	for (enum kind k = K_FILE; k < K_NONE; k++) {
		(void)snprintf(name, sizeof(name), "n%u", k);
		when("there is a %s of that name", kind_names[k]);
		make(k, name);
		FAILS(EEXIST, op->call(name));
		TRUE(is_kind(k, name));
	}
	when("the name is . or ..");
	FAILS(EEXIST, op->call("."));
	FAILS(EEXIST, op->call(".."));
}

/* --- permissions of the folders on the way --- */

static void as(enum who w, const struct path_op *op, int want, const char *path)
{
	become(w);
	(void)expect(want, op->call(path), op->name, __FILE__, __LINE__);
	myself();
}

/* In folder "d", of OWNER's, with that mode; sources and things belong to the one who acts. */
static void in_folder(const struct path_op *op, enum who w, mode_t mode, int want)
{
	setting(op);
	NEED(mkdir("d", 0777));
	make(op->kind, "d/x");
	give("d", OWNER);
	give("link-source", w);
	give("rename-source", w);
	if (op->kind != K_NONE)
		give("d/x", w);
	NEED(chmod("d", mode));
	when("the folder is %04o, the caller is %s: %s", mode, people[w].name,
	     want ? "refused" : "allowed");
	as(w, op, want, "d/x");
	NEED(chmod("d", 0777));
}

static void permissions(const struct path_op *op)
{
	bool writes = op->flags & (OP_MAKES | OP_REMOVES);

	for (enum who w = 0; w < WHO_MAX; w++) {
		unsigned int s = people[w].shift;

		if (!can_be(w))
			continue;
		in_folder(op, w, 01u << s, writes ? EACCES : 0);
		in_folder(op, w, 0777 & ~(01u << s), EACCES);
		in_folder(op, w, 03u << s, 0);
		if (writes)
			in_folder(op, w, 0777 & ~(02u << s), EACCES);
	}
}

/* Root is asked for nothing but what mode bits cannot say. */
static void root_passes(const struct path_op *op)
{
	if (!suite.root)
		return;
	setting(op);
	when("the folder is 0000, the caller is root: allowed");
	NEED(mkdir("d", 0777));
	make(op->kind, "d/x");
	NEED(chmod("d", 0));
	works(op, "d/x");
	NEED(chmod("d", 0700));
}

/* --- a read-only file system --- */

static void read_only_child(void *arg)
{
	const struct path_op *op = arg;

	if (chdir(case_dir()) < 0) /* through the mount that is read-only */
		return;
	/* renameat2 asks for the right to write before it looks */
	if ((op->flags & OP_EXCL) && strcmp(op->area, "rename") != 0) {
		when("a read-only file system, the name is there");
		FAILS(EEXIST, op->call("there"));
	}
	when("a read-only file system");
	if (op->flags & OP_READS)
		OK(op->call("x"));
	else
		FAILS(EROFS, op->call("x"));
	myself();
}

/* One child for all operations of the area: a mount namespace of its own, the folder bound read-only. */
static void read_only_area(void *arg)
{
	const char *dir = world_dir();

	(void)arg;
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(dir, dir, NULL, MS_BIND, NULL) < 0)
		return;
	for (size_t i = 0; i < path_nops; i++) {
		if (strcmp(path_ops[i].area, suite.area) != 0)
			continue;
		setting(&path_ops[i]);
		make(path_ops[i].kind, "x");
		put("there", "there");
		NEED(mount(NULL, dir, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
		read_only_child((void *)&path_ops[i]);
		NEED(chdir("/"));
		NEED(mount(NULL, dir, NULL, MS_REMOUNT | MS_BIND, NULL));
		NEED(chdir(case_dir()));
	}
}

/* A container may forbid mounting: then there is nothing to see here. */
static bool may_mount(void)
{
	return suite.root &&
	       syscall(SYS_prctl, 23 /* PR_CAPBSET_READ */, 21 /* CAP_SYS_ADMIN */) == 1;
}

void path_conditions(void)
{
	static void (*const all[])(const struct path_op *) = {
		plain,	 missing,     no_folder, lengths,     loops,
		follows, bad_pointer, exclusive, permissions, root_passes,
	};

	for (size_t i = 0; i < path_nops; i++)
		for (size_t k = 0; k < sizeof(all) / sizeof(*all); k++)
			if (strcmp(path_ops[i].area, suite.area) == 0)
				all[k](&path_ops[i]);
	if (may_mount())
		in_child(read_only_area, NULL);
}
