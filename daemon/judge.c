/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judging commits. A commit can be built by plumbing without touching a file, so each path that it
 * changes is asked as if it had been written: creation, content, deletion. A merge also *brings*
 * other people's changes; a path that the role may not write is right there exactly if it is what a
 * three-way merge of the two parents gives where only one side changed it: then neither a change of
 * the agent's own nor the loss of somebody else's (merge -s ours) can hide in it.
 */
#include "judge.h"

#include <stdlib.h>
#include <string.h>

#include "branch.h"
#include "cleanup.h"
#include "gitname.h"
#include "odb.h"
#include "policy.h"
#include "record.h"
#include "snapshot.h"
#include "treewalk.h"
#include "worker_run.h"
#include "worker_view.h"

enum { COMMITS_MAX = 5000 };

struct oids {
	git_oid *v;
	size_t n, cap;
};

static int oids_add(struct oids *l, const git_oid *oid)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		git_oid *v = realloc(l->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n++] = *oid;
	return 0;
}

static int oid_order(const void *a, const void *b)
{
	return git_oid_cmp(a, b);
}

static bool oids_have(const struct oids *sorted, const git_oid *oid)
{
	return sorted->n && bsearch(oid, sorted->v, sorted->n, sizeof(*oid), oid_order);
}

static int add_tip(const struct worker *w, const char *name, struct oids *ret)
{
	git_reference *ref = NULL;
	git_object *o = NULL;
	int r = 0;

	if (git_reference_lookup(&ref, w->repo.git, name) == 0 &&
	    git_reference_peel(&o, ref, GIT_OBJECT_COMMIT) == 0)
		r = oids_add(ret, git_object_id(o));
	git_object_free(o);
	git_reference_free(ref);
	return r;
}

static int add_head(const struct worker *w, const char *branch, struct oids *ret)
{
	_cleanup_free_ char *name = NULL;

	if (asprintf(&name, "refs/heads/%s", branch) < 0) {
		name = NULL;
		return -ENOMEM;
	}
	return add_tip(w, name, ret);
}

/* `except`: the full name of one that does not count, or NULL. */
static int add_tips(const struct worker *w, const char *glob, const char *except, struct oids *ret)
{
	git_reference_iterator *it = NULL;
	const char *name;
	int r = 0;

	if (git_reference_iterator_glob_new(&it, w->repo.git, glob) < 0)
		return 0;
	while (r == 0 && git_reference_next_name(&name, it) == 0)
		if (!except || strcmp(name, except) != 0)
			r = add_tip(w, name, ret);
	git_reference_iterator_free(it);
	return r;
}

static void oids_sort(struct oids *l)
{
	if (l->n > 1)
		qsort(l->v, l->n, sizeof(*l->v), oid_order);
}

/* Whose tips are somebody else's; *ret_brought: of branches that a merge may have brought in. */
static int shared_tips(struct worker *w, const git_oid *base, enum commits_kind kind,
		       struct oids *ret, struct oids *ret_brought)
{
	_cleanup_free_ char *own = NULL;
	json_t *peer;
	size_t i;
	int r = oids_add(ret, base);

	if (r == 0)
		r = add_tips(w, "refs/remotes/*", NULL, ret);
	if (r == 0 && (!w->worktree || kind == COMMITS_UNKEPT)) {
		r = add_tips(w, "refs/heads/*", NULL, ret);
		if (r == 0)
			r = add_tips(w, "refs/tags/*", NULL, ret);
	} else if (r == 0) {
		if (asprintf(&own, "refs/heads/%s", w->conf.branch) < 0) {
			own = NULL;
			return -ENOMEM;
		}
		if (*w->conf.target)
			r = add_head(w, w->conf.target, ret);
		json_array_foreach (json_object_get(w->req, "peers"), i, peer)
			if (r == 0 && json_is_string(peer))
				r = add_head(w, json_string_value(peer), ret);
		if (r == 0)
			r = add_tips(w, "refs/heads/*", own, ret_brought);
	}
	oids_sort(ret);
	oids_sort(ret_brought);
	return r;
}

/* Does the shared repository already hold this commit in somebody's history? */
static bool is_shared(struct worker *w, git_odb *shared, const struct oids *tips,
		      const git_oid *oid)
{
	int r;

	if (oids_have(tips, oid))
		return true;
	if (!git_odb_exists(shared, oid))
		return false;
	r = git_graph_reachable_from_any(w->repo.git, oid, tips->v, tips->n);
	if (r != GIT_ENOTFOUND)
		return r == 1;
	for (size_t i = 0; i < tips->n; i++) {
		bool inside = false;

		if (branch_contains(w->repo.git, &tips->v[i], oid, &inside, NULL) == 0 && inside)
			return true;
	}
	return false;
}

struct walk {
	struct worker *w;
	struct viewgit_objects *o;
	git_odb *shared;
	struct oids tips, brought; /* somebody else's; and what only a merge makes so */
	struct oids found;	   /* in the order they were met */
};

static bool met(const struct oids *l, const git_oid *oid)
{
	for (size_t i = l->n; i-- > 0;)
		if (git_oid_equal(&l->v[i], oid))
			return true;
	return false;
}

static int walk_parents(struct walk *k, const git_oid *oid, struct err *reterr)
{
	git_commit *c = NULL;
	int r = 0;

	if (git_commit_lookup(&c, k->o->git, oid) < 0)
		return err_set_id(reterr, -EBADMSG, "Damaged",
				  "commit %s of the view's repository is missing or damaged",
				  git_oid_tostr_s(oid));
	for (unsigned i = 0; r == 0 && i < git_commit_parentcount(c); i++) {
		const git_oid *p = git_commit_parent_id(c, i);

		if (!met(&k->found, p) && !is_shared(k->w, k->shared, &k->tips, p) &&
		    !(i && k->brought.n && is_shared(k->w, k->shared, &k->brought, p)))
			r = oids_add(&k->found, p);
	}
	git_commit_free(c);
	return r;
}

/* Puts `oid` behind its own parents; k->found is sorted, `put` says which are put already. */
static int put_after_parents(struct walk *k, const git_oid *oid, bool *put, struct commits *ret)
{
	const git_oid *at = bsearch(oid, k->found.v, k->found.n, sizeof(*oid), oid_order);
	git_commit *c = NULL;
	int r = 0;

	if (!at || put[at - k->found.v])
		return 0;
	put[at - k->found.v] = true;
	if (git_commit_lookup(&c, k->o->git, oid) < 0)
		return -EBADMSG;
	for (unsigned i = 0; r == 0 && i < git_commit_parentcount(c); i++)
		r = put_after_parents(k, git_commit_parent_id(c, i), put, ret);
	git_commit_free(c);
	ret->v[ret->n++] = *oid;
	return r;
}

static int put_in_order(struct walk *k, struct commits *ret)
{
	_cleanup_free_ bool *put = calloc(k->found.n ? k->found.n : 1, sizeof(*put));
	int r = 0;

	ret->v = calloc(k->found.n ? k->found.n : 1, sizeof(*ret->v));
	if (!put || !ret->v)
		return -ENOMEM;
	if (k->found.n)
		qsort(k->found.v, k->found.n, sizeof(*k->found.v), oid_order);
	for (size_t i = 0; r == 0 && i < k->found.n; i++)
		r = put_after_parents(k, &k->found.v[i], put, ret);
	return r;
}

int commits_own(struct worker *w, struct viewgit_objects *o, const git_oid *tip,
		const git_oid *base, enum commits_kind kind, struct commits *ret,
		struct err *reterr)
{
	struct walk k = {.w = w, .o = o};
	int r = git_repository_odb(&k.shared, w->repo.git);

	*ret = (struct commits){0};
	if (r < 0)
		return git_errno(r, reterr, "opening the objects of '%s'", w->repo.common);
	r = shared_tips(w, base, kind, &k.tips, &k.brought);
	if (r == 0 && !is_shared(w, k.shared, &k.tips, tip))
		r = oids_add(&k.found, tip);
	for (size_t i = 0; r == 0 && i < k.found.n; i++) {
		r = walk_parents(&k, &k.found.v[i], reterr);
		if (r == 0 && k.found.n > COMMITS_MAX)
			r = err_set_id(reterr, -EFBIG, "TooLarge",
				       "the view's branch has more than %d commits of its own",
				       COMMITS_MAX);
	}
	if (r == 0)
		r = put_in_order(&k, ret);
	git_odb_free(k.shared);
	free(k.tips.v);
	free(k.brought.v);
	free(k.found.v);
	if (r < 0)
		commits_release(ret);
	return r;
}

void commits_release(struct commits *c)
{
	free(c->v);
	*c = (struct commits){0};
}

struct verdict {
	struct worker *w;
	git_repository *git;
	git_commit *commit;
	git_oid trees[3]; /* of merge base and the two parents */
	bool two;	  /* they are known */
	struct err *err;
};

/* Is what a merge has at `path` what its parents' changes give by themselves? */
static bool is_brought(const struct verdict *v, const char *path, const struct tree_entry *have)
{
	struct tree_entry e[3], want;
	bool same01, same02, same12;

	if (!v->two)
		return false;
	for (size_t i = 0; i < 3; i++)
		if (tree_get(v->git, &v->trees[i], path, &e[i]) < 0)
			return false;
	same01 = e[0].mode == e[1].mode && git_oid_equal(&e[0].oid, &e[1].oid);
	same02 = e[0].mode == e[2].mode && git_oid_equal(&e[0].oid, &e[2].oid);
	same12 = e[1].mode == e[2].mode && git_oid_equal(&e[1].oid, &e[2].oid);
	if (!same01 && !same02 && !same12)
		return false;
	want = same01 ? e[2] : e[1];
	return want.mode == have->mode && git_oid_equal(&want.oid, &have->oid);
}

static int refuse(struct verdict *v, const char *path, const char *rule, const char *what)
{
	const char *id = git_oid_tostr_s(git_commit_id(v->commit));
	char outcome[GIT_OID_HEXSZ + 16];

	(void)snprintf(outcome, sizeof(outcome), "in commit %s", id);
	view_tell_refusal(v->w, OP_WRITE, path, rule, outcome);
	worker_detail(v->w, "commit", json_string(id));
	worker_detail(v->w, "path", worker_text(path, strlen(path)));
	worker_detail(v->w, "rule", worker_text(rule, strlen(rule)));
	worker_remedy(v->w,
		      "take the path out of the commit (git rebase -i, or git reset --soft %s and "
		      "commit again)",
		      v->w->conf.base_commit);
	return err_set_id(v->err, -EACCES, "Denied", "commit %.10s %s '%s', which %s may not: %s",
			  id, what, path, v->w->conf.agent, rule);
}

static int judge_path(const struct tree_delta *d, void *user)
{
	struct verdict *v = user;
	const struct policy *p = snapshot_policy(v->w->snapshot);
	struct policy_query q = {.path = d->path};
	struct policy_verdict pv;
	const char *rule;

	if (d->to.mode && gitname_in_path(d->path, NULL))
		return refuse(v, d->path, "names that git itself uses are held back", "holds");
	q.op = !d->from.mode ? POLICY_CREATE : !d->to.mode ? POLICY_UNLINK : POLICY_WRITE;
	q.in_base = view_base_has(v->w, d->path);
	q.ours = !q.in_base;
	pv = policy_decide(p, &q);
	if (pv.result == POLICY_ALLOW || is_brought(v, d->path, &d->to))
		return 0;
	rule = pv.result == POLICY_SCRATCH
		       ? "it is scratch to this role, which is never materialized"
		       : policy_rule_text(p, pv.rule);
	return refuse(v, d->path, rule,
		      !d->from.mode ? "adds"
		      : !d->to.mode ? "deletes"
				    : "changes");
}

static int know_parents(struct verdict *v)
{
	git_commit *c = NULL;
	git_oid base;

	v->two = false;
	if (git_commit_parentcount(v->commit) != 2 ||
	    git_merge_base(&base, v->git, git_commit_parent_id(v->commit, 0),
			   git_commit_parent_id(v->commit, 1)) < 0)
		return 0;
	for (unsigned i = 0; i < 3; i++) {
		const git_oid *id = i ? git_commit_parent_id(v->commit, i - 1) : &base;

		if (git_commit_lookup(&c, v->git, id) < 0)
			return 0;
		v->trees[i] = *git_commit_tree_id(c);
		git_commit_free(c);
	}
	v->two = true;
	return 0;
}

static int judge_commit(struct verdict *v)
{
	unsigned n = git_commit_parentcount(v->commit);
	int r = know_parents(v);

	if (n == 0)
		return tree_diff(v->git, NULL, git_commit_tree_id(v->commit), judge_path, v);
	for (unsigned i = 0; r == 0 && i < n; i++) {
		git_commit *parent = NULL;

		if (git_commit_lookup(&parent, v->git, git_commit_parent_id(v->commit, i)) < 0)
			return err_set_id(v->err, -EBADMSG, "Damaged",
					  "commit %s of the view's repository is missing",
					  git_oid_tostr_s(git_commit_parent_id(v->commit, i)));
		r = tree_diff(v->git, git_commit_tree_id(parent), git_commit_tree_id(v->commit),
			      judge_path, v);
		git_commit_free(parent);
	}
	return r;
}

int commits_judge(struct worker *w, struct viewgit_objects *o, const struct commits *c,
		  struct err *reterr)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->n; i++) {
		struct verdict v = {.w = w, .git = o->git, .err = reterr};

		r = git_commit_lookup(&v.commit, o->git, &c->v[i]);
		if (r < 0)
			return git_errno(r, reterr, "reading commit %s", git_oid_tostr_s(&c->v[i]));
		r = judge_commit(&v);
		git_commit_free(v.commit);
		if (r < 0 && reterr && !reterr->code)
			(void)err_set_id(reterr, r, "Damaged", "reading the trees of commit %s: %s",
					 git_oid_tostr_s(&c->v[i]), strerror(-r));
	}
	return r;
}

int commits_copy(struct worker *w, struct viewgit_objects *o, const struct commits *c,
		 struct err *reterr)
{
	git_odb *shared = NULL;
	int r = git_repository_odb(&shared, w->repo.git);

	if (r < 0)
		return git_errno(r, reterr, "opening the objects of '%s'", w->repo.common);
	for (size_t i = 0; r == 0 && i < c->n; i++)
		r = viewgit_copy(o, shared, &c->v[i], reterr);
	git_odb_free(shared);
	return r;
}
