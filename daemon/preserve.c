/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Op preserve (of a worktree, whose branches and stash are the repository's: uncommitted work and a
 * detached HEAD alone): before a view goes, what only it has is kept under
 * refs/agentfs/preserved/<agent>/<view-id>/: uncommitted work as a commit (work), each branch
 * (heads/), a detached HEAD (heads/HEAD) and each stash. What the shared repository's branches
 * contain already is not kept again. One thing that cannot be kept is said and does not stop the
 * others.
 */
#include <stdlib.h>
#include <string.h>

#include "branch.h"
#include "cleanup.h"
#include "judge.h"
#include "materialize.h"
#include "odb.h"
#include "viewgit.h"
#include "worker_ops.h"
#include "worker_run.h"
#include "worker_view.h"

enum { LOG_MAX = 16 << 20, LOG_LINE_MIN = 2 * GIT_OID_HEXSZ + 1 };

struct preserve {
	struct worker *w;
	struct viewgit_objects objects;
	git_oid base;
	char id[33];
	char *first; /* the ref that the command brings back */
	json_t *refs, *ret;
	struct err *err;
};

static int add_ref(struct preserve *p, const char *name, const git_oid *tip)
{
	_cleanup_free_ char *ref = NULL;
	int r = repo_sync_objects(&p->w->repo, p->err); /* never a ref before its objects */

	if (r == 0)
		r = branch_preserve(&p->w->repo, p->w->conf.agent, p->id, name, tip, &ref, p->err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < json_array_size(p->refs); i++)
		if (strcmp(json_string_value(json_array_get(p->refs, i)), ref) == 0)
			return 0;
	(void)json_array_append_new(p->refs, json_string(ref));
	if (!p->first)
		p->first = TAKE_PTR(ref);
	return 0;
}

/* Brings a commit and its history over; *ret_known: a branch of the shared repository has it. */
static int bring(struct preserve *p, const git_oid *tip, bool *ret_known, struct err *reterr)
{
	struct commits own = {0};
	int r = viewgit_import(&p->objects, p->w, reterr);

	if (r == 0)
		r = commits_own(p->w, &p->objects, tip, &p->base, COMMITS_UNKEPT, &own, reterr);
	if (r == 0) {
		*ret_known = own.n == 0;
		r = commits_copy(p->w, &p->objects, &own, reterr);
	}
	commits_release(&own);
	return r;
}

static int keep(const char *name, const git_oid *tip, void *user)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct preserve *p = user;
	bool known = false;
	int r = bring(p, tip, &known, &e);

	if (r == -ENOSPC || r == -ENOMEM)
		return err_set(p->err, r, "%s", err_text(&e));
	if (r < 0) {
		worker_note(p->ret, "'%s' of the view could not be kept: %s", name, err_text(&e));
		return 0;
	}
	if (known)
		return 0;
	return add_ref(p, strncmp(name, "refs/", 5) == 0 ? name + 5 : name, tip);
}

/* Stashes below the newest stand only in its log, oldest first: "OLD NEW WHO TIME\tTEXT". */
static int keep_stashes(struct preserve *p)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	char *line, *next;
	int r = viewgit_read(p->w, "logs/refs/stash", LOG_MAX, &b);

	if (r < 0)
		return 0;
	for (line = b.data, r = 0; r == 0 && line && *line; line = next) {
		git_oid oid;

		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		if (strlen(line) > LOG_LINE_MIN &&
		    git_oid_fromstrn(&oid, line + GIT_OID_HEXSZ + 1, GIT_OID_HEXSZ) == 0)
			r = keep("refs/stash", &oid, p);
	}
	return r;
}

/* The commit that HEAD stands on; the base where that cannot be read. */
static void find_head(struct preserve *p, git_oid *ret, bool *ret_detached)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	*ret = p->base;
	*ret_detached = false;
	if (viewgit_read(p->w, "HEAD", 4096, &b) < 0 || b.len == 0) {
		if (p->w->worktree) /* its git folder is gone, its branch is not */
			(void)branch_tip(&p->w->repo, p->w->conf.branch, ret, NULL);
		return;
	}
	b.data[strcspn(b.data, "\r\n")] = 0;
	if (strncmp(b.data, "ref: refs/", 10) == 0 && !strstr(b.data, ".."))
		(void)viewgit_ref(p->w, b.data + 5, ret);
	else
		*ret_detached = git_oid_fromstr(ret, b.data) == 0;
	if (!*ret_detached && git_oid_is_zero(ret))
		*ret = p->base;
}

static int commit_work(struct preserve *p, const git_oid *parent, const git_oid *tree_id)
{
	_cleanup_free_ char *message = NULL;
	git_signature *author = NULL, *committer = NULL;
	git_commit *c = NULL;
	git_tree *tree = NULL;
	git_oid made;
	int r;

	if (asprintf(&message, "%s: uncommitted work on %s\n", p->w->conf.agent, p->w->conf.task) <
	    0) {
		message = NULL;
		return -ENOMEM;
	}
	r = materialize_author(p->w, &author, p->err);
	if (r == 0)
		r = materialize_committer(p->w, &committer, p->err);
	if (r == 0) {
		r = git_commit_lookup(&c, p->w->repo.git, parent);
		if (r == 0)
			r = git_tree_lookup(&tree, p->w->repo.git, tree_id);
		if (r == 0)
			r = git_commit_create_v(&made, p->w->repo.git, NULL, author, committer,
						NULL, message, tree, 1, c);
		if (r < 0)
			r = git_errno(r, p->err, "keeping uncommitted work");
	}
	git_tree_free(tree);
	git_commit_free(c);
	git_signature_free(author);
	git_signature_free(committer);
	return r < 0 ? r : add_ref(p, "work", &made);
}

static int keep_work(struct preserve *p, const git_oid *head)
{
	struct worktree_options opt = {.git = p->w->repo.git, .nested = true, .ret = p->ret};
	_cleanup_(err_release) struct err ignored = ERR_INIT;
	struct gitindex *index = NULL;
	struct worktree t = {0};
	git_oid parent = *head;
	git_commit *c = NULL;
	bool known;
	int r;

	/* An agent's commit that cannot be brought over: the base is then the parent. */
	if (bring(p, &parent, &known, &ignored) < 0)
		parent = p->base;
	r = git_commit_lookup(&c, opt.git, &parent);
	if (r < 0)
		return git_errno(r, p->err, "reading the commit under the view");
	opt.onto = *git_commit_tree_id(c);
	git_commit_free(c);
	err_release(&ignored);
	r = viewgit_index(p->w, &index, &ignored);
	opt.index = index;
	/* What a sparse checkout left out was not deleted; only its index would tell which is which. */
	opt.additive = r == -EOPNOTSUPP;
	r = worktree_build(p->w, &p->objects, &opt, &t, p->err);
	gitindex_free(index);
	if (r == 0 && t.taken)
		r = commit_work(p, &parent, &t.tree);
	worktree_release(&t);
	return r;
}

static int preserve_all(struct preserve *p)
{
	git_oid head;
	bool detached;
	int r;

	if (git_oid_fromstr(&p->base, p->w->conf.base_commit) < 0)
		return err_set_id(p->err, -EBADMSG, "Damaged",
				  "the view's base commit is not readable");
	view_id_hex(p->w, p->id);
	r = viewgit_open(&p->objects, &p->w->repo, p->err);
	if (r == 0)
		r = repo_begin_objects(&p->w->repo, p->err);
	if (r < 0)
		return r;
	find_head(p, &head, &detached);
	r = keep_work(p, &head);
	if (r == 0 && detached)
		r = keep("heads/HEAD", &head, p);
	if (r == 0)
		r = viewgit_refs(p->w, keep, p);
	if (r == 0)
		r = keep_stashes(p);
	return r;
}

/* The command that brings the first kept ref back, as a shell takes it. NULL: no memory. */
static char *restore_command(const struct worker *w, const char *ref)
{
	const char *where = w->repo.worktree ? w->repo.worktree : w->repo.common;
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = buf_adds(&b, "git -C '");

	for (; *where && r == 0; where++)
		r = *where == '\'' ? buf_adds(&b, "'\\''") : buf_add(&b, where, 1);
	if (r == 0)
		r = buf_addf(&b, "' branch %s-restored %s", w->conf.agent, ref);
	return r < 0 ? NULL : strdup(b.data);
}

int op_preserve(struct worker *w, json_t *ret, struct err *reterr)
{
	struct preserve p = {.w = w, .ret = ret, .err = reterr, .refs = json_array()};
	_cleanup_free_ char *restore = NULL;
	int r;

	(void)json_object_set_new(ret, "preserved", p.refs);
	(void)json_object_set_new(ret, "notes", json_array());
	(void)git_repository_set_ident(w->repo.git, "agentfs", "agentfs@agentfs.invalid");
	r = preserve_all(&p);
	viewgit_close(&p.objects);
	if (r == 0 && p.first)
		restore = restore_command(w, p.first);
	(void)json_object_set_new(ret, "restore",
				  restore ? worker_text(restore, strlen(restore)) : json_null());
	free(p.first);
	return r;
}
