/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a pack and its index (git's Documentation/gitformat-pack):
 *
 *   pack   "PACK", u32 version 2, u32 entries; the entries; SHA-1 of all before
 *   idx    "\377tOc", u32 version 2; 256 u32: how many ids begin with a byte up to this one; ids,
 *          sorted; u32 CRC-32 each; u32 offset each (packs stay below 2 GiB, objects.c sees to that);
 *          the pack's SHA-1; SHA-1 of all before
 *
 * Steps of pack_land(), and what a crash after each leaves in objects/pack:
 *   1. tmp_pack_XXXXXX and tmp_idx_XXXXXX are written and synced    two files that git gc removes
 *   2. pack-<SHA-1>.keep, locked with flock(2)                      that, and an empty mark
 *   3. renames: pack, then index; the folder is synced              a whole pack with its mark
 *   4. the refs move (the caller)
 *   5. pack_release(): the mark goes                                an ordinary pack
 *
 * The mark is git's own: `git repack -a -d` that runs at the same time would otherwise drop a pack to
 * which no ref leads yet. It is ours if it says so, and nobody holds its lock if its process is gone:
 * the next pack_land() in the repository removes such marks, and from then on git gc treats the pack
 * as any other.
 */
#include "pack.h"

#include <dirent.h>
#include <fcntl.h>
#include <nettle/sha1.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "io.h"
#include "sys.h"

#define KEEP_TEXT "agentfs is putting this pack in place\n"

enum { HEAD_SIZE = 12, SPILL = 8 << 20, CHUNK = 1 << 18, NAME_SIZE = 64 };

struct pack {
	char *dir;	      /* objects/pack, or NULL */
	int dir_fd, fd;	      /* the folder; the pack, -1 while all is in memory */
	struct buf tail;      /* from `written` on */
	uint64_t written;     /* bytes that are in the file */
	char tmp[NAME_SIZE];  /* its name, "" where it has none (any more) */
	char keep[NAME_SIZE]; /* the mark's */
	int keep_fd;
};

static void put32(uint8_t *p, uint64_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

int pack_new(const char *objects, struct pack **ret)
{
	struct pack *p = sys_calloc(1, sizeof(*p));
	uint8_t head[HEAD_SIZE] = {'P', 'A', 'C', 'K', 0, 0, 0, 2};

	if (!p)
		return -ENOMEM;
	p->dir_fd = p->fd = p->keep_fd = -1;
	if (objects && asprintf(&p->dir, "%s/pack", objects) < 0)
		p->dir = NULL;
	if ((objects && !p->dir) || buf_add(&p->tail, head, sizeof(head)) < 0) {
		pack_free(p);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}

void pack_free(struct pack *p)
{
	if (!p)
		return;
	if (p->tmp[0])
		(void)sys.unlinkat(p->dir_fd, p->tmp, 0);
	pack_release(p);
	(void)safe_close(p->fd);
	(void)safe_close(p->dir_fd);
	buf_release(&p->tail);
	free(p->dir);
	free(p);
}

uint64_t pack_size(const struct pack *p)
{
	return p->written + p->tail.len;
}

/* --- files -------------------------------------------------------------------------------------
 */

static int open_dir(struct pack *p)
{
	if (p->dir_fd >= 0)
		return 0;
	if (mkdir(p->dir, 0777) < 0 && errno != EEXIST)
		return -errno;
	p->dir_fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return p->dir_fd < 0 ? -errno : 0;
}

/* A file with a name of its own that git prune takes for a remainder: "tmp_<kind>_XXXXXX". */
static int make_temp(const struct pack *p, const char *kind, char name[NAME_SIZE])
{
	for (int i = 0; i < 1000; i++) {
		int fd;

		(void)snprintf(name, NAME_SIZE, "tmp_%s_%08lx%04x", kind,
			       (unsigned long)sys_now_ns(), (unsigned)getpid() & 0xffff);
		fd = sys.openat(p->dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
				0444);
		if (fd >= 0 || errno != EEXIST)
			return fd < 0 ? -errno : fd;
	}
	return -EEXIST;
}

static int open_file(struct pack *p)
{
	int r = 0;

	if (p->fd >= 0)
		return 0;
	if (!p->dir) {
		p->fd = memfd_create("pack", MFD_CLOEXEC);
		return p->fd < 0 ? -errno : 0;
	}
	r = open_dir(p);
	if (r == 0)
		r = p->fd = make_temp(p, "pack", p->tmp);
	if (r < 0)
		p->tmp[0] = '\0';
	return r < 0 ? r : 0;
}

static int spill(struct pack *p)
{
	int r = open_file(p);

	if (r == 0)
		r = io_pwrite_full(p->fd, p->tail.data, p->tail.len, p->written);
	if (r < 0)
		return r;
	p->written += p->tail.len;
	buf_clear(&p->tail);
	return 0;
}

int pack_append(struct pack *p, const void *bytes, size_t n, uint64_t *ret_off)
{
	uint64_t off = pack_size(p);
	int r = buf_add(&p->tail, bytes, n);

	if (r == 0 && p->tail.len >= SPILL)
		r = spill(p);
	if (r == 0)
		*ret_off = off;
	return r;
}

int pack_read(struct pack *p, uint64_t off, void *buf, size_t n)
{
	if (off < p->written)
		return io_pread_full(p->fd, buf, n, off);
	if (off - p->written > p->tail.len || n > p->tail.len - (off - p->written))
		return -EIO;
	memcpy(buf, p->tail.data + (off - p->written), n);
	return 0;
}

/* --- putting it in place -----------------------------------------------------------------------
 */

static int digest(struct pack *p, uint8_t sum[SHA1_DIGEST_SIZE])
{
	struct sha1_ctx sha;
	_cleanup_free_ char *chunk = NULL;

	sha1_init(&sha);
	if (p->written)
		chunk = sys.malloc(CHUNK);
	if (p->written && !chunk)
		return -ENOMEM;
	for (uint64_t off = 0; off < p->written;) {
		size_t n = p->written - off < CHUNK ? (size_t)(p->written - off) : CHUNK;
		int r = io_pread_full(p->fd, chunk, n, off);

		if (r < 0)
			return r;
		sha1_update(&sha, n, (const uint8_t *)chunk);
		off += n;
	}
	sha1_update(&sha, p->tail.len, (const uint8_t *)p->tail.data);
	sha1_digest(&sha, SHA1_DIGEST_SIZE, sum);
	return 0;
}

/* The number of entries is known now; then the sum, and all of it into the file. */
static int finish_pack(struct pack *p, size_t n, uint8_t sum[SHA1_DIGEST_SIZE])
{
	uint8_t count[4];
	int r = 0;

	put32(count, n);
	if (p->written)
		r = io_pwrite_full(p->fd, count, sizeof(count), 8);
	else
		memcpy(p->tail.data + 8, count, sizeof(count));
	if (r == 0)
		r = digest(p, sum);
	if (r == 0)
		r = buf_add(&p->tail, sum, SHA1_DIGEST_SIZE);
	return r == 0 ? spill(p) : r;
}

static int by_id(const void *a, const void *b)
{
	return memcmp(((const struct pack_entry *)a)->oid.id,
		      ((const struct pack_entry *)b)->oid.id, GIT_OID_RAWSZ);
}

static int add32(struct buf *b, uint64_t v)
{
	uint8_t p[4];

	put32(p, v);
	return buf_add(b, p, sizeof(p));
}

static int add_fanout(struct buf *b, const struct pack_entry *entries, size_t n)
{
	size_t at = 0;
	int r = 0;

	for (unsigned byte = 0; r == 0 && byte < 256; byte++) {
		while (at < n && entries[at].oid.id[0] <= byte)
			at++;
		r = add32(b, at);
	}
	return r;
}

static int make_idx(const struct pack_entry *entries, size_t n, const uint8_t *pack_sum,
		    struct buf *b)
{
	static const uint8_t head[8] = {0xff, 't', 'O', 'c', 0, 0, 0, 2};
	uint8_t sum[SHA1_DIGEST_SIZE];
	struct sha1_ctx sha;
	int r = buf_reserve(b, 8 + 1024 + n * 28 + sizeof(sum) * 2 + 1);

	if (r == 0)
		r = buf_add(b, head, sizeof(head));
	if (r == 0)
		r = add_fanout(b, entries, n);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = buf_add(b, entries[i].oid.id, GIT_OID_RAWSZ);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = add32(b, entries[i].crc);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = add32(b, entries[i].off);
	if (r == 0)
		r = buf_add(b, pack_sum, SHA1_DIGEST_SIZE);
	if (r < 0)
		return r;
	sha1_init(&sha);
	sha1_update(&sha, b->len, (const uint8_t *)b->data);
	sha1_digest(&sha, sizeof(sum), sum);
	return buf_add(b, sum, sizeof(sum));
}

/* Ours, and nobody is at it any more? */
static bool is_stale(int dir, const char *name)
{
	_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char text[sizeof(KEEP_TEXT)];

	return fd >= 0 && read(fd, text, sizeof(text)) == sizeof(KEEP_TEXT) - 1 &&
	       memcmp(text, KEEP_TEXT, sizeof(KEEP_TEXT) - 1) == 0 &&
	       flock(fd, LOCK_EX | LOCK_NB) == 0;
}

/* Marks that a killed process has left. */
static void sweep(const struct pack *p)
{
	int fd = openat(p->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!d) {
		(void)safe_close(fd);
		return;
	}
	while ((e = readdir(d))) {
		const char *dot = strrchr(e->d_name, '.');

		if (dot && strcmp(dot, ".keep") == 0 && is_stale(p->dir_fd, e->d_name))
			(void)unlinkat(p->dir_fd, e->d_name, 0);
	}
	(void)closedir(d);
}

/* Locked before it has its name, so that nobody takes it for a stale one. A mark that somebody else
 * has put there stays his. */
static int make_keep(struct pack *p)
{
	char tmp[NAME_SIZE];
	int fd = make_temp(p, "keep", tmp), r;

	if (fd < 0)
		return fd;
	r = io_pwrite_full(fd, KEEP_TEXT, sizeof(KEEP_TEXT) - 1, 0);
	if (r == 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		r = -errno;
	if (r == 0 && linkat(p->dir_fd, tmp, p->dir_fd, p->keep, 0) < 0) {
		r = errno == EEXIST ? 0 : -errno;
		p->keep[0] = '\0';
	}
	(void)sys.unlinkat(p->dir_fd, tmp, 0);
	if (r < 0 || !p->keep[0])
		(void)safe_close(fd);
	else
		p->keep_fd = fd;
	return r;
}

void pack_release(struct pack *p)
{
	if (p->keep_fd < 0)
		return;
	(void)unlinkat(p->dir_fd, p->keep, 0); /* what stays is swept by the next */
	p->keep_fd = safe_close(p->keep_fd);
}

/* Step 3. The index's name is what makes the pack known: it comes last. */
static int rename_both(struct pack *p, const char *idx, const char *hex)
{
	char name[NAME_SIZE];

	(void)snprintf(name, sizeof(name), "pack-%s.pack", hex);
	if (sys.renameat(p->dir_fd, p->tmp, p->dir_fd, name) < 0)
		return -errno;
	p->tmp[0] = '\0';
	(void)snprintf(name, sizeof(name), "pack-%s.idx", hex);
	if (sys.renameat(p->dir_fd, idx, p->dir_fd, name) < 0)
		return -errno;
	return sys.fsync(p->dir_fd) < 0 ? -errno : 0;
}

static int place(struct pack *p, const struct buf *idx, const uint8_t *sum)
{
	_cleanup_close_ int fd = -1;
	char hex[2 * SHA1_DIGEST_SIZE + 1], tmp[NAME_SIZE];
	int r = fd = make_temp(p, "idx", tmp);

	if (r < 0)
		return r;
	for (size_t i = 0; i < SHA1_DIGEST_SIZE; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", sum[i]);
	(void)snprintf(p->keep, sizeof(p->keep), "pack-%s.keep", hex);
	r = io_pwrite_full(fd, idx->data, idx->len, 0);
	/* Both are on their way before the first is waited for. */
	(void)sync_file_range(p->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	if (r == 0 && (sys.fsync(fd) < 0 || sys.fsync(p->fd) < 0))
		r = -errno;
	if (r == 0)
		r = make_keep(p);
	if (r == 0)
		r = rename_both(p, tmp, hex);
	if (r < 0)
		(void)sys.unlinkat(p->dir_fd, tmp, 0);
	return r;
}

int pack_land(struct pack *p, struct pack_entry *entries, size_t n, struct err *reterr)
{
	_cleanup_buf_ struct buf idx = BUF_INIT;
	uint8_t sum[SHA1_DIGEST_SIZE];
	int r = open_dir(p);

	if (r == 0) {
		sweep(p);
		qsort(entries, n, sizeof(*entries), by_id);
		r = finish_pack(p, n, sum);
	}
	if (r == 0)
		r = make_idx(entries, n, sum, &idx);
	if (r == 0)
		r = place(p, &idx, sum);
	if (r < 0)
		pack_release(p);
	return r < 0 ? err_set(reterr, r, "writing a pack in '%s': %s", p->dir, strerror(-r)) : 0;
}
