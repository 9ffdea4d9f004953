/* SPDX-License-Identifier: Apache-2.0 */
/* Ops repository and leftovers: what a path means to us, and what of ours is there. */
#include <string.h>

#include "gitdir.h"
#include "odb.h"
#include "worker_ops.h"
#include "worker_run.h"

/* What `rev` of the request names, where it has one. */
static int add_commit(struct worker *w, json_t *ret, struct err *reterr)
{
	const char *rev = worker_str(w, "rev");
	git_commit *c = NULL;
	int r = rev ? repo_commit(&w->repo, rev, &c, reterr) : 0;

	if (r == 0 && c)
		(void)json_object_set_new(ret, "commit",
					  json_string(git_oid_tostr_s(git_commit_id(c))));
	git_commit_free(c);
	return r;
}

int op_repository(struct worker *w, json_t *ret, struct err *reterr)
{
	const char *name = "";
	git_reference *head = NULL;
	int r = add_commit(w, ret, reterr);

	if (r < 0)
		return r;
	r = git_repository_head(&head, w->repo.git);

	if (r < 0 && r != GIT_ENOTFOUND && r != GIT_EUNBORNBRANCH)
		return git_errno(r, reterr, "reading HEAD of '%s'", w->repo.git_dir);
	if (head && git_reference_is_branch(head))
		name = git_reference_shorthand(head);
	r = json_object_update_new(
		ret,
		json_pack("{s:o,s:o,s:I,s:o}", "repository",
			  worker_text(w->repo.common, strlen(w->repo.common)), "worktree",
			  w->repo.worktree ? worker_text(w->repo.worktree, strlen(w->repo.worktree))
					   : json_null(),
			  "owner_uid", (json_int_t)w->repo.owner, "head",
			  worker_text(name, strlen(name))));
	git_reference_free(head);
	return r < 0 ? -ENOMEM : 0;
}

int op_leftovers(struct worker *w, json_t *ret, struct err *reterr)
{
	json_t *found = json_array();
	git_strarray names = {0};
	struct gitdir_owner owner;
	int r = git_worktree_list(&names, w->repo.git);

	(void)json_object_set_new(ret, "worktrees", found);
	if (r < 0)
		return git_errno(r, reterr, "listing the worktrees of '%s'", w->repo.common);
	for (size_t i = 0; i < names.count; i++)
		if (gitdir_is_view(w->repo.common, names.strings[i], &owner))
			(void)json_array_append_new(
				found, json_pack("{s:o,s:s,s:s}", "path",
						 json_sprintf("%s/worktrees/%s", w->repo.common,
							      names.strings[i]),
						 "view_id", owner.view_id, "agent", owner.agent));
	git_strarray_dispose(&names);
	return 0;
}
