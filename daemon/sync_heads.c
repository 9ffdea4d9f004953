/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of the view's branch:
 *   no commits of its own          it moves to the new base, forwards or back
 *   the new base has all of them   the same
 *   it has the new base            nothing is to be done
 *   else                           a merge commit of both; where they conflict, HEAD stays, the new base
 *                                  is MERGE_HEAD, as after git merge, and the agent concludes it
 * The agent's commits come to the shared store first, judged as materialize judges them.
 */
#include <string.h>

#include "branch.h"
#include "cleanup.h"
#include "materialize.h"
#include "merge.h"
#include "odb.h"
#include "sync.h"
#include "worker_run.h"

static int tree_of(struct sync_plan *p, const git_oid *commit, git_oid *ret)
{
	git_commit *c = NULL;
	int r = git_commit_lookup(&c, p->w->repo.git, commit);

	if (r < 0)
		return git_errno(r, p->err, "reading commit %s", git_oid_tostr_s(commit));
	git_oid_cpy(ret, git_commit_tree_id(c));
	git_commit_free(c);
	return 0;
}

static bool is_shared(struct sync_plan *p, const git_oid *id)
{
	git_odb *odb = NULL;
	bool there;

	if (git_repository_odb(&odb, p->w->repo.git) < 0)
		return false;
	there = git_odb_exists(odb, id);
	git_odb_free(odb);
	return there;
}

static int take_commits(struct sync_plan *p)
{
	struct worker *w = p->w;
	int r = viewgit_import(&p->objects, w, p->err);

	if (r == 0)
		r = commits_own(w, &p->objects, &p->tip, &p->base, COMMITS_UNJUDGED, &p->own,
				p->err);
	if (r == 0)
		r = commits_judge(w, &p->objects, &p->own, p->err);
	if (r == 0)
		r = commits_copy(w, &p->objects, &p->own, p->err);
	if (r == 0)
		(void)git_odb_refresh(p->objects.odb);
	return r;
}

static int write_merge(struct sync_plan *p, const git_oid *tree_id)
{
	_cleanup_free_ char *message = NULL;
	git_signature *author = NULL, *committer = NULL;
	git_commit *parents[2] = {NULL, NULL};
	git_repository *git = p->w->repo.git;
	git_tree *tree = NULL;
	int r;

	if (asprintf(&message, "Merge %.10s, the new base of %s, into %s\n",
		     git_oid_tostr_s(&p->next), p->w->conf.agent, p->w->conf.branch) < 0) {
		message = NULL;
		return -ENOMEM;
	}
	r = materialize_author(p->w, &author, p->err);
	if (r == 0)
		r = materialize_committer(p->w, &committer, p->err);
	if (r == 0) {
		r = git_commit_lookup(&parents[0], git, &p->tip);
		if (r == 0)
			r = git_commit_lookup(&parents[1], git, &p->next);
		if (r == 0)
			r = git_tree_lookup(&tree, git, tree_id);
		if (r == 0)
			r = git_commit_create(&p->head, git, NULL, author, committer, NULL, message,
					      tree, 2, (const git_commit **)(void *)parents);
		if (r < 0)
			r = git_errno(r, p->err, "writing the merge commit");
	}
	git_tree_free(tree);
	git_commit_free(parents[0]);
	git_commit_free(parents[1]);
	git_signature_free(author);
	git_signature_free(committer);
	return r;
}

/* --- commits that conflict: each path by itself, ours where both sides changed it --- */

struct by_path {
	struct sync_plan *p;
	struct tree_edit *edits;
	size_t n, cap;
};

static int one_path(const struct tree_delta *d, void *user)
{
	struct by_path *b = user;
	struct tree_entry ours, to;
	const char *kind = NULL;
	char *reason = NULL;
	struct sync_item *it;
	int r = tree_get(b->p->w->repo.git, &b->p->tip_tree, d->path, &ours);

	if (r == 0)
		r = sync_merge(b->p, d->path, &d->from, &ours, &d->to, false, &to, &kind, &reason);
	if (r < 0)
		return r;
	if (kind) {
		it = sync_item_find(b->p, d->path);
		if (!it) {
			free(reason);
			return -ENOMEM;
		}
		it->kind = kind;
		it->reason = reason;
		it->three = true;
		it->sides[0] = d->from;
		it->sides[1] = ours;
		it->sides[2] = d->to;
		return 0;
	}
	if (to.mode == ours.mode && git_oid_equal(&to.oid, &ours.oid))
		return 0;
	if (b->n == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 64;
		struct tree_edit *v = realloc(b->edits, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		b->edits = v;
		b->cap = cap;
	}
	b->edits[b->n] = (struct tree_edit){strdup(d->path), to};
	return b->edits[b->n++].path ? 0 : -ENOMEM;
}

static int merge_by_path(struct sync_plan *p)
{
	struct by_path b = {.p = p};
	git_oid base, base_tree;
	int r = git_merge_base(&base, p->w->repo.git, &p->tip, &p->next);

	if (r < 0)
		return git_errno(r, p->err, "looking for the merge base");
	r = tree_of(p, &base, &base_tree);
	if (r == 0)
		r = tree_diff(p->w->repo.git, &base_tree, &p->next_tree, one_path, &b);
	if (r == 0 && b.n > 1)
		qsort(b.edits, b.n, sizeof(*b.edits), tree_path_order);
	if (r == 0 && b.n)
		r = tree_apply(p->w->repo.git, NULL, &p->tip_tree, b.edits, b.n, &p->head_tree);
	else if (r == 0)
		p->head_tree = p->tip_tree;
	for (size_t i = 0; i < b.n; i++)
		free((char *)b.edits[i].path);
	free(b.edits);
	p->head = p->tip;
	p->merging = true;
	return r;
}

static int merge_heads(struct sync_plan *p)
{
	struct merge_out out = {0};
	int r = merge_commits(p->w->repo.git, &p->tip, &p->next, NULL, &out, p->err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < out.notes.n; i++)
		worker_note(p->ret, "%s", out.notes.v[i]);
	if (out.conflicts.n) {
		r = merge_by_path(p);
		for (size_t i = 0; r == 0 && i < out.conflicts.n; i++) {
			struct sync_item *it = sync_item_find(p, out.conflicts.v[i].path);

			if (!it)
				r = -ENOMEM;
			else if (!it->kind) { /* only the whole merge sees it */
				it->kind = "content";
				it->reason = strdup(out.conflicts.v[i].reason);
			}
		}
	} else {
		p->merged = true;
		p->head_tree = out.tree;
		r = write_merge(p, &out.tree);
	}
	merge_out_release(&out);
	return r;
}

int sync_heads(struct sync_plan *p)
{
	git_repository *git = p->w->repo.git;
	bool inside = false, shared = is_shared(p, &p->tip);
	int r = tree_of(p, &p->next, &p->next_tree);

	if (r == 0 && shared && !git_oid_equal(&p->tip, &p->base))
		r = branch_contains(git, &p->next, &p->tip, &inside, p->err);
	if (r < 0)
		return r;
	if (git_oid_equal(&p->tip, &p->base) || inside || worker_str(p->w, "new_branch")) {
		p->head = p->next;
		p->head_tree = p->next_tree;
		return tree_of(p, &p->tip, &p->tip_tree);
	}
	if (!shared)
		r = viewgit_import(&p->objects, p->w, p->err);
	if (r == 0)
		r = branch_contains(p->objects.git, &p->tip, &p->next, &inside, p->err);
	if (r < 0 || inside)
		return r < 0 ? r : 1;
	r = take_commits(p);
	if (r == 0)
		r = tree_of(p, &p->tip, &p->tip_tree);
	return r == 0 ? merge_heads(p) : r;
}
