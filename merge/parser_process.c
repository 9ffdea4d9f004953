/* SPDX-License-Identifier: Apache-2.0 */
/* The process of agentfs-parser, and one exchange with it. It inherits no descriptor but its two pipes. */
#include "parser_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "agentfs_config.h"
#include "cleanup.h"
#include "parser_wire.h"

/* The first of some places that has `name` in it; caller frees, NULL where none has. */
static char *find(const char *name, const char *const *places, size_t n, int mode)
{
	char self[4096];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[len < 0 ? 0 : len] = '\0';
	slash = strrchr(self, '/');
	if (slash)
		*slash = '\0';
	for (size_t i = 0; i < n; i++) {
		char *path = NULL;
		int r = *places[i] == '/' ? asprintf(&path, "%s/%s", places[i], name)
					  : asprintf(&path, "%s/%s/%s", self, places[i], name);

		if (r < 0)
			return NULL;
		if (access(path, mode) == 0)
			return path;
		free(path);
	}
	return NULL;
}

char *parser_process_program(void)
{
	static const char *const places[] = {".", "../merge", "../../merge", AGENTFS_LIBEXECDIR};

	return find("agentfs-parser", places, ARRAY_SIZE(places), X_OK);
}

char *parser_process_grammars(void)
{
	static const char *const places[] = {"../grammars", "../../grammars",
					     AGENTFS_LIBDIR "/grammars"};
	char *library = find("libtree-sitter.so", places, ARRAY_SIZE(places), R_OK);

	if (library)
		*strrchr(library, '/') = '\0';
	return library;
}

void parser_process_stop(struct parser_process *p)
{
	p->to = safe_close(p->to);
	p->from = safe_close(p->from);
	if (p->pid > 0) {
		(void)kill(p->pid, SIGKILL);
		while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	p->pid = 0;
}

static int spawn(struct parser_process *p, const int in[2], const int out[2])
{
	char *argv[] = {p->program, p->grammars, NULL};
	char *env[] = {(char *)"LC_ALL=C", (char *)"ASAN_OPTIONS=detect_leaks=0", NULL};
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t none, all;
	int r;

	sigemptyset(&none);
	sigfillset(&all);
	if (posix_spawn_file_actions_init(&fa))
		return -ENOMEM;
	if (posix_spawnattr_init(&at)) {
		(void)posix_spawn_file_actions_destroy(&fa);
		return -ENOMEM;
	}
	r = -posix_spawn_file_actions_adddup2(&fa, in[0], STDIN_FILENO);
	if (r == 0)
		r = -posix_spawn_file_actions_adddup2(&fa, out[1], STDOUT_FILENO);
	if (r == 0)
		r = -posix_spawn_file_actions_addclosefrom_np(&fa, STDERR_FILENO + 1);
	if (r == 0)
		r = -posix_spawnattr_setsigmask(&at, &none);
	if (r == 0)
		r = -posix_spawnattr_setsigdefault(&at, &all);
	if (r == 0)
		r = -posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (r == 0)
		r = -posix_spawn(&p->pid, p->program, &fa, &at, argv, env);
	if (r < 0)
		p->pid = 0;
	(void)posix_spawnattr_destroy(&at);
	(void)posix_spawn_file_actions_destroy(&fa);
	return r;
}

static int start(struct parser_process *p)
{
	_cleanup_close_ int in0 = -1, in1 = -1, out0 = -1, out1 = -1;
	int in[2], out[2], r;

	if (p->pid)
		return 0;
	if (pipe2(in, O_CLOEXEC) < 0)
		return -errno;
	in0 = in[0];
	in1 = in[1];
	if (pipe2(out, O_CLOEXEC) < 0)
		return -errno;
	out0 = out[0];
	out1 = out[1];
	r = spawn(p, in, out);
	if (r < 0)
		return r;
	p->to = TAKE_FD(in1);
	p->from = TAKE_FD(out0);
	if (fcntl(p->to, F_SETFL, O_NONBLOCK) < 0 || fcntl(p->from, F_SETFL, O_NONBLOCK) < 0) {
		r = -errno;
		parser_process_stop(p);
	}
	return r;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Waits until the descriptor is ready. Errors: -ETIMEDOUT, -errno. */
static int ready(int fd, short events, int64_t end)
{
	for (;;) {
		struct pollfd f = {.fd = fd, .events = events};
		int64_t left = end - now_ms();
		int r = poll(&f, 1, left > 0 ? (int)left : 0);

		if (r > 0)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r == 0 && left <= 0)
			return -ETIMEDOUT;
	}
}

/* A write into a pipe that nobody reads is an error, not the end of this process. */
static ssize_t write_quietly(int fd, const void *p, size_t n)
{
	sigset_t pipe_signal, old, pending;
	const struct timespec now = {0};
	bool was;
	ssize_t r;

	sigemptyset(&pipe_signal);
	sigaddset(&pipe_signal, SIGPIPE);
	(void)sigpending(&pending);
	was = sigismember(&pending, SIGPIPE);
	(void)pthread_sigmask(SIG_BLOCK, &pipe_signal, &old);
	r = write(fd, p, n);
	if (r < 0 && errno == EPIPE && !was) {
		(void)sigtimedwait(&pipe_signal, NULL, &now);
		errno = EPIPE;
	}
	{
		int saved = errno;

		(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
		errno = saved;
	}
	return r;
}

static int send_all(struct parser_process *p, const struct buf *b, int64_t end)
{
	for (size_t done = 0; done < b->len;) {
		int r = ready(p->to, POLLOUT, end);
		ssize_t n;

		if (r < 0)
			return r;
		n = write_quietly(p->to, b->data + done, b->len - done);
		if (n > 0)
			done += (size_t)n;
		else if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return 0;
}

static int receive(struct parser_process *p, void *to, size_t want, int64_t end)
{
	for (size_t done = 0; done < want;) {
		int r = ready(p->from, POLLIN, end);
		ssize_t n;

		if (r < 0)
			return r;
		n = read(p->from, (char *)to + done, want - done);
		if (n == 0)
			return -EPIPE;
		if (n > 0)
			done += (size_t)n;
		else if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return 0;
}

int parser_process_ask(struct parser_process *p, const struct buf *question, struct buf *answer)
{
	int64_t end = now_ms() + p->timeout_ms;
	unsigned char head[4];
	struct wire w = {head, sizeof(head), false};
	uint32_t n;
	int r = start(p);

	if (r == 0)
		r = send_all(p, question, end);
	if (r == 0)
		r = receive(p, head, sizeof(head), end);
	if (r < 0)
		return r;
	n = wire_get(&w);
	if (n > PARSER_FRAME_MAX)
		return -EBADMSG;
	answer->len = 0;
	r = buf_reserve(answer, n);
	if (r == 0)
		r = receive(p, answer->data, n, end);
	if (r == 0)
		answer->len = n;
	return r;
}
