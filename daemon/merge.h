/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <stdbool.h>

#include "err.h"
#include "merge_walk.h"

/* A three-way merge of two commits in the object store: no ref, index or worktree is looked at. */

struct merge_notes {
	char **v;
	size_t n;
};

struct merge_out {
	git_oid tree; /* unless there are conflicts */
	struct merge_conflicts conflicts;
	struct merge_notes notes; /* sentences */
	bool by_git;		  /* the tree is git's own, not the walk's */
};

int merge_note(struct merge_notes *notes, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Merges `theirs` into `ours`. The objects of a clean result are written. Errors: Invalid (no common
 * history), Unsupported (several merge bases, and git absent), Timeout, -errno. */
int merge_commits(git_repository *git, const git_oid *ours, const git_oid *theirs,
		  struct merge_out *ret, struct err *reterr);
void merge_out_release(struct merge_out *m);
