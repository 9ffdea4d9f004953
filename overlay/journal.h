/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "record.h"

/*
 * The write-ahead log of one view (or of the control plane): append-only segments in one folder.
 * Format and crash behaviour are described at the head of journal.c.
 */
struct journal;

struct journal_options {
	uint8_t owner_id[16]; /* view id; a segment of another owner is refused */
	bool read_only;	      /* nothing is cut, created or preallocated */
};

/* Called for each record that is valid, in order; not called for those up to `after`, which are
 * only checked. A negative return ends the opening with that error. JOURNAL_CUT says that this record
 * must not count, since the bytes that it names never reached the disk: it and all behind it are a
 * torn tail, or damage where they are not above the durable point. */
enum { JOURNAL_CUT = 1 };
typedef int (*journal_replay_fn)(const struct record *rec, void *user);

/*
 * Opens (or creates) the journal in folder `dir` (borrowed for the journal's life), checks every
 * segment from the one that holds record after + 1 on, replays, cuts a torn tail above the durable
 * point and preallocates the spares. *ret_dropped (may be NULL) gets the number of bytes cut.
 * Errors: -EBADMSG damage below the durable point (nothing is changed; err says segment, offset and
 * sequence), -EPROTONOSUPPORT a newer format, -ENOSPC, -errno.
 */
int journal_open(int dir, const struct journal_options *opt, uint64_t after,
		 journal_replay_fn replay, void *user, struct journal **ret, uint64_t *ret_dropped,
		 struct err *reterr);
void journal_close(struct journal *j);

/* Makes sure that an append of `bytes` more cannot fail for space. To be called before anything is
 * applied. The last spare is left alone, so that on a full disk there is something left for
 * journal_reserve_vital(): deletes, denials, what an admin does.
 * Errors: -ENOSPC, -EROFS after a failed sync, -errno. */
int journal_reserve(struct journal *j, size_t bytes);
int journal_reserve_vital(struct journal *j, size_t bytes);

/*
 * Gives the record its sequence number (and time where 0), writes it as a batch of its own (or of
 * n), and returns when the write to the page cache is complete. The caller serialises appends.
 * Errors: -ENOSPC, -EIO, -EROFS; nothing was appended, rec->seq is unchanged.
 */
int journal_append(struct journal *j, struct record *rec);
int journal_append_many(struct journal *j, struct record **recs, size_t n);

/* Group commit: returns when all records appended before the call are on disk (callers at the same
 * time share one sync). `extra_fds` (n of them, the data segments' descriptors) are synced before.
 * Safe from any thread, beside appends. A failure is never retried: from then on the journal is
 * read-only. Errors: -EIO, -EROFS. */
int journal_sync(struct journal *j, const int *extra_fds, size_t n);

/* The same for records up to `seq` only. With data segments this is the one to use: take seq =
 * journal_seq(), then data_dirty_fds(), then call this; a record appended in between may name a
 * segment that is not among the descriptors, and must not become durable with them. */
int journal_sync_until(struct journal *j, uint64_t seq, const int *extra_fds, size_t n);

/* Sequence number of the last record appended / known to be on disk; 0 = none. */
uint64_t journal_seq(const struct journal *j);
uint64_t journal_durable(const struct journal *j);

/* Bytes of all segments on disk (for quotas and `show`). */
uint64_t journal_bytes(const struct journal *j);

/*
 * Reading while another process appends (audit, snapshot): a cursor that stops at the last valid
 * record and may be asked again later.
 */
struct journal_reader;

/* Starts behind record `after` (0: from the first). Errors: -ENOENT no journal there, -EBADMSG,
 * -EPROTONOSUPPORT, -errno. */
int journal_reader_open(int dir, uint64_t after, struct journal_reader **ret, struct err *reterr);

/* 1: *ret is the next record, borrowed until the next call. 0: nothing more for now. Errors:
 * -EBADMSG damage below the durable point, -errno. */
int journal_reader_next(struct journal_reader *r, struct record *ret, struct err *reterr);
void journal_reader_close(struct journal_reader *r);
