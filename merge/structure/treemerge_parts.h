/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "items.h"
#include "treemerge.h"

/* What treemerge.c (decides) and treemerge_out.c (writes) share. */

enum { ABSENT = -2 };

/* The items of one node in the three versions. */
struct list {
	uint32_t node[SIDES];
	struct items items[SIDES];
	int *of[SIDES];	    /* by base item: the side's, or -1 */
	size_t next[SIDES]; /* of the sides: the first item that is not yet written */
	int prev[SIDES];    /* the item written last, as each version has it, or ABSENT */
	enum parser_class class;
};

static inline const struct item *list_item(const struct list *l, enum side s, int i)
{
	return &l->items[s].v[i];
}

static inline struct text merging_slice(const struct merging *m, enum side side, uint32_t from,
					uint32_t to)
{
	return (struct text){m->in->text[side].p + from, to - from};
}

/* Every conflict that touches the place: decided by a decision of that class. */
void merging_mark(struct merging *m, enum side side, size_t from, size_t to,
		  enum parser_class class);
/* Every conflict that touches the place stays one. */
void merging_give_up(struct merging *m, enum side side, size_t from, size_t to);

/* Copies bytes of a version; after an error nothing is. */
void merging_emit(struct merging *m, enum side side, uint32_t from, uint32_t to);

/* Bytes of the three versions: one side's change, or none. Returns false (ours was written, the conflicts there are
 * given up) where both changed them. */
bool merging_emit_changed(struct merging *m, const uint32_t from[SIDES], const uint32_t to[SIDES],
			  enum parser_class class);

struct text list_text(const struct merging *m, const struct list *l, enum side s, int i);
void list_give_up(struct merging *m, const struct list *l, enum side s, int i);
void list_mark(struct merging *m, const struct list *l, enum side s, int i,
	       enum parser_class class);

/* Which version's gap stands before an item that the versions have. */
enum side list_choose_gap(const struct merging *m, const struct list *l, const int at[SIDES]);
void list_emit_gap(struct merging *m, const struct list *l, enum side s, int i);
/* The gap before an item that one side added. False where it would run together with what stands before it. */
bool list_emit_gap_added(struct merging *m, const struct list *l, enum side s, int j);
