/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Op sync: the view moves to another base commit. With the view's index locked and a snapshot taken:
 *   1. refs/agentfs/base/<view-id>-next keeps the new base (and the merge commit) alive;
 *   2. the base's image is built, unless it is there;
 *   3. what becomes of branch, files and index is found out, and their bytes gathered;
 *   4. the server does all of it by one record of its journal, if nothing has changed the view since:
 *      before it the view is on the old base, after it on the new one, and nothing in between is seen;
 *   5. the branch in the repository follows, and refs/agentfs/base/<view-id>.
 * An end before 4 changes nothing that anybody sees. An end after it leaves the branch to the next sync or
 * materialize, and the row of the view to the daemon's next start, which asks the server.
 */
#include "sync.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "branch.h"
#include "cleanup.h"
#include "create.h"
#include "gitdir.h"
#include "gitindex.h"
#include "image.h"
#include "io.h"
#include "odb.h"
#include "snapshot.h"
#include "sys.h"
#include "tree_sync.h"
#include "worker_ops.h"
#include "worker_run.h"
#include "worker_view.h"
#include "worktrees.h"

int sync_prepare(struct worker *w, struct err *reterr)
{
	char id[33];
	int r = view_open_conf(w, reterr);

	if (r < 0)
		return r;
	view_id_hex(w, id);
	r = create_open_image(w, id, w->conf.uid, w->conf.gid, reterr);
	return r < 0 ? r : view_open_snapshot(w, true, true, reterr);
}

void sync_finish(struct worker *w)
{
	view_finish(w);
	create_finish(w);
}

/* --- 1, 2: what it moves to --- */

static int resolve(struct sync_plan *p, git_commit **ret)
{
	struct worker *w = p->w;
	const char *rev = worker_str(w, "to");
	_cleanup_free_ char *full = NULL;
	int r;

	if (!rev && !*w->conf.target)
		return err_set_id(p->err, -EINVAL, "Invalid",
				  "the base of %s was taken from no branch: say --to REV",
				  w->conf.agent);
	if (!rev && asprintf(&full, "refs/heads/%s", w->conf.target) < 0) {
		full = NULL;
		return -ENOMEM;
	}
	r = repo_commit(&w->repo, rev ? rev : full, ret, p->err);
	if (r == 0)
		p->next = *git_commit_id(*ret);
	return r;
}

static int read_tips(struct sync_plan *p)
{
	struct worker *w = p->w;
	int r;

	if (git_oid_fromstr(&p->base, w->conf.base_commit) < 0)
		return err_set_id(p->err, -EBADMSG, "Damaged",
				  "the view's base commit is not readable");
	r = worktrees_check_free(&w->repo, w->conf.branch, NULL, p->err);
	if (r == 0)
		r = viewgit_head(w, &p->tip, p->err);
	if (r < 0)
		return r;
	r = branch_tip(&w->repo, w->conf.branch, &p->old_tip, p->err);
	p->had_branch = r == 0;
	if (r != -ENOENT)
		return r;
	err_release(p->err);
	return 0;
}

/* --- 3: the view's own git --- */

static int put_text(struct sync_plan *p, const char *path, const char *fmt, const char *arg)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = buf_addf(&b, fmt, arg);

	return r < 0 ? r : sync_put(p, path, b.data, b.len);
}

static int put_refs(struct sync_plan *p)
{
	const char *branch = worker_str(p->w, "new_branch");
	_cleanup_free_ char *path = NULL;
	char tip[GIT_OID_HEXSZ + 1], head[GIT_OID_HEXSZ + 1], next[GIT_OID_HEXSZ + 1];
	int r;

	git_oid_tostr(tip, sizeof(tip), &p->tip);
	git_oid_tostr(head, sizeof(head), &p->head);
	git_oid_tostr(next, sizeof(next), &p->next);
	if (asprintf(&path, ".git/refs/heads/%s", branch ? branch : p->w->conf.branch) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	r = put_text(p, ".git/ORIG_HEAD", "%s\n", tip);
	if (r == 0 && p->merging) {
		r = put_text(p, ".git/MERGE_HEAD", "%s\n", next);
		if (r == 0)
			r = put_text(p, ".git/MERGE_MSG", "Merge %s, the new base\n", next);
		return r < 0 ? r : put_text(p, ".git/MERGE_MODE", "%s", "");
	}
	if (r == 0)
		r = put_text(p, path, "%s\n", head);
	if (r == 0 && branch)
		r = put_text(p, ".git/HEAD", "ref: refs/heads/%s\n", branch);
	return r;
}

/* --- 4: the move --- */

static int move_view(struct sync_plan *p, uint64_t *ret_kept)
{
	char hex[GIT_OID_HEXSZ + 1];
	const struct view_move_request m = {
		.image = p->image,
		.commit = git_oid_tostr(hex, sizeof(hex), &p->next),
		.time = p->time,
		.seq = snapshot_seq(p->w->snapshot),
		.actions = p->actions.len,
		.fd = p->payload,
	};
	int r = io_pwrite_full(p->payload, p->actions.data ? p->actions.data : "", p->actions.len,
			       0);

	if (r == 0)
		r = view_move(p->w, &m, ret_kept, p->err);
	if (r != -EAGAIN)
		return r < 0 ? err_wrap(p->err, "moving the view") : 0;
	err_release(p->err);
	worker_detail(p->w, "again", json_true());
	return err_set_id(p->err, -EBUSY, "Busy",
			  "the view of %s is being written to all the time: freeze it first, or "
			  "try again when it is quiet",
			  p->w->conf.agent);
}

/* --- 5: the repository's refs. Nothing may fail any more --- */

static void follow(struct sync_plan *p, uint64_t kept)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct worker *w = p->w;
	_cleanup_free_ char *name = NULL, *ref = NULL;
	bool inside = true;
	char id[33];
	int r = 0;

	view_id_hex(w, id);
	if (!p->merging && !worker_str(w, "new_branch") &&
	    !(p->had_branch && git_oid_equal(&p->old_tip, &p->head))) {
		if (p->had_branch && !git_oid_equal(&p->old_tip, &p->base))
			r = branch_contains(w->repo.git, &p->head, &p->old_tip, &inside, &e);
		if (r == 0 && !inside && asprintf(&name, "heads/%s", w->conf.branch) >= 0)
			r = branch_preserve(&w->repo, w->conf.agent, id, name, &p->old_tip, &ref,
					    &e);
		if (r == 0)
			r = branch_move(&w->repo, w->conf.branch,
					p->had_branch ? &p->old_tip : NULL, &p->head,
					"agentfs: sync", &e);
	}
	if (r < 0)
		worker_note(p->ret,
			    "the branch '%s' stays where it is until the next materialize: %s",
			    w->conf.branch, err_text(&e));
	if (ref)
		worker_note(p->ret, "the branch's tip before is kept as %s", ref);
	branch_move_base(&w->repo, id, &p->base, &p->next, kept > 0);
}

/* --- the answer --- */

static int answer(struct sync_plan *p, bool moved)
{
	json_t *conflicts = json_array(), *merged = json_array();
	char from[GIT_OID_HEXSZ + 1], to[GIT_OID_HEXSZ + 1], head[GIT_OID_HEXSZ + 1],
		tree[GIT_OID_HEXSZ + 1];

	for (size_t i = 0; i < p->n; i++) {
		const struct sync_item *it = &p->items[i];

		if (it->kind)
			(void)json_array_append_new(
				conflicts,
				json_pack("{s:o,s:s,s:o}", "path",
					  worker_text(it->path, strlen(it->path)), "kind", it->kind,
					  "reason",
					  worker_text(it->reason ? it->reason : "",
						      it->reason ? strlen(it->reason) : 0)));
		else if (it->put)
			(void)json_array_append_new(merged,
						    worker_text(it->path, strlen(it->path)));
	}
	git_oid_tostr(from, sizeof(from), &p->base);
	git_oid_tostr(to, sizeof(to), &p->next);
	git_oid_tostr(head, sizeof(head), &p->head);
	git_oid_tostr(tree, sizeof(tree), &p->next_tree);
	return json_object_update_new(
		       p->ret,
		       json_pack("{s:b,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:o,s:o,s:b,s:b}", "moved",
				 moved, "from", from, "to", to, "base_commit", to, "head", head,
				 "tree", tree, "image", p->image ? p->image : "", "files",
				 (json_int_t)p->n, "merged", merged, "conflicts", conflicts,
				 "merging", p->merging, "merge", p->merged)) < 0
		       ? -ENOMEM
		       : 0;
}

static int make(struct sync_plan *p, git_commit *commit)
{
	int r = create_image_of(p->w, commit, &p->image, p->err);

	if (r < 0)
		return r;
	p->time = (int64_t)sys_now_ns();
	p->payload = memfd_create("sync", MFD_CLOEXEC);
	if (p->payload < 0)
		return err_set(p->err, -errno, "moving the view: %s", strerror(errno));
	r = viewgit_index(p->w, &p->index, p->err);
	if (r == 0 && p->index && gitindex_has_conflicts(p->index))
		r = err_set_id(
			p->err, -EBUSY, "Conflict",
			"the view of %s has unresolved conflicts in its index: resolve them and "
			"git add the files first",
			p->w->conf.agent);
	if (r == 0)
		r = sync_items(p);
	if (r == 0)
		r = sync_actions(p);
	if (r == 0)
		r = sync_index(p);
	return r < 0 ? r : put_refs(p);
}

/* The next task's target is the branch that its base was taken from, where it is one. */
static void name_target(struct sync_plan *p)
{
	const char *to = worker_str(p->w, "to");
	git_reference *ref = NULL;

	if (to && git_branch_lookup(&ref, p->w->repo.git, to, GIT_BRANCH_LOCAL) == 0)
		(void)json_object_set_new(p->ret, "target", worker_text(to, strlen(to)));
	git_reference_free(ref);
}

static int run(struct sync_plan *p, git_commit *commit)
{
	struct branch_made made = {0};
	const char *branch = worker_str(p->w, "new_branch");
	bool dry = worker_bool(p->w, "dry_run");
	uint64_t kept = 0;
	char id[33];
	int r;

	view_id_hex(p->w, id);
	r = viewgit_open(&p->objects, &p->w->repo, p->err);
	if (r == 0)
		r = repo_begin_objects(&p->w->repo, p->err);
	if (r == 0)
		r = sync_heads(p);
	if (r > 0)
		return answer(p, false);
	if (r == 0 && branch && !git_oid_equal(&p->tip, &p->old_tip))
		r = err_set_id(
			p->err, -EBUSY, "Dirty",
			"the view of %s has commits that its branch lacks: materialize it first",
			p->w->conf.agent);
	if (r == 0)
		r = make(p, commit);
	if (r == 0)
		r = repo_sync_objects(&p->w->repo, p->err);
	if (r < 0 || dry)
		return r < 0 ? r : answer(p, false);
	r = branch_hold_base(&p->w->repo, id, p->merging ? &p->next : &p->head, p->err);
	if (r == 0 && branch)
		r = branch_claim(&p->w->repo, branch, &p->next, &made, p->err);
	if (r == 0) {
		r = move_view(p, &kept);
		if (r < 0 && branch)
			branch_unclaim(&p->w->repo, branch, &p->next, &made);
	}
	if (r < 0)
		return r;
	follow(p, kept);
	if (branch) {
		(void)json_object_set_new(p->ret, "branch_made", json_boolean(made.made));
		name_target(p);
	}
	return answer(p, true);
}

int op_sync(struct worker *w, json_t *ret, struct err *reterr)
{
	struct sync_plan p = {.w = w, .ret = ret, .err = reterr, .payload = -1};
	git_commit *commit = NULL;
	int r;

	p.markers = worker_bool(w, "markers");
	p.style = worker_str(w, "style");
	(void)json_object_set_new(ret, "notes", json_array());
	if (w->worktree)
		return err_set_id(
			reterr, -EOPNOTSUPP, "Unsupported",
			"the git of %s is a worktree of the repository, whose HEAD and index "
			"are not the view's: merge the branch there with git, or make a "
			"view with a private git",
			w->conf.agent);
	(void)git_repository_set_ident(w->repo.git, "agentfs", "agentfs@agentfs.invalid");
	r = read_tips(&p);
	if (r == 0)
		r = resolve(&p, &commit);
	if (r == 0 && git_oid_equal(&p.next, &p.base) && git_oid_equal(&p.tip, &p.base) &&
	    !worker_str(w, "new_branch")) {
		p.head = p.tip;
		r = answer(&p, false);
	} else if (r == 0) {
		r = run(&p, commit);
	}
	git_commit_free(commit);
	sync_items_release(&p);
	commits_release(&p.own);
	gitindex_free(p.index);
	buf_release(&p.actions);
	(void)safe_close(p.payload);
	free(p.image);
	viewgit_close(&p.objects);
	return r;
}
