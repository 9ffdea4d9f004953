/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "resolve.h"

/* Merges that people made, made again: was a resolver's answer right? */

/* What a person made of a file, beside ours. */
struct replay {
	struct text person; /* borrowed */
	struct edits edits; /* from ours */
	struct lines lines;
};

/* Errors: -ENOMEM, -EFBIG. */
int replay_open(const struct diff3 *d, struct text person, struct replay *ret);
void replay_release(struct replay *r);

/* Where the person's file has what they made of a conflict. */
struct text replay_region(const struct replay *r, const struct chunk *c);

/* An answer beside what the person wrote. Right is whatever is not different: equal to it, equal but for order and
 * white space, or contained in it line for line with nothing missing that a side added and the person
 * kept (the person went on editing). */
enum replay_verdict { REPLAY_DIFFERENT, REPLAY_CONTAINED, REPLAY_ORDER, REPLAY_EQUAL };

/* Returns a verdict, or -ENOMEM. */
int replay_right(const struct diff3 *d, const struct chunk *c, struct text answer,
		 struct text person);

/* What the person did instead, for people. */
const char *replay_reason(const struct diff3 *d, const struct chunk *c, struct text person);
