/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Op diff: the view against its base, uncommitted work included. The working folder is made a tree
 * in a batch of objects that is never written, so that a diff leaves nothing in the repository; only paths that
 * changed are compared.
 */
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "diff.h"
#include "objects.h"
#include "odb.h"
#include "viewgit.h"
#include "worker_ops.h"
#include "worker_run.h"
#include "worker_view.h"
#include "worktree.h"

enum { PATCH_MAX = 32 << 20 };

/* Is `path` one of the asked ones, or in a folder that is? */
static bool is_asked(const json_t *paths, const char *path)
{
	size_t i;
	json_t *v;

	if (json_array_size(paths) == 0)
		return true;
	json_array_foreach ((json_t *)paths, i, v) {
		const char *want = json_string_value(v);
		size_t n = want ? strlen(want) : 0;

		while (n > 0 && want[n - 1] == '/')
			n--;
		if (n == 0 || (n == 1 && *want == '.'))
			return true;
		if (strncmp(path, want, n) == 0 && (path[n] == 0 || path[n] == '/'))
			return true;
	}
	return false;
}

static int add_delta(git_diff *diff, size_t i, json_t *changes)
{
	const git_diff_delta *d = git_diff_get_delta(diff, i);
	char mode[16], status[2] = {git_diff_status_char(d->status), 0};
	const char *path = d->new_file.path ? d->new_file.path : d->old_file.path;
	git_patch *patch = NULL;
	size_t added, removed;
	json_t *o =
		json_pack("{s:o,s:s}", "path", worker_text(path, strlen(path)), "status", status);

	if (d->status == GIT_DELTA_RENAMED || d->status == GIT_DELTA_COPIED)
		(void)json_object_set_new(o, "from",
					  worker_text(d->old_file.path, strlen(d->old_file.path)));
	if (d->new_file.mode) {
		(void)snprintf(mode, sizeof(mode), "%06o", d->new_file.mode);
		(void)json_object_set_new(o, "mode", json_string(mode));
	}
	if (git_patch_from_diff(&patch, diff, i) == 0 && patch &&
	    !(git_patch_get_delta(patch)->flags & GIT_DIFF_FLAG_BINARY) &&
	    git_patch_line_stats(NULL, &added, &removed, patch) == 0) {
		(void)json_object_set_new(o, "added", json_integer((json_int_t)added));
		(void)json_object_set_new(o, "removed", json_integer((json_int_t)removed));
	}
	git_patch_free(patch);
	return json_array_append_new(changes, o) < 0 ? -ENOMEM : 0;
}

static int add_line(const git_diff_delta *d, const git_diff_hunk *h, const git_diff_line *line,
		    void *user)
{
	struct buf *b = user;
	char origin = line->origin;

	(void)d;
	(void)h;
	if (b->len > PATCH_MAX)
		return -EFBIG;
	if ((origin == GIT_DIFF_LINE_ADDITION || origin == GIT_DIFF_LINE_DELETION ||
	     origin == GIT_DIFF_LINE_CONTEXT) &&
	    buf_addc(b, origin) < 0)
		return -ENOMEM;
	return buf_add(b, line->content, line->content_len);
}

int diff_answer(struct worker *w, git_diff *diff, bool patch, json_t *changes, json_t **ret_patch,
		struct err *reterr)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	git_diff_find_options find = GIT_DIFF_FIND_OPTIONS_INIT;
	int r;

	find.flags = GIT_DIFF_FIND_RENAMES;
	r = git_diff_find_similar(diff, &find);
	if (r < 0)
		return git_errno(r, reterr, "looking for renames");
	for (size_t i = 0; changes && r == 0 && i < git_diff_num_deltas(diff); i++)
		r = add_delta(diff, i, changes);
	if (r == 0 && patch) {
		r = git_diff_print(diff, GIT_DIFF_FORMAT_PATCH, add_line, &b);
		if (r == -EFBIG || b.len > PATCH_MAX) {
			worker_remedy(w, "name the paths, or ask for --stat");
			return err_set_id(reterr, -EFBIG, "TooLarge",
					  "the patch has more than 32 MiB");
		}
		if (r < 0)
			return git_errno(r, reterr, "writing the patch");
		*ret_patch = worker_text(b.data ? b.data : "", b.len);
	}
	return r;
}

static int diff_paths(struct worker *w, git_repository *git, const git_oid *base,
		      const struct worktree *t, json_t *ret, struct err *reterr)
{
	git_diff_options opt = GIT_DIFF_OPTIONS_INIT;
	_cleanup_free_ char **paths = calloc(t->n ? t->n : 1, sizeof(*paths));
	json_t *patch = NULL, *changes = json_object_get(ret, "changes");
	git_tree *a = NULL, *b = NULL;
	git_diff *diff = NULL;
	size_t n = 0;
	int r;

	if (!paths)
		return -ENOMEM;
	for (size_t i = 0; i < t->n; i++)
		if (t->items[i].take &&
		    is_asked(json_object_get(w->req, "paths"), t->items[i].path))
			paths[n++] = t->items[i].path;
	if (n == 0)
		return 0;
	opt.flags = GIT_DIFF_DISABLE_PATHSPEC_MATCH | GIT_DIFF_INCLUDE_TYPECHANGE |
		    GIT_DIFF_SHOW_BINARY;
	opt.pathspec = (git_strarray){paths, n};
	r = git_tree_lookup(&a, git, base);
	if (r == 0)
		r = git_tree_lookup(&b, git, &t->tree);
	if (r == 0)
		r = git_diff_tree_to_tree(&diff, git, a, b, &opt);
	if (r < 0)
		r = git_errno(r, reterr, "comparing the view with its base");
	else
		r = diff_answer(w, diff, worker_bool(w, "patch"), changes, &patch, reterr);
	if (patch)
		(void)json_object_set_new(ret, "patch", patch);
	git_diff_free(diff);
	git_tree_free(a);
	git_tree_free(b);
	return r;
}

static int run(struct worker *w, struct viewgit_objects *o, json_t *ret, struct err *reterr)
{
	struct worktree_options opt = {.scratch = worker_bool(w, "scratch"), .ret = ret};
	struct worktree t = {0};
	git_commit *c = NULL;
	struct gitindex *index = NULL;
	struct objects *ignored;
	int r = viewgit_open(o, &w->repo, reterr);

	if (r == 0)
		r = objects_begin(o->git, NULL, &ignored, reterr);
	if (r < 0)
		return r;
	r = repo_commit(&w->repo, w->conf.base_commit, &c, reterr);
	if (r < 0)
		return r;
	opt.git = o->git;
	opt.onto = *git_commit_tree_id(c);
	git_commit_free(c);
	r = viewgit_index(w, &index, reterr);
	if (r == -EOPNOTSUPP) /* what was left out would look deleted */
		return r;
	if (r < 0) { /* a diff is possible without: what is untracked may then look ignored */
		err_release(reterr);
		index = NULL;
	}
	opt.index = index;
	r = worktree_build(w, o, &opt, &t, reterr);
	gitindex_free(index);
	if (r == 0)
		r = diff_paths(w, o->git, &opt.onto, &t, ret, reterr);
	worktree_release(&t);
	return r;
}

int op_diff(struct worker *w, json_t *ret, struct err *reterr)
{
	struct viewgit_objects o = {0};
	int r;

	(void)json_object_set_new(ret, "changes", json_array());
	if (worker_bool(w, "patch"))
		(void)json_object_set_new(ret, "patch", json_string(""));
	r = run(w, &o, ret, reterr);
	viewgit_close(&o);
	return r;
}
