/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A changed file's map: which bytes come from where. Extents are sorted, do not overlap, and what
 * none covers is a hole.
 */
struct extent {
	uint64_t off;	/* in the file */
	uint64_t len;	/* > 0 */
	uint64_t node;	/* EXTENT_…, or the base node whose content it is */
	uint64_t place; /* data address, or offset in the base node's content or the index file */
};

enum {
	EXTENT_DATA = 0,  /* `place` is a data address (data.h) */
	EXTENT_INDEX = 1, /* the prepared git index of the base image */
	EXTENT_SEED = 2,  /* still in the main worktree (seed.h) */
};

/* Told of data ranges that come into use (+len) and go out of it (-len). May be NULL. */
typedef void (*extent_live_fn)(uint64_t addr, int64_t delta, void *user);
struct extent_live {
	extent_live_fn fn;
	void *user;
};

struct extent_map {
	struct extent *v;
	uint32_t n, cap;
	uint64_t covered; /* bytes that are no hole; kept here, since stat(2) asks at every turn */
};

/* Room for n more extents than there are, so that the calls below cannot fail: extent_set() and
 * extent_punch() need 2. Errors: -ENOMEM. */
int extent_reserve(struct extent_map *m, uint32_t n);

/* [off, off + len) now comes from there; what was there goes. Joins with neighbours. */
void extent_set(struct extent_map *m, uint64_t off, uint64_t len, uint64_t node, uint64_t place,
		const struct extent_live *live);

/* [off, off + len) becomes a hole. */
void extent_punch(struct extent_map *m, uint64_t off, uint64_t len, const struct extent_live *live);

/* Index of the first extent that ends behind off; m->n where there is none. */
uint32_t extent_find(const struct extent_map *m, uint64_t off);

/* Is the whole of [0, size) one extent of base node `node` at its own offsets? */
bool extent_is_base(const struct extent_map *m, uint64_t size, uint64_t *ret_node);

void extent_release(struct extent_map *m, const struct extent_live *live);
