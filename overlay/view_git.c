/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The view's own repository: what is in it, and how it is made.
 *
 * Invariant: /.git is there whole or not at all. It is made under another name, from the seeds of
 * view.conf and the prepared index, and gets its own by one record; a crash before leaves the other
 * name, which the next start uses again. A single seed of the path ".git" is /.git itself: a file that
 * says where the git folder is, as in a worktree of git's.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "image_untracked.h"
#include "io.h"
#include "view_internal.h"

#define MAKING ".agentfs-git"

bool view_in_git(const struct view *v, uint64_t dir, const char *name, size_t len)
{
	uint64_t git;

	if (v->making_git)
		return true;
	if (dir == NODE_ROOT)
		return len == 4 && memcmp(name, ".git", 4) == 0;
	return tree_lookup(&v->rec.tree, NODE_ROOT, ".git", 4, &git) == 0 &&
	       tree_is_below(&v->rec.tree, dir, git);
}

bool view_is_git_node(const struct view *v, uint64_t id)
{
	uint64_t git;

	if (v->making_git)
		return true;
	return tree_lookup(&v->rec.tree, NODE_ROOT, ".git", 4, &git) == 0 &&
	       tree_is_below(&v->rec.tree, id, git);
}

/* One of the files that the view's repository begins with; path from .git on. */
static int make_seed(struct view *v, const struct viewconf_seed *s)
{
	_cleanup_close_ int fd = -1;
	_cleanup_free_ char *path = NULL;
	struct node_attr a;
	bool itself = strcmp(s->path, ".git") == 0;
	int r;

	/* A folder is made by making something in it. */
	if (asprintf(&path, "%s%s%s%s", MAKING, itself ? "" : "/", itself ? "" : s->path,
		     S_ISDIR(s->mode) ? "/.keep" : "") < 0)
		return -ENOMEM;
	if (S_ISDIR(s->mode)) {
		r = view_path_lock(v, path);
		return r < 0 && r != -EEXIST ? r : view_path_unlink(v, path);
	}
	fd = memfd_create("seed", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = io_pwrite_full(fd, s->data, s->len, 0);
	return r < 0 ? r : view_path_put(v, path, s->mode, fd, NULL, NULL, &a);
}

/* The view's own path and excludes go into the index's untracked cache, which git believes then (image_untracked.c).
 * Where files of the main worktree are shown, git finds out by itself. */
static int complete_index(struct view *v, uint64_t id)
{
	const struct view_ctx self = {.pid = (uint32_t)getpid(), .internal = true};
	const struct viewconf_seed *exclude = NULL;
	struct untracked_patch p;
	ssize_t r;

	for (size_t i = 0; i < v->conf.nseeds; i++)
		if (strcmp(v->conf.seeds[i].path, "info/exclude") == 0)
			exclude = &v->conf.seeds[i];
	r = v->conf.nseed_paths
		    ? -ENODATA
		    : untracked_patch(v->index_fd, v->conf.mount, exclude ? exclude->data : NULL,
				      exclude ? exclude->len : 0, &p);
	if (r < 0)
		return r == -ENODATA || r == -EBADMSG ? 0 : (int)r;
	r = view_write(v, &self, id, p.head_at, p.head, sizeof(p.head));
	if (r >= 0)
		r = view_write(v, &self, id, p.sum_at, p.sum, sizeof(p.sum));
	return r < 0 ? (int)r : 0;
}

/* The prepared index becomes the content of its index without a byte being copied. */
static int make_index(struct view *v)
{
	const struct view_ctx self = {.pid = (uint32_t)getpid(), .internal = true};
	struct node *n;
	struct stat st;
	uint64_t id;
	int r;

	if (v->index_fd < 0 ||
	    tree_lookup(&v->rec.tree, NODE_ROOT, MAKING, strlen(MAKING), &id) < 0)
		return 0;
	r = view_path_lock(v, MAKING "/index");
	if (r < 0 && r != -EEXIST)
		return r;
	if (fstat(v->index_fd, &st) < 0)
		return -errno;
	pthread_mutex_lock(&v->lock);
	r = tree_lookup(&v->rec.tree, id, "index", 5, &id);
	if (r == 0) {
		struct record rec;

		/* A copy from node 1, which is no file: the prepared index (EXTENT_INDEX). */
		view_record(v, &self, &rec, OP_COPY);
		RECORD_SET(&rec, node, F_NODE, id);
		RECORD_SET(&rec, node2, F_NODE2, EXTENT_INDEX);
		RECORD_SET(&rec, offset, F_OFFSET, 0);
		RECORD_SET(&rec, offset2, F_OFFSET2, 0);
		RECORD_SET(&rec, length, F_LENGTH, (uint64_t)st.st_size);
		rec.flags |= RECORD_F_GIT;
		r = st.st_size ? view_commit(v, &rec) : 0;
		n = tree_node(&v->rec.tree, id);
		assert(r < 0 || n);
	}
	pthread_mutex_unlock(&v->lock);
	return r < 0 || !st.st_size ? r : complete_index(v, id);
}

static int make_git(struct view *v, struct err *reterr)
{
	const struct view_ctx self = {.pid = (uint32_t)getpid(),
				      .uid = v->conf.uid,
				      .gid = v->conf.gid,
				      .internal = true};
	uint64_t id;
	int r;

	if (!v->conf.nseeds || tree_lookup(&v->rec.tree, NODE_ROOT, ".git", 4, &id) == 0)
		return 0;
	for (size_t i = 0; i < v->conf.nseeds; i++) {
		r = make_seed(v, &v->conf.seeds[i]);
		if (r < 0)
			return err_set(reterr, r, "make '%s' of the view's repository: %s",
				       v->conf.seeds[i].path, strerror(-r));
	}
	r = make_index(v);
	if (r == 0)
		r = view_rename(v, &self, NODE_ROOT, MAKING, NODE_ROOT, ".git", 0);
	return r < 0 ? err_set(reterr, r, "make the index of the view's repository") : 0;
}

int view_make_git(struct view *v, struct err *reterr)
{
	int r;

	v->making_git = true;
	r = make_git(v, reterr);
	v->making_git = false;
	return r;
}
