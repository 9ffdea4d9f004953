/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "content_store.h"

/* The table of the shared content cache as a file; described at the head of content_store.c, which
 * alone uses this and holds the locks that each function names. */
#define CONTENT_SLOTS_MIN UINT64_C(4096)

struct content_header {
	uint8_t magic[8];
	uint32_t version;
	uint32_t file;
	uint64_t compat;
	uint64_t incompat;
	uint64_t slots;
	uint64_t used;
	uint64_t tail;
	uint8_t boot[16];
	uint64_t sum;
};

struct content_table {
	int fd;
	ino_t ino;
	uint64_t slots;
	_Atomic uint8_t *checked; /* a bit per slot: its bytes were right, in this process */
};

/* Opens `table`. Errors: -ENOENT, -EBADMSG damaged, -EPROTONOSUPPORT newer, -errno. */
int content_table_open(int dir, struct content_table *ret);
void content_table_release(struct content_table *t);

/* Is it still what stands under the name? */
bool content_table_current(int dir, const struct content_table *t);

/* Reads and checks, or completes and writes, the header. Under the flock. Errors: as above. */
int content_header_read(int fd, struct content_header *ret);
int content_header_write(int fd, struct content_header *h);

/* Puts an empty table of CONTENT_SLOTS_MIN slots in place; `file` and `boot` of *h count. Under the
 * flock. Errors: -errno. */
int content_table_begin(int dir, struct content_header *h);

/* Puts a table of `slots` slots (a power of two, not fewer than before) with the same entries, less
 * the damaged ones, in place; *h becomes its header. Under the flock; the caller opens it. Errors:
 * -ENOSPC, -ENOMEM, -errno; the old one still stands then. */
int content_table_rebuild(int dir, const struct content_table *t, uint64_t slots,
			  struct content_header *h);

/* Looks for an id: 0 and its entry and slot, or -ENOENT and the first slot that is free. Without
 * a lock: an entry that is being written is not found. Errors: -ENOSPC the table is too full to
 * say, -errno. */
int content_table_find(const struct content_table *t, const uint8_t oid[32], uint64_t *ret_slot,
		       struct content_entry *ret);

/* Completes the entry's checksum and writes it. Under the flock. Errors: -errno. */
int content_table_put(const struct content_table *t, uint64_t slot, struct content_entry *e);

/* This process has seen the right bytes of the slot. Atomic. */
bool content_table_checked(const struct content_table *t, uint64_t slot);
void content_table_set_checked(const struct content_table *t, uint64_t slot);
