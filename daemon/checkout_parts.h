/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/stat.h>

#include "buf.h"
#include "checkout.h"

/* What the files checkout*.c share among themselves. */

enum checkout_todo {
	CHECKOUT_NOTHING, /* the file is as it shall be; the index may not be */
	CHECKOUT_WRITE,
	CHECKOUT_REMOVE,
	CHECKOUT_FOLDER,    /* a new submodule's empty folder */
	CHECKOUT_NO_FOLDER, /* a removed submodule's, if it is empty */
};

struct checkout_work {
	const struct checkout_item *item;
	enum checkout_todo todo;
	bool had;    /* a file or symlink is there now */
	bool hidden; /* skip-worktree: only the index */
	bool done;
	struct stat was; /* that file */
	struct stat now; /* what we put there */
};

struct checkout {
	git_repository *git;
	int root, git_dir, stage, lock;
	bool stage_in_root;
	bool executable; /* core.fileMode */
	char *root_path;
	git_index *index; /* NULL: not asked for */
	struct timespec index_mtime;
	bool index_had, index_put;
	struct checkout_work *work;
	size_t n;
};

/* The folder that `path` is in, O_PATH, without following a symlink or leaving `root`; *ret_name is
 * the last part. -ENOENT, -ENOTDIR, -ELOOP: there is no such folder. */
int beneath_parent(int root, const char *path, const char **ret_name);
/* The same, making folders that are not there. */
int beneath_make_parent(int root, const char *path, const char **ret_name);
/* lstat of `path`. */
int beneath_stat(int root, const char *path, struct stat *ret);
/* Opens a regular file for reading. */
int beneath_read(int root, const char *path);
/* Removes the folders above `path` that are empty now. */
void beneath_prune(int root, const char *path);
/* Removes a folder that holds only empty folders. -ENOTEMPTY */
int beneath_rmdir(int parent, const char *name);

bool stat_same(const struct stat *a, const struct stat *b);

/* checkout_index.c */
int checkout_index_lock(struct checkout *c, struct err *reterr);
int checkout_index_read(struct checkout *c, struct err *reterr);
int checkout_index_put(struct checkout *c, struct err *reterr);
void checkout_index_undo(struct checkout *c);
void checkout_index_close(struct checkout *c);

/* checkout_check.c */
int checkout_check(struct checkout *c, struct merge_conflicts *refused, struct err *reterr);

/* Kills the process at a named step, for tests of what a crash leaves (AGENTFS_FAILPOINT=name or
 * name:N for the N-th time); nothing in builds without tests. */
#ifdef AGENTFS_FAILPOINTS
void checkout_failpoint(const char *name);
#else
static inline void checkout_failpoint(const char *name)
{
	(void)name;
}
#endif
