/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "record.h"
#include "tree.h"

/* What writing and reading a checkpoint share; the format is at the head of checkpoint.c. */

enum ckpt_type {
	CKPT_NODE = 64,	   /* node, mode, owner, group, rdev, count = nlink, mask = flags, size,
				atime, mtime, offset = ctime, offset2 = btime, length = next cookie,
				value = symlink target */
	CKPT_EXTENTS = 65, /* node, value = struct ckpt_extent[]; several go on */
	CKPT_XATTR = 66,   /* node, name, value */
	CKPT_NAME = 67, /* parent, name, node (0 = whiteout), offset = cookie, mask 1 = scratch */
	CKPT_NODE_GONE = 68, /* node */
	CKPT_NAME_GONE = 69, /* parent, name */
	CKPT_POLICY = 70,    /* value */
	CKPT_BASE = 71,	     /* after a sync: name = image, name2 = base commit, count = layer */
	CKPT_RUNS = 72,	     /* value = {u32 place, u32 len, u64 id, i64 time}[]; several go on */
	CKPT_KEPT = 73,	     /* node, size, value = object id (32 bytes) */
	CKPT_SEED = 74,	  /* node, path = folder in the main worktree, name, count = inode, mtime,
				offset = ctime: where it still comes from (seed.h); no extents */
	CKPT_SEEDED = 75, /* all that view.conf names of the main worktree is in */
};

enum { CKPT_HEADER_SIZE = 96, CKPT_RUN_SIZE = 24 };
enum {
	CKPT_INCOMPAT_SYNCED = 1, /* the base is not view.conf's: CKPT_BASE and what follows it */
	CKPT_INCOMPAT_SEEDS = 2,  /* CKPT_SEED, CKPT_SEEDED */
	CKPT_INCOMPAT_KNOWN = CKPT_INCOMPAT_SYNCED | CKPT_INCOMPAT_SEEDS,
};

/* struct extent of extent.h, little-endian. */
struct ckpt_extent {
	uint64_t off, len, node, place;
};

static const char CKPT_MAGIC[8] = "AFSCKPT";

static inline void checkpoint_file_name(char out[32], uint64_t seq)
{
	(void)snprintf(out, 32, "%020" PRIu64 ".ckp", seq);
}

/* Is the loaded tree one that a view can have? Errors: -EBADMSG. */
struct tree;
int checkpoint_check(const struct tree *t);

/* The folder's checkpoints, newest first. Caller frees. Errors: -ENOMEM, -errno. */
int checkpoint_list(int dir, uint64_t **ret, size_t *ret_n);

/* One record of these types into a tree that has nothing yet. Errors: -EBADMSG, -ENOMEM, as of opening
 * the image. */
int checkpoint_load_base(struct tree *t, const struct record *rec);
int checkpoint_load_runs(struct tree *t, const struct record *rec);
int checkpoint_load_kept(struct tree *t, const struct record *rec);

/* Is the number one that the image has or the view gave, and does it go with the node? */
bool checkpoint_number_ok(const struct tree *t, const struct node *n);
