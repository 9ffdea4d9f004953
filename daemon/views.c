/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor of the views' servers.
 *
 *              START                 READY               HELLO ok
 *     IDLE ───────────► STARTING ───────────► GREETING ───────────► LIVE ──STOP (server agrees)──┐
 *      ▲  │ (answers already)                    ▲ │                  │                          │
 *      │  └──────────────────────────────────────┘ │ LOST             │ LOST                     │
 *      │                   │ LOST                  ▼                  ▼                          ▼
 *      │                   └──────────────────► STALE ◄───────────────┘                      STOPPING
 *      │                                          │ TIMER: as START; STOP                       │ LOST
 *      └──────────────────────────────────────────┴─────────────────────────────────────────────┘
 *
 * STOP in a phase without a connection takes the mount away, which ends a server that nobody knows of (an
 * earlier daemon started it, or it is hung). Until it is gone the view is ENDING, then IDLE.
 *
 * Guarantees:
 * 1. A server that answers for the view is adopted, never replaced; a new one is started only after
 *    nobody listens on the view's socket, our own child is gone and the dead mount was taken away.
 * 2. A server that ends while it is wanted is started again, at once and then with growing pauses
 *    (50 ms doubling to 30 s), for ever.
 * 3. The servers are in sessions of their own and hold no descriptor of the daemon's: they outlive it.
 * 4. The inside of a mount is never touched from here.
 * 5. started and stopped are each called once for each view_start() and view_stop(). When stopped is, no
 *    server of the view writes its files any more, or it has not ended in STOP_TIMEOUT_MS.
 */
#include "views.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "mountpoint.h"
#include "spawn_env.h"
#include "sys.h"
#include "viewctl.h"
#include "views_internal.h"

enum {
	START_TIMEOUT_MS = 120000,
	STOP_TIMEOUT_MS = 30000,
	ENDING_POLL_MS = 20,
	BACKOFF_FIRST_MS = 50,
	BACKOFF_MAX_MS = 30000,
	BUSY_TRIES = 10,
	BUSY_RETRY_MS = 60,
	READY_TEXT_MAX = 4096
};

enum view_event {
	EVENT_START,
	EVENT_READY,
	EVENT_HELLO,
	EVENT_LOST,
	EVENT_TIMER,
	EVENT_STOP,
	EVENT_MAX
};

static void view_event(struct view *v, enum view_event e);

/* ---- small things ---- */

int view_dir_path(const struct view *v, char *ret, size_t size)
{
	int n = snprintf(ret, size, "%s/views/%s", v->views->opt.state_dir, v->row.agent);

	return n < (int)size ? 0 : -ENAMETOOLONG;
}

int view_socket_path(const struct view *v, char *ret, size_t size)
{
	int n = snprintf(ret, size, "%s/views/%s.sock", v->views->opt.run_dir, v->row.agent);

	return n < (int)size ? 0 : -ENAMETOOLONG;
}

static void tell(struct view *v, const char *what)
{
	if (v->views->opt.changed)
		v->views->opt.changed(v, what, v->views->opt.user);
}

static void set_why(struct view *v, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void set_why(struct view *v, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(v->why, sizeof(v->why), fmt, ap);
	va_end(ap);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *user)
{
	struct view *v = user;

	v->timer = sd_event_source_disable_unref(v->timer);
	view_event(v, EVENT_TIMER);
	return 0;
}

static void set_timer(struct view *v, unsigned ms)
{
	int r;

	v->timer = sd_event_source_disable_unref(v->timer);
	r = sd_event_add_time_relative(v->views->opt.event, &v->timer, CLOCK_MONOTONIC,
				       (uint64_t)ms * 1000, 1000, on_timer, v);
	if (r < 0)
		log_error(r, "no timer for view '%s'", v->row.agent);
}

static void report_started(struct view *v, int r)
{
	view_fn fn = v->started;

	v->started = NULL;
	if (fn)
		fn(v, r, r < 0 ? v->why : "", v->started_user);
}

static void report_stopped(struct view *v, int r, const char *why)
{
	view_fn fn = v->stopped;

	v->stopped = NULL;
	v->stop_asked = false;
	if (fn)
		fn(v, r, why, v->stopped_user);
}

/* Lets go of everything that belongs to one life of the server. */
void view_let_go(struct view *v)
{
	v->timer = sd_event_source_disable_unref(v->timer);
	v->ready = sd_event_source_disable_unref(v->ready);
	viewlink_close(TAKE_PTR(v->link));
	buf_clear(&v->ready_text);
}

/* ---- starting ---- */

static int on_child(sd_event_source *s, const siginfo_t *si, void *user)
{
	struct view *v = user;

	if (!v) { /* the view is gone: only reaped */
		(void)sd_event_source_set_floating(s, 0);
		(void)sd_event_source_disable_unref(s);
		return 0;
	}
	v->pid = 0;
	v->child = sd_event_source_disable_unref(v->child);
	/* STARTING: its last words are still in the pipe, whose end is the news. */
	if (v->phase == PHASE_STOPPING)
		view_event(v, EVENT_LOST);
	return 0;
}

/* The last line of its log, for a server that ended without a word; "" where there is none. */
static void last_line(const struct view *v, char *ret, size_t size)
{
	char path[4200], tail[4096];
	_cleanup_close_ int fd = -1;
	ssize_t n = 0;
	char *nl;

	ret[0] = '\0';
	if (view_dir_path(v, path, sizeof(path) - 4) < 0)
		return;
	(void)strcat(path, "/log");
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0) {
		off_t end = lseek(fd, 0, SEEK_END), from = end - (off_t)sizeof(tail) + 1;

		n = pread(fd, tail, sizeof(tail) - 1, from > 0 ? from : 0);
	}
	while (n > 0 && tail[n - 1] == '\n')
		n--;
	if (n <= 0)
		return;
	tail[n] = '\0';
	nl = strrchr(tail, '\n');
	(void)snprintf(ret, size, "%.*s", (int)size - 1, nl ? nl + 1 : tail);
}

static void say_why_not(struct view *v)
{
	char line[400];

	while (v->ready_text.len > 0 && v->ready_text.data[v->ready_text.len - 1] == '\n')
		v->ready_text.data[--v->ready_text.len] = '\0';
	last_line(v, line, sizeof(line));
	if (v->ready_text.len > 0)
		set_why(v, "the view's server did not start: %s", v->ready_text.data);
	else
		set_why(v, "the view's server ended while it started%s%s",
			*line ? "; its last words: " : "", line);
}

/* "1" = it serves; anything else is the sentence why not, up to the end. */
static int on_ready(sd_event_source *s, int fd, uint32_t events, void *user)
{
	struct view *v = user;
	char chunk[512];
	ssize_t n = read(fd, chunk, sizeof(chunk));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n > 0 && v->ready_text.len < READY_TEXT_MAX)
		(void)buf_add(&v->ready_text, chunk, (size_t)n);
	if (v->ready_text.len > 0 && v->ready_text.data[0] == '1') {
		v->ready = sd_event_source_disable_unref(v->ready);
		view_event(v, EVENT_READY);
	} else if (n <= 0) {
		v->ready = sd_event_source_disable_unref(v->ready);
		say_why_not(v);
		view_event(v, EVENT_LOST);
	}
	return 0;
}

static int spawn_server(struct view *v, int ready, int log)
{
	const struct views_options *o = &v->views->opt;
	char dir[4096], sock[4096];
	char *const argv[] = {(char *)"agentfs",
			      (char *)"--view",
			      dir,
			      (char *)"--state",
			      (char *)o->state_dir,
			      (char *)"--socket",
			      sock,
			      (char *)"--ready-fd",
			      (char *)"3",
			      NULL};
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int fds[] = {null, log, log, ready};
	int r = view_dir_path(v, dir, sizeof(dir));

	if (r == 0)
		r = view_socket_path(v, sock, sizeof(sock));
	if (r < 0 || null < 0)
		return r < 0 ? r : -errno;
	return spawn_program(o->program, argv, fds, ARRAY_SIZE(fds), SPAWN_SESSION, &v->pid);
}

/* The server's log, which it inherits together with an flock: while any server of this view lives,
 * one that an earlier daemon started and that does not listen yet included, no second is started. */
static int open_log(const struct view *v)
{
	char dir[4096], path[4200];
	int r = view_dir_path(v, dir, sizeof(dir)), fd;

	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "%s/log", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		r = errno == EWOULDBLOCK ? -EBUSY : -errno;
		(void)safe_close(fd);
		return r;
	}
	return fd;
}

static int start_server(struct view *v)
{
	sd_event *event = v->views->opt.event;
	_cleanup_close_ int ours = -1, theirs = -1, log = open_log(v);
	int pipefd[2], r;

	if (log < 0)
		return log;
	if (pipe2(pipefd, O_CLOEXEC) < 0)
		return -errno;
	ours = pipefd[0];
	theirs = pipefd[1];
	buf_clear(&v->ready_text);
	if (fcntl(ours, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	r = sd_event_add_io(event, &v->ready, ours, EPOLLIN, on_ready, v);
	if (r < 0)
		return r;
	(void)sd_event_source_set_io_fd_own(v->ready, 1);
	TAKE_FD(ours);
	r = spawn_server(v, theirs, log);
	if (r == 0)
		r = sd_event_add_child(event, &v->child, v->pid, WEXITED, on_child, v);
	if (r < 0)
		v->ready = sd_event_source_disable_unref(v->ready);
	return r;
}

static void on_hello(int r, const struct record *rec, const char *text, void *user)
{
	struct view *v = user;

	if (r >= 0) {
		view_event(v, EVENT_HELLO);
		return;
	}
	set_why(v, "the view's server does not answer as it should: %s",
		*text ? text : strerror(-r));
	/* One that is hung helps nobody; one of another version still serves its agent. */
	if (r == -ETIMEDOUT && viewlink_pid(v->link) > 1)
		(void)kill((pid_t)viewlink_pid(v->link), SIGKILL);
	view_event(v, EVENT_LOST);
}

static void on_link_lost(void *user)
{
	struct view *v = user;

	set_why(v, "the view's server has ended");
	view_event(v, EVENT_LOST);
}

static int greet(struct view *v)
{
	char sock[4096];
	int r = view_socket_path(v, sock, sizeof(sock));

	if (r < 0)
		return r;
	return viewlink_open(v->views->opt.event, sock, v->row.id, on_hello, on_link_lost, v,
			     &v->link);
}

static void act_lost(struct view *v);

/* IDLE, STALE: adopt who answers, else start anew. */
static void act_begin(struct view *v)
{
	int r = greet(v);

	if (r == 0) {
		v->phase = PHASE_GREETING;
		return;
	}
	v->phase = PHASE_STARTING;
	if (r != -ENOENT && r != -ECONNREFUSED) {
		set_why(v, "cannot reach the view's server: %s", strerror(-r));
		act_lost(v);
		return;
	}
	if (v->pid > 0) {
		/* Why it ends is what a person wants to know. */
		if (!*v->why)
			set_why(v, "the view's server still ends");
		if (v->failures > 4)
			(void)kill(v->pid, SIGKILL);
		act_lost(v);
		return;
	}
	r = mountpoint_detach(v->row.mount, v->views->opt.system);
	if (r == 0)
		r = start_server(v);
	if (r < 0) {
		set_why(v, "cannot start the view's server: %s", strerror(-r));
		act_lost(v);
		return;
	}
	set_timer(v, START_TIMEOUT_MS);
}

static void act_ready(struct view *v)
{
	int r = greet(v);

	v->timer = sd_event_source_disable_unref(v->timer);
	if (r < 0) {
		set_why(v, "cannot reach the view's server: %s", strerror(-r));
		act_lost(v);
		return;
	}
	v->phase = PHASE_GREETING;
}

static void act_hello(struct view *v)
{
	v->phase = PHASE_LIVE;
	v->failures = 0;
	v->why[0] = '\0';
	report_started(v, 0);
	tell(v, "live");
}

/* ---- losing ---- */

static unsigned backoff_ms(unsigned failures)
{
	unsigned ms = BACKOFF_FIRST_MS;

	while (failures-- > 0 && ms < BACKOFF_MAX_MS)
		ms *= 2;
	return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}

static void act_idle(struct view *v)
{
	view_let_go(v);
	if (v->pid > 0)
		(void)kill(v->pid, SIGKILL);
	v->phase = PHASE_IDLE;
}

static void act_lost(struct view *v)
{
	bool was_live = v->phase == PHASE_LIVE;

	if (v->phase == PHASE_STARTING && v->pid > 0 && v->timer)
		(void)kill(v->pid,
			   SIGKILL); /* it said that it does not serve, or nothing in time */
	view_let_go(v);
	if (v->started) {
		act_idle(v);
		report_started(v, -EIO);
		return;
	}
	v->phase = PHASE_STALE;
	log_warning(0, "view '%s' is stale: %s", v->row.agent, v->why);
	set_timer(v, backoff_ms(v->failures++));
	if (was_live || v->failures == 1)
		tell(v, "stale");
}

static void act_start_timeout(struct view *v)
{
	set_why(v, "the view's server was not ready in %d s", START_TIMEOUT_MS / 1000);
	if (v->pid > 0)
		(void)kill(v->pid, SIGKILL);
	act_lost(v);
}

/* ---- stopping ---- */

static void act_ending(struct view *v)
{
	int log = open_log(v);

	(void)safe_close(log);
	if (log == -EBUSY && v->stop_tries++ < STOP_TIMEOUT_MS / ENDING_POLL_MS) {
		v->phase = PHASE_ENDING;
		set_timer(v, ENDING_POLL_MS);
		return;
	}
	v->phase = PHASE_IDLE;
	report_stopped(v, 0, v->why);
}

static void act_stopped(struct view *v)
{
	int r;

	if (v->pid > 0 && v->timer) {
		viewlink_close(TAKE_PTR(v->link));
		return; /* the connection ended first; its exit or the timer follows */
	}
	act_idle(v);
	r = mountpoint_detach(v->row.mount, v->views->opt.system);
	if (r < 0) {
		set_why(v, "cannot unmount '%s': %s", v->row.mount, strerror(-r));
		report_stopped(v, r, v->why);
		return;
	}
	v->stop_tries = 0;
	act_ending(v);
}

static void on_stop_answer(int r, const struct record *rec, const char *text, void *user)
{
	struct view *v = user;

	if (v->phase != PHASE_LIVE || !v->stop_asked)
		return; /* it ended meanwhile: LOST has told */
	if (r == -EBUSY && v->stop_tries++ < BUSY_TRIES) {
		set_timer(v, BUSY_RETRY_MS); /* a program that ends just now is not in the way */
		return;
	}
	if (r < 0 && r != -ECONNRESET && r != -ETIMEDOUT) {
		report_stopped(v, r, text);
		return;
	}
	v->phase = PHASE_STOPPING;
	set_timer(v, STOP_TIMEOUT_MS);
}

static void act_ask_stop(struct view *v)
{
	struct record msg = {.type = VIEWCTL_STOP};
	int r;

	if (v->stop_force)
		RECORD_SET(&msg, mask, F_MASK, 1);
	r = viewlink_call(v->link, &msg, STOP_TIMEOUT_MS, on_stop_answer, v);
	if (r < 0)
		report_stopped(v, r, "the view's server cannot be asked");
}

/* A server that was lost while it was asked to stop has stopped. */
static void act_live_lost(struct view *v)
{
	if (!v->stop_asked) {
		act_lost(v);
		return;
	}
	v->phase = PHASE_STOPPING;
	set_timer(v, STOP_TIMEOUT_MS);
	act_stopped(v);
}

static void act_stop_now(struct view *v)
{
	v->timer = sd_event_source_disable_unref(v->timer);
	act_stopped(v);
}

static void act_none(struct view *v)
{
}

static void (*const table[PHASE_MAX][EVENT_MAX])(struct view *v) = {
	/*                 START      READY      HELLO      LOST           TIMER              STOP */
	[PHASE_IDLE] = {act_begin, act_none, act_none, act_none, act_none, act_stop_now},
	[PHASE_STARTING] = {act_none, act_ready, act_none, act_lost, act_start_timeout,
			    act_stop_now},
	[PHASE_GREETING] = {act_none, act_none, act_hello, act_lost, act_none, act_stop_now},
	[PHASE_LIVE] = {act_none, act_none, act_none, act_live_lost, act_ask_stop, act_none},
	[PHASE_STALE] = {act_begin, act_none, act_none, act_none, act_begin, act_stop_now},
	[PHASE_STOPPING] = {act_none, act_none, act_none, act_stopped, act_stop_now, act_none},
	[PHASE_ENDING] = {act_none, act_none, act_none, act_none, act_ending, act_none},
};

static void view_event(struct view *v, enum view_event e)
{
	table[v->phase][e](v);
}

void view_start(struct view *v, view_fn started, void *user)
{
	if (v->phase == PHASE_LIVE) {
		if (started)
			started(v, 0, "", user);
		return;
	}
	if (v->views->ending) {
		if (started)
			started(v, -ECANCELED, "the daemon ends", user);
		return;
	}
	v->started = started;
	v->started_user = user;
	view_event(v, EVENT_START);
}

void views_end(struct views *vs)
{
	vs->ending = true;
}

void view_stop(struct view *v, bool force, view_fn stopped, void *user)
{
	if (v->stopped || v->phase == PHASE_STOPPING || v->phase == PHASE_ENDING) {
		stopped(v, -EBUSY, "the view is being stopped already", user);
		return;
	}
	v->stopped = stopped;
	v->stopped_user = user;
	v->stop_asked = true;
	v->stop_force = force;
	v->stop_tries = 0;
	if (v->phase == PHASE_LIVE)
		act_ask_stop(v);
	else
		view_event(v, EVENT_STOP);
}

int view_call(struct view *v, struct record *msg, unsigned timeout_ms, viewlink_fn fn, void *user)
{
	if (v->phase != PHASE_LIVE)
		return -ENOTCONN;
	return viewlink_call(v->link, msg, timeout_ms, fn, user);
}
