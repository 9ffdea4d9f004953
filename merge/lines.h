/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* A text as lines, and how two texts differ by them. Nothing here copies a byte. */

struct text {
	const char *p;
	size_t n;
};

/* Lines with their ends; the last may have none. Borrows the text. */
struct lines {
	struct text *v;
	size_t n;
};

/* The caller frees ret->v. Errors: -ENOMEM. */
int lines_split(struct text t, struct lines *ret);

bool text_equal(struct text a, struct text b);

/* Equal but for white space (and so for line ends)? */
bool text_equal_but_space(struct text a, struct text b);

/* Nothing but white space. */
bool text_blank(struct text t);

/* The line without its end and the white space around it. */
struct text text_trim(struct text t);

/* Valid UTF-8: no overlong form, no surrogate. */
bool text_utf8(struct text t);

bool text_is(struct text t, const char *word);
bool text_starts(struct text t, const char *prefix);

/* Lines [b0, b1) of the one became [s0, s1) of the other. */
struct edit {
	size_t b0, b1, s0, s1;
};

struct edits {
	struct edit *v;
	size_t n;
};

/* The shortest edit script (Myers, as libgit2's and git's default), ascending; the caller frees ret->v.
 * Errors: -ENOMEM, -EFBIG (over 1 GiB). */
int lines_diff(struct text base, struct text side, struct edits *ret);
