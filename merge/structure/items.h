/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "diff3.h"
#include "syntax.h"

/*
 * The children of a node as what people move and change: each with the comments and attributes before it, the comment
 * behind it on its line and the separator that follows. Between two items there is a gap of white space.
 */
struct item {
	uint32_t key;	   /* the node that it is about */
	uint32_t gap;	   /* where the white space before it begins */
	uint32_t from, to; /* without that */
	uint64_t hash;	   /* of its text, runs of white space being one */
	uint64_t body;	   /* the same without its name: alike in what was renamed */
	uint64_t identity; /* of what it declares (kind, name, types of parameters); 0: nothing */
	bool named;	   /* no mere punctuation */
	bool broken;	   /* has an error node */
	int match;	   /* a side's: index into the base's items; the base's own: unused */
	bool moved;	   /* matched out of order */
};

struct items {
	struct item *v;
	size_t n;
};

/* Of a node whose text is [from, to). The caller frees ret->v. Errors: -ENOMEM. */
int items_of(const struct syntax *s, uint32_t node, struct items *ret);

/* Fills match and moved of the side's items. Errors: -ENOMEM; -EFBIG: too many that differ. */
int items_match(const struct syntax *bs, const struct items *base, const struct syntax *ss,
		struct items *side);

/* Where the text of a node ends, white space at its end left out. */
uint32_t items_end(const struct syntax *s, uint32_t node);

/* How many declarations of the tree stand beside one of the same identity. Errors: -ENOMEM. */
int items_duplicates(const struct syntax *s, size_t *ret);
