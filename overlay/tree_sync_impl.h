/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/stat.h>

#include "tree_sync.h"

/* What tree_sync.c (what the new base brings) and tree_lost.c (what the old one loses) share. */

enum { LOOKUPS_STICKY = UINT16_MAX };

struct sync {
	const struct tree *old;
	const struct image *from, *to;
	struct tree_next *next;
	struct tree *t; /* next->tree */
	int64_t time;
	struct buf spans;     /* struct span, a queue */
	size_t at;	      /* the one at hand */
	struct table same;    /* nodes of SYNC_SAME */
	struct table touched; /* folders whose names changed */
};

static inline bool node_is_dir(const struct image_node *b)
{
	return S_ISDIR(node_base_mode(b));
}

/* Told to the kernel once it is done: the name leads elsewhere, the node shows something else. Errors:
 * -ENOMEM. */
int sync_told_name(struct sync *s, uint64_t dir, const char *name, size_t len, bool folder);
int sync_told_node(struct sync *s, uint64_t id);

/* The folder's names change. Errors: -ENOMEM. */
int sync_touch(struct sync *s, uint64_t dir);

/* The content of a base's node stays to be had by number `id`. Errors: -ENOMEM. */
int sync_keep_content(struct sync *s, uint64_t id, const struct image_node *b);

/* From now on the kernel's lookups of what was at that place are counted in the node itself. */
void sync_move_lookups(struct sync *s, struct node *n, uint32_t place);

/* The old base has something under that name in the folder, the new one does not, or (replaced) another
 * of its kind. What the view has removed is not shown again then; a folder in a file's place is.
 * Errors: -ENOMEM, -EBADMSG. */
int sync_lose(struct sync *s, uint64_t dir, uint32_t place, bool replaced);
