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

/* What merge_html.c makes it of: a text, escaped; the first 12 characters of a commit's; the lines of a text of the
 * hunk, `which` being "base", "ours", "theirs", or "" for a result. */
void html_put(FILE *f, const char *s);
void html_put_id(FILE *f, const char *id);
void html_put_text(FILE *f, const json_t *hunk, const char *which, const char *text);
