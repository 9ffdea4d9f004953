/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agentfs: serves one view over FUSE.
 *
 *     agentfs --view STATE/views/<agent> --state STATE --socket RUN/views/<agent>.sock
 *             [--ready-fd N] [--log FILE]
 *
 * Recovers the view from its files, mounts it where view.conf says, writes "1" to descriptor N when it
 * serves (or a sentence, and exits 1), and serves until it is unmounted, told to stop or gets SIGTERM.
 * A lock on the view's folder keeps two servers off one view.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agentfs_config.h"
#include "cleanup.h"
#include "control.h"
#include "fs.h"
#include "io.h"
#include "log.h"
#include "loop.h"
#include "mount.h"
#include "notify.h"
#include "odb.h"
#include "ops.h"
#include "redirect.h"
#include "redirect_mount.h"

struct options {
	const char *view, *state, *socket, *log;
	int ready_fd;
};

static const struct option long_options[] = {
	{"view", required_argument, NULL, 'v'},
	{"state", required_argument, NULL, 's'},
	{"socket", required_argument, NULL, 'c'},
	{"ready-fd", required_argument, NULL, 'r'},
	{"log", required_argument, NULL, 'l'},
	{"helper-remove", required_argument, NULL, 'D'},
	{"helper-redirect", required_argument, NULL, 'R'},
	{"version", no_argument, NULL, 'V'},
	{"help", no_argument, NULL, 'h'},
	{0},
};

static void usage(FILE *f)
{
	fputs("usage: agentfs --view DIR --state DIR --socket PATH [--ready-fd N] [--log FILE]\n"
	      "Serves one view; agentfsd starts it. See agentfsctl(1).\n",
	      f);
}

/* A mapped file that is shorter than its header said (somebody truncated an image): the page becomes
 * zeros, which every reader of an image checks, and the request is answered with EIO. */
static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	long page = sysconf(_SC_PAGESIZE);
	char *at = (char *)((uintptr_t)info->si_addr & ~((uintptr_t)page - 1));

	(void)context;
	if (mmap(at, (size_t)page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	    MAP_FAILED) {
		(void)signal(sig, SIG_DFL);
		return;
	}
	request.damaged = true;
}

static void on_term(int sig)
{
	(void)sig;
	loop_stop();
}

static void set_signals(void)
{
	struct sigaction bus = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};
	struct sigaction term = {.sa_handler = on_term};

	(void)sigaction(SIGBUS, &bus, NULL);
	(void)sigaction(SIGTERM, &term, NULL);
	(void)sigaction(SIGINT, &term, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
}

/* 0 go on, 1 done, -EINVAL usage. */
static int parse_options(int argc, char **argv, struct options *o, int *ret_exit)
{
	int c;

	*ret_exit = 0;
	while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (c) {
		case 'v':
			o->view = optarg;
			break;
		case 's':
			o->state = optarg;
			break;
		case 'c':
			o->socket = optarg;
			break;
		case 'r':
			o->ready_fd = atoi(optarg);
			break;
		case 'l':
			o->log = optarg;
			break;
		case 'D':
			*ret_exit = io_rm_rf(AT_FDCWD, optarg) < 0;
			return 1;
		case 'R':
			*ret_exit =
				argc - optind == 3 ? -redirect_helper(optarg, argv + optind) : 2;
			return 1;
		case 'V':
			puts("agentfs " AGENTFS_VERSION);
			return 1;
		case 'h':
			usage(stdout);
			return 1;
		default:
			return -EINVAL;
		}
	}
	return o->view && o->state && o->socket && optind == argc ? 0 : -EINVAL;
}

static int open_log(const char *path)
{
	_cleanup_close_ int fd = -1;

	log_setup("agentfs", LOG_LEVEL_INFO);
	if (!path)
		return 0;
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	return dup2(fd, STDERR_FILENO) < 0 ? -errno : 0;
}

static void say_ready(struct options *o, const char *text)
{
	if (o->ready_fd < 0)
		return;
	(void)io_write_full(o->ready_fd, text, strlen(text));
	o->ready_fd = safe_close(o->ready_fd);
}

static int start_session(struct fs *fs, struct err *reterr)
{
	char *argv[] = {(char *)"agentfs", NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	int r;

	fs->se = fuse_session_new(&args, &ops_table, sizeof(ops_table), fs);
	fuse_opt_free_args(&args); /* the session's parser copied them */
	if (!fs->se)
		return err_set(reterr, -ENOMEM, "make a FUSE session");
	r = loop_attach(fs);
	if (r < 0)
		return err_set(reterr, r, "attach to the mount: %s", strerror(-r));
	notify_attach(fs->notify, fs->se);
	return 0;
}

static void let_others(void *user)
{
	(void)user;
	loop_yield();
}

static void on_redirects_ready(void *user)
{
	say_ready(user, "1");
}

/* Only root can mount. What the view brings along is mounted before the view is said to be ready. */
static int start_redirects(struct fs *fs, struct options *o)
{
	if (geteuid() != 0) {
		say_ready(o, "1");
		return 0;
	}
	view_redirect_enable(fs->view);
	return redirect_new(fs, on_redirects_ready, o, &fs->redirects);
}

static int run(struct options *o, struct fs *fs, struct err *reterr)
{
	_cleanup_close_ int view_dir = -1, state_dir = -1;
	struct view_notify callbacks = {
		.entry = notify_entry,
		.inode = notify_inode,
		.attr = notify_attr,
		.slow = let_others,
		.inside = redirect_inside,
		.inside_user = fs,
	};
	struct control *control = NULL;
	struct view_info info;
	int r;

	view_dir = open(o->view, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	state_dir = open(o->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (view_dir < 0 || state_dir < 0)
		return err_set(reterr, -errno, "open '%s': %s", view_dir < 0 ? o->view : o->state,
			       strerror(errno));
	if (flock(view_dir, LOCK_EX | LOCK_NB) < 0)
		return err_set(reterr, -EBUSY, "the view in '%s' is served by another process",
			       o->view);
	r = notify_new(&fs->notify);
	if (r < 0)
		return err_set(reterr, r, "start a thread");
	callbacks.user = fs->notify;
	odb_verify_once();
	r = view_open(view_dir, state_dir, &callbacks, &fs->view, reterr);
	if (r < 0)
		return r;
	view_info(fs->view, &info);
	if (info.dropped)
		(void)log_warning(0,
				  "recovered: %llu bytes of a torn tail above the durable record "
				  "were cut; nothing that was synced is lost",
				  (unsigned long long)info.dropped);
	if (info.bad_checkpoints)
		(void)log_warning(0, "recovered: %u damaged checkpoints were passed over",
				  info.bad_checkpoints);
	fs->mount = view_conf(fs->view)->mount;
	fs->dev = mount_view(fs->mount, view_conf(fs->view)->agent, reterr);
	if (fs->dev < 0)
		return fs->dev;
	r = start_session(fs, reterr);
	if (r == 0)
		r = control_new(fs, o->socket, &control, reterr);
	if (r < 0)
		return r;
	log_info("serving '%s' from record %llu", fs->mount, (unsigned long long)info.seq);
	r = start_redirects(fs, o);
	if (r == 0)
		r = loop_run(fs);
	control_free(control);
	redirect_free(TAKE_PTR(fs->redirects));
	return r < 0 ? err_set(reterr, r, "read requests: %s", strerror(-r)) : 0;
}

int main(int argc, char **argv)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct options o = {.ready_fd = -1};
	struct fs fs = {.dev = -1};
	int r, status;

	r = parse_options(argc, argv, &o, &status);
	if (r > 0)
		return status;
	if (r < 0) {
		usage(stderr);
		return 2;
	}
	r = open_log(o.log);
	if (r < 0)
		(void)err_set(&err, r, "open the log '%s': %s", o.log, strerror(-r));
	set_signals();
	/* One of these processes serves each view: memory counts, and what is large goes back at once. */
	(void)mallopt(M_ARENA_MAX, 2);
	(void)mallopt(M_MMAP_THRESHOLD, 128 << 10);
	(void)umask(0);
	/* What is read in an owner's name (origin.c) must not be readable by a group of root's. The root
	 * of a user namespace may be refused: he has none of the machine's groups. */
	if (geteuid() == 0)
		(void)setgroups(0, NULL);
	if (r == 0)
		r = run(&o, &fs, &err);
	if (fs.mount && mount_is_ours(fs.mount) && fs.dev >= 0)
		(void)unmount_view(fs.mount);
	notify_free(fs.notify);
	if (fs.se)
		fuse_session_destroy(fs.se); /* closes fs.dev */
	view_close(fs.view);
	if (r < 0) {
		(void)log_error(0, "%s", err_text(&err));
		say_ready(&o, err_text(&err));
		return 1;
	}
	log_info("stopped");
	return 0;
}
