/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <jansson.h>

#include "diff3.h"
#include "evidence.h"

/* What people kept of conflicts in a history that is replayed from its end: to be remembered, and to see how often the same
 * conflict was resolved alike before. */
struct learn_kept;

/* Errors: -ENOMEM. */
int learn_kept_new(struct learn_kept **ret);
void learn_kept_free(struct learn_kept *k);

/* A conflict of an older merge than those before, or of the same. Where a newer merge had the same conflict, this one is what
 * `remembered` would have answered there: counted in *record. Errors: -ENOMEM. */
int learn_kept_add(struct learn_kept *k, const git_oid *merge, const char *path,
		   const struct diff3 *d, const struct chunk *c, struct text kept,
		   struct evidence *record);

/* The newest of them, as many as the history takes: [{commit, path, line, base, ours, theirs, kept, key, language, class}].
 * Borrowed. */
json_t *learn_kept_json(const struct learn_kept *k);
