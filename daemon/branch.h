/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "repo.h"

/* Branches and our own refs in the shared repository. A ref moves by compare-and-swap only. */

/* Is its history cut off (shallow)? libgit2's walks then end in an error at the cut. */
bool branch_is_cut(git_repository *git);

/* Is commit `inner` equal to or an ancestor of `outer`? Where history is cut off (shallow), what is
 * not there counts as not contained. Errors: -errno. */
int branch_contains(git_repository *git, const git_oid *outer, const git_oid *inner, bool *ret,
		    struct err *reterr);

/* How far a branch and its target are apart. Cut-off history counts as far as it goes. */
int branch_distance(git_repository *git, const git_oid *branch, const git_oid *target,
		    size_t *ret_ahead, size_t *ret_behind, struct err *reterr);

#define BRANCH_CREATED "agentfs: created" /* in the reflog of a branch that branch_claim() made */

struct branch_made {
	bool made;  /* it was not there before */
	bool moved; /* it was, and stood at `was` */
	git_oid was;
};

/* Makes branch `name` at `at`, or takes over one whose tip is contained in `at`. Errors: NameTaken,
 * BranchElsewhere (checked out in a worktree), Invalid (no valid name). */
int branch_claim(struct repo *r, const char *name, const git_oid *at, struct branch_made *ret,
		 struct err *reterr);

/* Takes a branch back as it was before branch_claim(), unless it has moved on since. */
void branch_unclaim(struct repo *r, const char *name, const git_oid *at,
		    const struct branch_made *made);

/* refs/agentfs/base/<view-id>: create-only. Errors: -EEXIST. */
int branch_keep_base(struct repo *r, const char *view_id, const git_oid *at, struct err *reterr);
void branch_drop_base(struct repo *r, const char *view_id);

/* While a view moves to another base: refs/agentfs/base/<view-id>-next keeps that; then the base's ref
 * moves, and the old one stays under <view-id>-<commit> while the view reads content of it, as do those
 * before. Nothing is lost where the second fails. */
int branch_hold_base(struct repo *r, const char *view_id, const git_oid *at, struct err *reterr);
void branch_move_base(struct repo *r, const char *view_id, const git_oid *from, const git_oid *to,
		      bool keep_old);

/* Makes a ref below refs/agentfs/preserved/<agent>/<view-id>/ that did not exist: `name`, or
 * name-1, name-2 … *ret_ref is its full name, malloc'd; a ref of ours that already keeps the
 * commit is reused. */
int branch_preserve(struct repo *r, const char *agent, const char *view_id, const char *name,
		    const git_oid *at, char **ret_ref, struct err *reterr);

/* Moves refs/heads/<name> from `from` (NULL: it must not exist) to `to`. Errors: -EAGAIN (Busy)
 * when it stood elsewhere. */
int branch_move(struct repo *r, const char *name, const git_oid *from, const git_oid *to,
		const char *why, struct err *reterr);

/* The tip of refs/heads/<name>. Errors: -ENOENT (NotFound). */
int branch_tip(struct repo *r, const char *name, git_oid *ret, struct err *reterr);
