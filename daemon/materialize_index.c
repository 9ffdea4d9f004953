/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The view's index after a commit of ours. An entry gets the stat data that the view reports, so
 * that git's next status reads no file; where the file was written in the second of the snapshot or
 * later, its size is entered as 0, which git takes as "look at the content" (its own cure for racy
 * entries).
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "materialize.h"
#include "odb.h"
#include "worker_run.h"
#include "worker_view.h"

static void set_time(git_index_time *to, int64_t ns)
{
	to->seconds = (int32_t)(ns / 1000000000);
	to->nanoseconds = (uint32_t)(ns % 1000000000);
}

static int set_entry(struct worker *w, git_index *index, const struct worktree_item *it)
{
	const git_index_entry *old = git_index_get_bypath(index, it->path, 0);
	git_index_entry e = {.path = it->path, .mode = it->to.mode, .id = it->to.oid};
	struct snapshot_stat st = it->st;

	if (!it->changed && snapshot_lookup(w->snapshot, it->path, &st) < 0)
		return 0;
	set_time(&e.mtime, st.mtime);
	set_time(&e.ctime, st.ctime);
	e.dev = old ? old->dev : 0;
	e.ino = (uint32_t)st.ino;
	e.uid = st.uid;
	e.gid = st.gid;
	e.file_size = e.mtime.seconds >= w->snapshot_s - 1 ? 0 : (uint32_t)st.size;
	return git_index_add(index, &e);
}

int materialize_index(struct worker *w, git_index *index, const struct worktree *t,
		      struct err *reterr)
{
	_cleanup_close_ int fd = -1;
	int r = 0;

	if (!index)
		return 0;
	/* What goes makes room first: a file's name may become a folder's. */
	for (size_t i = 0; r == 0 && i < t->n; i++)
		if (t->items[i].take && !t->items[i].to.mode) {
			r = git_index_remove(index, t->items[i].path, 0);
			r = r == GIT_ENOTFOUND ? 0 : r;
		}
	for (size_t i = 0; r == 0 && i < t->n; i++)
		if (t->items[i].take && t->items[i].to.mode)
			r = set_entry(w, index, &t->items[i]);
	if (r == 0)
		r = git_index_write(index);
	if (r < 0)
		return git_errno(r, reterr, "updating the view's index");
	fd = open(git_index_path(index), O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_set(reterr, -errno, "updating the view's index: %s", strerror(errno));
	return view_put(w, ".git/index", S_IFREG | 0644, fd, reterr);
}
