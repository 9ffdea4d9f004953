/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tree comparison. It recurses only into folders that differ, so its cost is that of the change, not
 * of the tree. Depth is bounded, as trees may be hostile.
 */
#include "treewalk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "image.h"
#include "odb.h"

enum { DEPTH_MAX = 1024 };

struct diff_walk {
	git_repository *git;
	tree_delta_fn fn;
	void *user;
	struct buf path;
	unsigned depth;
};

static int diff_trees(struct diff_walk *w, const git_oid *from, const git_oid *to);

static int lookup_tree(git_repository *git, const git_oid *oid, git_tree **ret)
{
	int r;

	*ret = NULL;
	if (!oid)
		return 0;
	r = git_tree_lookup(ret, git, oid);
	return r < 0 ? git_errno(r, NULL, "reading a tree") : 0;
}

static bool is_tree(const git_tree_entry *e)
{
	return e && git_tree_entry_filemode_raw(e) == GIT_FILEMODE_TREE;
}

static struct tree_entry entry_of(const git_tree_entry *e)
{
	struct tree_entry t = {0};

	if (e && !is_tree(e)) {
		t.mode = git_tree_entry_filemode(e);
		t.oid = *git_tree_entry_id(e);
	}
	return t;
}

static int diff_pair(struct diff_walk *w, const git_tree_entry *a, const git_tree_entry *b)
{
	const char *name = git_tree_entry_name(a ? a : b);
	struct tree_delta d = {.from = entry_of(a), .to = entry_of(b)};
	size_t old = w->path.len;
	int r = 0;

	if (a && b && git_oid_equal(git_tree_entry_id(a), git_tree_entry_id(b)) &&
	    git_tree_entry_filemode(a) == git_tree_entry_filemode(b))
		return 0;
	if ((old && buf_addc(&w->path, '/') < 0) || buf_adds(&w->path, name) < 0)
		return -ENOMEM;
	if (d.from.mode || d.to.mode) {
		d.path = w->path.data;
		r = w->fn(&d, w->user);
	}
	if (r == 0 && (is_tree(a) || is_tree(b)))
		r = diff_trees(w, is_tree(a) ? git_tree_entry_id(a) : NULL,
			       is_tree(b) ? git_tree_entry_id(b) : NULL);
	w->path.len = old;
	w->path.data[old] = 0;
	return r;
}

/* By plain name, so that a file and a folder of one name meet. */
static int diff_entries(struct diff_walk *w, git_tree *a, git_tree *b)
{
	size_t na = a ? git_tree_entrycount(a) : 0, nb = b ? git_tree_entrycount(b) : 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < na; i++) {
		const git_tree_entry *e = git_tree_entry_byindex(a, i);
		const git_tree_entry *other =
			b ? git_tree_entry_byname(b, git_tree_entry_name(e)) : NULL;

		r = diff_pair(w, e, other);
	}
	for (size_t i = 0; r == 0 && i < nb; i++) {
		const git_tree_entry *e = git_tree_entry_byindex(b, i);

		if (!a || !git_tree_entry_byname(a, git_tree_entry_name(e)))
			r = diff_pair(w, NULL, e);
	}
	return r;
}

static int diff_trees(struct diff_walk *w, const git_oid *from, const git_oid *to)
{
	git_tree *a = NULL, *b = NULL;
	int r;

	if (from && to && git_oid_equal(from, to))
		return 0;
	if (++w->depth > DEPTH_MAX)
		return -ELOOP;
	r = lookup_tree(w->git, from, &a);
	if (r == 0)
		r = lookup_tree(w->git, to, &b);
	if (r == 0)
		r = diff_entries(w, a, b);
	git_tree_free(a);
	git_tree_free(b);
	w->depth--;
	return r;
}

int tree_diff(git_repository *git, const git_oid *from, const git_oid *to, tree_delta_fn fn,
	      void *user)
{
	struct diff_walk w = {.git = git, .fn = fn, .user = user};
	int r = buf_reserve(&w.path, 256);

	if (r == 0)
		r = diff_trees(&w, from, to);
	buf_release(&w.path);
	return r;
}

int tree_get(git_repository *git, const git_oid *tree, const char *path, struct tree_entry *ret)
{
	git_tree_entry *e = NULL;
	git_tree *t = NULL;
	int r = lookup_tree(git, tree, &t);

	*ret = (struct tree_entry){0};
	if (r < 0)
		return r;
	r = git_tree_entry_bypath(&e, t, path);
	if (r == 0)
		*ret = entry_of(e);
	git_tree_entry_free(e);
	git_tree_free(t);
	return r < 0 && r != GIT_ENOTFOUND ? git_errno(r, NULL, "reading a tree") : 0;
}

/* --- many paths of one tree ----------------------------------------------------------------------
 */

int64_t tree_twin(const struct image *img, int64_t dir, const char *name, size_t len)
{
	int64_t at = dir >= 0 ? image_lookup(img, (uint32_t)dir, name, len) : TWIN_NONE;
	const struct image_node *n = at >= 0 ? image_node(img, (uint32_t)at) : NULL;

	return n && n->mode == GIT_FILEMODE_TREE ? at : TWIN_NONE;
}

bool tree_twin_is(const struct image *img, int64_t twin, const git_oid *tree)
{
	const struct image_node *n = twin >= 0 ? image_node(img, (uint32_t)twin) : NULL;

	return n && memcmp(n->oid, tree->id, sizeof(tree->id)) == 0;
}

/* An entry of any kind; false where there is none. */
static bool level_entry(const struct tree_reader *r, const struct tree_level *l, const char *name,
			size_t len, struct tree_entry *ret)
{
	const struct image_node *n = NULL;
	const git_tree_entry *e;
	int64_t at;

	if (l->tree) {
		_cleanup_free_ char *copy = strndup(name, len);

		e = copy ? git_tree_entry_byname(l->tree, copy) : NULL;
		if (e)
			*ret = (struct tree_entry){git_tree_entry_filemode(e),
						   *git_tree_entry_id(e)};
		return e != NULL;
	}
	at = l->twin >= 0 ? image_lookup(r->img, (uint32_t)l->twin, name, len) : -1;
	if (at >= 0)
		n = image_node(r->img, (uint32_t)at);
	if (n) {
		ret->mode = n->mode;
		memcpy(ret->oid.id, n->oid, sizeof(ret->oid.id));
	}
	return n != NULL;
}

static int level_open(struct tree_reader *r, const git_oid *tree, int64_t twin,
		      struct tree_level *ret)
{
	*ret = (struct tree_level){.twin = twin};
	return tree_twin_is(r->img, twin, tree) ? 0 : lookup_tree(r->git, tree, &ret->tree);
}

int tree_reader_init(struct tree_reader *r, git_repository *git, const struct image *img,
		     const git_oid *tree)
{
	*r = (struct tree_reader){.git = git, .img = img, .root = *tree};
	return level_open(r, tree, img ? 0 : TWIN_NONE, &r->levels[0]);
}

void tree_reader_release(struct tree_reader *r)
{
	for (size_t i = 0; i < TREE_READER_DEPTH; i++)
		git_tree_free(r->levels[i].tree);
	buf_release(&r->path);
}

/* Closes the folders that `path` is not in; returns where in it the rest begins. */
static size_t keep_shared(struct tree_reader *r, const char *path)
{
	size_t depth = 0, at = 0;

	for (size_t i = 0; i < r->path.len && depth < r->depth && path[i] == r->path.data[i]; i++)
		if (path[i] == '/') {
			depth++;
			at = i + 1;
		}
	while (r->depth > depth) {
		git_tree_free(r->levels[r->depth].tree);
		r->levels[r->depth--].tree = NULL;
	}
	buf_clear(&r->path);
	return at;
}

int tree_reader_get(struct tree_reader *r, const char *path, struct tree_entry *ret)
{
	size_t at = keep_shared(r, path), n;
	struct tree_entry e;
	int q = buf_add(&r->path, path, at);

	*ret = (struct tree_entry){0};
	while (q == 0 && path[at + (n = strcspn(path + at, "/"))]) {
		const struct tree_level *l = &r->levels[r->depth];

		if (!level_entry(r, l, path + at, n, &e) || e.mode != GIT_FILEMODE_TREE)
			return 0;
		if (r->depth + 1 == TREE_READER_DEPTH) /* rare: the long way */
			return tree_get(r->git, &r->root, path, ret);
		q = level_open(r, &e.oid, tree_twin(r->img, l->twin, path + at, n),
			       &r->levels[r->depth + 1]);
		if (q == 0)
			q = buf_add(&r->path, path + at, n + 1);
		if (q == 0)
			r->depth++;
		at += n + 1;
	}
	if (q == 0 && level_entry(r, &r->levels[r->depth], path + at, strlen(path + at), &e) &&
	    e.mode != GIT_FILEMODE_TREE)
		*ret = e;
	return q;
}

static int path_char(unsigned char c)
{
	return c == 0 ? -1 : c == '/' ? 0 : c;
}

int tree_path_order(const void *a, const void *b)
{
	const unsigned char *p = *(const unsigned char *const *)a;
	const unsigned char *q = *(const unsigned char *const *)b;

	while (*p && *p == *q) {
		p++;
		q++;
	}
	return path_char(*p) - path_char(*q);
}
