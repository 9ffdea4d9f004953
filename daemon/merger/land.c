/* SPDX-License-Identifier: Apache-2.0 */
/* Landing a merge. Guarantee: after an error branch, files and index are as they were. */
#include "land.h"

#include <errno.h>
#include <string.h>

#include "buf.h"
#include "checkout.h"
#include "checkout_parts.h"
#include "cleanup.h"
#include "merge_json.h"
#include "odb.h"
#include "worker_run.h"
#include "worktrees.h"

static int tree_of(struct landing *l, const git_oid *commit, git_oid *ret, struct err *reterr)
{
	git_commit *c = NULL;
	int r = git_commit_lookup(&c, l->w->repo.git, commit);

	if (r < 0)
		return git_errno(r, reterr, "reading a commit");
	git_oid_cpy(ret, git_commit_tree_id(c));
	git_commit_free(c);
	return 0;
}

/* -EAGAIN: somebody else moved it. */
static int move_ref(struct landing *l, git_repository *git, struct err *reterr)
{
	const char *name = worker_str(l->w, "user_name"), *email = worker_str(l->w, "user_email");
	_cleanup_buf_ struct buf full = BUF_INIT, why = BUF_INIT;
	git_reference *ref = NULL;
	int r = buf_addf(&full, "refs/heads/%s", l->into);

	if (r == 0)
		r = buf_addf(&why, "merge %s: %s by agentfs", l->source, l->how);
	if (r < 0)
		return r;
	(void)git_repository_set_ident(git, name && *name ? name : "agentfs",
				       email && *email ? email : "agentfs@agentfs.invalid");
	r = git_reference_create_matching(&ref, git, full.data, &l->to, 1, &l->from, why.data);
	git_reference_free(ref);
	if (r == GIT_EMODIFIED || r == GIT_ELOCKED || r == GIT_ENOTFOUND)
		return err_set_id(reterr, -EAGAIN, "Busy",
				  "the branch '%s' was moved by somebody else meanwhile: try again",
				  l->into);
	return r < 0 ? git_errno(r, reterr, "moving the branch '%s'", l->into) : 0;
}

static int publish(struct landing *l, git_repository *git, struct checkout *c, struct err *reterr)
{
	int r = repo_sync_objects(&l->w->repo, reterr);

	if (r == 0 && c)
		r = checkout_publish(c, reterr);
	if (r < 0)
		return r;
	r = move_ref(l, git, reterr);
	if (r < 0 && c)
		checkout_undo(c);
	checkout_failpoint("moved");
	return r;
}

static int in_worktree(struct landing *l, git_repository *git, bool check, struct err *reterr)
{
	struct merge_conflicts refused = {0};
	struct checkout_items items = {0};
	struct merge_private attributes;
	struct checkout *c = NULL;
	git_oid from, to;
	int r = tree_of(l, &l->from, &from, reterr);

	if (r == 0)
		r = tree_of(l, &l->to, &to, reterr);
	if (r < 0)
		return r;
	merge_private_init(&attributes, l->w->repo.git, NULL, &to, NULL);
	r = checkout_items_diff(l->w->repo.git, &from, &to, &items);
	if (r < 0)
		(void)err_set(reterr, r, "comparing the trees: %s", strerror(-r));
	if (r == 0)
		r = checkout_open(git, true, &c, reterr);
	if (r == 0)
		r = checkout_prepare(c, &items, &attributes, &refused, reterr);
	if (r < 0 && refused.n)
		worker_detail(l->w, "paths", merge_conflicts_json(&refused, NULL));
	if (r == 0 && !check)
		r = publish(l, git, c, reterr);
	merge_private_close(&attributes);
	checkout_close(c);
	checkout_items_release(&items);
	merge_conflicts_release(&refused);
	return r;
}

static int land(struct landing *l, bool check, struct err *reterr)
{
	git_repository *git = NULL;
	int r = worktrees_find(&l->w->repo, l->into, &git, reterr);

	if (r == 0 && git)
		r = in_worktree(l, git, check, reterr);
	else if (r == 0 && !check)
		r = publish(l, l->w->repo.git, NULL, reterr);
	git_repository_free(git);
	return r;
}

int landing_check(struct landing *l, struct err *reterr)
{
	return land(l, true, reterr);
}

int landing_do(struct landing *l, struct err *reterr)
{
	return land(l, false, reterr);
}

static int keep_name(const char *name, struct buf *ret, struct err *reterr)
{
	int valid = 0, r = buf_addf(ret, "refs/agentfs/merge/%s", name ? name : "");

	if (r < 0)
		return r;
	if (!name || git_reference_name_is_valid(&valid, ret->data) < 0 || !valid)
		return err_set_id(reterr, -EINVAL, "Invalid",
				  "'%s' cannot name what keeps a merge alive", name ? name : "");
	return 0;
}

int landing_keep(struct landing *l, const char *name, struct err *reterr)
{
	_cleanup_buf_ struct buf full = BUF_INIT;
	git_reference *ref = NULL;
	int r = keep_name(name, &full, reterr);

	if (r == 0)
		r = repo_sync_objects(&l->w->repo, reterr);
	if (r < 0)
		return r;
	r = git_reference_create(&ref, l->w->repo.git, full.data, &l->to, 1, NULL);
	git_reference_free(ref);
	checkout_failpoint("kept");
	return r < 0 ? git_errno(r, reterr, "keeping the merge as '%s'", full.data) : 0;
}

int landing_drop(struct repo *repo, const char *name, struct err *reterr)
{
	_cleanup_buf_ struct buf full = BUF_INIT;
	int r = keep_name(name, &full, reterr);

	if (r < 0)
		return r;
	r = git_reference_remove(repo->git, full.data);
	return r < 0 && r != GIT_ENOTFOUND ? git_errno(r, reterr, "removing '%s'", full.data) : 0;
}

void landing_tidy(struct repo *repo, const char *into)
{
	git_repository *git = NULL;

	if (worktrees_find(repo, into, &git, NULL) == 0 && git)
		checkout_tidy(git);
	git_repository_free(git);
}
