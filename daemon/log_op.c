/* SPDX-License-Identifier: Apache-2.0 */
/* Op log: the commits of a view since its base, newest first: the agent's own and its branch's. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "branch.h"
#include "cleanup.h"
#include "diff.h"
#include "odb.h"
#include "viewgit.h"
#include "worker_ops.h"
#include "worker_run.h"
#include "worker_view.h"

enum { LOG_MAX = 1000 };

static json_t *time_text(git_time_t t)
{
	char text[32];
	time_t at = (time_t)t;
	struct tm tm;

	if (!gmtime_r(&at, &tm) || strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		return json_string("1970-01-01T00:00:00Z");
	return json_string(text);
}

static int add_patch(struct worker *w, git_repository *git, git_commit *c, json_t *o,
		     struct err *reterr)
{
	git_commit *parent = NULL;
	git_tree *from = NULL, *to = NULL;
	git_diff *diff = NULL;
	json_t *patch = NULL;
	int r = 0;

	if (git_commit_parentcount(c) > 1)
		return 0;
	if (git_commit_parentcount(c) == 1)
		r = git_commit_parent(&parent, c, 0);
	if (r == 0 && parent)
		r = git_commit_tree(&from, parent);
	if (r == 0)
		r = git_commit_tree(&to, c);
	if (r == 0)
		r = git_diff_tree_to_tree(&diff, git, from, to, NULL);
	if (r < 0)
		r = git_errno(r, reterr, "comparing commit %s with its parent",
			      git_oid_tostr_s(git_commit_id(c)));
	else
		r = diff_answer(w, diff, true, NULL, &patch, reterr);
	if (patch)
		(void)json_object_set_new(o, "patch", patch);
	git_diff_free(diff);
	git_tree_free(from);
	git_tree_free(to);
	git_commit_free(parent);
	return r;
}

static int add_commit(struct worker *w, git_repository *git, const git_oid *id, json_t *commits,
		      struct err *reterr)
{
	_cleanup_free_ char *author = NULL;
	const git_signature *who;
	const char *subject, *body;
	git_commit *c = NULL;
	json_t *o;
	int r = git_commit_lookup(&c, git, id);

	if (r < 0)
		return git_errno(r, reterr, "reading commit %s", git_oid_tostr_s(id));
	who = git_commit_author(c);
	if (asprintf(&author, "%s <%s>", who->name, who->email) < 0) {
		author = NULL;
		git_commit_free(c);
		return -ENOMEM;
	}
	subject = git_commit_summary(c);
	body = git_commit_body(c);
	subject = subject ? subject : "";
	body = body ? body : "";
	o = json_pack("{s:s,s:o,s:o,s:o,s:o}", "id", git_oid_tostr_s(id), "author",
		      worker_text(author, strlen(author)), "time", time_text(git_commit_time(c)),
		      "subject", worker_text(subject, strlen(subject)), "body",
		      worker_text(body, strlen(body)));
	(void)json_array_append_new(commits, o);
	if (worker_bool(w, "patch"))
		r = add_patch(w, git, c, o, reterr);
	git_commit_free(c);
	return r;
}

/* The view's tip where it can be read, else the branch's. */
static int find_tip(struct worker *w, struct viewgit_objects *o, git_oid *ret, struct err *reterr)
{
	_cleanup_free_ char *ref = NULL;
	int r;

	if (asprintf(&ref, "refs/heads/%s", w->conf.branch) < 0) {
		ref = NULL;
		return -ENOMEM;
	}
	if (viewgit_ref(w, ref, ret) == 0) {
		r = git_odb_exists(o->odb, ret) ? 0 : viewgit_import(o, w, reterr);
		if (r < 0 || git_odb_exists(o->odb, ret))
			return r;
	}
	return branch_tip(&w->repo, w->conf.branch, ret, reterr);
}

struct pending {
	git_oid v[LOG_MAX];
	git_time_t time[LOG_MAX];
	size_t n, next; /* those before `next` are done */
};

static void add_pending(git_repository *git, struct pending *p, const git_oid *id)
{
	git_commit *c = NULL;

	for (size_t i = 0; i < p->n; i++)
		if (git_oid_equal(&p->v[i], id))
			return;
	if (p->n == LOG_MAX || git_commit_lookup(&c, git, id) < 0)
		return;
	p->v[p->n] = *id;
	p->time[p->n++] = git_commit_time(c);
	git_commit_free(c);
}

/* Brings the newest of those that are not done to the front of them. */
static const git_oid *take_newest(struct pending *p)
{
	size_t at = p->next;
	git_time_t time;
	git_oid id;

	for (size_t i = p->next; i < p->n; i++)
		if (p->time[i] > p->time[at])
			at = i;
	id = p->v[at];
	time = p->time[at];
	p->v[at] = p->v[p->next];
	p->time[at] = p->time[p->next];
	p->v[p->next] = id;
	p->time[p->next] = time;
	return &p->v[p->next++];
}

/* In a history that is cut off: by hand, newest first. */
static int list_cut(struct worker *w, git_repository *git, const git_oid *tip, const git_oid *base,
		    json_t *commits, struct err *reterr)
{
	_cleanup_free_ struct pending *p = calloc(1, sizeof(*p));
	int r = p ? 0 : -ENOMEM;

	if (p)
		add_pending(git, p, tip);
	while (r == 0 && p->next < p->n) {
		const git_oid *id = take_newest(p);
		git_commit *c = NULL;
		bool inside = false;

		r = branch_contains(git, base, id, &inside, reterr);
		if (r < 0 || inside)
			continue;
		r = add_commit(w, git, id, commits, reterr);
		if (r < 0 || git_commit_lookup(&c, git, id) < 0)
			continue;
		for (unsigned i = 0; i < git_commit_parentcount(c); i++)
			add_pending(git, p, git_commit_parent_id(c, i));
		git_commit_free(c);
	}
	return r;
}

static int list_walk(struct worker *w, git_repository *git, const git_oid *tip, const git_oid *base,
		     json_t *commits, struct err *reterr)
{
	git_revwalk *walk = NULL;
	git_oid id;
	int r = git_revwalk_new(&walk, git);

	if (r == 0)
		r = git_revwalk_sorting(walk, GIT_SORT_TOPOLOGICAL | GIT_SORT_TIME);
	if (r == 0)
		r = git_revwalk_push(walk, tip);
	if (r == 0)
		r = git_revwalk_hide(walk, base);
	if (r < 0)
		r = git_errno(r, reterr, "reading the view's commits");
	while (r == 0 && json_array_size(commits) < LOG_MAX) {
		int q = git_revwalk_next(&id, walk);

		if (q == GIT_ITEROVER)
			break;
		r = q < 0 ? git_errno(q, reterr, "reading the view's commits")
			  : add_commit(w, git, &id, commits, reterr);
	}
	git_revwalk_free(walk);
	return r;
}

static int list(struct worker *w, struct viewgit_objects *o, json_t *commits, struct err *reterr)
{
	git_oid base, tip;
	int r = find_tip(w, o, &tip, reterr);

	if (r < 0)
		return r;
	if (git_oid_fromstr(&base, w->conf.base_commit) < 0)
		return err_set_id(reterr, -EBADMSG, "Damaged",
				  "the view's base commit is not readable");
	return branch_is_cut(w->repo.git) ? list_cut(w, o->git, &tip, &base, commits, reterr)
					  : list_walk(w, o->git, &tip, &base, commits, reterr);
}

int op_log(struct worker *w, json_t *ret, struct err *reterr)
{
	struct viewgit_objects o = {0};
	json_t *commits = json_array();
	int r;

	(void)json_object_set_new(ret, "commits", commits);
	r = viewgit_open(&o, &w->repo, reterr);
	if (r == 0)
		r = list(w, &o, commits, reterr);
	viewgit_close(&o);
	return r;
}
