/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The view's index after a move: paths that the branch's commit has otherwise get its entries, with the
 * stat data that the view will report where the file is the commit's, and none where it is not, so that
 * git looks at it; conflicts get their sides. Everything else stays, staged or not.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "gitindex.h"
#include "snapshot.h"
#include "sync.h"
#include "worker_run.h"

static bool same(const struct tree_entry *a, const struct tree_entry *b)
{
	return a->mode == b->mode && (!a->mode || git_oid_equal(&a->oid, &b->oid));
}

static struct gitindex_entry plain(const struct tree_entry *e)
{
	return (struct gitindex_entry){.mode = e->mode, .oid = e->oid};
}

static void describe(struct sync_plan *p, const struct sync_item *it, struct gitindex_entry *e)
{
	struct snapshot_stat st;

	*e = plain(&it->to);
	if (!same(&it->to, &it->want) || snapshot_preview_lookup(p->w->snapshot, it->path, &st) < 0)
		return;
	e->mtime_s = (uint32_t)(st.mtime / 1000000000);
	e->mtime_ns = (uint32_t)(st.mtime % 1000000000);
	e->ctime_s = (uint32_t)(st.ctime / 1000000000);
	e->ctime_ns = (uint32_t)(st.ctime % 1000000000);
	e->ino = (uint32_t)st.ino;
	e->uid = st.uid;
	e->gid = st.gid;
	e->size = (uint32_t)st.size;
}

static void sides_of(const struct sync_item *it, struct gitindex_entry sides[3])
{
	if (it->three) {
		for (int i = 0; i < 3; i++)
			sides[i] = plain(&it->sides[i]);
		return;
	}
	sides[0] = plain(&it->was);
	sides[1] = plain(&it->view);
	sides[2] = plain(&it->to);
}

int sync_index(struct sync_plan *p)
{
	_cleanup_free_ struct gitindex_edit *edits = calloc(p->n + 1, sizeof(*edits));
	_cleanup_free_ struct gitindex_entry *sides = calloc(3 * p->n + 1, sizeof(*sides));
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t n = 0;
	int r;

	if (!p->index)
		return 0;
	if (!edits || !sides)
		return -ENOMEM;
	for (size_t i = 0; i < p->n; i++) {
		const struct sync_item *it = &p->items[i];

		if (!it->kind && same(&it->was, &it->to))
			continue;
		edits[n].path = it->path;
		if (it->kind) {
			sides_of(it, &sides[3 * i]);
			edits[n].sides = &sides[3 * i];
		} else {
			describe(p, it, &edits[n].e);
		}
		n++;
	}
	qsort(edits, n, sizeof(*edits), gitindex_edit_order);
	r = gitindex_edit(p->index, edits, n, &b);
	if (r == 0)
		r = sync_put(p, ".git/index", b.data, b.len);
	return r < 0 && !p->err->code ? err_set(p->err, r, "preparing the view's index") : r;
}
