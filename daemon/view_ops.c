/* SPDX-License-Identifier: Apache-2.0 */
/* Ops distances, close and next: what a view means to its branch. */
#include <stdlib.h>
#include <string.h>

#include "branch.h"
#include "cleanup.h"
#include "create.h"
#include "gitdir.h"
#include "odb.h"
#include "snapshot.h"
#include "viewgit.h"
#include "worker_ops.h"
#include "worker_run.h"
#include "worker_view.h"
#include "worktrees.h"

enum { CONFIG_MAX = 1 << 20 };

static void set_identity(struct worker *w)
{
	const char *name = worker_str(w, "user_name"), *email = worker_str(w, "user_email");

	(void)git_repository_set_ident(w->repo.git, name && *name ? name : "agentfs",
				       email && *email ? email : "agentfs@agentfs.invalid");
}

/* What a branch is measured against: its target's tip, or the base where that is gone. */
static int measure_of(struct worker *w, const char *target, const char *base, git_oid *ret,
		      struct err *reterr)
{
	if (*target && branch_tip(&w->repo, target, ret, NULL) == 0)
		return 0;
	if (git_oid_fromstr(ret, base) < 0)
		return err_set_id(reterr, -EBADMSG, "Damaged",
				  "the view's base commit is not readable");
	return 0;
}

static int target_tip(struct worker *w, git_oid *ret, struct err *reterr)
{
	return measure_of(w, w->conf.target, w->conf.base_commit, ret, reterr);
}

/* One of op distances; a branch that cannot be measured is null. */
static json_t *distance_of(struct worker *w, const json_t *b)
{
	const char *branch = json_string_value(json_object_get(b, "branch"));
	const char *target = json_string_value(json_object_get(b, "target"));
	const char *base = json_string_value(json_object_get(b, "base"));
	size_t ahead = 0, behind = 0;
	git_oid tip, other;

	if (!branch || !target || !base || measure_of(w, target, base, &other, NULL) < 0)
		return json_null();
	if (branch_tip(&w->repo, branch, &tip, NULL) == 0 &&
	    branch_distance(w->repo.git, &tip, &other, &ahead, &behind, NULL) < 0)
		return json_null();
	return json_pack("{s:I,s:I}", "ahead", (json_int_t)ahead, "behind", (json_int_t)behind);
}

int op_distances(struct worker *w, json_t *ret, struct err *reterr)
{
	json_t *found = json_array(), *b;
	size_t i;

	(void)reterr;
	(void)json_object_set_new(ret, "distances", found);
	json_array_foreach (json_object_get(w->req, "branches"), i, b)
		(void)json_array_append_new(found, distance_of(w, b));
	return 0;
}

/* Keeps a branch that is about to go, unless its commits are in the target or the base. */
static int keep_tip(struct worker *w, const git_oid *tip, json_t *ret, struct err *reterr)
{
	_cleanup_free_ char *name = NULL, *ref = NULL;
	git_oid target, base;
	bool in_target = false, in_base = false;
	char id[33];
	int r = target_tip(w, &target, reterr);

	if (r == 0)
		r = branch_contains(w->repo.git, &target, tip, &in_target, reterr);
	if (r == 0 && git_oid_fromstr(&base, w->conf.base_commit) == 0)
		r = branch_contains(w->repo.git, &base, tip, &in_base, reterr);
	if (r < 0 || in_target || in_base)
		return r;
	if (asprintf(&name, "heads/%s", w->conf.branch) < 0) {
		name = NULL;
		return -ENOMEM;
	}
	view_id_hex(w, id);
	r = branch_preserve(&w->repo, w->conf.agent, id, name, tip, &ref, reterr);
	if (r == 0)
		worker_note(ret, "the branch '%s' is kept as %s: git branch %s %s brings it back",
			    w->conf.branch, ref, w->conf.branch, ref);
	return r;
}

static int delete_branch(struct worker *w, json_t *ret, struct err *reterr)
{
	_cleanup_free_ char *full = NULL;
	git_reference *ref = NULL;
	git_oid tip;
	int r = branch_tip(&w->repo, w->conf.branch, &tip, NULL);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	r = worktrees_check_free(&w->repo, w->conf.branch, NULL, reterr);
	if (r == 0)
		r = keep_tip(w, &tip, ret, reterr);
	if (r < 0)
		return r;
	if (asprintf(&full, "refs/heads/%s", w->conf.branch) < 0) {
		full = NULL;
		return -ENOMEM;
	}
	r = git_reference_lookup(&ref, w->repo.git, full);
	if (r == 0 && git_reference_target(ref) && git_oid_equal(git_reference_target(ref), &tip))
		r = git_reference_delete(ref);
	else if (r == 0)
		r = GIT_EMODIFIED;
	git_reference_free(ref);
	return r < 0 ? git_errno(r, reterr, "deleting branch '%s'", w->conf.branch) : 0;
}

int op_close(struct worker *w, json_t *ret, struct err *reterr)
{
	char id[33], own[GITDIR_NAME_MAX];
	int r = 0;

	(void)json_object_set_new(ret, "notes", json_array());
	set_identity(w);
	view_id_hex(w, id);
	gitdir_name(w->conf.agent, id, own);
	if (w->worktree) /* first: it has the branch checked out */
		r = gitdir_remove(&w->repo, own, reterr);
	if (r == 0 && worker_bool(w, "delete_branch"))
		r = delete_branch(w, ret, reterr);
	if (r < 0)
		return r;
	branch_drop_base(&w->repo, id);
	return 0;
}

/* Makes the target the new branch's upstream, as it was the old one's, unless the agent's git writes
 * its configuration just now: `git branch -u` does the same. */
static int set_upstream(struct worker *w, const char *branch, struct err *reterr)
{
	_cleanup_buf_ struct buf b = BUF_INIT, section = BUF_INIT;
	struct snapshot_stat st;
	int r;

	if (w->worktree || !*w->conf.target ||
	    snapshot_lookup(w->snapshot, ".git/config.lock", &st) == 0 ||
	    viewgit_read(w, "config", CONFIG_MAX, &b) < 0 || !b.data ||
	    memchr(b.data, '\0', b.len) || !strstr(b.data, "[remote \"origin\"]"))
		return 0;
	r = create_config_branch(branch, w->conf.target, &section);
	if (r < 0 || strstr(b.data, section.data))
		return r;
	if (b.data[b.len - 1] != '\n')
		r = buf_addc(&b, '\n');
	if (r == 0)
		r = buf_adds(&b, section.data);
	return r < 0 ? r : view_put_text(w, ".git/config", b.data, reterr);
}

/* HEAD and the new branch in the view; the index and the files stay as they are. */
static int switch_view(struct worker *w, const char *branch, const git_oid *tip, struct err *reterr)
{
	_cleanup_free_ char *path = NULL, *head = NULL;
	char text[GIT_OID_HEXSZ + 2];
	int r;

	(void)snprintf(text, sizeof(text), "%s\n", git_oid_tostr_s(tip));
	if (asprintf(&path, ".git/refs/heads/%s", branch) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	if (asprintf(&head, "ref: refs/heads/%s\n", branch) < 0) {
		head = NULL;
		return -ENOMEM;
	}
	r = view_put_text(w, path, text, reterr);
	if (r == 0)
		r = set_upstream(w, branch, reterr);
	return r < 0 ? r : view_put_text(w, ".git/HEAD", head, reterr);
}

int op_next(struct worker *w, json_t *ret, struct err *reterr)
{
	struct branch_made made;
	const char *branch;
	git_oid tip, own;
	int r = worker_need_str(w, "new_branch", &branch, reterr);

	if (r < 0)
		return r;
	set_identity(w);
	r = branch_tip(&w->repo, w->conf.branch, &tip, reterr);
	if (r == 0)
		r = viewgit_head(w, &own, reterr);
	if (r < 0)
		return r;
	if (!git_oid_equal(&tip, &own))
		return err_set_id(
			reterr, -EBUSY, "Dirty",
			"the view of %s has commits that its branch lacks: materialize it first",
			w->conf.agent);
	r = branch_claim(&w->repo, branch, &tip, &made, reterr);
	if (r < 0)
		return r;
	r = switch_view(w, branch, &tip, reterr);
	if (r < 0) {
		branch_unclaim(&w->repo, branch, &tip, &made);
		return r;
	}
	(void)json_object_update_new(
		ret, json_pack("{s:s,s:s,s:b,s:o}", "base_commit", git_oid_tostr_s(&tip), "branch",
			       branch, "branch_made", made.made, "branch_was",
			       made.moved ? json_string(git_oid_tostr_s(&made.was)) : json_null()));
	return 0;
}
