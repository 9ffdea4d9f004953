/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making trees. A folder's entries are read, its edits worked in, and the whole written anew in git's
 * order; only folders that hold an edit are touched. libgit2's tree builder would ask the object
 * database for every entry that is put in, and for every tree that is written.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "image.h"
#include "objects.h"
#include "odb.h"
#include "treewalk.h"

enum { DEPTH_MAX = 1024 };

struct leaf {
	char *name;    /* owned */
	uint32_t mode; /* 0: gone */
	git_oid oid;
};

struct leaves {
	struct leaf *v;
	size_t n, cap;
};

struct level {
	git_repository *git;
	const struct image *img;
	int64_t twin;
	struct leaves leaves; /* those of the old tree first, by name */
	size_t old;	      /* how many these are */
	size_t next;	      /* the first of them that no edit's name has passed yet */
	unsigned depth;
};

static void leaves_release(struct leaves *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].name);
	free(l->v);
}

static int leaves_add(struct leaves *l, const char *name, size_t len, uint32_t mode,
		      const git_oid *oid)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 32;
		struct leaf *v = realloc(l->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n] = (struct leaf){strndup(name, len), mode, *oid};
	return l->v[l->n++].name ? 0 : -ENOMEM;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct leaf *)a)->name, ((const struct leaf *)b)->name);
}

/* git's order: a folder's name compares as if it ended in a slash. */
static int by_git(const void *a, const void *b)
{
	const struct leaf *x = a, *y = b;
	const char *p = x->name, *q = y->name;
	int c, d;

	while (*p && *p == *q) {
		p++;
		q++;
	}
	c = *p ? (unsigned char)*p : x->mode == GIT_FILEMODE_TREE ? '/' : 0;
	d = *q ? (unsigned char)*q : y->mode == GIT_FILEMODE_TREE ? '/' : 0;
	return c - d;
}

static int load_from_image(struct level *l)
{
	const struct image_node *dir = image_node(l->img, (uint32_t)l->twin);
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < dir->children; i++) {
		const struct image_node *n = image_node(l->img, dir->first_child + i);
		git_oid oid;
		size_t len;
		const char *name = image_name(l->img, n, &len);

		memcpy(oid.id, n->oid, sizeof(oid.id));
		r = leaves_add(&l->leaves, name, len, n->mode, &oid);
	}
	return r;
}

static int load_from_git(struct level *l, const git_oid *tree)
{
	git_tree *t = NULL;
	int r = git_tree_lookup(&t, l->git, tree);

	if (r < 0)
		return git_errno(r, NULL, "reading a tree");
	for (size_t i = 0; r == 0 && i < git_tree_entrycount(t); i++) {
		const git_tree_entry *e = git_tree_entry_byindex(t, i);
		const char *name = git_tree_entry_name(e);

		r = leaves_add(&l->leaves, name, strlen(name),
			       (uint32_t)git_tree_entry_filemode_raw(e), git_tree_entry_id(e));
	}
	git_tree_free(t);
	if (l->leaves.n)
		qsort(l->leaves.v, l->leaves.n, sizeof(*l->leaves.v), by_name);
	return r;
}

static int level_load(struct level *l, const git_oid *tree)
{
	int r = 0;

	if (tree)
		r = tree_twin_is(l->img, l->twin, tree) ? load_from_image(l)
							: load_from_git(l, tree);
	l->old = l->leaves.n;
	return r;
}

/* *ret_empty: nothing was left to be written. */
static int level_write(struct level *l, git_oid *ret, bool *ret_empty)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = 0;

	*ret_empty = true;
	if (l->leaves.n)
		qsort(l->leaves.v, l->leaves.n, sizeof(*l->leaves.v), by_git);
	for (size_t i = 0; r == 0 && i < l->leaves.n; i++) {
		const struct leaf *e = &l->leaves.v[i];

		if (!e->mode)
			continue;
		*ret_empty = false;
		r = buf_addf(&b, "%o %s", e->mode, e->name);
		if (r == 0)
			r = buf_addc(&b, '\0');
		if (r == 0)
			r = buf_add(&b, e->oid.id, sizeof(e->oid.id));
	}
	return r < 0 ? r : objects_put(l->git, GIT_OBJECT_TREE, b.data ? b.data : "", b.len, ret);
}

/* Place of the old entry of that name, or -1. Names are asked for in order. */
static ssize_t level_find(struct level *l, const char *name, size_t len)
{
	for (; l->next < l->old; l->next++) {
		const char *have = l->leaves.v[l->next].name;
		int c = strncmp(have, name, len);

		if (c == 0 && !have[len])
			return (ssize_t)l->next;
		if (c > 0 || (c == 0 && have[len]))
			break;
	}
	return -1;
}

/* Edits [0, n) share the first `skip` bytes of their paths, the folder whose tree is `tree`. */
static int apply_level(struct level *l, const git_oid *tree, const struct tree_edit *edits,
		       size_t n, size_t skip, git_oid *ret, bool *ret_empty);

static int set(struct level *l, ssize_t at, const char *name, size_t len, uint32_t mode,
	       const git_oid *oid)
{
	if (at < 0)
		return mode ? leaves_add(&l->leaves, name, len, mode, oid) : 0;
	l->leaves.v[at].mode = mode;
	l->leaves.v[at].oid = *oid;
	return 0;
}

/* One name of this level: its own edit (a file), the edits below it (a folder), or both. A file that
 * is set takes the place of whatever was there. */
static int apply_name(struct level *l, const struct tree_edit *edits, size_t n, size_t skip,
		      size_t len)
{
	const char *name = edits[0].path + skip;
	const struct tree_edit *leaf = name[len] == 0 ? &edits[0] : NULL;
	size_t below = leaf ? 1 : 0;
	ssize_t at = level_find(l, name, len);
	bool folder = at >= 0 && l->leaves.v[at].mode == GIT_FILEMODE_TREE, empty = true;
	struct level sub = {l->git, l->img, tree_twin(l->img, l->twin, name, len),
			    .depth = l->depth + 1};
	git_oid oid = {0};
	int r = 0;

	if (leaf && leaf->to.mode)
		return set(l, at, name, len, leaf->to.mode, &leaf->to.oid);
	if (n == below)
		return folder ? 0 : set(l, at, name, len, 0, &oid);
	r = apply_level(&sub, folder ? &l->leaves.v[at].oid : NULL, edits + below, n - below,
			skip + len + 1, &oid, &empty);
	if (r < 0)
		return r;
	if (empty && !folder && !leaf)
		return 0;
	return set(l, at, name, len, empty ? 0 : GIT_FILEMODE_TREE, &oid);
}

static int apply_level(struct level *l, const git_oid *tree, const struct tree_edit *edits,
		       size_t n, size_t skip, git_oid *ret, bool *ret_empty)
{
	int r = l->depth > DEPTH_MAX ? -ELOOP : level_load(l, tree);

	for (size_t i = 0; r == 0 && i < n;) {
		const char *at = edits[i].path + skip;
		size_t len = strcspn(at, "/"), k = i + 1;

		while (k < n && strncmp(edits[k].path + skip, at, len) == 0 &&
		       edits[k].path[skip + len] == '/')
			k++;
		r = apply_name(l, edits + i, k - i, skip, len);
		i = k;
	}
	if (r == 0)
		r = level_write(l, ret, ret_empty);
	leaves_release(&l->leaves);
	return r;
}

int tree_apply(git_repository *git, const struct image *img, const git_oid *tree,
	       const struct tree_edit *edits, size_t n, git_oid *ret)
{
	struct level root = {git, img, img ? 0 : TWIN_NONE};
	bool empty;

	return apply_level(&root, tree, edits, n, 0, ret, &empty);
}
