/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <jansson.h>

#include "buf.h"
#include "err.h"
#include "repo.h"

struct image;
struct worker;

struct create_seeds_options {
	const char *agent, *branch;
	const char *target; /* branch that the base was taken from, or "" */
	const char *mount;  /* where the view will be; NULL: it gets no remote */
	bool plain; /* no program of ours is asked what changed: it is not there in a sandbox */
	const git_oid *base; /* commit */
};

/* Adds `seeds` to the answer: the files of the view's own .git. Errors: -ENOMEM. */
int create_seeds(struct repo *repo, const struct create_seeds_options *opt, json_t *ret);

/* Appends the text of its .git/config. Errors: -ENOMEM, libgit2's. */
int create_config(struct repo *repo, const struct create_seeds_options *opt, struct buf *b);

/* Appends what makes `target` of the remote the upstream of `branch`. Errors: -ENOMEM. */
int create_config_branch(const char *branch, const char *target, struct buf *b);

/* The same where .git is a file that says where the view's git folder is. Errors: -ENOMEM. */
int create_seed_link(const char *path, json_t *ret);

/* The fsmonitor helper: beside this program, or in the build folder. False where there is none that
 * the view's git could run (a quote in its path would need quoting by a shell's rules and git's). */
bool create_fsmonitor(struct buf *ret);

/* Has each worktree of the repository a configuration of its own (extensions.worktreeConfig)? */
bool create_has_worktree_config(struct repo *repo);

/* Says in the answer's notes what of the base a view shows otherwise than a checkout would:
 * submodules, and attributes that convert content; and an index that merges cannot update. */
int create_notes(struct repo *repo, const struct image *img, json_t *ret);

/* Which untracked files of the main worktree the view is to show: `seed_from` and `seed_paths` of the
 * answer, and what a person should know of it in its notes. `config`: patterns, an array or NULL.
 * Errors: -ENOMEM, -EIO. */
int create_untracked(struct repo *repo, const struct image *img, const json_t *config, json_t *ret);

/* In a partial clone, which is said in a note: are all files of the image there? Errors: -ENOENT (NotFetched). */
int create_check_fetched(struct repo *repo, const struct image *img, json_t *ret,
			 struct err *reterr);

/* For other ops that need a commit's image: with privileges, before; its name in STATE/images (caller
 * frees), built where it is not there. create_finish() ends it. Errors: NotFetched, NoSpace, -errno. */
int create_open_image(struct worker *w, const char *view_id, uint32_t uid, uint32_t gid,
		      struct err *reterr);
int create_image_of(struct worker *w, git_commit *commit, char **ret_name, struct err *reterr);
