/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <stdbool.h>

#include "err.h"
#include "merge_resolve.h"
#include "merge_second.h"
#include "merge_walk.h"

/* A three-way merge of two commits in the object store: no ref, index or worktree is looked at. */

struct merge_out {
	git_oid tree; /* unless there are conflicts */
	bool has_partial;
	git_oid partial; /* with conflicts of content alone: everything else merged, they stand there as ours has them */
	struct merge_conflicts conflicts;
	struct merge_notes notes;	/* sentences */
	size_t by_line;			/* files that both sides changed, where the walk decided */
	bool by_git;			/* the tree is git's own, not the walk's */
	struct merge_resolved resolved; /* tier 2; all NULL where it was not asked */
	uint64_t bases_ns;		/* of the whole: looking for the merge bases */
};

/* Merges `theirs` into `ours`; what conflicts by line is shown to the resolvers (`tier2` NULL: it is not). The
 * objects of a result without conflicts are written. Errors: Invalid (no common
 * history), Unsupported (several merge bases, and git absent), Timeout, -errno. */
int merge_commits(git_repository *git, const git_oid *ours, const git_oid *theirs,
		  const struct resolve_options *tier2, struct merge_out *ret, struct err *reterr);
void merge_out_release(struct merge_out *m);
