/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can fail of applying a record: does it fit the tree, and is there memory for it? After
 * apply_prepare() everything that apply_record() will need hangs on the tree: nodes copied up (equal to
 * what they were), room in tables and lists, spare entries, nodes and extended attributes.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "apply.h"
#include "apply_impl.h"
#include "cleanup.h"
#include "seed.h"
#include "sys.h"
#include "tree_sync.h"

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE (1 << 1)
#endif

int apply_need_marks(struct tree *t, size_t nodes, size_t name_bytes)
{
	int r;

	if (!t->track)
		return 0;
	r = buf_reserve(&t->dirty_nodes, nodes * sizeof(uint64_t));
	return r < 0 ? r : buf_reserve(&t->dirty_names, name_bytes);
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
	tree_next_free(TAKE_PTR(t->next));
	seed_spares_clear(t);
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

/* --- by operation --- */

static bool name_ok(struct bytes n)
{
	return tree_name_ok(n.p, n.n);
}

int apply_need_dir(struct tree *t, uint64_t id, struct node **ret)
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

/* A file that becomes the agent's own has taken over its bytes before. */
static int prepare_own(struct tree *t, uint64_t id, struct node **ret)
{
	int r = prepare_node(t, id, ret);

	return r < 0 ? r : seed_is_file(*ret) ? -EBADMSG : 0;
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
	r = apply_need_dir(t, rec->parent, &d);
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
	r = apply_need_dir(t, dir, ret_dir);
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
	int r = prepare_own(t, rec->node, &n);

	if (r < 0)
		return r;
	if (!name_ok(rec->name2) || S_ISDIR(n->mode) || !n->nlink)
		return -EBADMSG;
	r = apply_need_dir(t, rec->parent2, &d);
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
	if (seed_is_file(n))
		return -EBADMSG;
	r = apply_need_dir(t, rec->parent2, &d2);
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
		if (seed_is_file(over))
			return -EBADMSG;
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
	if (seed_is_file(n) || rec->offset > INT64_MAX || rec->length > INT64_MAX - rec->offset)
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
	if (seed_is_file(src) || __builtin_add_overflow(rec->offset2, rec->length, &end) ||
	    end > src->size)
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

/* Kept as an attribute, so that checkpoints hold it. */
static int prepare_redirect(struct tree *t, const struct record *rec)
{
	struct record x = *rec;
	char text[24];
	struct node *n;
	int r = apply_need_dir(t, rec->node, &n);

	if (r < 0)
		return r;
	apply_redirect_as_xattr(&x, text, sizeof(text));
	return prepare_xattr(t, &x);
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

		if (r == 0 && (rec->size > INT64_MAX || (rec->size && seed_is_file(n))))
			r = -EBADMSG;
		return r < 0 ? r : extent_reserve(&n->extents, 2);
	}
	case OP_SETATTR:
		return (RECORD_HAS(rec, F_MODE) ? prepare_own : prepare_node)(t, rec->node, &n);
	case OP_SEED:
		return seed_prepare(t, rec);
	case OP_SETXATTR:
	case OP_REMOVEXATTR:
		return prepare_xattr(t, rec);
	case OP_REDIRECT:
		return prepare_redirect(t, rec);
	case OP_NONE:
	case OP_PUT:
	case OP_OPEN:
	case OP_COMPACT:
	case OP_MAX:
		break;
	}
	return -EBADMSG;
}

int apply_prepare(struct tree *t, const struct record *rec)
{
	int r;

	spares_clear(t);
	if (rec->type == RECORD_SYNC)
		return tree_next_build(t, rec, &t->next);
	if (rec->type != RECORD_OP && rec->type != RECORD_COMPACT)
		return 0;
	r = apply_need_marks(t, 8, 2 * (rec->name.n + rec->name2.n) + 4 * 10);
	if (r == 0)
		r = rec->type == RECORD_COMPACT ? prepare_data(t, rec) : prepare_op(t, rec);
	if (r < 0)
		spares_clear(t);
	return r;
}
