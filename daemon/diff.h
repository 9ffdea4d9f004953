/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <jansson.h>
#include <stdbool.h>

#include "err.h"

struct worker;

/* Finds renames; appends each change with its line counts to `changes` (type Change) unless that is
 * NULL, and where `patch` makes *ret_patch, the patch as text. Errors: TooLarge, -errno. */
int diff_answer(struct worker *w, git_diff *diff, bool patch, json_t *changes, json_t **ret_patch,
		struct err *reterr);
