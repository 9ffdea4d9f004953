/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"
#include "image.h"
#include "policy.h"
#include "record.h"

/*
 * A view's tree as it was after a given record, read from the view's files alone (newest checkpoint
 * and replay), whether its server runs or not. For the worker: it knows no FUSE and writes nothing.
 * After snapshot_open() nothing needs the privileges it was opened with: all files are open.
 */
struct snapshot;

/* view_dir: STATE/views/<agent>; state_dir: STATE (images/, content/). seq 0: the newest. Both are
 * borrowed only for the call. The image and object store are those in view.json's twin `view.conf`
 * (viewconf.h). Errors: -ENOENT, -EBADMSG, -EPROTONOSUPPORT, … */
int snapshot_open(int view_dir, int state_dir, uint64_t seq, struct snapshot **ret,
		  struct err *reterr);
void snapshot_close(struct snapshot *s);

/* From now on base content comes from the shared cache too, where this process may open it: not one that has
 * become the owner of somebody's repository, who may not see what others' hold. Before threads read. */
void snapshot_use_cache(struct snapshot *s, int state_dir);
uint64_t snapshot_seq(const struct snapshot *s);
const struct image *snapshot_image(const struct snapshot *s);
const struct policy *snapshot_policy(const struct snapshot *s); /* in force at seq */

struct snapshot_stat {
	uint64_t node, ino;
	uint32_t mode, uid, gid, nlink;
	uint64_t size;
	int64_t mtime, ctime;	       /* ns */
	const struct image_node *base; /* content wholly that of this base file, or NULL */
	bool scratch;		       /* allowed only as scratch: not to be materialized */
	bool seed; /* from the main worktree, unchanged: gives way to what a base has there */
};

/* Follows no symlinks. Errors: -ENOENT, -ENOTDIR. */
int snapshot_lookup(struct snapshot *s, const char *path, struct snapshot_stat *ret);

/* Reads; short at the end of the file. Symlinks: the target. Errors: -EIO, -EISDIR. */
ssize_t snapshot_read(struct snapshot *s, uint64_t node, uint64_t off, void *buf, size_t n);

/* The base commit that it is on, hex. */
const char *snapshot_base_commit(const struct snapshot *s);

/* What a move to another base would make of it (view_move_base()); nothing is changed. The last one is
 * what lookups ask; contents of SYNC_PUTs cannot be read. Errors: as tree_next_build(). */
struct snapshot_move {
	const char *image, *commit;
	int64_t time;
	struct bytes actions;
};
int snapshot_preview(struct snapshot *s, const struct snapshot_move *m);
int snapshot_preview_lookup(struct snapshot *s, const char *path, struct snapshot_stat *ret);

/* Names of a folder, in bytewise order. A non-zero return of fn ends it and is returned. */
typedef int (*snapshot_dir_fn)(const char *name, const struct snapshot_stat *st, void *user);
int snapshot_readdir(struct snapshot *s, const char *path, snapshot_dir_fn fn, void *user);

struct snapshot_change {
	const char *path;	 /* borrowed for the call */
	char status;		 /* 'A' added, 'M' content, mode or type changed, 'D' deleted */
	struct snapshot_stat st; /* not for 'D' */
	const struct image_node *base; /* what the base has at that path; not for 'A' */
	bool scratch;
};

/* Every file and symlink (never folders, never the view's own .git and .agentfs/control) that
 * differs from the base, folder by folder, the names of each in bytewise order; a file whose bytes were
 * written anew counts as differing. Cost proportional to what changed, a moved
 * folder of the base counting as its files. A non-zero return of fn ends it and is returned. */
typedef int (*snapshot_change_fn)(const struct snapshot_change *c, void *user);
int snapshot_changes(struct snapshot *s, snapshot_change_fn fn, void *user);
