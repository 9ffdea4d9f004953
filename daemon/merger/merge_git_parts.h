/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "merge_git.h"

/* What merge_git.c (asks git) and merge_git_say.c (says what it answered) share. */

/* One message of `git merge-tree -z`. */
struct git_message {
	const char *const *paths; /* one at least */
	size_t n;
	const char *type, *text;
	const char *ours, *theirs; /* how git names the sides */
};

/* Adds the conflict that it tells of. Returns 1 where it tells of none, 0, -ENOMEM. */
int merge_git_say(struct merge_git *g, const struct git_message *m);
/* Adds what conflicts and no message told of. Errors: -ENOMEM. */
int merge_git_say_rest(struct merge_git *g);
