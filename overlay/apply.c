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
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "sys.h"

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE (1 << 1)
#endif

/* --- what changed since the last checkpoint --- */

static int dirty_reserve(struct tree *t, size_t names_bytes)
{
	int r;

	if (!t->track)
		return 0;
	r = buf_reserve(&t->dirty_nodes, 8 * sizeof(uint64_t));
	return r < 0 ? r : buf_reserve(&t->dirty_names, names_bytes + 4 * 10);
}

static void mark_node(struct tree *t, struct node *n)
{
	if (!t->track || (n->flags & NODE_F_DIRTY))
		return;
	if (buf_add(&t->dirty_nodes, &n->id, sizeof(n->id)) < 0)
		t->notes_lost++;
	else
		n->flags |= NODE_F_DIRTY;
}

static void mark_name(struct tree *t, uint64_t dir, const char *name, size_t len)
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

/* --- spares --- */

static void spares_clear(struct tree *t)
{
	for (size_t i = 0; i < ARRAY_SIZE(t->spare_nodes); i++) {
		tree_node_free(t->spare_nodes[i], NULL);
		t->spare_nodes[i] = NULL;
		free(t->spare_entries[i]);
		t->spare_entries[i] = NULL;
	}
	if (t->spare_xattr) {
		free(t->spare_xattr->name);
		free(t->spare_xattr->value);
		free(t->spare_xattr);
		t->spare_xattr = NULL;
	}
	free(t->spare_copy);
	t->spare_copy = NULL;
	t->spare_ncopy = 0;
}

/* Room for one more name in folder d, and a spare entry for it unless there is one already. */
static int prepare_name(struct tree *t, struct node *d, struct bytes name)
{
	struct entry *e;
	int r;

	r = dir_reserve(d, 2);
	if (r == 0)
		r = tree_names_reserve(t, 2);
	if (r < 0 || tree_entry(t, d->id, name.p, name.n))
		return r;
	e = entry_new(d->id, name.p, name.n);
	if (!e)
		return -ENOMEM;
	assert(!t->spare_entries[0] || !t->spare_entries[1]);
	t->spare_entries[t->spare_entries[0] ? 1 : 0] = e;
	return 0;
}

static struct entry *take_entry(struct tree *t, uint64_t dir, struct bytes name)
{
	for (size_t i = 0; i < ARRAY_SIZE(t->spare_entries); i++) {
		struct entry *e = t->spare_entries[i];

		if (e && e->dir == dir && e->len == name.n && memcmp(e->name, name.p, name.n) == 0)
			return TAKE_PTR(t->spare_entries[i]);
	}
	return NULL;
}

/* --- names --- */

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

	mark_name(t, d->id, name.p, name.n);
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

	mark_name(t, d->id, name.p, name.n);
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
	mark_node(t, d);
}

/* --- prepare --- */

static bool name_ok(struct bytes n)
{
	return tree_name_ok(n.p, n.n);
}

static int prepare_dir(struct tree *t, uint64_t id, struct node **ret)
{
	int r = tree_copy_up(t, id, ret);

	if (r == -ENOENT)
		return -EBADMSG;
	if (r < 0)
		return r;
	return S_ISDIR((*ret)->mode) && (*ret)->nlink ? 0 : -EBADMSG;
}

static int prepare_node(struct tree *t, uint64_t id, struct node **ret)
{
	int r = tree_copy_up(t, id, ret);

	return r == -ENOENT ? -EBADMSG : r;
}

static int prepare_file(struct tree *t, uint64_t id, struct node **ret)
{
	int r = prepare_node(t, id, ret);

	return r < 0 ? r : S_ISREG((*ret)->mode) ? 0 : -EBADMSG;
}

static int prepare_create(struct tree *t, const struct record *rec)
{
	struct node *d, *n;
	uint64_t there;
	int r;

	if (rec->op == OP_MKNOD && !S_ISREG(rec->mode) && !S_ISFIFO(rec->mode) &&
	    !S_ISSOCK(rec->mode) && !S_ISCHR(rec->mode))
		return -EBADMSG;
	if (rec->op == OP_SYMLINK && !rec->value.n)
		return -EBADMSG;
	if (!name_ok(rec->name) || tree_node(t, rec->node) || rec->node >> NODE_LAYER_SHIFT ||
	    (rec->node < NODE_UPPER_FIRST && rec->node != NODE_AGENTFS))
		return -EBADMSG;
	r = prepare_dir(t, rec->parent, &d);
	if (r < 0)
		return r;
	if (tree_lookup(t, rec->parent, rec->name.p, rec->name.n, &there) == 0)
		return -EBADMSG;
	n = sys_calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	t->spare_nodes[0] = n;
	if (rec->op == OP_SYMLINK) {
		n->mode = S_IFLNK;
		n->target = sys.malloc(rec->value.n + 1);
		if (!n->target)
			return -ENOMEM;
		memcpy(n->target, rec->value.p, rec->value.n);
		n->target[rec->value.n] = '\0';
	}
	r = prepare_name(t, d, rec->name);
	return r < 0 ? r : table_reserve(&t->nodes, 1);
}

/* The name must lead to the node that the record says. */
static int prepare_old_name(struct tree *t, uint64_t dir, struct bytes name, uint64_t node,
			    struct node **ret_dir, struct node **ret_node)
{
	uint64_t there;
	int r;

	if (!name_ok(name))
		return -EBADMSG;
	r = prepare_dir(t, dir, ret_dir);
	if (r < 0)
		return r;
	if (tree_lookup(t, dir, name.p, name.n, &there) < 0 || there != node)
		return -EBADMSG;
	r = prepare_node(t, node, ret_node);
	return r < 0 ? r : prepare_name(t, *ret_dir, name);
}

static int prepare_remove(struct tree *t, const struct record *rec)
{
	struct node *d, *n;
	int r = prepare_old_name(t, rec->parent, rec->name, rec->node, &d, &n);

	if (r < 0)
		return r;
	if (S_ISDIR(n->mode) != (rec->op == OP_RMDIR))
		return -EBADMSG;
	return rec->op == OP_RMDIR && !tree_dir_empty(t, n->id) ? -EBADMSG : 0;
}

static int prepare_link(struct tree *t, const struct record *rec)
{
	struct node *d, *n;
	uint64_t there;
	int r = prepare_node(t, rec->node, &n);

	if (r < 0)
		return r;
	if (!name_ok(rec->name2) || S_ISDIR(n->mode) || !n->nlink)
		return -EBADMSG;
	r = prepare_dir(t, rec->parent2, &d);
	if (r < 0)
		return r;
	if (tree_lookup(t, rec->parent2, rec->name2.p, rec->name2.n, &there) == 0)
		return -EBADMSG;
	return prepare_name(t, d, rec->name2);
}

static int prepare_rename(struct tree *t, const struct record *rec)
{
	struct node *d1, *d2, *n, *over;
	uint64_t there;
	int r;

	if (!name_ok(rec->name2))
		return -EBADMSG;
	r = prepare_old_name(t, rec->parent, rec->name, rec->node, &d1, &n);
	if (r < 0)
		return r;
	r = prepare_dir(t, rec->parent2, &d2);
	if (r < 0)
		return r;
	if (S_ISDIR(n->mode) && tree_is_below(t, rec->parent2, n->id))
		return -EBADMSG;
	r = tree_lookup(t, rec->parent2, rec->name2.p, rec->name2.n, &there);
	if (r < 0)
		return RECORD_HAS(rec, F_NODE2) ? -EBADMSG : prepare_name(t, d2, rec->name2);
	if (!RECORD_HAS(rec, F_NODE2) || there != rec->node2 || there == rec->node)
		return -EBADMSG;
	r = prepare_node(t, there, &over);
	if (r < 0)
		return r;
	if (rec->mask & RENAME_EXCHANGE) {
		if (S_ISDIR(over->mode) && tree_is_below(t, rec->parent, over->id))
			return -EBADMSG;
	} else if (S_ISDIR(over->mode) != S_ISDIR(n->mode) ||
		   (S_ISDIR(over->mode) && !tree_dir_empty(t, over->id))) {
		return -EBADMSG;
	}
	return prepare_name(t, d2, rec->name2);
}

static int prepare_data(struct tree *t, const struct record *rec)
{
	struct node *n;
	int r = prepare_file(t, rec->node, &n);

	if (r < 0)
		return r;
	if (rec->offset > INT64_MAX || rec->length > INT64_MAX - rec->offset)
		return -EBADMSG;
	return extent_reserve(&n->extents, 2);
}

/* The prepared index is no node: it is named by the root's number, which is no file. */
static int prepare_copy_index(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node);

	t->spare_copy = sys_calloc(1, sizeof(struct extent));
	if (!t->spare_copy)
		return -ENOMEM;
	t->spare_copy[0] = (struct extent){rec->offset, rec->length, EXTENT_INDEX, rec->offset2};
	t->spare_ncopy = 1;
	return extent_reserve(&n->extents, 4);
}

/* The source's extents in the range, moved to their places in the destination. */
static int prepare_copy(struct tree *t, const struct record *rec)
{
	struct node *n, *src;
	uint64_t end;
	uint32_t i;
	int r = prepare_data(t, rec);

	if (r == 0 && rec->node2 == EXTENT_INDEX)
		return prepare_copy_index(t, rec);
	if (r == 0)
		r = prepare_file(t, rec->node2, &src);
	if (r == 0)
		r = prepare_node(t, rec->node, &n);
	if (r < 0)
		return r;
	if (__builtin_add_overflow(rec->offset2, rec->length, &end) || end > src->size)
		return -EBADMSG;
	t->spare_copy = sys_calloc(src->extents.n + 1, sizeof(struct extent));
	if (!t->spare_copy)
		return -ENOMEM;
	for (i = extent_find(&src->extents, rec->offset2);
	     i < src->extents.n && src->extents.v[i].off < end; i++) {
		struct extent e = src->extents.v[i];
		uint64_t skip = e.off < rec->offset2 ? rec->offset2 - e.off : 0;

		e.off += skip;
		e.place += skip;
		e.len -= skip;
		if (e.off + e.len > end)
			e.len = end - e.off;
		e.off = e.off - rec->offset2 + rec->offset;
		t->spare_copy[t->spare_ncopy++] = e;
	}
	return extent_reserve(&n->extents, 2 * t->spare_ncopy + 2);
}

static int prepare_xattr(struct tree *t, const struct record *rec)
{
	struct xattr *x;
	struct node *n;
	int r = prepare_node(t, rec->node, &n);

	if (r < 0)
		return r;
	if (!rec->name.n || rec->name.n > 255 || memchr(rec->name.p, '\0', rec->name.n))
		return -EBADMSG;
	if (rec->op == OP_REMOVEXATTR)
		return tree_xattr(t, rec->node, rec->name.p, rec->name.n) ? 0 : -EBADMSG;
	x = t->spare_xattr = sys_calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	x->name = sys_calloc(1, rec->name.n + 1);
	x->value = sys_memdup(rec->value.p, rec->value.n);
	x->len = rec->value.n;
	if (!x->name || !x->value)
		return -ENOMEM;
	memcpy(x->name, rec->name.p, rec->name.n);
	return 0;
}

static int prepare_op(struct tree *t, const struct record *rec)
{
	struct node *n;

	switch ((enum record_op)rec->op) {
	case OP_MKNOD:
	case OP_MKDIR:
	case OP_SYMLINK:
		return prepare_create(t, rec);
	case OP_LINK:
		return prepare_link(t, rec);
	case OP_UNLINK:
	case OP_RMDIR:
		return prepare_remove(t, rec);
	case OP_RENAME:
		return prepare_rename(t, rec);
	case OP_WRITE:
	case OP_FALLOCATE:
		return prepare_data(t, rec);
	case OP_COPY:
		return prepare_copy(t, rec);
	case OP_TRUNCATE: {
		int r = prepare_file(t, rec->node, &n);

		return r < 0 ? r : rec->size > INT64_MAX ? -EBADMSG : extent_reserve(&n->extents, 2);
	}
	case OP_SETATTR:
		return prepare_node(t, rec->node, &n);
	case OP_SETXATTR:
	case OP_REMOVEXATTR:
		return prepare_xattr(t, rec);
	case OP_NONE:
	case OP_PUT:
	case OP_OPEN:
	case OP_MAX:
		break;
	}
	return -EBADMSG;
}

int apply_prepare(struct tree *t, const struct record *rec)
{
	int r;

	spares_clear(t);
	if (rec->type != RECORD_OP)
		return 0;
	r = dirty_reserve(t, rec->name.n + rec->name2.n + rec->name.n + rec->name2.n);
	if (r == 0)
		r = prepare_op(t, rec);
	if (r < 0)
		spares_clear(t);
	return r;
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
	mark_node(t, n);
	touch_dir(t, d, rec);
}

static void apply_link(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node), *d = tree_node(t, rec->parent2);

	add_name(t, d, rec->name2, n, rec->flags & RECORD_F_SCRATCH);
	n->nlink++;
	n->ctime = (int64_t)rec->time;
	mark_node(t, n);
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
	mark_node(t, n);
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
		mark_node(t, over);
	}
	n->ctime = (int64_t)rec->time;
	mark_node(t, n);
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
	mark_node(t, n);
}

static void apply_write(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node);

	extent_set(&n->extents, rec->offset, rec->length, EXTENT_DATA, rec->place, &t->live);
	if (rec->offset + rec->length > n->size)
		n->size = rec->offset + rec->length;
	modified(t, n, rec);
}

static void apply_truncate(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node);

	if (rec->size < n->size)
		extent_punch(&n->extents, rec->size, UINT64_MAX - rec->size, &t->live);
	n->size = rec->size;
	modified(t, n, rec);
}

static void apply_fallocate(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node);

	if (rec->mask & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		extent_punch(&n->extents, rec->offset, rec->length, &t->live);
	if (!(rec->mask & FALLOC_FL_KEEP_SIZE) && rec->offset + rec->length > n->size)
		n->size = rec->offset + rec->length;
	modified(t, n, rec);
}

static void apply_copy(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node);

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
	mark_node(t, n);
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
		apply_attrs(n, rec);
		mark_node(t, n);
		break;
	case OP_SETXATTR:
	case OP_REMOVEXATTR:
		apply_xattr(t, rec);
		break;
	case OP_NONE:
	case OP_PUT:
	case OP_OPEN:
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
		mark_name(t, n->id, name, len);
		tree_entry_unhash(t, e);
		free(e);
	}
}

void apply_drop_orphan(struct tree *t, uint64_t id)
{
	struct node *n = tree_node(t, id);

	if (!n || n->nlink)
		return;
	mark_node(t, n);
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
