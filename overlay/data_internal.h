/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "data.h"
#include "segfile.h"

/* What the data*.c files share and nobody else sees. */

#define DATA_SUFFIX "dat"

enum { DATA_HEADER_SIZE = 128 };

struct segment {
	uint64_t number;
	uint64_t size;
	uint64_t end; /* behind the last byte that is used */
	int64_t live;
	uint64_t dirty; /* generation of its last write that is not known to be synced; 0: clean */
	uint64_t used_at; /* for the descriptor cache */
	unsigned int users;
	int fd;	       /* -1: closed */
	uint8_t class; /* enum data_class; DATA_FILES where a later program's is not known */
	bool broken;   /* its header is not there */
	bool whole;    /* the last append was of whole pages */
};

struct data {
	int dir; /* borrowed */
	uint8_t owner_id[16];
	bool read_only;
	bool failed; /* a sync did: for good, as in journal_sync.c */

	pthread_mutex_t
		lock; /* guards all below; a new segment is made under it, all else is not */
	struct segment **segs; /* by number, ascending */
	size_t n, cap;
	struct segment *current[DATA_CLASSES]; /* that we append to; NULL: none yet */
	bool appending[DATA_CLASSES];	       /* its blocks are there */
	struct spares spares;
	uint64_t clock; /* of the descriptor cache */
	uint64_t generation;
	uint64_t dir_dirty; /* as segment.dirty, of the folder */
	unsigned int open_fds;
	int64_t live;
	uint64_t bytes;
};

/* The segment of that number, or NULL. Under the lock. */
struct segment *data_segment(struct data *d, uint64_t number);

/* Makes sure that s->fd is open and stays so until data_unpin(). Under the lock. Errors: -errno. */
int data_pin(struct data *d, struct segment *s);
void data_unpin(struct data *d, struct segment *s);
