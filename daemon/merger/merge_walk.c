/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three-way merge of trees, for one merge base.
 *
 * Guarantees: (1) per name, the side that changed is taken; a folder is read only where at least
 * two of the three differ, and written only where the result differs from ours; (2) a rename cannot
 * go unnoticed where it matters. A rename on one side matters only if the other side touched the
 * old path (it was modified or deleted there: both differ from the base), put something at the new
 * one (add/add), or put something into a folder that is gone (the folder differs on both sides).
 * In each case the two sides differ from the base at one name and from each other, or both have
 * deleted a path beside which either side has additions: these are the triggers. All else is
 * merged per path exactly as with rename detection.
 */
#include "merge_walk.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "odb.h"

enum { DEPTH_MAX = 1024, BASE = 0, OURS = 1, THEIRS = 2 };

struct walk {
	git_repository *git;
	struct merge_walk *out;
	struct buf path;
	char *deleted; /* a path that both sides have deleted */
	unsigned depth;
};

/* One folder in the three trees; any may be NULL (not there). */
struct level {
	git_tree *tree[3];
	size_t at[3], n[3];
	git_treebuilder *result; /* NULL until something differs from ours */
};

int merge_conflict_add(struct merge_conflicts *c, const char *path, const char *kind,
		       const char *fmt, ...)
{
	struct merge_conflict one = {.kind = kind};
	va_list ap;

	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->v[i].path, path) == 0 && strcmp(c->v[i].kind, kind) == 0)
			return 0;
	if (c->n == c->cap) {
		size_t cap = c->cap ? 2 * c->cap : 8;
		struct merge_conflict *v = realloc(c->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		c->v = v;
		c->cap = cap;
	}
	va_start(ap, fmt);
	if (vasprintf(&one.reason, fmt, ap) < 0)
		one.reason = NULL;
	va_end(ap);
	one.path = strdup(path);
	if (!one.path || !one.reason) {
		free(one.path);
		free(one.reason);
		return -ENOMEM;
	}
	c->v[c->n++] = one;
	return 0;
}

void merge_conflicts_generated(struct merge_conflicts *c, const char *path)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->v[i].path, path) == 0)
			c->v[i].generated = true;
}

void merge_conflicts_release(struct merge_conflicts *c)
{
	for (size_t i = 0; i < c->n; i++) {
		free(c->v[i].path);
		free(c->v[i].reason);
	}
	free(c->v);
	*c = (struct merge_conflicts){0};
}

void merge_walk_release(struct merge_walk *w)
{
	for (size_t i = 0; i < w->nboth; i++)
		free(w->both[i].path);
	free(w->both);
	merge_conflicts_release(&w->triggers);
	*w = (struct merge_walk){0};
}

static git_filemode_t mode_of(const git_tree_entry *e)
{
	return e ? git_tree_entry_filemode(e) : GIT_FILEMODE_UNREADABLE;
}

static bool is_tree(const git_tree_entry *e)
{
	return mode_of(e) == GIT_FILEMODE_TREE;
}

static bool is_file(const git_tree_entry *e)
{
	return mode_of(e) == GIT_FILEMODE_BLOB || mode_of(e) == GIT_FILEMODE_BLOB_EXECUTABLE;
}

static bool same(const git_tree_entry *a, const git_tree_entry *b)
{
	if (!a || !b)
		return a == b;
	return mode_of(a) == mode_of(b) &&
	       git_oid_equal(git_tree_entry_id(a), git_tree_entry_id(b));
}

static int both_add(struct walk *w, const git_tree_entry *const e[3])
{
	struct merge_walk *out = w->out;
	struct merge_both one = {.path = strdup(w->path.data)};
	struct tree_entry *to[3] = {&one.base, &one.ours, &one.theirs};

	if (!one.path)
		return -ENOMEM;
	for (int i = BASE; i <= THEIRS; i++) {
		to[i]->mode = mode_of(e[i]);
		to[i]->oid = *git_tree_entry_id(e[i]);
	}
	if (out->nboth == out->capboth) {
		size_t cap = out->capboth ? 2 * out->capboth : 8;
		struct merge_both *v = realloc(out->both, cap * sizeof(*v));

		if (!v) {
			free(one.path);
			return -ENOMEM;
		}
		out->both = v;
		out->capboth = cap;
	}
	out->both[out->nboth++] = one;
	return 0;
}

static int note_deleted(struct walk *w, const char *path)
{
	if (!w->deleted)
		w->deleted = strdup(path);
	return w->deleted ? 0 : -ENOMEM;
}

struct below {
	struct walk *w;
	size_t folder;
};

static int deleted_below(const struct tree_delta *d, void *user)
{
	struct below *b = user;
	struct walk *w = b->w;
	int r;

	if (d->to.mode)
		return 0;
	if (buf_addc(&w->path, '/') < 0 || buf_adds(&w->path, d->path) < 0)
		return -ENOMEM;
	r = note_deleted(w, w->path.data);
	w->path.len = b->folder;
	w->path.data[b->folder] = 0;
	return r < 0 ? r : 1;
}

/* Both sides agree, and not with the base: has that deleted something? */
static int agree(struct walk *w, const git_tree_entry *b, const git_tree_entry *o)
{
	struct below below = {w, w->path.len};
	int r;

	if (!b || same(b, o) || w->deleted)
		return 0;
	if (!is_tree(b))
		return !o || is_tree(o) ? note_deleted(w, w->path.data) : 0;
	r = tree_diff(w->git, git_tree_entry_id(b), is_tree(o) ? git_tree_entry_id(o) : NULL,
		      deleted_below, &below);
	return r < 0 ? r : 0;
}

static int trigger(struct walk *w, const git_tree_entry *b, const git_tree_entry *o,
		   const git_tree_entry *t)
{
	struct merge_conflicts *to = &w->out->triggers;
	const char *path = w->path.data;

	if (mode_of(o) == GIT_FILEMODE_COMMIT || mode_of(t) == GIT_FILEMODE_COMMIT)
		return merge_conflict_add(to, path, "submodule",
					  "the submodule '%s' was changed on both sides", path);
	if (!o)
		return merge_conflict_add(
			to, path, "delete/modify",
			"'%s' was deleted in the target and changed in the source", path);
	if (!t)
		return merge_conflict_add(
			to, path, "modify/delete",
			"'%s' was changed in the target and deleted in the source", path);
	if (is_tree(o) || is_tree(t))
		return merge_conflict_add(to, path, "file/folder",
					  "'%s' is a folder on one side and a file on the other",
					  path);
	if (!b)
		return merge_conflict_add(to, path, "add/add",
					  "'%s' was added on both sides with different content",
					  path);
	if (mode_of(o) == GIT_FILEMODE_LINK && mode_of(t) == GIT_FILEMODE_LINK)
		return merge_conflict_add(
			to, path, "symlink",
			"the symbolic link '%s' was pointed elsewhere on both sides", path);
	return merge_conflict_add(
		to, path, "type",
		"'%s' became something else than a file on one side and was changed on the other",
		path);
}

static int merge_level(struct walk *w, const git_oid *const id[3], git_oid *ret, bool *ret_empty);

static int put(struct walk *w, struct level *l, const char *name, const git_oid *oid,
	       git_filemode_t mode)
{
	int r = 0;

	if (!l->result)
		r = git_treebuilder_new(&l->result, w->git, l->tree[OURS]);
	if (r == 0 && oid)
		r = git_treebuilder_insert(NULL, l->result, name, oid, mode);
	else if (r == 0 && git_treebuilder_get(l->result, name))
		r = git_treebuilder_remove(l->result, name);
	return r < 0 ? git_errno(r, NULL, "building a tree") : 0;
}

static int merge_folder(struct walk *w, struct level *l, const char *name,
			const git_tree_entry *const e[3])
{
	const git_oid *id[3] = {is_tree(e[BASE]) ? git_tree_entry_id(e[BASE]) : NULL,
				git_tree_entry_id(e[OURS]), git_tree_entry_id(e[THEIRS])};
	bool empty = false;
	git_oid oid;
	int r = 0;

	if (e[BASE] && !is_tree(e[BASE]))
		r = note_deleted(w, w->path.data);
	if (r == 0)
		r = merge_level(w, id, &oid, &empty);
	if (r < 0 || (!empty && git_oid_equal(&oid, id[OURS])))
		return r;
	return put(w, l, name, empty ? NULL : &oid, GIT_FILEMODE_TREE);
}

static int merge_name(struct walk *w, struct level *l, const char *name,
		      const git_tree_entry *const e[3])
{
	const git_tree_entry *b = e[BASE], *o = e[OURS], *t = e[THEIRS];

	if (same(o, t))
		return agree(w, b, o);
	if (same(t, b))
		return 0;
	if (same(o, b))
		return put(w, l, name, t ? git_tree_entry_id(t) : NULL, mode_of(t));
	if (is_tree(o) && is_tree(t))
		return merge_folder(w, l, name, e);
	if (is_file(b) && is_file(o) && is_file(t))
		return both_add(w, e);
	return trigger(w, b, o, t);
}

/* The next name in git's order, with what each tree has under it. A file and a folder of one name
 * stand apart in that order: the file, which comes first, stands for both. */
static bool next_name(struct level *l, const git_tree_entry *e[3])
{
	const git_tree_entry *first = NULL;
	bool seen = false;

	for (int i = BASE; i <= THEIRS; i++) {
		e[i] = l->at[i] < l->n[i] ? git_tree_entry_byindex(l->tree[i], l->at[i]) : NULL;
		if (e[i] && (!first || git_tree_entry_cmp(e[i], first) < 0))
			first = e[i];
	}
	if (!first)
		return false;
	for (int i = BASE; i <= THEIRS; i++) {
		if (e[i] && git_tree_entry_cmp(e[i], first) == 0) {
			l->at[i]++;
			continue;
		}
		e[i] = l->tree[i] ? git_tree_entry_byname(l->tree[i], git_tree_entry_name(first))
				  : NULL;
		seen |= e[i] && is_tree(first) && !is_tree(e[i]);
	}
	if (seen)
		e[BASE] = e[OURS] = e[THEIRS] = NULL;
	return true;
}

static int merge_entries(struct walk *w, struct level *l)
{
	const git_tree_entry *e[3];
	int r = 0;

	while (r == 0 && next_name(l, e)) {
		const git_tree_entry *any = e[BASE] ? e[BASE] : e[OURS] ? e[OURS] : e[THEIRS];
		size_t old = w->path.len;

		if (!any || (same(e[OURS], e[THEIRS]) && same(e[OURS], e[BASE])))
			continue;
		if ((old && buf_addc(&w->path, '/') < 0) ||
		    buf_adds(&w->path, git_tree_entry_name(any)) < 0)
			return -ENOMEM;
		r = merge_name(w, l, git_tree_entry_name(any), e);
		w->path.len = old;
		w->path.data[old] = 0;
	}
	return r;
}

static int write_level(struct level *l, const git_oid *ours, git_oid *ret, bool *ret_empty)
{
	int r;

	*ret_empty = false;
	if (!l->result && ours) {
		git_oid_cpy(ret, ours);
		return 0;
	}
	*ret_empty = !l->result || git_treebuilder_entrycount(l->result) == 0;
	if (!l->result)
		return 0;
	r = git_treebuilder_write(ret, l->result);
	return r < 0 ? git_errno(r, NULL, "writing a tree") : 0;
}

static int merge_level(struct walk *w, const git_oid *const id[3], git_oid *ret, bool *ret_empty)
{
	struct level l = {0};
	int r = ++w->depth > DEPTH_MAX ? -ELOOP : 0;

	for (int i = BASE; r == 0 && i <= THEIRS; i++) {
		if (!id[i])
			continue;
		r = git_tree_lookup(&l.tree[i], w->git, id[i]);
		r = r < 0 ? git_errno(r, NULL, "reading a tree") : 0;
		l.n[i] = r == 0 ? git_tree_entrycount(l.tree[i]) : 0;
	}
	if (r == 0)
		r = merge_entries(w, &l);
	if (r == 0)
		r = write_level(&l, id[OURS], ret, ret_empty);
	git_treebuilder_free(l.result);
	for (int i = BASE; i <= THEIRS; i++)
		git_tree_free(l.tree[i]);
	w->depth--;
	return r;
}

static int is_addition(const struct tree_delta *d, void *user)
{
	return d->from.mode ? 0 : 1;
}

/* A path that both have deleted may have been renamed differently, if there is anything new. */
static int check_deleted(struct walk *w, const git_oid *base, const git_oid *ours,
			 const git_oid *theirs)
{
	int r;

	if (!w->deleted)
		return 0;
	r = tree_diff(w->git, base, ours, is_addition, NULL);
	if (r == 0)
		r = tree_diff(w->git, base, theirs, is_addition, NULL);
	if (r <= 0)
		return r;
	return merge_conflict_add(
		&w->out->triggers, w->deleted, "rename/rename",
		"'%s' is gone on both sides beside new files: it may have been renamed differently",
		w->deleted);
}

int merge_walk(git_repository *git, const git_oid *base, const git_oid *ours, const git_oid *theirs,
	       struct merge_walk *ret, struct err *reterr)
{
	const git_oid *id[3] = {base, ours, theirs};
	struct merge_walk out = {0};
	struct walk w = {.git = git, .out = &out};
	bool empty = false;
	int r = buf_reserve(&w.path, 256);

	if (r == 0) {
		w.path.data[0] = 0;
		r = merge_level(&w, id, &out.tree, &empty);
	}
	if (r == 0)
		r = check_deleted(&w, base, ours, theirs);
	buf_release(&w.path);
	free(w.deleted);
	if (r < 0) {
		merge_walk_release(&out);
		return err_set(reterr, r, "comparing the trees: %s", strerror(-r));
	}
	*ret = out;
	return 0;
}
