/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "buf.h"
#include "lines.h"

/* Three versions of a text, cut into stretches that merge by themselves and such that do not. */

enum side { BASE, OURS, THEIRS, SIDES };

enum chunk_kind {
	CHUNK_SAME,	/* unchanged, or both sides changed it alike: take ours */
	CHUNK_OURS,	/* only ours changed it */
	CHUNK_THEIRS,	/* only theirs did */
	CHUNK_CONFLICT, /* both did, differently */
};

struct chunk {
	enum chunk_kind kind;
	size_t from[SIDES], to[SIDES]; /* lines [from, to) of each version */
	/* A conflict's edits against the base: indexes [from, to) into diff3.edits[OURS, THEIRS]. */
	size_t edit_from[SIDES], edit_to[SIDES];
	bool trimmed;	   /* lines that both have alike were taken out of it: */
	size_t head, tail; /* so many at its ends, which stand in the chunks beside it */
};

struct diff3 {
	struct text text[SIDES]; /* borrowed */
	struct lines lines[SIDES];
	struct edits edits[SIDES]; /* [OURS], [THEIRS]: against the base */
	struct chunk *v;
	size_t n, cap, conflicts;
};

/* Edits of the two sides that overlap or touch become one chunk (as in git's merge); lines that both
 * sides have alike at a conflict's ends are taken out of it. Errors: -ENOMEM, -EFBIG. */
int diff3(struct text base, struct text ours, struct text theirs, struct diff3 *ret);
void diff3_release(struct diff3 *d);

/* The bytes of a chunk in one version. */
struct text diff3_text(const struct diff3 *d, const struct chunk *c, enum side side);

/* The chunk (a conflict of d->v) and what was taken out of it at its beginning and end, both sides having it alike;
 * NULL where nothing was. */
void diff3_trimmed(const struct diff3 *d, const struct chunk *c, const struct chunk **ret_head,
		   const struct chunk **ret_tail);

/* Bytes [from, to) of a text. */
struct range {
	size_t from, to;
};

/* The whole file: what merges by itself merged, each conflict as `side` has it. at (d->conflicts of them, or NULL):
 * where the conflicts stand in it. Versions assembled so differ in their conflicts alone. Errors: -ENOMEM. */
int diff3_assemble(const struct diff3 *d, enum side side, struct buf *ret, struct range *at);

/* The other way: where the conflicts of d stand in `whole`, in which all else has to be merged as
 * diff3_assemble() does. Returns 1; 0 where it is not, or where that is not certain; -ENOMEM. */
int diff3_split(const struct diff3 *d, struct text whole, struct range *at);

/* The same with the sides swapped; borrows all of d but the list of chunks. Errors: -ENOMEM. */
int diff3_swapped(const struct diff3 *d, struct diff3 *ret);
void diff3_swapped_release(struct diff3 *d);
