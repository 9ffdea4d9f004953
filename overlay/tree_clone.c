/* SPDX-License-Identifier: Apache-2.0 */
/* A second tree beside one, for what must not fail half-way. Names keep their cookies and order. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "seed.h"
#include "sys.h"
#include "tree_sync.h"

static int clone_xattrs(const struct node *from, struct node *to)
{
	struct xattr **end = &to->xattrs;

	for (const struct xattr *x = from->xattrs; x; x = x->next) {
		struct xattr *y = sys_calloc(1, sizeof(*y));

		if (!y)
			return -ENOMEM;
		*end = y;
		end = &y->next;
		y->name = sys_strdup(x->name);
		y->value = sys_memdup(x->value, x->len);
		y->len = x->len;
		if (!y->name || !y->value)
			return -ENOMEM;
	}
	return 0;
}

static int clone_content(const struct node *from, struct node *to)
{
	if (S_ISREG(from->mode) && from->extents.n) {
		int r = extent_reserve(&to->extents, from->extents.n + 2);

		if (r < 0)
			return r;
		for (uint32_t i = 0; i < from->extents.n; i++) {
			const struct extent *e = &from->extents.v[i];

			extent_set(&to->extents, e->off, e->len, e->node, e->place, NULL);
		}
	}
	if (S_ISLNK(from->mode) && from->target) {
		to->target = sys_strdup(from->target);
		if (!to->target)
			return -ENOMEM;
	}
	if (S_ISDIR(from->mode))
		to->dir.next_cookie = from->dir.next_cookie;
	return 0;
}

static int clone_changed(const struct node *from, struct tree *t, struct node **ret)
{
	struct node *n = sys_calloc(1, sizeof(*n));
	int r;

	if (!n)
		return -ENOMEM;
	*n = *from;
	n->flags &= ~(uint32_t)NODE_F_DIRTY;
	n->names = NULL;
	n->xattrs = NULL;
	n->seed = NULL;
	memset(&n->extents, 0, sizeof(*n) - offsetof(struct node, extents));
	r = clone_content(from, n);
	if (r == 0)
		r = clone_xattrs(from, n);
	if (r == 0)
		r = seed_clone(t, from, n);
	if (r == 0)
		r = table_put(&t->nodes, n->id, n);
	if (r < 0) {
		tree_node_free(n, NULL);
		return r;
	}
	if (!S_ISDIR(n->mode) && !(n->flags & NODE_F_SEED))
		t->nchanged++;
	seed_count(t, n);
	*ret = n;
	return 0;
}

int tree_clone_node(const struct tree *old, uint64_t id, struct tree *t, struct node **ret)
{
	const struct node *n = tree_node(old, id);
	const struct image_node *b;
	struct node made = {.id = id, .flags = NODE_F_BASE_NAME};
	struct extent whole;
	struct node_attr a;
	int r;

	*ret = tree_node(t, id);
	if (*ret)
		return 0;
	if (n)
		return clone_changed(n, t, ret);
	b = tree_base(old, id);
	r = b ? tree_attr(old, id, &a) : -ENOENT;
	if (r < 0)
		return r;
	made.mode = a.mode;
	made.uid = a.uid;
	made.gid = a.gid;
	made.nlink = a.nlink;
	made.size = S_ISDIR(a.mode) ? 0 : a.size;
	made.atime = a.atime;
	made.mtime = a.mtime;
	made.ctime = a.ctime;
	made.btime = a.btime;
	if (S_ISLNK(a.mode))
		made.flags |= NODE_F_BASE_TARGET;
	whole = (struct extent){0, a.size, id, 0};
	if (S_ISREG(a.mode) && a.size)
		made.extents = (struct extent_map){.v = &whole, .n = 1, .cap = 1};
	return clone_changed(&made, t, ret);
}

static struct entry *clone_entry(struct tree *t, const struct entry *e)
{
	struct entry *c = entry_new(e->dir, e->name, e->len);

	if (!c)
		return NULL;
	c->child = e->child;
	c->cookie = e->cookie;
	c->scratch = e->scratch;
	tree_entry_insert(t, c);
	return c;
}

static int clone_dir(const struct node *from, struct tree *t)
{
	struct node *to = tree_node(t, from->id);
	int r = dir_reserve(to, from->dir.live ? from->dir.live : 1);

	for (uint32_t i = 0; r == 0 && i < from->dir.n; i++) {
		struct entry *e = from->dir.list[i] ? clone_entry(t, from->dir.list[i]) : NULL;

		if (!from->dir.list[i])
			continue;
		if (!e)
			return -ENOMEM;
		to->dir.list[to->dir.n++] = e;
		to->dir.live++;
		to->dir.entries++;
	}
	return r;
}

static int clone_whiteouts(const struct tree *old, struct tree *t)
{
	for (size_t i = 0; i < old->nbuckets; i++)
		for (const struct entry *e = old->buckets[i]; e; e = e->hash_next) {
			struct node *d = tree_node(t, e->dir);

			if (e->child)
				continue;
			if (!clone_entry(t, e))
				return -ENOMEM;
			if (d)
				d->dir.entries++;
		}
	return 0;
}

static void clone_links(const struct node *from, struct tree *t)
{
	struct node *to = tree_node(t, from->id);
	struct entry **end = &to->names;

	for (const struct entry *e = from->names; e; e = e->link_next) {
		struct entry *c = tree_entry(t, e->dir, e->name, e->len);

		*end = c;
		end = &c->link_next;
	}
}

static int clone_kept(const struct tree *old, struct tree *t)
{
	const struct kept *k;
	size_t pos = 0;
	int r = 0;

	while (r == 0 && (k = table_next(&old->kept, &pos))) {
		struct kept *c = sys_memdup(k, sizeof(*k));

		r = c ? table_put(&t->kept, k->id, c) : -ENOMEM;
		if (r < 0)
			free(c);
	}
	return r;
}

int tree_clone(const struct tree *old, struct tree *t)
{
	const struct node *n;
	struct node *made;
	size_t pos = 0;
	int r;

	*t = (struct tree){
		.image = old->image,
		.images = old->images,
		.layer = old->layer,
		.uid = old->uid,
		.gid = old->gid,
		.next_upper = old->next_upper,
		.seq = old->seq,
		.live = {0},
		.track = old->track,
		.seeded = old->seeded,
	};
	r = tree_names_reserve(t, old->nentries + 1);
	if (r == 0)
		r = table_reserve(&t->nodes, old->nodes.used + 1);
	if (r == 0 && old->policy && !(t->policy = sys_strdup(old->policy)))
		r = -ENOMEM;
	while (r == 0 && (n = table_next(&old->nodes, &pos)))
		r = clone_changed(n, t, &made);
	for (pos = 0; r == 0 && (n = table_next(&old->nodes, &pos));)
		if (S_ISDIR(n->mode))
			r = clone_dir(n, t);
	if (r == 0)
		r = clone_whiteouts(old, t);
	for (pos = 0; r == 0 && (n = table_next(&old->nodes, &pos));)
		clone_links(n, t);
	return r < 0 ? r : clone_kept(old, t);
}

int tree_hang(struct tree *t, struct node *dir, const char *name, size_t len, struct node *child)
{
	struct entry *e = tree_entry(t, dir->id, name, len);
	int r = dir_reserve(dir, 1);

	if (r == 0)
		r = tree_names_reserve(t, 1);
	if (r < 0)
		return r;
	if (!e) {
		e = entry_new(dir->id, name, len);
		if (!e)
			return -ENOMEM;
		tree_entry_insert(t, e);
		dir->dir.entries++;
	}
	e->child = child->id;
	e->scratch = false;
	dir_list_add(dir, e);
	e->link_next = child->names;
	child->names = e;
	return 0;
}

void tree_unhang(struct tree *t, struct node *dir, struct entry *e)
{
	struct node *child = e->child ? tree_node(t, e->child) : NULL;
	struct entry **p = child ? &child->names : NULL;

	if (e->child)
		dir_list_remove(dir, e);
	while (p && *p && *p != e)
		p = &(*p)->link_next;
	if (p && *p)
		*p = e->link_next;
	tree_entry_unhash(t, e);
	dir->dir.entries--;
	free(e);
}
