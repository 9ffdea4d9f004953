/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "daemon.h"

/*
 * An operation: a method at work, over several workers and answers of views, in callbacks. It holds
 * the key of its agent (keylock.h) where it has one, and ends exactly once with op_end().
 */
struct op;

typedef void (*op_fn)(struct op *op);
typedef void (*op_step)(struct op *op, json_t *ok, struct fault *f);
typedef void (*op_done)(struct op *op, json_t *reply, struct fault *f);

struct op {
	struct daemon *d;
	struct call *call; /* NULL: nobody asked (start of the daemon, part of another op) */
	uid_t uid;	   /* on whose behalf */
	gid_t gid;
	char *key;	  /* agent, or NULL */
	const char *what; /* for progress: "materialize" */
	op_fn start;
	op_step next;
	op_done done; /* NULL: answers the call */
	struct op *parent;
	struct task *following; /* a worker that takes long, while it runs */
	bool interrupted;	/* nobody wants its outcome any more */
	void *data;		/* of the op's own kind */
	void (*data_free)(void *data);
	/* parameters that several kinds share */
	bool force, delete_branch, dry_run;
	char *text;		   /* message, new task … */
	json_t *result;		   /* what is gathered on the way */
	struct op *before, *after; /* of all that are under way: daemon's `ops` */
};

/* Starts `start` once the key (may be NULL) is free. `data` is consumed in any case. Without memory
 * the call is answered. Returns the op, which may be gone already, or NULL. */
struct op *op_new(struct daemon *d, struct call *call, const char *key, const char *what);
void op_begin(struct op *op, op_fn start);

/* Ends all that are under way where they are: the daemon ends. Who asked is answered (Busy); nothing else is called. */
void ops_free(struct daemon *d);

/* Ends it: reply (consumed), or NULL and the fault (emptied). */
void op_end(struct op *op, json_t *reply, struct fault *f);
void op_fail(struct op *op, const char *id, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Runs a worker; `next` hears the outcome. The request is consumed. */
void op_task(struct op *op, json_t *request, op_step next);

/* The same beside those that run in parallel, for one that takes long: the worker's input ends when the daemon does. */
void op_follow(struct op *op, json_t *request, op_step next);

/* What it and its parts follow ends soon, as Cancelled; parts that are about to begin such a thing find `interrupted`. What
 * cannot be ended goes on. */
void op_interrupt(struct op *op);

/* A request with what every one has: op, state, peer_uid, peer_gid. */
json_t *op_request(const struct op *op, const char *name);

/* The same about a repository: repo, user_name, user_email. */
json_t *op_repository_request(const struct op *op, const char *name, const char *repository);

/* The same about a view. */
json_t *op_view_request(const struct op *op, const char *name, const struct view *v);

/* Adds the committer, where the configuration names one for that repository. */
void op_add_user(const struct op *op, json_t *q, const char *repository);

/* The view of the op's key, if the peer may use it: else the op has ended (NotFound, Denied). */
struct view *op_view(struct op *op);

/* The view of an agent for a peer. Errors: set in f. */
int find_view(struct daemon *d, const struct call *c, const char *agent, struct view **ret,
	      struct fault *f);
bool may_use(const struct view *v, uid_t uid);

/* Is the view of the repository that this path is in or names? NULL: of any. */
bool in_repository(const struct view *v, const char *path);

/* Members of a call's parameters, whose types the dispatcher has checked. NULL or the default where
 * absent. */
const char *arg_str(const struct call *c, const char *key);
bool arg_bool(const struct call *c, const char *key);
int64_t arg_int(const struct call *c, const char *key, int64_t otherwise);

/* The type View of the interface. */
json_t *view_json(const struct view *v);

/* Closes what a view has: stops its server, keeps unmerged work, ends its refs, moves its files to
 * STATE/closed (close.c). reply: preserved, notes. op->force, op->delete_branch. */
void close_start(struct op *op);
/* Materializes (gitops.c). reply: as the method; op->text: message, op->force. */
void materialize_start(struct op *op);

/* Undoes a half-made view (create.c), whose row is in op->data as struct view *. */
void uncreate_start(struct op *op);

/* view_files.c: the policy text of a row (with what the base's .agentfs.yaml narrows, once its image is
 * known); view.conf and view.json at creation, from the worker's answer, and after a change of task,
 * branch or policy (NULL: as it was). */
int make_policy(struct daemon *d, const struct view_row *row, char **ret, struct fault *f);
int view_files_write(struct daemon *d, struct view *v, json_t *made, struct fault *f);
int view_files_update(struct daemon *d, struct view *v, const char *policy, struct fault *f);

/* methods_sync.c: the view moved to the base that a worker's answer names (to, tree, image): row, files and
 * policy follow. Errors: set in f. */
int view_set_base(struct daemon *d, struct view *v, json_t *ok, struct fault *f);

/* Is the fault only that the view was changed while it was looked at, and worth another try? */
bool sync_again(const struct fault *f, unsigned *tries);

/* The same for the policy alone: 1 it is another one now, 0 it was this one. */
int view_policy_update(struct daemon *d, struct view *v, const char *policy, struct fault *f);
