/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The view's side of an op. The lock is the agent's own git's lock file, so that either our change of
 * the index or the agent's waits for the other: made in the view by its server, or in the worktree's
 * administrative folder. It is removed whatever happened, unless this process is killed.
 */
#include "worker_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "gitdir.h"
#include "image.h"
#include "io.h"
#include "record.h"
#include "snapshot.h"
#include "viewctl.h"
#include "worker_run.h"

#define LOCK_PATH ".git/index.lock"

enum { CALL_TIMEOUT_MS = 120000, LOCK_WAIT_MS = 5000, LOCK_STEP_MS = 50, PUT_MAX = 1 << 30 };

int view_open_conf(struct worker *w, struct err *reterr)
{
	const char *git = worker_str(w, "git");
	char id[33], name[GITDIR_NAME_MAX];
	int r = viewconf_read(w->view_dir, &w->conf, reterr);

	if (r < 0 || !git || strcmp(git, "worktree") != 0)
		return r;
	w->worktree = true;
	view_id_hex(w, id);
	gitdir_name(w->conf.agent, id, name);
	r = gitdir_open(w->repo.common, name, w->repo.owner, w->repo.group);
	if (r >= 0)
		w->gitdir = r;
	else if (r != -ENOENT)
		return err_set(reterr, r, "opening '%s/worktrees/%s': %s", w->repo.common, name,
			       strerror(-r));
	return 0;
}

static int call(struct worker *w, struct record *msg, int fd, uint64_t *ret_offset,
		struct err *reterr)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct record answer;
	int r;

	msg->seq = ++w->viewctl_seq;
	r = viewctl_call(w->viewctl, msg, fd, CALL_TIMEOUT_MS, &b, &answer, reterr);
	if (r >= 0 && ret_offset)
		*ret_offset = RECORD_HAS(&answer, F_OFFSET) ? answer.offset : 0;
	return r;
}

static int call_path(struct worker *w, uint16_t type, const char *path, struct err *reterr)
{
	struct record msg = {.type = type};

	RECORD_SET(&msg, path, F_PATH, ((struct bytes){path, strlen(path)}));
	return call(w, &msg, -1, NULL, reterr);
}

static int hello(struct worker *w, struct err *reterr)
{
	struct record msg = {.type = VIEWCTL_HELLO};

	RECORD_SET(&msg, count, F_COUNT, VIEWCTL_VERSION);
	RECORD_SET(&msg, value, F_VALUE,
		   ((struct bytes){(const char *)w->conf.view_id, sizeof(w->conf.view_id)}));
	return call(w, &msg, -1, NULL, reterr);
}

/* Once. Errors: -EEXIST it is held, others with reterr set. */
static int lock_index(struct worker *w, struct err *reterr)
{
	int r;

	if (!w->worktree)
		return call_path(w, VIEWCTL_LOCK, LOCK_PATH, reterr);
	if (w->gitdir < 0)
		return err_set_id(
			reterr, -ENOENT, "BranchElsewhere",
			"the worktree of the view of %s is no more in '%s/worktrees' (git worktree "
			"remove?): agentfsctl destroy %s keeps what is uncommitted",
			w->conf.agent, w->repo.common, w->conf.agent);
	r = gitdir_lock(w->gitdir, "index", w->repo.owner, w->repo.group);
	return r < 0 ? err_set(reterr, r, "%s", strerror(-r)) : 0;
}

static int take_lock(struct worker *w, struct err *reterr)
{
	const struct timespec step = {.tv_nsec = LOCK_STEP_MS * 1000000L};

	for (int waited = 0;; waited += LOCK_STEP_MS) {
		int r = lock_index(w, reterr);

		if (r >= 0) {
			w->locked = true;
			return 0;
		}
		if (r != -EEXIST)
			return w->worktree && w->gitdir < 0
				       ? r
				       : err_wrap(reterr, "locking the view's index");
		err_release(reterr);
		if (waited >= LOCK_WAIT_MS)
			return err_set_id(
				reterr, -EBUSY, "Locked",
				"git is at work in the view of %s (%s is held for 5 seconds): try again "
				"when it is done, or remove that file if no git runs there",
				w->conf.agent,
				w->worktree ? "index.lock in its git folder" : LOCK_PATH);
		(void)nanosleep(&step, NULL);
	}
}

static int connect_server(struct worker *w, bool need, struct err *reterr)
{
	const char *sock = worker_str(w, "sock");
	int r = sock ? viewctl_connect(sock) : -ENOENT;

	if (r >= 0) {
		w->viewctl = r;
		return hello(w, reterr);
	}
	if (r != -ENOENT && r != -ECONNREFUSED)
		return err_set(reterr, r, "asking the view of %s: %s", w->conf.agent, strerror(-r));
	if (!need)
		return 0;
	return err_set_id(
		reterr, -ENOTCONN, "Stale",
		"the view of %s is not mounted now: wait until it is, or see agentfsctl show %s",
		w->conf.agent, w->conf.agent);
}

int view_open_snapshot(struct worker *w, bool need_server, bool lock, struct err *reterr)
{
	struct record msg = {.type = VIEWCTL_SNAPSHOT};
	char tree[GIT_OID_HEXSZ + 1];
	uint64_t seq = 0;
	char *base;
	int r = connect_server(w, need_server, reterr);

	if (r >= 0 && lock)
		r = take_lock(w, reterr);
	if (r < 0)
		return r;
	if (w->viewctl >= 0) {
		r = call(w, &msg, -1, &seq, reterr);
		if (r < 0)
			return err_wrap(reterr, "taking a snapshot of the view");
	}
	w->snapshot_s = time(NULL);
	w->snapshot_seq = seq;
	r = snapshot_open(w->view_dir, w->state_fd, seq, &w->snapshot, reterr);
	if (r < 0)
		return r;
	git_oid_tostr(tree, sizeof(tree),
		      (const git_oid *)(const void *)image_tree_oid(snapshot_image(w->snapshot)));
	if (strcmp(tree, w->conf.tree) == 0)
		return 0;
	/* view.conf lags behind a sync: what the journal says holds. */
	base = strdup(snapshot_base_commit(w->snapshot));
	if (!base)
		return -ENOMEM;
	free(w->conf.base_commit);
	w->conf.base_commit = base;
	return 0;
}

/* path: below .git */
static int put_in_gitdir(struct worker *w, const char *path, int fd, struct err *reterr)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = lseek(fd, 0, SEEK_SET) < 0 ? -errno : io_read_fd(fd, PUT_MAX, &b);

	if (strncmp(path, "refs/", 5) == 0)
		return 0;
	if (r == 0)
		r = gitdir_put(w->gitdir, path, b.data ? b.data : "", b.len);
	if (r == -EEXIST)
		return err_set_id(
			reterr, -EBUSY, "Locked",
			"git is at work in the view of %s (%s.lock is held): try again when "
			"it is done",
			w->conf.agent, path);
	return r < 0 ? err_set(reterr, r, "writing '%s' of the view's worktree: %s", path,
			       strerror(-r))
		     : 0;
}

int view_put(struct worker *w, const char *path, uint32_t mode, int fd, struct err *reterr)
{
	struct record msg = {.type = VIEWCTL_PUT};

	if (w->worktree && strncmp(path, ".git/", 5) == 0)
		return put_in_gitdir(w, path + 5, fd, reterr);
	RECORD_SET(&msg, path, F_PATH, ((struct bytes){path, strlen(path)}));
	RECORD_SET(&msg, mode, F_MODE, mode);
	return call(w, &msg, fd, NULL, reterr) < 0
		       ? err_wrap(reterr, "writing '%s' in the view", path)
		       : 0;
}

int view_put_text(struct worker *w, const char *path, const char *text, struct err *reterr)
{
	_cleanup_close_ int fd = memfd_create("put", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return err_set(reterr, -errno, "writing '%s' in the view: %s", path,
			       strerror(errno));
	r = io_pwrite_full(fd, text, strlen(text), 0);
	return r < 0 ? err_set(reterr, r, "writing '%s' in the view: %s", path, strerror(-r))
		     : view_put(w, path, S_IFREG | 0644, fd, reterr);
}

void view_tell_refusal(struct worker *w, uint32_t op, const char *path, const char *rule,
		       const char *outcome)
{
	struct record msg = {.type = VIEWCTL_REFUSED};

	if (w->viewctl < 0)
		return;
	RECORD_SET(&msg, op, F_OP, op);
	RECORD_SET(&msg, path, F_PATH, ((struct bytes){path, strlen(path)}));
	RECORD_SET(&msg, rule_text, F_RULE_TEXT, ((struct bytes){rule, strlen(rule)}));
	RECORD_SET(&msg, outcome, F_OUTCOME, ((struct bytes){outcome, strlen(outcome)}));
	(void)call(w, &msg, -1, NULL, NULL);
}

void view_finish(struct worker *w)
{
	if (w->locked && w->worktree)
		gitdir_unlock(w->gitdir, "index");
	else if (w->locked)
		(void)call_path(w, VIEWCTL_UNLINK, LOCK_PATH, NULL);
	w->locked = false;
	snapshot_close(w->snapshot);
	w->snapshot = NULL;
}

int view_prepare_conf(struct worker *w, struct err *reterr)
{
	return view_open_conf(w, reterr);
}

int view_prepare_read(struct worker *w, struct err *reterr)
{
	int r = view_open_conf(w, reterr);

	return r < 0 ? r : view_open_snapshot(w, false, false, reterr);
}

int view_prepare_lock(struct worker *w, struct err *reterr)
{
	int r = view_open_conf(w, reterr);

	return r < 0 ? r : view_open_snapshot(w, true, true, reterr);
}

void view_id_hex(const struct worker *w, char *room)
{
	for (size_t i = 0; i < sizeof(w->conf.view_id); i++)
		(void)snprintf(room + 2 * i, 3, "%02x", w->conf.view_id[i]);
}

bool view_base_has(const struct worker *w, const char *path)
{
	const struct image *img = snapshot_image(w->snapshot);
	int64_t at = 0;

	while (*path && at >= 0) {
		size_t n = strcspn(path, "/");

		at = image_lookup(img, (uint32_t)at, path, n);
		path += n;
		path += *path == '/';
	}
	return at > 0;
}

int view_move(struct worker *w, const struct view_move_request *m, uint64_t *ret_kept,
	      struct err *reterr)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct record msg = {.type = VIEWCTL_SYNC}, answer;
	int r;

	RECORD_SET(&msg, name, F_NAME, ((struct bytes){m->image, strlen(m->image)}));
	RECORD_SET(&msg, name2, F_NAME2, ((struct bytes){m->commit, strlen(m->commit)}));
	RECORD_SET(&msg, mtime, F_MTIME, m->time);
	RECORD_SET(&msg, offset, F_OFFSET, m->seq);
	RECORD_SET(&msg, length, F_LENGTH, m->actions);
	msg.seq = ++w->viewctl_seq;
	r = viewctl_call(w->viewctl, &msg, m->fd, CALL_TIMEOUT_MS, &b, &answer, reterr);
	*ret_kept = r >= 0 && RECORD_HAS(&answer, F_COUNT) ? answer.count : 1;
	return r;
}
