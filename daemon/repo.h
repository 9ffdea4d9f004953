/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <stdbool.h>
#include <sys/types.h>

#include "err.h"

/*
 * A repository as a path names it: found without libgit2 and without reading its configuration, so
 * that root can do it; opened only as its owner, with nothing outside it consulted.
 */
struct objects;

struct repo {
	char *git_dir;	/* of the worktree that the path is in: HEAD is here; absolute, no final
			   slash */
	char *common;	/* what all worktrees share: objects, refs, config */
	char *worktree; /* the main worktree, or NULL (bare, or a submodule's before repo_open()) */
	uid_t owner;	/* of `common` */
	gid_t group;
	git_repository *git;	 /* after repo_open() */
	struct objects *objects; /* after repo_begin_objects() */
};

/* Finds the repository that `path` is in: a worktree or a folder below it, a linked worktree, a git
 * folder, a bare repository. Errors: -ENOENT with id NotFound, -ENOMEM. */
int repo_find(const char *path, struct repo *ret, struct err *reterr);

/* libgit2's settings for this process: no configuration but the repository's own, owners checked.
 * Called once, before anything else of libgit2. */
int repo_setup(struct err *reterr);

/* Opens it, as its owner. Refuses what libgit2 cannot read right (SHA-256). Errors: Unsupported,
 * Denied, Damaged, -errno. */
int repo_open(struct repo *r, struct err *reterr);

/* May this peer use it: root, the owner, or whom `agentfs.grant` in the repository's own
 * configuration names (a user name or number; repeatable)? -EACCES (Denied) when not. */
int repo_check_peer(struct repo *r, uid_t peer, struct err *reterr);

/* May it be so at all, as far as is known before the repository is open? */
bool repo_peer_owns(const struct repo *r, uid_t peer);

/* The mode bits that core.sharedRepository gives others than the owner; 0 where it is not shared. */
mode_t repo_shared_bits(struct repo *r);

void repo_release(struct repo *r);

/* Reads a commit by revision (revparse, peeled). Errors: -ENOENT naming `rev`. */
int repo_commit(struct repo *r, const char *rev, git_commit **ret, struct err *reterr);

/* What is written from now on is gathered (objects.h), and is in the repository after
 * repo_sync_objects(). Errors: -errno. */
int repo_begin_objects(struct repo *r, struct err *reterr);

/* Makes everything written into the object store so far survive power loss; refs are written synced
 * anyway. Errors: -errno. */
int repo_sync_objects(struct repo *r, struct err *reterr);
