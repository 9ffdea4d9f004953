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

/* Stores the file's or symlink's content as a blob, converted as git add would: it->to.oid. Errors:
 * Unsupported naming path and filter, TooLarge, -EIO, -errno. */
int worktree_hash(struct worktree_hash *h, struct worktree_item *it, struct err *reterr);
