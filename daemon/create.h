/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <jansson.h>

#include "buf.h"
#include "err.h"
#include "repo.h"

struct image;

struct create_seeds_options {
	const char *agent, *branch;
	const char *target;  /* branch that the base was taken from, or "" */
	const char *mount;   /* where the view will be; NULL: it gets no remote */
	const git_oid *base; /* commit */
};

/* Adds `seeds` to the answer: the files of the view's own .git. Errors: -ENOMEM. */
int create_seeds(struct repo *repo, const struct create_seeds_options *opt, json_t *ret);

/* Appends the text of its .git/config. Errors: -ENOMEM, libgit2's. */
int create_config(struct repo *repo, const struct create_seeds_options *opt, struct buf *b);

/* Appends what makes `target` of the remote the upstream of `branch`. Errors: -ENOMEM. */
int create_config_branch(const char *branch, const char *target, struct buf *b);

/* Says in the answer's notes what of the base a view shows otherwise than a checkout would:
 * submodules, and attributes that convert content. */
int create_notes(struct repo *repo, const struct image *img, json_t *ret);

/* In a partial clone: are all files of the image there? Errors: -ENOENT (NotFetched). */
int create_check_fetched(struct repo *repo, const struct image *img, struct err *reterr);
