/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "repo.h"

/* Refuses (BranchElsewhere) a branch that a worktree has checked out, the main one or a linked one,
 * but for the linked one of name `except` (may be NULL). One whose folder is gone and that is not
 * locked does not count. No worktree's folder is opened: it may be a view, whose server hangs. */
int worktrees_check_free(struct repo *r, const char *name, const char *except, struct err *reterr);

/* Opens the worktree (main or linked) in which branch `name` is checked out; *ret is NULL where there
 * is none; caller frees. A linked worktree whose folder is gone does not count. Errors:
 * BranchElsewhere (in several, or in a view), Dirty (one is in the middle of a rebase or bisect of it), -errno. */
int worktrees_find(struct repo *r, const char *name, git_repository **ret, struct err *reterr);
