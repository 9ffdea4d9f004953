/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "buf.h"
#include "err.h"
#include "repo.h"

/*
 * A view whose git is a worktree of its repository (create --git worktree): the administrative
 * folder REPOSITORY/worktrees/<agent>-<12 digits of the view id>, as `git worktree add` makes one.
 * Refs, objects, configuration and hooks are the repository's own; HEAD and index are the view's.
 */
enum { GITDIR_NAME_MAX = 128 };

/* Its name, which follows from what the daemon knows before it is made: what a crash leaves is
 * found again. */
void gitdir_name(const char *agent, const char *view_id, char *room);

struct gitdir_plan {
	const char *agent, *view_id, *branch;
	const char *mount;     /* where the view will be */
	int images;	       /* STATE/images */
	const char *index;     /* the prepared index there */
	const char *fsmonitor; /* helper, or NULL; set where the repository has a configuration for
				   each worktree (extensions.worktreeConfig) */
	mode_t share;	       /* gitdir_check_user() */
};

/* May the view's user work in the repository? Its owner may; another (not root, whose files the
 * owner could not change) where core.sharedRepository and the modes let him. *ret_share: mode bits
 * that new files need besides the owner's. Errors: Denied. */
int gitdir_check_user(struct repo *r, uid_t uid, gid_t gid, mode_t *ret_share, struct err *reterr);

/* Makes it, on disk when it returns; *ret_path (caller frees) is its absolute path. After an error
 * gitdir_remove() takes away what is there. Errors: -errno. */
int gitdir_make(struct repo *r, const struct gitdir_plan *plan, char **ret_path,
		struct err *reterr);

/* Removes it; that it is not there is no error. Errors: -errno. */
int gitdir_remove(struct repo *r, const char *name, struct err *reterr);

/* Opens it as user `owner`, whoever this process is. Errors: -ENOENT, -errno. */
int gitdir_open(const char *common, const char *name, uid_t owner, gid_t group);

/* Makes the lock file of one of its files (index: as git does). Errors: -EEXIST, -errno. */
int gitdir_lock(int gitdir, const char *name, uid_t owner, gid_t group);
void gitdir_unlock(int gitdir, const char *name);

/* Appends a file of it. Errors: -ENOENT, -EINVAL no regular file, -EFBIG, -errno. */
int gitdir_read(int gitdir, const char *path, size_t max, struct buf *b);

/* Replaces a file of it atomically, on disk when it returns. HEAD: under HEAD.lock, as git does
 * (-EEXIST: git has it). Errors: -errno. */
int gitdir_put(int gitdir, const char *path, const void *p, size_t n);

/* Adds a line to its logs/HEAD: HEAD has moved there. Failing to is no failure. */
void gitdir_log(int gitdir, const char *from, const char *to, const char *who, const char *why);

/* Is this administrative folder one of ours? The view's id and agent, from the reason of its lock. */
struct gitdir_owner {
	char view_id[33], agent[80];
};
bool gitdir_is_view(const char *common, const char *name, struct gitdir_owner *ret);
