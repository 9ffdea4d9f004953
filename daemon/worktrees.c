/* SPDX-License-Identifier: Apache-2.0 */
/* Who has a branch checked out. A view's private repository is not looked at; one that is a worktree
 * of the repository (gitdir.h) is found by its administrative folder alone. */
#include "worktrees.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "gitdir.h"
#include "io.h"
#include "odb.h"

enum { NAME_MAX_BYTES = 8192 };

/* Is this git folder's HEAD on branch `name`? */
static bool head_is(const char *folder, const char *name)
{
	_cleanup_buf_ struct buf path = BUF_INIT, b = BUF_INIT;

	if (buf_addf(&path, "%s/HEAD", folder) < 0 ||
	    io_read_file(AT_FDCWD, path.data, NAME_MAX_BYTES, &b) < 0 || b.len < 16 ||
	    strncmp(b.data, "ref: refs/heads/", 16) != 0)
		return false;
	b.data[strcspn(b.data, "\n")] = 0;
	return strcmp(b.data + 16, name) == 0;
}

/* The same of a linked worktree; *folder is its administrative folder. */
static bool linked_head_is(const struct repo *r, const char *linked, const char *name,
			   struct buf *folder)
{
	return buf_addf(folder, "%s/worktrees/%s", r->common, linked) == 0 &&
	       head_is(folder->data, name);
}

/* Where a linked worktree is: its `gitdir` without the final "/.git". -ENOENT: it is gone, and may be
 * pruned. */
static int linked_place(const char *folder, struct buf *ret)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	int r = buf_addf(&path, "%s/locked", folder);
	bool locked = r == 0 && access(path.data, F_OK) == 0;
	char *end;

	buf_clear(&path);
	if (r == 0)
		r = buf_addf(&path, "%s/gitdir", folder);
	if (r == 0 && io_read_file(AT_FDCWD, path.data, NAME_MAX_BYTES, ret) < 0)
		r = -ENOENT;
	if (r < 0)
		return r;
	if (!ret->len)
		return -ENOENT;
	ret->data[strcspn(ret->data, "\n")] = 0;
	if (!locked && access(ret->data, F_OK) < 0)
		return -ENOENT;
	end = strrchr(ret->data, '/');
	if (end && strcmp(end, "/.git") == 0)
		*end = 0;
	return 0;
}

static int elsewhere(const char *name, const char *place, struct err *reterr)
{
	return err_set_id(reterr, -EBUSY, "BranchElsewhere",
			  "the branch '%s' is checked out in '%s': switch that worktree to another "
			  "branch first",
			  name, place);
}

static int check_linked(struct repo *r, const char *linked, const char *name, struct err *reterr)
{
	_cleanup_buf_ struct buf folder = BUF_INIT, place = BUF_INIT;
	int q;

	if (!linked_head_is(r, linked, name, &folder))
		return 0;
	q = linked_place(folder.data, &place);
	if (q < 0)
		return q == -ENOENT ? 0 : q;
	return elsewhere(name, place.data, reterr);
}

int worktrees_check_free(struct repo *r, const char *name, const char *except, struct err *reterr)
{
	git_strarray linked = {0};
	int q = 0;

	if (r->worktree && head_is(r->common, name))
		return elsewhere(name, r->worktree, reterr);
	if (git_worktree_list(&linked, r->git) < 0)
		linked.count = 0;
	for (size_t i = 0; q == 0 && i < linked.count; i++)
		if (!except || strcmp(linked.strings[i], except) != 0)
			q = check_linked(r, linked.strings[i], name, reterr);
	git_strarray_dispose(&linked);
	return q;
}

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

/* A view's files are changed through its server alone, by its own agent. */
static int check_view(struct repo *r, const char *linked, const char *name,
		      const struct gitdir_owner *owner, struct err *reterr)
{
	_cleanup_buf_ struct buf folder = BUF_INIT;

	if (!linked_head_is(r, linked, name, &folder))
		return 0;
	return err_set_id(
		reterr, -EBUSY, "BranchElsewhere",
		"the branch '%s' is checked out in the view of %s: merge it there with git, "
		"or merge into another branch",
		name, owner->agent);
}

static int look_linked(struct repo *r, const char *linked, const char *name, git_repository **found,
		       struct err *reterr)
{
	struct gitdir_owner owner;
	git_repository *git = NULL;
	git_worktree *w = NULL;
	int q;

	if (gitdir_is_view(r->common, linked, &owner))
		return check_view(r, linked, name, &owner, reterr);
	q = git_worktree_lookup(&w, r->git, linked);
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
