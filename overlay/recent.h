/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Which names changed since when, for git's fsmonitor: one note a name, with the sequence number of the
 * last record that touched it. In memory only, from `floor` on; what is older is not known. Not locked.
 */
struct recent_note {
	uint64_t seq;
	uint64_t dir;		  /* folder's node number */
	struct recent_note *next; /* in its bucket */
	struct recent_note *newer, *older;
	uint32_t hash;
	uint16_t len;
	bool is_dir; /* it was a folder at some time: all below it is meant */
	char name[];
};

struct recent {
	struct recent_note **buckets;
	size_t nbuckets, n;
	struct recent_note *newest, *oldest;
	uint64_t floor; /* changes after this record are all noted */
};

enum { RECENT_MAX = 65536 }; /* notes; beyond it the oldest go and the floor rises */

/* Notes (dir, name). Without memory the floor rises to seq: nothing before it is known any more. */
void recent_add(struct recent *r, uint64_t seq, uint64_t dir, const char *name, size_t len,
		bool is_dir);

/* Calls fn for each note with a sequence number above `since`, newest first; stops at non-zero. */
int recent_each(const struct recent *r, uint64_t since,
		int (*fn)(const struct recent_note *n, void *user), void *user);

/* Forgets all notes up to and with `seq`. */
void recent_reset(struct recent *r, uint64_t seq);
void recent_release(struct recent *r);
