/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "judge.h"
#include "treewalk.h"
#include "viewgit.h"

/*
 * Moving a view to another base commit, seen from git: what its branch becomes (sync_heads.c), what its
 * files become, path by path (sync_paths.c), and its index (sync_index.c). sync.c puts them together.
 */
struct worker;
struct gitindex;

/* A path that the branch's new commit or the new base has otherwise. */
struct sync_item {
	char *path;
	struct tree_entry was, to;  /* in the branch's tree before and after */
	struct tree_entry next;	    /* in the new base */
	struct tree_entry view;	    /* what the view has: mode 0: no file */
	struct tree_entry want;	    /* what it is to have */
	struct tree_entry sides[3]; /* of a conflict between commits: base, ours, theirs */
	uint64_t node;		    /* the view's, 0: none */
	bool folder;		    /* the view has a folder there */
	bool three;		    /* `sides` are set: the commits themselves conflict here */
	bool put;		    /* what it is to have can only be written anew */
	const char *kind;	    /* conflict: literal, NULL: none */
	char *reason;
};

struct sync_plan {
	struct worker *w;
	struct err *err;
	json_t *ret;
	bool markers;
	const char *style; /* of markers: "merge", "diff3", "zdiff3"; NULL: merge */

	git_oid base, old_tip, tip, next,
		head; /* base commit; branch; view's HEAD; new base; HEAD then */
	bool had_branch;
	bool merging; /* the commits conflict: HEAD stays, MERGE_HEAD is the new base */
	bool merged;  /* head is a merge commit of ours */
	git_oid tip_tree, head_tree, base_tree, next_tree;
	struct viewgit_objects objects;
	struct commits own;

	char *image; /* of the new base, in STATE/images */
	int64_t time;
	struct sync_item *items; /* by path */
	size_t n, cap;
	struct buf actions;
	int payload; /* descriptor: what the actions name */
	uint64_t payload_len;
	struct gitindex *index;
};

/* What HEAD is to be: fills in `head`, `head_tree`, `merging`; own commits are judged and copied, a merge
 * commit is written. 1: the branch has the new base already. Errors: Denied, TooLarge, Invalid, -errno. */
int sync_heads(struct sync_plan *p);

/* Which paths, and what becomes of each; conflicts are told in them. Errors: -errno. */
int sync_items(struct sync_plan *p);
void sync_items_release(struct sync_plan *p);
struct sync_item *sync_item_find(struct sync_plan *p, const char *path);

/* Merges one path of two sides. `*ret_kind` stays NULL where that is clean. With `markers` a conflict by
 * line gives a file with markers besides. Errors: -errno. */
int sync_merge(struct sync_plan *p, const char *path, const struct tree_entry *base,
	       const struct tree_entry *ours, const struct tree_entry *theirs, bool markers,
	       struct tree_entry *ret, const char **ret_kind, char **ret_reason);

/* The actions and their payload, found out by trying them on the snapshot. The view's git's own files are
 * appended with sync_put(). Errors: TooLarge, -errno. */
int sync_actions(struct sync_plan *p);
int sync_put(struct sync_plan *p, const char *path, const void *bytes, size_t n);

/* The view's index as it is to be, with stat data that the view will report. Errors: -errno. */
int sync_index(struct sync_plan *p);
