/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <stdbool.h>

#include "buf.h"
#include "err.h"

/*
 * A private repository in a temporary folder: the objects of the shared one by way of alternates, a
 * configuration of ours, a work folder with nothing but the .gitattributes that count for some paths.
 * Attributes are looked up in it (git and libgit2 can read them from a work folder only, and the
 * shared one's may be of another branch), and git's own merge runs in it.
 */
struct merge_seen;

struct merge_private {
	git_repository *shared; /* borrowed */
	const git_oid *tree[3]; /* base, ours, theirs (or NULL, the tree, NULL); borrowed */
	git_repository *git;	/* NULL until something needs it */
	struct buf dir;		/* its folder, absolute */
	int fd;			/* of it, flock()ed: whoever tidies up leaves it alone */
	struct merge_seen *seen;
	bool plain;   /* no attribute of any path looked at is set anywhere */
	bool on_disk; /* never in memory: set between init and the first use */
	bool in_memory;
};

/* Attributes are those of `tree`, or of what merges: a .gitattributes that one side changed is that
 * side's, one that both changed is ours. Makes nothing yet. */
void merge_private_init(struct merge_private *p, git_repository *shared, const git_oid *base,
			const git_oid *ours, const git_oid *theirs);

/* Makes the repository's folder if it is not there: what git needs. Errors: -errno. */
int merge_private_make(struct merge_private *p, struct err *reterr);

/* The same, and opens it: p->git. Errors: -errno. */
int merge_private_open(struct merge_private *p, struct err *reterr);

/* Is r the error of a repository that was kept in memory and has outgrown it? On the disk it may do. */
bool merge_private_is_full(const struct merge_private *p, int r);

/* Gathers the .gitattributes that count for `path`. All paths come before the first lookup. */
int merge_private_add(struct merge_private *p, const char *path, struct err *reterr);

/* The attribute's value as of git_attr_get(), borrowed until the next change. */
int merge_private_attr(struct merge_private *p, const char *path, const char *name,
		       const char **ret, struct err *reterr);

void merge_private_close(struct merge_private *p);
