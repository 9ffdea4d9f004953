/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and recovery. Reads first, to the end, and judges; changes files only when all that was
 * durable has been read. The rules are at the head of journal.c.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cleanup.h"
#include "io.h"
#include "journal_impl.h"
#include "sys.h"

struct opening {
	struct journal *j;
	struct journal_list list;
	uint64_t after;
	journal_replay_fn replay;
	void *user;
	struct err *reterr;

	size_t at; /* index in the list of the segment where reading ended */
	int fd;	   /* of that segment; owned */
	struct journal_walk walk;
	bool torn;	   /* something stands behind the end */
	bool cut_in_batch; /* the batch at walk.pos keeps its first `keep` records */
	struct journal_batch_head cut_head;
	uint64_t cut_from; /* behind the last byte that is kept, in the segment */
	uint64_t cut_end;  /* the same with padding */
	uint64_t cut_chain, cut_seq;
};

static int damaged(struct opening *o, uint64_t durable)
{
	char name[SEGFILE_NAME_SIZE];

	segfile_name(name, o->walk.number, JOURNAL_SUFFIX);
	return err_set_id(o->reterr, -EBADMSG, "Damaged",
			  "journal segment %s is damaged at offset %" PRIu64
			  ", behind record %" PRIu64 ", though records up to %" PRIu64
			  " were on disk; nothing was changed, restore it from a backup",
			  name, o->walk.pos, o->walk.seq, durable);
}

/* The replay said that record number `kept` of the batch (from 0) never got its bytes. */
static void cut_here(struct opening *o, const struct journal_batch *whole, uint32_t kept)
{
	struct journal_batch b = *whole;
	struct record rec;

	b.chain = whole->head.chain;
	for (uint32_t i = 0; i < kept; i++)
		(void)journal_batch_next(&b, &rec);
	o->walk.pos = whole->off;
	o->walk.seq = whole->head.first_seq - 1;
	o->walk.chain = whole->head.chain;
	o->torn = true;
	if (kept == 0)
		return;
	o->cut_in_batch = true;
	o->cut_from = whole->off + JOURNAL_BATCH_HEADER + (uint64_t)(b.p - whole->p);
	o->cut_end = (o->cut_from + 7) & ~UINT64_C(7);
	o->cut_chain = b.chain;
	o->cut_seq = o->walk.seq + kept;
	o->cut_head = whole->head;
	o->cut_head.nrecords = kept;
	o->cut_head.length = (uint32_t)(o->cut_end - whole->off);
}

/* 1: go on; 0: the journal ends here. */
static int replay_batch(struct opening *o, const struct journal_batch *whole)
{
	struct journal_batch b = *whole;
	struct record rec;
	uint32_t i = 0;
	int r;

	while ((r = journal_batch_next(&b, &rec)) > 0) {
		if (rec.seq > o->after && o->replay) {
			r = o->replay(&rec, o->user);
			if (r < 0)
				return r;
			if (r == JOURNAL_CUT) {
				cut_here(o, whole, i);
				return 0;
			}
		}
		i++;
	}
	return r < 0 ? r : 1;
}

static int open_segment(struct opening *o, size_t i)
{
	int flags = o->j->opt.read_only ? O_RDONLY : O_RDWR;
	int fd = segfile_open(o->j->dir, o->list.numbers[i], JOURNAL_SUFFIX, flags);
	int r;

	if (fd < 0)
		return err_set(o->reterr, fd, "open journal segment %" PRIu64 ": %s",
			       o->list.numbers[i], strerror(-fd));
	r = segfile_size(fd, &o->walk.size);
	if (r < 0) {
		(void)safe_close(fd);
		return r;
	}
	(void)safe_close(o->fd);
	o->fd = o->walk.fd = fd;
	o->at = i;
	o->walk.number = o->list.numbers[i];
	o->walk.seed = journal_seed(o->j->salt, o->walk.number);
	o->walk.pos = JOURNAL_HEADER_SIZE;
	if (o->list.heads[i].durable > o->walk.durable)
		o->walk.durable = o->list.heads[i].durable;
	journal_walk_refresh(&o->walk);
	return 0;
}

static bool links(const struct opening *o, size_t i)
{
	return o->list.states[i] == 0 && o->list.heads[i].chain == o->walk.chain &&
	       o->list.heads[i].first_seq == o->walk.seq + 1;
}

/* Reads and replays from the start to the first place where nothing valid follows. */
static int read_all(struct opening *o)
{
	struct journal_batch b;
	int r;

	o->walk.chain = o->list.heads[o->list.start].chain;
	o->walk.seq = o->list.heads[o->list.start].first_seq - 1;
	for (size_t i = o->list.start; i < o->list.n; i++) {
		if (i > o->list.start && !links(o, i)) {
			o->torn = true;
			return 0;
		}
		r = open_segment(o, i);
		if (r < 0)
			return r;
		while ((r = journal_walk_next(&o->walk, &b)) > 0) {
			r = replay_batch(o, &b);
			if (r <= 0)
				return r;
		}
		if (r == -EBADMSG) {
			o->torn = true;
			return 0;
		}
		if (r < 0)
			return err_set(o->reterr, r, "read journal segment %" PRIu64 ": %s",
				       o->walk.number, strerror(-r));
	}
	return 0;
}

/* (3): refuses when something durable could not be read; counts what is to be dropped. */
static int judge(struct opening *o, uint64_t *ret_dropped)
{
	uint64_t durable, last = o->cut_in_batch ? o->cut_seq : o->walk.seq, end;
	uint64_t keep_end = o->cut_in_batch ? o->cut_from : o->walk.pos;
	int r;

	*ret_dropped = 0;
	r = segfile_used_end(o->fd, keep_end, o->walk.size, &end);
	if (r < 0)
		return r;
	if (keep_end < o->walk.size && end > keep_end)
		*ret_dropped = end - keep_end;
	if (*ret_dropped)
		o->torn = true;
	durable = o->walk.durable;
	if (o->torn) {
		r = journal_evidence(o->j->dir, &o->walk, o->j->salt, &durable);
		if (r < 0)
			return r;
	}
	if (durable < o->after)
		durable = o->after;
	if (durable > last)
		return damaged(o, durable);
	for (size_t i = o->at + 1; i < o->list.n; i++) {
		_cleanup_close_ int fd =
			segfile_open(o->j->dir, o->list.numbers[i], JOURNAL_SUFFIX, O_RDONLY);
		uint64_t size = 0;

		if (fd < 0)
			return fd;
		r = segfile_size(fd, &size);
		if (r == 0)
			r = segfile_used_end(fd, 0, size, &end);
		if (r < 0)
			return r;
		*ret_dropped += end;
	}
	atomic_store(&o->j->durable, durable);
	return 0;
}

/* Zeros from the end to the beginning: while the batch header at `from` stands, the rest is known
 * to be torn; once it is gone, nothing is left behind it. */
static int zero_tail(int fd, uint64_t from, uint64_t to)
{
	const uint64_t step = 64 << 10;
	int r = 0;

	while (to > from && r == 0) {
		uint64_t begin = to - from > step ? to - step : from;

		r = segfile_zero(fd, begin, to);
		to = begin;
	}
	return r;
}

static int cut_tail(struct opening *o)
{
	struct journal_walk *w = &o->walk;
	uint64_t keep_end = o->cut_in_batch ? o->cut_from : w->pos, end;
	uint8_t head[JOURNAL_BATCH_HEADER];
	char name[SEGFILE_NAME_SIZE];
	int r = 0;

	for (size_t i = o->list.n; i > o->at + 1 && r == 0; i--) {
		segfile_name(name, o->list.numbers[i - 1], JOURNAL_SUFFIX);
		if (sys.unlinkat(o->j->dir, name, 0) < 0)
			r = -errno;
	}
	if (r == 0 && o->list.n > o->at + 1)
		r = io_sync_dir(o->j->dir);
	if (r == 0 && o->cut_in_batch) {
		journal_batch_write(head, &o->cut_head, w->seed);
		r = io_pwrite_full(o->fd, head, sizeof(head), w->pos);
		w->pos = o->cut_end;
		w->seq = o->cut_seq;
		w->chain = o->cut_chain;
	}
	if (r == 0)
		r = segfile_used_end(o->fd, keep_end, w->size, &end);
	if (r == 0)
		r = zero_tail(o->fd, keep_end, end);
	if (r == 0 && sys.fdatasync(o->fd) < 0)
		r = -errno;
	return r;
}

/* Earlier segments that may hold unsynced records of a process that died; the last one is synced
 * with the next sync, like any. */
static int sync_earlier(struct opening *o)
{
	for (size_t i = o->list.start; i < o->at; i++) {
		_cleanup_close_ int fd = -1;

		if (o->list.heads[i + 1].first_seq <= atomic_load(&o->j->durable) + 1)
			continue;
		fd = segfile_open(o->j->dir, o->list.numbers[i], JOURNAL_SUFFIX, O_RDONLY);
		if (fd < 0)
			return fd;
		if (sys.fdatasync(fd) < 0)
			return -errno;
	}
	return 0;
}

static int count_bytes(struct opening *o)
{
	for (size_t i = 0; i <= o->at; i++) {
		_cleanup_close_ int fd =
			segfile_open(o->j->dir, o->list.numbers[i], JOURNAL_SUFFIX, O_RDONLY);
		uint64_t size;
		int r = fd < 0 ? fd : segfile_size(fd, &size);

		if (r < 0)
			return r;
		atomic_fetch_add(&o->j->bytes, size);
	}
	return 0;
}

/* The journal goes on where reading ended. */
static void go_on(struct opening *o)
{
	struct journal *j = o->j;

	j->fd = TAKE_FD(o->fd);
	j->number = o->walk.number;
	j->size = o->walk.size;
	j->pos = o->walk.pos;
	j->chain = o->walk.chain;
	atomic_store(&j->seq, o->walk.seq);
	j->dir_gen = 1; /* whether the last rename is on disk is not known */
}

static int open_existing(struct opening *o, uint64_t *ret_dropped)
{
	struct journal *j = o->j;
	int r;

	j->salt = o->list.heads[o->list.start].salt;
	r = read_all(o);
	if (r == 0)
		r = judge(o, ret_dropped);
	if (r < 0)
		return r;
	if (o->torn && !j->opt.read_only)
		r = cut_tail(o);
	if (r == 0 && o->torn && j->opt.read_only && o->cut_in_batch) {
		o->walk.seq = o->cut_seq;
		o->walk.chain = o->cut_chain;
	}
	if (r == 0 && !j->opt.read_only)
		r = sync_earlier(o);
	if (r == 0)
		r = count_bytes(o);
	if (r < 0)
		return err_set(o->reterr, r, "recover the journal: %s", strerror(-r));
	go_on(o);
	if (j->opt.read_only)
		return 0;
	/* A copy may have holes where blocks were taken. On a full disk the view still opens, so
	 * that something can be deleted. */
	r = segfile_allocate(j->fd, j->size);
	if (r == 0 || r == -ENOSPC || r == -EDQUOT)
		r = spares_adopt(&j->spares);
	if (r == 0)
		r = spares_fill(&j->spares, j->size);
	if (r < 0 && r != -ENOSPC && r != -EDQUOT)
		return err_set(o->reterr, r, "preallocate journal segments: %s", strerror(-r));
	return 0;
}

static int create(struct opening *o)
{
	struct journal *j = o->j;
	int r;

	if (o->after > 0)
		return err_set_id(o->reterr, -EBADMSG, "Damaged",
				  "the journal is missing, though record %" PRIu64
				  " was on disk; restore it from a backup",
				  o->after);
	if (j->opt.read_only)
		return err_set(o->reterr, -ENOENT, "there is no journal in this folder");
	do
		r = getrandom(&j->salt, sizeof(j->salt), 0) < 0 ? -errno : 0;
	while (r == -EINTR);
	if (r == 0)
		r = spares_adopt(&j->spares);
	if (r == 0)
		r = spares_fill(&j->spares, SEGFILE_MIN);
	if (r == 0)
		r = journal_rotate(j, 0);
	if (r == 0)
		r = io_sync_dir(j->dir);
	if (r == 0)
		j->dir_synced = j->dir_gen;
	if (r < 0)
		return err_set(o->reterr, r, "create the journal: %s", strerror(-r));
	return 0;
}

int journal_open(int dir, const struct journal_options *opt, uint64_t after,
		 journal_replay_fn replay, void *user, struct journal **ret, uint64_t *ret_dropped,
		 struct err *reterr)
{
	struct opening o = {
		.after = after, .replay = replay, .user = user, .reterr = reterr, .fd = -1};
	uint64_t dropped = 0;
	int r;

	assert(dir >= 0 && opt && ret);
	o.j = journal_new(dir, opt);
	if (!o.j)
		return -ENOMEM;
	r = journal_list_load(dir, opt->owner_id, after, &o.list, reterr);
	if (r == 0)
		r = o.list.n ? open_existing(&o, &dropped) : create(&o);
	(void)safe_close(o.fd);
	buf_release(&o.walk.win);
	journal_list_release(&o.list);
	if (r < 0) {
		journal_close(o.j);
		return r;
	}
	*ret = o.j;
	if (ret_dropped)
		*ret_dropped = dropped;
	return 0;
}
