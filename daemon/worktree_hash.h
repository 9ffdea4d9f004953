/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <stdbool.h>

#include "cleaner.h"
#include "worktree.h"

struct worktree_hash {
	struct snapshot *snapshot;
	git_repository *git;
	struct cleaner *cleaner;
	bool strict; /* worktree_options */
};

/* Stores the content of the files and symlinks that are taken as blobs, converted as git add would:
 * their to.oid. Errors: Unsupported naming path and filter, TooLarge, -EIO, -errno. */
int worktree_hash(struct worktree_hash *h, struct worktree_item *items, size_t n,
		  struct err *reterr);
