/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <jansson.h>
#include <stdbool.h>

#include "err.h"
#include "gitindex.h"
#include "snapshot.h"
#include "treewalk.h"
#include "viewgit.h"

/*
 * A view's working folder as a tree: what git add -A would make of it on top of a given tree, in
 * proportion to what the view has changed.
 */
struct worker;

struct worktree_item {
	char *path;	       /* first, for tree_path_order() */
	struct tree_entry was; /* on the tree below */
	struct tree_entry to;  /* mode 0: it is gone */
	struct snapshot_stat st;
	bool changed;	   /* st is there: it differs from the base image */
	bool same_as_base; /* content is that of a base file: to.oid is known */
	bool indexed;	   /* to is the index's; it is not in the view (sparse-checkout) */
	bool tracked;
	bool take; /* belongs to the new tree */
};

struct worktree {
	struct worktree_item *items; /* sorted */
	size_t n, cap;
	size_t taken;
	git_oid tree;
};

struct worktree_options {
	git_repository *git;	      /* where blobs and trees are written */
	git_oid onto;		      /* tree that it is compared with and built on */
	const struct gitindex *index; /* the agent's, or NULL: what is in it is tracked */
	bool judge;		      /* leave out what the policy does not allow, with a note */
	bool limit;		      /* refuse masses of new files in one ignored-looking folder */
	bool strict;   /* refuse content that needs a filter we lack; else its bytes as they are */
	bool scratch;  /* scratch files too */
	bool additive; /* what the view lacks stays */
	bool nested;   /* files of repositories in it too, without their .git */
	json_t *ret;   /* for notes */
};

/* Errors: TooLarge (names the folder), Unsupported (names path and filter), -EIO, -errno. */
int worktree_build(struct worker *w, struct viewgit_objects *o, const struct worktree_options *opt,
		   struct worktree *ret, struct err *reterr);
void worktree_release(struct worktree *t);
