/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agentfs-resolve-command: a resolver that asks a command-line agent: the prompt on its standard input, its
 * answer on its standard output. It is ended, with all that it started in its process group, at the time
 * limit and when it prints too much.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "resolver_main.h"

enum { SAID_MAX = 8 << 20, CHUNK = 64 << 10 };

extern char **environ;

struct agent {
	pid_t pid;
	int in, out; /* our ends; -1: closed */
	struct timespec end;
};

static int left_ms(const struct agent *g)
{
	struct timespec now;
	long long ms;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (long long)(g->end.tv_sec - now.tv_sec) * 1000 +
	     (g->end.tv_nsec - now.tv_nsec) / 1000000;
	return ms > 0 ? (int)ms : 0;
}

static int start(struct agent *g, char **command, int in, int out)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t none;
	int r;

	sigemptyset(&none);
	if (posix_spawn_file_actions_init(&fa))
		return -ENOMEM;
	if (posix_spawnattr_init(&at)) {
		(void)posix_spawn_file_actions_destroy(&fa);
		return -ENOMEM;
	}
	r = posix_spawn_file_actions_adddup2(&fa, in, STDIN_FILENO);
	if (r == 0)
		r = posix_spawn_file_actions_adddup2(&fa, out, STDOUT_FILENO);
	if (r == 0)
		r = posix_spawnattr_setpgroup(&at, 0);
	if (r == 0)
		r = posix_spawnattr_setflags(&at, POSIX_SPAWN_SETPGROUP);
	if (r == 0)
		r = posix_spawnp(&g->pid, command[0], &fa, &at, command, environ);
	(void)posix_spawnattr_destroy(&at);
	(void)posix_spawn_file_actions_destroy(&fa);
	return -r;
}

static int open_agent(struct agent *g, char **command)
{
	_cleanup_close_ int in = -1, out = -1;
	int a[2], b[2], r;

	if (pipe2(a, O_CLOEXEC) < 0)
		return -errno;
	in = a[0];
	g->in = a[1];
	if (pipe2(b, O_CLOEXEC) < 0)
		return -errno;
	g->out = b[0];
	out = b[1];
	r = start(g, command, in, out);
	if (r == 0 &&
	    (fcntl(g->in, F_SETFL, O_NONBLOCK) < 0 || fcntl(g->out, F_SETFL, O_NONBLOCK) < 0))
		r = -errno;
	return r;
}

/* Writes what fits; closes at the end, or where nobody reads. */
static void feed(struct agent *g, const struct buf *prompt, size_t *at)
{
	ssize_t n = write(g->in, prompt->data + *at, prompt->len - *at);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0)
		*at += (size_t)n;
	if (n < 0 || *at == prompt->len)
		g->in = safe_close(g->in);
}

/* Returns 1 at the end of the output, 0, -errno. */
static int hear(struct agent *g, struct buf *said)
{
	ssize_t n;

	if (said->len > SAID_MAX)
		return -EFBIG;
	if (buf_reserve(said, CHUNK) < 0)
		return -ENOMEM;
	n = read(g->out, said->data + said->len, CHUNK - 1);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	said->len += (size_t)n;
	said->data[said->len] = '\0';
	return n == 0;
}

static int talk(struct agent *g, const struct buf *prompt, struct buf *said)
{
	size_t at = 0;
	int r = 0;

	while (r == 0) {
		struct pollfd p[2] = {{g->out, POLLIN, 0}, {g->in, POLLOUT, 0}};
		int ms = left_ms(g);

		if (ms == 0)
			return -ETIMEDOUT;
		if (poll(p, 2, ms) < 0 && errno != EINTR)
			return -errno;
		if (p[1].revents)
			feed(g, prompt, &at);
		if (p[0].revents)
			r = hear(g, said);
	}
	return r < 0 ? r : 0;
}

/* Ends the group in any case; the agent's own status where it ended by itself. */
static int finish(struct agent *g, bool failed)
{
	int status = 0;
	pid_t got = 0;

	while (!failed && (got = waitpid(g->pid, &status, WNOHANG)) == 0 && left_ms(g) > 0)
		(void)poll(NULL, 0, 5);
	(void)kill(-g->pid, SIGKILL);
	if (got == 0)
		(void)waitpid(g->pid, &status, 0);
	return got > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int ask(const struct resolver_args *a, struct resolver_call *c, struct err *reterr)
{
	_cleanup_buf_ struct buf prompt = BUF_INIT;
	struct agent g = {.in = -1, .out = -1};
	int r, status;

	if (!a->command)
		return err_set(reterr, -EINVAL, "no command was given behind --");
	(void)signal(SIGPIPE, SIG_IGN);
	(void)clock_gettime(CLOCK_MONOTONIC, &g.end);
	g.end.tv_sec += a->timeout_ms / 1000;
	r = buf_addf(&prompt, "%s\n%s", c->system, c->user.data);
	if (r == 0)
		r = open_agent(&g, a->command);
	if (!g.pid) {
		(void)safe_close(g.in);
		(void)safe_close(g.out);
		return err_set(reterr, r, "cannot start '%s': %s", a->command[0], strerror(-r));
	}
	if (r == 0)
		r = talk(&g, &prompt, &c->said);
	status = finish(&g, r < 0);
	(void)safe_close(g.in);
	(void)safe_close(g.out);
	if (r == -ETIMEDOUT)
		return err_set(reterr, r, "'%s' gave no answer within %u s", a->command[0],
			       a->timeout_ms / 1000);
	if (r == -EFBIG)
		return err_set(reterr, r, "'%s' printed more than %d bytes", a->command[0],
			       SAID_MAX);
	if (r < 0)
		return err_set(reterr, r, "talking to '%s': %s", a->command[0], strerror(-r));
	return status == 0 ? 0
			   : err_set(reterr, -EIO, "'%s' failed (exit %d)", a->command[0], status);
}

int main(int argc, char **argv)
{
	return resolver_main(argc, argv, "agentfs-resolve-command", ask);
}
