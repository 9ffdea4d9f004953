/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading beside an appender in another process. What cannot be read is the end for now, unless
 * something behind it tells that it was on disk: then it is damage.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "journal_impl.h"
#include "sys.h"

struct journal_reader {
	int dir;
	uint64_t after, salt;
	int fd; /* owned; the walk borrows it */
	struct journal_walk walk;
	struct journal_batch batch;
};

static int begin_segment(struct journal_reader *r, int fd, const struct journal_head *h)
{
	uint64_t size;
	int k = segfile_size(fd, &size);

	if (k < 0)
		return k;
	(void)safe_close(r->fd);
	r->fd = fd;
	r->walk.fd = fd;
	r->walk.number = h->number;
	r->walk.size = size;
	r->walk.seed = journal_seed(r->salt, h->number);
	r->walk.pos = JOURNAL_HEADER_SIZE;
	r->walk.chain = h->chain;
	r->walk.seq = h->first_seq - 1;
	if (h->durable > r->walk.durable)
		r->walk.durable = h->durable;
	journal_walk_refresh(&r->walk);
	return 0;
}

int journal_reader_open(int dir, uint64_t after, struct journal_reader **ret, struct err *reterr)
{
	struct journal_list list = {0};
	struct journal_reader *r;
	int fd, k;

	k = journal_list_load(dir, NULL, after, &list, reterr);
	if (k < 0)
		return k;
	if (list.n == 0)
		return err_set(reterr, -ENOENT, "there is no journal in this folder");
	r = sys_calloc(1, sizeof(*r));
	if (!r) {
		journal_list_release(&list);
		return -ENOMEM;
	}
	r->fd = -1;
	r->dir = dir;
	r->after = after;
	r->salt = list.heads[list.start].salt;
	fd = segfile_open(dir, list.numbers[list.start], JOURNAL_SUFFIX, O_RDONLY);
	k = fd < 0 ? fd : begin_segment(r, fd, &list.heads[list.start]);
	journal_list_release(&list);
	if (k < 0) {
		if (r->fd < 0)
			(void)safe_close(fd);
		journal_reader_close(r);
		return err_set(reterr, k, "read the journal: %s", strerror(-k));
	}
	*ret = r;
	return 0;
}

/* Nothing valid stands here: 0, unless what stands behind tells that it was there. 1: it is now. */
static int at_end(struct journal_reader *r, struct err *reterr)
{
	char name[SEGFILE_NAME_SIZE];
	uint64_t durable;
	int k = journal_evidence(r->dir, &r->walk, r->salt, &durable);

	if (k < 0)
		return k;
	if (durable <= r->walk.seq)
		return 0;
	/* The appender may have gone on since we looked. */
	journal_walk_refresh(&r->walk);
	k = journal_walk_next(&r->walk, &r->batch);
	if (k > 0)
		return k;
	segfile_name(name, r->walk.number, JOURNAL_SUFFIX);
	return err_set_id(reterr, -EBADMSG, "Damaged",
			  "journal segment %s is damaged at offset %" PRIu64
			  ", behind record %" PRIu64 ", though records up to %" PRIu64
			  " were on disk; restore it from a backup",
			  name, r->walk.pos, r->walk.seq, durable);
}

/* The segment behind has begun. 1: the walk stands in it; 0: it does not fit. Consumes fd on 1. */
static int follow(struct journal_reader *r, int fd, struct err *reterr)
{
	struct journal_head h;
	int k = journal_head_load(fd, r->walk.number + 1, NULL, &h);

	if (k == -EBADMSG || k == -EUCLEAN)
		return 0;
	if (k < 0)
		return err_set(reterr, k, "read journal segment %" PRIu64 ": %s",
			       r->walk.number + 1, strerror(-k));
	if (h.chain != r->walk.chain || h.first_seq != r->walk.seq + 1 || h.salt != r->salt)
		return 0;
	k = begin_segment(r, fd, &h);
	return k < 0 ? k : 1;
}

static int next_batch(struct journal_reader *r, struct err *reterr)
{
	for (;;) {
		_cleanup_close_ int fd = -1;
		int k = journal_walk_next(&r->walk, &r->batch);

		if (k > 0 || (k < 0 && k != -EBADMSG))
			return k;
		/* Opened first, read again afterwards: what was appended in between is seen. */
		fd = segfile_open(r->dir, r->walk.number + 1, JOURNAL_SUFFIX, O_RDONLY);
		if (fd < 0 && fd != -ENOENT)
			return fd;
		journal_walk_refresh(&r->walk);
		k = journal_walk_next(&r->walk, &r->batch);
		if (k > 0 || (k < 0 && k != -EBADMSG))
			return k;
		if (fd < 0 || k < 0)
			return at_end(r, reterr);
		k = follow(r, fd, reterr);
		if (k < 0)
			return k;
		if (k == 0)
			return at_end(r, reterr);
		fd = -1;
	}
}

int journal_reader_next(struct journal_reader *r, struct record *ret, struct err *reterr)
{
	assert(r && ret);
	for (;;) {
		struct record rec;
		int k = journal_batch_next(&r->batch, &rec);

		if (k < 0)
			return k;
		if (k == 0) {
			k = next_batch(r, reterr);
			if (k <= 0)
				return k;
			continue;
		}
		if (rec.seq <= r->after)
			continue;
		*ret = rec;
		return 1;
	}
}

void journal_reader_close(struct journal_reader *r)
{
	if (!r)
		return;
	(void)safe_close(r->fd);
	buf_release(&r->walk.win);
	free(r);
}
