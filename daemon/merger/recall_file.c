/* SPDX-License-Identifier: Apache-2.0 */
/* Guarantee: a hunk is told only where the same conflict (hunk_key.h) is found again in the merge that was made. */
#include "recall_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "odb.h"
#include "replay.h"
#include "resolve.h"
#include "treewalk.h"
#include "worker_run.h"

enum { FILE_MAX = 4 << 20, KEPT_MAX = 8192, BINARY_LOOK = 8000 };

/* A path in the four trees of a merge. */
struct versions {
	git_blob *blob[SIDES + 1];
	struct text text[SIDES + 1];
	struct diff3 d;
	struct replay made; /* what was made of it, beside ours */
};

static int commit_tree(git_repository *git, const git_oid *id, git_oid *ret)
{
	git_commit *c = NULL;
	int r = git_commit_lookup(&c, git, id);

	if (r == 0)
		*ret = *git_commit_tree_id(c);
	git_commit_free(c);
	return r < 0 ? git_errno(r, NULL, "reading a commit") : 0;
}

int recall_sides(git_repository *git, const git_oid *ours, const git_oid *theirs,
		 const git_oid *kept, struct recall_sides *ret)
{
	git_oidarray bases = {0};
	int r = git_merge_bases(&bases, git, ours, theirs);

	if (r < 0)
		return git_errno(r, NULL, "looking for a merge base");
	if (bases.count == 1)
		ret->id[BASE] = bases.ids[0];
	else
		r = -EOPNOTSUPP;
	git_oidarray_dispose(&bases);
	ret->id[OURS] = *ours;
	ret->id[THEIRS] = *theirs;
	ret->id[KEPT] = *kept;
	for (int s = BASE; s <= KEPT && r == 0; s++)
		r = commit_tree(git, &ret->id[s], &ret->tree[s]);
	return r;
}

/* Returns 1, 0 where the path is no text there. */
static int load(git_repository *git, const git_oid *tree, const char *path, git_blob **blob,
		struct text *ret)
{
	struct tree_entry e;
	int r = tree_get(git, tree, path, &e);

	if (r < 0 || !e.mode || (e.mode & S_IFMT) != S_IFREG)
		return r;
	if (git_blob_lookup(blob, git, &e.oid) < 0)
		return -EIO;
	ret->n = (size_t)git_blob_rawsize(*blob);
	ret->p = ret->n ? git_blob_rawcontent(*blob) : "";
	return ret->n <= FILE_MAX &&
	       !(ret->n && memchr(ret->p, 0, ret->n < BINARY_LOOK ? ret->n : BINARY_LOOK));
}

static void versions_release(struct versions *v)
{
	replay_release(&v->made);
	diff3_release(&v->d);
	for (int s = BASE; s <= KEPT; s++)
		git_blob_free(v->blob[s]);
}

/* Returns 1, 0 where the path is not in all of them. */
static int versions_open(git_repository *git, const struct recall_sides *m, const char *path,
			 struct versions *v)
{
	int r = 1;

	*v = (struct versions){0};
	for (int s = BASE; s <= KEPT && r > 0; s++)
		r = load(git, &m->tree[s], path, &v->blob[s], &v->text[s]);
	if (r > 0 && diff3(v->text[BASE], v->text[OURS], v->text[THEIRS], &v->d) < 0)
		r = -ENOMEM;
	if (r > 0 && replay_open(&v->d, v->text[KEPT], &v->made) < 0)
		r = -ENOMEM;
	return r;
}

/* The hunk of `hunks` that this chunk is; NULL: none. */
static json_t *hunk_of(const struct versions *v, const struct chunk *c, json_t *hunks)
{
	char key[HUNK_KEY_SIZE];
	json_t *hunk;
	size_t i;

	if (c->kind != CHUNK_CONFLICT ||
	    hunk_key(diff3_text(&v->d, c, BASE), diff3_text(&v->d, c, OURS),
		     diff3_text(&v->d, c, THEIRS), key) < 0)
		return NULL;
	json_array_foreach (hunks, i, hunk) {
		const char *k = json_string_value(json_object_get(hunk, "key"));

		if (k && strcmp(k, key) == 0)
			return hunk;
	}
	return NULL;
}

static json_t *text_json(struct text t)
{
	return worker_text(t.n ? t.p : "", t.n);
}

/* What resolvers say of a conflict, against what the person kept. */
static json_t *judge_said(const char *path, const struct versions *v, const struct chunk *c,
			  const struct memory *memory, struct text kept)
{
	const struct resolve_options o = {.cost_of_wrong = COST_OF_WRONG, .memory = memory};
	json_t *said = json_array();
	struct resolve r;

	if (resolve_file(path, v->text[BASE], v->text[OURS], v->text[THEIRS], &o, &r) < 0)
		return said;
	for (size_t i = 0; i < r.n; i++) {
		if (r.v[i].chunk.from[OURS] != c->from[OURS])
			continue;
		for (size_t k = 0; k < r.v[i].n; k++) {
			const struct answer *a = &r.v[i].answers[k];
			int right = replay_right(&v->d, c, (struct text){a->text, a->len}, kept);

			if (right >= 0)
				(void)json_array_append_new(
					said, json_pack("{s:s,s:s}", "resolver", a->by->name,
							"verdict", right ? "right" : "wrong"));
		}
	}
	resolve_release(&r);
	return said;
}

static void tell_kept(const char *path, const struct versions *v, const struct chunk *c,
		      const struct memory *memory, json_t *hunk, json_t *told)
{
	struct text t[SIDES], kept = replay_region(&v->made, c);
	const char *class;

	for (int s = BASE; s < SIDES; s++)
		t[s] = diff3_text(&v->d, c, (enum side)s);
	class = hunk_class(t[BASE], t[OURS], t[THEIRS], kept);
	if (kept.n >= KEPT_MAX || !class)
		return;
	(void)json_array_append_new(
		told, json_pack("{s:O,s:s,s:o,s:o,s:o,s:o,s:s,s:o}", "hunk",
				json_object_get(hunk, "hunk"), "path", path, "base",
				text_json(t[BASE]), "ours", text_json(t[OURS]), "theirs",
				text_json(t[THEIRS]), "kept", text_json(kept), "class", class,
				"said", judge_said(path, v, c, memory, kept)));
}

int recall_kept(git_repository *git, const struct recall_sides *m, const struct memory *memory,
		const char *path, json_t *hunks, json_t *told)
{
	struct versions v;
	int r = versions_open(git, m, path, &v);

	for (size_t i = 0; r > 0 && i < v.d.n; i++) {
		json_t *hunk = hunk_of(&v, &v.d.v[i], hunks);

		if (hunk)
			tell_kept(path, &v, &v.d.v[i], memory, hunk, told);
	}
	versions_release(&v);
	return r < 0 ? r : 0;
}

/* Was anything of lines [from, to) changed? Of none: anything put there. */
static bool touched(const struct edits *e, size_t from, size_t to)
{
	for (size_t i = 0; i < e->n; i++) {
		const struct edit *x = &e->v[i];

		if (from == to ? x->b0 <= from && x->b1 >= from
			       : x->b0 < to && (x->b1 > from || (x->b0 == x->b1 && x->b0 > from)))
			return true;
	}
	return false;
}

/* The lines of the merged file in which a text that is part of it stands. */
static void lines_of(const struct replay *made, struct text region, size_t *from, size_t *to)
{
	*from = 0;
	while (*from < made->lines.n && made->lines.v[*from].p < region.p)
		(*from)++;
	*to = *from;
	while (*to < made->lines.n && made->lines.v[*to].p < region.p + region.n)
		(*to)++;
}

/* One hunk that is watched: where it stands in the merged file. */
struct watched {
	json_t *hunk;
	size_t from, to;
	bool settled;
};

static size_t find_watched(const struct versions *v, json_t *hunks, struct watched *w)
{
	size_t n = 0;

	for (size_t i = 0; i < v->d.n; i++) {
		json_t *hunk = hunk_of(v, &v->d.v[i], hunks);

		if (!hunk)
			continue;
		lines_of(&v->made, replay_region(&v->made, &v->d.v[i]), &w[n].from, &w[n].to);
		w[n++].hunk = hunk;
	}
	return n;
}

static void tell_verdict(struct watched *w, const char *verdict, json_t *told)
{
	w->settled = true;
	if (verdict)
		(void)json_array_append_new(told, json_pack("{s:O,s:s}", "hunk",
							    json_object_get(w->hunk, "hunk"),
							    "verdict", verdict));
}

/* Does the commit bring in, as a merge, what had no knowledge of `made`? */
static bool is_concurrent(git_repository *git, const git_oid *id, const git_oid *made)
{
	git_commit *c = NULL;
	bool concurrent = false;

	if (git_commit_lookup(&c, git, id) == 0)
		for (unsigned i = 1; i < git_commit_parentcount(c); i++)
			concurrent |=
				git_graph_descendant_of(git, git_commit_parent_id(c, i), made) != 1;
	git_commit_free(c);
	return concurrent;
}

/* The file in one of the commits behind the merge. Returns 1, 0 where it is no text there, -errno. */
static int look_at(git_repository *git, const git_oid *made, const git_oid *id, const char *path,
		   const struct versions *v, struct watched *w, size_t n, json_t *told)
{
	struct edits changed = {0};
	git_blob *blob = NULL;
	struct text now = {0};
	git_oid tree;
	int r = commit_tree(git, id, &tree);

	if (r == 0)
		r = load(git, &tree, path, &blob, &now);
	if (r > 0 && lines_diff(v->text[KEPT], now, &changed) < 0)
		r = -ENOMEM;
	for (size_t i = 0; i < n && r > 0; i++)
		if (!w[i].settled && touched(&changed, w[i].from, w[i].to))
			tell_verdict(&w[i], is_concurrent(git, id, made) ? NULL : "wrong", told);
	free(changed.v);
	git_blob_free(blob);
	return r;
}

int recall_stands(git_repository *git, const struct recall_sides *m, const struct recall_later *l,
		  const char *path, json_t *hunks, json_t *told)
{
	struct watched *w = NULL;
	struct versions v;
	size_t n = 0;
	int r = versions_open(git, m, path, &v);

	if (r > 0) {
		w = calloc(v.d.n + 1, sizeof(*w));
		if (w)
			n = find_watched(&v, hunks, w);
		else
			r = -ENOMEM;
	}
	for (size_t i = 0; i < l->n && n && r > 0; i++)
		r = look_at(git, &m->id[KEPT], &l->commit[i], path, &v, w, n, told);
	for (size_t i = 0; i < n && r > 0 && l->final; i++)
		if (!w[i].settled)
			tell_verdict(&w[i], "right", told);
	free(w);
	versions_release(&v);
	return r < 0 ? r : 0;
}
