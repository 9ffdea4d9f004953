/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Op learn: the repository's historic merges made again, to see what each resolver would have said and
 * whether the person said the same. Nothing is written. What counts as right is replay.h's.
 */
#include <string.h>

#include "cleanup.h"
#include "learn_kept.h"
#include "merge_walk.h"
#include "odb.h"
#include "parser.h"
#include "replay.h"
#include "worker_ops.h"
#include "worker_run.h"

enum { MERGES_DEFAULT = 500, MERGES_MAX = 100000, EXAMPLES_MAX = 50, BINARY_LOOK = 8000 };
enum { FILE_MAX = 4 << 20, RESOLVERS_MAX = 64 };

struct learn {
	struct worker *w;
	git_repository *git;
	struct evidence seen[RESOLVERS_MAX];
	uint64_t merges, conflicted, conflicts, answered; /* merges; with conflicts; hunks */
	struct learn_kept *kept;
	json_t *examples; /* answers that differ from the person's */
	uint64_t wanted;
	struct parser *parser; /* or NULL */
	struct err *reterr;
};

static int tree_of(git_repository *git, const git_oid *commit, git_oid *ret)
{
	git_commit *c = NULL;
	int r = git_commit_lookup(&c, git, commit);

	if (r == 0)
		git_oid_cpy(ret, git_commit_tree_id(c));
	git_commit_free(c);
	return r;
}

/* Lines that can be merged: no NUL near the beginning, not huge. */
static bool text_of(const git_blob *b, struct text *ret)
{
	size_t n = b ? (size_t)git_blob_rawsize(b) : 0;
	const char *p = n ? git_blob_rawcontent(b) : "";

	*ret = (struct text){p, n};
	return n <= FILE_MAX && (!n || !memchr(p, 0, n < BINARY_LOOK ? n : BINARY_LOOK));
}

static int note_example(struct learn *l, const git_oid *merge, const char *path,
			const struct answer *a, struct text person)
{
	char hex[GIT_OID_HEXSZ + 1];

	if (json_array_size(l->examples) >= EXAMPLES_MAX)
		return 0;
	return json_array_append_new(
		l->examples,
		json_pack("{s:s,s:o,s:s,s:o,s:o}", "commit", git_oid_tostr(hex, sizeof(hex), merge),
			  "path", worker_text(path, strlen(path)), "resolver", a->by->name, "said",
			  worker_text(a->text, a->len), "kept", worker_text(person.p, person.n)));
}

static int judge_conflict(struct learn *l, const git_oid *merge, const char *path,
			  const struct resolve *r, const struct resolved_conflict *c,
			  struct text region)
{
	int k = 0;

	l->conflicts++;
	l->answered += c->n > 0;
	k = learn_kept_add(l->kept, merge, path, &r->d, &c->chunk, region,
			   &l->seen[resolver_find("remembered") - resolvers]);
	for (size_t i = 0; i < c->n && k >= 0; i++) {
		const struct answer *a = &c->answers[i];
		struct evidence *e = &l->seen[a->by - resolvers];

		k = replay_right(&r->d, &c->chunk, (struct text){a->text, a->len}, region);
		if (k < 0)
			break;
		e->fired++;
		e->right += k > 0;
		if (k == 0)
			k = note_example(l, merge, path, a, region);
	}
	return k < 0 ? k : 0;
}

static int judge_texts(struct learn *l, const git_oid *merge, const char *path,
		       const struct text t[SIDES], struct text person, bool *conflicted)
{
	const struct resolve_options o = {.cost_of_wrong = COST_OF_WRONG, .parser = l->parser};
	struct replay replay = {0};
	struct resolve r;
	int k = resolve_file(path, t[BASE], t[OURS], t[THEIRS], &o, &r);

	if (k < 0)
		return k;
	*conflicted |= r.n > 0;
	if (r.n)
		k = replay_open(&r.d, person, &replay);
	for (size_t i = 0; i < r.n && k == 0; i++)
		k = judge_conflict(l, merge, path, &r, &r.v[i],
				   replay_region(&replay, &r.v[i].chunk));
	replay_release(&replay);
	resolve_release(&r);
	return k;
}

static int judge_file(struct learn *l, const git_oid *merge, const git_oid *tree,
		      const struct merge_both *f, bool *conflicted)
{
	const struct tree_entry *e[SIDES] = {&f->base, &f->ours, &f->theirs};
	git_blob *b[SIDES + 1] = {0};
	struct text t[SIDES] = {0}, person = {0};
	struct tree_entry kept;
	bool text = true;
	int r = tree_get(l->git, tree, f->path, &kept);

	if (r < 0 || !kept.mode || !f->base.mode)
		return r;
	for (int s = BASE; s < SIDES && r == 0; s++) {
		r = git_blob_lookup(&b[s], l->git, &e[s]->oid);
		text = text && r == 0 && text_of(b[s], &t[s]);
	}
	if (r == 0)
		r = git_blob_lookup(&b[SIDES], l->git, &kept.oid);
	if (r == 0 && text && text_of(b[SIDES], &person))
		r = judge_texts(l, merge, f->path, t, person, conflicted);
	for (int s = 0; s <= SIDES; s++)
		git_blob_free(b[s]);
	return r;
}

/* One merge; those with several bases, and those that need git's own way, are left out. */
static int replay_merge(struct learn *l, git_commit *c)
{
	const git_oid *id = git_commit_id(c), *ours = git_commit_parent_id(c, 0),
		      *theirs = git_commit_parent_id(c, 1);
	git_oidarray bases = {0};
	git_oid t[SIDES], tree = *git_commit_tree_id(c);
	struct merge_walk walk = {0};
	bool conflicted = false;
	int r = git_merge_bases(&bases, l->git, ours, theirs);

	if (r == GIT_ENOTFOUND || (r == 0 && bases.count != 1)) {
		git_oidarray_dispose(&bases);
		return 0;
	}
	if (r == 0)
		r = tree_of(l->git, &bases.ids[0], &t[BASE]);
	git_oidarray_dispose(&bases);
	if (r == 0)
		r = tree_of(l->git, ours, &t[OURS]);
	if (r == 0)
		r = tree_of(l->git, theirs, &t[THEIRS]);
	if (r == 0)
		r = merge_walk(l->git, &t[BASE], &t[OURS], &t[THEIRS], &walk, l->reterr);
	for (size_t i = 0; r == 0 && i < walk.nboth; i++)
		r = judge_file(l, id, &tree, &walk.both[i], &conflicted);
	merge_walk_release(&walk);
	l->merges += r == 0;
	l->conflicted += r == 0 && conflicted;
	return r < 0 ? git_errno(r, l->reterr, "replaying merge %s", git_oid_tostr_s(id)) : 0;
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
			r = replay_merge(l, c);
		git_commit_free(c);
		if (l->merges % 16 == 0)
			worker_progress("replaying merges", l->merges, l->wanted);
	}
	git_revwalk_free(walk);
	return r;
}

int op_learn(struct worker *w, json_t *ret, struct err *reterr)
{
	int64_t last = worker_int(w, "last", MERGES_DEFAULT);
	struct learn l = {.w = w, .git = w->repo.git, .reterr = reterr};
	json_t *records = json_array();
	int r;

	_Static_assert(RESOLVERS_MAX >= 8, "room for the table");
	(void)json_object_set_new(ret, "records", records);
	(void)json_object_set_new(ret, "repository",
				  worker_text(w->repo.common, strlen(w->repo.common)));
	if (last < 1 || last > MERGES_MAX || resolvers_n > RESOLVERS_MAX)
		return err_set_id(reterr, -EINVAL, "Invalid",
				  "the number of merges to learn from is from 1 to %d", MERGES_MAX);
	l.wanted = (uint64_t)last;
	l.examples = json_array();
	l.parser = parser_new(NULL, NULL);
	r = learn_kept_new(&l.kept);
	if (r == 0)
		r = replay_all(&l);
	if (l.kept)
		(void)json_object_set(ret, "kept", learn_kept_json(l.kept));
	learn_kept_free(l.kept);
	parser_free(l.parser);
	for (size_t i = 0; i < resolvers_n; i++)
		(void)json_array_append_new(
			records, json_pack("{s:s,s:i,s:i}", "resolver", resolvers[i].name, "fired",
					   (int)l.seen[i].fired, "right", (int)l.seen[i].right));
	(void)json_object_set_new(ret, "examples", l.examples);
	(void)json_object_set_new(ret, "merges", json_integer((json_int_t)l.merges));
	(void)json_object_set_new(ret, "conflicted", json_integer((json_int_t)l.conflicted));
	(void)json_object_set_new(ret, "conflicts", json_integer((json_int_t)l.conflicts));
	(void)json_object_set_new(ret, "answered", json_integer((json_int_t)l.answered));
	return r;
}
