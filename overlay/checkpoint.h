/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "err.h"
#include "tree.h"

/*
 * The tree on disk, so that recovery need not replay everything. A checkpoint is full, or holds what
 * changed since the one before; the format is at the head of checkpoint.c.
 */

/* Collects what checkpoint_write() will write: the changes since the last one, or everything with
 * `full`, which is a must where notes were lost (t->notes_lost). Cost grows with that. The tree's notes of what changed are kept until checkpoint_done(), so
 * that a write that fails loses none. Errors: -ENOMEM. */
int checkpoint_collect(struct tree *t, const uint8_t view_id[16], uint64_t prev_seq, bool full,
		       struct buf *ret);

/* Writes the bytes as folder `dir`'s checkpoint `seq`, synced, renamed into place. Errors: -ENOSPC, … */
int checkpoint_write(int dir, uint64_t seq, const struct buf *b);

/* What was collected is on disk: forget what the tree had noted until then. To be called with the
 * positions that the notes had when collecting. */
struct checkpoint_mark {
	size_t nodes, names;
	uint64_t lost;
};
struct checkpoint_mark checkpoint_mark(const struct tree *t);
void checkpoint_done(struct tree *t, struct checkpoint_mark mark);

struct checkpoint_info {
	uint64_t full_seq;		  /* where the chain that was loaded begins */
	uint64_t full_bytes, delta_bytes; /* its sizes; deltas in whole blocks of the disk */
	unsigned int bad;		  /* damaged files that were passed over */
};

/* Loads the newest checkpoint up to `max_seq` (0: any) whose chain is whole into an empty tree;
 * t->seq says what it covers, 0 where there is none. Damaged ones are passed over and counted.
 * Errors: -ENOMEM, -EPROTONOSUPPORT, -errno. */
int checkpoint_load(int dir, const uint8_t view_id[16], uint64_t max_seq, struct tree *t,
		    struct checkpoint_info *ret, struct err *reterr);

/* What a file of n bytes takes on the disk: many small deltas weigh more than their bytes. */
uint64_t checkpoint_disk_bytes(size_t n);

/* Removes the files that the chain of `keep_from` (a full one) and its successors do not need. */
void checkpoint_prune(int dir, uint64_t keep_from);
