/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keeper: bubblewrap's parent. It guarantees that nothing of a sandbox is left when it ends, and that it
 * ends when whoever forked it does, however that comes about.
 *
 * The first process inside waits for a byte; until it comes it is held by a descriptor (no number that
 * another process may have by then) and its limits are set. bubblewrap itself lets it die with its parent
 * only some steps later, so the keeper ends that process first and bubblewrap after it. A pid namespace ends
 * with its first process, and that process is seen to have ended when all others have.
 */
#include "sandbox_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STATUS_MAX = 4096, SETUP_MS = 20000, STEP_MS = 100 };

struct keeper {
	const struct sandbox_exec *x;
	struct sandbox_exec own; /* with descriptors as they are numbered here */
	pid_t bwrap;
	int child; /* the first process inside */
	char said[STATUS_MAX];
	size_t said_len;
	bool status_ended;
};

/* Keeps four descriptors, as 0 to 3, and no other: neither streams nor locks of the caller. */
static void close_others(struct keeper *k, const struct sandbox_exec *x)
{
	enum { ABOVE = 100 };
	const int from[] = {x->life, x->status, x->block, x->report};
	int high[4];

	for (int i = 0; i < 4; i++)
		high[i] = fcntl(from[i], F_DUPFD, ABOVE);
	for (int i = 0; i < 4; i++)
		(void)dup2(high[i], i);
	(void)close_range(4, ~0u, 0);
	k->own = *x;
	k->own.life = 0;
	k->own.status = 1;
	k->own.block = 2;
	k->own.report = 3;
	k->x = &k->own;
}

static void read_status(struct keeper *k)
{
	ssize_t n = read(k->x->status, k->said + k->said_len, sizeof(k->said) - 1 - k->said_len);

	if (n > 0)
		k->said_len += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		k->status_ended = true;
}

/* The number after a key of a status line; -1: not there. */
static long status_number(const struct keeper *k, const char *key)
{
	const char *p = strstr(k->said, key);
	char *end;
	long n;

	if (!p)
		return -1;
	p += strlen(key);
	n = strtol(p, &end, 10);
	return end == p || n < 0 ? -1 : n;
}

/* Waits until bubblewrap has said who the first process is, or cannot say it any more. */
static pid_t first_process(struct keeper *k)
{
	long pid = -1;

	for (int ms = 0; ms < SETUP_MS && !k->status_ended; ms += STEP_MS) {
		struct pollfd p = {.fd = k->x->status, .events = POLLIN};

		if (poll(&p, 1, STEP_MS) > 0)
			read_status(k);
		pid = status_number(k, "\"child-pid\": ");
		if (pid > 0)
			return (pid_t)pid;
	}
	return -1;
}

static void let_go(struct keeper *k)
{
	const struct rlimit l = {.rlim_cur = k->x->nproc_max, .rlim_max = k->x->nproc_max};
	pid_t pid = first_process(k);

	if (pid < 0)
		return;
	k->child = pidfd_open(pid, 0);
	if (k->child < 0)
		return;
	/* Counted in the namespace that it is in by now, not among all processes of the user. */
	if (prlimit(pid, RLIMIT_NPROC, &l, NULL) < 0) {
		sandbox_tell(k->x, SANDBOX_STEP_LIMIT, errno, 0);
		(void)pidfd_send_signal(k->child, SIGKILL, NULL, 0);
	}
	(void)!write(k->x->block, "x", 1); /* or it has ended already */
}

/* Until bubblewrap ends or nobody wants it any more. */
static void wait_end(struct keeper *k)
{
	int bwrap = pidfd_open(k->bwrap, 0);
	struct pollfd p[] = {{.fd = k->x->life, .events = POLLIN}, {.fd = bwrap, .events = POLLIN}};

	while (bwrap >= 0 && poll(p, 2, -1) <= 0 && errno == EINTR)
		;
	if (bwrap < 0 || !p[1].revents) {
		if (k->child >= 0)
			(void)pidfd_send_signal(k->child, SIGKILL, NULL, 0);
		(void)kill(k->bwrap, SIGKILL);
	}
	if (bwrap >= 0)
		(void)close(bwrap);
}

/* Returns bubblewrap's exit status, which is the command's, or 128 + the signal that ended it. */
static int reap(struct keeper *k)
{
	struct pollfd p = {.fd = k->child, .events = POLLIN};
	int status = 0;

	while (waitpid(k->bwrap, &status, 0) < 0 && errno == EINTR)
		;
	if (k->child >= 0) {
		(void)pidfd_send_signal(k->child, SIGKILL, NULL, 0);
		while (poll(&p, 1, -1) < 0 && errno == EINTR)
			;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void sandbox_keep(const struct sandbox_exec *x, pid_t bwrap)
{
	struct keeper k = {.bwrap = bwrap, .child = -1};
	int status;

	close_others(&k, x);
	let_go(&k);
	wait_end(&k);
	status = reap(&k);
	while (!k.status_ended && k.said_len < sizeof(k.said) - 1)
		read_status(&k);
	sandbox_tell(k.x, SANDBOX_STEP_END, status, status_number(&k, "\"exit-code\": ") >= 0);
	_exit(0);
}
