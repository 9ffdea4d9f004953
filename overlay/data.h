/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"

/*
 * Data segments: the bytes that agents wrote, appended and never overwritten. A data address is
 * segment number << 32 | offset in the segment's file. Format at the head of data.c.
 */
struct data;

/* Opens (or creates) the segments in `dir` (borrowed). Appending goes on behind the highest end
 * told by data_mark_used() since; what lies beyond was never acknowledged. read_only: no writes,
 * no preallocation. Errors: -EBADMSG, -EPROTONOSUPPORT, -ENOSPC, -errno. */
int data_open(int dir, const uint8_t owner_id[16], int read_only, struct data **ret,
	      struct err *reterr);
void data_close(struct data *d);

/* Recovery: [addr, addr + len) is referenced by a record or checkpoint. Errors: -EBADMSG when no
 * such segment or range exists. */
int data_mark_used(struct data *d, uint64_t addr, uint64_t len);

/* Bytes that die differently are kept in segments of their own, so that those can go whole. */
enum data_class {
	DATA_FILES = 0, /* the view's files */
	DATA_GIT = 1,	/* its own .git, whose index git writes anew again and again */
	DATA_CLASSES,
};

/* Reserves room and writes the bytes; one contiguous range. Thread-safe; the write itself runs
 * outside the lock. The bytes count as live until the caller takes them back with data_live(addr, -n), after the
 * record that names them was applied or given up: so no segment is removed under a write on its way. Errors: -ENOSPC before anything is written, -EIO. */
int data_append(struct data *d, enum data_class class, const void *p, size_t n, uint64_t *ret_addr);

/* Reads exactly n bytes. Thread-safe. Errors: -EIO, -EBADMSG outside a segment. */
int data_pread(struct data *d, uint64_t addr, void *p, size_t n);

/* The same without waiting for a disk. Errors: also -EAGAIN, it would have to. */
int data_pread_cached(struct data *d, uint64_t addr, void *p, size_t n);

/* Live bytes per segment, the compactor's input: +len when an extent comes to refer to the range,
 * -len when it goes. */
void data_live(struct data *d, uint64_t addr, int64_t delta);
uint64_t data_live_bytes(const struct data *d);

/* A segment that nothing is appended to any more. */
struct data_sealed {
	uint64_t number, size, used; /* bytes of the file; of these, appended */
	uint64_t live;		     /* bytes that an extent refers to */
	enum data_class class;
};

/* The sealed segments, oldest first; the caller frees. Errors: -ENOMEM. */
int data_sealed(struct data *d, struct data_sealed **ret, size_t *ret_n);

/* Removes a sealed segment of which nothing is live, for good. Errors: -ENOENT no such one, -EBUSY it is read
 * just now or has live bytes, -errno. */
int data_remove(struct data *d, uint64_t number);
uint64_t data_disk_bytes(const struct data *d);

/* Descriptors of the segments written since the last sync, to be handed to journal_sync(); dup'd,
 * the caller closes them. Returns their number. Errors: -ENOMEM, -EMFILE. Once the sync succeeded
 * call data_synced() with the token, so that they are not synced again. `max` is 4 or more; segments
 * beyond it are synced here. The folder is among them after a new segment. Errors: also -EIO. */
int data_dirty_fds(struct data *d, int *ret_fds, size_t max, uint64_t *ret_token);
void data_synced(struct data *d, uint64_t token);
