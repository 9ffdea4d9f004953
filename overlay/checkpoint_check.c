/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a checkpoint's records cannot say one by one.
 *
 * Invariants of a tree that was loaded: (1) each name's folder and node are there, folders have at
 * most one name, and every folder that has one is reached from the root; (2) a file's nlink is the
 * number of its names, and a folder without names holds none; (3) cookies of a folder differ and none
 * is above its next; (4) extents lie within the file and within what they come from; (5) numbers are
 * those that the image has or the view gave. What breaks one is -EBADMSG, and the checkpoint before
 * is taken instead.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "checkpoint_impl.h"
#include "tree.h"

/* Is the folder reached from the root, name by name? */
static bool reached(const struct tree *t, uint64_t dir)
{
	uint64_t parent, there;
	const char *name;
	size_t len;

	for (; dir != NODE_ROOT; dir = parent)
		if (tree_parent(t, dir, &parent, &name, &len) < 0 ||
		    tree_lookup(t, parent, name, len, &there) < 0 || there != dir)
			return false;
	return true;
}

/* What a base node says of its name in the base must be what its folder says. A folder that was
 * removed and forgotten says nothing any more. */
static bool base_name_ok(const struct tree *t, const struct node *n)
{
	const struct image_node *b = tree_base(t, n->id);
	const char *name;
	size_t len;

	if (!b || n->id == NODE_ROOT)
		return true;
	name = image_name(t->image, b, &len);
	if (tree_entry(t, tree_number(t, b->parent), name, len))
		return !(n->flags & NODE_F_BASE_NAME);
	return (n->flags & NODE_F_BASE_NAME) || !reached(t, tree_number(t, b->parent));
}

static bool names_ok(const struct tree *t, const struct node *n)
{
	uint64_t k = n->flags & NODE_F_BASE_NAME ? 1 : 0;

	for (const struct entry *e = n->names; e; e = e->link_next)
		k++;
	if (!base_name_ok(t, n))
		return false;
	if (!S_ISDIR(n->mode))
		return k == n->nlink;
	if (n->id == NODE_ROOT)
		return n->nlink && !n->names && k;
	return k <= 1 && !k == !n->nlink && (k || !n->dir.live);
}

static bool cookies_ok(const struct node *n)
{
	uint64_t last = COOKIE_UPPER;

	for (uint32_t i = 0; i < n->dir.n; i++) {
		if (n->dir.list[i]->cookie <= last)
			return false;
		last = n->dir.list[i]->cookie;
	}
	return last - COOKIE_UPPER <= n->dir.next_cookie;
}

static bool kind_ok(const struct node *n)
{
	switch (n->mode & S_IFMT) {
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
		return true;
	case S_IFLNK:
		return n->target || (n->flags & NODE_F_BASE_TARGET);
	case S_IFDIR:
		return cookies_ok(n);
	default:
		return false;
	}
}

enum { ROAD_HERE = 1, ROAD_GOOD = 2 }; /* in node.lookups, which nobody counts yet */

static void pave(const struct tree *t, uint64_t id, uint64_t from, uint64_t to)
{
	const char *name;
	size_t len;

	for (;;) {
		struct node *n = tree_node(t, id);

		if (n && n->lookups != from)
			return;
		if (n)
			n->lookups = to;
		if (tree_parent(t, id, &id, &name, &len) < 0)
			return;
	}
}

/* From folder `id` up: at the root, or at one from which the root was reached before? A circle must
 * go through a changed folder, so only those are marked. */
static bool reaches_root(const struct tree *t, uint64_t id)
{
	uint64_t at = id;
	const char *name;
	size_t len;

	for (;;) {
		struct node *n = tree_node(t, at);

		if (at == NODE_ROOT || (n && n->lookups == ROAD_GOOD))
			break;
		if (n && n->lookups == ROAD_HERE)
			return false;
		if (n)
			n->lookups = ROAD_HERE;
		if (tree_parent(t, at, &at, &name, &len) < 0)
			break; /* a folder that was removed */
	}
	pave(t, id, ROAD_HERE, ROAD_GOOD);
	return true;
}

int checkpoint_check(const struct tree *t)
{
	struct node *n;
	size_t pos = 0;
	bool good = t->next_upper >= NODE_UPPER_FIRST && !(t->next_upper >> NODE_LAYER_SHIFT);

	while (good && (n = table_next(&t->nodes, &pos)))
		good = kind_ok(n) && checkpoint_number_ok(t, n) &&
		       (!S_ISDIR(n->mode) || reaches_root(t, n->id));
	for (pos = 0; good && (n = table_next(&t->nodes, &pos));) /* there are no circles now */
		good = names_ok(t, n);
	for (size_t i = 0; good && i < t->nbuckets; i++)
		for (const struct entry *e = t->buckets[i]; e && good; e = e->hash_next) {
			uint64_t base;

			good = e->child || tree_base_has(t, e->dir, e->name, e->len, &base);
		}
	pos = 0;
	while ((n = table_next(&t->nodes, &pos)))
		n->lookups = 0;
	return good ? 0 : -EBADMSG;
}
