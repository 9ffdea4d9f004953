/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The view's index after a commit of ours. An entry gets the stat data that the view reports, so
 * that git's next status reads no file; where the file was written in the second of the snapshot or
 * later, its size is entered as 0, which git takes as "look at the content" (its own cure for racy
 * entries).
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "materialize.h"
#include "worker_run.h"
#include "worker_view.h"

static void set_time(uint32_t *s, uint32_t *ns, int64_t t)
{
	*s = (uint32_t)(t / 1000000000);
	*ns = (uint32_t)(t % 1000000000);
}

/* False where the snapshot no longer has the file: its entry stays as it is. */
static bool describe(struct worker *w, const struct gitindex *index, const struct worktree_item *it,
		     struct gitindex_entry *ret)
{
	struct gitindex_entry old = {0}, e = {.mode = it->to.mode, .oid = it->to.oid};
	struct snapshot_stat st = it->st;

	*ret = e;
	if (!e.mode)
		return true;
	if (!it->changed && snapshot_lookup(w->snapshot, it->path, &st) < 0)
		return false;
	(void)gitindex_find(index, it->path, &old);
	set_time(&e.mtime_s, &e.mtime_ns, st.mtime);
	set_time(&e.ctime_s, &e.ctime_ns, st.ctime);
	e.dev = old.dev;
	e.ino = (uint32_t)st.ino;
	e.uid = st.uid;
	e.gid = st.gid;
	e.size = e.mtime_s >= w->snapshot_s - 1 ? 0 : (uint32_t)st.size;
	*ret = e;
	return true;
}

static int put(struct worker *w, const struct buf *b, struct err *reterr)
{
	_cleanup_close_ int fd = memfd_create("index", MFD_CLOEXEC);
	int r = fd < 0 ? -errno : io_write_full(fd, b->data, b->len);

	return r < 0 ? err_set(reterr, r, "updating the view's index: %s", strerror(-r))
		     : view_put(w, ".git/index", S_IFREG | 0644, fd, reterr);
}

int materialize_index(struct worker *w, const struct gitindex *index, const struct worktree *t,
		      struct err *reterr)
{
	_cleanup_free_ struct gitindex_edit *edits = calloc(t->n ? t->n : 1, sizeof(*edits));
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t n = 0;
	int r;

	if (!index)
		return 0;
	if (!edits)
		return -ENOMEM;
	for (size_t i = 0; i < t->n; i++) {
		edits[n].path = t->items[i].path;
		if (t->items[i].take && describe(w, index, &t->items[i], &edits[n].e))
			n++;
	}
	qsort(edits, n, sizeof(*edits), gitindex_edit_order);
	r = gitindex_edit(index, edits, n, &b);
	return r < 0 ? err_set(reterr, r, "updating the view's index: %s", strerror(-r))
		     : put(w, &b, reterr);
}
