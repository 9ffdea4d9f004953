/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's parts put together, and its start and end.
 *
 * Start: the lock of STATE is taken (a second daemon is refused), workers of a killed daemon have
 * ended, the database is open and sound; then every view in it is brought to where it belongs:
 * creating → undone, live → adopted or mounted again, closing → closed. Only then it listens.
 * End: views are left as they are; what is under way gets 10 s.
 */
#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "agentfs_config.h"
#include "cleanup.h"
#include "log.h"
#include "methods.h"
#include "op.h"
#include "queue_run.h"
#include "spawn_env.h"
#include "radar.h"
#include "sys.h"

enum {
	WORKERS = 4,
	ORPHANS_TIMEOUT_MS = 60000,
	END_TIMEOUT_S = 10,
	END_POLL_MS = 20,
	LOCK_WAIT_MS = 5000
};

/* A daemon that has been told to end holds its lock until it has unmounted its views. */
static int lock_soon(int fd)
{
	const struct timespec step = {.tv_nsec = END_POLL_MS * 1000000L};

	for (int ms = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; ms += END_POLL_MS) {
		if (errno != EWOULDBLOCK || ms >= LOCK_WAIT_MS)
			return -errno;
		(void)nanosleep(&step, NULL);
	}
	return 0;
}

static int take_lock(struct daemon *d, struct err *e)
{
	int r;

	d->lock_fd = openat(d->state_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (d->lock_fd < 0)
		return err_set(e, -errno, "cannot open '%s/lock': %s", d->paths.state,
			       strerror(errno));
	r = lock_soon(d->lock_fd);
	if (r < 0)
		return r == -EWOULDBLOCK
			       ? err_set_id(e, -EBUSY, "Busy",
					    "another daemon uses '%s': stop it first, or give "
					    "another --state",
					    d->paths.state)
			       : err_set(e, r, "cannot lock '%s/lock': %s", d->paths.state,
					 strerror(-r));
	return 0;
}

/* Each connection, worker and view costs some descriptors. */
static void raise_limits(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
		l.rlim_cur = l.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &l); /* the old limit still serves many */
	}
}

static void on_view_changed(struct view *v, const char *what, void *user)
{
	struct daemon *d = user;

	if (view_is_open(v))
		events_emit(d->events, what, v->row.agent, v->row.id, v->row.uid, "%s%s%s", what,
			    *v->why ? ": " : "", v->why);
	if (v->phase == PHASE_LIVE) {
		daemon_policy_again(d, v);
		daemon_follow_base(d, v);
	}
	waiters_check(d, v->row.agent);
	queue_kick(d->queue);
}

static void on_view_gone(const char *agent, void *user)
{
	waiters_check(user, agent);
}

static int open_parts(struct daemon *d, struct err *e)
{
	struct views_options vo = {
		.event = d->event,
		.state_dir = d->paths.state,
		.run_dir = d->paths.run,
		.system = d->system,
		.changed = on_view_changed,
		.gone = on_view_gone,
		.user = d,
	};
	struct server_options so = {
		.event = d->event,
		.uid = geteuid(),
		.dispatch = methods_dispatch,
		.user = d,
	};
	int r = spawn_find("agentfs", "fs", AGENTFS_BINDIR, &d->server_program, e);

	if (r == 0)
		r = spawn_find("agentfs-worker", "daemon", AGENTFS_LIBEXECDIR, &d->worker_program,
			       e);
	if (r == 0)
		r = config_read(d->paths.config, d->paths.config_given, &d->config, e);
	if (r == 0)
		r = tasks_wait_orphans(d->paths.worker_lock, ORPHANS_TIMEOUT_MS, e);
	if (r == 0)
		r = state_open(d->paths.db, &d->db, e);
	if (r == 0)
		r = control_open(d->state_fd, &d->control, e);
	if (r < 0)
		return r;
	vo.db = d->db;
	vo.program = d->server_program;
	d->locks = keylocks_new();
	d->events = events_new();
	if (!d->locks || !d->events || views_new(&vo, &d->views) < 0 ||
	    radar_new(d, &d->radar) < 0 || server_new(&so, &d->server) < 0 ||
	    tasks_new(d->event, d->worker_program, d->paths.worker_lock, WORKERS, &d->tasks) < 0 ||
	    queue_new(d, &d->queue) < 0)
		return err_set(e, -ENOMEM, "cannot start");
	return 0;
}

/* ---- taking up the views ---- */

static int load_view(const struct view_row *row, void *user)
{
	struct daemon *d = user;
	struct view *v;

	return views_add(d->views, row, true, &v, NULL);
}

static void take_up(struct daemon *d, struct view *v)
{
	bool closing = v->row.state == VIEW_CLOSING;
	struct op *op;

	if (view_is_open(v)) {
		view_start(v, NULL, NULL);
		return;
	}
	log_notice("the view of '%s' was half %s: %s", v->row.agent, closing ? "closed" : "made",
		   closing ? "going on" : "undoing it");
	op = op_new(d, NULL, v->row.agent, closing ? "close" : "undo create");
	if (!op)
		return;
	op->uid = 0;
	op->force = true;
	op->delete_branch = v->row.delete_branch;
	if (!closing)
		op->data = v;
	op_begin(op, closing ? close_start : uncreate_start);
}

static int take_up_views(struct daemon *d, struct err *e)
{
	struct view *v, *next;
	int r = state_views(d->db, false, load_view, d, e);

	if (r < 0)
		return e->code ? r : err_set(e, r, "cannot take up the views");
	for (v = views_next(d->views, NULL); v; v = next) {
		next = views_next(d->views, v);
		take_up(d, v);
	}
	discard_leftovers(d);
	return 0;
}

static int listen_all(struct daemon *d, struct err *e)
{
	int n = sd_listen_fds(1), r = 0;

	if (n < 0)
		return err_set(e, n, "cannot take over the sockets");
	for (int i = 0; i < n && r == 0; i++)
		r = server_adopt(d->server, SD_LISTEN_FDS_START + i, e);
	if (n == 0)
		r = server_listen(d->server, d->paths.socket, e);
	return r;
}

int daemon_open(struct daemon *d, const struct paths *p, sd_event *event, struct err *reterr)
{
	int r;

	memset(d, 0, sizeof(*d));
	d->paths = *p;
	d->lock_fd = d->state_fd = -1;
	d->event = sd_event_ref(event);
	d->system = geteuid() == 0;
	d->started = sys_now_ns();
	raise_limits();
	r = paths_make(p, reterr);
	if (r < 0)
		return r;
	d->state_fd = open(p->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->state_fd < 0)
		return err_set(reterr, -errno, "cannot open '%s'", p->state);
	r = take_lock(d, reterr);
	if (r == 0)
		r = open_parts(d, reterr);
	if (r == 0)
		r = take_up_views(d, reterr);
	if (r == 0)
		r = queue_take_up(d->queue, reterr);
	return r < 0 ? r : listen_all(d, reterr);
}

int daemon_run(struct daemon *d)
{
	int r;

	(void)sd_event_set_watchdog(d->event, 1); /* without systemd there is none: no error */
	(void)sd_notify(0, "READY=1\nSTATUS=serving");
	r = sd_event_loop(d->event);
	(void)sd_notify(0, "STOPPING=1");
	return r < 0 ? 1 : 0;
}

/* ---- ending ---- */

struct ending {
	struct daemon *d;
	uint64_t until;
	sd_event_source *timer;
};

static int on_ending(sd_event_source *s, uint64_t usec, void *user)
{
	struct ending *e = user;

	if (tasks_count(e->d->tasks) > 0 && sys_now_ns() < e->until) {
		(void)sd_event_source_set_time_relative(s, END_POLL_MS * 1000);
		(void)sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
		return 0;
	}
	(void)sd_event_exit(e->d->event, 0);
	(void)sd_event_source_disable_unref(e->timer);
	free(e);
	return 0;
}

void daemon_end(struct daemon *d)
{
	struct ending *e;

	if (d->ending)
		return;
	d->ending = true;
	views_end(d->views);
	server_close_listeners(d->server);
	e = sys_calloc(1, sizeof(*e));
	if (e) {
		*e = (struct ending){d, sys_now_ns() + END_TIMEOUT_S * UINT64_C(1000000000), NULL};
		if (sd_event_add_time_relative(d->event, &e->timer, CLOCK_MONOTONIC, 1000, 0,
					       on_ending, e) >= 0)
			return;
		free(e);
	}
	(void)sd_event_exit(d->event, 0);
}

void daemon_close(struct daemon *d)
{
	/* Links to views end first: ops that wait for an answer of one hear so, while all they may turn to is there. */
	views_free(d->views);
	ops_free(d);
	events_free(d->events);
	server_free(d->server);
	tasks_free(d->tasks);
	radar_free(d->radar);
	queue_free(d->queue);
	keylocks_free(d->locks);
	control_close(d->control);
	state_close(d->db);
	config_release(&d->config);
	json_decref(d->scratches);
	free(d->server_program);
	free(d->worker_program);
	(void)safe_close(d->state_fd);
	(void)safe_close(d->lock_fd); /* last: the next daemon may begin */
	sd_event_unref(d->event);
}
