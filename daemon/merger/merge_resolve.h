/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <jansson.h>

#include "merge_walk.h"
#include "resolve.h"

/* Tier 2: what the line-wise merge left as conflicts of content is shown to the resolvers. */

struct merge_resolved {
	json_t *files;	  /* array of type Resolved */
	json_t *hunks;	  /* path → array of type Hunk, for what is still a conflict */
	uint64_t seen_ns; /* what options->seen() took of the merge */
};

/* One file, whose versions are read from `from`. Returns 1: resolved, its blob written to *ret and told in out->files; 0: still a conflict, its hunks told
 * in out->hunks; -errno. */
int merge_resolve(git_repository *git, git_repository *from, const struct merge_both *file,
		  const struct resolve_options *options, struct merge_resolved *out, git_oid *ret,
		  struct err *reterr);
void merge_resolved_release(struct merge_resolved *r);
