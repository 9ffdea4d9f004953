/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that mounts redirected folders and takes them off; redirect.c has the states. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "redirect_internal.h"
#include "redirect_mount.h"

enum { TRIES = 3, LET_GO_MS = 1000 };

struct walking {
	struct redirects *rs;
	uint64_t node;
};

/* What waits for one of them: all of it, or what the process asked. Lock held. */
static struct redirect_held *held_by(struct redirects *rs, uint32_t pid)
{
	struct redirect_held *all = NULL, *h, *next;

	for (struct redirected *e = rs->list; e; e = e->next)
		for (h = redirect_take_held(e, pid); h; h = next) {
			next = h->next;
			h->next = all;
			all = h;
		}
	return all;
}

/* The helper is on its way: it is let past. */
static void on_started(pid_t pid, void *user)
{
	struct walking *w = user;
	struct redirect_held *h;

	pthread_mutex_lock(&w->rs->lock);
	w->rs->helper = pid;
	h = held_by(w->rs, (uint32_t)pid);
	pthread_mutex_unlock(&w->rs->lock);
	redirect_answer(w->rs->fs, h, 0);
}

/* Perhaps one of those who wait holds what the helper waits for; or there is nothing left to mount. */
static bool on_slow(int ms, void *user)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	struct walking *w = user;
	struct redirect_held *h;

	if (view_redirect_path(w->rs->fs->view, w->node, &path) == -ENOENT)
		return true;
	if (ms % LET_GO_MS)
		return false;
	pthread_mutex_lock(&w->rs->lock);
	h = held_by(w->rs, 0);
	pthread_mutex_unlock(&w->rs->lock);
	redirect_answer(w->rs->fs, h, -ESTALE);
	return false;
}

/* A folder above may be renamed while the helper walks: then it walks again. */
static int run_helper(struct redirects *rs, uint64_t node, const char *what)
{
	_cleanup_close_ int plain = view_redirect_open(rs->fs->view, node);
	struct walking w = {rs, node};
	int r = plain < 0 ? plain : -ESTALE;

	for (int i = 0; i < TRIES && (r == -ESTALE || r == -ENOENT) && plain >= 0; i++) {
		_cleanup_buf_ struct buf path = BUF_INIT;

		r = view_redirect_path(rs->fs->view, node, &path);
		if (r == 0)
			r = redirect_run(what, rs->fs->mount, path.data, node, plain, on_started,
					 on_slow, &w);
	}
	pthread_mutex_lock(&rs->lock);
	rs->helper = 0;
	pthread_mutex_unlock(&rs->lock);
	return r;
}

/* The first time: it becomes an ordinary folder. Else: it cannot be reached. Returns its new state. */
static enum redirect_state mount_failed(struct redirects *rs, uint64_t node, bool fresh, int why)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	bool dropped;

	(void)view_redirect_path(rs->fs->view, node, &path);
	dropped = fresh && view_redirect_drop(rs->fs->view, node) == 0;
	if (dropped && !rs->told)
		(void)log_warning(
			why, "redirect '%s': it stays in the overlay, as others may from now on",
			path.data ? path.data : "?");
	rs->told |= dropped;
	if (dropped)
		return LEFT;
	view_redirect_set(rs->fs->view, node, VIEW_REDIRECT_FAILED);
	(void)log_warning(why,
			  "mount the redirected folder '%s': it cannot be reached until that works",
			  path.data ? path.data : "?");
	return FAILED;
}

/* Those that were removed after they had been left. */
static void purge(struct redirects *rs)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	struct redirected *e;
	uint64_t node = 0;

	pthread_mutex_lock(&rs->lock);
	for (e = rs->list; e && !node; e = e->next)
		if (e->state == LEFT && !e->queued && !e->held)
			node = e->node;
	pthread_mutex_unlock(&rs->lock);
	if (!node || view_redirect_path(rs->fs->view, node, &path) != -ENOENT)
		return;
	pthread_mutex_lock(&rs->lock);
	e = redirect_find(rs, node);
	if (e && e->state == LEFT && !e->queued && !e->held)
		redirect_forget(rs, node);
	pthread_mutex_unlock(&rs->lock);
}

static void do_mount(struct redirects *rs, uint64_t node, bool fresh)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	int r = !fresh && redirect_is_listed(rs, node) ? 0 : run_helper(rs, node, "new"), x;
	enum redirect_state state = MOUNTED;
	struct redirect_held *held = NULL;
	struct redirected *e;
	bool gone = false;

	purge(rs);
	if (r == -ENODATA)
		r = run_helper(rs, node, "mount");
	if (r == -ETIMEDOUT && redirect_is_listed(rs, node))
		r = 0;
	gone = view_redirect_path(rs->fs->view, node, &path) == -ENOENT;
	if (gone) /* removed meanwhile */
		state = LEFT;
	else if (r < 0)
		state = mount_failed(rs, node, fresh, r);
	else
		view_redirect_set(rs->fs->view, node, VIEW_REDIRECT_MOUNTED);
	if (r == 0 && fresh) {
		x = view_redirect_exclude(rs->fs->view, node);
		if (x < 0)
			(void)log_warning(x, "have git ignore a redirected folder, ignoring");
	}
	pthread_mutex_lock(&rs->lock);
	e = redirect_find(rs, node);
	if (e) {
		held = redirect_take_held(e, 0);
		e->state = state;
		e->fresh &= state != MOUNTED;
		e->failed = redirect_now();
		if (state == LEFT)
			redirect_forget(rs, node);
	}
	pthread_mutex_unlock(&rs->lock);
	redirect_answer(rs->fs, held, gone ? -ESTALE : state == FAILED ? -EIO : 0);
}

/* Off for an rmdir, which waits: if it cannot be taken off, that hears EBUSY. */
static void do_leave(struct redirects *rs, uint64_t node)
{
	int r = run_helper(rs, node, "detach");
	struct redirect_held *held = NULL;
	struct redirected *e;

	if (r == 0 && view_redirect_uncover(rs->fs->view, node) < 0)
		view_redirect_set(rs->fs->view, node, VIEW_REDIRECT_WANTED);
	pthread_mutex_lock(&rs->lock);
	e = redirect_find(rs, node);
	if (e) {
		held = redirect_take_held(e, 0);
		e->state = r == 0 || r == -ENOENT ? LEFT : MOUNTED;
	}
	pthread_mutex_unlock(&rs->lock);
	redirect_answer(rs->fs, held, 0);
}

/* All off; one that is in use ends it, and those that are off already are put back. */
static int do_off(struct redirects *rs)
{
	struct redirected *e;
	uint64_t node;
	int r = 0;

	for (;;) {
		pthread_mutex_lock(&rs->lock);
		for (e = rs->list; e && e->state != MOUNTED; e = e->next)
			;
		if (e)
			e->state = WANTED; /* not queued: its callers wait */
		node = e ? e->node : 0;
		pthread_mutex_unlock(&rs->lock);
		if (!node)
			return 0;
		r = run_helper(rs, node, "unmount");
		if (r == 0 || r == -ENOENT)
			continue;
		redirect_on(rs);
		return -EBUSY;
	}
}

static void do_measure(struct redirects *rs)
{
	struct view_redirect *all = NULL;
	size_t n = 0;

	if (view_redirects(rs->fs->view, &all, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		_cleanup_close_ int plain = view_redirect_open(rs->fs->view, all[i].node);

		if (plain >= 0)
			view_redirect_set_bytes(rs->fs->view, all[i].node,
						redirect_disk_use(plain));
	}
	free(all);
}

/* The one that was asked for first. Lock held. */
static struct redirected *next_queued(struct redirects *rs)
{
	struct redirected *found = NULL;

	for (struct redirected *e = rs->list; e; e = e->next)
		if (e->queued)
			found = e;
	return found;
}

/* One thing; the lock is let go meanwhile. False: there was nothing to do. */
static bool work_once(struct redirects *rs)
{
	struct redirected *e = next_queued(rs);

	if (e) {
		uint64_t node = e->node;
		enum redirect_state state = e->state;
		bool fresh = e->fresh;

		e->queued = false;
		pthread_mutex_unlock(&rs->lock);
		if (state == LEAVING)
			do_leave(rs, node);
		else
			do_mount(rs, node, fresh);
		pthread_mutex_lock(&rs->lock);
	} else if (rs->off_asked) {
		int r;

		pthread_mutex_unlock(&rs->lock);
		r = do_off(rs);
		pthread_mutex_lock(&rs->lock);
		rs->off_result = r;
		rs->off_asked = false;
		pthread_cond_broadcast(&rs->done);
	} else if (rs->measure_asked) {
		pthread_mutex_unlock(&rs->lock);
		do_measure(rs);
		pthread_mutex_lock(&rs->lock);
		rs->measured = redirect_now();
		rs->measure_asked = false;
		pthread_cond_broadcast(&rs->done);
	} else {
		return false;
	}
	return true;
}

void *redirect_thread(void *user)
{
	struct redirects *rs = user;

	pthread_mutex_lock(&rs->lock);
	while (!rs->stop) {
		void (*ready)(void *u) = rs->ready;

		if (work_once(rs))
			continue;
		if (ready) {
			rs->ready = NULL;
			ready(rs->ready_user);
			continue;
		}
		pthread_cond_wait(&rs->work, &rs->lock);
	}
	pthread_mutex_unlock(&rs->lock);
	return NULL;
}
