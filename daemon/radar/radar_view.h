/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <stdbool.h>

#include "buf.h"
#include "err.h"
#include "snapshot.h"

/* What one view has changed, for comparing it with others: paths now, bytes when they are asked for. */

struct radar_path {
	char *path;
	char status; /* 'A', 'M', 'D' against the view's base */
	uint32_t mode;
	uint64_t node, size;
	git_oid base; /* what the base has there; not for 'A' */
	uint32_t base_mode;
	struct buf text; /* after radar_path_read() */
	bool read;
};

struct radar_view {
	char *agent;
	struct snapshot *snapshot;
	git_oid commit; /* base */
	struct radar_path *v;
	size_t n, cap;
	bool fresh; /* changed since the pairs with it were compared last */
};

/* Opens the view in folder `dir` as its files have it now; needs the daemon's privileges. Errors: -errno. */
int radar_view_open(int dir, int state, const char *agent, struct radar_view *ret,
		    struct err *reterr);

/* Lists what it has changed, by path; scratch, and what was taken from the main worktree, is left out. Errors: -errno. */
int radar_view_list(struct radar_view *v, struct err *reterr);

/* Reads a path's bytes, once. Errors: -EFBIG it is too large to be compared, -EIO, -ENOMEM. */
int radar_path_read(struct radar_view *v, struct radar_path *p);

void radar_view_release(struct radar_view *v);
