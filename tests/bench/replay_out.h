/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "replay_merge.h"

/* What is printed of a replayed merge. */

/* A conflict with every answer and its verdict; `texts`: with the versions' texts. */
json_t *out_conflict(const struct replay_conflict *c, bool texts);

/* A verdict's name. */
const char *out_verdict(int verdict);

/* Conflicts as [path, kind]. */
json_t *out_conflicts(const struct merge_conflicts *c);

/* The same as [path, kind, what the person has there]: "removed", "ours" or "theirs" (as that side has the path), "new". */
json_t *out_conflicts_kept(git_repository *git, git_commit *merge, const struct merge_conflicts *c);

/* Paths in which two trees differ. */
json_t *out_paths(git_repository *git, const git_oid *x, const git_oid *y);
