/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "merge_file.h"
#include "merge_git.h"

/* The second opinion: git's own way of comparing lines (histogram), asked about the files that both sides changed and we
 * merged our way (Myers), where the two could differ. */

struct merge_notes {
	char **v;
	size_t n;
};

/* Appends a sentence. Errors: -ENOMEM. */
int merge_note(struct merge_notes *notes, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

struct merge_second {
	struct merge_git_run run;
	struct merge_git said;
	bool asked;
	bool numbered;	 /* in said, files go by their numbers */
	struct err none; /* why there is no opinion */
};

/* Asks about those of the files that were merged by line, beside what we made of them (`mine`), and not with certainty; their
 * attributes have been gathered. Whatever fails here is told by merge_second_finish(). */
void merge_second_start(struct merge_second *s, struct merge_private *p,
			const struct merge_both *files, const struct merge_file *mine, size_t n);

/* Waits, and puts right what we made of them (`mine`, beside the files): alike is taken, one that is clean alone is taken and
 * noted, two clean ones that differ are a conflict. Without an opinion ours stands, which is noted. Errors: -ENOSPC where the
 * private repository has outgrown the memory, -errno. */
int merge_second_finish(struct merge_second *s, struct merge_private *p,
			const struct merge_both *files, struct merge_file *mine, size_t n,
			struct merge_notes *notes, struct err *reterr);
void merge_second_release(struct merge_second *s);
