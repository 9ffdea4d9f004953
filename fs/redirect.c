/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redirected folders, mounted: one thread does the mounts, one at a time, each in a helper process.
 *
 *            MKDIR, start of the server          stands
 *                     └────► WANTED ─────────────────────────► MOUNTED ──── rmdir of an empty one ────┐
 *                              │ ▲                                │                                   ▼
 *           fails, holds       │ │ asked for again,               │ something is asked             LEAVING
 *           something          ▼ │ 5 s later                      │ of its inside                     │ detached
 *                           FAILED                 WANTED ◄───────┴─── any lookup but rmdir's ──── LEFT ─┘
 *
 * Guarantees: (1) nobody but the helper gets past the name while the state is WANTED or LEAVING: lookups are
 * kept and answered when it is decided (the kernel keeps the name for no time meanwhile, so that each walk asks);
 * the inside of the node below answers ESTALE at any time. So nothing is written below a mount. (2) A mount
 * that cannot be made the first time leaves an ordinary folder in the overlay, told once in the log; one
 * that is not made again (at a restart) leaves the folder unreachable (EIO), and is tried again when asked for:
 * what it holds is neither shown as missing nor covered. (3) rmdir of an empty one works as of any folder.
 *
 * (3) needs a trick: the kernel refuses rmdir of a mount point before it asks us. But its lookup of the name
 * reaches us, if it holds the name for no time; and /proc tells which system call the caller is in. A walk
 * through the name would cost a request each time, so the kernel may keep the name for as long as the folder
 * takes to be emptied at least: REMOVAL_NS for each folder of the first two levels, less what the kernel's clock
 * rounds up. Where
 * that is too long, or /proc tells nothing, rmdir says EBUSY as of any mount point.
 *
 * A caller that is kept may hold the lock of the folder above, which the helper's walk needs where the kernel
 * does not have the name any more. So a new one is opened by its number; and after a second those who wait hear ESTALE once, which lets the lock go and
 * makes the kernel walk anew.
 *
 * Locks: r->lock guards the list; under it no call of the view, no reply, no wait but on its conditions. The
 * view's own lock may be held when it is taken (redirect_inside()), never the other way round.
 */
#include "redirect.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "mount.h"
#include "redirect_internal.h"
#include "reply.h"

enum {
	RETRY_S = 5,
	MEASURE_S = 30,
	MEASURE_WAIT_MS = 300,
	MOUNTS_MAX = 16 << 20,
	LOOK_MIN = 16,
	LOOK_MAX = 512
};
#define REMOVAL_NS 40000L

time_t redirect_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

/* --- the list, lock held --- */

struct redirected *redirect_find(struct redirects *rs, uint64_t node)
{
	struct redirected *e = rs->list;

	while (e && e->node != node)
		e = e->next;
	return e;
}

static struct redirected *add(struct redirects *rs, uint64_t node, bool fresh)
{
	struct redirected *e = redirect_find(rs, node);

	if (e)
		return e;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	*e = (struct redirected){.next = rs->list, .node = node, .fresh = fresh};
	rs->list = e;
	return e;
}

void redirect_want(struct redirects *rs, struct redirected *e, enum redirect_state state)
{
	e->state = state;
	e->queued = true;
	pthread_cond_signal(&rs->work);
}

struct redirect_held *redirect_take_held(struct redirected *e, uint32_t pid)
{
	struct redirect_held *out = NULL, **p = &e->held;

	while (*p) {
		struct redirect_held *h = *p;

		if (pid && h->pid != pid) {
			p = &h->next;
			continue;
		}
		*p = h->next;
		h->next = out;
		out = h;
	}
	return out;
}

void redirect_forget(struct redirects *rs, uint64_t node)
{
	struct redirected **p = &rs->list;

	while (*p && (*p)->node != node)
		p = &(*p)->next;
	if (*p) {
		struct redirected *e = *p;

		*p = e->next;
		free(e);
	}
}

/* --- answering --- */

static void answer(struct fs *fs, fuse_req_t req, const struct node_attr *a, int r, double timeout)
{
	struct fuse_entry_param e;

	if (r < 0) {
		(void)fuse_reply_err(req, -r);
		view_forget(fs->view, a->id, 1);
		return;
	}
	reply_fill_entry(&e, a);
	e.entry_timeout = timeout;
	if (fuse_reply_entry(req, &e) == -ENOENT) /* the caller was interrupted */
		view_forget(fs->view, a->id, 1);
}

void redirect_answer(struct fs *fs, struct redirect_held *h, int r)
{
	while (h) {
		struct redirect_held *next = h->next;

		answer(fs, h->req, &h->attr, r, 0);
		free(h);
		h = next;
	}
}

/* --- looking at a plain folder --- */

static bool is_empty(int plain)
{
	int fd = openat(plain, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	bool empty = d != NULL;

	if (!d)
		(void)safe_close(fd);
	while (empty && (e = readdir(d)))
		empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
	if (d)
		(void)closedir(d);
	return empty;
}

/* Is the caller, who waits for our answer, removing or renaming something? */
static bool is_removing(uint32_t pid)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	char path[48];
	long nr;

	(void)snprintf(path, sizeof(path), "/proc/%u/syscall", pid);
	if (io_read_file(AT_FDCWD, path, 512, &b) < 0 || !b.len || b.data[0] < '0' ||
	    b.data[0] > '9')
		return false;
	nr = strtol(b.data, NULL, 10);
#ifdef SYS_rmdir
	if (nr == SYS_rmdir)
		return true;
#endif
	return nr == SYS_unlinkat;
}

/* Folders in it and one level deeper, of the first LOOK_MAX. */
static long count_folders(int plain)
{
	int fd = openat(plain, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	struct stat st;
	long n = 0;

	if (!d)
		(void)safe_close(fd);
	for (int seen = 0; d && seen < LOOK_MAX && (e = readdir(d));) {
		if (e->d_name[0] == '.' || e->d_type != DT_DIR)
			continue;
		seen++;
		if (fstatat(plain, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink >= 2)
			n += 1 + (long)(st.st_nlink - 2);
	}
	if (d)
		(void)closedir(d);
	return n;
}

/* How long the kernel may keep the name of a mounted one, see above: it rounds up, and one tick more.
 * *ret_leave: the folder is empty, and the caller wants it gone. */
static double look(struct redirects *rs, uint64_t node, uint32_t pid, bool *ret_leave)
{
	_cleanup_close_ int plain = view_redirect_open(rs->fs->view, node);
	struct stat st;
	long ticks;

	*ret_leave = false;
	if (plain < 0 || fstat(plain, &st) < 0)
		return 0;
	if (st.st_nlink <= 2) {
		*ret_leave = is_empty(plain) && is_removing(pid);
		return 0;
	}
	ticks = st.st_nlink < LOOK_MIN ? 0 : count_folders(plain) * REMOVAL_NS / rs->tick_ns - 1;
	return ticks < 1 ? 0 : ((double)ticks - 0.5) * (double)rs->tick_ns / 1e9;
}

/* Is it still mounted, as far as the kernel tells? With an entry that it drops (invalidated, unmounted by
 * somebody) a mount goes without a word; where it cannot tell, all is as it was. */
bool redirect_is_listed(struct redirects *rs, uint64_t node)
{
	struct pollfd pfd = {.fd = rs->mounts_fd, .events = POLLPRI};
	_cleanup_buf_ struct buf path = BUF_INIT;
	bool there = true;

	if (rs->mounts_fd < 0 || buf_addf(&path, "%s/", rs->fs->mount) < 0 ||
	    view_redirect_path(rs->fs->view, node, &path) < 0)
		return true;
	pthread_mutex_lock(&rs->lock);
	if (poll(&pfd, 1, 0) > 0 || !rs->mounts.len) {
		buf_clear(&rs->mounts);
		if (lseek(rs->mounts_fd, 0, SEEK_SET) < 0 ||
		    io_read_fd(rs->mounts_fd, MOUNTS_MAX, &rs->mounts) < 0)
			buf_clear(&rs->mounts);
	}
	if (rs->mounts.len)
		there = mount_in_list(rs->mounts.data, path.data);
	pthread_mutex_unlock(&rs->lock);
	return there;
}

/* --- what the server calls --- */

static void release(struct redirects *rs)
{
	while (rs->list) {
		struct redirected *e = rs->list;

		rs->list = e->next;
		redirect_answer(rs->fs, redirect_take_held(e, 0), -ENOTCONN);
		free(e);
	}
	pthread_mutex_destroy(&rs->lock);
	pthread_cond_destroy(&rs->work);
	pthread_cond_destroy(&rs->done);
	buf_release(&rs->mounts);
	(void)safe_close(rs->mounts_fd);
	free(rs);
}

int redirect_new(struct fs *fs, void (*ready)(void *user), void *user, struct redirects **ret)
{
	struct redirects *rs = calloc(1, sizeof(*rs));
	struct view_redirect *all = NULL;
	struct timespec tick = {0};
	size_t n = 0;
	int r = rs ? view_redirects(fs->view, &all, &n) : -ENOMEM;

	if (!rs)
		return r;
	rs->fs = fs;
	rs->ready = ready;
	rs->ready_user = user;
	rs->measured = redirect_now() - MEASURE_S;
	rs->mounts_fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	(void)clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
	rs->tick_ns = tick.tv_nsec > 0 ? tick.tv_nsec : 10000000;
	pthread_mutex_init(&rs->lock, NULL);
	pthread_cond_init(&rs->work, NULL);
	pthread_cond_init(&rs->done, NULL);
	for (size_t i = 0; i < n && r == 0; i++) {
		struct redirected *e = add(rs, all[i].node, false);

		r = e ? 0 : -ENOMEM;
		if (e)
			redirect_want(rs, e, WANTED);
	}
	free(all);
	if (r == 0)
		*ret = rs; /* before the thread, which serves the loop's requests with it */
	if (r == 0)
		r = -pthread_create(&rs->thread, NULL, redirect_thread, rs);
	if (r < 0) {
		*ret = NULL;
		release(rs);
	}
	return r;
}

void redirect_free(struct redirects *rs)
{
	if (!rs)
		return;
	pthread_mutex_lock(&rs->lock);
	rs->stop = true;
	if (rs->helper > 0)
		(void)kill(rs->helper, SIGKILL); /* nobody answers it any more */
	pthread_cond_signal(&rs->work);
	pthread_mutex_unlock(&rs->lock);
	pthread_join(rs->thread, NULL);
	release(rs);
}

/* What a lookup of a mounted one means. Lock held; it is let go meanwhile. */
static bool on_mounted(struct redirects *rs, struct redirected **e, uint64_t node, uint32_t pid,
		       double *ret_timeout)
{
	bool leave, there;

	pthread_mutex_unlock(&rs->lock);
	*ret_timeout = look(rs, node, pid, &leave);
	there = redirect_is_listed(rs, node);
	pthread_mutex_lock(&rs->lock);
	*e = redirect_find(rs, node);
	if ((leave || !there) && *e && (*e)->state == MOUNTED)
		redirect_want(rs, *e, there ? LEAVING : WANTED);
	return *e && (*e)->state != MOUNTED;
}

/* Must the lookup wait? *e may be gone afterwards where it need not. */
static bool must_wait(struct redirects *rs, struct redirected **e, uint64_t node, uint32_t pid,
		      double *ret_timeout, int *ret_error)
{
	if (rs->helper && rs->helper == (pid_t)pid)
		return false;
	if ((*e)->state == MOUNTED && !on_mounted(rs, e, node, pid, ret_timeout))
		return false;
	switch ((*e)->state) {
	case FAILED:
		if (redirect_now() - (*e)->failed < RETRY_S) {
			*ret_error = -EIO;
			return false;
		}
		redirect_want(rs, *e, WANTED);
		return true;
	case LEFT:
		redirect_want(rs, *e, WANTED);
		return true;
	case MOUNTED:
	case WANTED:
	case LEAVING:
		break;
	}
	return true;
}

/* 1: it is kept. 0: to be answered now, with that timeout. Errors: -errno, the answer. */
static int keep(struct redirects *rs, fuse_req_t req, const struct node_attr *a,
		double *ret_timeout)
{
	uint32_t pid = (uint32_t)fuse_req_ctx(req)->pid;
	struct redirected *e;
	struct redirect_held *h;
	int error = 0;

	e = add(rs, a->id, true);
	if (!e)
		return -ENOMEM;
	if (!must_wait(rs, &e, a->id, pid, ret_timeout, &error))
		return error;
	h = malloc(sizeof(*h));
	if (!h)
		return -ENOMEM;
	*h = (struct redirect_held){.next = e->held, .req = req, .pid = pid, .attr = *a};
	e->held = h;
	return 1;
}

void redirect_lookup(struct fs *fs, fuse_req_t req, const struct node_attr *a)
{
	struct redirects *rs = fs->redirects;
	double timeout = 0;
	int r = -EIO; /* root's server made it, and we are not */

	if (rs) {
		pthread_mutex_lock(&rs->lock);
		r = keep(rs, req, a, &timeout);
		pthread_mutex_unlock(&rs->lock);
	}
	if (r <= 0)
		answer(fs, req, a, r, timeout);
}

void redirect_made(struct fs *fs, uint64_t node)
{
	struct redirects *rs = fs->redirects;
	struct redirected *e;

	pthread_mutex_lock(&rs->lock);
	e = add(rs, node, true);
	if (e && e->state == WANTED)
		redirect_want(rs, e, WANTED);
	pthread_mutex_unlock(&rs->lock);
}

/* Somebody stands below the mount; or the kernel has dropped it, with the name, behind our back. */
void redirect_inside(uint64_t node, void *user)
{
	struct fs *fs = user;
	struct redirects *rs = fs->redirects;
	struct redirected *e;

	if (!rs)
		return;
	pthread_mutex_lock(&rs->lock);
	e = redirect_find(rs, node);
	if (e && (e->state == MOUNTED || e->state == LEFT))
		redirect_want(rs, e, WANTED);
	pthread_mutex_unlock(&rs->lock);
}

int redirect_off(struct redirects *rs)
{
	int r;

	if (!rs)
		return 0;
	pthread_mutex_lock(&rs->lock);
	rs->off_asked = true;
	pthread_cond_signal(&rs->work);
	while (rs->off_asked)
		pthread_cond_wait(&rs->done, &rs->lock);
	r = rs->off_result;
	pthread_mutex_unlock(&rs->lock);
	return r;
}

void redirect_on(struct redirects *rs)
{
	if (!rs)
		return;
	pthread_mutex_lock(&rs->lock);
	for (struct redirected *e = rs->list; e; e = e->next)
		if (e->state == WANTED)
			redirect_want(rs, e, WANTED);
	pthread_mutex_unlock(&rs->lock);
}

void redirect_measure(struct redirects *rs)
{
	struct timespec until;

	if (!rs)
		return;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += MEASURE_WAIT_MS * 1000000L;
	until.tv_sec += until.tv_nsec / 1000000000L;
	until.tv_nsec %= 1000000000L;
	pthread_mutex_lock(&rs->lock);
	if (rs->list && redirect_now() - rs->measured >= MEASURE_S) {
		rs->measure_asked = true;
		pthread_cond_signal(&rs->work);
	}
	while (rs->measure_asked &&
	       pthread_cond_timedwait(&rs->done, &rs->lock, &until) != ETIMEDOUT)
		;
	pthread_mutex_unlock(&rs->lock);
}
