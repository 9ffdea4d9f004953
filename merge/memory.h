/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "hunk_key.h"
#include "resolver.h"

/* Conflicts that people resolved, known again by their keys: what resolver `remembered` answers from. */
struct memory;

/* Errors: -ENOMEM. */
int memory_new(struct memory **ret);
void memory_free(struct memory *m);

/* What a person kept of a conflict; all is copied. One that is told later counts more. Errors: -ENOMEM. */
int memory_add(struct memory *m, const char *path, struct text base, struct text ours,
	       struct text theirs, struct text kept);

/* What was kept of the same conflict, in this file before any other; false where none is known, or where its lines
 * stood at another indentation. m may be NULL. Borrowed. */
bool memory_find(const struct memory *m, const struct conflict *c, struct text *ret);
size_t memory_size(const struct memory *m);
