/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The data files of the shared content cache: few and large, preallocated in steps that double up
 * to 64 MiB, never truncated, never punched. A process opens each at most once.
 */
#include "content_data.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "sys.h"

#define STEP_MIN       (UINT64_C(1) << 20)
#define STEP_MAX       (UINT64_C(64) << 20)
#define SIZE_MAX_TOTAL (UINT64_C(64) << 30)

void content_data_release(struct content_data *d)
{
	for (int i = 0; i < CONTENT_FILES_MAX; i++)
		(void)safe_close(atomic_exchange(&d->fds[i], 0) - 1);
}

int content_data_survey(int dir, uint64_t *ret_total, uint32_t *ret_next)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *de;
	uint64_t total = 0;
	uint32_t next = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		(void)safe_close(fd);
		return -errno;
	}
	while ((de = readdir(d))) {
		unsigned int n;
		struct stat st;

		if (sscanf(de->d_name, "data.%u", &n) != 1 || n >= CONTENT_FILES_MAX)
			continue;
		if (fstatat(dir, de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			total += (uint64_t)st.st_size;
		if (n >= next)
			next = n + 1;
	}
	(void)closedir(d);
	*ret_total = total;
	*ret_next = next;
	return 0;
}

void content_data_drop(int dir)
{
	(void)sys.unlinkat(dir, "table", 0);
	for (unsigned int n = 0; n < CONTENT_FILES_MAX; n++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "data.%u", n);
		(void)sys.unlinkat(dir, name, 0);
	}
}

int content_data_fd(struct content_data *d, uint32_t file, bool create)
{
	int fd, none = 0;
	char name[32];

	if (file >= CONTENT_FILES_MAX)
		return -EBADMSG;
	fd = atomic_load(&d->fds[file]) - 1;
	if (fd >= 0)
		return fd;
	(void)snprintf(name, sizeof(name), "data.%u", file);
	fd = sys.openat(d->dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0),
			0600);
	if (fd < 0)
		return -errno;
	if (atomic_compare_exchange_strong(&d->fds[file], &none, fd + 1))
		return fd;
	(void)safe_close(fd);
	return none - 1;
}

static int data_extend(int fd, uint64_t size, uint64_t end)
{
	if (sys.fallocate(fd, 0, (off_t)size, (off_t)(end - size)) == 0)
		return 0;
	if (errno != EOPNOTSUPP || sys.ftruncate(fd, (off_t)end) < 0)
		return -errno;
	return 0;
}

int content_data_reserve(struct content_data *d, int fd, uint64_t size, uint64_t end)
{
	uint64_t step = size < STEP_MIN ? STEP_MIN : size > STEP_MAX ? STEP_MAX : size, total;
	uint32_t next;
	int r;

	if (end <= size)
		return 0;
	if (size + step < end)
		step = end - size;
	r = content_data_survey(d->dir, &total, &next);
	if (r < 0)
		return r;
	if (total + step > SIZE_MAX_TOTAL)
		return -ENOSPC;
	/* The step may be too much where the need itself is not. */
	r = data_extend(fd, size, size + step);
	return r == -ENOSPC ? data_extend(fd, size, end) : r;
}

bool content_data_full(uint64_t total, uint32_t next)
{
	return total >= SIZE_MAX_TOTAL || next >= CONTENT_FILES_MAX;
}
