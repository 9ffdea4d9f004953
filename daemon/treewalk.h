/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
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

/*
 * A base image beside a tree: where a folder stands in both, with one id, its entries are taken from the
 * image, and git is not asked. A place of the image, TWIN_NONE where it has no such folder.
 */
struct image;
enum { TWIN_NONE = -1 };

/* The twin of the folder `name` in the folder whose twin is `dir`. */
int64_t tree_twin(const struct image *img, int64_t dir, const char *name, size_t len);

/* Does the twin's folder have this id? */
bool tree_twin_is(const struct image *img, int64_t twin, const git_oid *tree);

/* The same for many paths, each found in proportion to the folders that it does not share with the
 * one before. */
enum { TREE_READER_DEPTH = 64 };

struct tree_reader {
	git_repository *git;
	const struct image *img; /* or NULL */
	git_oid root;
	struct tree_level {
		git_tree *tree; /* NULL: the twin is it */
		int64_t twin;
	} levels[TREE_READER_DEPTH]; /* the root's, then those of the folders on the way */
	size_t depth;		     /* folders open below the root */
	struct buf path;	     /* of the last of them, with its slash */
};

/* Errors: -errno. Release in either case. */
int tree_reader_init(struct tree_reader *r, git_repository *git, const struct image *img,
		     const git_oid *tree);
void tree_reader_release(struct tree_reader *r);

/* As tree_get(). */
int tree_reader_get(struct tree_reader *r, const char *path, struct tree_entry *ret);

struct tree_edit {
	const char *path;
	struct tree_entry to; /* mode 0: delete */
};

/* Order of paths in which a folder's files stand together, right behind a file of its name. For
 * qsort() over struct tree_edit, or anything else that begins with the path. */
int tree_path_order(const void *a, const void *b);

/* Writes the tree that differs from `tree` by these edits, which must be in tree_path_order()
 * and name no path twice. Folders that become empty go; a file where a path needs a folder gives
 * way, and a folder where a path is to be a file. `img`: as above, or NULL. Errors: -errno. */
int tree_apply(git_repository *git, const struct image *img, const git_oid *tree,
	       const struct tree_edit *edits, size_t n, git_oid *ret);
