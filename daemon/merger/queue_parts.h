/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "queue_run.h"

/* What the files queue_*.c share among themselves. */

enum { TRAIN_MAX = 256 };

enum train_phase { TRAIN_MERGING, TRAIN_VERIFYING, TRAIN_VERIFIED, TRAIN_LANDING };

/* Requests that go together. */
struct train {
	struct lane *lane;
	struct op *op;
	struct request *v[TRAIN_MAX];
	size_t n;
	char *from, *top; /* commits: where the target has to stand, and the last one's merge */
	enum train_phase phase;
	unsigned pending; /* being materialized */
	unsigned tries;	  /* landings asked for */
	bool alone;	  /* it goes with nobody, and nobody behind it */
	bool doomed;	  /* what it was merged on is not going to be */
	struct bisect *
		bisect; /* its verification failed, and which resolution breaks it is looked for; or NULL */
};

struct lane {
	struct queue *q;
	char *repository, *target;
	unsigned window;
	struct train *trains[2]; /* [1] was merged on top of [0] */
	bool second_broken; /* one on top of the first did not pass: it is tried when that is gone */
	struct lane *prev, *next;
};

struct merged_task {
	char *repository, *task, *view_id;
	struct merged_task *prev, *next;
};

struct queue {
	struct daemon *d;
	struct request *requests;
	struct request *over; /* freed when nobody can look at them any more */
	struct lane *lanes;
	struct merged_task *merged; /* what dependencies ask for */
	sd_event_source *soon, *timer;
};

/* queue_request.c */
struct request *request_new(struct queue *q, uint64_t time, uid_t uid, gid_t gid,
			    const char *repository, const char *target, const char *source,
			    json_t *facts);
void request_free(struct request *r);
void request_tell(struct request *r); /* it is over */
int request_load(struct queue *q);
/* It cannot be written down: who waits hears so, what is written stays for the next daemon. */
void request_give_up(struct request *r);
int merged_task_add(struct queue *q, const char *repository, const char *task, const char *view_id);

/* queue_train.c */
void lane_run(struct lane *l);
void lane_free(struct lane *l);
void train_free(struct train *t);    /* takes NULL */
void train_leave(struct request *r); /* it is taken out of its train, if it is in one */

/* A step of one of its requests; where it cannot be written, the request is given up. */
int train_go(struct request *r, enum queue_event event, const char *text);
/* Those that are over, or wait anew, are no longer in it. */
void train_compact(struct train *t);
void train_send_back(struct train *t, const char *why);
/* What was merged on top of one that does not land has no future. */
void train_doom_second(struct train *t);
/* Has it no future? Then it is taken apart, and gone. */
bool train_is_doomed(struct train *t);
void train_end(struct train *t);
void train_op(
	struct train
		*t); /* on behalf of whom its first request is; t->op stays NULL without memory */

/* queue_land.c */
void train_verify(struct train *t);

/* Who is blamed for a verification that failed. */
struct culprit {
	const char *resolver; /* NULL: nobody that could be left out */
	const char *path;     /* of the file at which it begins to fail, where that was found */
	bool none;	      /* found: it fails without what was resolved as well */
};

/* The train's only request does not pass, as the command said: without the culprit once more, or it is a conflict. The train is
 * over. */
void train_broken(struct train *t, json_t *said, const struct culprit *c);

/* queue_bisect.c */
/* Looks for the resolution that breaks the verification of the train's only request; train_broken() hears. False:
 * there is nothing to be looked for. */
bool bisect_start(struct train *t, json_t *said);
void bisect_free(struct bisect *b);
/* The resolver with the weakest record of those that had a part in it, or NULL. Borrowed from the request. */
const char *bisect_weakest(const struct request *r);
void train_land_again(struct lane *l, struct request **v, size_t n);

/* queue_run.c */
struct lane *lane_of(struct queue *q, const char *repository, const char *target);

/* Kills the daemon before and after a step is written ("queue-before-land", "queue-after-land:2"), for tests of what a
 * crash leaves (AGENTFS_FAILPOINT); nothing in builds without tests. */
#ifdef AGENTFS_FAILPOINTS
void queue_failpoint(const char *when, const char *event);
#else
static inline void queue_failpoint(const char *when, const char *event)
{
	(void)when;
	(void)event;
}
#endif
