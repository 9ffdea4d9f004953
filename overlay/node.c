/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes: the changed ones in memory, the others straight from the image.
 *
 * Invariants: (1) a node in `nodes` says everything about itself; the image is asked only for nodes
 * that are not there, and for a base folder's unchanged names; (2) NODE_F_BASE_NAME is set on exactly
 * the base nodes that are still reached by their name in the base; (3) nlink of a file is the number
 * of its names; 0 is an orphan that lives until the kernel forgets it.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "seed.h"
#include "sys.h"
#include "tree.h"
#include "tree_sync.h"

int tree_init(struct tree *t, const struct image *img, uint32_t uid, uint32_t gid)
{
	const struct base_run all = {0, image_count(img), NODE_LAYERED(1, 0),
				     (int64_t)image_time_ns(img)};
	int r;

	*t = (struct tree){
		.image = img, .layer = 1, .uid = uid, .gid = gid, .next_upper = NODE_UPPER_FIRST};
	r = base_map_add(&t->base, &all);
	if (r == 0)
		r = base_map_finish(&t->base, all.len);
	return r < 0 ? r : tree_names_reserve(t, 1);
}

static void xattrs_free(struct xattr *x)
{
	while (x) {
		struct xattr *next = x->next;

		free(x->name);
		free(x->value);
		free(x);
		x = next;
	}
}

void tree_node_free(struct node *n, const struct extent_live *live)
{
	if (!n)
		return;
	xattrs_free(n->xattrs);
	seed_free(n->seed);
	if (S_ISREG(n->mode))
		extent_release(&n->extents, live);
	else if (S_ISLNK(n->mode))
		free(n->target);
	else if (S_ISDIR(n->mode))
		free(n->dir.list);
	free(n);
}

void tree_node_drop(struct tree *t, struct node *n)
{
	(void)table_remove(&t->nodes, n->id);
	seed_uncount(t, n);
	if (!S_ISDIR(n->mode) && !(n->flags & NODE_F_SEED))
		t->nchanged--;
	tree_node_free(n, &t->live);
}

void tree_release(struct tree *t)
{
	struct node *n;
	struct kept *k;
	size_t pos = 0;

	while ((n = table_next(&t->nodes, &pos)))
		tree_node_free(n, NULL);
	table_release(&t->nodes);
	for (size_t i = 0; i < t->nbuckets; i++)
		for (struct entry *e = t->buckets[i], *next; e; e = next) {
			next = e->hash_next;
			free(e);
		}
	free(t->buckets);
	for (size_t i = 0; i < ARRAY_SIZE(t->spare_nodes); i++)
		tree_node_free(t->spare_nodes[i], NULL);
	for (size_t i = 0; i < ARRAY_SIZE(t->spare_entries); i++)
		free(t->spare_entries[i]);
	xattrs_free(t->spare_xattr);
	free(t->spare_copy);
	tree_next_free(TAKE_PTR(t->next));
	pos = 0;
	while ((k = table_next(&t->kept, &pos)))
		free(k);
	table_release(&t->kept);
	base_map_release(&t->base);
	if (t->image_opened)
		t->images.close(t->image, t->images.user);
	free(t->image_name);
	free(t->base_commit);
	free(t->base_lookups);
	seed_spares_clear(t);
	if (t->seed_dirs)
		table_release(t->seed_dirs);
	free(t->seed_dirs);
	free(t->policy);
	buf_release(&t->dirty_nodes);
	buf_release(&t->dirty_names);
	*t = (struct tree){0};
}

struct node *tree_node(const struct tree *t, uint64_t id)
{
	return id ? table_get(&t->nodes, id) : NULL;
}

bool tree_place(const struct tree *t, uint64_t id, uint32_t *ret)
{
	uint32_t len;

	return base_map_place(&t->base, id, ret, &len);
}

uint64_t tree_number(const struct tree *t, uint32_t place)
{
	return base_map_number(&t->base, place);
}

const struct image_node *tree_base(const struct tree *t, uint64_t id)
{
	uint32_t place;

	return tree_place(t, id, &place) ? image_node(t->image, place) : NULL;
}

int tree_content(const struct tree *t, uint64_t id, struct base_content *ret)
{
	const struct kept *k = table_get(&t->kept, id);
	const struct image_node *b = k ? NULL : tree_base(t, id);

	if (!k && (!b || S_ISDIR(b->mode)))
		return -ENOENT;
	ret->size = k ? k->size : b->size;
	memcpy(ret->oid, k ? k->oid : b->oid, sizeof(ret->oid));
	return 0;
}

bool tree_has_base_content(const struct tree *t, const struct node *n)
{
	const struct image_node *b = tree_base(t, n->id);
	struct base_content c;
	uint64_t from = n->id;

	if (!b || !S_ISREG(b->mode) || n->size != b->size)
		return false;
	if (!n->size)
		return true;
	return extent_is_base(&n->extents, n->size, &from) && tree_content(t, from, &c) == 0 &&
	       c.size == b->size && memcmp(c.oid, b->oid, sizeof(c.oid)) == 0;
}

uint64_t node_ino(uint64_t id)
{
	uint64_t layer = id >> NODE_LAYER_SHIFT, low = id & ((UINT64_C(1) << NODE_LAYER_SHIFT) - 1);

	if (layer > NODE_LAYERS_MAX)
		return low;
	if (layer)
		return (layer - 1) << 32 | low;
	return id == NODE_ROOT ? 1 : (UINT64_C(1) << 31) + id;
}

/* git's modes as a checkout with the usual umask shows them; a submodule is an empty folder. */
uint32_t node_base_mode(const struct image_node *b)
{
	switch (b->mode & 0170000) {
	case S_IFDIR:
	case 0160000:
		return S_IFDIR | 0755;
	case S_IFLNK:
		return S_IFLNK | 0777;
	default:
		return S_IFREG | (b->mode & 0111 ? 0755 : 0644);
	}
}

static uint32_t base_nlink(const struct image_node *b)
{
	return S_ISDIR(node_base_mode(b)) ? 2 + b->subdirs : 1;
}

int tree_attr(const struct tree *t, uint64_t id, struct node_attr *ret)
{
	const struct node *n = tree_node(t, id);
	const struct image_node *b;
	uint32_t place;
	int64_t when;

	if (n) {
		*ret = (struct node_attr){
			.id = id,
			.ino = node_ino(id),
			.size = n->size,
			.mode = n->mode,
			.uid = n->uid,
			.gid = n->gid,
			.rdev = n->rdev,
			.nlink = n->nlink,
			.atime = n->atime,
			.mtime = n->mtime,
			.ctime = n->ctime,
			.btime = n->btime,
		};
		if (S_ISDIR(n->mode)) {
			ret->size = 4096;
			if (n->nlink && (n->flags & NODE_F_SEED))
				ret->nlink = 1; /* nobody has counted its folders: as btrfs says */
		} else if (S_ISREG(n->mode)) {
			ret->blocks = (n->extents.covered + 511) / 512;
			return 0;
		}
		ret->blocks = (ret->size + 511) / 512;
		return 0;
	}
	if (!tree_place(t, id, &place))
		return -ENOENT;
	b = image_node(t->image, place);
	if (!b)
		return -ENOENT;
	when = base_map_run(&t->base, place)->time;
	*ret = (struct node_attr){
		.id = id,
		.ino = node_ino(id),
		.size = b->size,
		.mode = node_base_mode(b),
		.uid = t->uid,
		.gid = t->gid,
		.nlink = base_nlink(b),
		.atime = when,
		.mtime = when,
		.ctime = when,
		.btime = when,
	};
	if (S_ISDIR(ret->mode))
		ret->size = 4096;
	ret->blocks = (ret->size + 511) / 512;
	return 0;
}

bool tree_is_dir(const struct tree *t, uint64_t id)
{
	const struct node *n = tree_node(t, id);
	const struct image_node *b;

	if (n)
		return S_ISDIR(n->mode);
	b = tree_base(t, id);
	return b && S_ISDIR(node_base_mode(b));
}

int tree_copy_up(struct tree *t, uint64_t id, struct node **ret)
{
	struct node *n = tree_node(t, id);
	const struct image_node *b;
	struct node_attr a;
	int r;

	if (n) {
		*ret = n;
		return 0;
	}
	b = tree_base(t, id);
	if (!b)
		return -ENOENT;
	r = table_reserve(&t->nodes, 1);
	if (r < 0)
		return r;
	(void)tree_attr(t, id, &a);
	n = sys_calloc(1, sizeof(*n));
	if (!n)
		return -ENOMEM;
	*n = (struct node){
		.id = id,
		.mode = a.mode,
		.uid = a.uid,
		.gid = a.gid,
		.nlink = a.nlink,
		.size = S_ISDIR(a.mode) ? 0 : a.size,
		.atime = a.atime,
		.mtime = a.mtime,
		.ctime = a.ctime,
		.btime = a.btime,
		.flags = NODE_F_BASE_NAME,
	};
	if (S_ISREG(n->mode) && n->size) {
		r = extent_reserve(&n->extents, 1);
		if (r < 0) {
			free(n);
			return r;
		}
		extent_set(&n->extents, 0, n->size, id, 0, NULL);
	} else if (S_ISLNK(n->mode)) {
		n->flags |= NODE_F_BASE_TARGET;
	}
	(void)table_put(&t->nodes, id, n);
	if (!S_ISDIR(n->mode))
		t->nchanged++;
	*ret = n;
	return 0;
}

static uint64_t base_parent(const struct tree *t, const struct image_node *b)
{
	return tree_number(t, b->parent);
}

int tree_parent(const struct tree *t, uint64_t id, uint64_t *ret_parent, const char **ret_name,
		size_t *ret_len)
{
	const struct node *n = tree_node(t, id);
	const struct image_node *b = tree_base(t, id);

	if (id == NODE_ROOT)
		return -ENOENT;
	if (b && (!n || (n->flags & NODE_F_BASE_NAME))) {
		*ret_parent = base_parent(t, b);
		*ret_name = image_name(t->image, b, ret_len);
		return 0;
	}
	if (!n || !n->names)
		return -ENOENT;
	*ret_parent = n->names->dir;
	*ret_name = n->names->name;
	*ret_len = n->names->len;
	return 0;
}

int tree_path(const struct tree *t, uint64_t id, struct buf *b)
{
	uint64_t parent;
	const char *name;
	size_t start = b->len, len, total = 0, depth = 0;
	char *p;
	int r;

	/* Once for the length, once from the end. */
	for (uint64_t at = id; at != NODE_ROOT; at = parent) {
		r = tree_parent(t, at, &parent, &name, &len);
		if (r < 0)
			return r;
		total += len + 1;
		if (total > TREE_PATH_MAX || ++depth > TREE_DEPTH_MAX)
			return -ENAMETOOLONG;
	}
	if (!total)
		return buf_add(b, "", 0);
	r = buf_reserve(b, total);
	if (r < 0)
		return r;
	p = b->data + start + total - 1;
	*p = '\0';
	for (uint64_t at = id; at != NODE_ROOT; at = parent) {
		(void)tree_parent(t, at, &parent, &name, &len);
		p -= len;
		memcpy(p, name, len);
		if (parent != NODE_ROOT)
			*--p = '/';
	}
	b->len = start + total - 1;
	return 0;
}

int tree_path_child(const struct tree *t, uint64_t dir, const char *name, size_t len, struct buf *b)
{
	int r = tree_path(t, dir, b);

	if (r == 0 && dir != NODE_ROOT)
		r = buf_addc(b, '/');
	return r < 0 ? r : buf_add(b, name, len);
}

int tree_each_name(const struct tree *t, uint64_t id,
		   int (*fn)(uint64_t dir, const char *name, size_t len, void *user), void *user)
{
	const struct node *n = tree_node(t, id);
	const struct image_node *b = tree_base(t, id);
	int r = 0;

	if (b && id != NODE_ROOT && (!n || (n->flags & NODE_F_BASE_NAME))) {
		size_t len;
		const char *name = image_name(t->image, b, &len);

		r = fn(base_parent(t, b), name, len, user);
	}
	for (const struct entry *e = n ? n->names : NULL; e && r == 0; e = e->link_next)
		r = fn(e->dir, e->name, e->len, user);
	return r;
}

bool tree_is_below(const struct tree *t, uint64_t id, uint64_t below)
{
	const char *name;
	size_t len;

	while (id != below) {
		if (id == NODE_ROOT || tree_parent(t, id, &id, &name, &len) < 0)
			return false;
	}
	return true;
}

struct xattr *tree_xattr(const struct tree *t, uint64_t id, const char *name, size_t len)
{
	const struct node *n = tree_node(t, id);

	for (struct xattr *x = n ? n->xattrs : NULL; x; x = x->next)
		if (strlen(x->name) == len && memcmp(x->name, name, len) == 0)
			return x;
	return NULL;
}

uint64_t tree_redirect(const struct tree *t, uint64_t id)
{
	const struct xattr *x = tree_xattr(t, id, TREE_REDIRECT, strlen(TREE_REDIRECT));
	uint64_t place = 0;

	for (size_t i = 0; x && i < x->len; i++) {
		char c = ((const char *)x->value)[i];

		if (c < '0' || c > '9')
			return 0;
		place = place * 10 + (uint64_t)(c - '0');
	}
	return place;
}
