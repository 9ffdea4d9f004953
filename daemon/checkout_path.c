/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths of a worktree. Guarantee: no call here leaves the worktree's folder or passes a symbolic link,
 * whoever renames what meanwhile: folders are opened with openat2(RESOLVE_BENEATH |
 * RESOLVE_NO_SYMLINKS), and what is done is done to a name in such a folder.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "checkout_parts.h"
#include "cleanup.h"
#include "gitname.h"

static bool part_ok(const char *s, size_t n)
{
	if (n == 0 || (n == 1 && *s == '.') || (n == 2 && memcmp(s, "..", 2) == 0))
		return false;
	return !gitname_is_git(s, n);
}

bool checkout_path_ok(const char *path)
{
	for (const char *s = path;; s++) {
		size_t n = strcspn(s, "/");

		if (!part_ok(s, n))
			return false;
		s += n;
		if (!*s)
			return true;
	}
}

static int beneath_open(int dir, const char *path, int flags)
{
	struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC),
			       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
					  RESOLVE_NO_MAGICLINKS};
	int fd;

	do {
		fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	} while (fd < 0 && (errno == EINTR || errno == EAGAIN));
	return fd < 0 ? -errno : fd;
}

int beneath_parent(int root, const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *folder = strndup(path, slash ? (size_t)(slash - path) : 0);

	if (!folder)
		return -ENOMEM;
	*ret_name = slash ? slash + 1 : path;
	return beneath_open(root, slash ? folder : ".", O_PATH | O_DIRECTORY | O_NOFOLLOW);
}

int beneath_make_parent(int root, const char *path, const char **ret_name)
{
	_cleanup_close_ int at = beneath_open(root, ".", O_PATH | O_DIRECTORY);

	for (const char *slash; at >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
		_cleanup_free_ char *part = strndup(path, (size_t)(slash - path));
		int fd;

		if (!part)
			return -ENOMEM;
		fd = beneath_open(at, part, O_PATH | O_DIRECTORY | O_NOFOLLOW);
		if (fd == -ENOENT) {
			if (mkdirat(at, part, 0777) < 0 && errno != EEXIST)
				return -errno;
			fd = beneath_open(at, part, O_PATH | O_DIRECTORY | O_NOFOLLOW);
		}
		if (fd < 0)
			return fd;
		(void)close(at);
		at = fd;
	}
	*ret_name = path;
	return TAKE_FD(at);
}

int beneath_stat(int root, const char *path, struct stat *ret)
{
	const char *name = NULL;
	_cleanup_close_ int dir = beneath_parent(root, path, &name);

	if (dir < 0)
		return dir;
	return fstatat(dir, name, ret, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

int beneath_read(int root, const char *path)
{
	return beneath_open(root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
}

void beneath_prune(int root, const char *path)
{
	_cleanup_free_ char *at = strdup(path);
	char *slash;

	while (at && (slash = strrchr(at, '/'))) {
		const char *name = NULL;
		_cleanup_close_ int dir = -1;

		*slash = 0;
		dir = beneath_parent(root, at, &name);
		if (dir < 0 || unlinkat(dir, name, AT_REMOVEDIR) < 0)
			return;
	}
}

int beneath_rmdir(int parent, const char *name)
{
	int fd = beneath_open(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW), r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		(void)safe_close(fd);
		return fd < 0 ? fd : -ENOMEM;
	}
	while (r == 0 && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			r = e->d_type == DT_DIR ? beneath_rmdir(dirfd(d), e->d_name) : -ENOTEMPTY;
	(void)closedir(d);
	if (r == 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0)
		r = -errno;
	return r;
}

bool stat_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mode == b->st_mode && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

#ifdef AGENTFS_FAILPOINTS
void checkout_failpoint(const char *name)
{
	static unsigned long seen;
	const char *want = getenv("AGENTFS_FAILPOINT");
	size_t n = strlen(name);

	if (!want || strncmp(want, name, n) != 0 || (want[n] && want[n] != ':'))
		return;
	if (++seen >= (want[n] ? strtoul(want + n + 1, NULL, 10) : 1))
		(void)kill(getpid(), SIGKILL);
}
#endif
