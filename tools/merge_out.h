/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "cmd.h"
#include "out.h"

/* Parts of merges as people read them. */

/* " (resolver version: right in 736 of 786 past conflicts)" */
void merge_print_record(const json_t *answer);

/* The first lines of a text, each behind a mark. */
void merge_print_lines(const char *mark, enum out_color color, const char *text);

/* What external resolvers said of a conflict, and why that was not taken. */
void merge_print_rejected(const json_t *hunk);

/* Path, kind and reason, and the lines to look at. */
void merge_print_conflict(const json_t *conflict);

/* What ends a conflict of that kind, which has no lines to look at; NULL: nothing to add. */
const char *merge_to_do(const char *kind);

/* The number of a merge that is word `at`. Returns CTL_OK, or CTL_USAGE after having said what is wrong. */
int merge_number(struct ctl *c, size_t at, long long *ret);
