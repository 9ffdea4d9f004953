/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data segments.
 *
 * (1) Bytes once written are never written again: an address means the same bytes for good.
 * (2) data_append() returns when the bytes are in the page cache. They outlive the process; a sync
 * of data_dirty_fds() makes them outlive a power cut. (3) -ENOSPC is decided before a byte is
 * written: space comes from the current segment or a spare. (4) No more than FDS_MAX descriptors
 * are open, but for those in use at this moment; read-only, all stay open. (5) After opening,
 * appends go behind the highest end told by data_mark_used(), so nothing that a record or
 * checkpoint names is overwritten. (6) Each class of bytes has segments of its own: the newest of a
 * class is the one that is appended to, the others are sealed and can be removed once nothing in
 * them is live (view_compact.c).
 *
 * Segments are files NNNNNNNNNN.dat, from 1, ascending, with gaps where one was reclaimed. The
 * first of a class has 32 KiB, later ones twice as much as the one before up to 256 MiB (.git: 16), and less
 * where the disk has no more; bytes longer than that get a segment of their own size. An address is number <<
 * 32 | offset. A segment is a header, little-endian,
 *
 *       0  8   magic "AFSDATA\n"
 *       8  u16 version, 1
 *      10  u16 hash algorithm of this header's checksum; 1: XXH3-64
 *      12  u32 size of this header, 128
 *      16  u32 compatible features: none yet
 *      20  u32 incompatible features (unknown ones refuse the file): none yet
 *      24  u64 number of this segment
 *      32  16  owner id (the view's)
 *      48  u64 creation time, CLOCK_REALTIME ns
 *      56  u8  class: 0 files, 1 the view's own .git (enum data_class)
 *      57  63  zeros
 *     120  u64 XXH3-64 of bytes 0 to 119; here in every version
 *
 * and bytes, without any structure of their own: digests and lengths stand in the journal.
 *
 * What a crash leaves, by step:
 *   append: bytes that no record names; the next process writes over them.
 *   a new segment: a header in a spare (wiped when taken over); or, renamed and after a power cut,
 * a segment without header: it holds nothing that was synced, is refused where something names it,
 * and is left alone otherwise.
 */
#include "data.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "cleanup.h"
#include "data_internal.h"
#include "io.h"
#include "segfile.h"
#include "sys.h"

enum { VERSION = 1, HASH_XXH3_64 = 1, FDS_MAX = 32 };
enum { APPEND_MAX = 1 << 30 };
enum { PAGE_BYTES = 4096, LARGE = 128 << 10, LARGE_UNIT = 64 << 10 };

/* A sealed segment is what the compactor can take: small ones where bytes die soon. */
static const uint64_t segment_max[DATA_CLASSES] = {
	[DATA_FILES] = 256 << 20,
	[DATA_GIT] = 16 << 20,
};

struct disk_head {
	char magic[8];
	uint16_t version;
	uint16_t hash;
	uint32_t header_size;
	uint32_t compat;
	uint32_t incompat;
	uint64_t number;
	uint8_t owner_id[16];
	uint64_t created;
	uint8_t class;
	uint8_t reserved[63];
	uint64_t checksum;
};
_Static_assert(sizeof(struct disk_head) == DATA_HEADER_SIZE, "no padding");

static const char head_magic[8] = {'A', 'F', 'S', 'D', 'A', 'T', 'A', '\n'};

static void head_write(uint8_t p[DATA_HEADER_SIZE], uint64_t number, enum data_class class,
		       const uint8_t owner_id[16])
{
	struct disk_head d = {
		.version = htole16(VERSION),
		.hash = htole16(HASH_XXH3_64),
		.header_size = htole32(DATA_HEADER_SIZE),
		.number = htole64(number),
		.created = htole64(sys_now_ns()),
		.class = (uint8_t) class,
	};

	memcpy(d.magic, head_magic, sizeof(d.magic));
	memcpy(d.owner_id, owner_id, sizeof(d.owner_id));
	d.checksum = htole64(XXH3_64bits(&d, offsetof(struct disk_head, checksum)));
	memcpy(p, &d, sizeof(d));
}

/* Errors: -EBADMSG no valid header, -EUCLEAN another segment's or owner's, -EPROTONOSUPPORT. */
static int head_check(const uint8_t p[DATA_HEADER_SIZE], uint64_t number,
		      const uint8_t owner_id[16], uint8_t *ret_class)
{
	struct disk_head d;

	memcpy(&d, p, sizeof(d));
	if (memcmp(d.magic, head_magic, sizeof(d.magic)) != 0 ||
	    le64toh(d.checksum) != XXH3_64bits(&d, offsetof(struct disk_head, checksum)))
		return -EBADMSG;
	if (le16toh(d.version) != VERSION || le16toh(d.hash) != HASH_XXH3_64 ||
	    le32toh(d.header_size) != DATA_HEADER_SIZE || d.incompat != 0)
		return -EPROTONOSUPPORT;
	if (le64toh(d.number) != number || memcmp(d.owner_id, owner_id, 16) != 0)
		return -EUCLEAN;
	*ret_class = d.class < DATA_CLASSES ? d.class : DATA_FILES;
	return 0;
}

/* Room for one more in the list. */
static int reserve_segment(struct data *d)
{
	struct segment **p;

	if (d->n < d->cap)
		return 0;
	p = sys.realloc(d->segs, (d->cap + 64) * sizeof(struct segment *));
	if (!p)
		return -ENOMEM;
	d->segs = p;
	d->cap += 64;
	return 0;
}

struct segment *data_segment(struct data *d, uint64_t number)
{
	size_t lo = 0, hi = d->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (d->segs[mid]->number == number)
			return d->segs[mid];
		if (d->segs[mid]->number < number)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static int load_segment(struct data *d, uint64_t number, struct err *reterr)
{
	_cleanup_free_ struct segment *s = sys_calloc(1, sizeof(*s));
	_cleanup_close_ int fd = -1;
	uint8_t head[DATA_HEADER_SIZE] = {0};
	char name[SEGFILE_NAME_SIZE];
	int r;

	if (!s || reserve_segment(d) < 0)
		return -ENOMEM;
	segfile_name(name, number, DATA_SUFFIX);
	fd = segfile_open(d->dir, number, DATA_SUFFIX, O_RDONLY);
	r = fd < 0 ? fd : segfile_size(fd, &s->size);
	if (r == 0 && s->size >= DATA_HEADER_SIZE)
		r = io_pread_full(fd, head, sizeof(head), 0);
	if (r < 0)
		return err_set(reterr, r, "read data segment %s: %s", name, strerror(-r));
	r = number > UINT32_MAX ? -EUCLEAN : head_check(head, number, d->owner_id, &s->class);
	if (r == -EUCLEAN)
		return err_set_id(
			reterr, -EBADMSG, "Damaged",
			"data segment %s belongs to another place or another view; put the "
			"right file back",
			name);
	if (r == -EPROTONOSUPPORT)
		return err_set_id(reterr, r, "Unsupported",
				  "data segment %s was written by a newer agentfs; use that one",
				  name);
	s->number = number;
	s->end = DATA_HEADER_SIZE;
	/* A snapshot's reader may since have given up the right to open it again. */
	s->fd = d->read_only ? TAKE_FD(fd) : -1;
	s->broken = r < 0;
	/* What the process before us wrote may not be on disk yet. */
	s->dirty = d->read_only || s->broken ? 0 : d->generation;
	d->bytes += s->size;
	if (s->broken) /* nothing is appended to what stands before it */
		memset(d->current, 0, sizeof(d->current));
	else
		d->current[s->class] = s;
	d->segs[d->n++] = TAKE_PTR(s);
	return 0;
}

int data_open(int dir, const uint8_t owner_id[16], int read_only, struct data **ret,
	      struct err *reterr)
{
	_cleanup_free_ uint64_t *numbers = NULL;
	struct data *d = sys_calloc(1, sizeof(*d));
	size_t n = 0;
	int r;

	assert(dir >= 0 && ret);
	if (!d)
		return -ENOMEM;
	d->dir = dir;
	d->read_only = read_only;
	d->generation = 1;
	d->dir_dirty = read_only ? 0 : 1;
	memcpy(d->owner_id, owner_id, sizeof(d->owner_id));
	spares_init(&d->spares, dir, DATA_SUFFIX);
	(void)pthread_mutex_init(&d->lock, NULL);
	r = segfile_list(dir, DATA_SUFFIX, &numbers, &n);
	if (r < 0)
		(void)err_set(reterr, r, "list the data segments: %s", strerror(-r));
	for (size_t i = 0; i < n && r == 0; i++)
		r = load_segment(d, numbers[i], reterr);
	if (r == 0 && !read_only) {
		r = spares_adopt(&d->spares);
		if (r == 0)
			r = spares_fill(&d->spares, n ? d->segs[n - 1]->size : SEGFILE_MIN);
		/* On a full disk a view with data opens all the same. */
		if ((r == -ENOSPC || r == -EDQUOT) && n > 0)
			r = 0;
		if (r < 0)
			(void)err_set(reterr, r, "preallocate data segments: %s", strerror(-r));
	}
	if (r < 0) {
		data_close(d);
		return r;
	}
	*ret = d;
	return 0;
}

void data_close(struct data *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->n; i++) {
		(void)safe_close(d->segs[i]->fd);
		free(d->segs[i]);
	}
	free(d->segs);
	spares_release(&d->spares);
	(void)pthread_mutex_destroy(&d->lock);
	free(d);
}

/* The segment that holds all of [addr, addr + len), or NULL. Under the lock. */
static struct segment *segment_at(struct data *d, uint64_t addr, uint64_t len)
{
	uint64_t off = addr & UINT32_MAX;
	struct segment *s = data_segment(d, addr >> 32);

	if (!s || s->broken || off < DATA_HEADER_SIZE || off > s->size || len > s->size - off)
		return NULL;
	return s;
}

int data_mark_used(struct data *d, uint64_t addr, uint64_t len)
{
	uint64_t end = (addr & UINT32_MAX) + len;
	struct segment *s;

	pthread_mutex_lock(&d->lock);
	s = segment_at(d, addr, len);
	if (s && end > s->end)
		s->end = end;
	pthread_mutex_unlock(&d->lock);
	return s ? 0 : -EBADMSG;
}

/* Closes the descriptor that nobody has used for longest. */
static void evict_fd(struct data *d)
{
	struct segment *oldest = NULL;

	for (size_t i = 0; i < d->n; i++) {
		struct segment *s = d->segs[i];

		if (s->fd >= 0 && s->users == 0 && (!oldest || s->used_at < oldest->used_at))
			oldest = s;
	}
	if (!oldest)
		return;
	oldest->fd = safe_close(oldest->fd);
	d->open_fds--;
}

int data_pin(struct data *d, struct segment *s)
{
	if (s->fd < 0) {
		int fd;

		if (d->open_fds >= FDS_MAX)
			evict_fd(d);
		fd = segfile_open(d->dir, s->number, DATA_SUFFIX, d->read_only ? O_RDONLY : O_RDWR);
		if (fd < 0)
			return fd;
		s->fd = fd;
		d->open_fds++;
	}
	s->users++;
	s->used_at = ++d->clock;
	return 0;
}

void data_unpin(struct data *d, struct segment *s)
{
	assert(s->users > 0);
	s->users--;
	if (d->open_fds > FDS_MAX)
		evict_fd(d);
}

/* Begins a new segment with room for n bytes. Under the lock. Errors: -ENOSPC, -errno; unchanged.
 */
static int new_segment(struct data *d, enum data_class class, size_t n)
{
	const struct segment *last = d->current[class];
	uint64_t number = d->n ? d->segs[d->n - 1]->number + 1 : 1;
	uint64_t need = (DATA_HEADER_SIZE + (uint64_t)n + 4095) & ~UINT64_C(4095);
	uint64_t want = last ? last->size * 2 : SEGFILE_MIN;
	_cleanup_free_ struct segment *s = NULL;
	uint8_t head[DATA_HEADER_SIZE];
	struct spare file;
	int i, r;

	if (want > segment_max[class])
		want = segment_max[class];
	if (want < SEGFILE_MIN)
		want = SEGFILE_MIN;
	s = sys_calloc(1, sizeof(*s));
	if (!s || reserve_segment(d) < 0)
		return -ENOMEM;
	if (number > UINT32_MAX)
		return -EFBIG;
	i = spares_prepare(&d->spares, need, want > need ? want : need);
	if (i < 0)
		return i;
	head_write(head, number, class, d->owner_id);
	r = io_pwrite_full(d->spares.s[i].fd, head, sizeof(head), 0);
	if (r == 0)
		r = spares_place(&d->spares, i, number, &file);
	if (r < 0)
		return r;
	*s = (struct segment){.number = number,
			      .size = file.size,
			      .end = DATA_HEADER_SIZE,
			      .fd = file.fd,
			      .class = (uint8_t) class,
			      .used_at = ++d->clock};
	s->dirty = d->dir_dirty = ++d->generation;
	if (d->open_fds >= FDS_MAX)
		evict_fd(d);
	d->open_fds++;
	d->bytes += file.size;
	d->current[class] = s;
	d->appending[class] = true;
	d->segs[d->n++] = TAKE_PTR(s);
	/* Without success here the next new segment tries again. */
	(void)spares_fill(&d->spares, file.size);
	return 0;
}

/* The segment behind whose end n bytes fit. Under the lock. */
static int segment_for(struct data *d, enum data_class class, size_t n, struct segment **ret)
{
	struct segment *s = d->current[class];
	int r;

	if (!s || n > s->size - s->end) {
		r = new_segment(d, class, n);
		if (r < 0)
			return r;
		s = d->current[class];
	} else if (!d->appending[class]) {
		/* A copy of the folder may have holes where blocks had been taken. */
		r = data_pin(d, s);
		if (r < 0)
			return r;
		r = segfile_allocate(s->fd, s->size);
		data_unpin(d, s);
		if (r < 0)
			return r;
		d->appending[class] = true;
	}
	*ret = s;
	return 0;
}

/* Where n bytes go. Whole pages that follow whole pages begin on one, where the segment has room: a write
 * that covers its pages spares the kernel two halves of pages (4 KiB in 2.9 instead of 3.7 µs), and large
 * ones get large folios (128 KiB in 20 instead of 33 µs). */
static uint64_t place_for(struct segment *s, size_t n)
{
	uint64_t unit = n >= LARGE ? LARGE_UNIT : PAGE_BYTES,
		 at = (s->end + unit - 1) & ~(unit - 1);
	bool whole = n > 0 && n % PAGE_BYTES == 0, before = s->whole;

	s->whole = whole;
	return whole && before && at <= s->size && n <= s->size - at ? at : s->end;
}

int data_append(struct data *d, enum data_class class, const void *p, size_t n, uint64_t *ret_addr)
{
	struct segment *s;
	uint64_t off, end;
	int r;

	assert(!d->read_only);
	if (n > APPEND_MAX)
		return -EFBIG;
	pthread_mutex_lock(&d->lock);
	r = d->failed ? -EROFS : segment_for(d, class, n, &s);
	if (r == 0)
		r = data_pin(d, s);
	if (r < 0) {
		pthread_mutex_unlock(&d->lock);
		return r;
	}
	end = s->end;
	off = place_for(s, n);
	s->end = off + n;
	s->live += (int64_t)n;
	d->live += (int64_t)n;
	pthread_mutex_unlock(&d->lock);

	r = io_pwrite_full(s->fd, p, n, off);

	pthread_mutex_lock(&d->lock);
	s->dirty = ++d->generation;
	if (r < 0) {
		s->live -= (int64_t)n;
		d->live -= (int64_t)n;
		if (s->end == off + n)
			s->end = end;
	}
	data_unpin(d, s);
	pthread_mutex_unlock(&d->lock);
	if (r < 0)
		return r;
	*ret_addr = s->number << 32 | off;
	return 0;
}

static int read_at(struct data *d, uint64_t addr, void *p, size_t n,
		   int (*read_fd)(int fd, void *p, size_t n, uint64_t off))
{
	struct segment *s;
	int r;

	pthread_mutex_lock(&d->lock);
	s = segment_at(d, addr, n);
	r = s ? data_pin(d, s) : -EBADMSG;
	pthread_mutex_unlock(&d->lock);
	if (r < 0)
		return r;
	r = read_fd(s->fd, p, n, addr & UINT32_MAX);
	pthread_mutex_lock(&d->lock);
	data_unpin(d, s);
	pthread_mutex_unlock(&d->lock);
	return r;
}

int data_pread(struct data *d, uint64_t addr, void *p, size_t n)
{
	return read_at(d, addr, p, n, io_pread_full);
}

int data_pread_cached(struct data *d, uint64_t addr, void *p, size_t n)
{
	return read_at(d, addr, p, n, io_pread_cached);
}

uint64_t data_live_bytes(const struct data *cd)
{
	struct data *d = (struct data *)cd;
	int64_t live;

	pthread_mutex_lock(&d->lock);
	live = d->live;
	pthread_mutex_unlock(&d->lock);
	return live > 0 ? (uint64_t)live : 0;
}

uint64_t data_disk_bytes(const struct data *cd)
{
	struct data *d = (struct data *)cd;
	uint64_t bytes;

	pthread_mutex_lock(&d->lock);
	bytes = d->bytes + spares_bytes(&d->spares);
	pthread_mutex_unlock(&d->lock);
	return bytes;
}
