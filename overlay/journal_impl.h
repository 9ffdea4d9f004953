/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "buf.h"
#include "journal.h"
#include "segfile.h"

/* Inside the journal's own files only. The bytes are described at the head of journal.c. */

#define JOURNAL_SUFFIX "jnl"

enum {
	JOURNAL_HEADER_SIZE = 192,
	JOURNAL_BATCH_HEADER = 48,
	JOURNAL_SEGMENT_MAX = 16 << 20, /* but for a batch that is larger */
	JOURNAL_BATCH_MAX = 1 << 30,
};

struct journal_head {
	uint64_t number;
	uint64_t first_seq;
	uint8_t owner_id[16];
	uint64_t chain;	  /* checksum of the last record of the segment before; 0 for the first */
	uint64_t created; /* ns */
	uint64_t salt;	  /* the same in all segments of a journal */
	uint64_t durable; /* known when the segment was begun */
};

struct journal_batch_head {
	uint32_t length;
	uint32_t nrecords;
	uint64_t durable;
	uint64_t first_seq;
	uint64_t chain;
};

/* Pure. journal_head_read(): -EBADMSG, -EPROTONOSUPPORT. journal_batch_read(): -ENODATA all zeros,
 * -EBADMSG. `seed` is journal_seed() of the segment. */
uint64_t journal_seed(uint64_t salt, uint64_t number);
void journal_head_write(uint8_t p[JOURNAL_HEADER_SIZE], const struct journal_head *h);
int journal_head_read(const uint8_t p[JOURNAL_HEADER_SIZE], struct journal_head *ret);
void journal_batch_write(uint8_t p[JOURNAL_BATCH_HEADER], const struct journal_batch_head *h,
			 uint64_t seed);
int journal_batch_read(const uint8_t p[JOURNAL_BATCH_HEADER], uint64_t seed,
		       struct journal_batch_head *ret);

/* Walks the batches of one segment. */
struct journal_walk {
	int fd; /* borrowed */
	uint64_t number, size, seed;
	uint64_t pos;	  /* of the next batch */
	uint64_t chain;	  /* checksum of the last record so far */
	uint64_t seq;	  /* of the last record so far */
	uint64_t durable; /* highest told by a batch so far; kept from segment to segment */
	struct buf win;	  /* bytes of the file from win_off on */
	uint64_t win_off;
};

/* A whole, valid batch; the bytes are borrowed from the walk until its next step. */
struct journal_batch {
	struct journal_batch_head head;
	uint64_t off;	  /* in the segment */
	const uint8_t *p; /* records */
	size_t n;
	uint64_t chain; /* moves on with journal_batch_next() */
	uint32_t left;
};

/* 1: *ret is the next batch and the walk stands behind it. 0: unwritten rest or end of the file.
 * Errors: -EBADMSG not a valid batch here (the walk stays), -ENOMEM, -errno. */
int journal_walk_next(struct journal_walk *w, struct journal_batch *ret);

/* Forgets what was read ahead. */
void journal_walk_refresh(struct journal_walk *w);

/* 1: the next record of a batch; 0: no more. */
int journal_batch_next(struct journal_batch *b, struct record *ret);

/* Reads the header of an open segment and compares number and owner (NULL: any) with what they
 * should be. Errors: -EBADMSG damaged, -EUCLEAN whole but of another number or owner,
 * -EPROTONOSUPPORT, -errno. */
int journal_head_load(int fd, uint64_t number, const uint8_t *owner_id, struct journal_head *ret);

/* The segments of a folder. */
struct journal_list {
	uint64_t *numbers;
	struct journal_head *heads;
	int *states; /* 0, or why the header cannot be used: -EBADMSG */
	size_t n;
	size_t start; /* the segment that holds record after + 1 */
};

/* Lists and reads all headers, and finds the start. Errors: as journal_open(), with their text. */
int journal_list_load(int dir, const uint8_t *owner_id, uint64_t after, struct journal_list *ret,
		      struct err *reterr);
void journal_list_release(struct journal_list *l);

/* The highest durable point that is told behind the place where the walk stands: in the rest of its
 * segment and in all later segments. Errors: -errno. */
int journal_evidence(int dir, const struct journal_walk *w, uint64_t salt, uint64_t *ret);

/* fdatasync of several files at once. */
struct syncer;

/* Syncs all n descriptors, at the same time where the kernel has io_uring, one after the other
 * where not; *s keeps what is needed for the next time. Errors: -errno of the first that failed. */
int syncer_run(struct syncer **s, const int *fds, size_t n);
void syncer_free(struct syncer *s);

struct sync_waiter {
	struct sync_waiter *next;
	const int *fds;
	size_t nfds;
	uint64_t seq;
	int r;
	bool done;
};

struct journal {
	int dir; /* borrowed */
	struct journal_options opt;
	uint64_t salt;

	/* The appender's alone. */
	uint64_t number, size, pos, chain;
	struct buf batch;
	struct spares spares;

	_Atomic uint64_t seq;
	_Atomic uint64_t durable;
	_Atomic uint64_t bytes;
	_Atomic bool failed; /* for good */

	pthread_mutex_t lock; /* guards what follows; held for no I/O */
	pthread_cond_t cond;
	int fd;		/* current segment; replaced by the appender, never closed by it */
	int *old_fds;	/* earlier segments with unsynced records, owned */
	size_t n_old;	/* emptied by a sync */
	size_t cap_old; /* grown by the appender, which counts on it: never less */
	uint64_t dir_gen, dir_synced; /* renames in the folder, and how many of them are on disk */
	bool syncing;
	struct sync_waiter *pending;
	struct syncer *syncer; /* the leader's */
};

/* The journal's parts for journal_open.c: an empty object, and its end. */
struct journal *journal_new(int dir, const struct journal_options *opt);

/* Begins segment number + 1 with room for `need` bytes of batches. Errors: -ENOSPC, -errno; all is
 * as before. */
int journal_rotate(struct journal *j, uint64_t need);
