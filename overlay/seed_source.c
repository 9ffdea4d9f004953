/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the main worktree as the view's user.
 *
 * (1) Everything is opened beneath the main worktree's folder, without a symlink, a magic link or a
 *     mount point on the way (openat2): nothing in it leads out of it, and no request of ours comes
 *     back to a view that is mounted in it.
 * (2) A server that is root takes on the view's user and group, without further groups, for the calls
 *     that open and look, in the one thread that makes them (the kernel keeps these per thread; glibc's
 *     setgroups() would change all). Then the kernel judges, ACLs included. Where that cannot be done
 *     nothing is read. What that user may read by a further group alone is thus left out.
 * (3) Nothing is written; access times may move.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "seed.h"
#include "sys.h"

enum { NAMES_MAX = 1 << 20, TRIES = 64 };

/* --- as another user --- */

struct guise {
	bool on;
	gid_t *groups;
	int ngroups;
};

/* Cannot fail: the real and effective user never changed. */
static void guise_off(struct guise *g)
{
	if (!g->on)
		return;
	(void)setfsuid(geteuid());
	(void)setfsgid(getegid());
	(void)syscall(SYS_setgroups, (size_t)g->ngroups, g->groups);
	free(g->groups);
	*g = (struct guise){0};
}

static int guise_on(const struct seed_source *s, struct guise *ret)
{
	struct guise g = {0};

	*ret = g;
	if (geteuid() != 0 || s->uid == 0)
		return 0;
	g.ngroups = getgroups(0, NULL);
	if (g.ngroups < 0)
		return -errno;
	g.groups = sys_calloc((size_t)g.ngroups + 1, sizeof(gid_t));
	if (!g.groups)
		return -ENOMEM;
	if (getgroups(g.ngroups, g.groups) != g.ngroups ||
	    syscall(SYS_setgroups, (size_t)0, NULL) < 0) {
		free(g.groups);
		return -EPERM;
	}
	g.on = true;
	(void)setfsgid(s->gid);
	(void)setfsuid(s->uid);
	if ((gid_t)setfsgid((gid_t)-1) != s->gid || (uid_t)setfsuid((uid_t)-1) != s->uid) {
		guise_off(&g);
		return -EPERM;
	}
	*ret = g;
	return 0;
}

/* --- opening --- */

static int open_at(int dir, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned int)(flags | O_CLOEXEC | O_NOFOLLOW),
		.resolve = resolve | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	int fd, tries = 0;

	do
		fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	while (fd < 0 && (errno == EINTR || errno == EAGAIN) && ++tries < TRIES);
	if (fd >= 0)
		return fd;
	/* Something else stands there now: what was meant is gone. */
	return errno == ELOOP || errno == ENOTDIR || errno == EXDEV || errno == ENXIO ? -ENOENT
										      : -errno;
}

static int open_below(const struct seed_source *s, const char *path, int flags)
{
	return open_at(s->root, *path ? path : ".", flags, RESOLVE_BENEATH | RESOLVE_NO_XDEV);
}

int seed_source_open(const char *worktree, uint32_t uid, uint32_t gid, struct seed_source *ret)
{
	struct seed_source s = {.root = -1, .uid = uid, .gid = gid};
	struct guise g;
	int r = guise_on(&s, &g);

	if (r < 0)
		return r;
	s.root = open_at(AT_FDCWD, worktree, O_PATH | O_DIRECTORY, 0);
	guise_off(&g);
	if (s.root < 0)
		return s.root;
	*ret = s;
	return 0;
}

void seed_source_close(struct seed_source *s)
{
	s->root = safe_close(s->root);
}

/* --- names --- */

static int64_t ns_of(const struct timespec *t)
{
	return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

/* The permissions that this user has there become those of the owner that the view shows. */
static uint32_t shown_mode(const struct seed_source *s, const struct stat *st)
{
	uint32_t mode = st->st_mode & 0777;
	uint32_t mine = st->st_uid == s->uid ? mode >> 6 : st->st_gid == s->gid ? mode >> 3 : mode;

	if (s->uid == 0)
		return mode;
	return (mode & 077) | (mine & 05) << 6 | (mode & 0200);
}

static int tell(const struct seed_source *s, int dir, const char *name, const struct stat *st,
		seed_name_fn fn, void *user)
{
	char target[SEED_TARGET_MAX + 1];
	struct seed_name n = {
		.name = {name, strlen(name)},
		.mode = (st->st_mode & S_IFMT) | shown_mode(s, st),
		.size = (uint64_t)st->st_size,
		.ino = st->st_ino,
		.mtime = ns_of(&st->st_mtim),
		.ctime = ns_of(&st->st_ctim),
	};

	if (S_ISLNK(st->st_mode)) {
		ssize_t k = readlinkat(dir, name, target, sizeof(target));

		if (k <= 0 || (size_t)k == sizeof(target))
			return 0;
		n.target = (struct bytes){target, (size_t)k};
	} else if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode)) {
		return 0;
	}
	return fn(&n, user);
}

/* A folder may be a mount point, of a view even: it is opened, which a mount point refuses, before
 * anything is asked of it. (With O_PATH a symlink is opened itself.) 1: st is set. */
static int look_at(int dir, const char *name, unsigned char type, struct stat *st)
{
	_cleanup_close_ int fd = -1;

	if (type == DT_REG || type == DT_LNK) {
		if (fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) < 0)
			return errno == ENOMEM ? -ENOMEM : 0;
		return !S_ISDIR(st->st_mode);
	}
	if (type != DT_DIR && type != DT_UNKNOWN)
		return 0;
	fd = open_at(dir, name, O_PATH, RESOLVE_BENEATH | RESOLVE_NO_XDEV);
	if (fd < 0)
		return fd == -ENOMEM || fd == -EMFILE || fd == -ENFILE ? fd : 0;
	return fstat(fd, st) == 0;
}

static int list_open(const struct seed_source *s, DIR *d, seed_name_fn fn, void *user)
{
	struct dirent *e;
	size_t n = 0;
	int r = 0;

	for (errno = 0; r == 0 && (e = readdir(d)); errno = 0) {
		struct stat st;

		if (!tree_name_ok(e->d_name, strlen(e->d_name)) ||
		    strcasecmp(e->d_name, ".git") == 0)
			continue;
		if (++n > NAMES_MAX)
			return -E2BIG;
		r = look_at(dirfd(d), e->d_name, e->d_type, &st);
		if (r > 0)
			r = tell(s, dirfd(d), e->d_name, &st, fn, user);
	}
	return r == 0 && errno ? -errno : r;
}

int seed_source_list(const struct seed_source *s, const char *path, seed_name_fn fn, void *user)
{
	struct guise g;
	DIR *d;
	int fd, r = guise_on(s, &g);

	if (r < 0)
		return r;
	fd = open_below(s, path, O_RDONLY | O_DIRECTORY);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (d)
		r = list_open(s, d, fn, user);
	else
		r = fd < 0 ? fd : -errno;
	if (d)
		(void)closedir(d);
	else
		(void)safe_close(fd);
	guise_off(&g);
	return r;
}

/* In its folder, as a listing would find it. */
static int one(const struct seed_source *s, const char *path, seed_name_fn fn, void *user)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	_cleanup_free_ char *parent =
		slash ? strndup(path, (size_t)(slash - path)) : sys_strdup("");
	_cleanup_close_ int dir = -1;
	struct stat st;
	int r;

	if (!parent)
		return -ENOMEM;
	dir = open_below(s, parent, O_PATH | O_DIRECTORY);
	if (dir < 0)
		return dir;
	r = look_at(dir, name, DT_UNKNOWN, &st);
	if (r == 0)
		return -ENOENT;
	return r < 0 ? r : tell(s, dir, name, &st, fn, user);
}

int seed_source_one(const struct seed_source *s, const char *path, seed_name_fn fn, void *user)
{
	struct guise g;
	int r = guise_on(s, &g);

	if (r < 0)
		return r;
	r = one(s, path, fn, user);
	guise_off(&g);
	return r;
}

/* --- files --- */

/* Not blocking: what was a file may be a fifo by now. */
int seed_source_file(const struct seed_source *s, const char *path, int *ret_fd)
{
	struct guise g;
	struct stat st;
	int fd, r = guise_on(s, &g);

	if (r < 0)
		return r;
	fd = open_below(s, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	guise_off(&g);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		(void)safe_close(fd);
		return -ENOENT;
	}
	*ret_fd = fd;
	return 0;
}

int seed_source_stat(int fd, struct seed_stat *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = (struct seed_stat){
		.mode = st.st_mode,
		.size = (uint64_t)st.st_size,
		.ino = st.st_ino,
		.mtime = ns_of(&st.st_mtim),
		.ctime = ns_of(&st.st_ctim),
	};
	return 0;
}
