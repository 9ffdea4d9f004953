/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2/sys/mempack.h>
#include <git2/sys/odb_backend.h>

#include "merge.h"
#include "replay.h"

/* A merge that a person made, made again: what is said of each conflict, beside what the person made of it. */

struct replay_conflict {
	const char *path;
	const struct resolve *r;
	const struct resolved_conflict *c;
	bool file;	  /* the person's tree has the path as a file: else `kept` is empty */
	struct text kept; /* what the person has there */
};

/* A negative result ends the replay. */
typedef int (*replay_conflict_fn)(const struct replay_conflict *c, void *user);

/* What is written to the repository from now on stays in memory, until git_mempack_reset(). Errors: -errno. */
int replay_in_memory(git_repository *git, git_odb_backend **ret_memory, struct err *reterr);

/* Merges the parents of a commit with two again; `fn` hears of every conflict of lines. Nothing is moved. Errors: those
 * of merge_commits(), of `fn`. */
int replay_merge(git_repository *git, git_commit *merge, const struct resolve_options *options,
		 replay_conflict_fn fn, void *user, struct merge_out *ret, struct err *reterr);
