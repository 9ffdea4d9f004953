/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounting. libfuse's own mount calls are not used because the descriptor must outlive them: it is
 * handed to our loop now, and to a successor later.
 */
#include "mount.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "io.h"
#include "log.h"

static const char FSTYPE[] = "fuse.agentfs";

/* mountinfo writes space, tab, newline and backslash as \ooo. */
static bool same_path(const char *field, size_t n, const char *path)
{
	size_t i = 0;

	while (i < n && *path) {
		unsigned int c = (unsigned char)field[i];

		if (c == '\\' && i + 3 < n + 1 && sscanf(field + i + 1, "%3o", &c) == 1)
			i += 3;
		if (c != (unsigned char)*path)
			return false;
		i++;
		path++;
	}
	return i == n && !*path;
}

/* The fifth field, up to the next space. NULL: it has none. */
static const char *mount_point_of(const char *line, size_t *ret_len)
{
	const char *p = line;

	for (int i = 0; i < 4; i++) {
		p += strcspn(p, " \n");
		if (*p++ != ' ')
			return NULL;
	}
	*ret_len = strcspn(p, " \n");
	return p;
}

bool mount_in_list(const char *list, const char *path)
{
	for (; *list; list += strcspn(list, "\n"), list += *list == '\n') {
		size_t n;
		const char *p = mount_point_of(list, &n);

		if (p && same_path(p, n, path))
			return true;
	}
	return false;
}

static bool line_matches(const char *line, const char *path)
{
	const char *p, *type;
	size_t n;

	p = mount_point_of(line, &n);
	if (!p || !same_path(p, n, path))
		return false;
	type = strstr(p, " - ");
	return type && strncmp(type + 3, FSTYPE, sizeof(FSTYPE) - 1) == 0;
}

bool mount_is_ours(const char *path)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	char *line, *save = NULL;

	if (io_read_file(AT_FDCWD, "/proc/self/mountinfo", 64 << 20, &b) < 0)
		return false;
	for (line = strtok_r(b.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (line_matches(line, path))
			return true;
	return false;
}

extern char **environ;

/* What it complains of goes to `said` (-1: to our own stderr). */
static int run_fusermount(char *const argv[], char *const env[], int said, int *ret_status)
{
	posix_spawn_file_actions_t actions;
	pid_t pid;
	int r = -posix_spawn_file_actions_init(&actions);

	if (r < 0)
		return r;
	if (said >= 0)
		r = -posix_spawn_file_actions_adddup2(&actions, said, STDERR_FILENO);
	if (r == 0)
		r = -posix_spawnp(&pid, argv[0], &actions, NULL, argv, env);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (r < 0)
		return r;
	while (waitpid(pid, ret_status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static int unmount_with(const char *path, bool lazy)
{
	char *const argv_lazy[] = {(char *)"fusermount3", (char *)"-u", (char *)"-z", (char *)"-q",
				   (char *)"--",	  (char *)path, NULL};
	char *const argv_now[] = {(char *)"fusermount3", (char *)"-u", (char *)"-q",
				  (char *)"--",		 (char *)path, NULL};
	int status = 0, r;

	if (geteuid() == 0)
		return umount2(path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) < 0 ? -errno : 0;
	r = run_fusermount(lazy ? argv_lazy : argv_now, environ, -1, &status);
	if (r < 0)
		return r;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
}

int unmount_view(const char *path)
{
	int r = unmount_with(path, false);

	return r == 0 || r == -EINVAL ? 0 : unmount_with(path, true);
}

int mount_try_unmount(const char *path)
{
	int r = unmount_with(path, false);

	return r == -EBUSY ? 1 : r == -EINVAL ? 0 : r;
}

static int mount_as_root(const char *path, const char *agent, struct err *reterr)
{
	_cleanup_close_ int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	char options[256], source[128];

	if (fd < 0)
		return err_set(reterr, -errno, "open /dev/fuse: %s: is the fuse module loaded?",
			       strerror(errno));
	(void)snprintf(
		options, sizeof(options),
		"fd=%d,rootmode=40000,user_id=%u,group_id=%u,default_permissions,allow_other", fd,
		geteuid(), getegid());
	(void)snprintf(source, sizeof(source), "agentfs:%s", agent);
	if (mount(source, path, FSTYPE, MS_NOSUID | MS_NODEV, options) < 0)
		return err_set(reterr, -errno, "mount the view at '%s': %s", path, strerror(errno));
	return TAKE_FD(fd);
}

/* fusermount3 sends the descriptor over the socket that _FUSE_COMMFD names. */
static int receive_fd(int sock)
{
	char c, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {&c, 1};
	struct msghdr msg = {.msg_iov = &iov,
			     .msg_iovlen = 1,
			     .msg_control = control,
			     .msg_controllen = sizeof(control)};
	struct cmsghdr *cm;
	int fd;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) <= 0)
		return -EPERM;
	cm = CMSG_FIRSTHDR(&msg);
	if (!cm || cm->cmsg_type != SCM_RIGHTS)
		return -EPERM;
	memcpy(&fd, CMSG_DATA(cm), sizeof(fd));
	return fd;
}

/* The last line of what fusermount3 said, without its name. It has ended. */
static const char *last_words(int pipe, char buf[static 512])
{
	static const char name[] = "fusermount3: ";
	ssize_t n = read(pipe, buf, 511);
	char *line;

	while (n > 0 && buf[n - 1] == '\n')
		n--;
	if (n <= 0)
		return "it does not say why";
	buf[n] = '\0';
	line = strrchr(buf, '\n');
	line = line ? line + 1 : buf;
	return strncmp(line, name, sizeof(name) - 1) == 0 ? line + sizeof(name) - 1 : line;
}

/* A mount point without write bits refuses what is written while no view is there; fusermount3 refuses
 * such a one. Gives the bits for as long as it runs: returns the folder below the mount, whose mode the
 * caller puts back, or -1 where there is nothing to put back. */
static int open_for_mount(const char *path, mode_t *ret_mode)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid() || (st.st_mode & S_IWUSR))
		return -1;
	if (fchmod(fd, (st.st_mode & 07777) | S_IWUSR) < 0)
		return -1; /* fusermount3 says what is wrong */
	*ret_mode = st.st_mode & 07777;
	return TAKE_FD(fd);
}

static int mount_as_user(const char *path, const char *agent, struct err *reterr)
{
	_cleanup_close_ int ours = -1, theirs = -1, closed = -1, hear = -1, said = -1;
	_cleanup_free_ char *options = NULL;
	mode_t mode = 0;
	char commfd[32], words[512];
	char *env[] = {commfd, (char *)"PATH=/usr/bin:/bin:/usr/local/bin", NULL};
	int sv[2], pp[2], status = 0, r;

	if (pipe2(pp, O_CLOEXEC | O_NONBLOCK) < 0)
		return err_set(reterr, -errno, "make a pipe for fusermount3");
	hear = pp[0];
	said = pp[1];
	if (asprintf(&options, "fsname=agentfs:%s,subtype=agentfs,default_permissions,nosuid,nodev",
		     agent) < 0)
		return -ENOMEM;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return err_set(reterr, -errno, "make a socket for fusermount3");
	ours = sv[0];
	theirs = sv[1];
	if (fcntl(theirs, F_SETFD, 0) < 0)
		return -errno;
	(void)snprintf(commfd, sizeof(commfd), "_FUSE_COMMFD=%d", theirs);
	char *const argv[] = {(char *)"fusermount3", (char *)"-o", options,
			      (char *)"--",	     (char *)path, NULL};
	closed = open_for_mount(path, &mode);
	r = run_fusermount(argv, env, said, &status);
	theirs = safe_close(theirs);
	if (closed >= 0 && fchmod(closed, mode) < 0)
		log_warning(-errno, "the mount point '%s' stays open to writes, ignoring", path);
	if (r < 0)
		return err_set(reterr, r, "run fusermount3: %s: install the package fuse3",
			       strerror(-r));
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_set(reterr, -EPERM, "fusermount3 could not mount at '%s': %s", path,
			       last_words(hear, words));
	r = receive_fd(ours);
	return r < 0 ? err_set(reterr, r, "fusermount3 sent no descriptor") : r;
}

int mount_view(const char *path, const char *agent, struct err *reterr)
{
	struct stat st;

	if (mount_is_ours(path))
		(void)unmount_with(path, true);
	if (stat(path, &st) < 0)
		return err_set(reterr, -errno, "mount point '%s': %s", path, strerror(errno));
	if (!S_ISDIR(st.st_mode))
		return err_set(reterr, -ENOTDIR, "mount point '%s' is no folder", path);
	return geteuid() == 0 ? mount_as_root(path, agent, reterr)
			      : mount_as_user(path, agent, reterr);
}
