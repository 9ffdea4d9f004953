/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Updating a worktree in which somebody works, for merge (files, index, then the branch) and for
 * apply (files only).
 *
 * The order, and what a kill leaves after each step:
 *     1 objects of the merge written    unreachable objects, nothing to see
 *     2 index.lock taken                a lock that the next merge of ours takes over
 *     3 everything checked              the same
 *     4 new contents written beside, in GITDIR/agentfs-stage   the same; removed by the next merge
 *     5 files exchanged, one by one     `git status` shows some changes of the merge as modified
 *     6 index replaced                  `git status` shows the merge as staged changes
 *     7 the branch moved                the merge is done; the lock as in 2 (the same merge run again,
 *                                      which finds nothing to do, removes it)
 * At 5 and 6 the same merge run again goes on from there: a file or entry that already is what it shall
 * be is fine. Had the branch moved first, a kill would leave a state that shows the merge's reversal
 * as the user's own change, one commit away from losing it.
 *
 * Guarantees: (1) what is written needs no more room once step 5 begins; (2) a file is replaced by an
 * exchange of names, and what came out is compared with what was checked: an edit made meanwhile goes
 * back to its place and the change is refused; (3) after an error everything done is undone.
 */
#include "checkout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checkout_parts.h"
#include "cleanup.h"
#include "io.h"
#include "odb.h"

static const char stage_name[] = "agentfs-stage", stage_root_name[] = ".agentfs-stage";

/* ---- the list ---- */

int checkout_item_add(struct checkout_items *l, const char *path, const struct tree_entry *from,
		      const struct tree_entry *to)
{
	struct checkout_item one = {.from = *from, .to = *to};

	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 32;
		struct checkout_item *v = realloc(l->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->v = v;
		l->cap = cap;
	}
	one.path = strdup(path);
	if (!one.path)
		return -ENOMEM;
	l->v[l->n++] = one;
	return 0;
}

static int add_delta(const struct tree_delta *d, void *user)
{
	return checkout_item_add(user, d->path, &d->from, &d->to);
}

int checkout_items_diff(git_repository *git, const git_oid *from, const git_oid *to,
			struct checkout_items *ret)
{
	int r = tree_diff(git, from, to, add_delta, ret);

	if (r == 0 && ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), tree_path_order);
	return r;
}

void checkout_items_release(struct checkout_items *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].path);
	free(l->v);
	*l = (struct checkout_items){0};
}

/* ---- opening ---- */

static int check_state(struct checkout *c, struct err *reterr)
{
	int state = git_repository_state(c->git);
	const char *what = state == GIT_REPOSITORY_STATE_MERGE ? "merge"
			   : state == GIT_REPOSITORY_STATE_REVERT ||
					   state == GIT_REPOSITORY_STATE_REVERT_SEQUENCE
				   ? "revert"
			   : state == GIT_REPOSITORY_STATE_CHERRYPICK ||
					   state == GIT_REPOSITORY_STATE_CHERRYPICK_SEQUENCE
				   ? "cherry-pick"
			   : state == GIT_REPOSITORY_STATE_BISECT ? "bisect"
								  : "rebase";

	if (state == GIT_REPOSITORY_STATE_NONE)
		return 0;
	return err_set_id(reterr, -EBUSY, "Dirty",
			  "'%s' is in the middle of a %s: finish or abort it first", c->root_path,
			  what);
}

/* Where new contents wait: beside git's own files if a rename from there into the worktree works. */
static int open_stage(struct checkout *c)
{
	const char *name = stage_name;
	struct stat a, b;
	int at = c->git_dir, r;

	if (fstat(c->root, &a) < 0 || fstat(c->git_dir, &b) < 0)
		return -errno;
	if (a.st_dev != b.st_dev) {
		c->stage_in_root = true;
		at = c->root;
		name = stage_root_name;
	}
	r = io_rm_rf(at, name);
	if (r == 0)
		r = io_mkdir(at, name, 0700);
	if (r < 0)
		return r;
	c->stage = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return c->stage < 0 ? -errno : 0;
}

static int open_folders(struct checkout *c, struct err *reterr)
{
	const char *root = git_repository_workdir(c->git);
	int filemode = 1, r = 0;
	git_config *config = NULL;

	if (!root)
		return err_set_id(reterr, -EINVAL, "Invalid", "'%s' has no worktree",
				  git_repository_path(c->git));
	c->root_path = strndup(root, strlen(root) > 1 ? strlen(root) - 1 : 1);
	c->root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	c->git_dir = open(git_repository_path(c->git), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (!c->root_path || c->root < 0 || c->git_dir < 0)
		r = c->root_path ? -errno : -ENOMEM;
	if (git_repository_config_snapshot(&config, c->git) == 0 &&
	    git_config_get_bool(&filemode, config, "core.filemode") < 0)
		filemode = 1;
	git_config_free(config);
	c->executable = filemode;
	return r < 0 ? err_set(reterr, r, "opening the worktree '%s': %s", root, strerror(-r)) : 0;
}

int checkout_open(git_repository *git, bool index, struct checkout **ret, struct err *reterr)
{
	struct checkout *c = calloc(1, sizeof(*c));
	int r = c ? 0 : -ENOMEM;

	if (r < 0)
		return r;
	*c = (struct checkout){.git = git, .root = -1, .git_dir = -1, .stage = -1, .lock = -1};
	r = open_folders(c, reterr);
	if (r == 0 && index)
		r = check_state(c, reterr);
	if (r == 0)
		r = checkout_index_lock(c, reterr);
	if (r == 0 && index)
		r = checkout_index_read(c, reterr);
	if (r == 0) {
		r = open_stage(c);
		if (r < 0)
			(void)err_set(reterr, r, "preparing to change '%s': %s", c->root_path,
				      strerror(-r));
	}
	checkout_failpoint("lock");
	if (r < 0) {
		checkout_close(c);
		return r;
	}
	*ret = c;
	return 0;
}

void checkout_close(struct checkout *c)
{
	if (!c)
		return;
	if (c->stage >= 0)
		(void)io_rm_rf(c->stage_in_root ? c->root : c->git_dir,
			       c->stage_in_root ? stage_root_name : stage_name);
	checkout_index_close(c);
	(void)safe_close(c->stage);
	(void)safe_close(c->root);
	(void)safe_close(c->git_dir);
	free(c->root_path);
	free(c->work);
	free(c);
}

void checkout_tidy(git_repository *git)
{
	_cleanup_close_ int dir = open(git_repository_path(git), O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct checkout *c = NULL;

	if (dir >= 0 && faccessat(dir, "index.lock", F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
	    checkout_open(git, false, &c, NULL) == 0)
		checkout_close(c);
}

/* ---- step 4: contents ---- */

static void stage_file(size_t i, char room[static 32])
{
	(void)snprintf(room, 32, "new-%zu", i);
}

static int check_filter(struct merge_private *attributes, const char *path, struct err *reterr)
{
	static const char *const names[] = {"filter", "working-tree-encoding"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const char *value = NULL;
		int r = merge_private_attr(attributes, path, names[i], &value, reterr);

		if (r < 0)
			return r;
		if (git_attr_value(value) == GIT_ATTR_VALUE_STRING)
			return err_set_id(
				reterr, -EOPNOTSUPP, "Unsupported",
				"the attributes of '%s' name %s=%s, which is not built in: merge "
				"with git in the worktree, where that program may run",
				path, names[i], value);
	}
	return 0;
}

static int write_regular(struct checkout *c, const char *name, const struct checkout_item *item,
			 const void *p, size_t n)
{
	mode_t mode = item->to.mode == GIT_FILEMODE_BLOB_EXECUTABLE ? 0777 : 0666;
	_cleanup_close_ int fd =
		openat(c->stage, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	int r = fd < 0 ? -errno : io_write_full(fd, p, n);

	return r;
}

static int write_link(struct checkout *c, const char *name, const void *p, size_t n)
{
	_cleanup_free_ char *to = strndup(p, n);

	if (!to)
		return -ENOMEM;
	if (strlen(to) != n || n == 0)
		return -EBADMSG;
	return symlinkat(to, c->stage, name) < 0 ? -errno : 0;
}

static int convert(struct checkout *c, const struct checkout_item *item, git_blob *blob,
		   struct merge_private *attributes, git_buf *ret)
{
	git_filter_list *filters = NULL;
	int r;

	if (attributes->plain || !S_ISREG(item->to.mode))
		return 0;
	r = git_filter_list_load(&filters, attributes->git, blob, item->path,
				 GIT_FILTER_TO_WORKTREE, GIT_FILTER_DEFAULT);
	if (r == 0 && filters)
		r = git_filter_list_apply_to_blob(ret, filters, blob);
	git_filter_list_free(filters);
	return r;
}

static int stage_one(struct checkout *c, size_t i, struct merge_private *attributes,
		     struct err *reterr)
{
	const struct checkout_item *item = c->work[i].item;
	git_buf converted = {0};
	git_blob *blob = NULL;
	const void *p;
	char name[32];
	size_t n;
	int r = S_ISREG(item->to.mode) ? check_filter(attributes, item->path, reterr) : 0;

	if (r < 0)
		return r;
	r = git_blob_lookup(&blob, c->git, &item->to.oid);
	if (r == 0)
		r = convert(c, item, blob, attributes, &converted);
	if (r < 0) {
		git_blob_free(blob);
		return git_errno(r, reterr, "reading '%s'", item->path);
	}
	p = converted.ptr ? converted.ptr : git_blob_rawcontent(blob);
	n = converted.ptr ? converted.size : (size_t)git_blob_rawsize(blob);
	stage_file(i, name);
	r = S_ISLNK(item->to.mode) ? write_link(c, name, p, n)
				   : write_regular(c, name, item, n ? p : "", n);
	if (r == 0 && fstatat(c->stage, name, &c->work[i].now, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	git_buf_dispose(&converted);
	git_blob_free(blob);
	return r < 0 ? err_set(reterr, r, "writing '%s': %s", item->path, strerror(-r)) : 0;
}

static int refused_error(struct checkout *c, const struct merge_conflicts *refused,
			 struct err *reterr)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = 0;

	for (size_t i = 0; r == 0 && i < refused->n && i < 5; i++)
		r = buf_addf(&b, "%s%s", i ? ", " : "", refused->v[i].reason);
	if (r == 0 && refused->n > 5)
		r = buf_addf(&b, " and %zu more", refused->n - 5);
	return err_set_id(reterr, -EBUSY, "Dirty",
			  "the worktree '%s' has changes of its own where this would change it: %s",
			  c->root_path, r == 0 ? b.data : "");
}

/* Errors have a sentence each; this gives one to those that came without. */
static int with_text(int r, struct err *reterr, const char *what)
{
	if (r < 0 && reterr && !reterr->code)
		(void)err_set(reterr, r, "%s: %s", what, strerror(-r));
	return r;
}

int checkout_prepare(struct checkout *c, const struct checkout_items *items,
		     struct merge_private *attributes, struct merge_conflicts *ret_refused,
		     struct err *reterr)
{
	int r;

	free(c->work);
	c->work = calloc(items->n ? items->n : 1, sizeof(*c->work));
	if (!c->work)
		return -ENOMEM;
	c->n = items->n;
	for (size_t i = 0; i < c->n; i++)
		c->work[i].item = &items->v[i];
	r = with_text(checkout_check(c, ret_refused, reterr), reterr, "checking the worktree");
	if (r < 0)
		return r;
	if (ret_refused->n)
		return refused_error(c, ret_refused, reterr);
	for (size_t i = 0; r == 0 && i < c->n; i++)
		if (c->work[i].todo == CHECKOUT_WRITE && S_ISREG(c->work[i].item->to.mode))
			r = merge_private_add(attributes, c->work[i].item->path, reterr);
	if (r == 0 && !attributes->plain)
		r = merge_private_open(attributes, reterr);
	for (size_t i = 0; r == 0 && i < c->n; i++)
		if (c->work[i].todo == CHECKOUT_WRITE)
			r = stage_one(c, i, attributes, reterr);
	checkout_failpoint("staged");
	return r;
}

/* ---- step 5: files ---- */

/* Exchanges two names; where the file system cannot, moves one after the other. */
static int exchange(struct checkout *c, const char *staged, int dir, const char *name)
{
	char aside[40];

	if (renameat2(c->stage, staged, dir, name, RENAME_EXCHANGE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	(void)snprintf(aside, sizeof(aside), "%s-old", staged);
	if (renameat(dir, name, c->stage, aside) < 0 || renameat(c->stage, staged, dir, name) < 0 ||
	    renameat(c->stage, aside, c->stage, staged) < 0)
		return -errno;
	return 0;
}

static int place(struct checkout *c, const char *staged, int dir, const char *name)
{
	if (renameat2(c->stage, staged, dir, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno == EINVAL || errno == ENOSYS)
		return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? -EEXIST
		       : renameat(c->stage, staged, dir, name) < 0	    ? -errno
									    : 0;
	return -errno;
}

static bool is_what_it_was(struct checkout *c, const char *staged, const struct stat *was)
{
	struct stat st;

	return fstatat(c->stage, staged, &st, AT_SYMLINK_NOFOLLOW) == 0 && stat_same(&st, was);
}

static int write_one(struct checkout *c, struct checkout_work *w, const char *staged)
{
	const char *name = NULL;
	_cleanup_close_ int dir = beneath_make_parent(c->root, w->item->path, &name);
	int r = dir < 0 ? dir : 0;

	if (r == 0 && w->had) {
		r = exchange(c, staged, dir, name);
		if (r == -ENOENT) { /* removed meanwhile: then it is to be written anew */
			w->had = false;
		} else if (r == 0 && !is_what_it_was(c, staged, &w->was)) {
			(void)exchange(c, staged, dir, name);
			r = -EBUSY;
		}
	}
	if ((r == 0 || r == -ENOENT) && !w->had) {
		r = place(c, staged, dir, name);
		if (r == -EEXIST && beneath_rmdir(dir, name) == 0) /* a folder left without files */
			r = place(c, staged, dir, name);
		if (r == -EEXIST)
			r = -EBUSY;
	}
	if (r == 0 && fstatat(dir, name, &w->now, AT_SYMLINK_NOFOLLOW) < 0)
		r = -errno;
	return r;
}

static int remove_one(struct checkout *c, struct checkout_work *w, const char *staged)
{
	const char *name = NULL;
	_cleanup_close_ int dir = beneath_parent(c->root, w->item->path, &name);

	if (dir < 0)
		return dir;
	if (renameat(dir, name, c->stage, staged) < 0)
		return -errno;
	if (!is_what_it_was(c, staged, &w->was)) {
		(void)place(c, staged, dir, name);
		return -EBUSY;
	}
	beneath_prune(c->root, w->item->path);
	return 0;
}

static int folder_one(struct checkout *c, struct checkout_work *w)
{
	const char *name = NULL;
	_cleanup_close_ int dir = beneath_make_parent(c->root, w->item->path, &name);

	if (dir < 0)
		return dir;
	if (w->todo == CHECKOUT_NO_FOLDER)
		(void)unlinkat(dir, name, AT_REMOVEDIR); /* a submodule that is checked out stays */
	else if (mkdirat(dir, name, 0777) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

static int change_one(struct checkout *c, size_t i)
{
	struct checkout_work *w = &c->work[i];
	char staged[32];
	int r = 0;

	stage_file(i, staged);
	switch (w->todo) {
	case CHECKOUT_NOTHING:
		return 0;
	case CHECKOUT_WRITE:
		r = write_one(c, w, staged);
		break;
	case CHECKOUT_REMOVE:
		r = remove_one(c, w, staged);
		break;
	case CHECKOUT_FOLDER:
	case CHECKOUT_NO_FOLDER:
		r = folder_one(c, w);
		break;
	}
	if (r == 0)
		w->done = true;
	checkout_failpoint("file");
	return r;
}

/* Puts one file back, unless somebody changed it meanwhile. */
static void undo_one(struct checkout *c, size_t i)
{
	struct checkout_work *w = &c->work[i];
	const char *name = NULL;
	_cleanup_close_ int dir = beneath_make_parent(c->root, w->item->path, &name);
	char staged[32];
	struct stat st;

	stage_file(i, staged);
	w->done = false;
	if (dir < 0)
		return;
	if (w->todo == CHECKOUT_REMOVE) {
		(void)place(c, staged, dir, name);
		return;
	}
	if (w->todo == CHECKOUT_FOLDER)
		(void)unlinkat(dir, name, AT_REMOVEDIR);
	if (w->todo == CHECKOUT_NO_FOLDER)
		(void)mkdirat(dir, name, 0777);
	if (w->todo != CHECKOUT_WRITE || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !stat_same(&st, &w->now))
		return;
	if (w->had)
		(void)exchange(c, staged, dir, name);
	else if (renameat(dir, name, c->stage, staged) == 0)
		beneath_prune(c->root, w->item->path);
}

void checkout_undo(struct checkout *c)
{
	checkout_index_undo(c);
	/* What was written goes first, then what was removed comes back: the order reversed. */
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = c->n; i-- > 0;)
			if (c->work[i].done && (pass == 0) == (c->work[i].item->to.mode != 0))
				undo_one(c, i);
}

int checkout_publish(struct checkout *c, struct err *reterr)
{
	size_t i = 0;
	int r = 0;

	/* Deletions first, the deepest before what they are in: a folder may become a file. */
	for (i = c->n; r == 0 && i-- > 0;)
		if (!c->work[i].item->to.mode)
			r = change_one(c, i);
	for (size_t k = 0; r == 0 && k < c->n; k++)
		if (c->work[k].item->to.mode) {
			i = k;
			r = change_one(c, k);
		}
	checkout_failpoint("files");
	if (r == -EBUSY)
		(void)err_set_id(reterr, r, "Dirty",
				 "'%s' was changed meanwhile in '%s': try again",
				 c->work[i].item->path, c->root_path);
	else if (r == -EXDEV)
		(void)err_set_id(reterr, r, "Unsupported",
				 "'%s' is on another file system than the rest of '%s'",
				 c->work[i].item->path, c->root_path);
	else if (r < 0)
		(void)err_set(reterr, r, "changing '%s' in '%s': %s", c->work[i].item->path,
			      c->root_path, strerror(-r));
	if (r == 0 && c->index)
		r = checkout_index_put(c, reterr);
	if (r < 0)
		checkout_undo(c);
	else
		checkout_failpoint("index");
	return r;
}
