/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Op trial: a held merge with some of its files as a side has them, to find out which of them does not pass its
 * verification.
 *
 * Guarantees: nothing refers to the commit, it is made to be verified and forgotten: what is written stays until git
 * collects it, not before the time that git leaves fresh objects.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "odb.h"
#include "treewalk.h"
#include "worker_ops.h"
#include "worker_run.h"

struct trial {
	git_repository *git;
	git_commit *merge;
	git_oid side[2]; /* trees: the target's, the source's */
	size_t nsides;
};

static int commit_of(struct worker *w, const char *key, git_commit **ret, struct err *reterr)
{
	const char *hex = NULL;
	git_oid id;
	int r = worker_need_str(w, key, &hex, reterr);

	if (r < 0)
		return r;
	if (git_oid_fromstr(&id, hex) < 0)
		return err_set_id(reterr, -EINVAL, "Invalid", "'%s' is no commit", hex);
	r = git_commit_lookup(ret, w->repo.git, &id);
	return r < 0 ? git_errno(r, reterr, "reading the commit '%s'", hex) : 0;
}

static int add_side(struct worker *w, struct trial *t, const char *key, struct err *reterr)
{
	git_commit *c = NULL;
	int r = commit_of(w, key, &c, reterr);

	if (r == 0)
		git_oid_cpy(&t->side[t->nsides++], git_commit_tree_id(c));
	git_commit_free(c);
	return r;
}

/* The file as the first side that has it under this name; where none has, it stays as it was merged. */
static int edit_of(struct trial *t, const char *path, struct tree_edit *ret)
{
	int r = 0;

	*ret = (struct tree_edit){.path = path};
	for (size_t i = 0; i < t->nsides && r == 0 && !ret->to.mode; i++)
		r = tree_get(t->git, &t->side[i], path, &ret->to);
	return r < 0 ? r : ret->to.mode != 0;
}

/* The merge's tree with these files. */
static int edit_tree(struct trial *t, json_t *paths, git_oid *ret)
{
	_cleanup_free_ struct tree_edit *edits = calloc(json_array_size(paths) + 1, sizeof(*edits));
	size_t n = 0, i;
	json_t *path;
	int r = edits ? 0 : -ENOMEM;

	git_oid_cpy(ret, git_commit_tree_id(t->merge));
	json_array_foreach (paths, i, path) {
		if (r < 0 || !json_is_string(path))
			break;
		r = edit_of(t, json_string_value(path), &edits[n]);
		n += r > 0;
	}
	if (r < 0 || n == 0)
		return r < 0 ? r : 0;
	qsort(edits, n, sizeof(*edits), tree_path_order);
	return tree_apply(t->git, NULL, git_commit_tree_id(t->merge), edits, n, ret);
}

static int make_commit(struct trial *t, const git_oid *tree_id, git_oid *ret, struct err *reterr)
{
	git_commit *parents[2] = {0};
	unsigned int n = git_commit_parentcount(t->merge);
	git_tree *tree = NULL;
	int r = git_tree_lookup(&tree, t->git, tree_id);

	for (unsigned int i = 0; r == 0 && i < n && i < ARRAY_SIZE(parents); i++)
		r = git_commit_parent(&parents[i], t->merge, i);
	if (r == 0)
		r = git_commit_create(ret, t->git, NULL, git_commit_author(t->merge),
				      git_commit_committer(t->merge), NULL,
				      git_commit_message(t->merge), tree,
				      n < ARRAY_SIZE(parents) ? n : ARRAY_SIZE(parents),
				      (const git_commit **)parents);
	git_commit_free(parents[0]);
	git_commit_free(parents[1]);
	git_tree_free(tree);
	return r < 0 ? git_errno(r, reterr, "making a commit to be verified") : 0;
}

int op_trial(struct worker *w, json_t *ret, struct err *reterr)
{
	struct trial t = {.git = w->repo.git};
	char hex[GIT_OID_HEXSZ + 1];
	git_oid tree, commit;
	int r = commit_of(w, "commit", &t.merge, reterr);

	if (r == 0)
		r = add_side(w, &t, "target_commit", reterr);
	if (r == 0)
		r = add_side(w, &t, "source_commit", reterr);
	if (r == 0) {
		r = edit_tree(&t, json_object_get(w->req, "paths"), &tree);
		if (r < 0)
			(void)err_set(reterr, r, "making a tree to be verified: %s", strerror(-r));
	}
	if (r == 0)
		r = make_commit(&t, &tree, &commit, reterr);
	if (r == 0)
		r = repo_sync_objects(&w->repo, reterr);
	git_commit_free(t.merge);
	if (r < 0)
		return r;
	return json_object_set_new(ret, "commit",
				   json_string(git_oid_tostr(hex, sizeof(hex), &commit))) < 0
		       ? -ENOMEM
		       : 0;
}
