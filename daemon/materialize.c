/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Op materialize. With the view's index locked and a snapshot taken (view_prepare_lock()):
 *   1. the agent's own commits are found, judged one by one, and copied to the shared store;
 *   2. what is uncommitted becomes a tree, and a commit on top of them;
 *   3. all objects are synced; the branch moves by compare-and-swap: the one step that others see;
 *   4. the view's own branch and index follow.
 * A failure up to 3 changes nothing but unreferenced objects. After 3 nothing fails: what the view
 * then lacks is said in a note.
 *
 * A view whose git is a worktree of the repository: its branch is checked out there and has the
 * agent's commits already. They are judged all the same, all since the base; one that is refused stays
 * where it is, and nothing is committed on top of it or merged until the agent has taken it back.
 */
#include "materialize.h"

#include <string.h>
#include <stdlib.h>

#include "branch.h"
#include "cleanup.h"
#include "gitdir.h"
#include "judge.h"
#include "odb.h"
#include "viewgit.h"
#include "worker_ops.h"
#include "worker_run.h"
#include "worker_view.h"
#include "worktrees.h"

struct materialize {
	struct worker *w;
	struct viewgit_objects objects;
	struct gitindex *index;
	struct commits own;
	struct worktree tree;
	git_oid base, old_tip, agent_tip, new_tip;
	bool had_branch;
	json_t *ret;
	struct err *err;
};

int materialize_author(struct worker *w, git_signature **ret, struct err *reterr)
{
	_cleanup_free_ char *email = NULL;
	int r;

	if (asprintf(&email, "%s@agentfs.invalid", w->conf.agent) < 0) {
		email = NULL;
		return -ENOMEM;
	}
	r = git_signature_now(ret, w->conf.agent, email);
	return r < 0 ? git_errno(r, reterr, "naming the author") : 0;
}

int materialize_committer(struct worker *w, git_signature **ret, struct err *reterr)
{
	const char *name = worker_str(w, "user_name"), *email = worker_str(w, "user_email");
	int r;

	if (!name || !*name)
		name = "agentfs";
	if (!email || !*email)
		email = "agentfs@agentfs.invalid";
	r = git_signature_now(ret, name, email);
	return r < 0 ? git_errno(r, reterr, "naming the committer '%s <%s>'", name, email) : 0;
}

void change_add(json_t *changes, const char *path, const struct tree_entry *from,
		const struct tree_entry *to)
{
	const char *status = !from->mode				      ? "A"
			     : !to->mode				      ? "D"
			     : (from->mode & 0170000) != (to->mode & 0170000) ? "T"
									      : "M";
	char mode[16];
	json_t *o =
		json_pack("{s:o,s:s}", "path", worker_text(path, strlen(path)), "status", status);

	if (to->mode) {
		(void)snprintf(mode, sizeof(mode), "%06o", to->mode);
		(void)json_object_set_new(o, "mode", json_string(mode));
	}
	(void)json_array_append_new(changes, o);
}

static int add_change(const struct tree_delta *d, void *user)
{
	change_add(user, d->path, &d->from, &d->to);
	return 0;
}

static int commit_tree(git_repository *git, const git_oid *id, git_oid *ret)
{
	git_commit *c = NULL;
	int r = git_commit_lookup(&c, git, id);

	if (r < 0)
		return r;
	*ret = *git_commit_tree_id(c);
	git_commit_free(c);
	return 0;
}

static int read_tips(struct materialize *m)
{
	struct worker *w = m->w;
	struct repo *r = &w->repo;
	char view_id[33], own[GITDIR_NAME_MAX];
	int q;

	view_id_hex(w, view_id);
	if (git_oid_fromstr(&m->base, w->conf.base_commit) < 0)
		return err_set_id(m->err, -EBADMSG, "Damaged",
				  "the view's base commit is not readable");
	if (w->worktree)
		gitdir_name(w->conf.agent, view_id, own);
	q = worktrees_check_free(r, w->conf.branch, w->worktree ? own : NULL, m->err);
	if (q < 0)
		return q;
	q = branch_tip(r, w->conf.branch, &m->old_tip, m->err);
	m->had_branch = q == 0;
	if (q == -ENOENT) {
		err_release(m->err);
		m->old_tip = m->base;
		q = 0;
	}
	if (q < 0)
		return q;
	return viewgit_head(w, &m->agent_tip, m->err);
}

static int take_commits(struct materialize *m)
{
	struct worker *w = m->w;
	int r;

	if (git_oid_equal(&m->agent_tip, &m->base) ||
	    (git_oid_equal(&m->agent_tip, &m->old_tip) && !w->worktree))
		return 0;
	r = viewgit_import(&m->objects, w, m->err);
	if (r == 0)
		r = commits_own(w, &m->objects, &m->agent_tip, &m->base, COMMITS_UNJUDGED, &m->own,
				m->err);
	if (r == 0)
		r = commits_judge(w, &m->objects, &m->own, m->err);
	if (r == 0)
		r = commits_copy(w, &m->objects, &m->own, m->err);
	if (r == 0) /* the shared store was asked for what it now has */
		git_odb_refresh(m->objects.odb);
	return r;
}

static int check_conflicts(struct materialize *m)
{
	if (!m->index || !gitindex_has_conflicts(m->index))
		return 0;
	return err_set_id(
		m->err, -EBUSY, "Conflict",
		"the view of %s has unresolved conflicts in its index: resolve them and git add "
		"the files first",
		m->w->conf.agent);
}

static int build_tree(struct materialize *m)
{
	struct worktree_options opt = {
		.git = m->w->repo.git,
		.index = m->index,
		.judge = true,
		.limit = !worker_bool(m->w, "force"),
		.strict = true,
		.ret = m->ret,
	};
	int r = commit_tree(opt.git, &m->agent_tip, &opt.onto);

	if (r < 0)
		return git_errno(r, m->err, "reading the view's commits");
	return worktree_build(m->w, &m->objects, &opt, &m->tree, m->err);
}

static char *message_of(struct materialize *m)
{
	const char *given = worker_str(m->w, "message");
	char *s = NULL;
	int r;

	if (given && *given)
		r = asprintf(&s, "%s%s", given, given[strlen(given) - 1] == '\n' ? "" : "\n");
	else
		r = asprintf(&s, "%s: %s (%zu file%s)\n", m->w->conf.agent, m->w->conf.task,
			     m->tree.taken, m->tree.taken == 1 ? "" : "s");
	return r < 0 ? NULL : s;
}

/* The commit of what was uncommitted, or the agent's own tip where nothing was. */
static int make_commit(struct materialize *m)
{
	_cleanup_free_ char *message = message_of(m);
	git_signature *author = NULL, *committer = NULL;
	git_commit *parent = NULL;
	git_tree *tree = NULL;
	int r;

	m->new_tip = m->agent_tip;
	if (!m->tree.taken)
		return 0;
	if (!message)
		return -ENOMEM;
	r = materialize_author(m->w, &author, m->err);
	if (r == 0)
		r = materialize_committer(m->w, &committer, m->err);
	if (r == 0) {
		r = git_commit_lookup(&parent, m->w->repo.git, &m->agent_tip);
		if (r == 0)
			r = git_tree_lookup(&tree, m->w->repo.git, &m->tree.tree);
		if (r == 0)
			r = git_commit_create_v(&m->new_tip, m->w->repo.git, NULL, author,
						committer, NULL, message, tree, 1, parent);
		if (r < 0)
			r = git_errno(r, m->err, "writing the commit");
	}
	git_tree_free(tree);
	git_commit_free(parent);
	git_signature_free(author);
	git_signature_free(committer);
	return r;
}

/* A tip that the new one does not contain is kept under a ref of its own. */
static int keep_old_tip(struct materialize *m)
{
	struct worker *w = m->w;
	_cleanup_free_ char *name = NULL, *ref = NULL;
	char id[33];
	bool inside = true;
	int r = m->had_branch
			? branch_contains(w->repo.git, &m->new_tip, &m->old_tip, &inside, m->err)
			: 0;

	if (r < 0 || inside)
		return r;
	if (asprintf(&name, "heads/%s", w->conf.branch) < 0) {
		name = NULL;
		return -ENOMEM;
	}
	view_id_hex(w, id);
	r = branch_preserve(&w->repo, w->conf.agent, id, name, &m->old_tip, &ref, m->err);
	if (r == 0)
		worker_note(
			m->ret,
			"the view's commits do not descend from the branch's tip %.10s, which is "
			"kept as %s",
			git_oid_tostr_s(&m->old_tip), ref);
	return r;
}

static int move_branch(struct materialize *m)
{
	struct worker *w = m->w;
	int r;

	if (m->had_branch && git_oid_equal(&m->new_tip, &m->old_tip))
		return 0;
	r = keep_old_tip(m);
	if (r < 0)
		return r;
	return branch_move(&w->repo, w->conf.branch, m->had_branch ? &m->old_tip : NULL,
			   &m->new_tip, "agentfs: materialize", m->err);
}

/* In a worktree HEAD has moved with the branch; its log is its own. */
static void log_head(struct materialize *m, const git_signature *who)
{
	char from[GIT_OID_HEXSZ + 1], to[GIT_OID_HEXSZ + 1];
	_cleanup_free_ char *text = NULL;

	git_oid_tostr(from, sizeof(from), &m->agent_tip);
	git_oid_tostr(to, sizeof(to), &m->new_tip);
	if (asprintf(&text, "%s <%s>", who->name, who->email) < 0)
		text = NULL;
	if (text)
		gitdir_log(m->w->gitdir, from, to, text, "agentfs: materialize");
}

/* Nothing may fail any more: the branch has moved. */
static void follow(struct materialize *m)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	_cleanup_free_ char *ref = NULL;
	git_signature *who = NULL;
	char text[GIT_OID_HEXSZ + 2];
	int r = 0;

	if (git_oid_equal(&m->new_tip, &m->agent_tip))
		return;
	(void)snprintf(text, sizeof(text), "%s\n", git_oid_tostr_s(&m->new_tip));
	if (asprintf(&ref, ".git/refs/heads/%s", m->w->conf.branch) < 0) {
		ref = NULL;
		r = -ENOMEM;
	}
	if (r == 0 && m->w->worktree && materialize_committer(m->w, &who, NULL) == 0)
		log_head(m, who);
	git_signature_free(who);
	if (r == 0)
		r = view_put_text(m->w, ref, text, &e);
	if (r == 0)
		r = materialize_index(m->w, m->index, &m->tree, &e);
	if (r < 0)
		worker_note(
			m->ret,
			"the view's own git could not be brought up to date (%s): run git reset "
			"--soft %s and git reset there",
			err_text(&e), text);
}

/* A submodule's commit is an object of another repository, which we know nothing of. */
static void tell_submodules(struct materialize *m, const json_t *changes)
{
	json_t *c;
	size_t i;

	json_array_foreach (changes, i, c) {
		const char *mode = json_string_value(json_object_get(c, "mode"));

		if (mode && strcmp(mode, "160000") == 0)
			worker_note(m->ret,
				    "'%s' is a submodule: push its commit from there, only its "
				    "number is brought over",
				    json_string_value(json_object_get(c, "path")));
	}
}

/* Where the agent made no commits, what was taken is all there is. */
static int list_changes(struct materialize *m, json_t *changes)
{
	git_oid from, to;
	int r = 0;

	if (git_oid_equal(&m->old_tip, &m->agent_tip)) {
		for (size_t i = 0; i < m->tree.n; i++)
			if (m->tree.items[i].take)
				change_add(changes, m->tree.items[i].path, &m->tree.items[i].was,
					   &m->tree.items[i].to);
		return 0;
	}
	r = commit_tree(m->w->repo.git, &m->old_tip, &from);
	if (r == 0)
		r = commit_tree(m->w->repo.git, &m->new_tip, &to);
	return r == 0 ? tree_diff(m->w->repo.git, &from, &to, add_change, changes) : r;
}

static int answer(struct materialize *m)
{
	json_t *changes = json_array();
	bool moved = !git_oid_equal(&m->new_tip, &m->old_tip);
	int r = list_changes(m, changes);

	if (r < 0)
		(void)json_array_clear(changes);
	tell_submodules(m, changes);
	if (!moved)
		worker_note(m->ret,
			    "nothing to commit: the branch '%s' has all of the view's changes",
			    m->w->conf.branch);
	(void)json_object_update_new(
		m->ret,
		json_pack("{s:o,s:s,s:I,s:o,s:s,s:I}", "commit",
			  moved ? json_string(git_oid_tostr_s(&m->new_tip)) : json_null(), "branch",
			  m->w->conf.branch, "commits",
			  (json_int_t)((m->w->worktree ? 0 : m->own.n) + (m->tree.taken ? 1 : 0)),
			  "changes", changes, "tip", git_oid_tostr_s(&m->new_tip), "files",
			  (json_int_t)m->tree.taken));
	return 0;
}

static int run(struct materialize *m)
{
	int r = read_tips(m);

	if (r == 0)
		r = viewgit_open(&m->objects, &m->w->repo, m->err);
	if (r == 0)
		r = viewgit_index(m->w, &m->index, m->err);
	if (r == 0)
		r = check_conflicts(m);
	if (r < 0)
		return r;
	r = repo_begin_objects(&m->w->repo, m->err);
	if (r == 0)
		r = take_commits(m);
	if (r == 0)
		r = build_tree(m);
	if (r == 0)
		r = make_commit(m);
	if (r == 0 && !git_oid_equal(&m->new_tip, &m->old_tip))
		r = repo_sync_objects(&m->w->repo, m->err);
	if (r == 0 && !worker_bool(m->w, "dry_run"))
		r = move_branch(m);
	if (r < 0)
		return r;
	if (!worker_bool(m->w, "dry_run"))
		follow(m);
	return answer(m);
}

int op_materialize(struct worker *w, json_t *ret, struct err *reterr)
{
	struct materialize m = {.w = w, .ret = ret, .err = reterr};
	const char *name = worker_str(w, "user_name"), *email = worker_str(w, "user_email");
	int r;

	(void)json_object_set_new(ret, "notes", json_array());
	(void)json_object_set_new(ret, "journal", json_integer((json_int_t)w->snapshot_seq));
	if (name && *name && email && *email)
		(void)git_repository_set_ident(w->repo.git, name, email);
	else
		(void)git_repository_set_ident(w->repo.git, "agentfs", "agentfs@agentfs.invalid");
	r = run(&m);
	gitindex_free(m.index);
	commits_release(&m.own);
	worktree_release(&m.tree);
	viewgit_close(&m.objects);
	return r;
}
