/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records onto the tree.
 *
 * Invariants: (1) apply_prepare() changes nothing that a reader of the tree can see: copying a base
 * node up leaves it equal; (2) after it apply_record() allocates nothing and cannot fail; (3) applying
 * the same records in the same order to the same image gives the same tree: times come from the
 * record, numbers from the record, nothing from the clock or from counters of the process.
 */
#include "apply.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "apply_impl.h"
#include "cleanup.h"
#include "seed.h"
#include "sys.h"
#include "tree_sync.h"

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE (1 << 1)
#endif

/* --- what changed since the last checkpoint --- */

void apply_mark_node(struct tree *t, struct node *n)
{
	if (!t->track || (n->flags & NODE_F_DIRTY))
		return;
	if (buf_add(&t->dirty_nodes, &n->id, sizeof(n->id)) < 0)
		t->notes_lost++;
	else
		n->flags |= NODE_F_DIRTY;
}

void apply_mark_name(struct tree *t, uint64_t dir, const char *name, size_t len)
{
	uint16_t n = (uint16_t)len;

	if (!t->track)
		return;
	if (buf_reserve(&t->dirty_names, sizeof(dir) + sizeof(n) + len) < 0) {
		t->notes_lost++; /* dropping an orphan prepares nothing */
		return;
	}
	(void)buf_add(&t->dirty_names, &dir, sizeof(dir));
	(void)buf_add(&t->dirty_names, &n, sizeof(n));
	(void)buf_add(&t->dirty_names, name, len);
}

/* --- names --- */

static struct entry *take_entry(struct tree *t, uint64_t dir, struct bytes name)
{
	for (size_t i = 0; i < ARRAY_SIZE(t->spare_entries); i++) {
		struct entry *e = t->spare_entries[i];

		if (e && e->dir == dir && e->len == name.n && memcmp(e->name, name.p, name.n) == 0)
			return TAKE_PTR(t->spare_entries[i]);
	}
	return NULL;
}

static void unlink_from_child(struct node *child, struct entry *e)
{
	struct entry **p = &child->names;

	while (*p != e)
		p = &(*p)->link_next;
	*p = e->link_next;
	e->link_next = NULL;
}

/* Takes (d, name) off its child; a whiteout stays where the base has the name. */
static void remove_name(struct tree *t, struct node *d, struct bytes name, struct node *child)
{
	struct entry *e = tree_entry(t, d->id, name.p, name.n);
	uint64_t base;

	apply_mark_name(t, d->id, name.p, name.n);
	if (!e) { /* only the base's name: cover it */
		e = take_entry(t, d->id, name);
		assert(e);
		tree_entry_insert(t, e);
		d->dir.entries++;
		child->flags &= ~(uint32_t)NODE_F_BASE_NAME;
		return;
	}
	dir_list_remove(d, e);
	unlink_from_child(child, e);
	e->child = 0;
	e->scratch = false;
	if (tree_base_has(t, d->id, name.p, name.n, &base))
		return;
	tree_entry_unhash(t, e);
	d->dir.entries--;
	/* A rename may give the name away again at once. */
	assert(!t->spare_entries[0] || !t->spare_entries[1]);
	t->spare_entries[t->spare_entries[0] ? 1 : 0] = e;
}

/* Gives `child` the name (d, name), which nothing else has. */
static void add_name(struct tree *t, struct node *d, struct bytes name, struct node *child,
		     bool scratch)
{
	struct entry *e = tree_entry(t, d->id, name.p, name.n);

	apply_mark_name(t, d->id, name.p, name.n);
	if (!e) {
		e = take_entry(t, d->id, name);
		assert(e);
		tree_entry_insert(t, e);
		d->dir.entries++;
	}
	e->child = child->id;
	e->scratch = scratch;
	dir_list_add(d, e);
	e->link_next = child->names;
	child->names = e;
}

static void touch_dir(struct tree *t, struct node *d, const struct record *rec)
{
	d->mtime = d->ctime = (int64_t)rec->time;
	apply_mark_node(t, d);
}

/* --- apply --- */

static void apply_create(struct tree *t, const struct record *rec)
{
	struct node *n = TAKE_PTR(t->spare_nodes[0]), *d = tree_node(t, rec->parent);
	uint32_t type = rec->op == OP_MKDIR ? S_IFDIR : rec->op == OP_SYMLINK ? S_IFLNK : 0;

	n->id = rec->node;
	n->mode = type == S_IFLNK ? S_IFLNK | 0777 : type ? type | (rec->mode & 07777) : rec->mode;
	n->uid = rec->owner;
	n->gid = rec->group;
	n->rdev = rec->rdev;
	n->nlink = type == S_IFDIR ? 2 : 1;
	n->size = type == S_IFLNK ? rec->value.n : 0;
	n->atime = n->mtime = n->ctime = n->btime = (int64_t)rec->time;
	(void)table_put(&t->nodes, n->id, n);
	if (n->id >= t->next_upper)
		t->next_upper = n->id + 1;
	if (type == S_IFDIR)
		d->nlink++;
	else
		t->nchanged++;
	add_name(t, d, rec->name, n, rec->flags & RECORD_F_SCRATCH);
	apply_mark_node(t, n);
	touch_dir(t, d, rec);
}

static void apply_link(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node), *d = tree_node(t, rec->parent2);

	add_name(t, d, rec->name2, n, rec->flags & RECORD_F_SCRATCH);
	n->nlink++;
	n->ctime = (int64_t)rec->time;
	seed_unflag(t, n);
	apply_mark_node(t, n);
	touch_dir(t, d, rec);
}

/* One name fewer; folders are gone at once. */
static void lose_link(struct tree *t, struct node *d, struct node *n, const struct record *rec)
{
	if (S_ISDIR(n->mode)) {
		n->nlink = 0;
		d->nlink--;
	} else {
		n->nlink--;
	}
	n->ctime = (int64_t)rec->time;
	apply_mark_node(t, n);
}

static void apply_remove(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node), *d = tree_node(t, rec->parent);

	remove_name(t, d, rec->name, n);
	lose_link(t, d, n, rec);
	touch_dir(t, d, rec);
}

static bool entry_scratch(const struct tree *t, uint64_t dir, struct bytes name)
{
	const struct entry *e = tree_entry(t, dir, name.p, name.n);

	return e && e->child && e->scratch;
}

static void apply_rename(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node), *d1 = tree_node(t, rec->parent);
	struct node *d2 = tree_node(t, rec->parent2), *over = NULL;
	bool exchange = rec->mask & RENAME_EXCHANGE;
	bool scratch1 = entry_scratch(t, d1->id, rec->name);

	if (RECORD_HAS(rec, F_NODE2))
		over = tree_node(t, rec->node2);
	if (over) {
		remove_name(t, d2, rec->name2, over);
		if (!exchange)
			lose_link(t, d2, over, rec);
	}
	remove_name(t, d1, rec->name, n);
	add_name(t, d2, rec->name2, n, rec->flags & RECORD_F_SCRATCH);
	if (S_ISDIR(n->mode)) {
		d1->nlink--;
		d2->nlink++;
	}
	if (over && exchange) {
		add_name(t, d1, rec->name, over, scratch1);
		if (S_ISDIR(over->mode)) {
			d2->nlink--;
			d1->nlink++;
		}
		over->ctime = (int64_t)rec->time;
		seed_unflag(t, over);
		apply_mark_node(t, over);
	}
	n->ctime = (int64_t)rec->time;
	seed_unflag(t, n);
	apply_mark_node(t, n);
	touch_dir(t, d1, rec);
	touch_dir(t, d2, rec);
}

static void apply_attrs(struct node *n, const struct record *rec)
{
	if (RECORD_HAS(rec, F_MODE))
		n->mode = (n->mode & S_IFMT) | (rec->mode & 07777);
	if (RECORD_HAS(rec, F_OWNER))
		n->uid = rec->owner;
	if (RECORD_HAS(rec, F_GROUP))
		n->gid = rec->group;
	if (RECORD_HAS(rec, F_ATIME))
		n->atime = rec->atime;
	if (RECORD_HAS(rec, F_MTIME))
		n->mtime = rec->mtime;
	n->ctime = (int64_t)rec->time;
}

static void modified(struct tree *t, struct node *n, const struct record *rec)
{
	n->mtime = (int64_t)rec->time;
	apply_attrs(n, rec);
	apply_mark_node(t, n);
}

static void apply_write(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node);

	seed_unflag(t, n);
	extent_set(&n->extents, rec->offset, rec->length, EXTENT_DATA, rec->place, &t->live);
	if (rec->offset + rec->length > n->size)
		n->size = rec->offset + rec->length;
	modified(t, n, rec);
}

/* The same bytes from another place: nobody's deed, so times stay. */
static void apply_compact(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node);

	extent_set(&n->extents, rec->offset, rec->length, EXTENT_DATA, rec->place, &t->live);
	apply_mark_node(t, n);
}

static void apply_truncate(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node);

	seed_unflag(t, n);
	if (rec->size < n->size)
		extent_punch(&n->extents, rec->size, UINT64_MAX - rec->size, &t->live);
	n->size = rec->size;
	seed_free(n->seed); /* cut to nothing: no byte of the main worktree is left */
	n->seed = NULL;
	modified(t, n, rec);
}

static void apply_fallocate(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node);

	seed_unflag(t, n);
	if (rec->mask & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		extent_punch(&n->extents, rec->offset, rec->length, &t->live);
	if (!(rec->mask & FALLOC_FL_KEEP_SIZE) && rec->offset + rec->length > n->size)
		n->size = rec->offset + rec->length;
	modified(t, n, rec);
}

static void apply_copy(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node);

	seed_unflag(t, n);
	/* The source's ranges come into use before the destination's old ones go: they may be the
	 * same ones, and must not be thought dead in between. */
	for (uint32_t i = 0; i < t->spare_ncopy; i++)
		if (t->live.fn && t->spare_copy[i].node == EXTENT_DATA)
			t->live.fn(t->spare_copy[i].place, (int64_t)t->spare_copy[i].len,
				   t->live.user);
	extent_punch(&n->extents, rec->offset, rec->length, &t->live);
	for (uint32_t i = 0; i < t->spare_ncopy; i++) {
		struct extent *e = &t->spare_copy[i];

		extent_set(&n->extents, e->off, e->len, e->node, e->place, NULL);
	}
	if (rec->offset + rec->length > n->size)
		n->size = rec->offset + rec->length;
	modified(t, n, rec);
}

static void apply_xattr(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node);
	struct xattr *old = tree_xattr(t, rec->node, rec->name.p, rec->name.n), **p = &n->xattrs;

	if (old) {
		while (*p != old)
			p = &(*p)->next;
		*p = old->next;
		free(old->name);
		free(old->value);
		free(old);
	}
	if (t->spare_xattr) {
		t->spare_xattr->next = n->xattrs;
		n->xattrs = TAKE_PTR(t->spare_xattr);
	}
	n->ctime = (int64_t)rec->time;
	apply_mark_node(t, n);
}

void apply_redirect_as_xattr(struct record *rec, char *text, size_t n)
{
	(void)snprintf(text, n, "%" PRIu64, rec->place);
	rec->op = rec->place ? OP_SETXATTR : OP_REMOVEXATTR;
	RECORD_SET(rec, name, F_NAME, ((struct bytes){TREE_REDIRECT, strlen(TREE_REDIRECT)}));
	RECORD_SET(rec, value, F_VALUE, ((struct bytes){text, strlen(text)}));
}

static void apply_op(struct tree *t, const struct record *rec)
{
	struct node *n;

	switch ((enum record_op)rec->op) {
	case OP_MKNOD:
	case OP_MKDIR:
	case OP_SYMLINK:
		apply_create(t, rec);
		break;
	case OP_LINK:
		apply_link(t, rec);
		break;
	case OP_UNLINK:
	case OP_RMDIR:
		apply_remove(t, rec);
		break;
	case OP_RENAME:
		apply_rename(t, rec);
		break;
	case OP_WRITE:
		apply_write(t, rec);
		break;
	case OP_TRUNCATE:
		apply_truncate(t, rec);
		break;
	case OP_FALLOCATE:
		apply_fallocate(t, rec);
		break;
	case OP_COPY:
		apply_copy(t, rec);
		break;
	case OP_SETATTR:
		n = tree_node(t, rec->node);
		if (RECORD_HAS(rec, F_MODE) && !S_ISDIR(n->mode))
			seed_unflag(t, n);
		apply_attrs(n, rec);
		apply_mark_node(t, n);
		break;
	case OP_SETXATTR:
	case OP_REMOVEXATTR:
		apply_xattr(t, rec);
		break;
	case OP_SEED:
		seed_apply(t, rec);
		break;
	case OP_REDIRECT: {
		struct record x = *rec;
		char text[24];

		apply_redirect_as_xattr(&x, text, sizeof(text));
		apply_xattr(t, &x);
		break;
	}
	case OP_NONE:
	case OP_PUT:
	case OP_OPEN:
	case OP_COMPACT:
	case OP_MAX:
		assert(!"prepared records only");
	}
}

/* A removed folder's whiteouts go with it: they stand over names of the base only. */
static void drop_whiteouts(struct tree *t, struct node *n)
{
	const struct image_node *b = tree_base(t, n->id);

	if (!S_ISDIR(n->mode) || !n->dir.entries || !b)
		return;
	for (uint32_t i = 0; i < b->children; i++) {
		struct entry *e;
		size_t len;
		const char *name;

		name = image_name(t->image, image_node(t->image, b->first_child + i), &len);
		e = tree_entry(t, n->id, name, len);
		if (!e)
			continue;
		apply_mark_name(t, n->id, name, len);
		tree_entry_unhash(t, e);
		free(e);
	}
}

void apply_drop_orphan(struct tree *t, uint64_t id)
{
	struct node *n = tree_node(t, id);

	if (!n || n->nlink)
		return;
	apply_mark_node(t, n);
	drop_whiteouts(t, n);
	tree_node_drop(t, n);
}

static void apply_mount(struct tree *t)
{
	struct node *n;
	size_t pos = 0;

	while ((n = table_next(&t->nodes, &pos))) {
		n->lookups = 0;
		if (n->nlink)
			continue;
		apply_drop_orphan(t, n->id);
		pos--; /* removing may have moved a later one into this slot */
	}
}

void apply_record(struct tree *t, const struct record *rec)
{
	if (rec->type == RECORD_OP)
		apply_op(t, rec);
	else if (rec->type == RECORD_MOUNT)
		apply_mount(t);
	else if (rec->type == RECORD_COMPACT)
		apply_compact(t, rec);
	else if (rec->type == RECORD_SYNC)
		tree_next_take(t);
	t->seq = rec->seq;
}

int apply_replay(struct tree *t, const struct record *rec)
{
	int r = apply_prepare(t, rec);

	if (r == 0 && rec->type == RECORD_POLICY) {
		char *text = sys.malloc(rec->value.n + 1);

		if (!text)
			return -ENOMEM;
		if (rec->value.n)
			memcpy(text, rec->value.p, rec->value.n);
		text[rec->value.n] = '\0';
		free(t->policy);
		t->policy = text;
	}
	if (r == 0)
		apply_record(t, rec);
	return r;
}
