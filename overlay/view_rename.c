/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rename: both ends are judged, what is below a folder too; RENAME_NOREPLACE and RENAME_EXCHANGE.
 *
 * Everything is decided before the one record that does it, so there is no half-done rename.
 */
#include <errno.h>
#include <string.h>

#include "journal.h"
#include "view_internal.h"
#include "view_seed.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE (1 << 0)
#define RENAME_EXCHANGE	 (1 << 1)
#endif

enum { NAME_BYTES_MAX = 255, RECORD_ROOM = 2048 };

struct rename {
	struct place from, to;
	uint64_t node, over; /* over 0: the name is free */
	bool dir, over_dir, exchange, scratch;
	bool over_hidden; /* to be refused as a name that is not there would be */
};

/* What POSIX says about the two ends, before policy is asked. 1: nothing to do. */
static int rename_shape(struct view *v, const struct view_ctx *ctx, struct rename *n,
			unsigned int flags)
{
	const struct tree *t = &v->rec.tree;
	int r = tree_lookup(t, n->from.dir, n->from.name, n->from.len, &n->node);

	if (r == 0)
		r = view_check_dir(v, n->to.dir);
	if (r < 0)
		return r;
	n->dir = tree_is_dir(t, n->node);
	if (view_redirected(v, n->node))
		return -EBUSY; /* as the kernel says where it is mounted */
	if (n->dir && tree_is_below(t, n->to.dir, n->node))
		return -EINVAL;
	r = tree_lookup(t, n->to.dir, n->to.name, n->to.len, &n->over);
	if (r == -ENOENT) {
		n->over = 0;
		return n->exchange ? -ENOENT : 0;
	}
	if (r < 0)
		return r;
	n->over_dir = tree_is_dir(t, n->over);
	n->over_hidden = !ctx->internal && view_hidden(v, &n->to, n->over_dir);
	if (n->over_hidden)
		return 0;
	if (flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (view_redirected(v, n->over))
		return -EBUSY;
	if (n->over == n->node)
		return 1;
	if (n->over_dir && tree_is_below(t, n->from.dir, n->over))
		return n->exchange ? -EINVAL : -ENOTEMPTY;
	if (n->exchange)
		return 0;
	if (n->dir != n->over_dir)
		return n->dir ? -ENOTDIR : -EISDIR;
	return n->over_dir && !tree_dir_empty(t, n->over) ? -ENOTEMPTY : 0;
}

/* One direction: the name it leaves, the name it gets, what it covers, what is below it. */
static int rename_judge(struct view *v, const struct view_ctx *ctx, const struct place *from,
			const struct place *to, uint64_t node, uint64_t over, bool dir,
			bool *scratch)
{
	struct check a = {
		.op = POLICY_RENAME_FROM, .rop = OP_RENAME, .at = *from, .node = node, .dir = dir};
	struct check b = {
		.op = POLICY_RENAME_TO, .rop = OP_RENAME, .at = *to, .node = over, .dir = dir};
	int r = view_check(v, ctx, &a);

	if (r == 0)
		r = view_check(v, ctx, &b);
	if (r == 0 && dir)
		r = view_check_subtree(v, ctx, node, from, to);
	*scratch = b.scratch;
	return r;
}

static int do_rename(struct view *v, const struct view_ctx *ctx, struct rename *n,
		     unsigned int flags)
{
	bool back;
	struct record rec;
	int r;

	if (flags & ~(unsigned int)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	if (n->to.len > NAME_BYTES_MAX)
		return -ENAMETOOLONG;
	if (control_is(v, n->from.dir) || control_reserved(v, n->from.dir, n->from.name) ||
	    (control_is(v, n->to.dir) && n->to.dir != NODE_AGENTFS) ||
	    control_reserved(v, n->to.dir, n->to.name))
		return -EPERM;
	r = view_make_real(v, ctx, n->to.dir);
	if (r == 0)
		r = rename_shape(v, ctx, n, flags);
	if (r != 0)
		return r > 0 ? 0 : r;
	r = rename_judge(v, ctx, &n->from, &n->to, n->node, n->over, n->dir, &n->scratch);
	if (r == 0 && n->over_hidden)
		r = -EACCES;
	if (r == 0 && n->exchange)
		r = rename_judge(v, ctx, &n->to, &n->from, n->over, n->node, n->over_dir, &back);
	if (r == 0)
		r = journal_reserve(v->rec.journal, RECORD_ROOM);
	if (r < 0)
		return r;
	view_record(v, ctx, &rec, OP_RENAME);
	RECORD_SET(&rec, parent, F_PARENT, n->from.dir);
	RECORD_SET(&rec, name, F_NAME, ((struct bytes){n->from.name, n->from.len}));
	RECORD_SET(&rec, node, F_NODE, n->node);
	RECORD_SET(&rec, parent2, F_PARENT2, n->to.dir);
	RECORD_SET(&rec, name2, F_NAME2, ((struct bytes){n->to.name, n->to.len}));
	RECORD_SET(&rec, mask, F_MASK, flags);
	if (n->over)
		RECORD_SET(&rec, node2, F_NODE2, n->over);
	rec.flags |= n->scratch ? RECORD_F_SCRATCH : 0;
	rec.flags |= view_in_git(v, n->to.dir, n->to.name, n->to.len) &&
				     view_in_git(v, n->from.dir, n->from.name, n->from.len)
			     ? RECORD_F_GIT
			     : 0;
	r = view_commit(v, &rec);
	if (r < 0)
		return r;
	if (!(rec.flags & RECORD_F_GIT))
		v->last_write = (int64_t)rec.time;
	if (n->over)
		view_drop_if_unheld(v, n->over);
	return 0;
}

/* Files that get another name are the agent's own; a folder may go only if it is known to be empty. */
static int rename_seeds(struct view *v, const struct view_ctx *ctx, const struct rename *n)
{
	int r = view_seed_ready(v, ctx, n->from.dir);

	if (r == 0)
		r = view_seed_own_at(v, ctx, n->from.dir, n->from.name);
	if (r == 0)
		r = view_seed_ready_at(v, ctx, n->to.dir, n->to.name);
	if (r == 0 && n->exchange)
		r = view_seed_own_at(v, ctx, n->to.dir, n->to.name);
	return r;
}

int view_rename(struct view *v, const struct view_ctx *ctx, uint64_t parent, const char *name,
		uint64_t parent2, const char *name2, unsigned int flags)
{
	struct rename n = {
		.from = {parent, name, strlen(name)},
		.to = {parent2, name2, strlen(name2)},
		.exchange = flags & RENAME_EXCHANGE,
	};
	struct view_ctx own = *ctx;
	uint64_t wanted;
	int r = 0;

	pthread_mutex_lock(&v->lock);
	if (view_is_poker(v, ctx)) {
		own.internal = true;
		if (strcmp(name, VIEW_PUT_TEMP) != 0 || flags)
			r = -EPERM;
	}
	pthread_mutex_unlock(&v->lock);
	if (r == 0)
		r = rename_seeds(v, &own, &n);
	while (r == 0) {
		pthread_mutex_lock(&v->lock);
		r = do_rename(v, &own, &n, flags);
		wanted = v->seed_wanted;
		pthread_mutex_unlock(&v->lock);
		if (r != -EAGAIN)
			break;
		r = view_seed_ready(v, &own, wanted); /* its names are to be judged, too */
	}
	return r;
}
