/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of the shared content cache.
 *
 * Guarantees:
 *  1. Bytes that are handed out are those that were added under that id: an entry is published
 *     after its bytes, carries a checksum of itself and one of the bytes, and the latter is
 *     recomputed by each process the first time it uses the entry. XXH3 runs at memory speed, so
 *     this costs one read of the blob per process; it is what makes syncing needless: after a power
 *     cut entries without their bytes are noticed and made again. The id itself was checked once,
 *     by git, when the bytes were added.
 *  2. Within one boot no byte of a data file is written twice, and no file is truncated or punched:
 *     an entry that was once checked stays true. After a reboot (the tail on disk may be older than
 *     the entries) writing goes on in a new data file.
 *  3. kill -9 at any instant leaves a usable cache. The steps of adding, and what a death after
 *     each leaves: (a) the tail is moved: unused bytes; (b) the bytes are written: unused bytes;
 *     (c) the entry is written: done. Small blobs have all steps under one lock, with (b) before
 *     (a): bytes behind the tail. Large ones take the lock for (a) and for (c) only.
 *  4. Processes may add the same blob at once: both write bytes, the second finds the entry and
 *     drops its own. Harmless, and rarer than waiting would be dear.
 *
 * No mapping: the table is read with pread (one call a lookup), so a file that somebody cuts off
 * gives a miss, not SIGBUS. A lookup takes no lock between processes; an entry that is being
 * written is recognised by its checksum and is a miss.
 *
 * Files in the folder, little-endian:
 *
 *   lock      empty; flock(2) exclusive by whoever changes header or entries, or begins a table
 *   users     empty; flock(2) shared by every process for as long as it has the cache open
 *   table     header, then at 4096 the slots, 64 bytes each:
 *      0   8  magic "AFSCNT\0\0"
 *      8   4  version, 1
 *     12   4  number of the data file that is being filled
 *     16   8  compatible features, 0       24  8  incompatible features, 0
 *     32   8  number of slots, a power of two
 *     40   8  slots in use
 *     48   8  tail: offset in that data file from which on nothing is used
 *     56  16  boot id in which the tail was last moved
 *     72   8  XXH3-64 of the bytes 0 to 71
 *     Slot: struct content_entry. An id's slot is its first 8 bytes modulo the number of slots, or
 *     the next free one after it (wrapping). Slots are never freed.
 *   data.<n>  blobs, one after the other, each at a multiple of 64; preallocated in steps
 *
 * When 3/4 of the slots are in use (or damaged ones fill a run) a new table is written to
 * `table.new` and renamed over `table`. A process still using the old one only misses what is
 * newer: before it adds, and after a miss, it compares the name's inode number with its own and
 * opens the new one.
 *
 * The size is bounded: at 64 GiB (content_data.c) nothing more is added (reads go to git). Whoever
 * opens the cache and finds it full and nobody else in `users` removes it all, and it begins anew.
 * The same becomes of a damaged cache; while others use it, only its table is replaced.
 *
 * Locks: `table_lock` (which table is open), taken after `add_lock` (one adder per process; guards
 * the flock and header writes). No git under either.
 */
#include "content_store.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "content_data.h"
#include "content_table.h"
#include "hash.h"
#include "io.h"
#include "sys.h"

#define FILE_FULL   (UINT64_C(1) << 30) /* a data file is left when its tail is here */
#define OFFSET_MASK ((UINT64_C(1) << 48) - 1)

enum {
	ALIGN = 64,
	CHECK_CHUNK = 1 << 18,
	SMALL = 1 << 18, /* blobs up to here are written under the lock */
};

struct content_store {
	int dir;
	int lock_fd;
	int users_fd;
	uint8_t boot[16];
	pthread_mutex_t add_lock;
	pthread_rwlock_t table_lock;
	struct content_table table;
	ino_t rebuilt; /* the table that this process made; under add_lock */
	struct content_data data;
};

/* Opens what now stands under the table's name. */
static int table_reopen(struct content_store *s)
{
	struct content_table t, old;
	int r = content_table_open(s->dir, &t);

	if (r < 0)
		return r;
	(void)pthread_rwlock_wrlock(&s->table_lock);
	old = s->table;
	s->table = t;
	(void)pthread_rwlock_unlock(&s->table_lock);
	content_table_release(&old);
	return 0;
}

/* --- folder ------------------------------------------------------------------------------------
 */

static int open_lock(int dir, const char *name, int *ret)
{
	int fd = sys.openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	*ret = fd;
	return 0;
}

static int lock_wait(int fd, int how)
{
	while (flock(fd, how) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static void read_boot_id(uint8_t boot[16])
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	/* Without one every opening counts as a new boot: wasteful and safe. */
	if (io_read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", 4096, &b) < 0) {
		uint64_t now = sys_now_ns();

		memset(boot, 0, 16);
		memcpy(boot, &now, sizeof(now));
		return;
	}
	XXH128_hash_t h = XXH3_128bits(b.data, b.len);

	memcpy(boot, &h, 16);
}

/* An empty table whose first bytes go to a data file that nobody has used. */
static int begin_table(struct content_store *s, uint32_t file)
{
	struct content_header h = {.file = file};

	if (file >= CONTENT_FILES_MAX)
		return -ENOSPC;
	memcpy(h.boot, s->boot, sizeof(h.boot));
	return content_table_begin(s->dir, &h);
}

/* Guarantee 2 after a reboot. */
static int renew_tail(struct content_store *s, uint32_t next)
{
	struct content_header h;
	int r = content_header_read(s->table.fd, &h);

	if (r < 0 || memcmp(h.boot, s->boot, sizeof(h.boot)) == 0)
		return r;
	memcpy(h.boot, s->boot, sizeof(h.boot));
	h.file = next < CONTENT_FILES_MAX ? next : CONTENT_FILES_MAX - 1;
	h.tail = next < CONTENT_FILES_MAX ? 0 : FILE_FULL;
	return content_header_write(s->table.fd, &h);
}

/* Under the flock; `alone`: nobody else has the cache open. */
static int open_locked(struct content_store *s, bool alone)
{
	uint64_t total;
	uint32_t next;
	int r = content_data_survey(s->dir, &total, &next);

	if (r < 0)
		return r;
	r = content_table_open(s->dir, &s->table);
	if (alone && (r == -EBADMSG || content_data_full(total, next))) {
		content_table_release(&s->table);
		content_data_drop(s->dir);
		next = 0;
		r = -ENOENT;
	}
	if (r == -ENOENT || r == -EBADMSG) {
		r = begin_table(s, next);
		if (r == 0)
			r = content_table_open(s->dir, &s->table);
	}
	return r < 0 ? r : renew_tail(s, next);
}

static int open_files(struct content_store *s)
{
	bool alone;
	int r = open_lock(s->dir, "lock", &s->lock_fd);

	if (r == 0)
		r = open_lock(s->dir, "users", &s->users_fd);
	if (r == 0)
		r = lock_wait(s->lock_fd, LOCK_EX);
	if (r < 0)
		return r;
	/* Both in this order only while `lock` is held, so that nobody comes in between. */
	alone = flock(s->users_fd, LOCK_EX | LOCK_NB) == 0;
	r = open_locked(s, alone);
	if (r == 0)
		r = lock_wait(s->users_fd, LOCK_SH);
	(void)flock(s->lock_fd, LOCK_UN);
	return r;
}

int content_store_open(int dir, struct content_store **ret)
{
	struct content_store *s = sys_calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->dir = s->data.dir = dir;
	s->lock_fd = s->users_fd = s->table.fd = -1;
	(void)pthread_mutex_init(&s->add_lock, NULL);
	(void)pthread_rwlock_init(&s->table_lock, NULL);
	read_boot_id(s->boot);
	r = open_files(s);
	if (r < 0) {
		content_store_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void content_store_close(struct content_store *s)
{
	if (!s)
		return;
	content_data_release(&s->data);
	content_table_release(&s->table);
	(void)safe_close(s->lock_fd);
	(void)safe_close(s->users_fd);
	(void)pthread_rwlock_destroy(&s->table_lock);
	(void)pthread_mutex_destroy(&s->add_lock);
	free(s);
}

/* --- data --------------------------------------------------------------------------------------
 */

static int read_bytes(struct content_store *s, const struct content_entry *e, uint64_t off,
		      void *buf, size_t n, bool cached)
{
	int fd = content_data_fd(&s->data, (uint32_t)(e->place >> 48), false);

	if (fd < 0)
		return fd == -ENOENT ? -EIO : fd;
	off += e->place & OFFSET_MASK;
	return cached ? io_pread_cached(fd, buf, n, off) : io_pread_full(fd, buf, n, off);
}

/* Guarantee 1: the bytes are those that were added. */
static int check_bytes(struct content_store *s, const struct content_entry *e, bool cached)
{
	size_t chunk = e->size < CHECK_CHUNK ? (size_t)e->size : CHECK_CHUNK;
	_cleanup_free_ void *buf = NULL;
	XXH3_state_t *x = NULL;
	int r = 0;

	if (cached && e->size > CHECK_CHUNK)
		return -EAGAIN;
	buf = sys.malloc(chunk ? chunk : 1);
	x = XXH3_createState();
	if (!buf || !x)
		r = -ENOMEM;
	if (r == 0)
		(void)XXH3_64bits_reset(x);
	for (uint64_t off = 0; r == 0 && off < e->size; off += chunk) {
		size_t n = e->size - off < chunk ? (size_t)(e->size - off) : chunk;

		r = read_bytes(s, e, off, buf, n, cached);
		if (r == 0)
			(void)XXH3_64bits_update(x, buf, n);
	}
	if (r == 0 && XXH3_64bits_digest(x) != e->sum)
		r = -EIO;
	if (x)
		(void)XXH3_freeState(x);
	return r;
}

/* The same for a blob that is wanted as a whole, as small files are: read once. */
static int check_whole(struct content_store *s, const struct content_entry *e, void *buf,
		       bool cached)
{
	int r = read_bytes(s, e, 0, buf, e->size, cached);

	return r == 0 && XXH3_64bits(buf, e->size) != e->sum ? -EIO : r;
}

static int get(struct content_store *s, const uint8_t oid[32], uint64_t size, uint64_t off,
	       void *buf, size_t n, bool cached)
{
	bool checked, whole = off == 0 && n == size;
	struct content_entry e;
	uint64_t slot;
	int r;

	(void)pthread_rwlock_rdlock(&s->table_lock);
	r = content_table_find(&s->table, oid, &slot, &e);
	if (r == 0 && e.size != size)
		r = -ENOENT;
	checked = r == 0 && content_table_checked(&s->table, slot);
	if (r == 0 && !checked) {
		r = whole ? check_whole(s, &e, buf, cached) : check_bytes(s, &e, cached);
		if (r == 0)
			content_table_set_checked(&s->table, slot);
	}
	(void)pthread_rwlock_unlock(&s->table_lock);
	if (r == 0 && (checked || !whole))
		r = read_bytes(s, &e, off, buf, n, cached);
	return r == 0 || r == -ENOMEM || r == -EAGAIN ? r : -ENOENT;
}

int content_store_get(struct content_store *s, const uint8_t oid[32], uint64_t size, uint64_t off,
		      void *buf, size_t n, bool cached)
{
	int r = get(s, oid, size, off, buf, n, cached);
	bool current;

	if (r != -ENOENT)
		return r;
	if (cached)
		return -EAGAIN;
	(void)pthread_rwlock_rdlock(&s->table_lock);
	current = content_table_current(s->dir, &s->table);
	(void)pthread_rwlock_unlock(&s->table_lock);
	if (current)
		return r;
	(void)pthread_mutex_lock(&s->add_lock);
	if (!content_table_current(s->dir, &s->table))
		(void)table_reopen(s);
	(void)pthread_mutex_unlock(&s->add_lock);
	return get(s, oid, size, off, buf, n, false);
}

/* --- adding ------------------------------------------------------------------------------------
 */

/* Opens the data file to be filled. One that is full is left, and so is one that somebody has cut
 * off: made longer again it would show zeros where entries point. */
static int data_to_fill(struct content_store *s, struct content_header *h, uint64_t *ret_size)
{
	uint64_t total;
	struct stat st;
	int fd = content_data_fd(&s->data, h->file, true), r;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (h->tail < FILE_FULL && (uint64_t)st.st_size >= h->tail) {
		*ret_size = (uint64_t)st.st_size;
		return fd;
	}
	r = content_data_survey(s->dir, &total, &h->file);
	if (r < 0)
		return r;
	if (h->file >= CONTENT_FILES_MAX)
		return -ENOSPC;
	h->tail = *ret_size = 0;
	return content_data_fd(&s->data, h->file, true);
}

/* Under the flock: takes n bytes at the tail; the caller writes the header. */
static int take_space(struct content_store *s, struct content_header *h, size_t n,
		      uint64_t *ret_place)
{
	uint64_t len = ((uint64_t)n + ALIGN - 1) & ~(uint64_t)(ALIGN - 1), size;
	int fd = data_to_fill(s, h, &size), r;

	if (fd < 0)
		return fd;
	r = content_data_reserve(&s->data, fd, size, h->tail + len);
	if (r < 0)
		return r;
	*ret_place = (uint64_t)h->file << 48 | h->tail;
	h->tail += len;
	return 0;
}

/* Begins a new table in place of a damaged one that others may still read. Under the flock. */
static int renew_table(struct content_store *s, struct content_header *ret)
{
	uint64_t total;
	uint32_t next;
	int r = content_data_survey(s->dir, &total, &next);

	if (r == 0)
		r = begin_table(s, next);
	if (r == 0)
		r = table_reopen(s);
	return r < 0 ? r : content_header_read(s->table.fd, ret);
}

/* Takes add_lock and the flock with the current table open. */
static int add_begin(struct content_store *s, struct content_header *ret)
{
	int r;

	(void)pthread_mutex_lock(&s->add_lock);
	r = lock_wait(s->lock_fd, LOCK_EX);
	if (r == 0 && !content_table_current(s->dir, &s->table))
		r = table_reopen(s);
	if (r == 0)
		r = content_header_read(s->table.fd, ret);
	return r == -EBADMSG ? renew_table(s, ret) : r;
}

static void add_end(struct content_store *s)
{
	(void)flock(s->lock_fd, LOCK_UN);
	(void)pthread_mutex_unlock(&s->add_lock);
}

/* 1: somebody else has added it, and it is right. */
static int already_there(struct content_store *s, const uint8_t oid[32], uint64_t *ret_slot,
			 bool *ret_replaces)
{
	struct content_entry e;
	int r = content_table_find(&s->table, oid, ret_slot, &e);

	*ret_replaces = r == 0;
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	if (check_bytes(s, &e, false) < 0)
		return 0;
	content_table_set_checked(&s->table, *ret_slot);
	return 1;
}

/* Under add_lock and the flock. */
static int rebuild(struct content_store *s, uint64_t slots, struct content_header *h)
{
	int r = content_table_rebuild(s->dir, &s->table, slots, h);

	if (r == 0)
		r = table_reopen(s);
	if (r == 0)
		s->rebuilt = s->table.ino;
	return r;
}

/* Finds the slot for an entry, making room where there is none; 1 as already_there(). */
static int find_slot(struct content_store *s, struct content_header *h, const uint8_t oid[32],
		     uint64_t *ret_slot, bool *ret_replaces)
{
	int r = 0;

	if (h->used + h->used / 3 >= h->slots)
		r = rebuild(s, h->slots * 2, h);
	if (r == 0)
		r = already_there(s, oid, ret_slot, ret_replaces);
	/* A long run in a table that is not full: damaged slots, which go away, or ids that
	 * somebody has chosen, which stay: rebuilt once. */
	if (r != -ENOSPC || s->rebuilt == s->table.ino)
		return r;
	r = rebuild(s, h->slots, h);
	return r < 0 ? r : already_there(s, oid, ret_slot, ret_replaces);
}

static int reserve(struct content_store *s, const uint8_t oid[32], size_t n, uint64_t *ret_place)
{
	struct content_header h;
	uint64_t slot;
	bool replaces;
	int r = add_begin(s, &h);

	if (r == 0)
		r = find_slot(s, &h, oid, &slot, &replaces);
	if (r == 0)
		r = take_space(s, &h, n, ret_place);
	if (r == 0)
		r = content_header_write(s->table.fd, &h);
	add_end(s);
	return r;
}

static int write_bytes(struct content_store *s, const struct content_entry *e, const void *p)
{
	int fd = content_data_fd(&s->data, (uint32_t)(e->place >> 48), false);

	return fd < 0 ? fd : io_pwrite_full(fd, p, e->size, e->place & OFFSET_MASK);
}

/* Step (c), and the header. Under the flock. Whoever dies between header and entry leaves the count
 * too large, which only lets the table grow earlier. */
static int publish(struct content_store *s, struct content_header *h, uint64_t slot, bool replaces,
		   struct content_entry *e)
{
	int r;

	h->used += !replaces;
	r = content_header_write(s->table.fd, h);
	if (r == 0)
		r = content_table_put(&s->table, slot, e);
	if (r == 0)
		content_table_set_checked(&s->table, slot);
	return r;
}

/* One turn of the lock: what is written is in the page cache in no time. */
static int add_small(struct content_store *s, struct content_entry *e, const void *p)
{
	struct content_header h;
	uint64_t slot;
	bool replaces;
	int r = add_begin(s, &h);

	if (r == 0)
		r = find_slot(s, &h, e->oid, &slot, &replaces);
	if (r == 0)
		r = take_space(s, &h, e->size, &e->place);
	if (r == 0)
		r = write_bytes(s, e, p);
	if (r == 0)
		r = publish(s, &h, slot, replaces, e);
	add_end(s);
	return r;
}

/* Two turns, so that nobody waits for the write. */
static int add_large(struct content_store *s, struct content_entry *e, const void *p)
{
	struct content_header h;
	uint64_t slot;
	bool replaces;
	int r = reserve(s, e->oid, e->size, &e->place);

	if (r == 0)
		r = write_bytes(s, e, p);
	if (r != 0)
		return r;
	r = add_begin(s, &h);
	if (r == 0)
		r = find_slot(s, &h, e->oid, &slot, &replaces);
	if (r == 0)
		r = publish(s, &h, slot, replaces, e);
	add_end(s);
	return r;
}

int content_store_add(struct content_store *s, const uint8_t oid[32], const void *p, size_t n)
{
	struct content_entry e = {.size = n, .sum = XXH3_64bits(p, n)};
	int r;

	memcpy(e.oid, oid, sizeof(e.oid));
	r = n <= SMALL ? add_small(s, &e, p) : add_large(s, &e, p);
	return r < 0 ? r : 0; /* 1: somebody else has added it */
}
