/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a command in bubblewrap. Guarantees: (1) no process of it is left when sandbox_run() returns, nor
 * when its caller is killed: a process between them keeps bubblewrap (sandbox_keep.c); (2) what is kept of
 * its output is bounded; (3) the command starts only after its limits are set.
 *
 *     fork → keeper → bwrap → {"child-pid": N} on the status pipe → the keeper holds N, limits it, and writes a
 *     byte on the block pipe → bwrap mounts, drops, executes → output … → {"exit-code": N} → report: the end
 *
 * No exit code means that the room could not be made: bubblewrap's words are the reason then.
 */
#include "sandbox.h"

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "sandbox_capture.h"
#include "sandbox_parts.h"

enum { ENV_MAX = 64 };

static const char *const default_folders[] = {"/usr/bin", "/usr/local/bin", "/bin", NULL};
const char *const *sandbox_program_folders = default_folders;

/* What one run holds open. */
struct run {
	const struct sandbox_spec *s;
	struct sandbox_fds fds; /* bubblewrap's */
	int out[2], err[2], status[2], block[2], life[2], report[2], in, args;
	char program[64];
	pid_t keeper; /* until it was waited for; else 0 */
	struct capture captured[2];
	struct sandbox_report failed, end; /* what of it was told */
	bool has_failed, has_end, stopped, root;
	uint64_t end_ms;
};

static uint64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void close_pair(int pair[2])
{
	pair[0] = safe_close(pair[0]);
	pair[1] = safe_close(pair[1]);
}

static void run_init(struct run *u, const struct sandbox_spec *s)
{
	*u = (struct run){
		.s = s,
		.fds = {-1, -1, -1, -1, -1},
		.out = {-1, -1},
		.err = {-1, -1},
		.status = {-1, -1},
		.block = {-1, -1},
		.life = {-1, -1},
		.report = {-1, -1},
		.in = -1,
		.args = -1,
		.root = geteuid() == 0,
	};
	for (int i = 0; i < 2; i++)
		capture_init(&u->captured[i], s->output_max ? s->output_max : SANDBOX_OUTPUT_MAX,
			     s->drain_max);
}

/* Takes what the keeper has told. Returns false once there will be no more. */
static bool read_report(struct run *u)
{
	struct sandbox_report rep;
	ssize_t n = read(u->report[0], &rep, sizeof(rep));

	if (n < 0)
		return errno == EINTR;
	if (n != (ssize_t)sizeof(rep))
		return false;
	if (rep.what == SANDBOX_STEP_END) {
		u->end = rep;
		u->has_end = true;
	} else if (!u->has_failed) {
		u->failed = rep;
		u->has_failed = true;
	}
	return true;
}

/* Ends what runs and waits until all of it is gone. */
static void end_all(struct run *u)
{
	u->life[1] = safe_close(u->life[1]);
	if (u->keeper <= 0)
		return;
	while (read_report(u))
		;
	while (waitpid(u->keeper, NULL, 0) < 0 && errno == EINTR)
		;
	u->keeper = 0;
}

static void run_release(struct run *u)
{
	int *const single[] = {&u->in, &u->args, &u->fds.seccomp, &u->fds.passwd, &u->fds.group};

	end_all(u);
	close_pair(u->out);
	close_pair(u->err);
	close_pair(u->status);
	close_pair(u->block);
	close_pair(u->life);
	close_pair(u->report);
	for (size_t i = 0; i < ARRAY_SIZE(single); i++)
		*single[i] = safe_close(*single[i]);
	for (int i = 0; i < 2; i++)
		capture_release(&u->captured[i]);
}

static int find_program(struct run *u, struct err *reterr)
{
	for (const char *const *f = sandbox_program_folders; *f; f++) {
		int n = snprintf(u->program, sizeof(u->program), "%s/bwrap", *f);

		if (n > 0 && (size_t)n < sizeof(u->program) && access(u->program, X_OK) == 0)
			return 0;
	}
	return err_set_id(reterr, -ENOSYS, "Unsupported",
			  "bubblewrap is missing, without which no command is run: "
			  "install the package 'bubblewrap'");
}

/* A file that is read once, from its beginning. */
static int data_fd(const char *name, const void *p, size_t n)
{
	_cleanup_close_ int fd = memfd_create(name, MFD_CLOEXEC);
	int r = fd < 0 ? -errno : io_write_full(fd, p, n);

	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	return r < 0 ? r : TAKE_FD(fd);
}

static int make_data(struct run *u)
{
	char passwd[256], group[128];

	(void)snprintf(passwd, sizeof(passwd),
		       "agentfs:x:%u:%u::/home/agentfs:/bin/sh\nroot:x:0:0::/:/bin/sh\n"
		       "nobody:x:65534:65534::/:/bin/sh\n",
		       (unsigned)sandbox_uid(), (unsigned)sandbox_gid());
	(void)snprintf(group, sizeof(group), "agentfs:x:%u:\nroot:x:0:\nnogroup:x:65534:\n",
		       (unsigned)sandbox_gid());
	u->fds.passwd = data_fd("passwd", passwd, strlen(passwd));
	if (u->fds.passwd < 0)
		return u->fds.passwd;
	u->fds.group = data_fd("group", group, strlen(group));
	if (u->fds.group < 0)
		return u->fds.group;
	u->in = data_fd("input", u->s->in ? u->s->in : "", u->s->in ? u->s->in_len : 0);
	if (u->in < 0)
		return u->in;
	return sandbox_seccomp_fd(&u->fds.seccomp);
}

static int make_pipes(struct run *u)
{
	int *const pairs[] = {u->out, u->err, u->status, u->block, u->life, u->report};

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		if (pipe2(pairs[i], O_CLOEXEC) < 0)
			return -errno;
	/* Standard descriptors that are closed in the caller would be handed out here. */
	if (u->in <= STDERR_FILENO || u->out[0] <= STDERR_FILENO)
		return -EBADF;
	if (fcntl(u->out[0], F_SETFL, O_NONBLOCK) < 0 || fcntl(u->err[0], F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	u->fds.status = u->status[1];
	u->fds.block = u->block[0];
	return 0;
}

static int prepare(struct run *u, struct err *reterr)
{
	struct sandbox_args args = {0};
	int r = find_program(u, reterr);

	if (r < 0)
		return r;
	r = make_data(u);
	if (r == 0)
		r = make_pipes(u);
	if (r < 0)
		return err_set(reterr, r, "preparing a sandbox: %s", strerror(-r));
	r = sandbox_make_args(u->s, u->root, &u->fds, &args, reterr);
	if (r == 0) {
		r = u->args = data_fd("args", args.text.data, args.text.len);
		if (r < 0)
			(void)err_set(reterr, r, "preparing a sandbox: %s", strerror(-r));
	}
	buf_release(&args.text);
	return r < 0 ? r : 0;
}

static bool has_key(const char *const *env, const char *key)
{
	size_t n = strlen(key);

	for (; env && *env; env++)
		if (strncmp(*env, key, n) == 0 && (*env)[n] == '=')
			return true;
	return false;
}

/* What bubblewrap itself gets, and so whoever reads /proc/1/environ inside. */
static int make_env(const struct sandbox_spec *s, char *env[ENV_MAX])
{
	static const char *const always[][2] = {
		{"HOME", "HOME=/home/agentfs"},
		{"PATH", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		{"LANG", "LANG=C.UTF-8"},
		{"TMPDIR", "TMPDIR=/tmp"},
	};
	size_t n = 0;

	for (const char *const *e = s->env; e && *e; e++) {
		if (n + ARRAY_SIZE(always) + 1 >= ENV_MAX)
			return -E2BIG;
		env[n++] = (char *)*e;
	}
	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		if (!has_key(s->env, always[i][0]))
			env[n++] = (char *)always[i][1];
	env[n] = NULL;
	return 0;
}

/* bwrap --args N -- COMMAND… Caller frees the array; its texts are borrowed. */
static char **make_argv(const struct sandbox_spec *s, const char *number)
{
	size_t n = 0;
	char **argv;

	while (s->argv[n])
		n++;
	argv = calloc(n + 5, sizeof(*argv));
	if (!argv)
		return NULL;
	argv[0] = (char *)"bwrap";
	argv[1] = (char *)"--args";
	argv[2] = (char *)number;
	argv[3] = (char *)"--";
	memcpy(argv + 4, s->argv, n * sizeof(*argv));
	return argv;
}

static int start(struct run *u, struct err *reterr)
{
	const struct sandbox_spec *s = u->s;
	const int keep[] = {u->fds.status, u->fds.block,   u->args, u->fds.passwd,
			    u->fds.group,  u->fds.seccomp, -1};
	struct sandbox_exec x = {
		.program = u->program,
		.fds = {u->in, u->out[1], s->one_stream ? u->out[1] : u->err[1]},
		.keep = keep,
		.life = u->life[0],
		.status = u->status[0],
		.block = u->block[1],
		.report = u->report[1],
		.root = u->root,
		.scope = s->network,
		.binds = s->binds,
		.nbinds = s->nbinds,
		.memory_max = s->memory_max,
		.nproc_max = s->nproc_max ? s->nproc_max : SANDBOX_NPROC,
		.nice = s->nice,
	};
	_cleanup_free_ char **argv = NULL;
	char *env[ENV_MAX], number[16];

	(void)snprintf(number, sizeof(number), "%d", u->args);
	argv = make_argv(s, number);
	if (!argv || make_env(s, env) < 0)
		return err_set(reterr, argv ? -E2BIG : -ENOMEM,
			       "the environment of a sandbox is too large");
	x.argv = argv;
	x.env = env;
	u->keeper = fork();
	if (u->keeper == 0)
		sandbox_child(&x);
	if (u->keeper < 0)
		return err_set(reterr, -errno, "starting a sandbox: %s", strerror(errno));
	u->out[1] = safe_close(u->out[1]);
	u->err[1] = safe_close(u->err[1]);
	u->life[0] = safe_close(u->life[0]);
	u->report[1] = safe_close(u->report[1]);
	close_pair(u->status);
	close_pair(u->block);
	return 0;
}

/* What went wrong in the steps that are ours. */
static int step_failed(const struct run *u, struct err *reterr)
{
	size_t i = u->failed.index;
	int r = u->failed.value ? -u->failed.value : -EIO;

	switch ((enum sandbox_step)u->failed.what) {
	case SANDBOX_STEP_BIND:
		return err_set(reterr, r, "binding '%s' into a sandbox: %s",
			       i < u->s->nbinds ? u->s->binds[i].host : "", strerror(-r));
	case SANDBOX_STEP_STAGE:
		return err_set(reterr, r, "mounting what a sandbox is to see: %s", strerror(-r));
	case SANDBOX_STEP_DROP:
		return err_set(reterr, r, "giving up privileges for a sandbox: %s", strerror(-r));
	case SANDBOX_STEP_LIMIT:
		return err_set(reterr, r, "limiting the processes of a sandbox: %s", strerror(-r));
	case SANDBOX_STEP_EXEC:
	case SANDBOX_STEP_END:
		break;
	}
	return err_set(reterr, r, "starting '%s': %s", u->program, strerror(-r));
}

/* bubblewrap could not make the room, and has said why on its standard error. */
static int room_failed(struct run *u, struct err *reterr)
{
	struct buf text = BUF_INIT;
	int r = capture_take(&u->captured[u->s->one_stream ? 0 : 1], &text);

	while (text.len && text.data[text.len - 1] == '\n')
		text.data[--text.len] = 0;
	if (r == 0)
		r = err_set_id(
			reterr, -EPERM, "Unsupported",
			"bubblewrap could not make a sandbox (%s): `agentfsctl doctor` says what "
			"the machine lacks",
			text.len ? text.data : "it said nothing");
	buf_release(&text);
	return r;
}

/* Our standard input has ended: whoever asked is gone. */
static bool input_gone(void)
{
	char c;
	struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN | POLLRDHUP};

	if (poll(&p, 1, 0) <= 0)
		return false;
	return (p.revents & (POLLHUP | POLLERR | POLLRDHUP)) || read(STDIN_FILENO, &c, 1) == 0;
}

enum { P_OUT, P_ERR, P_REPORT, P_STDIN, P_N };

/* Reads what the streams have. Returns false when one has more than is read of it. */
static bool read_streams(struct run *u)
{
	int *const fds[] = {&u->out[0], &u->err[0]};

	for (int i = 0; i < 2; i++) {
		int r = *fds[i] < 0 ? 1 : capture_read(&u->captured[i], *fds[i]);

		if (r == 0)
			*fds[i] = safe_close(*fds[i]);
		if (r == -EFBIG)
			return false;
	}
	return true;
}

/* One round of waiting. Returns false when it is over, whatever the reason. */
static bool wait_once(struct run *u, struct sandbox_result *ret)
{
	struct pollfd p[P_N] = {
		[P_OUT] = {.fd = u->out[0], .events = POLLIN},
		[P_ERR] = {.fd = u->err[0], .events = POLLIN},
		[P_REPORT] = {.fd = u->report[0], .events = POLLIN},
		[P_STDIN] = {.fd = u->s->stop_on_stdin ? STDIN_FILENO : -1,
			     .events = POLLIN | POLLRDHUP},
	};
	const uint64_t now = now_ms();
	int r;

	ret->timed_out = now >= u->end_ms;
	if (ret->timed_out)
		return false;
	r = poll(p, P_N, u->end_ms - now < 60000 ? (int)(u->end_ms - now) : 60000);
	if (r < 0) {
		u->stopped = errno != EINTR;
		return !u->stopped;
	}
	u->stopped = p[P_STDIN].revents && input_gone();
	ret->flooded = !read_streams(u);
	if (u->stopped || ret->flooded)
		return false;
	return !p[P_REPORT].revents || (read_report(u) && !u->has_end);
}

static int finish(struct run *u, struct sandbox_result *ret, struct err *reterr)
{
	bool ended = !ret->timed_out && !ret->flooded && !u->stopped;
	int r = 0;

	end_all(u);
	(void)read_streams(
		u); /* what was written before its end; over the limit it is said below */
	if (u->stopped)
		return err_set_id(reterr, -ECANCELED, "Cancelled",
				  "the command was stopped: nobody waits for it any more");
	if (u->has_failed)
		return step_failed(u, reterr);
	if (!u->has_end)
		return err_set(reterr, -EIO, "the keeper of a sandbox was killed");
	if (ended && !u->end.index)
		return room_failed(u, reterr);
	ret->status = ended ? u->end.value : 128 + SIGKILL;
	ret->truncated = capture_truncated(&u->captured[0]) || capture_truncated(&u->captured[1]);
	r = capture_take(&u->captured[0], &ret->out);
	if (r == 0)
		r = capture_take(&u->captured[1], &ret->err);
	return r < 0 ? err_set(reterr, r, "no memory for the output of a sandbox") : 0;
}

int sandbox_run(const struct sandbox_spec *s, struct sandbox_result *ret, struct err *reterr)
{
	const uint64_t began = now_ms();
	struct run u;
	int r;

	assert(s->argv && s->argv[0]);
	*ret = (struct sandbox_result){0};
	run_init(&u, s);
	u.end_ms = began + (s->timeout_ms ? s->timeout_ms : SANDBOX_TIMEOUT_MS);
	r = prepare(&u, reterr);
	if (r == 0)
		r = start(&u, reterr);
	if (r == 0) {
		while (wait_once(&u, ret))
			;
		r = finish(&u, ret, reterr);
	}
	run_release(&u);
	ret->ms = now_ms() - began;
	return r;
}

int sandbox_check(struct err *reterr)
{
	static const char *const argv[] = {"/bin/true", NULL};
	const struct sandbox_spec s = {.argv = argv, .timeout_ms = 10000};
	struct sandbox_result ret;
	int r = sandbox_run(&s, &ret, reterr);

	if (r == 0 && ret.status != 0)
		r = err_set(reterr, -EIO, "/bin/true ended with %d in a sandbox", ret.status);
	sandbox_result_release(&ret);
	return r;
}

void sandbox_result_release(struct sandbox_result *r)
{
	buf_release(&r->out);
	buf_release(&r->err);
}
