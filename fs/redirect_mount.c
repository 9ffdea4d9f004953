/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounting a plain folder on a redirected one, in a process of its own, since the walk to it goes through
 * the mount that the server serves.
 *
 * The agent may rename and replace folders meanwhile, with its eye on root's mount call: so the walk stays
 * below the view and follows no symlink, and no path is ever given to mount(2) or umount(2); the folder that
 * was found is compared with the one meant (st_ino) before it is mounted on, and what is unmounted with the
 * plain folder (descriptor 3). The mount is nosuid and nodev, and private at its source; where the view's own
 * mount is shared with other namespaces, it appears there too.
 */
#include "redirect_mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "tree.h"

enum { FILEID_INO64_GEN = 0x81, PLAIN_FD = 3, TIMEOUT_MS = 4000, SLOW_MS = 250 };

extern char **environ;

static int walk(int dir, const char *path, uint64_t more)
{
	struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | more,
	};
	long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

/* The folder that the last name of path stands in. */
static int open_parent(const char *mount, const char *path, const char **ret_name)
{
	_cleanup_close_ int root = open(mount, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *parent = NULL;

	if (root < 0)
		return -errno;
	*ret_name = slash ? slash + 1 : path;
	if (!slash)
		return TAKE_FD(root);
	parent = strndup(path, (size_t)(slash - path));
	return parent ? walk(root, parent, RESOLVE_NO_XDEV) : -ENOMEM;
}

/* Is what the name shows the plain folder? */
static bool is_mounted(int parent, const char *name)
{
	struct stat there, plain;

	return fstatat(parent, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstat(PLAIN_FD, &plain) == 0 && there.st_dev == plain.st_dev &&
	       there.st_ino == plain.st_ino;
}

static int mount_on(int at)
{
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
		.propagation = MS_PRIVATE,
	};
	_cleanup_close_ int tree =
		open_tree(PLAIN_FD, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

	if (tree < 0)
		return -errno;
	if (mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ||
	    move_mount(tree, "", at, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

/* The folder by its number, if the kernel holds it: without a walk, which might wait for the lock of the folder
 * above while its holder waits for us. The handle is what name_to_handle_at(2) gives on FUSE. */
static int open_node(const char *mount, uint64_t node)
{
	_cleanup_close_ int root = open(mount, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	const uint32_t words[3] = {(uint32_t)(node >> 32), (uint32_t)node, 0 /* generation */};
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + sizeof(words)];
	} h = {.handle = {.handle_bytes = sizeof(words), .handle_type = FILEID_INO64_GEN}};
	int fd;

	if (root < 0)
		return -errno;
	memcpy(h.handle.f_handle, words, sizeof(words));
	fd = open_by_handle_at(root, &h.handle, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int do_mount(int parent, const char *name, uint64_t ino)
{
	_cleanup_close_ int at = walk(parent, name, RESOLVE_NO_XDEV);
	struct stat st;

	if (at == -EXDEV)
		return is_mounted(parent, name) ? 0 : -EBUSY;
	if (at < 0)
		return at;
	if (fstat(at, &st) < 0)
		return -errno;
	return st.st_ino == ino ? mount_on(at) : -ESTALE;
}

/* Where it is known that nothing is mounted. -ENODATA: the kernel does not hold it. */
static int do_mount_new(const char *mount, uint64_t node)
{
	_cleanup_close_ int at = open_node(mount, node);

	return at < 0 ? -ENODATA : mount_on(at);
}

static int do_unmount(int parent, const char *name, int flags)
{
	if (!is_mounted(parent, name))
		return 0;
	if (fchdir(parent) < 0)
		return -errno;
	return umount2(name, UMOUNT_NOFOLLOW | flags) < 0 ? -errno : 0;
}

int redirect_helper(const char *what, char *const words[3])
{
	uint64_t node = strtoull(words[2], NULL, 10);
	_cleanup_close_ int parent = -1;
	const char *name = NULL;
	int r;

	if (strcmp(what, "new") == 0)
		return do_mount_new(words[0], node);
	r = parent = open_parent(words[0], words[1], &name);
	if (r < 0)
		return r;
	if (strcmp(what, "mount") == 0)
		return do_mount(parent, name, node_ino(node));
	if (strcmp(what, "unmount") == 0)
		return do_unmount(parent, name, 0);
	if (strcmp(what, "detach") == 0)
		return do_unmount(parent, name, MNT_DETACH);
	return -EINVAL;
}

/* --- as a process of its own --- */

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int start(char *const argv[], int plain, pid_t *ret_pid)
{
	posix_spawn_file_actions_t actions;
	int r = -posix_spawn_file_actions_init(&actions);

	if (r < 0)
		return r;
	r = -posix_spawn_file_actions_adddup2(&actions, plain, PLAIN_FD);
	if (r == 0)
		r = -posix_spawn(ret_pid, "/proc/self/exe", &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	return r;
}

/* The negative of its exit status, which is an errno; -EAGAIN: it has not ended. */
static int wait_for(pid_t pid, int timeout_ms)
{
	const struct timespec pause = {.tv_nsec = 100000};
	const int64_t until = now_ms() + timeout_ms;
	int status = 0;

	while (now_ms() < until) {
		pid_t done = waitpid(pid, &status, WNOHANG);

		if (done == pid)
			return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
		if (done < 0 && errno != EINTR)
			return -errno;
		nanosleep(&pause, NULL);
	}
	return -EAGAIN;
}

int redirect_run(const char *what, const char *mount, const char *path, uint64_t node, int plain,
		 void (*started)(pid_t pid, void *user), bool (*slow)(int ms, void *user),
		 void *user)
{
	char number[24];
	char *const argv[] = {(char *)"agentfs",
			      (char *)"--helper-redirect",
			      (char *)what,
			      (char *)mount,
			      (char *)path,
			      number,
			      NULL};
	pid_t pid;
	int r;

	(void)snprintf(number, sizeof(number), "%llu", (unsigned long long)node);
	r = start(argv, plain, &pid);
	if (r < 0)
		return r;
	started(pid, user);
	for (int ms = SLOW_MS; ms <= TIMEOUT_MS; ms += SLOW_MS) {
		r = wait_for(pid, SLOW_MS);
		if (r != -EAGAIN)
			return r;
		if (slow(ms, user))
			break;
	}
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, WNOHANG);
	return -ETIMEDOUT;
}

/* --- disk use --- */

static uint64_t measure(int dir, dev_t dev, unsigned int depth)
{
	DIR *d = fdopendir(dir);
	const struct dirent *e;
	uint64_t sum = 0;
	struct stat st;

	if (!d) {
		(void)safe_close(dir);
		return 0;
	}
	while ((e = readdir(d))) {
		int fd;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		sum += (uint64_t)st.st_blocks * 512 /
		       (st.st_nlink > 1 && !S_ISDIR(st.st_mode) ? st.st_nlink : 1);
		if (!S_ISDIR(st.st_mode) || st.st_dev != dev || depth == 0)
			continue;
		fd = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd >= 0)
			sum += measure(fd, dev, depth - 1);
	}
	(void)closedir(d);
	return sum;
}

uint64_t redirect_disk_use(int plain)
{
	struct stat st;
	int fd = openat(plain, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0) {
		(void)safe_close(fd);
		return 0;
	}
	return (uint64_t)st.st_blocks * 512 + measure(fd, st.st_dev, 200);
}
