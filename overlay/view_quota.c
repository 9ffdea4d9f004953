/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Quotas: how many live bytes and changed nodes the view may hold, as the policy in force says.
 *
 * Invariants: (1) an operation that would exceed one is refused with EDQUOT before anything of it was
 * done, and nothing that frees (unlink, rmdir, truncate, overwriting in place, rename) ever is; (2)
 * writes under way at the same time are held against it together, so it is never exceeded; (3) what the
 * server does for itself is free of it; (4) the first refusal of a process and operation is in the
 * journal (RECORD_FAILED), those that follow it are an exact count (RECORD_SUMMARY).
 *
 * Bytes are those that extents refer to (recovered.live): rewriting a file does not add up, content
 * of the base is free, and so is what lies in a redirected folder. Nodes are those held in memory: made
 * here, or changed from what the base has. Seeds (seed.h) count from when the agent changes them; that a
 * whole folder of them was moved is seen by none.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "apply.h"
#include "cleanup.h"
#include "journal.h"
#include "sys.h"
#include "view_internal.h"

/* --- what is kept of a refusal --- */

void view_quota_flush(struct view *v)
{
	struct quota_refusals *q = &v->quota;
	struct record rec = {.type = RECORD_SUMMARY};

	if (!q->count)
		return;
	RECORD_SET(&rec, op, F_OP, q->op);
	RECORD_SET(&rec, result, F_RESULT, -EDQUOT);
	RECORD_SET(&rec, pid, F_PID, q->pid);
	RECORD_SET(&rec, connection, F_CONNECTION, v->connection);
	RECORD_SET(&rec, count, F_COUNT, q->count);
	RECORD_SET(&rec, atime, F_ATIME, q->first);
	RECORD_SET(&rec, mtime, F_MTIME, q->last);
	if (apply_prepare(&v->rec.tree, &rec) < 0 || journal_append(v->rec.journal, &rec) < 0)
		return; /* kept, and tried again */
	apply_record(&v->rec.tree, &rec);
	q->count = 0;
}

/* Counted instead of written? */
static bool counted(struct view *v, const struct view_ctx *ctx, enum record_op op, const char *what)
{
	struct quota_refusals *q = &v->quota;
	int64_t now = (int64_t)sys_now_ns();

	q->total++;
	if (q->last && q->pid == ctx->pid && q->op == op && q->what == what) {
		if (!q->count++)
			q->first = now;
		q->last = now;
		return true;
	}
	view_quota_flush(v);
	q->pid = ctx->pid;
	q->op = op;
	q->what = what;
	q->last = now;
	return false;
}

static int refuse(struct view *v, const struct view_ctx *ctx, enum record_op op,
		  const struct place *at, uint64_t node, const char *what, uint64_t limit)
{
	_cleanup_buf_ struct buf path = BUF_INIT, outcome = BUF_INIT;
	struct record rec;

	if (counted(v, ctx, op, what))
		return -EDQUOT;
	view_record(v, ctx, &rec, op);
	rec.type = RECORD_FAILED;
	RECORD_SET(&rec, result, F_RESULT, -EDQUOT);
	if (at) {
		RECORD_SET(&rec, parent, F_PARENT, at->dir);
		RECORD_SET(&rec, name, F_NAME, ((struct bytes){at->name, at->len}));
		(void)tree_path_child(&v->rec.tree, at->dir, at->name, at->len, &path);
	} else {
		RECORD_SET(&rec, node, F_NODE, node);
		(void)tree_path(&v->rec.tree, node, &path);
	}
	if (path.len)
		RECORD_SET(&rec, path, F_PATH, ((struct bytes){path.data, path.len}));
	if (buf_addf(&outcome, "the view's quota of %" PRIu64 " %s", limit, what) == 0)
		RECORD_SET(&rec, outcome, F_OUTCOME, ((struct bytes){outcome.data, outcome.len}));
	/* One that cannot be written down is still refused. */
	if (apply_prepare(&v->rec.tree, &rec) == 0 && journal_append(v->rec.journal, &rec) == 0)
		apply_record(&v->rec.tree, &rec);
	return -EDQUOT;
}

/* --- deciding, lock held --- */

static const char nodes_word[] = "nodes", bytes_word[] = "bytes";

int view_quota_node(struct view *v, const struct view_ctx *ctx, enum record_op op,
		    const struct place *at)
{
	uint64_t limit = policy_quota(v->policy).nodes;

	if (!limit || ctx->internal || v->rec.tree.nodes.used - v->rec.tree.nseeds < limit)
		return 0;
	return refuse(v, ctx, op, at, 0, nodes_word, limit);
}

uint64_t view_live_bytes(const struct view *v)
{
	uint64_t seeds = v->rec.tree.seed_bytes;

	return v->rec.live > 0 && (uint64_t)v->rec.live > seeds ? (uint64_t)v->rec.live - seeds : 0;
}

/* Bytes of the view's own that the range refers to. */
static uint64_t own_bytes(const struct view *v, uint64_t id, uint64_t off, uint64_t len)
{
	const struct node *n = tree_node(&v->rec.tree, id);
	uint64_t end = off + len, sum = 0;

	if (!n || !len || !S_ISREG(n->mode))
		return 0;
	for (uint32_t i = extent_find(&n->extents, off);
	     i < n->extents.n && n->extents.v[i].off < end; i++) {
		const struct extent *e = &n->extents.v[i];
		uint64_t from = e->off > off ? e->off : off;
		uint64_t to = e->off + e->len < end ? e->off + e->len : end;

		if (e->node == EXTENT_DATA)
			sum += to - from;
	}
	return sum;
}

static bool is_seed(const struct view *v, uint64_t id)
{
	const struct node *n = tree_node(&v->rec.tree, id);

	return n && (n->flags & NODE_F_SEED);
}

int view_quota_bytes(struct view *v, const struct view_ctx *ctx, uint64_t id, enum record_op op,
		     const struct quota_range *at, uint64_t *ret_held)
{
	struct policy_quota q = policy_quota(v->policy);
	uint64_t have, growth = at->len, used;

	*ret_held = 0;
	if (ctx->internal || !(q.bytes || q.nodes))
		return 0;
	if (q.nodes && !tree_node(&v->rec.tree, id) &&
	    v->rec.tree.nodes.used - v->rec.tree.nseeds >= q.nodes)
		return refuse(v, ctx, op, NULL, id, nodes_word, q.nodes);
	if (!q.bytes)
		return 0;
	if (at->src)
		growth = own_bytes(v, at->src, at->src_off, at->len);
	have = own_bytes(v, id, at->off, at->len);
	if (is_seed(v, id)) { /* all of it will count from now on, what is overwritten never did */
		growth += own_bytes(v, id, 0, INT64_MAX) - have;
		have = 0;
	}
	if (growth <= have)
		return 0;
	growth -= have;
	used = view_live_bytes(v) + v->quota.held;
	if (used > q.bytes || growth > q.bytes - used)
		return refuse(v, ctx, op, NULL, id, bytes_word, q.bytes);
	v->quota.held += growth;
	*ret_held = growth;
	return 0;
}

/* --- what is shown --- */

/* The quota as size and free space, where there is one and the disk has more. */
static void limit_figures(fsblkcnt_t *total, fsblkcnt_t *left, fsblkcnt_t *avail, uint64_t limit,
			  uint64_t used)
{
	uint64_t rest = used < limit ? limit - used : 0;

	*total = limit;
	*left = *left < rest ? *left : rest;
	*avail = *avail < rest ? *avail : rest;
}

int view_statfs(struct view *v, struct statvfs *ret)
{
	struct policy_quota q;
	uint64_t bytes, nodes;

	if (fstatvfs(v->state_dir, ret) < 0)
		return -errno;
	ret->f_namemax = 255;
	pthread_mutex_lock(&v->lock);
	q = policy_quota(v->policy);
	nodes = v->rec.tree.nodes.used - v->rec.tree.nseeds;
	bytes = view_live_bytes(v);
	pthread_mutex_unlock(&v->lock);
	if (q.bytes && ret->f_frsize)
		limit_figures(&ret->f_blocks, &ret->f_bfree, &ret->f_bavail,
			      q.bytes / ret->f_frsize, (bytes + ret->f_frsize - 1) / ret->f_frsize);
	if (q.nodes)
		limit_figures(&ret->f_files, &ret->f_ffree, &ret->f_favail, q.nodes, nodes);
	return 0;
}
