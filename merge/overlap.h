/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "resolve.h"

/*
 * Two versions of a file that are both being worked on, against what they come from: how near do they come to
 * each other, and what would become of a merge?
 */

enum overlap_kind {
	OVERLAP_NONE,	     /* a side has not changed it, or both have the same */
	OVERLAP_FILE,	     /* different places of one file */
	OVERLAP_DECLARATION, /* the same declaration, different lines */
	OVERLAP_LINES,	     /* the same lines: a conflict, resolved by rule or not */
};

/* Where: lines [from, to) of each version, counted from 0; what they stand in. */
struct overlap_place {
	size_t from[SIDES], to[SIDES];
	struct text declaration; /* its first line, borrowed; empty where there is none */
	bool resolved;		 /* by a rule whose record suffices */
};

enum { OVERLAP_PLACES_MAX = 20 };

struct overlap {
	enum overlap_kind kind;
	size_t conflicts, left; /* left: that no rule would resolve */
	double clean; /* how likely the merge needs nobody: product of the rules' records; 0 if left */
	struct overlap_place place[OVERLAP_PLACES_MAX];
	size_t n;
};

/* Compares them; ours and theirs are the two sides. The texts are borrowed, also by the result. Errors: -ENOMEM, -EFBIG. */
int overlap_texts(const char *path, const struct text text[SIDES], const struct resolve_options *o,
		  struct overlap *ret);

/* The line of l that the declaration around line `at` begins with, l->n where there is none: the nearest one at or
 * before it that begins with a letter, '_' or '$' and is no label or access specifier (as git's default for hunk headers). */
size_t overlap_heading(const struct lines *l, size_t at);
