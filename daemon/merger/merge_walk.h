/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <stdbool.h>
#include <stddef.h>

#include "err.h"
#include "treewalk.h"

/* Three trees compared by id: equal subtrees are never read, only changed folders are written. */

/* A path that could not be merged, and why, for people. */
struct merge_conflict {
	char *path;
	const char *kind; /* literal: "content", "add/add", "modify/delete" … */
	char *reason;	  /* a sentence */
	bool generated;	  /* a program writes the file */
};

struct merge_conflicts {
	struct merge_conflict *v;
	size_t n, cap;
};

/* Appends, unless the path has a conflict of that kind already. Errors: -ENOMEM. */
int merge_conflict_add(struct merge_conflicts *c, const char *path, const char *kind,
		       const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Marks the path's as of a file that a program writes. */
void merge_conflicts_generated(struct merge_conflicts *c, const char *path);
void merge_conflicts_release(struct merge_conflicts *c);

/* A regular file that both sides changed, each in its own way. */
struct merge_both {
	char *path;
	struct tree_entry base, ours, theirs;
};

struct merge_walk {
	git_oid tree; /* everything merged but `both`, which stand there as ours has them */
	struct merge_both *both;
	size_t nboth, capboth;
	/* Where a walk by path may be silently wrong, or can only fail: git's own merge must decide.
	 * Told as the conflicts that they are where git cannot be asked. */
	struct merge_conflicts triggers;
};

/* Merges three trees. With triggers, `tree` means nothing. Errors: -errno (objects missing or
 * damaged, folders nested too deep). */
int merge_walk(git_repository *git, const git_oid *base, const git_oid *ours, const git_oid *theirs,
	       struct merge_walk *ret, struct err *reterr);
void merge_walk_release(struct merge_walk *w);
