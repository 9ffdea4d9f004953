/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Seeds in the tree: what OP_SEED does to it, and what a checkpoint keeps. No I/O; what the records
 * mean is at the head of seed.c, how preparing and applying go together in apply.c.
 *
 * Invariants: (1) a regular node with `seed` has NODE_F_SEED and one extent, EXTENT_SEED over its whole
 * size; no other node has such an extent; (2) a folder with `seed` has no names but those that a crash
 * left of its first import, or that replaced them; (3) every seed_dir is in tree.seed_dirs while a
 * seed refers to it, and there only once.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "apply_impl.h"
#include "cleanup.h"
#include "seed.h"
#include "sys.h"

/* --- where a seed comes from --- */

static struct seed_dir *dir_get(struct tree *t, struct bytes path)
{
	uint64_t hash = XXH3_64bits(path.p ? path.p : "", path.n) | 1;
	struct seed_dir *first, *d;

	if (!t->seed_dirs)
		t->seed_dirs = sys_calloc(1, sizeof(*t->seed_dirs));
	if (!t->seed_dirs)
		return NULL;
	first = table_get(t->seed_dirs, hash);
	for (d = first; d; d = d->next)
		if (d->len == path.n && memcmp(d->path, path.p, path.n) == 0) {
			d->refs++;
			return d;
		}
	d = sys_calloc(1, sizeof(*d) + path.n + 1);
	if (!d)
		return NULL;
	if (path.n)
		memcpy(d->path, path.p, path.n);
	d->len = path.n;
	d->hash = hash;
	d->refs = 1;
	d->owner = t->seed_dirs;
	d->next = first;
	if (table_put(t->seed_dirs, hash, d) < 0) {
		free(d);
		return NULL;
	}
	return d;
}

static void dir_put(struct seed_dir *d)
{
	struct seed_dir *first, **p;

	if (--d->refs)
		return;
	first = table_get(d->owner, d->hash);
	for (p = &first; *p != d;)
		p = &(*p)->next;
	*p = d->next;
	if (first)
		(void)table_put(d->owner, d->hash, first);
	else
		(void)table_remove(d->owner, d->hash);
	free(d);
}

struct seed *seed_new(struct tree *t, struct bytes dir, struct bytes name)
{
	struct seed *s = sys_calloc(1, sizeof(*s) + name.n + 1);

	if (!s)
		return NULL;
	s->dir = dir_get(t, dir);
	if (!s->dir) {
		free(s);
		return NULL;
	}
	memcpy(s->name, name.p, name.n);
	return s;
}

int seed_clone(struct tree *t, const struct node *from, struct node *to)
{
	const struct seed *s = from->seed;

	to->seed = NULL;
	if (!s)
		return 0;
	to->seed = seed_new(t, (struct bytes){s->dir->path, s->dir->len},
			    (struct bytes){s->name, strlen(s->name)});
	if (!to->seed)
		return -ENOMEM;
	to->seed->ino = s->ino;
	to->seed->mtime = s->mtime;
	to->seed->ctime = s->ctime;
	to->seed->served = s->served;
	return 0;
}

void seed_free(struct seed *s)
{
	if (!s)
		return;
	dir_put(s->dir);
	free(s);
}

int seed_path(const struct seed *s, struct buf *ret)
{
	int r = buf_add(ret, s->dir->path, s->dir->len);

	if (r == 0 && s->dir->len)
		r = buf_addc(ret, '/');
	return r < 0 ? r : buf_adds(ret, s->name);
}

/* --- what a node is --- */

bool seed_is_unread(const struct tree *t, uint64_t id)
{
	const struct node *n = tree_node(t, id);

	return n && n->seed && S_ISDIR(n->mode);
}

bool seed_is_file(const struct node *n)
{
	return n && n->seed && S_ISREG(n->mode);
}

bool seed_is_ground(const struct tree *t, uint64_t id)
{
	return id >> NODE_LAYER_SHIFT || tree_base(t, id);
}

bool seed_is_intact(const struct tree *t, const struct node *n)
{
	const char *name;
	uint64_t at;
	size_t len;

	if (!(n->flags & NODE_F_SEED))
		return false;
	for (at = n->id; tree_parent(t, at, &at, &name, &len) == 0;) {
		const struct node *d = tree_node(t, at);

		if (seed_is_ground(t, at))
			return true;
		if (!d || !(d->flags & NODE_F_SEED))
			return false;
	}
	return false;
}

static uint64_t data_bytes(const struct node *n)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; S_ISREG(n->mode) && i < n->extents.n; i++)
		if (n->extents.v[i].node == EXTENT_DATA)
			sum += n->extents.v[i].len;
	return sum;
}

void seed_count(struct tree *t, const struct node *n)
{
	if (!(n->flags & NODE_F_SEED))
		return;
	t->nseeds++;
	t->seed_bytes += data_bytes(n);
}

void seed_uncount(struct tree *t, const struct node *n)
{
	if (!(n->flags & NODE_F_SEED))
		return;
	t->nseeds--;
	t->seed_bytes -= data_bytes(n);
}

void seed_unflag(struct tree *t, struct node *n)
{
	if (!(n->flags & NODE_F_SEED))
		return;
	seed_uncount(t, n);
	n->flags &= ~(uint32_t)NODE_F_SEED;
	if (!S_ISDIR(n->mode))
		t->nchanged++;
}

static void drop_source(struct node *n)
{
	seed_free(n->seed);
	n->seed = NULL;
}

/* --- names --- */

struct spare_seeds {
	struct node **nodes;
	struct entry **entries;
	size_t n;
};

void seed_spares_clear(struct tree *t)
{
	struct spare_seeds *s = t->spare_seeds;

	for (size_t i = 0; s && i < s->n; i++) {
		tree_node_free(s->nodes[i], NULL);
		free(s->entries[i]);
	}
	if (s) {
		free(s->nodes);
		free(s->entries);
	}
	free(s);
	t->spare_seeds = NULL;
}

static bool has_source(const struct seed_name *n)
{
	return (S_ISREG(n->mode) && n->size) || (S_ISDIR(n->mode) && !n->holder);
}

static int new_node(struct tree *t, struct bytes dir, const struct seed_name *name, uint64_t id,
		    struct node **ret)
{
	struct node *n = *ret = sys_calloc(1, sizeof(*n));
	int r = 0;

	if (!n)
		return -ENOMEM;
	*n = (struct node){
		.id = id,
		.mode = name->mode,
		.uid = t->uid,
		.gid = t->gid,
		.nlink = S_ISDIR(name->mode) ? 2 : 1,
		.flags = NODE_F_SEED,
		.size = S_ISREG(name->mode)   ? name->size
			: S_ISLNK(name->mode) ? name->target.n
					      : 0,
		.atime = name->mtime,
		.mtime = name->mtime,
		.ctime = name->ctime,
		.btime = name->mtime,
	};
	if (S_ISLNK(n->mode)) {
		n->mode |= 0777;
		n->target = sys_calloc(1, name->target.n + 1);
		if (!n->target)
			return -ENOMEM;
		memcpy(n->target, name->target.p, name->target.n);
	}
	if (!has_source(name))
		return 0;
	n->seed = seed_new(t, dir, name->name);
	if (!n->seed)
		return -ENOMEM;
	n->seed->ino = name->ino;
	n->seed->mtime = name->mtime;
	n->seed->ctime = name->ctime;
	if (S_ISREG(n->mode)) {
		r = extent_reserve(&n->extents, 1);
		if (r == 0)
			extent_set(&n->extents, 0, n->size, EXTENT_SEED, 0, NULL);
	}
	return r;
}

static int count_names(const struct record *rec, size_t *ret_names, size_t *ret_bytes)
{
	struct bytes left = rec->value;
	struct seed_name name;
	int r;

	*ret_names = *ret_bytes = 0;
	while ((r = seed_decode(&left, &name)) > 0) {
		++*ret_names;
		*ret_bytes += name.name.n;
	}
	return r;
}

/* The path is one that leads somewhere below the main worktree. */
static bool path_ok(struct bytes path)
{
	size_t at = 0;

	while (at < path.n) {
		const char *slash = memchr(path.p + at, '/', path.n - at);
		size_t n = slash ? (size_t)(slash - path.p) - at : path.n - at;

		if (!tree_name_ok(path.p + at, n) || (slash && at + n + 1 == path.n))
			return false;
		at += n + 1;
	}
	return path.n <= TREE_PATH_MAX;
}

static int prepare_each(struct tree *t, const struct record *rec, struct spare_seeds *s)
{
	struct bytes left = rec->value;
	struct seed_name name;
	uint64_t there;
	int r;

	while ((r = seed_decode(&left, &name)) > 0) {
		size_t i = s->n++;

		if (tree_lookup(t, rec->node, name.name.p, name.name.n, &there) == 0 ||
		    tree_entry(t, rec->node, name.name.p, name.name.n))
			return -EBADMSG;
		r = new_node(t, rec->path, &name, rec->node2 + i, &s->nodes[i]);
		if (r < 0)
			return r;
		s->entries[i] = entry_new(rec->node, name.name.p, name.name.n);
		if (!s->entries[i])
			return -ENOMEM;
	}
	return r;
}

/* Two names that are the same would both be new. Errors: -EBADMSG, -ENOMEM. */
static int check_differ(const struct spare_seeds *s)
{
	struct table seen = {0};
	int r = table_reserve(&seen, s->n);

	for (size_t i = 0; r == 0 && i < s->n; i++) {
		uint64_t key = s->entries[i]->hash + UINT64_C(1);
		const struct entry *e = table_get(&seen, key);

		for (; e && r == 0; e = e->hash_next)
			if (e->len == s->entries[i]->len &&
			    memcmp(e->name, s->entries[i]->name, e->len) == 0)
				r = -EBADMSG;
		s->entries[i]->hash_next = table_get(&seen, key);
		(void)table_put(&seen, key, s->entries[i]);
	}
	table_release(&seen);
	return r;
}

static int prepare_names(struct tree *t, const struct record *rec)
{
	struct spare_seeds *s;
	size_t n, bytes;
	struct node *d;
	int r = count_names(rec, &n, &bytes);

	if (r < 0 || !path_ok(rec->path))
		return -EBADMSG;
	if (n && (rec->node2 < t->next_upper || rec->node2 < NODE_UPPER_FIRST ||
		  (rec->node2 + n) >> NODE_LAYER_SHIFT))
		return -EBADMSG;
	r = apply_need_dir(t, rec->node, &d);
	if (r < 0)
		return r;
	s = t->spare_seeds = sys_calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->nodes = sys_calloc(n + 1, sizeof(*s->nodes));
	s->entries = sys_calloc(n + 1, sizeof(*s->entries));
	if (!s->nodes || !s->entries)
		return -ENOMEM;
	r = prepare_each(t, rec, s);
	if (r == 0)
		r = check_differ(s);
	if (r == 0)
		r = table_reserve(&t->nodes, n);
	if (r == 0)
		r = tree_names_reserve(t, n);
	if (r == 0)
		r = dir_reserve(d, (uint32_t)n);
	return r < 0 ? r : apply_need_marks(t, n + 1, bytes + n * 10);
}

static void apply_names(struct tree *t, const struct record *rec)
{
	struct spare_seeds *s = t->spare_seeds;
	struct node *d = tree_node(t, rec->node);

	for (size_t i = 0; i < s->n; i++) {
		struct node *n = TAKE_PTR(s->nodes[i]);
		struct entry *e = TAKE_PTR(s->entries[i]);

		e->hash_next = NULL;
		(void)table_put(&t->nodes, n->id, n);
		seed_count(t, n);
		if (n->id >= t->next_upper)
			t->next_upper = n->id + 1;
		apply_mark_name(t, d->id, e->name, e->len);
		tree_entry_insert(t, e);
		d->dir.entries++;
		e->child = n->id;
		dir_list_add(d, e);
		n->names = e;
		if (S_ISDIR(n->mode))
			d->nlink++;
		apply_mark_node(t, n);
	}
	if (!(rec->mask & SEED_MORE))
		drop_source(d);
	apply_mark_node(t, d);
}

/* --- bytes --- */

static int prepare_bytes(struct tree *t, const struct record *rec)
{
	struct bytes left = rec->value;
	struct node *n = tree_node(t, rec->node);
	struct seed_piece p;
	uint64_t end = 0;
	uint32_t pieces = 0;
	int r;

	if (!seed_is_file(n) || rec->size > INT64_MAX)
		return -EBADMSG;
	while ((r = seed_decode_piece(&left, &p)) > 0) {
		if (p.off != end || !p.len || p.len > rec->size - end)
			return -EBADMSG;
		end += p.len;
		pieces++;
	}
	if (r < 0 || end != rec->size)
		return -EBADMSG;
	return extent_reserve(&n->extents, pieces + 2);
}

/* The agent may have set times of its own meanwhile: they stay. */
static void correct(struct node *n, const struct record *rec)
{
	n->size = rec->size;
	if (n->mtime == n->seed->mtime)
		n->mtime = rec->mtime;
}

static void apply_bytes(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node);
	struct bytes left = rec->value;
	struct seed_piece p;

	seed_uncount(t, n);
	extent_punch(&n->extents, 0, UINT64_MAX, &t->live);
	while (seed_decode_piece(&left, &p) > 0)
		extent_set(&n->extents, p.off, p.len, EXTENT_DATA, p.place, &t->live);
	seed_count(t, n);
	correct(n, rec);
	drop_source(n);
	apply_mark_node(t, n);
}

static int prepare_attrs(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node);

	if (!seed_is_file(n) || !rec->size || rec->size > INT64_MAX)
		return -EBADMSG;
	return extent_reserve(&n->extents, 2);
}

static void apply_changed(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node);

	extent_punch(&n->extents, 0, UINT64_MAX, &t->live);
	extent_set(&n->extents, 0, rec->size, EXTENT_SEED, 0, &t->live);
	correct(n, rec);
	n->seed->ino = rec->count;
	n->seed->ctime = (int64_t)rec->offset;
	n->seed->mtime = rec->mtime;
	apply_mark_node(t, n);
}

int seed_prepare(struct tree *t, const struct record *rec)
{
	switch (rec->mask & SEED_KINDS) {
	case SEED_NAMES:
		return prepare_names(t, rec);
	case SEED_BYTES:
		return prepare_bytes(t, rec);
	case SEED_ATTRS:
		return prepare_attrs(t, rec);
	case SEED_DONE:
		return 0;
	default:
		return -EBADMSG;
	}
}

void seed_apply(struct tree *t, const struct record *rec)
{
	switch (rec->mask & SEED_KINDS) {
	case SEED_NAMES:
		apply_names(t, rec);
		break;
	case SEED_BYTES:
		apply_bytes(t, rec);
		break;
	case SEED_ATTRS:
		apply_changed(t, rec);
		break;
	default:
		t->seeded = true;
	}
}

/* --- checkpoints --- */

int seed_load(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node);
	int r = 0;

	if (!n || n->seed || !path_ok(rec->path) || !tree_name_ok(rec->name.p, rec->name.n) ||
	    (!S_ISDIR(n->mode) &&
	     (!S_ISREG(n->mode) || !n->size || n->extents.n || !(n->flags & NODE_F_SEED))))
		return -EBADMSG;
	n->seed = seed_new(t, rec->path, rec->name);
	if (!n->seed)
		return -ENOMEM;
	n->seed->ino = rec->count;
	n->seed->mtime = rec->mtime;
	n->seed->ctime = (int64_t)rec->offset;
	n->seed->served = true;
	if (S_ISREG(n->mode)) {
		r = extent_reserve(&n->extents, 1);
		if (r == 0)
			extent_set(&n->extents, 0, n->size, EXTENT_SEED, 0, NULL);
	}
	return r;
}
