/* SPDX-License-Identifier: Apache-2.0 */
/* Whole reads and writes, and files that are replaced or not, never half. */
#include "io.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "sys.h"

int io_pread_full(int fd, void *buf, size_t n, uint64_t off)
{
	char *p = buf;

	while (n > 0) {
		ssize_t k = sys.pread(fd, p, n, (off_t)off);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			return -EIO;
		p += k;
		off += (uint64_t)k;
		n -= (size_t)k;
	}
	return 0;
}

int io_pread_cached(int fd, void *buf, size_t n, uint64_t off)
{
	struct iovec iov = {.iov_base = buf, .iov_len = n};

	if (sys.pread != pread) /* a test that replaced the call wants to see it */
		return -EAGAIN;
	return preadv2(fd, &iov, 1, (off_t)off, RWF_NOWAIT) == (ssize_t)n ? 0 : -EAGAIN;
}

int io_pwrite_full(int fd, const void *buf, size_t n, uint64_t off)
{
	struct iovec iov = {.iov_base = (void *)buf, .iov_len = n};

	return io_pwritev_full(fd, &iov, 1, off);
}

int io_pwritev_full(int fd, struct iovec *iov, int n, uint64_t off)
{
	while (n > 0) {
		ssize_t k;

		if (iov->iov_len == 0) {
			iov++;
			n--;
			continue;
		}
		k = n == 1 ? sys.pwrite(fd, iov->iov_base, iov->iov_len, (off_t)off)
			   : sys.pwritev(fd, iov, n, (off_t)off);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			return -EIO;
		off += (uint64_t)k;
		while (n > 0 && (size_t)k >= iov->iov_len) {
			k -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (k > 0) {
			iov->iov_base = (char *)iov->iov_base + k;
			iov->iov_len -= (size_t)k;
		}
	}
	return 0;
}

int io_write_full(int fd, const void *buf, size_t n)
{
	const char *p = buf;

	while (n > 0) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

int io_read_fd(int fd, size_t max, struct buf *b)
{
	size_t start = b->len;

	for (;;) {
		ssize_t k;
		int r = buf_reserve(b, 65536);

		if (r < 0)
			return r;
		k = read(fd, b->data + b->len, 65536);
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			return 0;
		b->len += (size_t)k;
		b->data[b->len] = '\0';
		if (b->len - start > max)
			return -EFBIG;
	}
}

int io_read_file(int dir, const char *name, size_t max, struct buf *b)
{
	_cleanup_close_ int fd = sys.openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY, 0);

	if (fd < 0)
		return -errno;
	return io_read_fd(fd, max, b);
}

int io_sync_dir(int dir)
{
	return sys.fsync(dir) < 0 ? -errno : 0;
}

static int sync_parent(int dir, const char *name)
{
	const char *slash = strrchr(name, '/');
	_cleanup_free_ char *parent = NULL;
	_cleanup_close_ int fd = -1;

	if (!slash)
		parent = strdup(".");
	else
		parent = slash == name ? strdup("/") : strndup(name, (size_t)(slash - name));
	if (!parent)
		return -ENOMEM;
	fd = sys.openat(dir, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	return io_sync_dir(fd);
}

int io_replace_file(int dir, const char *name, const void *p, size_t n, mode_t mode)
{
	_cleanup_free_ char *tmp = NULL;
	_cleanup_close_ int fd = -1;
	int r;

	if (asprintf(&tmp, "%s.%d.tmp", name, (int)getpid()) < 0)
		return -ENOMEM;
	fd = sys.openat(dir, tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0)
		return -errno;
	r = io_pwrite_full(fd, p, n, 0);
	if (r == 0 && sys.fsync(fd) < 0)
		r = -errno;
	if (r == 0 && sys.renameat(dir, tmp, dir, name) < 0)
		r = -errno;
	if (r < 0) {
		(void)sys.unlinkat(dir, tmp, 0);
		return r;
	}
	return sync_parent(dir, name);
}

int io_mkdir(int dir, const char *name, mode_t mode)
{
	if (mkdirat(dir, name, mode) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

int io_mkdir_p(const char *path, mode_t mode)
{
	_cleanup_free_ char *p = strdup(path);
	int r;

	if (!p)
		return -ENOMEM;
	for (char *s = p + 1; *p && *s; s++) {
		if (*s != '/')
			continue;
		*s = '\0';
		r = io_mkdir(AT_FDCWD, p, mode);
		*s = '/';
		if (r < 0)
			return r;
	}
	return io_mkdir(AT_FDCWD, p, mode);
}

static int rm_children(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3), r = 0;
	struct dirent *de;
	DIR *d;

	if (copy < 0)
		return -errno;
	d = fdopendir(copy);
	if (!d) {
		r = -errno;
		(void)safe_close(copy);
		return r;
	}
	while (r == 0 && (de = readdir(d)))
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			r = io_rm_rf(fd, de->d_name);
	(void)closedir(d);
	return r;
}

int io_rm_rf(int dir, const char *name)
{
	_cleanup_close_ int fd = -1;
	int r;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = rm_children(fd);
	if (r < 0)
		return r;
	return unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}
