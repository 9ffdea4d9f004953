/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/types.h>

#include "merge_private.h"
#include "merge_walk.h"

/* git's own merge (merge-ort), asked without letting the repository say what is run. */

/* A path that git could not merge, as it would stand in an index: [0] base (of several bases: their own merge),
 * [1] ours, [2] theirs, each wherever that side has the file; mode 0: not there. */
struct merge_stages {
	char *path;
	struct tree_entry v[3];
};

struct merge_git {
	git_oid tree; /* with conflict markers in the files of `conflicts` */
	struct merge_conflicts conflicts;
	struct merge_stages *stages;
	size_t nstages;
	char **merged; /* paths whose contents were merged */
	size_t nmerged;
	char **moved; /* paths that a conflict of another path stands for */
	size_t nmoved;
	git_repository *git; /* has what both sides have; borrowed */
};

/* A merge that git is making meanwhile; merge_git_finish() ends it, or merge_git_drop(). */
struct merge_git_run {
	pid_t pid; /* 0: none */
	int out, err;
	git_oid ours, theirs;
	git_repository *git;
};

/* Starts what merge_git() waits for. Errors: -errno. */
int merge_git_start(struct merge_private *p, const git_oid *ours, const git_oid *theirs,
		    struct merge_git_run *ret, struct err *reterr);
/* Errors: as merge_git(). */
int merge_git_finish(struct merge_git_run *run, struct merge_git *ret, struct err *reterr);
void merge_git_drop(struct merge_git_run *run);

/* Merges two commits. Nothing is written into the shared repository. Errors: -ENOSYS where git is
 * absent or older than 2.38 (with the sentence), -ETIMEDOUT, -EIO (git's own words), -errno. */
int merge_git(struct merge_private *p, const git_oid *ours, const git_oid *theirs,
	      struct merge_git *ret, struct err *reterr);

/* Copies a blob, or a tree with all that the shared repository lacks of it; hashes are computed
 * anew. */
int merge_git_copy(struct merge_private *p, const git_oid *id, struct err *reterr);

/* What git has of a path that conflicts; NULL where it is not among them. */
const struct merge_stages *merge_git_stages(const struct merge_git *g, const char *path);

void merge_git_release(struct merge_git *g);
