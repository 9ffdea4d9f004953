/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <stdint.h>

#include "err.h"

/* One new pack of a repository: entries are appended as they come, and the whole is put in place
 * with its index at the end. Files, crash behaviour: head of pack.c. Not thread-safe. */
struct pack;

struct pack_entry {
	git_oid oid;
	uint64_t off, len; /* of the packed entry: header and deflated content */
	uint32_t crc;	   /* CRC-32 of it */
};

/* `objects`: the repository's objects folder, copied; NULL: a pack that is never put in place.
 * Nothing is on the disk before pack_land(), unless the pack grows large. Errors: -ENOMEM. */
int pack_new(const char *objects, struct pack **ret);

/* Removes what is not in place. NULL does nothing. */
void pack_free(struct pack *p);

/* Errors: -errno; the pack is then of no use. */
int pack_append(struct pack *p, const void *bytes, size_t n, uint64_t *ret_off);

/* Bytes appended so far, also after pack_land(). Errors: -EIO, -errno. */
int pack_read(struct pack *p, uint64_t off, void *buf, size_t n);
uint64_t pack_size(const struct pack *p);

/* Puts the pack in place, durably. `entries` (sorted here) are all that were appended. Until
 * pack_release() no repack removes it, whatever refers to it. Errors: -errno. */
int pack_land(struct pack *p, struct pack_entry *entries, size_t n, struct err *reterr);

/* Refs lead to its objects now, or never will: an ordinary pack from here on. */
void pack_release(struct pack *p);
