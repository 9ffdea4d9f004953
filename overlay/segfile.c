/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbered, preallocated files and their spares.
 *
 * (1) Space is taken when a spare is made, never when a segment is written: that a disk is full is
 *     found out while nothing has been applied yet.
 * (2) All bytes of a spare are 0, but for a header written just before it was to be renamed; such a
 *     one, left by a crash, is wiped when the spare is taken over.
 * (3) A segment has its name from its first byte on; between header and rename it is a spare.
 *
 * Names: NNNNNNNNNN.<suffix>, ten decimal digits, from 1; spare-0.<suffix> and spare-1.<suffix>.
 */
#include "segfile.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "sys.h"

enum { BLOCK = 64 << 10, DIGITS = 10, MODE = 0600 };

static const char zeros[BLOCK];

static inline void closedirp(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

void segfile_name(char ret[SEGFILE_NAME_SIZE], uint64_t number, const char *suffix)
{
	(void)snprintf(ret, SEGFILE_NAME_SIZE, "%010" PRIu64 ".%s", number, suffix);
}

static void spare_name(char ret[SEGFILE_NAME_SIZE], int i, const char *suffix)
{
	(void)snprintf(ret, SEGFILE_NAME_SIZE, "spare-%d.%s", i, suffix);
}

/* The number of a segment's file name, or 0 for any other name. */
static uint64_t parse_name(const char *name, const char *suffix)
{
	uint64_t number = 0;

	for (int i = 0; i < DIGITS; i++) {
		if (name[i] < '0' || name[i] > '9')
			return 0;
		number = number * 10 + (uint64_t)(name[i] - '0');
	}
	if (name[DIGITS] != '.' || strcmp(name + DIGITS + 1, suffix) != 0)
		return 0;
	return number;
}

static int compare_numbers(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int segfile_list(int dir, const char *suffix, uint64_t **ret, size_t *ret_n)
{
	_cleanup_free_ uint64_t *list = NULL;
	_cleanup_(closedirp) DIR *d = NULL;
	struct dirent *de;
	size_t n = 0, cap = 0;
	int fd;

	fd = sys.openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		(void)safe_close(fd);
		return -errno;
	}
	for (;;) {
		uint64_t number;

		errno = 0;
		de = readdir(d);
		if (!de)
			break;
		number = parse_name(de->d_name, suffix);
		if (number == 0)
			continue;
		if (n == cap) {
			uint64_t *p = sys.realloc(list, (cap + 64) * sizeof(*p));

			if (!p)
				return -ENOMEM;
			list = p;
			cap += 64;
		}
		list[n++] = number;
	}
	if (errno)
		return -errno;
	if (n)
		qsort(list, n, sizeof(*list), compare_numbers);
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

int segfile_open(int dir, uint64_t number, const char *suffix, int flags)
{
	char name[SEGFILE_NAME_SIZE];
	int fd;

	segfile_name(name, number, suffix);
	fd = sys.openat(dir, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, MODE);
	return fd < 0 ? -errno : fd;
}

int segfile_size(int fd, uint64_t *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	*ret = (uint64_t)st.st_size;
	return 0;
}

int segfile_zero(int fd, uint64_t from, uint64_t to)
{
	while (from < to) {
		size_t n = to - from < BLOCK ? (size_t)(to - from) : BLOCK;
		int r = io_pwrite_full(fd, zeros, n, from);

		if (r < 0)
			return r;
		from += n;
	}
	return 0;
}

int segfile_allocate(int fd, uint64_t size)
{
	uint64_t old;
	int r;

	do
		r = sys.fallocate(fd, 0, 0, (off_t)size) < 0 ? -errno : 0;
	while (r == -EINTR);
	if (r != -EOPNOTSUPP)
		return r;
	/* A filesystem without preallocation: written zeros take the space as well. */
	r = segfile_size(fd, &old);
	if (r < 0)
		return r;
	return segfile_zero(fd, old, size);
}

/* Moves *end to behind the last byte of [from, to) that is not 0. */
static int last_nonzero(int fd, uint64_t from, uint64_t to, uint64_t *end)
{
	_cleanup_free_ char *block = sys.malloc(BLOCK);

	if (!block)
		return -ENOMEM;
	while (from < to) {
		size_t n = to - from < BLOCK ? (size_t)(to - from) : BLOCK;
		int r = io_pread_full(fd, block, n, from);

		if (r < 0)
			return r;
		if (memcmp(block, zeros, n) != 0) {
			size_t i = n;

			while (block[i - 1] == 0)
				i--;
			*end = from + i;
		}
		from += n;
	}
	return 0;
}

int segfile_used_end(int fd, uint64_t from, uint64_t size, uint64_t *ret)
{
	uint64_t end = from, pos = from;

	while (pos < size) {
		off_t data = lseek(fd, (off_t)pos, SEEK_DATA), hole;
		int r;

		if (data < 0 && errno == ENXIO)
			break;
		hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
		if (data < 0 || hole < 0) {
			/* The filesystem cannot tell: read it all. */
			data = (off_t)pos;
			hole = (off_t)size;
		}
		pos = (uint64_t)hole < size ? (uint64_t)hole : size;
		r = last_nonzero(fd, (uint64_t)data, pos, &end);
		if (r < 0)
			return r;
	}
	*ret = end;
	return 0;
}

void spares_init(struct spares *sp, int dir, const char *suffix)
{
	*sp = (struct spares){.dir = dir, .suffix = suffix};
	for (int i = 0; i < SEGFILE_SPARES; i++)
		sp->s[i].fd = -1;
}

static int adopt(struct spares *sp, int i)
{
	char name[SEGFILE_NAME_SIZE];
	_cleanup_close_ int fd = -1;
	uint64_t size, end;
	int r;

	spare_name(name, i, sp->suffix);
	fd = sys.openat(sp->dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	r = segfile_size(fd, &size);
	if (r == 0)
		r = segfile_used_end(fd, 0, size, &end);
	if (r == 0)
		r = segfile_zero(fd, 0, end);
	if (r < 0)
		return r;
	sp->s[i] = (struct spare){TAKE_FD(fd), size};
	return 0;
}

int spares_adopt(struct spares *sp)
{
	int r = 0;

	for (int i = 0; i < SEGFILE_SPARES && r == 0; i++)
		if (sp->s[i].fd < 0)
			r = adopt(sp, i);
	return r;
}

static int make_spare(struct spares *sp, int i, uint64_t size)
{
	char name[SEGFILE_NAME_SIZE];
	_cleanup_close_ int fd = -1;
	int r;

	spare_name(name, i, sp->suffix);
	fd = sys.openat(sp->dir, name,
			O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, MODE);
	if (fd < 0)
		return -errno;
	r = segfile_allocate(fd, size);
	if (r < 0) {
		(void)sys.unlinkat(sp->dir, name, 0);
		return r;
	}
	sp->s[i] = (struct spare){TAKE_FD(fd), size};
	return 0;
}

static int grow_spare(struct spare *s, uint64_t size)
{
	int r;

	if (s->size >= size)
		return 0;
	r = segfile_allocate(s->fd, size);
	if (r == 0) {
		s->size = size;
		return 0;
	}
	/* What a failed attempt took is given back; the old size is whole in any case. */
	(void)sys.ftruncate(s->fd, (off_t)s->size);
	return r;
}

int spares_fill(struct spares *sp, uint64_t size)
{
	int r = 0;

	if (size > SEGFILE_SPARE_MAX)
		size = SEGFILE_SPARE_MAX;
	for (int i = 0; i < SEGFILE_SPARES; i++) {
		struct spare *s = &sp->s[i];
		int k;

		k = s->fd < 0 ? make_spare(sp, i, size) : grow_spare(s, size);
		if (k == -ENOSPC && s->fd < 0)
			k = make_spare(sp, i, SEGFILE_MIN);
		if (k < 0)
			r = k;
	}
	return r;
}

unsigned int spares_count(const struct spares *sp)
{
	unsigned int n = 0;

	for (int i = 0; i < SEGFILE_SPARES; i++)
		n += sp->s[i].fd >= 0;
	return n;
}

uint64_t spares_bytes(const struct spares *sp)
{
	uint64_t n = 0;

	for (int i = 0; i < SEGFILE_SPARES; i++)
		if (sp->s[i].fd >= 0)
			n += sp->s[i].size;
	return n;
}

int spares_prepare(struct spares *sp, uint64_t need, uint64_t want)
{
	int best = -1, r;

	assert(need <= want);
	for (int i = 0; i < SEGFILE_SPARES; i++)
		if (sp->s[i].fd >= 0 && (best < 0 || sp->s[i].size > sp->s[best].size))
			best = i;
	if (best < 0) {
		best = 0;
		r = make_spare(sp, best, need);
		if (r < 0)
			return r;
	}
	if (grow_spare(&sp->s[best], want) == 0)
		return best;
	r = grow_spare(&sp->s[best], need);
	return r < 0 ? r : best;
}

int spares_place(struct spares *sp, int i, uint64_t number, struct spare *ret)
{
	char from[SEGFILE_NAME_SIZE], to[SEGFILE_NAME_SIZE];

	spare_name(from, i, sp->suffix);
	segfile_name(to, number, sp->suffix);
	if (sys.renameat(sp->dir, from, sp->dir, to) < 0)
		return -errno;
	*ret = sp->s[i];
	sp->s[i].fd = -1;
	return 0;
}

void spares_release(struct spares *sp)
{
	for (int i = 0; i < SEGFILE_SPARES; i++)
		sp->s[i].fd = safe_close(sp->s[i].fd);
}
