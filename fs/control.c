/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The view's control socket. One thread, up to CLIENTS connections, one message at a time: what the
 * daemon asks is short, but for SNAPSHOT, which waits for writeback and for the disk.
 *
 * A snapshot: dirty pages of shared mappings are unknown to the server, so a helper calls syncfs on the
 * mount; when it is back they are on their way, and when no request is waiting or served any more they
 * have arrived (bounded: an agent that never stops writing is cut somewhere between two writes).
 */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "helper.h"
#include "log.h"
#include "loop.h"
#include "mount.h"
#include "move.h"
#include "notify.h"
#include "redirect.h"
#include "viewctl.h"

enum {
	CLIENTS = 64,
	SYNCFS_MS = 10000,
	IDLE_MS = 500,
	POKE_MS = 2000,
	REDIRECTS_TEXT_MAX = 64 << 10
};

struct client {
	int fd;	    /* -1: free */
	char *lock; /* the lock file that it holds, or NULL: taken off when it goes without doing so */
};

struct control {
	struct fs *fs;
	char *path;
	int listen_fd, wake_fd;
	struct client clients[CLIENTS]; /* only the thread uses them */
	pthread_t thread;
	atomic_bool stop;
};

/* --- requests: each fills the answer and returns its result --- */

/* "redirect STATE BYTES PATH", as many as go into a message. */
static int add_redirects(struct fs *fs, struct buf *text)
{
	static const char *const states[] = {"wanted", "mounted", "failed"};
	_cleanup_free_ struct view_redirect *all = NULL;
	size_t n = 0;
	int r = view_redirects(fs->view, &all, &n);

	for (size_t i = 0; i < n && r == 0 && text->len < REDIRECTS_TEXT_MAX; i++) {
		_cleanup_buf_ struct buf path = BUF_INIT;

		if (view_redirect_path(fs->view, all[i].node, &path) < 0 || path.len > 4096 ||
		    strchr(path.data, '\n'))
			continue;
		r = buf_addf(text, "redirect %s %" PRIu64 " %s\n", states[all[i].state],
			     all[i].bytes, path.data);
	}
	return r;
}

static int do_status(struct fs *fs, struct buf *text)
{
	struct view_info i;
	int r;

	redirect_measure(fs->redirects);
	r = add_redirects(fs, text);
	view_info(fs->view, &i);
	if (r < 0)
		return r;
	return buf_addf(
		text,
		"seq %" PRIu64 "\ndurable %" PRIu64 "\nchanged %" PRIu64 "\ndeleted %" PRIu64
		"\nbytes %" PRIu64 "\ndenied %" PRIu64 "\nlast-write %" PRId64
		"\nlast-denied %" PRId64 "\nnodes %" PRIu64 "\njournal-bytes %" PRIu64
		"\ndata-bytes %" PRIu64 "\nstarted %" PRId64 "\nreplayed %" PRIu64
		"\ndropped %" PRIu64 "\ncheckpoint %" PRIu64 "\nquota-bytes %" PRIu64
		"\nquota-nodes %" PRIu64 "\nquota-refused %" PRIu64 "\n",
		i.seq, i.durable, i.changed, i.deleted, i.bytes, i.denied, i.last_write,
		i.last_denied, i.nodes, i.journal_bytes, i.data_bytes, i.started, i.replayed,
		i.dropped, i.checkpoint_seq, i.quota_bytes, i.quota_nodes, i.quota_refused);
}

static int do_base(struct fs *fs, struct buf *text)
{
	_cleanup_buf_ struct buf image = BUF_INIT, commit = BUF_INIT;

	view_base(fs->view, &image, &commit);
	if (!image.len || !commit.len)
		return -ENOMEM;
	return buf_addf(text, "base %s\nimage %s\n", commit.data, image.data);
}

static int do_snapshot(struct fs *fs, struct record *ret)
{
	struct view_info i;
	int r;

	if (loop_stopping())
		return -ESHUTDOWN;
	r = helper_syncfs(fs->mount, SYNCFS_MS);
	if (r < 0)
		(void)log_warning(r, "write out mapped pages before a snapshot, ignoring");
	(void)loop_wait_idle(fs, IDLE_MS);
	r = view_seed_settle(fs->view);
	if (r < 0)
		return r;
	view_info(fs->view, &i); /* what is cut: everything applied by now */
	r = view_sync(fs->view);
	if (r < 0)
		return r;
	RECORD_SET(ret, offset, F_OFFSET, i.seq);
	return 0;
}

/* A borrowed byte field as a string of its own; NULL where it is missing or holds a NUL. */
static char *text_of(struct bytes b)
{
	if (!b.n || memchr(b.p, '\0', b.n))
		return NULL;
	return strndup(b.p, b.n);
}

void control_poke(struct fs *fs)
{
	_cleanup_buf_ struct buf list = BUF_INIT;

	if (loop_stopping())
		return;
	view_pokes_take(fs->view, &list);
	if (list.len)
		(void)helper_poke(fs->view, fs->mount, &list, POKE_MS);
}

/* For view_path_put(): the rename, and what was noted on the way there. */
static int move_put(const char *path, void *user)
{
	const char kind = VIEW_POKE_MOVE;
	_cleanup_buf_ struct buf list = BUF_INIT;
	struct fs *fs = user;
	int r;

	if (loop_stopping())
		return -ESHUTDOWN;
	view_pokes_take(fs->view, &list);
	r = buf_add(&list, &kind, 1);
	if (r == 0)
		r = buf_add(&list, path, strlen(path) + 1);
	notify_flush(fs->notify);
	return r < 0 ? r : helper_poke(fs->view, fs->mount, &list, POKE_MS);
}

static int do_put(struct fs *fs, const struct record *msg, const char *path, int fd,
		  struct record *ret)
{
	struct node_attr a;
	int r;

	if (fd < 0)
		return -EINVAL;
	r = view_path_put(fs->view, path, msg->mode, fd, move_put, fs, &a);
	notify_flush(fs->notify);
	control_poke(fs);
	if (r < 0)
		return r;
	RECORD_SET(ret, node, F_NODE, a.id);
	RECORD_SET(ret, mtime, F_MTIME, a.mtime);
	return 0;
}

static int do_stop(struct fs *fs, const struct record *msg)
{
	int r;

	if (msg->mask & 1) {
		r = unmount_view(fs->mount); /* takes what is mounted in it along */
	} else {
		r = redirect_off(fs->redirects);
		if (r < 0)
			return r;
		r = mount_try_unmount(fs->mount);
		if (r != 0)
			redirect_on(fs->redirects);
		if (r > 0)
			return -EBUSY;
	}
	if (r == 0)
		loop_stop();
	return r;
}

static int do_lock(struct fs *fs, struct client *c, const char *path)
{
	char *copy;
	int r;

	if (c->lock)
		return -EBUSY;
	copy = strdup(path);
	r = copy ? view_path_lock(fs->view, path) : -ENOMEM;
	if (r < 0)
		free(copy);
	else
		c->lock = copy;
	return r;
}

static int do_unlink(struct fs *fs, struct client *c, const char *path)
{
	int r = view_path_unlink(fs->view, path);

	if (c->lock && strcmp(c->lock, path) == 0) {
		free(c->lock);
		c->lock = NULL;
	}
	return r;
}

static int do_path(struct fs *fs, struct client *c, const struct record *msg, int fd,
		   struct record *ret)
{
	_cleanup_free_ char *path = text_of(msg->path);
	int r = -EINVAL;

	if (!path)
		return r;
	switch ((enum viewctl_type)msg->type) {
	case VIEWCTL_LOCK:
		r = do_lock(fs, c, path);
		break;
	case VIEWCTL_UNLINK:
		r = do_unlink(fs, c, path);
		break;
	case VIEWCTL_PUT:
		return do_put(fs, msg, path, fd, ret);
	case VIEWCTL_HELLO:
	case VIEWCTL_STATUS:
	case VIEWCTL_SNAPSHOT:
	case VIEWCTL_POLICY:
	case VIEWCTL_STOP:
	case VIEWCTL_DENIED:
	case VIEWCTL_REFUSED:
	case VIEWCTL_REBASE_BRANCH:
	case VIEWCTL_SYNC:
	case VIEWCTL_FREEZE:
		break;
	}
	notify_flush(fs->notify);
	return r;
}

static int do_refused(struct fs *fs, const struct record *msg)
{
	_cleanup_free_ char *path = text_of(msg->path), *rule = text_of(msg->rule_text);
	_cleanup_free_ char *outcome = text_of(msg->outcome);

	if (!path || !rule || !outcome || msg->op >= OP_MAX)
		return -EINVAL;
	return view_note_refusal(fs->view, (enum record_op)msg->op, path, rule, outcome);
}

static int do_policy(struct fs *fs, const struct record *msg, struct buf *text)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_free_ char *policy = text_of(msg->value);
	int r = policy ? view_set_policy(fs->view, policy, &err) : -EINVAL;

	notify_flush(fs->notify);
	control_poke(fs);
	if (r < 0 && err.text)
		(void)buf_adds(text, err.text);
	return r;
}

static int dispatch(struct fs *fs, struct client *c, const struct record *msg, int fd,
		    struct record *ret, struct buf *text)
{
	int r;

	switch ((enum viewctl_type)msg->type) {
	case VIEWCTL_HELLO:
		if (msg->count != VIEWCTL_VERSION)
			return -EPROTONOSUPPORT;
		RECORD_SET(ret, count, F_COUNT, VIEWCTL_VERSION);
		RECORD_SET(ret, pid, F_PID, (uint32_t)getpid());
		RECORD_SET(ret, path, F_PATH, ((struct bytes){fs->mount, strlen(fs->mount)}));
		return buf_add(text, view_conf(fs->view)->view_id, 16);
	case VIEWCTL_STATUS:
		r = do_status(fs, text);
		return r < 0 ? r : do_base(fs, text);
	case VIEWCTL_SNAPSHOT:
		return do_snapshot(fs, ret);
	case VIEWCTL_LOCK:
	case VIEWCTL_PUT:
	case VIEWCTL_UNLINK:
		return do_path(fs, c, msg, fd, ret);
	case VIEWCTL_POLICY:
		return do_policy(fs, msg, text);
	case VIEWCTL_STOP:
		return do_stop(fs, msg);
	case VIEWCTL_DENIED:
		return view_denied_text(fs->view, text);
	case VIEWCTL_REFUSED:
		return do_refused(fs, msg);
	case VIEWCTL_REBASE_BRANCH: {
		_cleanup_free_ char *branch = text_of(msg->name), *task = text_of(msg->value);

		return branch && task ? view_set_task(fs->view, branch, task) : -EINVAL;
	}
	case VIEWCTL_SYNC:
		return move_base(fs, msg, fd, ret, text);
	case VIEWCTL_FREEZE:
		view_freeze(fs->view, msg->mask & 1);
		return 0;
	}
	return -EOPNOTSUPP;
}

/* --- connections --- */

static int answer(struct fs *fs, struct client *c)
{
	_cleanup_buf_ struct buf b = BUF_INIT, text = BUF_INIT;
	int fds[VIEWCTL_FDS_MAX], r;
	size_t nfds = 0;
	struct record msg, ret = {0};

	r = viewctl_recv(c->fd, &b, &msg, fds, &nfds);
	if (r == -EAGAIN)
		return 0;
	if (r < 0)
		return r;
	ret.type = msg.type;
	ret.seq = msg.seq;
	r = dispatch(fs, c, &msg, nfds ? fds[0] : -1, &ret, &text);
	for (size_t i = 0; i < nfds; i++)
		(void)safe_close(fds[i]);
	RECORD_SET(&ret, result, F_RESULT, r);
	if (text.len)
		RECORD_SET(&ret, value, F_VALUE, ((struct bytes){text.data, text.len}));
	return viewctl_send(c->fd, &ret, NULL, 0);
}

static bool admit(int fd)
{
	struct ucred cred;
	socklen_t n = sizeof(cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 &&
	       (cred.uid == 0 || cred.uid == geteuid());
}

static void accept_client(struct control *c)
{
	int fd = accept4(c->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	for (size_t i = 0; i < CLIENTS && admit(fd); i++)
		if (c->clients[i].fd < 0) {
			c->clients[i].fd = fd;
			return;
		}
	(void)safe_close(fd);
}

/* A worker that died with a lock in hand leaves none behind. */
static void drop_lock(struct control *c, struct client *cl)
{
	if (cl->lock && view_path_unlink(c->fs->view, cl->lock) == 0)
		notify_flush(c->fs->notify);
	free(cl->lock);
	cl->lock = NULL;
}

/* Whoever waits for the server's end sees it by its connection: so at the end the connections are not
 * closed here, before the last checkpoint is written, but by the exit of the process. */
static void drop_client(struct control *c, struct client *cl)
{
	drop_lock(c, cl);
	cl->fd = safe_close(cl->fd);
}

static void serve(struct control *c, const struct pollfd *pfds)
{
	if (pfds[1].revents)
		accept_client(c);
	for (size_t i = 0; i < CLIENTS; i++)
		if (c->clients[i].fd >= 0 && c->clients[i].fd == pfds[i + 2].fd &&
		    pfds[i + 2].revents && answer(c->fs, &c->clients[i]) < 0)
			drop_client(c, &c->clients[i]);
}

static void *thread_main(void *user)
{
	struct control *c = user;
	struct pollfd pfds[CLIENTS + 2];

	while (!atomic_load(&c->stop)) {
		pfds[0] = (struct pollfd){.fd = c->wake_fd, .events = POLLIN};
		pfds[1] = (struct pollfd){.fd = c->listen_fd, .events = POLLIN};
		for (size_t i = 0; i < CLIENTS; i++)
			pfds[i + 2] = (struct pollfd){.fd = c->clients[i].fd, .events = POLLIN};
		/* once a second: timers of the view */
		if (poll(pfds, CLIENTS + 2, 1000) > 0)
			serve(c, pfds);
		view_tick(c->fs->view);
	}
	return NULL;
}

int control_new(struct fs *fs, const char *path, struct control **ret, struct err *reterr)
{
	struct control *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->fs = fs;
	c->path = strdup(path);
	c->wake_fd = eventfd(0, EFD_CLOEXEC);
	for (size_t i = 0; i < CLIENTS; i++)
		c->clients[i].fd = -1;
	c->listen_fd = c->path ? viewctl_listen(path) : -ENOMEM;
	r = c->wake_fd < 0 ? -errno : c->listen_fd < 0 ? c->listen_fd : 0;
	if (r == 0)
		r = -pthread_create(&c->thread, NULL, thread_main, c);
	if (r < 0) {
		(void)safe_close(c->wake_fd);
		if (c->listen_fd >= 0)
			(void)safe_close(c->listen_fd);
		free(c->path);
		free(c);
		return err_set(reterr, r, "listen on '%s': %s", path, strerror(-r));
	}
	*ret = c;
	return 0;
}

void control_free(struct control *c)
{
	if (!c)
		return;
	atomic_store(&c->stop, true);
	(void)eventfd_write(c->wake_fd, 1);
	pthread_join(c->thread, NULL);
	for (size_t i = 0; i < CLIENTS; i++)
		drop_lock(
			c,
			&c->clients[i]); /* connections stay to the end of the process: see below */
	(void)safe_close(c->listen_fd);
	(void)safe_close(c->wake_fd);
	(void)unlink(c->path);
	free(c->path);
	free(c);
}
