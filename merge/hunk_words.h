/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "resolver.h"

/* The versions of a conflict as words and signs (token.h), and how the sides differ by them. A version number is one word, and
 * so is a tuple of numbers in a line that is about a version. */

enum words_flags {
	WORDS_INDENT =
		1
		<< 0, /* what a line is indented by is a word; blank lines are left out, as without flags */
	WORDS_SPACE = 1 << 1, /* white space and line ends are words: all together are the text */
};

enum { WORDS_MAX = 20000 }; /* of base and a side together */

struct words {
	struct text *v; /* parts of the conflict's text */
	size_t n, cap;
	struct edits edits; /* of a side: from the base's words */
	struct buf lines;   /* a word in each, to be compared */
};

/* Reads all three. Returns 1; 0 where they are too many; -ENOMEM. To be released in any case. */
int words_read(const struct conflict *c, unsigned int flags, struct words ret[SIDES]);
void words_release(struct words w[SIDES]);

bool word_is_version(struct text word);

/* Both are versions, and a is the greater. */
bool word_greater(struct text a, struct text b);
