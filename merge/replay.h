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

/* Conflicts of one file are seldom independent of each other: of a resolver's answers in a file only so many count. */
enum { REPLAY_COUNTED = 5 };

/* Does the conflict's i-th answer count in its resolver's record? */
bool replay_counts(const struct resolve *r, const struct resolved_conflict *c, size_t i);

/* What the person did instead, for people. */
const char *replay_reason(const struct diff3 *d, const struct chunk *c, struct text person);

/* What a person did with a conflict. */
enum replay_kept {
	REPLAY_KEPT_ALL, /* every line that a side added is there, every one that a side deleted gone */
	REPLAY_KEPT_WORDS, /* not that, but every word and sign: both sides' changes of one line */
	REPLAY_KEPT_OURS,  /* but for white space, as the next two */
	REPLAY_KEPT_THEIRS,
	REPLAY_KEPT_BASE,
	REPLAY_KEPT_NOTHING,
	REPLAY_KEPT_SOME, /* another choice among the versions' lines */
	REPLAY_KEPT_NEW,  /* lines that no version has */
};

/* Returns an enum replay_kept, or -ENOMEM. */
int replay_kept(const struct diff3 *d, const struct chunk *c, struct text person);
const char *replay_kept_name(int kept);
