/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view's tree on another base image.
 *
 * Guarantees:
 *  1. What the new base has as the old one had it (same path, same kind, same object) keeps its
 *     number, hence its st_ino, its times and whatever the kernel has cached of it.
 *  2. What only the base changed shows the new base's: under a new number, with the sync's time. The
 *     old number stays as a file without a name (a folder: empty) as long as somebody holds it, so
 *     that open files, mappings and working folders see what they would after git checkout.
 *  3. What the view changed stays at its path, whatever the base does there; SYNC_* actions, which
 *     whoever merged by path has decided on, come after. (Unchanged seeds, seed.h, give way.)
 *  4. The same tree, images and record give the same tree: live, in recovery, in a snapshot.
 *  5. Only folders that differ are compared name by name; equal ones are passed over as ranges of
 *     places. Besides, it costs what the view has changed.
 *  6. Nothing of the old tree is changed, and nothing shared is, until tree_next_take().
 *
 * RECORD_SYNC: name = the new image (in STATE/images), name2 = the base commit (hex), count = the layer
 * that it makes (the one before and 1), mtime = time that what it brings shows, value = actions:
 *
 *     u8 kind, u8 0, u16 bytes shared with the path before, u16 bytes that follow, SYNC_PUT: u32 mode,
 *     u64 size, u64 place of the bytes (data.h); then the rest of the path, without NUL. Little-endian.
 *
 * The walk goes level by level through the places of the new image, in spans; the numbers come out in
 * order (base_map.h). What the old base loses is walked in depth, in proportion to what is lost.
 */
#include "tree_sync.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "seed.h"
#include "sys.h"
#include "tree_sync_impl.h"

enum span_kind {
	SAME, /* equal subtrees in both images */
	PAIR, /* a folder in both, with something different in it */
	FRESH,
	TAKEN, /* new in the base; the view's node `id` becomes it */
};

struct span {
	enum span_kind kind;
	uint32_t n, o, len; /* places in the new and the old image */
	uint64_t id;	    /* PAIR, TAKEN */
};

/* Neighbours become one span, but for one that is being worked on. */
static int push(struct sync *s, struct span sp)
{
	struct span *last = s->spans.len > s->at + sizeof(sp)
				    ? (struct span *)(void *)(s->spans.data + s->spans.len) - 1
				    : NULL;

	if (last && last->kind == sp.kind && sp.kind != PAIR && sp.kind != TAKEN &&
	    last->n + last->len == sp.n && (sp.kind == FRESH || last->o + last->len == sp.o)) {
		last->len += sp.len;
		return 0;
	}
	return buf_add(&s->spans, &sp, sizeof(sp));
}

static bool same_object(const struct image_node *a, const struct image_node *b)
{
	return a->mode == b->mode && memcmp(a->oid, b->oid, sizeof(a->oid)) == 0;
}

/* --- numbers of the new places --- */

static int add_run(struct sync *s, uint32_t place, uint32_t len, uint64_t id, int64_t time)
{
	const struct base_run run = {place, len, id, time};

	return base_map_add(&s->t->base, &run);
}

/* The numbers that [o, o + len) had, for [n, n + len). */
static int keep_numbers(struct sync *s, uint32_t n, uint32_t o, uint32_t len)
{
	while (len) {
		const struct base_run *run = base_map_run(&s->old->base, o);
		uint32_t skip = o - run->place, k = run->len - skip;
		int r;

		if (k > len)
			k = len;
		r = add_run(s, n, k, run->id + skip, run->time);
		if (r < 0)
			return r;
		if (s->old->base_lookups)
			memcpy(s->t->base_lookups + n, s->old->base_lookups + o,
			       k * sizeof(*s->t->base_lookups));
		n += k;
		o += k;
		len -= k;
	}
	return 0;
}

static int number_span(struct sync *s, const struct span *sp)
{
	struct node *n;

	switch (sp->kind) {
	case SAME:
	case PAIR:
		return keep_numbers(s, sp->n, sp->o, sp->len);
	case FRESH:
		return add_run(s, sp->n, sp->len, NODE_LAYERED(s->t->layer, sp->n), s->time);
	case TAKEN:
		n = tree_node(s->t, sp->id);
		if (n && s->t->base_lookups)
			s->t->base_lookups[sp->n] =
				n->lookups < LOOKUPS_STICKY ? (uint16_t)n->lookups : LOOKUPS_STICKY;
		if (n)
			n->lookups = 0;
		return add_run(s, sp->n, 1, sp->id, s->time);
	}
	return -EBADMSG;
}

/* --- what the new base brings --- */

/* The view's own node at a new name of the base, where it becomes the base's; 0: it does not. */
static uint64_t takes_over(const struct sync *s, uint64_t dir, const char *name, size_t len,
			   const struct image_node *b)
{
	const struct node *n;
	uint32_t place;
	uint64_t id;

	if (tree_lookup(s->old, dir, name, len, &id) < 0)
		return 0;
	n = tree_node(s->old, id);
	if (!n || (n->mode & S_IFMT) != (node_base_mode(b) & S_IFMT))
		return 0;
	if (S_ISDIR(n->mode))
		return tree_place(s->old, id, &place) ? 0 : id;
	return table_get(&s->same, id) ? id : 0;
}

/* Node `id`, whose bytes are those of the base at place `n`. */
static int take_file(struct sync *s, uint64_t id, uint32_t place, const struct image_node *b)
{
	uint64_t content = NODE_LAYERED(s->t->layer, place);
	struct node *n = tree_node(s->t, id);
	int r = sync_keep_content(s, content, b);

	if (r < 0)
		return r;
	if (!S_ISREG(n->mode)) /* a symlink of the view's own says the same */
		return 0;
	extent_release(&n->extents, NULL);
	n->size = b->size;
	r = n->size ? extent_reserve(&n->extents, 2) : 0;
	if (r == 0 && n->size)
		extent_set(&n->extents, 0, n->size, content, 0, NULL);
	return r;
}

/* The name in the base takes the place of the view's own. */
static int take(struct sync *s, uint64_t dir, const char *name, size_t len, uint64_t id,
		uint32_t place, const struct image_node *b)
{
	struct node *n = tree_node(s->t, id), *d = tree_node(s->t, dir);
	struct entry *e = tree_entry(s->t, dir, name, len);
	int r = S_ISDIR(n->mode) ? 0 : take_file(s, id, place, b);

	if (r == 0 && d && e && e->child == id)
		tree_unhang(s->t, d, e);
	seed_unflag(s->t, n);
	n->flags |= NODE_F_BASE_NAME;
	if (r == 0 && S_ISDIR(n->mode))
		r = sync_touch(s, id);
	return r < 0 ? r : push(s, (struct span){TAKEN, place, 0, 1, id});
}

/* Files of the base are never replaced by those of the main worktree, of a new base neither. */
static int drop_seed(struct sync *s, uint64_t dir, const char *name, size_t len)
{
	struct entry *e = tree_entry(s->t, dir, name, len);
	struct node *n = e && e->child ? tree_node(s->t, e->child) : NULL;
	const struct node *was = n ? tree_node(s->old, n->id) : NULL; /* where its folders are */
	int r;

	if (!was || S_ISDIR(n->mode) || !seed_is_intact(s->old, was))
		return 0;
	r = sync_told_node(s, n->id);
	if (r < 0)
		return r;
	tree_unhang(s->t, tree_node(s->t, dir), e);
	n->nlink--;
	n->ctime = s->time;
	return 0;
}

static int bring(struct sync *s, uint64_t dir, uint32_t place)
{
	const struct image_node *b = image_node(s->to, place);
	const char *name;
	uint64_t id;
	size_t len;
	int r;

	name = image_name(s->to, b, &len);
	r = sync_touch(s, dir);
	id = takes_over(s, dir, name, len, b);
	if (r == 0 && id)
		return take(s, dir, name, len, id, place, b);
	if (r == 0)
		r = drop_seed(s, dir, name, len);
	if (r == 0 && !tree_entry(s->t, dir, name, len))
		r = sync_told_name(s, dir, name, len, node_is_dir(b));
	return r < 0 ? r : push(s, (struct span){FRESH, place, 0, 1, 0});
}

/* --- folders --- */

static int compare_names(const struct image *x, const struct image_node *a, const struct image *y,
			 const struct image_node *b)
{
	size_t alen, blen;
	const char *an = image_name(x, a, &alen), *bn = image_name(y, b, &blen);
	int c = memcmp(an, bn, alen < blen ? alen : blen);

	return c ? c : (alen > blen) - (alen < blen);
}

static int match(struct sync *s, uint64_t dir, uint32_t n, uint32_t o)
{
	const struct image_node *a = image_node(s->to, n), *b = image_node(s->from, o);
	const char *name;
	uint64_t id;
	size_t len;
	int r;

	if (same_object(a, b) || (node_is_dir(a) && node_is_dir(b) && !a->children && !b->children))
		return push(s, (struct span){SAME, n, o, 1, 0});
	if (node_is_dir(a) && node_is_dir(b))
		return push(s, (struct span){PAIR, n, o, 1, tree_number(s->old, o)});
	name = image_name(s->to, a, &len);
	id = takes_over(s, dir, name, len, a);
	if (id && id == tree_number(s->old, o)) {
		sync_move_lookups(s, tree_node(s->t, id), o);
		r = sync_keep_content(s, id, b);
		return r < 0 ? r : take(s, dir, name, len, id, n, a);
	}
	r = sync_lose(s, dir, o, node_is_dir(a) == node_is_dir(b));
	return r < 0 ? r : bring(s, dir, n);
}

/* Children of a folder that both have (o == NULL: of one that the view made), in order. */
static int merge_children(struct sync *s, uint64_t dir, const struct image_node *n,
			  const struct image_node *o)
{
	uint32_t i = 0, k = 0, nn = n->children, on = o ? o->children : 0;
	int r = 0;

	while (r == 0 && (i < nn || k < on)) {
		const struct image_node *a = i < nn ? image_node(s->to, n->first_child + i) : NULL;
		const struct image_node *b =
			k < on ? image_node(s->from, o->first_child + k) : NULL;
		int c;

		if ((i < nn && !a) || (k < on && !b))
			return -EBADMSG;
		c = !a ? 1 : !b ? -1 : compare_names(s->to, a, s->from, b);
		if (c < 0)
			r = bring(s, dir, n->first_child + i);
		else if (c > 0)
			r = sync_lose(s, dir, o->first_child + k, false);
		else
			r = match(s, dir, n->first_child + i, o->first_child + k);
		i += c <= 0;
		k += c >= 0;
	}
	return r;
}

/* The children of all folders in [place, place + len), which stand together. */
static int children_of(const struct image *img, uint32_t place, uint32_t len, uint32_t *ret_first,
		       uint32_t *ret_len)
{
	const struct image_node *a, *b;
	uint32_t from = 0, to = len;

	*ret_first = *ret_len = 0;
	while (from < len && (a = image_node(img, place + from)) && !a->children)
		from++;
	if (from == len)
		return 0;
	while (to > from && (b = image_node(img, place + to - 1)) && !b->children)
		to--;
	a = image_node(img, place + from);
	b = image_node(img, place + to - 1);
	if (!a || !b || b->first_child < a->first_child)
		return -EBADMSG;
	*ret_first = a->first_child;
	*ret_len = b->first_child - a->first_child + b->children;
	return 0;
}

static int descend(struct sync *s, const struct span *sp)
{
	uint32_t n, o = 0, nlen, olen;
	int r;

	if (sp->kind == PAIR)
		return merge_children(s, sp->id, image_node(s->to, sp->n),
				      image_node(s->from, sp->o));
	if (sp->kind == TAKEN)
		return merge_children(s, sp->id, image_node(s->to, sp->n), NULL);
	r = children_of(s->to, sp->n, sp->len, &n, &nlen);
	olen = nlen;
	if (r == 0 && sp->kind == SAME)
		r = children_of(s->from, sp->o, sp->len, &o, &olen);
	if (r < 0 || nlen != olen)
		return -EBADMSG;
	return nlen ? push(s, (struct span){sp->kind, n, o, nlen, 0}) : 0;
}

static int walk(struct sync *s)
{
	const struct image_node *a = image_node(s->to, 0), *b = image_node(s->from, 0);
	struct span root = {PAIR, 0, 0, 1, NODE_ROOT};
	int r;

	if (!a || !b)
		return -EBADMSG;
	if (same_object(a, b))
		root.kind = SAME;
	r = push(s, root);
	for (; r == 0 && s->at < s->spans.len; s->at += sizeof(struct span)) {
		struct span sp;

		memcpy(&sp, s->spans.data + s->at, sizeof(sp));
		r = number_span(s, &sp);
		if (r == 0)
			r = descend(s, &sp);
	}
	return r < 0 ? r : base_map_finish(&s->t->base, image_count(s->to));
}

/* --- the end --- */

/* Folders whose names changed show the time of it, and how many folders they have. */
static int finish_dirs(struct sync *s)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->touched.cap; i++) {
		uint64_t id = s->touched.slots[i].key, cookie = 0, child;
		struct node *d;
		const char *name;
		size_t len;

		if (!id)
			continue;
		r = tree_clone_node(s->old, id, s->t, &d);
		if (r < 0)
			return r == -ENOENT ? -EBADMSG : r;
		if (!d->nlink)
			continue;
		d->mtime = d->ctime = s->time;
		d->nlink = 2;
		while (tree_readdir(s->t, id, cookie, &cookie, &child, &name, &len) > 0)
			d->nlink += tree_is_dir(s->t, child);
		r = sync_told_node(s, id);
	}
	return r;
}

static int use(struct table *used, uint64_t id)
{
	return id > EXTENT_SEED && !table_get(used, id) ? table_put(used, id, used) : 0;
}

int tree_sweep_kept(struct tree *t)
{
	struct table used = {0};
	_cleanup_buf_ struct buf gone = BUF_INIT;
	const struct kept *k;
	const struct node *n;
	size_t pos = 0;
	int r = 0;

	while (r == 0 && (n = table_next(&t->nodes, &pos))) {
		if (S_ISLNK(n->mode) && (n->flags & NODE_F_BASE_TARGET))
			r = use(&used, n->id);
		for (uint32_t i = 0; r == 0 && S_ISREG(n->mode) && i < n->extents.n; i++)
			r = use(&used, n->extents.v[i].node);
	}
	for (pos = 0; r == 0 && (k = table_next(&t->kept, &pos));)
		if (!table_get(&used, k->id))
			r = buf_add(&gone, &k->id, sizeof(k->id));
	table_release(&used);
	for (size_t at = 0; r == 0 && at < gone.len; at += sizeof(uint64_t)) {
		uint64_t id;

		memcpy(&id, gone.data + at, sizeof(id));
		free(table_remove(&t->kept, id));
	}
	return r;
}

static int note_same(const char *path, const struct sync_action *a, void *user)
{
	struct sync *s = user;
	uint64_t id = NODE_ROOT;

	if (a->kind != SYNC_SAME)
		return 0;
	while (*path) {
		size_t n = strcspn(path, "/");

		if (tree_lookup(s->old, id, path, n, &id) < 0)
			return 0;
		path += n;
		path += *path == '/';
	}
	return table_get(&s->same, id) ? 0 : table_put(&s->same, id, s);
}

static int build(struct sync *s, const struct record *rec)
{
	int r = tree_clone(s->old, s->t);

	s->t->image = s->to;
	s->t->image_opened = true;
	s->t->layer = (uint32_t)rec->count;
	if (r == 0) {
		s->t->image_name = strndup(rec->name.p, rec->name.n);
		s->t->base_commit = strndup(rec->name2.p, rec->name2.n);
		if (!s->t->image_name || !s->t->base_commit)
			r = -ENOMEM;
	}
	if (r == 0 && s->old->base_lookups) {
		s->t->base_lookups = sys_calloc(image_count(s->to), sizeof(*s->t->base_lookups));
		r = s->t->base_lookups ? 0 : -ENOMEM;
	}
	if (r == 0)
		r = sync_actions_each(rec->value, note_same, s);
	if (r == 0)
		r = walk(s);
	if (r == 0)
		r = finish_dirs(s);
	if (r == 0)
		r = sync_actions_apply(s->next, rec);
	if (r == 0)
		r = tree_sweep_kept(s->t);
	s->t->notes_lost = 1; /* only a full checkpoint says all this */
	return r;
}

static bool text_ok(struct bytes b)
{
	return b.n > 0 && b.n < 256 && !memchr(b.p, '\0', b.n) && !memchr(b.p, '/', b.n) &&
	       b.p[0] != '.';
}

int tree_next_build(const struct tree *old, const struct record *rec, struct tree_next **ret)
{
	struct sync s = {.old = old, .from = old->image, .time = rec->mtime};
	struct tree_next *next;
	char name[256];
	int r;

	if (!text_ok(rec->name) || !text_ok(rec->name2) || !RECORD_HAS(rec, F_MTIME) ||
	    rec->count != (uint64_t)old->layer + 1)
		return -EBADMSG;
	if (rec->count >= NODE_LAYERS_MAX)
		return -EMLINK;
	if (!old->images.open)
		return -EOPNOTSUPP;
	next = sys_calloc(1, sizeof(*next));
	if (!next)
		return -ENOMEM;
	memcpy(name, rec->name.p, rec->name.n);
	name[rec->name.n] = '\0';
	r = old->images.open(name, &s.to, old->images.user);
	if (r < 0) {
		free(next);
		return r;
	}
	s.next = next;
	s.t = &next->tree;
	r = build(&s, rec);
	buf_release(&s.spans);
	table_release(&s.same);
	table_release(&s.touched);
	if (r < 0) {
		tree_next_free(next);
		return r;
	}
	*ret = next;
	return 0;
}

static void tell_live(const struct tree *t, const struct extent_live *live, int sign)
{
	const struct node *n;
	size_t pos = 0;

	while (live->fn && (n = table_next(&t->nodes, &pos)))
		for (uint32_t i = 0; S_ISREG(n->mode) && i < n->extents.n; i++)
			if (n->extents.v[i].node == EXTENT_DATA)
				live->fn(n->extents.v[i].place, sign * (int64_t)n->extents.v[i].len,
					 live->user);
}

void tree_next_take(struct tree *t)
{
	struct tree_next *next = t->next;
	struct tree old = *t;

	/* What both have comes into use before it goes out of it. */
	tell_live(&next->tree, &old.live, 1);
	tell_live(&old, &old.live, -1);
	*t = next->tree;
	t->live = old.live;
	t->next = next;
	next->tree = (struct tree){0};
	old.next = NULL;
	tree_release(&old);
}

void tree_next_free(struct tree_next *n)
{
	if (!n)
		return;
	tree_release(&n->tree);
	buf_release(&n->names);
	buf_release(&n->nodes);
	free(n);
}
