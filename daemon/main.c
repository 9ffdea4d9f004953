/* SPDX-License-Identifier: Apache-2.0 */
/* agentfsd: options, going into the background, signals. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agentfs_config.h"
#include "cleanup.h"
#include "daemon.h"
#include "io.h"
#include "log.h"
#include "sys.h"

static const char usage[] =
	"usage: agentfsd [OPTION]...\n"
	"The daemon of agentfs: views, branches, merges, the control socket.\n"
	"\n"
	"      --config FILE      configuration (root: /etc/agentfs/agentfs.yaml)\n"
	"      --state DIR        what must outlive a crash (root: /var/lib/agentfs)\n"
	"      --run DIR          sockets (root: /run/agentfs)\n"
	"      --mounts DIR       where views are mounted (root: /agents)\n"
	"      --foreground       stay in the foreground and log to standard error\n"
	"      --log-level LEVEL  error, warning, notice, info or debug\n"
	"      --version\n"
	"      --help\n"
	"\n"
	"Ordinary users' folders are those of XDG, mounts are under ~/agents.\n"
	"Example: agentfsd --foreground --state /tmp/s --run /tmp/r --mounts /tmp/m\n";

struct options {
	struct paths paths;
	bool foreground;
	enum log_level level;
};

enum {
	OPT_CONFIG = 1,
	OPT_STATE,
	OPT_RUN,
	OPT_MOUNTS,
	OPT_FOREGROUND,
	OPT_LEVEL,
	OPT_VERSION,
	OPT_HELP
};

static const struct option table[] = {
	{"config", required_argument, NULL, OPT_CONFIG},
	{"state", required_argument, NULL, OPT_STATE},
	{"run", required_argument, NULL, OPT_RUN},
	{"mounts", required_argument, NULL, OPT_MOUNTS},
	{"foreground", no_argument, NULL, OPT_FOREGROUND},
	{"log-level", required_argument, NULL, OPT_LEVEL},
	{"version", no_argument, NULL, OPT_VERSION},
	{"help", no_argument, NULL, OPT_HELP},
	{0},
};

static int parse_level(const char *text, enum log_level *ret)
{
	static const char *const names[] = {"error", "warning", "notice", "info", "debug"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(text, names[i]) == 0) {
			*ret = (enum log_level)(LOG_LEVEL_ERROR + (int)i);
			return 0;
		}
	fprintf(stderr, "agentfsd: '%s' is no log level: error, warning, notice, info or debug\n",
		text);
	return -EINVAL;
}

static int set_path(char **field, const char *value)
{
	free(*field);
	*field = sys_strdup(value);
	return *field ? 0 : -ENOMEM;
}

static int take_option(int opt, struct options *o)
{
	switch (opt) {
	case OPT_CONFIG:
		return set_path(&o->paths.config, optarg);
	case OPT_STATE:
		return set_path(&o->paths.state, optarg);
	case OPT_RUN:
		return set_path(&o->paths.run, optarg);
	case OPT_MOUNTS:
		return set_path(&o->paths.mounts, optarg);
	case OPT_FOREGROUND:
		o->foreground = true;
		return 0;
	case OPT_LEVEL:
		return parse_level(optarg, &o->level);
	default:
		return -EINVAL; /* getopt has said which */
	}
}

/* Returns an exit status, or -1 to go on. */
static int parse_options(int argc, char **argv, struct options *o)
{
	int opt;

	while ((opt = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (opt == OPT_HELP) {
			fputs(usage, stdout);
			return 0;
		}
		if (opt == OPT_VERSION) {
			puts("agentfsd " AGENTFS_VERSION);
			return 0;
		}
		if (take_option(opt, o) < 0)
			return 2;
	}
	if (optind < argc) {
		fprintf(stderr, "agentfsd: '%s' is one argument too many\n", argv[optind]);
		return 2;
	}
	return -1;
}

static int on_end_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *user)
{
	log_info("signal %d: ending, the views go on", (int)si->ssi_signo);
	daemon_end(user);
	return 0;
}

static int on_hangup(sd_event_source *s, const struct signalfd_siginfo *si, void *user)
{
	_cleanup_(err_release) struct err e = ERR_INIT;

	if (daemon_reload(user, &e) < 0)
		log_error(0, "the configuration was not read again: %s", err_text(&e));
	else
		log_info("the configuration was read again");
	return 0;
}

static int watch_signals(struct daemon *d, sd_event *event)
{
	int r = sd_event_add_signal(event, NULL, SIGTERM, on_end_signal, d);

	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGINT, on_end_signal, d);
	if (r >= 0)
		r = sd_event_add_signal(event, NULL, SIGHUP, on_hangup, d);
	return r;
}

static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
}

/* Tells the parent, who waits: "1", or why not. */
static void tell_parent(int fd, const char *text)
{
	if (fd >= 0) {
		(void)!write(fd, text, strlen(text));
		(void)close(fd);
	}
}

/* Everything to the log but what the parent is told. */
static int redirect(const struct paths *p)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC), log = -1;
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/agentfsd.log", p->state) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (null < 0 || log < 0)
		return -errno;
	if (dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
		return -errno;
	return 0;
}

static int serve(const struct options *o, int parent)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	sd_event *event = NULL;
	struct daemon d = {.lock_fd = -1, .state_fd = -1};
	int r;

	block_signals();
	r = sd_event_default(&event);
	if (r >= 0)
		r = daemon_open(&d, &o->paths, event, &e);
	if (r >= 0)
		r = watch_signals(&d, event);
	if (r >= 0 && parent >= 0)
		r = redirect(&o->paths);
	if (r < 0) {
		if (parent >= 0)
			tell_parent(parent, e.code ? err_text(&e) : strerror(-r));
		else
			log_error(0, "%s", e.code ? err_text(&e) : strerror(-r));
		r = 1;
	} else {
		log_info("serving on '%s'", o->paths.socket);
		tell_parent(parent, "1");
		r = daemon_run(&d);
	}
	daemon_close(&d);
	sd_event_unref(event);
	return r;
}

/* The parent: waits until the daemon serves or has said why not. */
static int wait_for_child(int fd, pid_t child)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int status;

	if (io_read_fd(fd, 1 << 16, &b) == 0 && b.len > 0 && b.data[0] == '1')
		return 0;
	(void)waitpid(child, &status, 0);
	fprintf(stderr, "agentfsd: %s\n", b.len > 0 ? b.data : "the daemon ended while it started");
	return 1;
}

static int into_background(const struct options *o)
{
	int fds[2];
	pid_t child;

	if (pipe2(fds, O_CLOEXEC) < 0 || (child = fork()) < 0) {
		fprintf(stderr, "agentfsd: cannot go into the background: %s\n", strerror(errno));
		return 1;
	}
	if (child > 0) {
		(void)close(fds[1]);
		return wait_for_child(fds[0], child);
	}
	(void)close(fds[0]);
	(void)setsid();
	(void)!chdir("/");
	return serve(o, fds[1]);
}

int main(int argc, char **argv)
{
	struct options o = {.level = LOG_LEVEL_INFO};
	_cleanup_(err_release) struct err e = ERR_INIT;
	int r = parse_options(argc, argv, &o);

	if (r < 0) {
		log_setup("agentfsd", o.level);
		(void)umask(022);
		if (paths_complete(&o.paths, &e) < 0) {
			fprintf(stderr, "agentfsd: %s\n", err_text(&e));
			r = 1;
		} else {
			r = o.foreground ? serve(&o, -1) : into_background(&o);
		}
	}
	paths_release(&o.paths);
	return r;
}
