/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "view_internal.h"

/*
 * Seeds in a view (seed.h). All but view_seed_unread() are called without view->lock: they look at the
 * main worktree. Where the view has no seeds they do nothing.
 */

/* On the first opening: the names that view.conf tells. Errors: -ENOMEM, -ENOSPC, -errno of the
 * journal; what the main worktree lacks is passed over. */
int view_seed_plant(struct view *v, struct err *reterr);

/* The main worktree may be slow: others are served meanwhile. */
void view_seed_slow(const struct view *v);

/* Before a folder is looked into or changed: its names are in. Errors: -EACCES, -EIO, -ENOSPC, … */
int view_seed_ready(struct view *v, const struct view_ctx *ctx, uint64_t dir);

/* The same, and where `name` in it is such a folder too, for that one. */
int view_seed_ready_at(struct view *v, const struct view_ctx *ctx, uint64_t dir, const char *name);

/* Lock held: nobody has looked into the folder; the operation is to be tried again after
 * view_seed_ready() of v->seed_wanted, which this sets. */
bool view_seed_unread(struct view *v, uint64_t dir);

/* Before a file is changed, moved or shared: its bytes are the view's own. */
int view_seed_own(struct view *v, const struct view_ctx *ctx, uint64_t id);
int view_seed_own_at(struct view *v, const struct view_ctx *ctx, uint64_t dir, const char *name);

/* Its bytes are not the view's own: a read waits for the main worktree. */
bool view_seed_waits(struct view *v, uint64_t id);

/* A read of a file whose bytes may still be in the main worktree. Returns -EAGAIN where they are the
 * view's own (by now): read as any. */
ssize_t view_seed_read(struct view *v, const struct view_ctx *ctx, uint64_t id, uint64_t off,
		       void *buf, size_t n);
