/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <stdbool.h>
#include <stddef.h>

#include "merge_private.h"
#include "merge_walk.h"
#include "treewalk.h"

/*
 * Changing files of a worktree in which somebody works: nothing that is not in the object store is
 * ever overwritten, and a failure half-way undoes what was done.
 */
struct checkout;

/* One path's change. Gitlinks: only the index and an empty folder, as git does. */
struct checkout_item {
	char *path;		    /* owned by whoever owns the list */
	struct tree_entry from, to; /* mode 0: not there */
};

struct checkout_items {
	struct checkout_item *v;
	size_t n, cap;
};

/* Appends; copies the path. */
int checkout_item_add(struct checkout_items *l, const char *path, const struct tree_entry *from,
		      const struct tree_entry *to);

/* Every path in which two trees differ. */
int checkout_items_diff(git_repository *git, const git_oid *from, const git_oid *to,
			struct checkout_items *ret);
void checkout_items_release(struct checkout_items *l);

/* May a tree have this path, in a worktree? No empty part, `.`, `..`, `.git` or what some file
 * system takes for it. */
bool checkout_path_ok(const char *path);

/* Opens the worktree of `git` (a repository object of that worktree, borrowed) and takes its
 * index.lock. `index`: the index counts and will be changed, too. Errors: Locked, Dirty (in the middle of
 * a rebase, merge …), Unsupported, -errno. */
int checkout_open(git_repository *git, bool index, struct checkout **ret, struct err *reterr);

/* What stands at `path` now, as a tree would have it (mode 040000: a folder, or below something that
 * is none); `write`: its blob is put into the object store. */
int checkout_look(struct checkout *c, const char *path, bool write, struct tree_entry *ret,
		  struct err *reterr);

/* Checks every item against index and files and writes the new contents beside; changes nothing that
 * anybody sees. An item whose path holds `to` already is fine. `items` is borrowed until the close.
 * Errors: Dirty, naming the paths (*ret_refused has all, with reasons); Unsupported, naming the
 * filter; -ENOSPC, -errno. */
int checkout_prepare(struct checkout *c, const struct checkout_items *items,
		     struct merge_private *attributes, struct merge_conflicts *ret_refused,
		     struct err *reterr);

/* Puts files and index into place. After an error all is as it was. */
int checkout_publish(struct checkout *c, struct err *reterr);

/* Takes checkout_publish() back: what follows it could not be done. */
void checkout_undo(struct checkout *c);

/* Frees lock and temporary files. Takes NULL. */
void checkout_close(struct checkout *c);

/* Removes what a killed merge left in a worktree's git folder, its lock above all. */
void checkout_tidy(git_repository *git);
