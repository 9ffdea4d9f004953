/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "daemon.h"

/*
 * Scratch views: views that the daemon makes for itself. One belongs to a repository, a target branch and a slot,
 * is kept from one use to the next, and has no branch, no owner among the agents and no rules but the
 * repository's redirected folders. Its name begins with a dot, which no agent's does; its row stays
 * "creating" all its life, so that the next start of the daemon takes away what a killed one has left.
 */

/* Is it one? No list shows it, and nobody may name it. */
bool scratch_is(const char *agent);

/* The name of one that nobody uses now, in room (SCRATCH_NAME_MAX); it is the caller's until
 * scratch_give_back(). Errors: -EBUSY all are in use, -ENOMEM. */
enum { SCRATCH_NAME_MAX = 32 };
int scratch_take(struct daemon *d, const char *repository, const char *target, char *room);

/* Returns true where it has been used often enough, or there are so many that it is to go. */
bool scratch_give_back(struct daemon *d, const char *name);

/* What a scratch view is made from. */
struct scratch_facts {
	const char *name, *repository, *commit;
	uid_t uid; /* the repository's owner's */
	gid_t gid;
};

/* The row for view_make(). Errors: -ENOMEM, -errno. */
int scratch_row(struct daemon *d, const struct scratch_facts *facts, struct view_row *ret);
