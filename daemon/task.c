/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks: a worker process each.
 *
 * Guarantees:
 * 1. done is called exactly once for a task that was not cancelled: after the worker's output
 *    ended and the process was reaped, whatever the worker did.
 * 2. At most `parallel` workers run at once (those that follow apart); the others start in the
 *    order in which they came.
 * 3. A worker inherits its request (a sealed-off memory file, or a socket where it follows), its
 *    output pipe, standard error, and a descriptor that holds the flock of guarantee 4.
 * 4. While any worker lives, tasks_wait_orphans() on the same lock file waits, also in another
 *    daemon after this one was killed.
 */
#include "task.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "buf.h"
#include "cleanup.h"
#include "io.h"
#include "log.h"
#include "spawn_env.h"
#include "sys.h"
#include "worker.h"

enum { LINE_MAX_BYTES = 256 << 20, READ_CHUNK = 128 * 1024 };

struct tasks {
	sd_event *event;
	const char *program, *lock_path;
	unsigned parallel, running, count;
	struct task *waiting; /* DL list */
	struct task *active;  /* DL list */
};

struct task {
	struct tasks *tasks;
	json_t *request;
	struct task_callbacks cb;
	void *user;
	unsigned flags;
	bool started, cancelled, exited, ended; /* the process; its output */
	int status;
	int input; /* TASK_FOLLOW: our end of its input, or -1 */
	sd_event_source *output, *child;
	struct buf buf;
	json_t *answer;	 /* the last line */
	json_t *records; /* of the chunk being read */
	struct task *prev, *next;
};

int tasks_new(sd_event *event, const char *program, const char *lock_path, unsigned parallel,
	      struct tasks **ret)
{
	struct tasks *t = sys_calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->event = sd_event_ref(event);
	t->program = program;
	t->lock_path = lock_path;
	t->parallel = parallel;
	*ret = t;
	return 0;
}

static void task_free(struct task *t)
{
	struct tasks *ts = t->tasks;

	if (t->started) {
		DL_DELETE(ts->active, t);
		if (!(t->flags & TASK_FOLLOW))
			ts->running--;
	} else {
		DL_DELETE(ts->waiting, t);
	}
	ts->count--;
	(void)sd_event_source_disable_unref(t->output);
	(void)sd_event_source_disable_unref(t->child);
	(void)safe_close(t->input);
	json_decref(t->request);
	json_decref(t->answer);
	json_decref(t->records);
	buf_release(&t->buf);
	free(t);
}

void tasks_free(struct tasks *t)
{
	struct task *k, *tmp;

	if (!t)
		return;
	DL_FOREACH_SAFE (t->waiting, k, tmp)
		task_free(k);
	DL_FOREACH_SAFE (t->active, k, tmp)
		task_free(k);
	sd_event_unref(t->event);
	free(t);
}

unsigned tasks_count(const struct tasks *t)
{
	return t->count;
}

int tasks_wait_orphans(const char *lock_path, int timeout_ms, struct err *reterr)
{
	_cleanup_close_ int fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_set(reterr, -errno, "cannot open '%s'", lock_path);
	for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; waited += 20) {
		const struct timespec nap = {.tv_nsec = 20 * 1000 * 1000};

		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_set(reterr, -errno, "cannot lock '%s'", lock_path);
		if (waited >= timeout_ms)
			return err_set(reterr, -ETIMEDOUT,
				       "workers of an earlier daemon still run (they hold '%s')",
				       lock_path);
		(void)nanosleep(&nap, NULL);
	}
	return 0;
}

static void start_waiting(struct tasks *ts);

/* Tells the outcome and forgets the task. */
static void task_finish(struct task *t)
{
	struct tasks *ts = t->tasks;
	struct task_callbacks cb = t->cb;
	struct fault f = FAULT_INIT;
	json_t *answer = TAKE_PTR(t->answer), *ok = json_object_get(answer, "ok");
	json_t *error = json_object_get(answer, "error");
	void *user = t->user;
	bool cancelled = t->cancelled;

	if (error)
		(void)fault_from_json(&f, error);
	else if (!ok && WIFSIGNALED(t->status))
		(void)fault_set(&f, "Internal",
				"the worker was ended by signal %d; its log says more",
				WTERMSIG(t->status));
	else if (!ok)
		(void)fault_set(&f, "Internal", "the worker ended without an answer (exit %d)",
				WIFEXITED(t->status) ? WEXITSTATUS(t->status) : -1);
	task_free(t);
	if (!cancelled)
		cb.done(ok, &f, user);
	fault_release(&f);
	json_decref(answer);
	start_waiting(ts);
}

/* One line of output. A line that is no JSON object is logged; the worker's end decides. */
static void take_line(struct task *t, const char *p, size_t n)
{
	json_t *o = json_loadb(p, n, 0, NULL), *v;

	if ((v = json_object_get(o, "record"))) {
		if (!t->records)
			t->records = json_array();
		(void)json_array_append(t->records, v);
	} else if ((v = json_object_get(o, "progress"))) {
		if (t->cb.progress && !t->cancelled)
			t->cb.progress(json_string_value(v),
				       json_integer_value(json_object_get(o, "done")),
				       json_integer_value(json_object_get(o, "total")), t->user);
	} else if (json_is_object(json_object_get(o, "ok")) ||
		   json_is_object(json_object_get(o, "error"))) {
		json_decref(t->answer);
		t->answer = json_incref(o);
	} else {
		log_warning(0, "the worker wrote a line of %zu bytes that is no answer", n);
	}
	json_decref(o);
}

static void take_lines(struct task *t, size_t scan)
{
	size_t start = 0;
	char *nl;

	while ((nl = memchr(t->buf.data + scan, '\n', t->buf.len - scan))) {
		size_t end = (size_t)(nl - t->buf.data);

		take_line(t, t->buf.data + start, end - start);
		start = scan = end + 1;
	}
	memmove(t->buf.data, t->buf.data + start, t->buf.len - start);
	t->buf.len -= start;
}

static void give_records(struct task *t)
{
	json_t *records = TAKE_PTR(t->records);

	if (records && t->cb.records && !t->cancelled)
		t->cb.records(records, t->user);
	json_decref(records);
}

static int on_output(sd_event_source *s, int fd, uint32_t events, void *user)
{
	struct task *t = user;
	size_t scan = t->buf.len;
	ssize_t n = -ENOMEM;

	if (t->buf.len <= LINE_MAX_BYTES && buf_reserve(&t->buf, READ_CHUNK) == 0) {
		n = read(fd, t->buf.data + t->buf.len, READ_CHUNK);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
	}
	if (n > 0) {
		t->buf.len += (size_t)n;
		take_lines(t, scan);
		give_records(t);
		return 0;
	}
	t->ended = true;
	t->output = sd_event_source_disable_unref(t->output);
	if (t->exited)
		task_finish(t);
	return 0;
}

static int on_exit_child(sd_event_source *s, const siginfo_t *si, void *user)
{
	struct task *t = user;

	t->exited = true;
	t->status = si->si_code == CLD_EXITED ? W_EXITCODE(si->si_status, 0) : si->si_status;
	if (t->ended)
		task_finish(t);
	return 0;
}

/* The request as the worker's standard input. Returns a descriptor. */
static int request_input(struct task *t)
{
	_cleanup_free_ char *text = json_dumps(t->request, JSON_COMPACT);
	_cleanup_close_ int fd = -1;
	int pair[2], r;

	if (!text)
		return -ENOMEM;
	if (strlen(text) > WORKER_REQUEST_MAX)
		return -E2BIG;
	if (t->flags & TASK_FOLLOW) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
			return -errno;
		t->input = pair[0];
		fd = pair[1];
		if (send(t->input, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) !=
		    (ssize_t)strlen(text))
			return -E2BIG;
		return TAKE_FD(fd);
	}
	fd = memfd_create("request", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = io_write_full(fd, text, strlen(text));
	if (r < 0)
		return r;
	return lseek(fd, 0, SEEK_SET) < 0 ? -errno : TAKE_FD(fd);
}

static int spawn_worker(struct tasks *ts, int in, int out, pid_t *ret)
{
	_cleanup_close_ int lock = open(ts->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	const int fds[] = {in, out, STDERR_FILENO, lock};
	char *const argv[] = {(char *)ts->program, NULL};

	if (lock < 0 || flock(lock, LOCK_SH) < 0)
		return -errno;
	return spawn_program(ts->program, argv, fds, ARRAY_SIZE(fds), 0, ret);
}

/* Starts the process and watches it. Errors: as of the calls; nothing runs then. */
static int task_run(struct task *t)
{
	_cleanup_close_ int in = request_input(t), out = -1, theirs = -1;
	int pipefd[2], r;
	pid_t pid;

	if (in < 0)
		return in;
	if (pipe2(pipefd, O_CLOEXEC) < 0)
		return -errno;
	out = pipefd[0];
	theirs = pipefd[1];
	if (fcntl(out, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	r = sd_event_add_io(t->tasks->event, &t->output, out, EPOLLIN, on_output, t);
	if (r < 0)
		return r;
	(void)sd_event_source_set_io_fd_own(t->output, 1);
	TAKE_FD(out);
	r = spawn_worker(t->tasks, in, theirs, &pid);
	if (r < 0)
		return r;
	r = sd_event_add_child(t->tasks->event, &t->child, pid, WEXITED, on_exit_child, t);
	if (r < 0)
		(void)kill(pid,
			   SIGKILL); /* it would never be told; the event loop is out of memory */
	return r;
}

static void task_begin(struct task *t)
{
	struct tasks *ts = t->tasks;
	int r;

	DL_DELETE(ts->waiting, t);
	DL_APPEND(ts->active, t);
	t->started = true;
	if (!(t->flags & TASK_FOLLOW))
		ts->running++;
	r = task_run(t);
	if (r == 0)
		return;
	t->answer = json_pack("{s:{s:s,s:s+}}", "error", "id", fault_id(r), "message",
			      "cannot start the worker: ", strerror(-r));
	task_finish(t);
}

/* Starts what may start. A start may end tasks and so change the list: from the front again. */
static void start_waiting(struct tasks *ts)
{
	bool again = true;
	struct task *t;

	while (again) {
		again = false;
		DL_FOREACH (ts->waiting, t)
			if (ts->running < ts->parallel || (t->flags & TASK_FOLLOW)) {
				task_begin(t);
				again = true;
				break;
			}
	}
}

static int on_defer(sd_event_source *s, void *user)
{
	start_waiting(user);
	(void)sd_event_source_unref(s);
	return 0;
}

int task_start(struct tasks *ts, json_t *request, const struct task_callbacks *cb, void *user,
	       unsigned flags, struct task **ret)
{
	struct task *t = sys_calloc(1, sizeof(*t));
	sd_event_source *s = NULL;

	assert(cb->done);
	if (!t || !request || sd_event_add_defer(ts->event, &s, on_defer, ts) < 0) {
		json_decref(request);
		free(t);
		return -ENOMEM;
	}
	t->tasks = ts;
	t->request = request;
	t->cb = *cb;
	t->user = user;
	t->flags = flags;
	t->input = -1;
	DL_APPEND(ts->waiting, t);
	ts->count++;
	if (ret)
		*ret = t;
	return 0;
}

void task_pause(struct task *t, bool paused)
{
	if (t->output)
		(void)sd_event_source_set_enabled(t->output, paused ? SD_EVENT_OFF : SD_EVENT_ON);
}

void task_cancel(struct task *t)
{
	t->cancelled = true;
	if (!t->started) {
		task_free(t);
		return;
	}
	t->input = safe_close(t->input);
	task_pause(t, false);
}

void task_hang_up(struct task *t)
{
	t->input = safe_close(t->input);
}
