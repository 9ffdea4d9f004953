/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdio.h>

/*
 * Merges as one page that needs nothing else: no network, nothing of it is executed but its own few lines for the
 * keyboard. Every text is escaped; control characters, and those that turn the direction of text, are spelt out.
 */

/* explained: array of replies of MergeExplain. */
void merge_html(FILE *f, const json_t *explained);
