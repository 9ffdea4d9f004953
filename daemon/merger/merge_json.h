/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "merge.h"

struct worker;

/* Arrays of type Conflict (`hunks`: what merge_resolve() told, or NULL) and of sentences; what two trees differ in, as type Change, with renames
 * and line counts, appended to `changes`. */
json_t *merge_conflicts_json(const struct merge_conflicts *c, const json_t *hunks);
json_t *merge_notes_json(const struct merge_notes *notes);
int merge_changes_json(struct worker *w, const git_oid *from, const git_oid *to, json_t *changes,
		       struct err *reterr);

/* Paths (array of strings) that `theirs` changed since it left `ours`; NULL where they are more than MERGE_TOUCHED_MAX, or
 * cannot be told. */
enum { MERGE_TOUCHED_MAX = 1000 };
json_t *merge_touched_json(git_repository *git, const git_oid *ours, const git_oid *theirs);
