/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The merge queue's decisions, pure: no I/O, no clock. What becomes of one request at an event is a table; which
 * requests are next is an order. queue_run.h does what they say.
 *
 *              start            held             verified          land, landed
 *     pending ───────► merging ──────► verifying ─────────► ready ─────────────► merged
 *        ▲                │ ▲             │                   │
 *        │ later, moved,  │ │             │ broken            │ moved
 *        └────────────────┴─┴─────────────┴───────────────────┘
 *     merging ── conflicts ─► conflict     verifying ── broken, nothing left to drop ─► conflict
 *     any ── fault, cancel, moved too often ─► failed
 *
 * Guarantees: (1) merged, conflict and failed are final; (2) a request that is landing cannot be cancelled, nor
 * can a restart take it back: the landing is asked for again; (3) nothing lands that waits for its approval.
 */
enum queue_state {
	QUEUE_PENDING,
	QUEUE_MERGING,
	QUEUE_VERIFYING,
	QUEUE_READY,
	QUEUE_MERGED,
	QUEUE_CONFLICT,
	QUEUE_FAILED,
	QUEUE_STATE_MAX,
};

enum queue_event {
	QUEUE_START, /* its turn */
	QUEUE_HELD,  /* the merge is made and kept */
	QUEUE_LATER, /* it is in the way of another, or what it was merged on is gone: not its fault */
	QUEUE_NOTHING,	 /* the target has it already */
	QUEUE_CONFLICTS, /* people are needed */
	QUEUE_VERIFIED,	 /* or there is nothing to verify with */
	QUEUE_BROKEN,	 /* the verify command failed */
	QUEUE_APPROVE,
	QUEUE_LAND, /* the target is about to move */
	QUEUE_LANDED,
	QUEUE_MOVED, /* somebody else moved the target */
	QUEUE_FAULT,
	QUEUE_CANCEL,
	QUEUE_RESTART, /* a new daemon found it so */
	QUEUE_EVENT_MAX,
};

/* What is to be done once the new state is written down. */
enum queue_action {
	QUEUE_DO_MERGE = 1 << 0,
	QUEUE_DO_VERIFY = 1 << 1,
	QUEUE_DO_LAND = 1 << 2,
	QUEUE_DO_ASK = 1 << 3,	/* for approval */
	QUEUE_DO_DROP = 1 << 4, /* what is kept of its merge */
	QUEUE_DO_TELL = 1 << 5, /* it is over: who waits, mail, history */
};

enum { QUEUE_TRIES = 5, QUEUE_WINDOW_MAX = 64, QUEUE_WINDOW_START = 8 };

/* Where a request stands, as far as decisions go by it. */
struct queue_at {
	enum queue_state state;
	bool landing;	     /* ready: the target may have moved to it already */
	bool approval;	     /* it lands only when approved */
	bool approved;	     /* what it makes is what was approved */
	bool droppable;	     /* a resolver had a part in it, and none was dropped yet */
	unsigned tries;	     /* how often the target moved meanwhile */
	uint64_t since;	     /* ns: in this state */
	uint64_t not_before; /* ns: pending: its next turn */
};

/* Errors: -EINVAL: that cannot happen in this state; nothing is changed. *ret may be `at`. */
int queue_step(const struct queue_at *at, enum queue_event event, uint64_t now,
	       struct queue_at *ret, unsigned *ret_actions);

bool queue_is_final(enum queue_state s);

/* "pending" …; and back, -EINVAL. "start", "held" … */
const char *queue_state_name(enum queue_state s);
int queue_state_parse(const char *name);
const char *queue_event_name(enum queue_event e);

/* A request as the order sees it. */
struct queue_item {
	int64_t id;
	uint64_t time;	 /* ns: when it came */
	uint64_t turn;	 /* ns: not before */
	int64_t rank;	 /* set by hand: lower goes first; 0: by itself */
	size_t paths;	 /* how many it changes; 0: not known */
	size_t overlaps; /* with how many others it shares a path, as far as is known */
	uid_t uid;	 /* on whose behalf */
	bool waits;	 /* for something else to be merged first */
	bool alone;	 /* mass renames, conflicts that may cost much, what broke a batch */
	unsigned limit;	 /* how many may go with it; 0: any */
	int64_t batch;	 /* lands together with these or not at all; 0: by itself */
};

/* Fills `ret` (room for n) with the indices of those that go together next, in order; at most `window` but for
 * a batch, which goes whole or not. Small and disjoint ones first, and each doubling of size or overlap is worth ten
 * seconds of waiting, so that none waits for ever. Returns how many. */
size_t queue_pick(const struct queue_item *v, size_t n, size_t window, uint64_t now, size_t *ret);

/* All of them in the order in which they would have their turns. */
void queue_sort(const struct queue_item *v, size_t n, size_t *ret);

/* How many go together after a success, after a failure. */
unsigned queue_window(unsigned window, bool good);
