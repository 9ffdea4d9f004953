/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "parser.h"
#include "radar_view.h"

/*
 * Names that one view removes (or gives other parameters) and another newly uses: no comparison of lines sees that,
 * and the merge of both breaks without a conflict.
 */

struct radar_name {
	char *name;
	const char *path; /* the view's */
	uint32_t line;	  /* gone: in the base's file; used: in the view's */
	bool changed;	  /* gone: the name is there with other parameters */
};

struct radar_names {
	struct radar_name *gone, *used; /* by name */
	size_t ngone, nused;
};

/* Of all that the view has changed, as far as it is text of a known language and not too much. A declaration that moved to another
 * file of the view is not gone. Files that the parser gives up on are left out. Errors: -ENOMEM. */
int radar_names_of(git_repository *git, struct parser *p, struct radar_view *v,
		   struct radar_names *ret);
void radar_names_release(struct radar_names *n);

/* Calls fn for each name that `gone` has lost and `used` newly uses. A non-zero return ends it and is returned. */
typedef int (*radar_names_fn)(const struct radar_name *gone, const struct radar_name *used,
			      void *user);
int radar_names_meet(const struct radar_names *gone, const struct radar_names *used,
		     radar_names_fn fn, void *user);
