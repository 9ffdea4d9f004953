/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* Comparing and editing trees in proportion to what differs: equal subtrees are never read. */

/* A path's entry; mode 0: it is not there. */
struct tree_entry {
	uint32_t mode; /* 0100644, 0100755, 0120000, 0160000; never a folder */
	git_oid oid;
};

struct tree_delta {
	const char *path; /* borrowed for the call */
	struct tree_entry from, to;
};

/* A non-zero return ends the walk and is returned. */
typedef int (*tree_delta_fn)(const struct tree_delta *d, void *user);

/* Every file, symlink and gitlink in which the trees differ, in git's order of tree entries; NULL
 * is the empty tree. A file that becomes a folder is a deletion and additions. Errors: -errno. */
int tree_diff(git_repository *git, const git_oid *from, const git_oid *to, tree_delta_fn fn,
	      void *user);

/* The entry at `path`, mode 0 when there is none (or a folder). Errors: -errno. */
int tree_get(git_repository *git, const git_oid *tree, const char *path, struct tree_entry *ret);

struct tree_edit {
	const char *path;
	struct tree_entry to; /* mode 0: delete */
};

/* Order of paths in which a folder's files stand together, right behind a file of its name. For
 * qsort() over struct tree_edit, or anything else that begins with the path. */
int tree_path_order(const void *a, const void *b);

/* Writes the tree that differs from `tree` by these edits, which must be in tree_path_order()
 * and name no path twice. Folders that become empty go; a file where a path needs a folder gives
 * way, and a folder where a path is to be a file. Errors: -errno. */
int tree_apply(git_repository *git, const git_oid *tree, const struct tree_edit *edits, size_t n,
	       git_oid *ret);
