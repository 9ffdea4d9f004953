/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Blobs, and a cache of them. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <xxhash.h>

#include "content.h"
#include "store_fixture.h"
#include "sys.h"

enum { BLOBS = 300 };

struct fixture {
	struct store s;
	int cache;
	uint8_t ids[BLOBS][32];
	size_t sizes[BLOBS];
};

/* Byte `off` of blob `i`. */
static unsigned char byte_of(int i, uint64_t off)
{
	return (unsigned char)((off * 2654435761u >> 7) + (unsigned int)i * 31u);
}

static inline size_t size_of(int i)
{
	return i % 50 == 49 ? 300000 + (size_t)i : (size_t)(i * 37 % 9000);
}

static inline void fixture_init(struct fixture *f, int blobs)
{
	store_init(&f->s);
	assert_int_equal(io_mkdir(f->s.dir, "content", 0700), 0);
	f->cache = openat(f->s.dir, "content", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->cache >= 0);
	memset(f->ids, 0, sizeof(f->ids));
	for (int i = 0; i < blobs; i++) {
		size_t n = f->sizes[i] = size_of(i);
		unsigned char *p = malloc(n + 1);

		assert_non_null(p);
		for (size_t k = 0; k < n; k++)
			p[k] = byte_of(i, k);
		git_oid id = store_add(&f->s, GIT_OBJECT_BLOB, p, n);

		memcpy(f->ids[i], id.id, 20);
		free(p);
	}
}

static inline void fixture_release(struct fixture *f)
{
	(void)close(f->cache);
	store_release(&f->s);
}

static inline struct content *open_cache(struct fixture *f, int dir)
{
	struct content *c = NULL;
	struct err e = ERR_INIT;

	if (content_open(dir, f->s.odb, &c, &e) < 0)
		fail_msg("%s", err_text(&e));
	return c;
}

/* Reads blob i in pieces. 0: right, 1: wrong bytes, or -errno. No assertion: children use it. */
static inline int check_blob(struct fixture *f, struct content *c, int i, size_t piece)
{
	unsigned char *buf = malloc(piece);
	int r = 0;

	for (uint64_t off = 0; r == 0 && off <= f->sizes[i]; off += piece) {
		size_t left = f->sizes[i] - off, want = left < piece ? left : piece;
		ssize_t n = content_read(c, f->ids[i], f->sizes[i], off, buf, piece);

		if (n < 0)
			r = (int)n;
		else if ((size_t)n != want)
			r = 1;
		for (size_t k = 0; r == 0 && k < want; k++)
			r = buf[k] != byte_of(i, off + k);
	}
	free(buf);
	return r;
}

static inline int check_all(struct fixture *f, struct content *c, int blobs)
{
	for (int i = 0; i < blobs; i++) {
		int r = check_blob(f, c, i, 131072);

		if (r != 0)
			return r;
	}
	return 0;
}

/* Takes git's objects away, so that only the cache can answer. */
static inline void lose_objects(struct fixture *f)
{
	assert_int_equal(renameat(f->s.dir, "objects", f->s.dir, "lost"), 0);
	assert_int_equal(io_mkdir(f->s.dir, "objects", 0700), 0);
}

static inline void find_objects(struct fixture *f)
{
	assert_int_equal(io_rm_rf(f->s.dir, "objects"), 0);
	assert_int_equal(renameat(f->s.dir, "lost", f->s.dir, "objects"), 0);
}

static inline int cached(struct fixture *f, struct content *c, int blobs)
{
	int n = 0;

	for (int i = 0; i < blobs; i++)
		n += check_blob(f, c, i, 131072) == 0 && f->sizes[i] > 0;
	return n;
}

static inline void scribble(struct fixture *f, const char *name, uint64_t off, size_t n)
{
	int fd = openat(f->cache, name, O_RDWR | O_CLOEXEC);
	unsigned char b;

	assert_true(fd >= 0);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(io_pread_full(fd, &b, 1, off + i), 0);
		b ^= 0x55;
		assert_int_equal(io_pwrite_full(fd, &b, 1, off + i), 0);
	}
	(void)close(fd);
}

enum { MANY = 7000 };
