/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "repo.h"

/* Opens the worktree (main or linked) in which branch `name` is checked out; *ret is NULL where there
 * is none; caller frees. A linked worktree whose folder is gone does not count. Errors:
 * BranchElsewhere (in several), Dirty (one is in the middle of a rebase or bisect of it), -errno. */
int worktrees_find(struct repo *r, const char *name, git_repository **ret, struct err *reterr);
