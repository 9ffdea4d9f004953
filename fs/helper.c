/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers that go through the mount; see helper.h. */
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"

extern char **environ;

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

int helper_run(const char *what, const char *path, int timeout_ms)
{
	char *const argv[] = {(char *)"agentfs", (char *)what, (char *)path, NULL};
	const struct timespec pause = {.tv_nsec = 200000};
	int status = 0, r;
	pid_t pid;

	r = -posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ);
	if (r < 0)
		return r;
	for (int waited = 0; waited < timeout_ms * 5; waited++) {
		pid_t done = waitpid(pid, &status, WNOHANG);

		if (done == pid)
			return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
		if (done < 0 && errno != EINTR)
			return -errno;
		nanosleep(&pause, NULL);
	}
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, WNOHANG);
	return -ETIMEDOUT;
}
