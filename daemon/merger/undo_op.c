/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Op undo: what a merge changed is taken back in a commit on top of the target.
 *
 * Guarantees: (1) what came later stays: the merge is reverted by a three-way merge, whose base is what it made and whose
 * other side is what stood there before it; (2) one line that was changed again refuses it all; (3) the branch moves as in
 * a merge (land.h).
 */
#include <errno.h>
#include <string.h>

#include "branch.h"
#include "branch_find.h"
#include "cleanup.h"
#include "land.h"
#include "merge.h"
#include "merge_json.h"
#include "odb.h"
#include "worker_ops.h"
#include "worker_run.h"

enum { TRIES = 3, NAMED_MAX = 3 };

struct undo {
	struct worker *w;
	const char *source, *into;
	long long merge;
	git_oid made, before;  /* what the merge made of the target, and what that was */
	git_oid tip, tip_tree; /* the target's now */
	git_oid tree, commit;  /* without the merge */
	struct merge_out out;
};

static int tree_of(git_repository *git, const git_oid *id, git_oid *ret, struct err *reterr)
{
	git_commit *c = NULL;
	int r = git_commit_lookup(&c, git, id);

	if (r < 0)
		return git_errno(r, reterr, "reading a commit");
	git_oid_cpy(ret, git_commit_tree_id(c));
	git_commit_free(c);
	return 0;
}

static int make_commit(struct undo *u, const git_oid *parent, const git_oid *tree_id,
		       const char *message, git_oid *ret, struct err *reterr)
{
	const char *name = worker_str(u->w, "user_name"), *email = worker_str(u->w, "user_email");
	git_repository *git = u->w->repo.git;
	git_signature *who = NULL;
	git_commit *on = NULL;
	git_tree *tree = NULL;
	int r = git_signature_now(&who, name && *name ? name : "agentfs",
				  email && *email ? email : "agentfs@agentfs.invalid");

	if (r == 0)
		r = git_commit_lookup(&on, git, parent);
	if (r == 0)
		r = git_tree_lookup(&tree, git, tree_id);
	if (r == 0)
		r = git_commit_create(ret, git, NULL, who, who, NULL, message, tree, 1,
				      (const git_commit **)&on);
	git_tree_free(tree);
	git_commit_free(on);
	git_signature_free(who);
	return r < 0 ? git_errno(r, reterr, "making the commit that undoes the merge") : 0;
}

/* What was changed again, by name. */
static int refuse(struct undo *u, struct err *reterr)
{
	const struct merge_conflicts *c = &u->out.conflicts;
	_cleanup_buf_ struct buf names = BUF_INIT;
	int r = 0;

	for (size_t i = 0; i < c->n && i < NAMED_MAX && r == 0; i++)
		r = buf_addf(&names, "%s'%s'", i ? ", " : "", c->v[i].path);
	if (r == 0 && c->n > NAMED_MAX)
		r = buf_addf(&names, " and %zu more", c->n - NAMED_MAX);
	worker_detail(u->w, "conflicts", merge_conflicts_json(c, NULL));
	worker_remedy(u->w,
		      "agentfsctl merge explain %lld shows what it did; git log %.10s..%s what "
		      "came later.",
		      u->merge, git_oid_tostr_s(&u->made), u->into);
	return r < 0 ? r
		     : err_set_id(
			       reterr, -EBUSY, "Conflict",
			       "later commits on '%s' changed what merge %lld did to %s: undo those "
			       "first, or take the lines back by hand",
			       u->into, u->merge, names.data);
}

/* The target's tree without the merge. */
static int revert(struct undo *u, struct err *reterr)
{
	git_oid before_tree, other;
	int r = tree_of(u->w->repo.git, &u->before, &before_tree, reterr);

	if (r == 0 && git_oid_equal(&u->tip, &u->made)) {
		u->tree = before_tree;
		return 0;
	}
	if (r == 0)
		r = make_commit(u, &u->made, &before_tree, "before the merge\n", &other, reterr);
	if (r == 0)
		r = merge_commits(u->w->repo.git, &u->tip, &other, NULL, &u->out, reterr);
	if (r == 0 && u->out.conflicts.n)
		return refuse(u, reterr);
	u->tree = u->out.tree;
	return r;
}

static int undo_once(struct undo *u, struct err *reterr)
{
	_cleanup_buf_ struct buf message = BUF_INIT;
	struct landing l = {.w = u->w, .source = u->source, .into = u->into, .how = "undone"};
	bool contained = false;
	int r = branch_find(&u->w->repo, u->into, false, &u->tip, reterr);

	if (r == 0)
		r = tree_of(u->w->repo.git, &u->tip, &u->tip_tree, reterr);
	if (r == 0)
		r = branch_contains(u->w->repo.git, &u->tip, &u->made, &contained, reterr);
	if (r == 0 && !contained)
		return err_set_id(reterr, -EINVAL, "Invalid",
				  "'%s' does not contain what merge %lld made any more: there is "
				  "nothing to undo",
				  u->into, u->merge);
	if (r == 0)
		r = revert(u, reterr);
	if (r == 0 && git_oid_equal(&u->tree, &u->tip_tree))
		return err_set_id(reterr, -EINVAL, "Invalid",
				  "'%s' has nothing of merge %lld left: it was taken back already",
				  u->into, u->merge);
	if (r == 0)
		r = buf_addf(&message,
			     "Undo merge of %s into %s\n\nThis takes back what merge %lld "
			     "changed, commit %s.\n",
			     u->source, u->into, u->merge, git_oid_tostr_s(&u->made));
	if (r == 0)
		r = make_commit(u, &u->tip, &u->tree, message.data, &u->commit, reterr);
	l.from = u->tip;
	l.to = u->commit;
	return r < 0 ? r : landing_do(&l, reterr);
}

static int run(struct undo *u, struct err *reterr)
{
	const char *made = NULL, *before = NULL;
	int r = worker_need_str(u->w, "source", &u->source, reterr);

	if (r == 0)
		r = worker_need_str(u->w, "into", &u->into, reterr);
	if (r == 0)
		r = worker_need_str(u->w, "commit", &made, reterr);
	if (r == 0)
		r = worker_need_str(u->w, "before", &before, reterr);
	if (r == 0 && (git_oid_fromstr(&u->made, made) < 0 || git_oid_fromstr(&u->before, before)))
		r = err_set_id(reterr, -EINVAL, "Invalid", "'%s' or '%s' is no commit", made,
			       before);
	for (int i = 0; r == 0 && i < TRIES; i++) {
		merge_out_release(&u->out);
		err_release(reterr);
		r = undo_once(u, reterr);
		if (r != -EAGAIN)
			break;
		r = i + 1 < TRIES ? 0 : -EAGAIN;
	}
	return r;
}

int op_undo(struct worker *w, json_t *ret, struct err *reterr)
{
	struct undo u = {.w = w, .merge = worker_int(w, "merge", 0)};
	json_t *changes = json_array();
	int r = run(&u, reterr);

	(void)json_object_set_new(ret, "changes", changes);
	if (r == 0) {
		(void)json_object_set_new(ret, "commit", json_string(git_oid_tostr_s(&u.commit)));
		r = merge_changes_json(w, &u.tip_tree, &u.tree, changes, reterr);
	}
	merge_out_release(&u.out);
	return r;
}
