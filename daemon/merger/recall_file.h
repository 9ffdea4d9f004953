/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <jansson.h>
#include <stdbool.h>

#include "diff3.h"
#include "memory.h"

/* One file of a merge that somebody has made, beside the conflicts that were told of it before. */

enum { KEPT = SIDES };

/* A merge: base, ours, theirs, and what was made of them. */
struct recall_sides {
	git_oid id[SIDES + 1], tree[SIDES + 1];
};

/* Errors: -errno (several bases, or objects that are not there). */
int recall_sides(git_repository *git, const git_oid *ours, const git_oid *theirs,
		 const git_oid *kept, struct recall_sides *ret);

/* hunks [{hunk, key, base, ours, theirs}] of `path`: appends for each that is found {hunk, path, base, ours, theirs, kept,
 * class, said [{resolver, verdict}]} to `told`: what the person kept, and whether what resolvers (with that memory) say of it would have been
 * right. Errors: -errno. */
int recall_kept(git_repository *git, const struct recall_sides *m, const struct memory *memory,
		const char *path, json_t *hunks, json_t *told);

/* Commits that followed a merge on its target, oldest first; final: there will be no more to look at. */
struct recall_later {
	const git_oid *commit;
	size_t n;
	bool final;
};

/* hunks [{hunk, key}] of `path`, resolved by rule in that merge: appends {hunk, verdict} where a later commit changed their
 * lines ("wrong") and, if it is final, where none did ("right"). A change that came in by a merge of what did not
 * have the resolution is no judgement of it: then nothing is told. Errors: -errno. */
int recall_stands(git_repository *git, const struct recall_sides *m, const struct recall_later *l,
		  const char *path, json_t *hunks, json_t *told);
