/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <jansson.h>

#include "err.h"
#include "viewgit.h"

/* The commits that an agent made in its view's own repository, and whether its role allows them. */
struct worker;

struct commits {
	git_oid *v; /* parents before children */
	size_t n;
};

enum commits_kind {
	COMMITS_UNKEPT,	  /* that no branch, remote branch or tag of the repository has */
	COMMITS_UNJUDGED, /* that are nobody else's */
};

/*
 * Those reachable from `tip` and not from `base`, of a kind. The two are the same but in a worktree:
 * there the agent's commits stand in the repository already, and it may name them as it likes;
 * somebody else's is only what the view's target, a remote branch or the branch of another view
 * (request member "peers") reaches, and what a merge brought in from another branch. Errors:
 * TooLarge, Damaged.
 */
int commits_own(struct worker *w, struct viewgit_objects *o, const git_oid *tip,
		const git_oid *base, enum commits_kind kind, struct commits *ret,
		struct err *reterr);
void commits_release(struct commits *c);

/* Judges every path that each of them changes by the policy in force at the snapshot. Errors:
 * Denied, naming commit, path and rule, with details {commit, path, rule}. */
int commits_judge(struct worker *w, struct viewgit_objects *o, const struct commits *c,
		  struct err *reterr);

/* Copies them to the shared store. */
int commits_copy(struct worker *w, struct viewgit_objects *o, const struct commits *c,
		 struct err *reterr);
