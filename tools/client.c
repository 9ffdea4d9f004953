/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way to a daemon.
 *
 * Which one: --socket, else $AGENTFS_SOCKET, and nothing but that. Without both: root asks the
 * system's daemon. Anybody else asks their own where it answers or has ever run (its state folder
 * exists: its views must not seem to vanish because it was stopped), else the system's where its
 * socket may be opened, else their own, which is started.
 *
 * 1. Only the default socket of an ordinary user makes a daemon start: a socket that was named is
 * asked or it is an error.
 * 2. Two commands at once start one daemon: the starter holds RUN/start.lock and looks again.
 * 3. Without XDG_RUNTIME_DIR the folder is /tmp/agentfs-UID, and is used only when it is the
 * caller's own and closed to others, so that nobody can put a socket there first.
 */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agentfs_config.h"
#include "cleanup.h"
#include "errors.h"
#include "io.h"
#include "progress.h"
#include "varlink.h"

#define START_MS 15000
#define VIEWS_MS 5000
#define STEP_MS	 20

static char *text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *text(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	return s;
}

/* The folder of the caller's own daemon. NULL: said why. */
static char *own_folder(struct ctl *c)
{
	const char *xdg = getenv("XDG_RUNTIME_DIR");
	_cleanup_free_ char *dir = NULL;
	struct stat st;

	if (xdg && xdg[0] == '/')
		return text("%s/agentfs", xdg);
	dir = text("/tmp/agentfs-%u", (unsigned)geteuid());
	if (dir && mkdir(dir, 0700) < 0 && errno != EEXIST) {
		(void)ctl_fail(c, CTL_AWAY, "DaemonFailed",
			       "Set XDG_RUNTIME_DIR to a folder of your own.",
			       "cannot make '%s': %s", dir, strerror(errno));
		return NULL;
	}
	if (dir && (lstat(dir, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
		    (st.st_mode & 077))) {
		(void)ctl_fail(c, CTL_AWAY, "DaemonRefused",
			       "Set XDG_RUNTIME_DIR to a folder of your own, or remove that one.",
			       "'%s' is not a folder that is yours and closed to others", dir);
		return NULL;
	}
	return TAKE_PTR(dir);
}

/* Whether the caller's own daemon has ever run. */
static bool own_state(void)
{
	const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	struct passwd *pw = home ? NULL : getpwuid(geteuid());
	_cleanup_free_ char *dir = NULL;

	if (xdg && xdg[0] == '/')
		dir = text("%s/agentfs", xdg);
	else if (home || pw)
		dir = text("%s/.local/state/agentfs", home ? home : pw->pw_dir);
	return dir && access(dir, F_OK) == 0;
}

/* Whether somebody listens there for us. */
static bool answers(const char *socket)
{
	struct varlink *v = NULL;

	if (varlink_connect(socket, &v, NULL) < 0)
		return false;
	varlink_close(v);
	return true;
}

char *client_socket(struct ctl *c, bool *ret_own)
{
	_cleanup_free_ char *dir = NULL, *socket = NULL;
	const char *given = args_get(&c->args, "socket");

	if (!given)
		given = getenv("AGENTFS_SOCKET");
	*ret_own = false;
	if (given && *given)
		return strdup(given);
	if (geteuid() == 0)
		return strdup(CLIENT_SYSTEM_SOCKET);
	dir = own_folder(c);
	if (!dir)
		return NULL;
	socket = text("%s/agentfsd.sock", dir);
	if (!socket)
		return NULL;
	if (!answers(socket) && !own_state() && answers(CLIENT_SYSTEM_SOCKET))
		return strdup(CLIENT_SYSTEM_SOCKET);
	*ret_own = true;
	return TAKE_PTR(socket);
}

/* agentfsd beside us in the build folder, beside us, or where it was installed. */
static char *find_daemon(void)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *path, *slash;

	self[n < 0 ? 0 : n] = 0;
	slash = strrchr(self, '/');
	if (slash) {
		*slash = 0;
		path = text("%s/../daemon/agentfsd", self);
		if (path && access(path, X_OK) == 0)
			return path;
		free(path);
		path = text("%s/agentfsd", self);
		if (path && access(path, X_OK) == 0)
			return path;
		free(path);
	}
	path = text("%s/agentfsd", AGENTFS_BINDIR);
	if (path && access(path, X_OK) == 0)
		return path;
	free(path);
	return strdup("agentfsd"); /* execvp() looks in PATH */
}

/* In the child: a session of its own, nothing of ours kept but the log. */
static _Noreturn void exec_daemon(const char *daemon, const char *dir, int log_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)setsid();
	(void)dup2(null, STDIN_FILENO);
	(void)dup2(log_fd, STDOUT_FILENO);
	(void)dup2(log_fd, STDERR_FILENO);
	(void)closefrom(3);
	(void)!chdir("/");
	(void)execlp(daemon, daemon, "--foreground", "--run", dir, (char *)NULL);
	(void)dprintf(STDERR_FILENO, "cannot run '%s': %s\n", daemon, strerror(errno));
	_exit(127);
}

/* The last line of the log from `from` on, for the person who waits. */
static char *last_line(const char *log, off_t from)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	char *line, *said;

	if (io_read_file(AT_FDCWD, log, 1 << 24, &b) < 0 || (off_t)b.len <= from)
		return NULL;
	while (b.len && b.data[b.len - 1] == '\n')
		b.data[--b.len] = 0;
	line = strrchr(b.data + from, '\n');
	line = line ? line + 1 : b.data + from;
	said = strstr(line, "] error: ");
	return strdup(said ? said + strlen("] error: ") : line);
}

/* Waits until the socket answers or the child ends. */
static int wait_daemon(struct ctl *c, pid_t pid, const char *socket, const char *log, off_t from)
{
	const struct timespec step = {.tv_nsec = STEP_MS * 1000000L};
	_cleanup_free_ char *line = NULL;
	int status;

	for (int ms = 0; ms < START_MS; ms += STEP_MS) {
		if (answers(socket))
			return CTL_OK;
		if (waitpid(pid, &status, WNOHANG) == pid) {
			line = last_line(log, from);
			return ctl_fail(c, CTL_AWAY, "DaemonFailed", NULL,
					"agentfsd did not start: %s (log: %s)",
					line ? line : "it said nothing", log);
		}
		(void)nanosleep(&step, NULL);
	}
	return ctl_fail(c, CTL_AWAY, "DaemonFailed", NULL,
			"agentfsd was started but did not answer within %d s (log: %s)",
			START_MS / 1000, log);
}

/* Is a view still on its way back? */
static bool views_come(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	json_t *view;
	size_t i;

	if (client_call(c, "List", json_object(), &reply) != 0)
		return false;
	json_array_foreach (json_object_get(reply, "views"), i, view)
		if (strcmp(json_string_value(json_object_get(view, "state")) ?: "", "stale") == 0)
			return true;
	return false;
}

/* A daemon that has just been started mounts its views: who asks for one right away shall find it. A
 * view that does not come back is told by what is asked of it. */
static void wait_views(struct ctl *c, const char *socket)
{
	const struct timespec step = {.tv_nsec = STEP_MS * 1000000L};

	if (varlink_connect(socket, &c->vl, NULL) < 0)
		return; /* the caller tries again, and says so */
	for (int ms = 0; ms < VIEWS_MS && views_come(c); ms += STEP_MS)
		(void)nanosleep(&step, NULL);
	varlink_close(c->vl);
	c->vl = NULL;
}

/* With the lock held. */
static int start_locked(struct ctl *c, const char *socket, const char *dir)
{
	_cleanup_free_ char *daemon = find_daemon(), *log = text("%s/agentfsd.log", dir);
	_cleanup_close_ int log_fd = -1;
	off_t from;
	pid_t pid;
	int r;

	if (!daemon || !log)
		return CTL_AWAY;
	if (answers(socket))
		return CTL_OK;
	log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	from = log_fd < 0 ? -1 : lseek(log_fd, 0, SEEK_END);
	if (from < 0)
		return ctl_fail(c, CTL_AWAY, "DaemonFailed", NULL, "cannot open the log '%s': %s",
				log, strerror(errno));
	(void)fflush(NULL);
	pid = fork();
	if (pid < 0)
		return ctl_fail(c, CTL_AWAY, "DaemonFailed", "Try again later.",
				"cannot start agentfsd: %s", strerror(errno));
	if (pid == 0)
		exec_daemon(daemon, dir, log_fd);
	progress_begin("starting agentfsd");
	r = wait_daemon(c, pid, socket, log, from);
	if (r == CTL_OK)
		wait_views(c, socket);
	progress_end();
	return r;
}

int client_start(struct ctl *c, const char *socket)
{
	_cleanup_free_ char *dir = strdup(socket), *lock = NULL;
	_cleanup_close_ int fd = -1;
	char *slash = dir ? strrchr(dir, '/') : NULL;
	int r;

	if (!slash)
		return CTL_AWAY;
	*slash = 0;
	lock = text("%s/start.lock", dir);
	r = io_mkdir_p(dir, 0700);
	if (r == 0 || r == -EEXIST) {
		fd = open(lock ? lock : "", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		r = fd < 0 || flock(fd, LOCK_EX) < 0 ? -errno : 0;
	}
	if (r < 0)
		return ctl_fail(c, CTL_AWAY, "DaemonFailed",
				"Set XDG_RUNTIME_DIR to a folder of your own.",
				"cannot use '%s' to start agentfsd: %s", dir, strerror(-r));
	return start_locked(c, socket, dir);
}

int client_system_away(struct ctl *c, int code)
{
	_cleanup_free_ char *found = find_daemon();
	_cleanup_free_ char *path = found ? realpath(found, NULL) : NULL;
	_cleanup_free_ char *remedy =
		text("Start it with: systemctl start agentfsd (without systemd: %s)",
		     path ? path : "agentfsd");

	return ctl_fail(c, code, "DaemonAway", remedy, "the system's daemon does not run at '%s'",
			CLIENT_SYSTEM_SOCKET);
}

/* Nobody answers: which sentence helps depends on whose daemon was meant. */
static int say_away(struct ctl *c, const char *socket, bool own, int r)
{
	if (r == -EACCES || r == -EPERM)
		return ctl_fail(c, CTL_AWAY, "DaemonRefused", NULL,
				"the socket '%s' may not be opened", socket);
	if (strcmp(socket, CLIENT_SYSTEM_SOCKET) == 0)
		return client_system_away(c, CTL_AWAY);
	return ctl_fail(
		c, CTL_AWAY, "DaemonAway",
		own ? NULL
		    : "Start the daemon it belongs to, or leave out --socket and AGENTFS_SOCKET.",
		"no daemon answers at '%s': %s", socket, strerror(-r));
}

int client_connect(struct ctl *c, bool start, bool quiet)
{
	_cleanup_free_ char *socket = NULL;
	bool own;
	int r;

	if (c->vl)
		return CTL_OK;
	socket = client_socket(c, &own);
	if (!socket)
		return CTL_AWAY;
	r = varlink_connect(socket, &c->vl, NULL);
	if ((r == -ENOENT || r == -ECONNREFUSED) && own && start) {
		r = client_start(c, socket);
		if (r != 0)
			return r;
		r = varlink_connect(socket, &c->vl, NULL);
	}
	if (r < 0)
		return quiet ? CTL_AWAY : say_away(c, socket, own, r);
	free(c->socket);
	c->socket = TAKE_PTR(socket);
	return CTL_OK;
}

/* What a call ended with, said. Returns the exit status. */
static int say_failure(struct ctl *c, const char *method, int r, const struct varlink_error *e)
{
	const struct error_info *info = e->id ? error_find(e->id) : NULL;

	if (r == -EREMOTEIO && e->id) {
		if (!info) /* org.varlink.service.MethodNotFound and the like */
			return ctl_fail(c, CTL_AWAY, "DaemonOther", NULL,
					"the daemon refused %s: %s%s%s", method, e->id,
					e->message ? ": " : "", e->message ? e->message : "");
		ctl_say_error(c, e->id, e->message, e->remedy, e->details);
		return info->status;
	}
	if (r == -EBADMSG)
		return ctl_fail(c, CTL_AWAY, "DaemonOther", NULL,
				"the daemon's answer to %s cannot be read%s%s", method,
				e->message ? ": " : "", e->message ? e->message : "");
	return ctl_fail(c, CTL_AWAY, "DaemonAway",
			"The daemon's log says why; what was asked may or may not have been done.",
			"the daemon went away before it answered %s: %s", method, strerror(-r));
}

/* jansson takes no text that is no UTF-8, and hands back nothing. */
static int no_params(struct ctl *c)
{
	return ctl_fail(c, CTL_USAGE, "Usage", "Rename it, or use another folder.",
			"a path in the question is not UTF-8");
}

int client_call(struct ctl *c, const char *method, json_t *params, json_t **ret)
{
	_cleanup_(varlink_error_release) struct varlink_error e = VARLINK_ERROR_INIT;
	int r;

	if (!params)
		return no_params(c);
	r = client_connect(c, true, false);
	if (r != 0) {
		json_decref(params);
		return r;
	}
	progress_begin(c->cmd ? c->cmd->name : method);
	r = varlink_call(c->vl, method, params, -1, ret, &e);
	progress_end();
	return r < 0 ? say_failure(c, method, r, &e) : CTL_OK;
}

struct each {
	struct ctl *c;
	int (*fn)(struct ctl *c, const json_t *reply, void *arg);
	void *arg;
};

static int forward(json_t *parameters, bool continues, void *user)
{
	const struct each *each = user;

	return each->fn(each->c, parameters, each->arg);
}

int client_more(struct ctl *c, const char *method, json_t *params,
		int (*fn)(struct ctl *c, const json_t *reply, void *arg), void *arg)
{
	_cleanup_(varlink_error_release) struct varlink_error e = VARLINK_ERROR_INIT;
	struct each each = {c, fn, arg};
	int r;

	if (!params)
		return no_params(c);
	r = client_connect(c, true, false);
	if (r != 0) {
		json_decref(params);
		return r;
	}
	r = varlink_call_more(c->vl, method, params, forward, &each, &e);
	return r < 0 ? say_failure(c, method, r, &e) : r;
}

int client_try(struct ctl *c, const char *method, json_t *params, json_t **ret)
{
	if (!params)
		return -EINVAL;
	if (client_connect(c, false, true) != CTL_OK) {
		json_decref(params);
		return -ENOTCONN;
	}
	return varlink_call(c->vl, method, params, 10000, ret, NULL);
}

void client_close(struct ctl *c)
{
	if (c->vl)
		varlink_close(c->vl);
	c->vl = NULL;
}
