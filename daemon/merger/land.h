/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>

#include "repo.h"

/*
 * A branch moves to a merge of it. Where a worktree has it checked out, files and index are put in place first
 * (checkout.c says why, and what a kill leaves at each step), then the ref moves by compare-and-swap.
 */
struct worker;

struct landing {
	struct worker *w;
	const char *source, *into; /* branches' names; source is for the reflog alone */
	const char *how;	   /* "merged", "fast-forward", "squashed": for the reflog */
	git_oid from, to;	   /* where `into` has to stand, and where it goes */
};

/* Would it work, as far as worktrees are concerned? Nothing is changed. Errors: Dirty (the paths are in the
 * answer's details), BranchElsewhere, Locked, Unsupported, -errno. */
int landing_check(struct landing *l, struct err *reterr);

/* Makes the objects durable, updates worktrees, moves the ref. Errors: as above, and -EAGAIN (Busy): somebody
 * else moved the branch; nothing is changed then. */
int landing_do(struct landing *l, struct err *reterr);

/* Makes the objects durable and keeps `to` alive as refs/agentfs/merge/<name>, which is replaced where it is there.
 * Errors: Invalid (no valid name), -errno. */
int landing_keep(struct landing *l, const char *name, struct err *reterr);

/* Removes such a ref, where it is there. */
int landing_drop(struct repo *r, const char *name, struct err *reterr);

/* Removes what a merge that was killed at its very end left in the branch's worktree. */
void landing_tidy(struct repo *r, const char *into);
