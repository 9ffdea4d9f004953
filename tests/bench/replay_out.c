/* SPDX-License-Identifier: Apache-2.0 */
#include "replay_out.h"

#include <string.h>

#include "worker_run.h"

enum { TEXT_MAX = 2000, PATHS_MAX = 20 };

static json_t *text(struct text t)
{
	return worker_text(t.n ? t.p : "", t.n < TEXT_MAX ? t.n : TEXT_MAX);
}

const char *out_verdict(int verdict)
{
	static const char *const names[] = {"different", "contained", "order", "equal"};

	return verdict >= 0 && verdict <= REPLAY_EQUAL ? names[verdict] : "error";
}

/* Tells texts apart without printing them (FNV-1a). */
static json_int_t mark_of(struct text t)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < t.n; i++)
		h = (h ^ (unsigned char)t.p[i]) * 0x100000001b3;
	return (json_int_t)(h >> 1);
}

static json_t *out_answer(const struct replay_conflict *c, const struct answer *a)
{
	struct text t = {a->text, a->len};
	int verdict = c->file ? replay_right(&c->r->d, &c->c->chunk, t, c->kept) : REPLAY_DIFFERENT;

	return json_pack("{s:s,s:s,s:b,s:I,s:i,s:i}", "by", a->by->name, "verdict",
			 out_verdict(verdict), "acts", a->acts, "mark", mark_of(t), "fired",
			 (int)a->evidence.fired, "right", (int)a->evidence.right);
}

json_t *out_conflict(const struct replay_conflict *c, bool texts)
{
	json_t *answers = json_array(), *o;

	for (size_t i = 0; i < c->c->n; i++)
		(void)json_array_append_new(answers, out_answer(c, &c->c->answers[i]));
	o = json_pack("{s:o,s:i,s:s,s:s}", "answers", answers, "taken",
		      c->c->taken ? (int)(c->c->taken - c->c->answers) : -1, "kept",
		      c->file ? replay_reason(&c->r->d, &c->c->chunk, c->kept)
			      : "the person removed the file",
		      "did",
		      c->file ? replay_kept_name(replay_kept(&c->r->d, &c->c->chunk, c->kept))
			      : "removed");
	if (!texts)
		return o;
	(void)json_object_set_new(o, "base", text(diff3_text(&c->r->d, &c->c->chunk, BASE)));
	(void)json_object_set_new(o, "ours", text(diff3_text(&c->r->d, &c->c->chunk, OURS)));
	(void)json_object_set_new(o, "theirs", text(diff3_text(&c->r->d, &c->c->chunk, THEIRS)));
	(void)json_object_set_new(o, "person", text(c->kept));
	if (c->c->taken)
		(void)json_object_set_new(o, "said",
					  text((struct text){c->c->taken->text, c->c->taken->len}));
	return o;
}

json_t *out_conflicts(const struct merge_conflicts *c)
{
	json_t *all = json_array();

	for (size_t i = 0; i < c->n; i++)
		(void)json_array_append_new(
			all, json_pack("[o,s]", worker_text(c->v[i].path, strlen(c->v[i].path)),
				       c->v[i].kind));
	return all;
}

/* What stands at the path in the merge and in its two parents. */
static const char *kept_at(git_repository *git, const git_oid tree[SIDES], const char *path)
{
	static const char *const names[SIDES] = {"new", "ours", "theirs"};
	struct tree_entry e[SIDES] = {0};

	for (int s = BASE; s < SIDES; s++)
		if (tree_get(git, &tree[s], path, &e[s]) < 0)
			return "error";
	if (!e[BASE].mode)
		return "removed";
	for (int s = OURS; s < SIDES; s++)
		if (e[s].mode == e[BASE].mode && git_oid_equal(&e[s].oid, &e[BASE].oid))
			return names[s];
	return names[BASE];
}

json_t *out_conflicts_kept(git_repository *git, git_commit *merge, const struct merge_conflicts *c)
{
	git_oid tree[SIDES] = {*git_commit_tree_id(merge)};
	json_t *all = out_conflicts(c), *one;
	size_t i;
	int r = 0;

	for (int s = OURS; s < SIDES && r == 0; s++) {
		git_commit *parent = NULL;

		r = git_commit_parent(&parent, merge, (unsigned int)(s - OURS));
		if (r == 0)
			tree[s] = *git_commit_tree_id(parent);
		git_commit_free(parent);
	}
	json_array_foreach (all, i, one)
		(void)json_array_append_new(
			one, json_string(r < 0 ? "error" : kept_at(git, tree, c->v[i].path)));
	return all;
}

static int add_path(const struct tree_delta *d, void *user)
{
	json_t *all = user;

	(void)json_array_append_new(all, worker_text(d->path, strlen(d->path)));
	return json_array_size(all) >= PATHS_MAX;
}

json_t *out_paths(git_repository *git, const git_oid *x, const git_oid *y)
{
	json_t *all = json_array();

	if (tree_diff(git, x, y, add_path, all) < 0)
		(void)json_array_append_new(all, json_string("?"));
	return all;
}
