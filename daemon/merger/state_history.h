/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "state.h"

/*
 * What came of conflicts: attempts (merges of which something is still to be learned), hunks (conflicts), and
 * resolutions (what was said of a hunk: by a resolver, a model, a person). All text is borrowed, never NULL, "" where
 * there is none. Longer texts than HISTORY_TEXT_MAX are cut by whoever adds them, and such a hunk has no key.
 */
enum { HISTORY_TEXT_MAX = 8192, HISTORY_HUNKS_MAX = 50000, HISTORY_DAYS_MAX = 400 };

/* A merge with conflicts. state: "open", nobody has resolved them yet as far as is known; "watched", rules did, and
 * the commits behind it may say that they were wrong; anything else: there is nothing more to learn. */
struct state_attempt {
	int64_t merge; /* of struct state_merge */
	uint64_t time;
	const char *repository, *source, *into;
	const char *ours, *theirs; /* tips that were merged */
	const char *commit;	   /* what was made of them */
	const char *state;
};

struct state_hunk {
	int64_t id;    /* set by state_hunk_add() */
	int64_t merge; /* 0: of a merge in the history that was not ours */
	uint64_t time;
	const char *repository, *path, *commit; /* commit: of a merge that was not ours */
	int64_t line;				/* of the target's version, from 1 */
	const char *base, *ours, *theirs, *key, *language, *declaration;
};

struct state_said {
	const char *who; /* "resolver", "ai", "person" */
	const char *name;
	bool taken; /* it is what the file got */
	const char *text, *class, *reason;
	uint32_t fired, right; /* its record at that time */
	const char *verdict;   /* "", "right", "wrong": what people made of it afterwards */
};

/* What is written between the two is there wholly or not at all; r < 0 takes it back. Errors: -EBUSY (another program
 * holds the database), -errno. */
int state_history_begin(struct state *s, struct err *reterr);
int state_history_end(struct state *s, int r, struct err *reterr);

int state_attempt_add(struct state *s, const struct state_attempt *a, struct err *reterr);
int state_hunk_add(struct state *s, struct state_hunk *h, struct err *reterr);
int state_said_add(struct state *s, int64_t hunk, const struct state_said *said,
		   struct err *reterr);

/* What became of an attempt that is open or watched. Returns 1, 0 where it is neither, -errno. */
int state_attempt_set(struct state *s, int64_t merge, const char *state, struct err *reterr);

/* The verdict of what `name` (""; of what the file got) said of a hunk. */
int state_said_judge(struct state *s, int64_t hunk, const char *name, const char *verdict,
		     struct err *reterr);

/* The same for everything that resolvers and models had their way with in a merge. */
int state_merge_judge(struct state *s, int64_t merge, const char *verdict, struct err *reterr);

/* The merge's state is "undone" from now on. */
int state_merge_undone(struct state *s, int64_t merge, struct err *reterr);

/* Forgets what is older than HISTORY_DAYS_MAX, and the oldest hunks over HISTORY_HUNKS_MAX. */
int state_history_prune(struct state *s, uint64_t now, struct err *reterr);

/* Attempts in a state, newest first. A non-zero return of fn ends it and is returned, here and below. */
typedef int (*state_attempt_fn)(const struct state_attempt *a, void *user);
int state_attempts(struct state *s, const char *state, state_attempt_fn fn, void *user,
		   struct err *reterr);

/* Is there a hunk of this key from this commit, so that it need not be learned again? Returns 1, 0, -errno. */
int state_hunk_known(struct state *s, const char *repository, const char *commit, const char *path,
		     const char *key, struct err *reterr);

struct state_history_filter {
	const char *repository, *path; /* NULL: any */
	int64_t merge;		       /* 0: any */
	bool taken, person;	       /* only what a file got, only what people said */
	int64_t limit;		       /* rows */
};

/* Hunks with what was said of them, a call for each of that (said is NULL where nothing was), newest hunk first. */
typedef int (*state_history_fn)(const struct state_hunk *h, const struct state_said *said,
				void *user);
int state_history(struct state *s, const struct state_history_filter *f, state_history_fn fn,
		  void *user, struct err *reterr);

/* Calls fn for each repository of which there are hunks; nothing else of the record is set. */
int state_history_repositories(struct state *s, state_record_fn fn, void *user, struct err *reterr);

/* How resolvers did in merges of ours, by repository: what has a verdict. */
int state_live_records(struct state *s, state_record_fn fn, void *user, struct err *reterr);
