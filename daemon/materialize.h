/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>

#include "err.h"
#include "worktree.h"

struct worker;

/* Brings the view's own index to where a commit of the taken paths would leave it, and puts it into
 * the view, in proportion to those paths but for one copy. Everything else that the agent has staged stays as it is. `index` is its copy
 * (viewgit_index()), NULL does nothing. Errors: -errno. */
int materialize_index(struct worker *w, const struct gitindex *index, const struct worktree *t,
		      struct err *reterr);

/* The author of what an agent did, now. Caller frees with git_signature_free(). */
int materialize_author(struct worker *w, git_signature **ret, struct err *reterr);

/* The committer: the repository's user, as the request names it. */
int materialize_committer(struct worker *w, git_signature **ret, struct err *reterr);

/* A change of a path as the interface's type Change, appended to the array. */
void change_add(json_t *changes, const char *path, const struct tree_entry *from,
		const struct tree_entry *to);
