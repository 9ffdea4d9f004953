/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a view keeps of what a new base has not any more (tree_sync.c): the view's own work stays at its
 * path; the rest goes, but lives on as a node without a name while somebody holds it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "sys.h"
#include "tree_sync_impl.h"

enum { LOST_DEPTH_MAX = TREE_PATH_MAX / 2 };

int sync_told_name(struct sync *s, uint64_t dir, const char *name, size_t len, bool folder)
{
	struct buf *b = &s->next->names;
	uint16_t n = (uint16_t)(len | (folder ? TOLD_FOLDER : 0));
	int r = buf_reserve(b, sizeof(dir) + sizeof(n) + len);

	if (r < 0)
		return r;
	(void)buf_add(b, &dir, sizeof(dir));
	(void)buf_add(b, &n, sizeof(n));
	return buf_add(b, name, len);
}

int sync_told_node(struct sync *s, uint64_t id)
{
	return buf_add(&s->next->nodes, &id, sizeof(id));
}

int sync_touch(struct sync *s, uint64_t dir)
{
	return table_get(&s->touched, dir) ? 0 : table_put(&s->touched, dir, s);
}

int sync_keep_content(struct sync *s, uint64_t id, const struct image_node *b)
{
	struct kept *k;
	int r;

	if (table_get(&s->t->kept, id))
		return 0;
	k = sys_calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->id = id;
	k->size = b->size;
	memcpy(k->oid, b->oid, sizeof(k->oid));
	r = table_put(&s->t->kept, id, k);
	if (r < 0)
		free(k);
	return r;
}

void sync_move_lookups(struct sync *s, struct node *n, uint32_t place)
{
	uint16_t k = s->old->base_lookups ? s->old->base_lookups[place] : 0;

	n->lookups = k == LOOKUPS_STICKY ? UINT64_MAX / 2 : k;
}

static int hang_lost(struct sync *s, struct node *n, uint64_t dir, const char *name, size_t len)
{
	struct node *d;
	int r = tree_clone_node(s->old, dir, s->t, &d);

	if (r == 0)
		r = tree_hang(s->t, d, name, len, n);
	n->flags &= ~(uint32_t)NODE_F_BASE_NAME;
	return r < 0 ? r : sync_touch(s, dir);
}

/* Has the view left the file as the old base had it? */
static bool untouched(const struct sync *s, const struct node *n, const struct image_node *b)
{
	if (S_ISLNK(n->mode))
		return !n->target;
	return S_ISREG(n->mode) && !(n->mode & 0100) == !(b->mode & 0100) &&
	       tree_has_base_content(s->old, n);
}

static int lose_name(struct sync *s, struct node *n, uint64_t dir, const char *name, size_t len)
{
	n->flags &= ~(uint32_t)NODE_F_BASE_NAME;
	n->nlink = S_ISDIR(n->mode) ? 0 : n->nlink - 1;
	n->ctime = s->time;
	return sync_told_name(s, dir, name, len, S_ISDIR(n->mode));
}

/* What becomes of what the view has not touched in a folder: it goes with the base; it stays, as the view
 * has moved the folder; it was gone already, with the folder. */
enum fate { FATE_FOLLOW, FATE_STAY, FATE_GONE };

/* What is lost at a place. */
struct lost {
	uint32_t place;
	uint64_t id, dir;
	const struct image_node *b;
	const char *name;
	size_t len;
	struct node *n; /* in the new tree, or NULL */
	bool here;	/* the view still shows it under its base's name */
	enum fate fate;
};

static int lose_file(struct sync *s, struct lost *l, bool *ret_lives)
{
	int r = sync_keep_content(s, l->id, l->b);

	if (r == 0 && (l->n || l->here))
		r = tree_clone_node(s->old, l->id, s->t, &l->n);
	if (r < 0 || !l->n)
		return r;
	sync_move_lookups(s, l->n, l->place);
	if (!l->here)
		return 0;
	*ret_lives = l->fate == FATE_STAY || !untouched(s, l->n, l->b);
	r = *ret_lives ? hang_lost(s, l->n, l->dir, l->name, l->len)
		       : lose_name(s, l->n, l->dir, l->name, l->len);
	return r < 0 ? r : sync_told_node(s, l->id);
}

static int lose(struct sync *s, uint32_t place, enum fate fate, unsigned depth, bool *ret_lives);

static int lose_children(struct sync *s, struct lost *l, enum fate fate, unsigned depth,
			 bool *ret_any)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < l->b->children; i++) {
		const struct image_node *c = image_node(s->from, l->b->first_child + i);
		bool lives = false;
		struct entry *e;
		const char *name;
		size_t len;

		if (!c)
			return -EBADMSG;
		r = lose(s, l->b->first_child + i, fate, depth + 1, &lives);
		*ret_any |= lives;
		name = image_name(s->from, c, &len);
		e = r == 0 ? tree_entry(s->t, l->id, name, len) : NULL;
		if (e && !e->child)
			tree_unhang(s->t, tree_node(s->t, l->id), e);
	}
	return r;
}

static int lose_dir(struct sync *s, struct lost *l, unsigned depth, bool *ret_lives)
{
	enum fate fate = l->here ? l->fate : l->n && l->n->nlink ? FATE_STAY : FATE_GONE;
	bool any = false;
	int r = lose_children(s, l, fate, depth, &any);

	if (r == 0 && (l->n || l->here))
		r = tree_clone_node(s->old, l->id, s->t, &l->n);
	if (r < 0 || !l->n)
		return r;
	sync_move_lookups(s, l->n, l->place);
	*ret_lives = l->here && (fate == FATE_STAY || any || l->n->dir.live);
	if (*ret_lives)
		r = hang_lost(s, l->n, l->dir, l->name, l->len);
	else if (l->here)
		r = lose_name(s, l->n, l->dir, l->name, l->len);
	if (r == 0 && l->n->nlink)
		r = sync_touch(s, l->id);
	return r < 0 ? r : sync_told_node(s, l->id);
}

/* The old base's node at `place` is not in the new one. */
static int lose(struct sync *s, uint32_t place, enum fate fate, unsigned depth, bool *ret_lives)
{
	struct lost l = {.place = place, .fate = fate, .b = image_node(s->from, place)};
	const struct node *was;

	if (!l.b || depth > LOST_DEPTH_MAX)
		return -EBADMSG;
	l.id = tree_number(s->old, place);
	l.dir = tree_number(s->old, l.b->parent);
	l.name = image_name(s->from, l.b, &l.len);
	l.n = tree_node(s->t, l.id);
	/* In the new tree it may have a base's name already: the one that the view has moved it to. */
	was = tree_node(s->old, l.id);
	l.here = was ? (was->flags & NODE_F_BASE_NAME) != 0
		     : fate != FATE_GONE && !tree_entry(s->old, l.dir, l.name, l.len);
	return node_is_dir(l.b) ? lose_dir(s, &l, depth, ret_lives) : lose_file(s, &l, ret_lives);
}

int sync_lose(struct sync *s, uint64_t dir, uint32_t place, bool replaced)
{
	const struct image_node *b = image_node(s->from, place);
	bool lives = false;
	struct entry *e;
	const char *name;
	size_t len;
	int r = sync_touch(s, dir);

	if (r == 0)
		r = lose(s, place, FATE_FOLLOW, 0, &lives);
	if (r < 0 || replaced)
		return r;
	name = image_name(s->from, b, &len);
	e = tree_entry(s->t, dir, name, len);
	if (e && !e->child)
		tree_unhang(s->t, tree_node(s->t, dir), e);
	return 0;
}
