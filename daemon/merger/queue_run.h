/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "daemon.h"
#include "op.h"
#include "queue.h"

/*
 * The merge queue at work: requests in the state database, in lanes (one for each target branch of a repository), each
 * lane with at most two trains under way: requests that are merged one on top of the other, verified as one,
 * and land together. Decisions are queue.h's.
 */
struct queue;

/* A request in memory: until it is over and was told. */
struct request {
	struct queue *queue;
	int64_t id;
	uint64_t time;
	uid_t uid;
	gid_t gid;
	char *repository, *target; /* common git folder, branch */
	char *source;		   /* as it was named: agent or branch */
	struct queue_at at;
	/* Everything else, as it is kept: branch, agent, task, view_id, squash, destroy, no_materialize, batch, needs,
	 * rank, alone, limit, keep, commit, tree, from, top, paths, drop, approved_tree, verified_tree, result, error … */
	json_t *facts;
	struct train *train;
	struct listener *listeners;
	struct request *prev, *next;
};

int queue_new(struct daemon *d, struct queue **ret);
void queue_free(struct queue *q);

/* Takes up what an earlier daemon left, once the views are there. Errors: -errno. */
int queue_take_up(struct queue *q, struct err *reterr);

/* Has a look whether something may go on; soon, not at once. */
void queue_kick(struct queue *q);

/* A request's beginning: everything of it but number and state; facts is consumed. */
struct queue_ask {
	uid_t uid;
	gid_t gid;
	const char *repository, *target, *source;
	json_t *facts;
};

/* Writes it down; it will have its turn. Errors: -errno with a sentence. */
int queue_add(struct queue *q, struct queue_ask *ask, struct request **ret, struct err *reterr);

/* What a failed queue_add() is to who asked (e is emptied). Returns -EREMOTEIO. */
int queue_not_kept(struct fault *f, struct err *e);

/* The merge of a view's branch into its target, as merge_ready asks for it. Errors: set in f. */
int queue_add_view(struct daemon *d, struct view *v, uid_t uid, gid_t gid, int64_t *ret_id,
		   struct fault *f);

/* fn hears once, when the request is over and everybody was told. */
void queue_listen(struct request *r, void (*fn)(struct request *r, void *user), void *user);

/* Facts of a view's request: what queue_ask wants. */
json_t *queue_view_facts(const struct view *v);

/* Of those in memory; NULL: there is none, or it is over. */
struct request *queue_get(struct queue *q, int64_t id);
struct request *queue_next(struct queue *q, struct request *r);

/* Why it does not have its turn yet, malloc'd, or NULL. */
char *request_waits(struct request *r);

/* A fact that is a text ("" where it is not there), a number (0), a truth. */
const char *request_text(const struct request *r, const char *key);
int64_t request_int(const struct request *r, const char *key);
bool request_is(const struct request *r, const char *key);
void request_set(struct request *r, const char *key, json_t *value);

/* Takes the step and writes it down, then does what is for one request alone: drop, tell. Errors: -EINVAL it
 * cannot happen now; -errno it cannot be written (nothing happened). */
int request_step(struct request *r, enum queue_event event, const char *text);

/* The same with a fault, which is kept and told. */
int request_fail(struct request *r, const char *id, const char *message);

/* Writes facts that changed without a step of the table; event is what the log calls it. */
int request_note(struct request *r, const char *event, const char *text);

/* Approves what the request makes, a tree. Errors: set in f. */
int request_approve(struct request *r, const char *tree, struct fault *f);
int request_cancel(struct request *r, struct fault *f);

/* Items of the order, of one lane, malloc'd; ret_requests (malloc'd) names whose they are. Pending ones alone. */
size_t queue_items(struct queue *q, const char *repository, const char *target,
		   struct queue_item **ret, struct request ***ret_requests);

/* The type MergeRequest of the interface. */
json_t *request_json(struct request *r);

/* Method Merge but for dry runs: enqueues, and answers when all is over (queue_merge.c). */
void queue_merge(struct daemon *d, struct call *c);

/* Method Wait, where the target is the number of a merge request: takes the call and returns true (methods_queue.c). */
bool queue_wait(struct daemon *d, struct call *c);

/* Calls that wait for a request's state. */
void queue_waiters_check(struct request *r);

/* Keeps what the merge of a view that is about to be made waits for (Create's after and serial). Errors: set in f. */
int queue_order_ask(struct daemon *d, struct call *c, const struct view_row *row, struct fault *f);
