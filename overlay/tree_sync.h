/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "record.h"
#include "tree.h"

/*
 * Moving a tree onto another base image: what a RECORD_SYNC does. A new tree is built beside the old
 * one, which may fail; taking its place cannot.
 */
enum { TOLD_FOLDER = 1 << 15, TOLD_LEN = 0xfff }; /* in a name's len: a folder is or was there */

struct tree_next {
	struct tree tree;
	struct buf names; /* {uint64_t folder, uint16_t len, bytes}: lead elsewhere now */
	struct buf nodes; /* uint64_t: show something else */
};

/* Builds it: rec is a RECORD_SYNC. Errors: -ENOMEM; -EBADMSG the record or an image contradicts the tree;
 * -EMLINK no more layers; those of the image's opening. */
int tree_next_build(const struct tree *old, const struct record *rec, struct tree_next **ret);

/* Puts it in the old tree's place, whose data ranges are told to be out of use. Its lists of names and
 * nodes stay in t->next until the next record is prepared. */
void tree_next_take(struct tree *t);
void tree_next_free(struct tree_next *n);

/* Content of older bases that nothing names any more is forgotten. Errors: -ENOMEM (nothing is then). */
int tree_sweep_kept(struct tree *t);

/* A tree equal to `old`, noting no changes, its extents not told of. Errors: -ENOMEM; *ret is then to be
 * released all the same. */
int tree_clone(const struct tree *old, struct tree *ret);

/* A node of `old`, changed or not, for `t`, which takes it. Errors: -ENOENT, -ENOMEM. */
int tree_clone_node(const struct tree *old, uint64_t id, struct tree *t, struct node **ret);

/* Another name for a node of t, or a name fewer; link counts are the caller's. Errors: -ENOMEM. */
int tree_hang(struct tree *t, struct node *dir, const char *name, size_t len, struct node *child);
void tree_unhang(struct tree *t, struct node *dir, struct entry *e);

/*
 * What is done besides, by path: the value of the record, in tree_sync.c's format. Paths come in any
 * order; each shares its beginning with the one before.
 */
enum sync_kind {
	SYNC_SAME = 1, /* the view's file has what the new base has: its node becomes the base's */
	SYNC_DROP = 2, /* the view's own name goes: the base's shows, where it has one */
	SYNC_PUT =
		3, /* a new file of the view's: mode, size, place of its bytes; folders are made */
};

struct sync_action {
	enum sync_kind kind;
	uint32_t mode;	      /* permission bits */
	uint64_t size, place; /* SYNC_PUT; size 0 has no place */
};

enum { SYNC_ACTIONS_MAX = RECORD_MAX - 8192 };

struct sync_path {
	struct buf path;
};

/* Appends one; `last` begins zeroed and is released by the caller. Errors: -E2BIG, -ENOMEM, -EINVAL. */
int sync_action_add(struct buf *b, struct sync_path *last, const char *path,
		    const struct sync_action *a);

/* Reads them; path is borrowed for the call. A non-zero return of fn ends it and is returned.
 * Errors: -EBADMSG, -ENOMEM. */
typedef int (*sync_action_fn)(const char *path, const struct sync_action *a, void *user);
int sync_actions_each(struct bytes value, sync_action_fn fn, void *user);

/* Does the ones that are done after the bases were changed (SYNC_DROP, SYNC_PUT). */
int sync_actions_apply(struct tree_next *n, const struct record *rec);
