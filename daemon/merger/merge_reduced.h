/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "merge_private.h"
#include "merge_walk.h"

/*
 * A merge cut down to a few files, for git to make: two commits and their base, whose trees hold nothing but these.
 * Git makes the same of each as in the whole merge: a path that all three have as a file is no rename, neither from
 * there nor to there. It need not read, nor look for renames in, anything else.
 */

/* Writes the objects into the private repository, which is made if it is not there. `files` are in the walk's order, each
 * is a file in all three trees. Git sees what was written; p->git only if it is opened later. Errors: -errno. */
int merge_reduced(struct merge_private *p, const struct merge_both *files, size_t n,
		  git_oid *ret_ours, git_oid *ret_theirs, struct err *reterr);
