/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tree comparison and editing. Both recurse only into folders that differ or are edited, so their
 * cost is that of the change, not of the tree. Depth is bounded, as trees may be hostile.
 */
#include "treewalk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
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

/* Edits [0, n) share the first `skip` bytes of their paths, the folder whose tree is `tree`.
 * *ret_empty: nothing is left in it. */
static int apply_level(git_repository *git, const git_oid *tree, const struct tree_edit *edits,
		       size_t n, size_t skip, unsigned depth, git_oid *ret, bool *ret_empty);

static int apply_folder(git_repository *git, git_treebuilder *tb, const char *name,
			const struct tree_edit *edits, size_t n, size_t skip, unsigned depth)
{
	const git_tree_entry *e = git_treebuilder_get(tb, name);
	git_oid old, oid;
	bool empty = false, had = is_tree(e);
	int r;

	if (had)
		old = *git_tree_entry_id(e);
	r = apply_level(git, had ? &old : NULL, edits, n, skip, depth + 1, &oid, &empty);
	if (r < 0)
		return r;
	if (!empty)
		r = git_treebuilder_insert(NULL, tb, name, &oid, GIT_FILEMODE_TREE);
	else if (had)
		r = git_treebuilder_remove(tb, name);
	return r < 0 ? git_errno(r, NULL, "building a tree") : 0;
}

static int apply_leaf(git_treebuilder *tb, const char *name, const struct tree_edit *edit)
{
	int r = 0;

	if (edit->to.mode)
		r = git_treebuilder_insert(NULL, tb, name, &edit->to.oid, edit->to.mode);
	else if (git_treebuilder_get(tb, name) && !is_tree(git_treebuilder_get(tb, name)))
		r = git_treebuilder_remove(tb, name);
	return r < 0 ? git_errno(r, NULL, "building a tree") : 0;
}

/* One name of this level: its own edit (a file), and the edits below it (a folder). Deletions
 * come first, so that what takes the name's place is not removed again. */
static int apply_name(git_repository *git, git_treebuilder *tb, const struct tree_edit *edits,
		      size_t n, size_t skip, size_t len, unsigned depth)
{
	char *name = strndup(edits[0].path + skip, len);
	const struct tree_edit *leaf = edits[0].path[skip + len] == 0 ? &edits[0] : NULL;
	size_t below = leaf ? 1 : 0;
	int r = name ? 0 : -ENOMEM;

	if (r == 0 && leaf && !leaf->to.mode)
		r = apply_leaf(tb, name, leaf);
	if (r == 0 && n > below)
		r = apply_folder(git, tb, name, edits + below, n - below, skip + len + 1, depth);
	if (r == 0 && leaf && leaf->to.mode)
		r = apply_leaf(tb, name, leaf);
	free(name);
	return r;
}

static int apply_level(git_repository *git, const git_oid *tree, const struct tree_edit *edits,
		       size_t n, size_t skip, unsigned depth, git_oid *ret, bool *ret_empty)
{
	git_treebuilder *tb = NULL;
	git_tree *source = NULL;
	int r = depth > DEPTH_MAX ? -ELOOP : lookup_tree(git, tree, &source);

	if (r == 0) {
		r = git_treebuilder_new(&tb, git, source);
		r = r < 0 ? git_errno(r, NULL, "building a tree") : 0;
	}
	for (size_t i = 0; r == 0 && i < n;) {
		const char *at = edits[i].path + skip;
		size_t len = strcspn(at, "/"), k = i + 1;

		while (k < n && strncmp(edits[k].path + skip, at, len) == 0 &&
		       edits[k].path[skip + len] == '/')
			k++;
		r = apply_name(git, tb, edits + i, k - i, skip, len, depth);
		i = k;
	}
	if (r == 0) {
		*ret_empty = git_treebuilder_entrycount(tb) == 0;
		r = git_treebuilder_write(ret, tb);
		r = r < 0 ? git_errno(r, NULL, "writing a tree") : 0;
	}
	git_treebuilder_free(tb);
	git_tree_free(source);
	return r;
}

int tree_apply(git_repository *git, const git_oid *tree, const struct tree_edit *edits, size_t n,
	       git_oid *ret)
{
	bool empty;

	return apply_level(git, tree, edits, n, 0, 0, ret, &empty);
}
