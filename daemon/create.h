/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <jansson.h>

#include "err.h"
#include "repo.h"

struct image;

/* Adds `seeds` to the answer: the files of the view's own .git. Errors: -ENOMEM. */
int create_seeds(struct repo *repo, const char *agent, const char *branch, const git_oid *base,
		 json_t *ret);

/* Says in the answer's notes what of the base a view shows otherwise than a checkout would:
 * submodules, and attributes that convert content. */
int create_notes(struct repo *repo, const struct image *img, json_t *ret);

/* In a partial clone: are all files of the image there? Errors: -ENOENT (NotFetched). */
int create_check_fetched(struct repo *repo, const struct image *img, struct err *reterr);
