/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The write-ahead log: append, segments, spares. journal_open.c recovers, journal_sync.c makes
 * durable, journal_read.c knows the bytes, journal_reader.c reads beside the appender.
 *
 * (1) An append that returned 0 survives the death of the process; one that failed left nothing.
 * (2) A sync that returned 0 made all records appended before it survive a power cut. What was not
 *     synced survives as a prefix.
 * (3) The durable point is the highest `durable` told by any valid batch or segment header, or
 *     `after`, whichever is higher. A record up to there that cannot be read is damage: -EBADMSG,
 *     and no byte is changed. What cannot be read above it is a torn tail: it is zeroed and told.
 * (4) Behind the last record all bytes are 0, so that old bytes never look valid later; and the
 *     checksums of batch headers are seeded with a secret of the journal, so that nothing that an
 *     agent writes into a name or value looks like one.
 * (5) The name of a segment is on disk before the next one gets its own. A missing number is
 * damage. (6) Between the current segment and the spares there is always room for what was
 * reserved. (7) After a failed sync nothing is appended any more.
 *
 * Segments are files NNNNNNNNNN.jnl, from 1, without gaps. The first has 32 KiB, the next ones
 * twice as much as the one before up to 16 MiB; a batch that is larger gets a segment of its size.
 * Spares are described in segfile.c. All numbers are little-endian. A segment begins with
 *
 *       0  8   magic "AFSJRNL\n"
 *       8  u16 version, 1
 *      10  u16 hash algorithm; 1: XXH3-64
 *      12  u32 size of this header, 192
 *      16  u32 compatible features (unknown ones may be ignored): none yet
 *      20  u32 incompatible features (unknown ones refuse the file): none yet
 *      24  u64 number of this segment
 *      32  u64 sequence number of its first record
 *      40  16  owner id (the view's)
 *      56  u64 number of the segment before; 0 for the first
 *      64  u64 checksum of the last record there; 0 for the first
 *      72  32  seal of the segment before; zeros while there are no seals
 *     104  u64 creation time, CLOCK_REALTIME ns
 *     112  u64 salt, drawn when the journal was made, the same in all its segments
 *     120  u64 durable sequence number known when the segment was begun
 *     128  56  zeros
 *     184  u64 XXH3-64 of bytes 0 to 183; here in every version
 *
 * and goes on with batches, each on a multiple of 8:
 *
 *       0  u32 magic "JTBC"
 *       4  u32 length of the batch, this header and padding included; a multiple of 8
 *       8  u64 durable sequence number known when it was written
 *      16  u64 sequence number of its first record
 *      24  u32 number of records
 *      28  u32 0
 *      32  u64 chain: checksum of the record before
 *      40  u64 XXH3-64 of bytes 0 to 39, seed = salt XOR (segment number * 0x9e3779b97f4a7c15)
 *      48  …   the records (record.c), the first one's checksum seeded with the chain above
 *          …   zeros up to a multiple of 8
 *
 * A batch header of zeros is the end. Each append is one batch, written with one call.
 *
 * What a crash leaves, by step:
 *   append: half a batch behind the last record: (3) cuts it.
 *   a new segment:  a. the folder is synced if a rename before was not: see (5).
 *                   b. the header is written into a spare: wiped when it is taken over again.
 *                   c. rename: an empty segment that fits its predecessor; or, after a power cut,
 * one whose header is not there: it goes with the torn tail. d. the spare is made anew: half of one
 * is found short, and is made long. The old segment is not synced here; the next sync does both,
 * and the folder. sync:   what was written reached the disk in any order: (3) cuts at the first
 * gap. No later segment is kept behind a gap. cutting: later segments are removed, the last one
 * first; then the folder is synced; then the tail is zeroed from its end to its beginning. A second
 * recovery does the rest of what a first one left. the first segment: its header is synced before
 * it gets its name, so that a first header that cannot be read is damage.
 */
#include "journal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "journal_impl.h"
#include "sys.h"

struct journal *journal_new(int dir, const struct journal_options *opt)
{
	struct journal *j = sys_calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->dir = dir;
	j->opt = *opt;
	j->fd = -1;
	spares_init(&j->spares, dir, JOURNAL_SUFFIX);
	(void)pthread_mutex_init(&j->lock, NULL);
	(void)pthread_cond_init(&j->cond, NULL);
	return j;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	assert(!j->pending && !j->syncing);
	(void)safe_close(j->fd);
	for (size_t i = 0; i < j->n_old; i++)
		(void)safe_close(j->old_fds[i]);
	free(j->old_fds);
	spares_release(&j->spares);
	buf_release(&j->batch);
	syncer_free(j->syncer);
	(void)pthread_mutex_destroy(&j->lock);
	(void)pthread_cond_destroy(&j->cond);
	free(j);
}

/* (5) Errors: -EIO; the journal is read-only from now on. */
static int sync_names(struct journal *j)
{
	uint64_t gen;
	bool synced;

	pthread_mutex_lock(&j->lock);
	gen = j->dir_gen;
	synced = gen == j->dir_synced;
	pthread_mutex_unlock(&j->lock);
	if (synced)
		return 0;
	if (sys.fsync(j->dir) < 0) {
		atomic_store(&j->failed, true);
		return -EIO;
	}
	pthread_mutex_lock(&j->lock);
	if (gen > j->dir_synced)
		j->dir_synced = gen;
	pthread_mutex_unlock(&j->lock);
	return 0;
}

/* Room for one more in old_fds, so that handing the current segment over cannot fail. */
static int reserve_old(struct journal *j)
{
	int r = 0;

	pthread_mutex_lock(&j->lock);
	if (j->n_old == j->cap_old) {
		int *p = sys.realloc(j->old_fds, (j->cap_old + 8) * sizeof(*p));

		if (p) {
			j->old_fds = p;
			j->cap_old += 8;
		} else {
			r = -ENOMEM;
		}
	}
	pthread_mutex_unlock(&j->lock);
	return r;
}

/* The file size that a segment with `need` bytes of batches gets: at least, and at best. */
static void wanted_size(const struct journal *j, uint64_t need, uint64_t *ret_need,
			uint64_t *ret_want)
{
	uint64_t least = (JOURNAL_HEADER_SIZE + need + 4095) & ~UINT64_C(4095);
	uint64_t want = j->number ? j->size * 2 : SEGFILE_MIN;

	if (want > JOURNAL_SEGMENT_MAX)
		want = JOURNAL_SEGMENT_MAX;
	if (want < SEGFILE_MIN)
		want = SEGFILE_MIN;
	*ret_need = least;
	*ret_want = want > least ? want : least;
}

static void switch_segment(struct journal *j, const struct spare *s)
{
	pthread_mutex_lock(&j->lock);
	if (j->fd >= 0)
		j->old_fds[j->n_old++] = j->fd;
	j->fd = s->fd;
	j->dir_gen++;
	pthread_mutex_unlock(&j->lock);
	j->number++;
	j->size = s->size;
	j->pos = JOURNAL_HEADER_SIZE;
	atomic_fetch_add(&j->bytes, s->size);
}

int journal_rotate(struct journal *j, uint64_t need)
{
	uint8_t head[JOURNAL_HEADER_SIZE];
	struct journal_head h = {
		.number = j->number + 1,
		.first_seq = atomic_load(&j->seq) + 1,
		.chain = j->chain,
		.created = sys_now_ns(),
		.salt = j->salt,
		.durable = atomic_load(&j->durable),
	};
	uint64_t least, want;
	struct spare s;
	int i, r;

	memcpy(h.owner_id, j->opt.owner_id, sizeof(h.owner_id));
	wanted_size(j, need, &least, &want);
	r = sync_names(j);
	if (r == 0)
		r = reserve_old(j);
	if (r < 0)
		return r;
	i = spares_prepare(&j->spares, least, want);
	if (i < 0)
		return i;
	journal_head_write(head, &h);
	r = io_pwrite_full(j->spares.s[i].fd, head, sizeof(head), 0);
	/* Without a first header nothing else could be judged: it is there before its name is. */
	if (r == 0 && j->number == 0 && sys.fdatasync(j->spares.s[i].fd) < 0)
		r = -errno;
	if (r == 0)
		r = spares_place(&j->spares, i, h.number, &s);
	if (r < 0)
		return r;
	switch_segment(j, &s);
	/* Without success here the next reserve tries again, and says so. */
	(void)spares_fill(&j->spares, j->size);
	return 0;
}

static int reserve(struct journal *j, size_t bytes, unsigned int spares_left)
{
	uint64_t need, least, want;
	int r;

	if (j->opt.read_only || atomic_load(&j->failed))
		return -EROFS;
	if (bytes > JOURNAL_BATCH_MAX - 4096)
		return -E2BIG;
	if (spares_count(&j->spares) < SEGFILE_SPARES)
		(void)spares_fill(&j->spares, j->size);
	need = bytes + JOURNAL_BATCH_HEADER + 8;
	if (j->pos + need <= j->size)
		return 0;
	wanted_size(j, need, &least, &want);
	if (spares_count(&j->spares) <= spares_left)
		return -ENOSPC;
	r = spares_prepare(&j->spares, least, want);
	return r < 0 ? r : 0;
}

int journal_reserve(struct journal *j, size_t bytes)
{
	return reserve(j, bytes, 1);
}

int journal_reserve_vital(struct journal *j, size_t bytes)
{
	return reserve(j, bytes, 0);
}

/* Fills j->batch but for its header. */
static int encode_batch(struct journal *j, struct record **recs, size_t n, uint64_t now,
			uint64_t *chain)
{
	static const char blank[JOURNAL_BATCH_HEADER];
	uint64_t seq = atomic_load(&j->seq);
	int r;

	buf_clear(&j->batch);
	r = buf_add(&j->batch, blank, JOURNAL_BATCH_HEADER);
	for (size_t i = 0; i < n && r == 0; i++) {
		struct record rec = *recs[i];

		assert(rec.type < RECORD_VIEWCTL);
		rec.seq = ++seq;
		if (rec.time == 0)
			rec.time = now;
		r = record_encode(&rec, chain, &j->batch);
		if (r == 0 && j->batch.len > JOURNAL_BATCH_MAX - 8)
			r = -E2BIG;
	}
	if (r == 0)
		r = buf_add(&j->batch, blank, -j->batch.len & 7);
	return r;
}

/* A write that failed may have left a part of the batch, or all of it. (1) wants it gone; where
 * even that fails nothing may be appended behind it any more. */
static void wipe(struct journal *j)
{
	if (segfile_zero(j->fd, j->pos, j->pos + j->batch.len) < 0)
		atomic_store(&j->failed, true);
}

static int write_batch(struct journal *j, size_t n)
{
	struct journal_batch_head h = {
		.length = (uint32_t)j->batch.len,
		.nrecords = (uint32_t)n,
		.durable = atomic_load(&j->durable),
		.first_seq = atomic_load(&j->seq) + 1,
		.chain = j->chain,
	};
	int r;

	if (j->pos + j->batch.len > j->size) {
		r = journal_rotate(j, j->batch.len);
		if (r < 0)
			return r;
	}
	journal_batch_write((uint8_t *)j->batch.data, &h, journal_seed(j->salt, j->number));
	r = io_pwrite_full(j->fd, j->batch.data, j->batch.len, j->pos);
	if (r < 0)
		wipe(j);
	return r;
}

int journal_append_many(struct journal *j, struct record **recs, size_t n)
{
	uint64_t now = sys_now_ns(), chain = j->chain, seq = atomic_load(&j->seq);
	int r;

	if (j->opt.read_only || atomic_load(&j->failed))
		return -EROFS;
	if (n == 0)
		return 0;
	r = encode_batch(j, recs, n, now, &chain);
	if (r == 0)
		r = write_batch(j, n);
	if (r < 0)
		return r;
	j->pos += j->batch.len;
	j->chain = chain;
	for (size_t i = 0; i < n; i++) {
		recs[i]->seq = seq + 1 + i;
		if (recs[i]->time == 0)
			recs[i]->time = now;
	}
	atomic_store(&j->seq, seq + n);
	if (j->batch.cap > JOURNAL_SEGMENT_MAX)
		buf_release(&j->batch);
	return 0;
}

int journal_append(struct journal *j, struct record *rec)
{
	return journal_append_many(j, &rec, 1);
}

uint64_t journal_seq(const struct journal *j)
{
	return atomic_load(&j->seq);
}

uint64_t journal_durable(const struct journal *j)
{
	return atomic_load(&j->durable);
}

uint64_t journal_bytes(const struct journal *j)
{
	return atomic_load(&j->bytes) + spares_bytes(&j->spares);
}
