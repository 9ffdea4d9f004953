/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers that go through the mount; see helper.h. */
#include "helper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"

static int open_beneath(int mount, const char *path, uint64_t flags)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
	};
	long fd = syscall(SYS_openat2, mount, *path ? path : ".", &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/* The mode that it shows, or the size that it has: the server takes neither for a change. */
static int touch(int mount, const char *path, bool data)
{
	_cleanup_close_ int fd =
		open_beneath(mount, path, (data ? O_WRONLY : O_RDONLY) | O_NONBLOCK);
	struct stat st;

	if (fd < 0 && data)
		return touch(mount, path, false);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fd < 0 ? fd : -errno;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return 0;
	if (data && S_ISREG(st.st_mode))
		return ftruncate(fd, st.st_size) < 0 ? -errno : 0;
	return fchmod(fd, st.st_mode & 07777) < 0 ? -errno : 0;
}

static int move(int mount, char *path)
{
	char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	_cleanup_close_ int dir = -1;

	if (slash)
		*slash = '\0';
	dir = open_beneath(mount, slash ? path : "", O_PATH | O_DIRECTORY);
	if (dir < 0)
		return dir;
	return renameat(dir, VIEW_PUT_TEMP, dir, name) < 0 ? -errno : 0;
}

static int poke_all(int mount, char *list, size_t len)
{
	int failed = 0, r;

	for (size_t at = 0, n; at < len; at += n + 1) {
		char *line = list + at;

		n = strlen(line);
		switch (line[0]) {
		case VIEW_POKE_MOVE:
			r = move(mount, line + 1);
			break;
		case VIEW_POKE_DATA:
		case VIEW_POKE_ATTR:
			r = touch(mount, line + 1, line[0] == VIEW_POKE_DATA);
			break;
		default:
			r = -EINVAL;
		}
		if (r < 0)
			failed = r;
	}
	return failed;
}

/* In the child of a process with threads: nothing but system calls. The descriptor of /dev/fuse goes
 * first: while somebody holds it the kernel waits for a server that may be dead. */
static int become_helper(void)
{
	int r = close_range(STDERR_FILENO + 1, ~0u, 0) < 0 ? -errno : 0;

	(void)signal(SIGTERM, SIG_DFL);
	(void)signal(SIGINT, SIG_DFL);
	(void)prctl(PR_SET_NAME, "agentfs-helper");
	return r;
}

static atomic_int running;

bool helper_running(void)
{
	return atomic_load(&running) > 0;
}

static int reap(pid_t pid, int timeout_ms)
{
	struct timespec pause = {.tv_nsec = 50000};
	int64_t left = (int64_t)timeout_ms * 1000000;
	int status = 0;

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

static int wait_for(pid_t pid, int timeout_ms)
{
	int r = reap(pid, timeout_ms);

	atomic_fetch_sub(&running, 1);
	return r;
}

/* A fork, not another program: that would take ten times as long to start. It counts as running until it
 * was waited for. Returns 0 in the child. */
static pid_t start(void)
{
	pid_t pid;

	atomic_fetch_add(&running, 1);
	pid = fork();
	if (pid >= 0)
		return pid;
	atomic_fetch_sub(&running, 1);
	return -errno;
}

int helper_syncfs(const char *path, int timeout_ms)
{
	pid_t pid = start();
	int fd;

	if (pid != 0)
		return pid < 0 ? (int)pid : wait_for(pid, timeout_ms);
	if (become_helper() < 0)
		_exit(1);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_exit(fd < 0 || syncfs(fd) < 0);
}

/* Goes on when the server knows its number. */
static void poke_child(int go, const char *mount, struct buf *list)
{
	char c;
	int fd;

	if (dup2(go, STDIN_FILENO) < 0 || become_helper() < 0 || read(STDIN_FILENO, &c, 1) != 1)
		_exit(1);
	fd = open(mount, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_exit(fd < 0 || poke_all(fd, list->data, list->len) < 0);
}

int helper_poke(struct view *v, const char *mount, struct buf *list, int timeout_ms)
{
	_cleanup_close_ int go = -1, hear = -1;
	int p[2], r;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	hear = p[0];
	go = p[1];
	pid = start();
	if (pid < 0)
		return (int)pid;
	if (pid == 0)
		poke_child(hear, mount, list);
	view_poker(v, (uint32_t)pid);
	r = io_write_full(go, "g", 1);
	if (r < 0)
		(void)kill(pid, SIGKILL);
	r = wait_for(pid, timeout_ms);
	view_poker(v, 0);
	return r;
}
