/* SPDX-License-Identifier: Apache-2.0 */
/* Results of merges as the interface has them. */
#include "merge_json.h"

#include <string.h>

#include "diff.h"
#include "odb.h"
#include "treewalk.h"
#include "worker_run.h"

static json_t *text(const char *s)
{
	return worker_text(s, strlen(s));
}

json_t *merge_conflicts_json(const struct merge_conflicts *c, const json_t *hunks)
{
	json_t *a = json_array();

	for (size_t i = 0; i < c->n; i++) {
		json_t *o = json_pack("{s:o,s:s,s:o}", "path", text(c->v[i].path), "kind",
				      c->v[i].kind, "reason", text(c->v[i].reason));
		json_t *of = json_object_get(hunks, c->v[i].path);

		if (of)
			(void)json_object_set(o, "hunks", of);
		(void)json_array_append_new(a, o);
	}
	return a;
}

json_t *merge_notes_json(const struct merge_notes *notes)
{
	json_t *a = json_array();

	for (size_t i = 0; i < notes->n; i++)
		(void)json_array_append_new(a, text(notes->v[i]));
	return a;
}

int merge_changes_json(struct worker *w, const git_oid *from, const git_oid *to, json_t *changes,
		       struct err *reterr)
{
	git_diff_options opts = GIT_DIFF_OPTIONS_INIT;
	git_tree *a = NULL, *b = NULL;
	git_diff *diff = NULL;
	int r = git_tree_lookup(&a, w->repo.git, from);

	opts.flags |= GIT_DIFF_INCLUDE_TYPECHANGE;
	if (r == 0)
		r = git_tree_lookup(&b, w->repo.git, to);
	if (r == 0)
		r = git_diff_tree_to_tree(&diff, w->repo.git, a, b, &opts);
	r = r < 0 ? git_errno(r, reterr, "comparing trees")
		  : diff_answer(w, diff, false, changes, NULL, reterr);
	git_diff_free(diff);
	git_tree_free(a);
	git_tree_free(b);
	return r;
}

static int add_path(const struct tree_delta *d, void *user)
{
	json_t *paths = user;

	(void)json_array_append_new(paths, text(d->path));
	return json_array_size(paths) > MERGE_TOUCHED_MAX;
}

json_t *merge_touched_json(git_repository *git, const git_oid *ours, const git_oid *theirs)
{
	json_t *paths = json_array();
	git_commit *a = NULL, *b = NULL;
	git_oid base;
	int r = git_merge_base(&base, git, ours, theirs);

	if (r == 0)
		r = git_commit_lookup(&a, git, &base);
	if (r == 0)
		r = git_commit_lookup(&b, git, theirs);
	if (r == 0)
		r = tree_diff(git, git_commit_tree_id(a), git_commit_tree_id(b), add_path, paths);
	git_commit_free(a);
	git_commit_free(b);
	if (r == 0)
		return paths;
	json_decref(paths);
	return NULL;
}
