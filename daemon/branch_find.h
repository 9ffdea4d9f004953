/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "repo.h"

/* The commit of a branch by its short name: local, else (`remote`) of a remote. Errors: NotFound,
 * naming it and the branches whose names are near. */
int branch_find(struct repo *r, const char *name, bool remote, git_oid *ret, struct err *reterr);
