/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers that go through the mount; see helper.h. */
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"

int helper_syncfs(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || syncfs(fd) < 0)
		return -errno;
	return 0;
}

int helper_poke(const char *path)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return ftruncate(fd, st.st_size) < 0 ? -errno : 0;
}

/* In the child of a process with threads: nothing but system calls. The descriptor of /dev/fuse goes
 * first: while somebody holds it the kernel waits for a server that may be dead. */
static void child(enum helper what, const char *path)
{
	int r = close_range(STDERR_FILENO + 1, ~0u, 0);

	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGINT, SIG_DFL);
	(void)prctl(PR_SET_NAME, "agentfs-helper");
	if (r == 0)
		r = what == HELPER_SYNCFS ? helper_syncfs(path) : helper_poke(path);
	_exit(r < 0);
}

static atomic_int running;

bool helper_running(void)
{
	return atomic_load(&running) > 0;
}

static int run(enum helper what, const char *path, int timeout_ms)
{
	struct timespec pause = {.tv_nsec = 50000};
	int64_t left = (int64_t)timeout_ms * 1000000;
	int status = 0;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0)
		child(what, path);
	while (left > 0) {
		pid_t done = waitpid(pid, &status, WNOHANG);

		if (done == pid)
			return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
		if (done < 0 && errno != EINTR)
			return -errno;
		nanosleep(&pause, NULL);
		left -= pause.tv_nsec;
		if (pause.tv_nsec < 1000000)
			pause.tv_nsec += pause.tv_nsec / 4;
	}
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, WNOHANG);
	return -ETIMEDOUT;
}

/* A fork, not another program: that would take ten times as long to start. */
int helper_run(enum helper what, const char *path, int timeout_ms)
{
	int r;

	atomic_fetch_add(&running, 1);
	r = run(what, path, timeout_ms);
	atomic_fetch_sub(&running, 1);
	return r;
}
