/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "evidence.h"
#include "memory.h"
#include "resolver.h"

/*
 * Tier 2, auto-resolve: one file whose lines conflict. Every conflict is shown to every resolver; one that
 * its record allows acts, the other answers are candidates for who decides next.
 */

/* What one resolver said of one conflict. */
struct answer {
	const struct resolver *by;
	char *text; /* owned */
	size_t len;
	struct evidence evidence;
	bool acts; /* its record suffices */
};

struct resolved_conflict {
	struct chunk chunk; /* where it stands: resolve.h's diff3 */
	struct answer *answers;
	size_t n;
	const struct answer *taken; /* of these, or NULL: still a conflict */
	const struct answer
		*refused; /* what was taken of a file that then broke an invariant, or NULL */
};

struct resolve {
	struct diff3 d;
	struct resolved_conflict *v; /* one for each conflict, in order */
	size_t n, left;		     /* left: still conflicts */
	const char *broken,
		*why; /* the invariant that its answers broke (resolve_believe()), and how; or NULL */
};

struct tier_ai;

enum { RESOLVE_LIMIT_MS = 5000 };

struct resolve_options {
	unsigned int cost_of_wrong;    /* COST_OF_WRONG */
	const struct records *own;     /* this repository's, or NULL */
	const struct records *shipped; /* or NULL: records_shipped */
	const struct memory *memory;   /* or NULL */
	struct parser *parser; /* for syntax trees, or NULL: resolvers that need them decline */
	unsigned int limit_ms; /* for the resolvers of one file; 0: RESOLVE_LIMIT_MS */
	bool generated;	       /* marked so by an attribute, or by `written`: nobody acts */
	/* Is the file written by a program that the configuration names? NULL: none is. */
	bool (*written)(void *user, const char *path);
	void *written_user;
	const char *without;	  /* the name of a resolver that does not act; or NULL */
	const char *without_path; /* of the one file in which that goes for it, or NULL: in any */
	const struct resolver *table; /* who is asked, ntable of them; NULL: resolvers */
	size_t ntable;
	struct tier_ai *ai; /* who is asked after the rules (daemon/merger/tier_ai.h), or NULL */
	/* Told of each file with conflicts and what was made of it, or NULL; a negative result ends the merge. */
	int (*seen)(void *user, const char *path, const struct resolve *r);
	void *user;
};

/* The texts are borrowed and have to stay. Errors: -ENOMEM, -EFBIG. */
int resolve_file(const char *path, struct text base, struct text ours, struct text theirs,
		 const struct resolve_options *o, struct resolve *ret);

/* A chunk of d as resolvers see it: borrows d and path; its edits are copied, counted from its own lines on. Released
 * also after an error. Errors: -ENOMEM. */
int conflict_of(const char *path, const struct diff3 *d, const struct chunk *c,
		struct conflict *ret);
void conflict_release(struct conflict *c);

/* The merged file, where nothing is left. Errors: -ENOMEM. */
int resolve_text(const struct resolve *r, struct buf *ret);
void resolve_release(struct resolve *r);
