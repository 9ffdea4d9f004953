/* SPDX-License-Identifier: Apache-2.0 */
/* Who has a branch checked out. Views have repositories of their own, whose HEAD is not looked at. */
#include "worktrees.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "io.h"
#include "odb.h"

enum { NAME_MAX_BYTES = 8192 };

/* Does `file` in the worktree's git folder hold this branch's name? A rebase detaches HEAD. */
static bool names_branch(git_repository *git, const char *file, const char *name)
{
	_cleanup_buf_ struct buf path = BUF_INIT, b = BUF_INIT;
	const char *s;

	if (buf_addf(&path, "%s%s", git_repository_path(git), file) < 0 ||
	    io_read_file(AT_FDCWD, path.data, NAME_MAX_BYTES, &b) < 0 || !b.len)
		return false;
	b.data[strcspn(b.data, "\n")] = 0;
	s = strncmp(b.data, "refs/heads/", 11) == 0 ? b.data + 11 : b.data;
	return strcmp(s, name) == 0;
}

static int look(git_repository *git, const char *name, git_repository **found, struct err *reterr)
{
	static const char *const busy[] = {"rebase-merge/head-name", "rebase-apply/head-name",
					   "BISECT_START"};
	git_reference *head = NULL;
	const char *to;
	bool is = false;

	for (size_t i = 0; i < ARRAY_SIZE(busy); i++)
		if (names_branch(git, busy[i], name))
			return err_set_id(
				reterr, -EBUSY, "Dirty",
				"'%s' is in the middle of a %s of the branch '%s': finish or abort "
				"it first",
				git_repository_workdir(git), i == 2 ? "bisect" : "rebase", name);
	if (git_reference_lookup(&head, git, "HEAD") == 0) {
		to = git_reference_symbolic_target(head);
		is = to && strncmp(to, "refs/heads/", 11) == 0 && strcmp(to + 11, name) == 0;
	}
	git_reference_free(head);
	if (!is)
		return 0;
	if (*found)
		return err_set_id(
			reterr, -EBUSY, "BranchElsewhere",
			"the branch '%s' is checked out in two worktrees, '%s' and '%s': switch one "
			"of them to another",
			name, git_repository_workdir(*found), git_repository_workdir(git));
	return 1;
}

static int look_linked(struct repo *r, const char *linked, const char *name, git_repository **found,
		       struct err *reterr)
{
	git_repository *git = NULL;
	git_worktree *w = NULL;
	int q = git_worktree_lookup(&w, r->git, linked);

	if (q == 0 && git_worktree_validate(w) == 0)
		q = git_repository_open_from_worktree(&git, w);
	git_worktree_free(w);
	if (q < 0)
		return git_errno(q, reterr, "opening the worktree '%s'", linked);
	q = git ? look(git, name, found, reterr) : 0;
	if (q > 0)
		*found = git;
	else
		git_repository_free(git);
	return q < 0 ? q : 0;
}

int worktrees_find(struct repo *r, const char *name, git_repository **ret, struct err *reterr)
{
	git_repository *main = NULL, *found = NULL;
	git_strarray linked = {0};
	int q = git_repository_open(&main, r->common);

	if (q < 0)
		return git_errno(q, reterr, "opening the repository '%s'", r->common);
	q = git_repository_is_bare(main) ? 0 : look(main, name, &found, reterr);
	if (q > 0)
		found = main;
	else
		git_repository_free(main);
	if (q >= 0) {
		q = git_worktree_list(&linked, r->git);
		q = q < 0 ? git_errno(q, reterr, "listing the worktrees of '%s'", r->common) : 0;
	}
	for (size_t i = 0; q >= 0 && i < linked.count; i++)
		q = look_linked(r, linked.strings[i], name, &found, reterr);
	git_strarray_dispose(&linked);
	if (q < 0) {
		git_repository_free(found);
		return q;
	}
	*ret = found;
	return 0;
}
