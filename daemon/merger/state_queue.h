/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "state.h"

/* What the merge queue must know after a crash. All text is borrowed, never NULL. */
struct state_request {
	int64_t id; /* from 1, never used again; set by state_request_add() */
	uint64_t time;
	uint32_t uid, gid;
	const char *repository, *target, *source, *state;
	const char *facts; /* JSON: what else is known of it */
};

/* A step that a request took, written down with what it led to. */
struct state_step {
	uint64_t time;
	const char *event, *state, *text;
};

/* Errors: -errno; durable on 0. */
int state_request_add(struct state *s, struct state_request *r, const struct state_step *first,
		      struct err *reterr);

/* Writes state and facts, and the step that led there, both or neither. Errors: -ENOENT, -errno; durable on 0. */
int state_request_step(struct state *s, const struct state_request *r,
		       const struct state_step *step, struct err *reterr);

/* Calls fn for each in order of their numbers: those that are not final, or with `all` each; or the one with that id
 * (not 0). A non-zero return ends it and is returned. */
typedef int (*state_request_fn)(const struct state_request *r, void *user);
int state_requests(struct state *s, int64_t id, bool all, state_request_fn fn, void *user,
		   struct err *reterr);

typedef int (*state_step_fn)(const struct state_step *step, void *user);
int state_steps(struct state *s, int64_t request, state_step_fn fn, void *user, struct err *reterr);

/* Repositories whose queue stands still; "" is all of them. */
int state_pause(struct state *s, const char *repository, bool on, struct err *reterr);
int state_paused(struct state *s, const char *repository);

/* What a view's merge waits for: tasks, one a line, and the series it is one of ("": none). Errors: -errno. */
int state_view_order_put(struct state *s, const char *view_id, const char *after,
			 const char *series, struct err *reterr);
typedef int (*state_order_fn)(const char *view_id, const char *after, const char *series,
			      void *user);
int state_view_orders(struct state *s, state_order_fn fn, void *user, struct err *reterr);

struct state_mail {
	int64_t id;
	uint64_t time;
	uint32_t uid; /* whose mail it is: who sent it, and may read it */
	const char *type, *from, *to, *payload;
};

int state_mail_add(struct state *s, struct state_mail *m, struct err *reterr);
typedef int (*state_mail_fn)(const struct state_mail *m, void *user);
/* Newest first. */
int state_mails(struct state *s, state_mail_fn fn, void *user, struct err *reterr);
