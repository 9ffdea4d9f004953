/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <stdbool.h>

#include "merge_walk.h"

/* What the attribute `merge` of a path says (gitattributes(5)). */
enum merge_driver {
	MERGE_DRIVER_TEXT,
	MERGE_DRIVER_UNION,
	MERGE_DRIVER_BINARY, /* -merge, merge=binary: never by line */
	MERGE_DRIVER_CUSTOM, /* a program that the configuration would name: never run */
};

/* From libgit2's value of the attribute. */
enum merge_driver merge_driver_of(const char *value);

struct merge_file {
	struct tree_entry to; /* the merged file, its blob written; mode 0: conflict */
	const char *kind;     /* of the conflict: "content" or "binary" */
	const char *why;      /* end of a sentence that begins with the path */
	bool by_line;	      /* contents were merged, not taken from one side */
	bool certain;	      /* … and would be the same by any comparison (plain_merge.h) */
	bool generated;	      /* no one's to resolve: a program writes it */
};

/* Merges one regular file, mode and content by themselves. base.mode 0: added on both sides.
 * Errors: -errno. */
int merge_file(git_repository *git, enum merge_driver driver, const struct merge_both *file,
	       struct merge_file *ret, struct err *reterr);
