/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <stdbool.h>

#include "buf.h"
#include "err.h"
#include "repo.h"

/*
 * The view's git, read as hostile input: nothing in it is trusted to be what git would write, no path
 * of it leads anywhere else, and sizes are bounded. It is the view's own .git, read from the
 * snapshot; or (worker.worktree) HEAD and index of a worktree of the repository, whose refs, stash
 * and objects are the repository's own.
 */
struct gitindex;
struct snapshot;
struct worker;

/* Appends a file of it (path below .git). Errors: -ENOENT, -EFBIG, -EINVAL no regular file, -EIO.
 */
int viewgit_read(struct worker *w, const char *path, size_t max, struct buf *b);

/* A ref: loose, else packed. Errors: -ENOENT, -EBADMSG no plain object id. */
int viewgit_ref(struct worker *w, const char *name, git_oid *ret);

/* Tip of the view's branch, on which HEAD must stand, with no rebase, merge, cherry-pick, revert or
 * bisect under way. Errors: BranchElsewhere, with a sentence that says what to do. */
int viewgit_head(struct worker *w, git_oid *ret, struct err *reterr);

/* Each branch (and refs/stash) that only the view has, with its tip; of a worktree none. A non-zero
 * return ends it. */
typedef int (*viewgit_ref_fn)(const char *name, const git_oid *tip, void *user);
int viewgit_refs(struct worker *w, viewgit_ref_fn fn, void *user);

/*
 * The view's objects beside the shared ones. Only what the shared store lacks is copied, to a
 * private temporary folder; objects are checked against their ids as they are read.
 */
struct viewgit_objects {
	char dir[64];	     /* temporary folder, "" before viewgit_open() */
	git_odb *odb;	     /* both; what is written goes to the temporary folder */
	git_repository *git; /* a repository without refs or configuration over odb */
	bool imported;
};

/* Makes the temporary folder. Errors: -errno. */
int viewgit_open(struct viewgit_objects *o, struct repo *r, struct err *reterr);

/* Copies the objects in; once. Errors: TooLarge, -errno. */
int viewgit_import(struct viewgit_objects *o, struct worker *w, struct err *reterr);

/* The view's index; *ret is NULL where the view has none, and on error. Caller frees with
 * gitindex_free(). Errors: as gitindex_parse(), with what to do. */
int viewgit_index(struct worker *w, struct gitindex **ret, struct err *reterr);

/* Removes everything. */
void viewgit_close(struct viewgit_objects *o);

/* Copies an object and all it refers to (parents of commits not included) into the shared store,
 * where it is not there yet, trees checked for legal names and order. Children come first, so an
 * object that is there is complete. Errors: Damaged, Denied (a name such as .git), -errno. */
int viewgit_copy(struct viewgit_objects *o, git_odb *to, const git_oid *oid, struct err *reterr);
