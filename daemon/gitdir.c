/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Administrative folders of views. Guarantees: (1) `locked` is written first, so that no git prunes
 * one whose view is not mounted; `gitdir` last, so that git lists one only when it is whole; (2) it
 * is touched with the rights of the repository's owner alone: a daemon of root leaves nothing there
 * that he could not remove, and follows no symlink of his that he could not follow; (3) no path
 * inside a view is opened.
 *
 * `locked` holds one line: "agentfs: view <32 hex digits> of agent <name>; …".
 */
#include "gitdir.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "odb.h"

enum { INDEX_MAX = 1 << 30, LOCKED_MAX = 4096, GROUPS_MAX = 256, ID_DIGITS = 12 };

void gitdir_name(const char *agent, const char *view_id, char *room)
{
	(void)snprintf(room, GITDIR_NAME_MAX, "%.100s-%.*s", agent, ID_DIGITS, view_id);
}

/* ---- whose it is ---- */

struct rights {
	uid_t uid;
	gid_t gid;
};

/* Files are touched as somebody else until the end of the block; nothing where we are not root. */
static struct rights become(uid_t uid, gid_t gid)
{
	struct rights was = {(uid_t)-1, (gid_t)-1};

	if (geteuid() != 0)
		return was;
	was.gid = (gid_t)setfsgid(gid);
	was.uid = (uid_t)setfsuid(uid);
	return was;
}

static void become_again(struct rights *was)
{
	if (was->uid == (uid_t)-1)
		return;
	(void)setfsuid(was->uid);
	(void)setfsgid(was->gid);
}
#define _cleanup_rights_ _cleanup_(become_again) __attribute__((unused))

static bool in_group(uid_t uid, gid_t gid, gid_t wanted)
{
	gid_t groups[GROUPS_MAX];
	int n = GROUPS_MAX;
	char room[16384];
	struct passwd pw, *found = NULL;

	if (gid == wanted)
		return true;
	if (getpwuid_r(uid, &pw, room, sizeof(room), &found) != 0 || !found ||
	    getgrouplist(found->pw_name, gid, groups, &n) < 0)
		return false;
	for (int i = 0; i < n; i++)
		if (groups[i] == wanted)
			return true;
	return false;
}

static bool may_write(const struct repo *r, const char *name, uid_t uid, gid_t gid)
{
	_cleanup_free_ char *path = NULL;
	struct stat st;

	if (asprintf(&path, "%s/%s", r->common, name) < 0) {
		path = NULL;
		return false;
	}
	if (stat(path, &st) < 0)
		return false;
	return (st.st_mode & S_IWOTH) || ((st.st_mode & S_IWGRP) && in_group(uid, gid, st.st_gid));
}

int gitdir_check_user(struct repo *r, uid_t uid, gid_t gid, mode_t *ret_share, struct err *reterr)
{
	*ret_share = repo_shared_bits(r);
	if (uid == r->owner)
		return 0;
	if (uid == 0)
		return err_set_id(
			reterr, -EACCES, "Denied",
			"root's git would leave files in '%s' that its owner (uid %u) cannot "
			"change: make the view for him (--user), or leave --git out",
			r->common, (unsigned)r->owner);
	if (*ret_share && may_write(r, "objects", uid, gid) && may_write(r, "refs/heads", uid, gid))
		return 0;
	return err_set_id(
		reterr, -EACCES, "Denied",
		"the view's user (uid %u) may not write in '%s', whose git the view would "
		"share: share it (core.sharedRepository), or leave --git out",
		(unsigned)uid, r->common);
}

/* ---- making and removing ---- */

struct making {
	const struct gitdir_plan *plan;
	int dir;
	char *path;
};

static int put(struct making *m, const char *name, const void *p, size_t n)
{
	int r = io_replace_file(m->dir, name, p, n, 0644);

	/* The umask of this process is not the repository's. */
	if (r == 0 && m->plan->share && fchmodat(m->dir, name, 0644 | m->plan->share, 0) < 0)
		r = -errno;
	return r;
}

static int put_text(struct making *m, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static int put_text(struct making *m, const char *name, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		text = NULL;
		return -ENOMEM;
	}
	return put(m, name, text, (size_t)n);
}

static int put_index(struct making *m)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = io_read_file(m->plan->images, m->plan->index, INDEX_MAX, &b);

	return r < 0 ? r : put(m, "index", b.data ? b.data : "", b.len);
}

static int put_config(struct making *m)
{
	if (!m->plan->fsmonitor)
		return 0;
	return put_text(m, "config.worktree",
			"[core]\n\tuntrackedCache = true\n\tfsmonitorHookVersion = 2\n"
			"\tfsmonitor = \"'%s'\"\n",
			m->plan->fsmonitor);
}

static int make_folder(int parent, const char *name, mode_t share)
{
	mode_t mode = 0755 | share | (share & 0044) >> 2 | (share ? S_ISGID : 0);

	if (mkdirat(parent, name, 0755) < 0)
		return -errno;
	return share && fchmodat(parent, name, mode, 0) < 0 ? -errno : 0;
}

static int fill(struct making *m)
{
	const struct gitdir_plan *p = m->plan;
	int r = put_text(m, "locked",
			 "agentfs: view %s of agent %s; agentfsctl destroy %s removes it\n",
			 p->view_id, p->agent, p->agent);

	if (r == 0)
		r = put_text(m, "commondir", "../..\n");
	if (r == 0)
		r = put_index(m);
	if (r == 0)
		r = put_config(m);
	if (r == 0)
		r = make_folder(m->dir, "logs", p->share);
	if (r == 0)
		r = put_text(m, "logs/HEAD", "%s", "");
	if (r == 0)
		r = put_text(m, "HEAD", "ref: refs/heads/%s\n", p->branch);
	if (r == 0)
		r = put_text(m, "gitdir", "%s/.git\n", p->mount);
	return r < 0 ? r : io_sync_dir(m->dir);
}

/* The folder of all of them, made where it is not there. */
static int open_all(const struct repo *r, bool make, mode_t share)
{
	_cleanup_close_ int common = open(r->common, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd, q;

	if (common < 0)
		return -errno;
	if (make) {
		q = make_folder(common, "worktrees", share);
		if (q < 0 && q != -EEXIST)
			return q;
		(void)io_sync_dir(common);
	}
	fd = openat(common, "worktrees", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int gitdir_make(struct repo *r, const struct gitdir_plan *plan, char **ret_path, struct err *reterr)
{
	struct making m = {.plan = plan, .dir = -1};
	_cleanup_close_ int all = open_all(r, true, plan->share);
	_cleanup_free_ char *path = NULL;
	char name[GITDIR_NAME_MAX];
	int q = all < 0 ? all : 0;

	gitdir_name(plan->agent, plan->view_id, name);
	if (asprintf(&path, "%s/worktrees/%s", r->common, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	if (q == 0)
		q = make_folder(all, name, plan->share);
	if (q == 0) {
		m.dir = openat(all, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		q = m.dir < 0 ? -errno : fill(&m);
	}
	(void)safe_close(m.dir);
	if (q == 0)
		q = io_sync_dir(all);
	if (q < 0)
		return err_set(reterr, q, "making '%s': %s", path, strerror(-q));
	*ret_path = TAKE_PTR(path);
	return 0;
}

int gitdir_remove(struct repo *r, const char *name, struct err *reterr)
{
	_cleanup_close_ int all = open_all(r, false, 0), common = -1;
	int q = all < 0 ? all : io_rm_rf(all, name);

	if (q == -ENOENT)
		return 0;
	if (q < 0)
		return err_set(reterr, q, "removing '%s/worktrees/%s': %s", r->common, name,
			       strerror(-q));
	/* As git does: the folder goes with the last one. */
	common = open(r->common, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (common >= 0)
		(void)unlinkat(common, "worktrees", AT_REMOVEDIR);
	return 0;
}

/* ---- at work ---- */

int gitdir_open(const char *common, const char *name, uid_t owner, gid_t group)
{
	_cleanup_rights_ struct rights was = become(owner, group);
	_cleanup_free_ char *path = NULL;
	int fd;

	if (asprintf(&path, "%s/worktrees/%s", common, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void lock_name(const char *name, char *room, size_t n)
{
	(void)snprintf(room, n, "%s.lock", name);
}

int gitdir_lock(int gitdir, const char *name, uid_t owner, gid_t group)
{
	_cleanup_rights_ struct rights was = become(owner, group);
	_cleanup_close_ int fd = -1;
	char lock[64];

	lock_name(name, lock, sizeof(lock));
	fd = openat(gitdir, lock, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	return fd < 0 ? -errno : 0;
}

void gitdir_unlock(int gitdir, const char *name)
{
	char lock[64];

	lock_name(name, lock, sizeof(lock));
	(void)unlinkat(gitdir, lock, 0);
}

int gitdir_read(int gitdir, const char *path, size_t max, struct buf *b)
{
	_cleanup_close_ int fd =
		openat(gitdir, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return errno == ELOOP ? -EINVAL : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) ? io_read_fd(fd, max, b) : -EINVAL;
}

static int put_head(int gitdir, const void *p, size_t n)
{
	_cleanup_close_ int fd = openat(gitdir, "HEAD.lock",
					O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	int r;

	if (fd < 0)
		return -errno;
	r = io_pwrite_full(fd, p, n, 0);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(gitdir, "HEAD.lock", gitdir, "HEAD") < 0)
		r = -errno;
	if (r < 0)
		gitdir_unlock(gitdir, "HEAD");
	return r < 0 ? r : io_sync_dir(gitdir);
}

int gitdir_put(int gitdir, const char *path, const void *p, size_t n)
{
	struct stat st;
	int r;

	if (strcmp(path, "HEAD") == 0)
		return put_head(gitdir, p, n);
	if (fstatat(gitdir, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		st.st_mode = S_IFREG | 0644;
	r = io_replace_file(gitdir, path, p, n, st.st_mode & 0777);
	if (r == 0)
		(void)fchmodat(gitdir, path, st.st_mode & 0777, 0);
	return r;
}

void gitdir_log(int gitdir, const char *from, const char *to, const char *who, const char *why)
{
	_cleanup_close_ int fd =
		openat(gitdir, "logs/HEAD", O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (fd >= 0 && buf_addf(&b, "%s %s %s %lld +0000\t%s\n", from, to, who,
				(long long)time(NULL), why) == 0)
		(void)io_write_full(fd, b.data, b.len);
}

bool gitdir_is_view(const char *common, const char *name, struct gitdir_owner *ret)
{
	_cleanup_close_ int dir = gitdir_open(common, name, geteuid(), getegid());
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (dir < 0 || gitdir_read(dir, "locked", LOCKED_MAX, &b) < 0 || !b.len)
		return false;
	return sscanf(b.data, "agentfs: view %32[0-9a-f] of agent %79[A-Za-z0-9._-]", ret->view_id,
		      ret->agent) == 2;
}
