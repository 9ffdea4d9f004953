/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Op apply: the change between two commits into a worktree's files, uncommitted and not staged.
 *
 * Guarantees: per file, what stands there is the third version of a merge: as in the base: taken over;
 * already as in the source: left; else merged by line, or a conflict. With one conflict nothing is
 * changed. Neither index nor refs are.
 */
#include <errno.h>
#include <git2/sys/repository.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "checkout.h"
#include "cleanup.h"
#include "merge.h"
#include "merge_file.h"
#include "merge_json.h"
#include "merge_private.h"
#include "odb.h"
#include "worker_ops.h"
#include "worker_run.h"

struct apply {
	struct worker *w;
	git_repository *git; /* of the worktree */
	struct checkout *checkout;
	struct merge_private attributes;
	struct checkout_items change, items;
	struct merge_conflicts conflicts;
	struct merge_notes notes;
};

static int open_worktree(struct apply *a, struct err *reterr)
{
	const char *path = worker_str(a->w, "worktree");
	struct repo there = {0};
	int r;

	if (!path)
		path = git_repository_workdir(a->w->repo.git);
	if (!path)
		path = a->w->repo.worktree;
	if (!path)
		return err_set_id(reterr, -EINVAL, "Invalid",
				  "the repository '%s' is bare and has no worktree: name one",
				  a->w->repo.common);
	r = repo_find(path, &there, reterr);
	if (r < 0)
		return r;
	if (strcmp(there.common, a->w->repo.common) != 0)
		r = err_set_id(reterr, -EINVAL, "Invalid",
			       "'%s' is a worktree of '%s', not of the view's repository '%s'",
			       path, there.common, a->w->repo.common);
	else if ((r = git_repository_open(&a->git, there.git_dir)) < 0)
		r = git_errno(r, reterr, "opening the worktree '%s'", path);
	repo_release(&there);
	return r;
}

/* Attributes are looked up in files, then in the index, and one that libgit2 cannot read (split, sparse)
 * would fail that. Nothing else of it is asked for here: an empty one does. */
static int spare_index(git_repository *git, struct err *reterr)
{
	git_index *index = NULL;
	int r = git_repository_index(&index, git);

	if (r < 0) {
		index = NULL;
		r = git_index_new(&index);
		if (r == 0)
			r = git_repository_set_index(git, index);
	}
	git_index_free(index);
	return r < 0 ? git_errno(r, reterr, "making an empty index") : 0;
}

static bool same(const struct tree_entry *a, const struct tree_entry *b)
{
	return a->mode == b->mode && (!a->mode || git_oid_equal(&a->oid, &b->oid));
}

static int clash(struct apply *a, const struct checkout_item *d, const struct tree_entry *there)
{
	const char *p = d->path;

	if (there->mode == GIT_FILEMODE_TREE)
		return merge_conflict_add(&a->conflicts, p, "file/folder",
					  "'%s' is a folder, or below something that is none", p);
	if (!d->to.mode)
		return merge_conflict_add(
			&a->conflicts, p, "modify/delete",
			"'%s' is deleted by the view and modified in the worktree", p);
	if (!there->mode)
		return merge_conflict_add(&a->conflicts, p, "delete/modify",
					  "'%s' is changed by the view and gone in the worktree",
					  p);
	if (!d->from.mode)
		return merge_conflict_add(&a->conflicts, p, "add/add",
					  "'%s' is new in the view and in the worktree", p);
	return merge_conflict_add(
		&a->conflicts, p, S_ISLNK(there->mode) ? "symlink" : "mode",
		"'%s' changed its type, or is a symbolic link changed on both sides", p);
}

static int merge_contents(struct apply *a, const struct checkout_item *d,
			  const struct tree_entry *there, struct err *reterr)
{
	struct merge_both both = {d->path, d->from, *there, d->to};
	struct merge_file merged;
	struct tree_entry now;
	const char *value = NULL;
	int r = merge_private_add(&a->attributes, d->path, reterr);

	if (r == 0)
		r = merge_private_attr(&a->attributes, d->path, "merge", &value, reterr);
	if (r == 0) /* now its blob is written, too */
		r = checkout_look(a->checkout, d->path, true, &now, reterr);
	if (r == 0 && !same(&now, there))
		r = err_set_id(reterr, -EBUSY, "Dirty", "'%s' was changed meanwhile: try again",
			       d->path);
	if (r == 0)
		r = merge_file(a->git, merge_driver_of(value), &both, &merged, reterr);
	if (r < 0)
		return r;
	if (!merged.to.mode)
		return merge_conflict_add(&a->conflicts, d->path, merged.kind, "'%s' %s", d->path,
					  merged.why);
	return checkout_item_add(&a->items, d->path, there, &merged.to);
}

static int plan_one(struct apply *a, const struct checkout_item *d, struct err *reterr)
{
	struct tree_entry there;
	int r;

	if (!checkout_path_ok(d->path))
		return err_set_id(reterr, -EBADMSG, "Damaged",
				  "the commit holds '%s', a path that may not be in a worktree",
				  d->path);
	if (d->from.mode == GIT_FILEMODE_COMMIT || d->to.mode == GIT_FILEMODE_COMMIT)
		return merge_note(&a->notes, "the submodule '%s' is left as it is", d->path);
	r = checkout_look(a->checkout, d->path, false, &there, reterr);
	if (r < 0 || same(&there, &d->to))
		return r;
	if (same(&there, &d->from))
		return checkout_item_add(&a->items, d->path, &d->from, &d->to);
	/* A file that becomes a folder, or the other way: the check of the whole list decides. */
	if (there.mode == GIT_FILEMODE_TREE && (!d->from.mode || !d->to.mode))
		return d->to.mode ? checkout_item_add(&a->items, d->path, &d->from, &d->to) : 0;
	if (S_ISREG(there.mode) && S_ISREG(d->from.mode) && S_ISREG(d->to.mode))
		return merge_contents(a, d, &there, reterr);
	return clash(a, d, &there);
}

static int conflict_error(struct apply *a, struct err *reterr)
{
	const struct merge_conflicts *c = &a->conflicts;

	worker_detail(a->w, "conflicts", merge_conflicts_json(c, NULL));
	return err_set_id(reterr, -EBUSY, "Conflict",
			  "the view's change does not fit what is in '%s': %s%s",
			  git_repository_workdir(a->git), c->v[0].reason,
			  c->n > 1 ? ", and others (details lists them)" : "");
}

static int put(struct apply *a, struct err *reterr)
{
	struct merge_conflicts refused = {0};
	int r = checkout_prepare(a->checkout, &a->items, &a->attributes, &refused, reterr);

	if (r < 0 && refused.n)
		worker_detail(a->w, "paths", merge_conflicts_json(&refused, NULL));
	if (r == 0)
		r = checkout_publish(a->checkout, reterr);
	merge_conflicts_release(&refused);
	return r;
}

static int change_of(struct apply *a, git_oid tree[static 2], struct err *reterr)
{
	static const char *const keys[] = {"base", "source"};
	int r = 0;

	for (int i = 0; r == 0 && i < 2; i++) {
		git_commit *commit = NULL;
		const char *rev = NULL;

		r = worker_need_str(a->w, keys[i], &rev, reterr);
		if (r == 0)
			r = repo_commit(&a->w->repo, rev, &commit, reterr);
		if (r == 0)
			git_oid_cpy(&tree[i], git_commit_tree_id(commit));
		git_commit_free(commit);
	}
	if (r < 0)
		return r;
	r = checkout_items_diff(a->w->repo.git, &tree[0], &tree[1], &a->change);
	return r < 0 ? err_set(reterr, r, "comparing the trees: %s", strerror(-r)) : 0;
}

static int run(struct apply *a, json_t *ret, struct err *reterr)
{
	json_t *changes = json_array();
	git_oid tree[2];
	int r = json_object_set_new(ret, "changes", changes) < 0 ? -ENOMEM : 0;

	if (r == 0)
		r = change_of(a, tree, reterr);
	if (r == 0)
		r = open_worktree(a, reterr);
	if (r == 0)
		r = spare_index(a->git, reterr);
	if (r == 0)
		r = checkout_open(a->git, false, &a->checkout, reterr);
	if (r < 0)
		return r;
	merge_private_init(&a->attributes, a->w->repo.git, NULL, &tree[1], NULL);
	for (size_t i = 0; r == 0 && i < a->change.n; i++)
		r = plan_one(a, &a->change.v[i], reterr);
	if (r == 0 && a->conflicts.n)
		r = conflict_error(a, reterr);
	if (r == 0)
		r = put(a, reterr);
	if (r < 0)
		return r;
	if (!a->items.n)
		(void)merge_note(&a->notes, "nothing to change: the worktree has it all already");
	(void)json_object_set_new(ret, "notes", merge_notes_json(&a->notes));
	return merge_changes_json(a->w, &tree[0], &tree[1], changes, reterr);
}

int op_apply(struct worker *w, json_t *ret, struct err *reterr)
{
	struct apply a = {.w = w};
	int r = run(&a, ret, reterr);

	if (a.attributes.shared)
		merge_private_close(&a.attributes);
	checkout_close(a.checkout);
	checkout_items_release(&a.change);
	checkout_items_release(&a.items);
	merge_conflicts_release(&a.conflicts);
	for (size_t i = 0; i < a.notes.n; i++)
		free(a.notes.v[i]);
	free(a.notes.v);
	git_repository_free(a.git);
	return r;
}
