/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Op learn: the repository's historic merges made again, to see what each resolver would have said and
 * whether the person said the same. Nothing is written. What counts as right is replay.h's.
 */
#include <string.h>

#include "cleanup.h"
#include "learn_kept.h"
#include "odb.h"
#include "parser.h"
#include "replay_merge.h"
#include "worker_ops.h"
#include "worker_run.h"

enum { MERGES_DEFAULT = 500, MERGES_MAX = 100000, EXAMPLES_MAX = 50 };

struct learn {
	git_repository *git;
	git_odb_backend *memory; /* owned by git */
	struct records seen;
	git_oid merge; /* being replayed */
	bool has_conflict;
	uint64_t merges, conflicted, conflicts, answered; /* merges; with conflicts; hunks */
	struct learn_kept *kept;
	uint64_t failed;  /* merges that could not be made again */
	json_t *examples; /* answers that differ from the person's */
	uint64_t wanted;
	struct parser *parser; /* or NULL */
	struct err *reterr;
};

static int note_example(struct learn *l, const struct replay_conflict *c, const struct answer *a)
{
	char hex[GIT_OID_HEXSZ + 1];

	if (json_array_size(l->examples) >= EXAMPLES_MAX)
		return 0;
	return json_array_append_new(
		l->examples, json_pack("{s:s,s:o,s:s,s:o,s:o,s:s}", "commit",
				       git_oid_tostr(hex, sizeof(hex), &l->merge), "path",
				       worker_text(c->path, strlen(c->path)), "resolver",
				       a->by->name, "said", worker_text(a->text, a->len), "kept",
				       worker_text(c->kept.n ? c->kept.p : "", c->kept.n), "why",
				       replay_reason(&c->r->d, &c->c->chunk, c->kept)));
}

/* What the person kept is remembered, and counts as what `remembered` would have said. */
static int keep_kept(struct learn *l, const struct replay_conflict *c)
{
	struct evidence e = {0};
	int r = c->file ? learn_kept_add(l->kept, &l->merge, c->path, &c->r->d, &c->c->chunk,
					 c->kept, &e)
			: 0;

	return r < 0 || !e.fired ? r
				 : records_add(&l->seen, "remembered", language_of(c->path)->name,
					       path_class_of(c->path), e);
}

static int judge(const struct replay_conflict *c, void *user)
{
	struct learn *l = user;
	int k = 0;

	l->has_conflict = true;
	l->conflicts++;
	l->answered += c->c->n > 0;
	k = keep_kept(l, c);
	for (size_t i = 0; i < c->c->n && k >= 0; i++) {
		const struct answer *a = &c->c->answers[i];

		k = !c->file ? REPLAY_DIFFERENT
			     : replay_right(&c->r->d, &c->c->chunk, (struct text){a->text, a->len},
					    c->kept);
		if (k >= 0 && replay_counts(c->r, c->c, i) &&
		    records_add(&l->seen, a->by->name, language_of(c->path)->name,
				path_class_of(c->path), (struct evidence){1, k > 0}) < 0)
			return -ENOMEM;
		if (k == REPLAY_DIFFERENT)
			k = note_example(l, c, a);
	}
	return k < 0 ? k : 0;
}

static int replay_one(struct learn *l, git_commit *c)
{
	const struct resolve_options o = {.cost_of_wrong = COST_OF_WRONG, .parser = l->parser};
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct merge_out out = {0};
	int r;

	l->merge = *git_commit_id(c);
	l->has_conflict = false;
	r = replay_merge(l->git, c, &o, judge, l, &out, &why);
	merge_out_release(&out);
	(void)git_mempack_reset(l->memory);
	if (r == -ENOMEM)
		return err_set(l->reterr, r, "replaying merge %s: %s", git_oid_tostr_s(&l->merge),
			       err_text(&why));
	/* Without common history, or damaged: nothing to learn from it. */
	l->merges += r == 0;
	l->failed += r < 0;
	l->conflicted += r == 0 && l->has_conflict;
	return 0;
}

static int replay_all(struct learn *l)
{
	git_revwalk *walk = NULL;
	git_oid id;
	int r = git_revwalk_new(&walk, l->git);

	if (r == 0)
		r = git_revwalk_sorting(walk, GIT_SORT_TIME);
	if (r == 0)
		r = git_revwalk_push_head(walk);
	if (r < 0)
		r = git_errno(r, l->reterr, "reading the history of HEAD");
	while (r == 0 && l->merges < l->wanted) {
		git_commit *c = NULL;
		int q = git_revwalk_next(&id, walk);

		if (q == GIT_ITEROVER)
			break;
		if (q == 0)
			q = git_commit_lookup(&c, l->git, &id);
		if (q < 0)
			r = git_errno(q, l->reterr, "reading the history of HEAD");
		else if (git_commit_parentcount(c) == 2)
			r = replay_one(l, c);
		git_commit_free(c);
		if (l->merges % 16 == 0)
			worker_progress("replaying merges", l->merges, l->wanted);
	}
	git_revwalk_free(walk);
	return r;
}

static json_t *records_json(const struct records *r)
{
	json_t *all = json_array();

	for (size_t i = 0; i < r->n; i++)
		(void)json_array_append_new(
			all,
			json_pack("{s:s,s:s,s:s,s:i,s:i}", "resolver", r->v[i].resolver, "language",
				  r->v[i].language, "paths", path_class_name(r->v[i].class),
				  "fired", (int)r->v[i].e.fired, "right", (int)r->v[i].e.right));
	return all;
}

int op_learn(struct worker *w, json_t *ret, struct err *reterr)
{
	int64_t last = worker_int(w, "last", MERGES_DEFAULT);
	struct learn l = {.git = w->repo.git, .reterr = reterr};
	int r;

	(void)json_object_set_new(ret, "repository",
				  worker_text(w->repo.common, strlen(w->repo.common)));
	if (last < 1 || last > MERGES_MAX)
		return err_set_id(reterr, -EINVAL, "Invalid",
				  "the number of merges to learn from is from 1 to %d", MERGES_MAX);
	l.wanted = (uint64_t)last;
	l.examples = json_array();
	l.parser = parser_new(NULL, NULL);
	r = learn_kept_new(&l.kept);
	if (r == 0)
		r = replay_in_memory(l.git, &l.memory, reterr);
	if (r == 0)
		r = replay_all(&l);
	if (l.kept)
		(void)json_object_set(ret, "kept", learn_kept_json(l.kept));
	learn_kept_free(l.kept);
	parser_free(l.parser);
	(void)json_object_set_new(ret, "records", records_json(&l.seen));
	(void)json_object_set_new(ret, "examples", l.examples);
	(void)json_object_set_new(ret, "merges", json_integer((json_int_t)l.merges));
	(void)json_object_set_new(ret, "conflicted", json_integer((json_int_t)l.conflicted));
	(void)json_object_set_new(ret, "conflicts", json_integer((json_int_t)l.conflicts));
	(void)json_object_set_new(ret, "answered", json_integer((json_int_t)l.answered));
	records_release(&l.seen);
	return r;
}
