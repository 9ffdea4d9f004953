/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request: its facts, its steps as they are written down, and what is told when it is over.
 *
 * A step is written before anything is done that follows from it. What a kill leaves: a request whose last step
 * is written and whose actions were perhaps not done. Each of these may be done again (a merge is made anew, a
 * landing asked for again finds that it is done); a request that is over and was not told of yet is told of by the
 * next daemon.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "cleanup.h"
#include "log.h"
#include "mail.h"
#include "merge_request.h"
#include "methods.h"
#include "queue_parts.h"
#include "state_queue.h"
#include "sys.h"

struct listener {
	void (*fn)(struct request *r, void *user);
	void *user;
	struct listener *next;
};

#ifdef AGENTFS_FAILPOINTS
void queue_failpoint(const char *when, const char *event)
{
	static unsigned long seen;
	const char *want = getenv("AGENTFS_FAILPOINT");
	char name[64];
	size_t n;

	(void)snprintf(name, sizeof(name), "queue-%s-%s", when, event);
	n = strlen(name);
	if (!want || strncmp(want, name, n) != 0 || (want[n] && want[n] != ':'))
		return;
	if (++seen >= (want[n] ? strtoul(want + n + 1, NULL, 10) : 1))
		(void)kill(getpid(), SIGKILL);
}
#endif

const char *request_text(const struct request *r, const char *key)
{
	const char *s = json_string_value(json_object_get(r->facts, key));

	return s ? s : "";
}

int64_t request_int(const struct request *r, const char *key)
{
	return (int64_t)json_integer_value(json_object_get(r->facts, key));
}

bool request_is(const struct request *r, const char *key)
{
	return json_is_true(json_object_get(r->facts, key));
}

void request_set(struct request *r, const char *key, json_t *value)
{
	if (value)
		(void)json_object_set_new(r->facts, key, value);
	else
		(void)json_object_del(r->facts, key);
}

struct request *request_new(struct queue *q, uint64_t time, uid_t uid, gid_t gid,
			    const char *repository, const char *target, const char *source,
			    json_t *facts)
{
	struct request *r = sys_calloc(1, sizeof(*r));

	if (!r) {
		json_decref(facts);
		return NULL;
	}
	*r = (struct request){.queue = q,
			      .time = time,
			      .uid = uid,
			      .gid = gid,
			      .repository = sys_strdup(repository),
			      .target = sys_strdup(target),
			      .source = sys_strdup(source),
			      .facts = facts};
	if (!r->repository || !r->target || !r->source || !facts) {
		request_free(r);
		return NULL;
	}
	r->at.approval = config_merge_approval(&q->d->config, repository);
	return r;
}

void request_free(struct request *r)
{
	struct listener *l, *tmp;

	LL_FOREACH_SAFE(r->listeners, l, tmp)
	free(l);
	free(r->repository);
	free(r->target);
	free(r->source);
	json_decref(r->facts);
	free(r);
}

void queue_listen(struct request *r, void (*fn)(struct request *r, void *user), void *user)
{
	struct listener *l = sys_calloc(1, sizeof(*l));

	if (!l)
		return;
	*l = (struct listener){fn, user, NULL};
	LL_APPEND(r->listeners, l);
}

/* ---- writing it down ---- */

static void facts_from_at(struct request *r, const struct queue_at *at)
{
	request_set(r, "landing", at->landing ? json_true() : NULL);
	request_set(r, "tries", at->tries ? json_integer(at->tries) : NULL);
	request_set(r, "since", json_integer((json_int_t)at->since));
}

static int write_step(struct request *r, const struct queue_at *at, const char *event,
		      const char *text)
{
	_cleanup_free_ char *facts = NULL;
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct state_step step = {.time = sys_now_ns(),
				  .event = event,
				  .state = queue_state_name(at->state),
				  .text = text ? text : ""};
	struct state_request row = {.id = r->id, .state = step.state};
	int q;

	facts_from_at(r, at);
	facts = json_dumps(r->facts, JSON_COMPACT | JSON_SORT_KEYS);
	row.facts = facts;
	queue_failpoint("before", event);
	q = facts ? state_request_step(r->queue->d->db, &row, &step, &e) : -ENOMEM;
	if (q < 0) {
		log_error(0, "merge request %lld, step %s: %s", (long long)r->id, event,
			  e.code ? err_text(&e) : strerror(-q));
		facts_from_at(r, &r->at);
		return q;
	}
	queue_failpoint("after", event);
	return 0;
}

static void tell_state(struct request *r, const char *text)
{
	const char *agent = request_text(r, "agent");

	events_emit(r->queue->d->events, "merge", *agent ? agent : NULL, NULL, r->uid,
		    "merge request %lld (%s -> %s): %s%s%s", (long long)r->id, r->source, r->target,
		    queue_state_name(r->at.state), text && *text ? ", " : "", text ? text : "");
	queue_waiters_check(r);
}

static void on_dropped(struct op *op, json_t *ok, struct fault *f)
{
	if (!ok)
		log_warning(0, "what was kept of a merge stays: %s", f->message ? f->message : "?");
	op_end(op, json_object(), f);
}

static void no_answer(struct op *op, json_t *reply, struct fault *f)
{
}

/* Removes the ref that keeps its merge, if there is one. */
static void drop(struct request *r)
{
	struct op *op;
	json_t *q;

	if (!*request_text(r, "keep"))
		return;
	op = op_new(r->queue->d, NULL, NULL, "merge");
	if (!op)
		return;
	op->uid = r->uid;
	op->gid = r->gid;
	op->done = no_answer;
	q = op_request(op, "drop-held");
	(void)json_object_set_new(q, "repo", json_string(r->repository));
	(void)json_object_set_new(q, "drop", json_pack("[s]", request_text(r, "keep")));
	request_set(r, "keep", NULL);
	op_task(op, q, on_dropped);
}

int request_step(struct request *r, enum queue_event event, const char *text)
{
	struct queue_at next;
	unsigned actions = 0;
	int q = queue_step(&r->at, event, sys_now_ns(), &next, &actions);

	if (q == 0)
		q = write_step(r, &next, queue_event_name(event), text);
	if (q < 0)
		return q;
	r->at = next;
	tell_state(r, text);
	if (actions & QUEUE_DO_DROP)
		drop(r);
	if (actions & QUEUE_DO_TELL)
		request_tell(r);
	return 0;
}

int request_fail(struct request *r, const char *id, const char *message)
{
	request_set(r, "error",
		    json_pack("{s:s,s:s}", "id", id ? id : "Internal", "message",
			      message ? message : "it failed"));
	return request_step(r, QUEUE_FAULT, message);
}

int request_note(struct request *r, const char *event, const char *text)
{
	return write_step(r, &r->at, event, text);
}

/* ---- over ---- */

static json_t *conflict_files(const struct request *r)
{
	json_t *conflicts = json_object_get(json_object_get(r->facts, "result"), "conflicts"), *c,
	       *files = json_array();
	size_t i;

	json_array_foreach (conflicts, i, c)
		(void)json_array_append(files, json_object_get(c, "path"));
	return files;
}

static const char *failure(const struct request *r)
{
	json_t *o = json_object_get(r->facts, "error");
	const char *message = json_string_value(json_object_get(o, "message"));

	return message			    ? message
	       : *request_text(r, "broken") ? request_text(r, "broken")
					    : "the sides conflict";
}

static void send_mail(struct request *r)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	json_t *result = json_object_get(r->facts, "result"), *p;
	const char *tier = json_string_value(json_object_get(result, "tier"));
	const char *branch = request_text(r, "branch"), *task = request_text(r, "task");
	bool merged = r->at.state == QUEUE_MERGED;

	if (merged)
		p = json_pack("{s:s,s:s,s:s}", "branch", branch, "taskId", task, "tier",
			      tier ? tier : "clean-merge");
	else
		p = json_pack("{s:s,s:s,s:o,s:s}", "branch", branch, "taskId", task,
			      "conflictFiles", conflict_files(r), "errorMessage", failure(r));
	if (mail_send(r->queue->d, merged ? "merged" : "merge_failed", MAIL_MERGER,
		      *request_text(r, "agent") ? request_text(r, "agent") : r->source, p, &e) < 0)
		(void)log_warning(e.code, "%s: merge request %lld goes on without", err_text(&e),
				  (long long)r->id);
	json_decref(p);
}

static struct view *its_view(const struct request *r)
{
	struct view *v = *request_text(r, "agent")
				 ? views_get(r->queue->d->views, request_text(r, "agent"))
				 : NULL;

	return v && strcmp(v->row.id, request_text(r, "view_id")) == 0 ? v : NULL;
}

/* Those that were named after one that did not land are not tried. */
static void fail_followers(struct request *r)
{
	struct request *o, *tmp;

	if (r->at.state == QUEUE_MERGED)
		return;
	DL_FOREACH_SAFE (r->queue->requests, o, tmp)
		if (o != r && request_int(o, "needs") == r->id && o->at.state == QUEUE_PENDING) {
			_cleanup_free_ char *text = NULL;

			if (asprintf(&text, "not tried, as '%s' before it did not land",
				     r->source) < 0)
				text = NULL;
			(void)request_fail(o, "Conflict", text);
			return; /* which fails the next */
		}
}

/* Everybody is told; it is forgotten. */
static void told(struct request *r)
{
	struct queue *q = r->queue;
	struct listener *l, *tmp;

	fail_followers(r);
	request_set(r, "told", json_true());
	(void)request_note(r, "told", NULL);
	DL_DELETE(q->requests, r);
	LL_FOREACH_SAFE(r->listeners, l, tmp)
	l->fn(r, l->user);
	DL_APPEND(q->over, r); /* whoever called may still look at it */
	queue_kick(q);
}

void request_give_up(struct request *r)
{
	request_set(r, "error",
		    json_pack("{s:s,s:s}", "id", "Internal", "message",
			      "the merge queue cannot be written down: the request goes on when "
			      "the daemon starts anew"));
	r->at.state = QUEUE_FAILED;
	told(r);
}

static void on_destroyed(struct op *op, json_t *reply, struct fault *f)
{
	struct request *r = op->data;
	json_t *notes = json_object_get(json_object_get(r->facts, "result"), "notes");

	if (!reply && json_is_array(notes))
		(void)json_array_append_new(notes, json_sprintf("merged, but its view stays: %s",
								f->message ? f->message : "?"));
	told(r);
}

void request_tell(struct request *r)
{
	json_t *result = json_object_get(r->facts, "result");
	const char *state = json_string_value(json_object_get(result, "state"));
	struct daemon *d = r->queue->d;
	struct view *v = its_view(r);
	struct op *op = NULL;

	if (state && strcmp(state, "up_to_date") != 0 && !json_object_get(result, "merge") &&
	    r->at.state != QUEUE_FAILED)
		merge_write_down(d, r->uid, result);
	if (v)
		v->distance.at = 0;
	if (v && r->at.state != QUEUE_FAILED)
		events_emit(d->events, r->at.state == QUEUE_CONFLICT ? "conflict" : "merged",
			    v->row.agent, v->row.id, v->row.uid, "%s: %s", v->row.branch,
			    state ? state : "");
	send_mail(r);
	if (r->at.state == QUEUE_MERGED)
		(void)merged_task_add(r->queue, r->repository, request_text(r, "task"),
				      request_text(r, "view_id"));
	if (v && r->at.state == QUEUE_MERGED && request_is(r, "destroy"))
		op = op_new(d, NULL, v->row.agent, "destroy");
	if (!op) {
		told(r);
		return;
	}
	op->uid = r->uid;
	op->gid = r->gid;
	op->data = r;
	op->done = on_destroyed;
	op_begin(op, close_start);
}

/* ---- taking up ---- */

static int load_one(const struct state_request *row, void *user)
{
	struct queue *q = user;
	int state = queue_state_parse(row->state);
	json_t *facts = json_loads(row->facts, 0, NULL);
	struct request *r;

	if (state < 0 || !json_is_object(facts)) {
		json_decref(facts);
		log_error(0, "merge request %lld is not understood (state '%s'): it is left alone",
			  (long long)row->id, row->state);
		return 0;
	}
	if (state == QUEUE_MERGED &&
	    merged_task_add(q, row->repository, json_string_value(json_object_get(facts, "task")),
			    json_string_value(json_object_get(facts, "view_id"))) < 0) {
		json_decref(facts);
		return -ENOMEM;
	}
	if (queue_is_final((enum queue_state)state) &&
	    json_is_true(json_object_get(facts, "told"))) {
		json_decref(facts);
		return 0;
	}
	r = request_new(q, row->time, row->uid, row->gid, row->repository, row->target, row->source,
			facts);
	if (!r)
		return -ENOMEM;
	r->id = row->id;
	r->at.state = (enum queue_state)state;
	r->at.landing = request_is(r, "landing");
	r->at.tries = (unsigned)request_int(r, "tries");
	r->at.since = (uint64_t)request_int(r, "since");
	r->at.approved = *request_text(r, "approved_tree") &&
			 strcmp(request_text(r, "approved_tree"), request_text(r, "tree")) == 0;
	DL_APPEND(q->requests, r);
	return 0;
}

int request_load(struct queue *q)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	int r = state_requests(q->d->db, 0, true, load_one, q, &e);

	return r < 0 ? log_error(r, "%s", e.code ? err_text(&e) : strerror(-r)) : 0;
}

/* ---- by hand ---- */

int request_approve(struct request *r, const char *tree, struct fault *f)
{
	const char *is = request_text(r, "tree");

	if (!r->at.approval)
		return fault_set(
			f, "Invalid",
			"merge request %lld needs no approval: merge: {approval: true} of the "
			"configuration asks for one",
			(long long)r->id);
	if (r->at.state != QUEUE_READY || r->at.landing)
		return fault_set(f, "Busy",
				 "merge request %lld is %s, there is nothing to approve yet",
				 (long long)r->id, queue_state_name(r->at.state));
	if (tree && strncmp(is, tree, strlen(tree)) != 0)
		return fault_set(
			f, "Stale",
			"merge request %lld makes the tree %.12s now, not %s: look at it again",
			(long long)r->id, is, tree);
	request_set(r, "approved_tree", json_string(is));
	r->at.approved = true;
	if (request_step(r, QUEUE_APPROVE, is) < 0)
		return fault_set(f, "Internal", "the approval could not be written down");
	queue_kick(r->queue);
	return 0;
}

int request_cancel(struct request *r, struct fault *f)
{
	if (r->at.landing)
		return fault_set(f, "Busy",
				 "merge request %lld is landing: it cannot be cancelled now",
				 (long long)r->id);
	request_set(r, "error",
		    json_pack("{s:s,s:s}", "id", "Cancelled", "message",
			      "the merge request was cancelled"));
	train_leave(r);
	if (request_step(r, QUEUE_CANCEL, NULL) < 0)
		return fault_set(f, "Busy", "merge request %lld cannot be cancelled now",
				 (long long)r->id);
	return 0;
}

json_t *request_json(struct request *r)
{
	_cleanup_free_ char *why = request_waits(r);
	json_t *o = json_pack(
		"{s:I,s:o,s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:b,s:i,s:i,s:s?}", "request",
		(json_int_t)r->id, "time", json_time(r->time), "repository", r->repository,
		"source", r->source, "into", r->target, "agent", request_text(r, "agent"), "task",
		request_text(r, "task"), "state", queue_state_name(r->at.state), "since",
		json_time(r->at.since ? r->at.since : r->time), "landing", r->at.landing, "tries",
		(int)r->at.tries, "paths", (int)json_array_size(json_object_get(r->facts, "paths")),
		"waits", why);

	if (*request_text(r, "tree"))
		(void)json_object_set_new(o, "tree", json_string(request_text(r, "tree")));
	if (*request_text(r, "commit"))
		(void)json_object_set_new(o, "commit", json_string(request_text(r, "commit")));
	if (json_object_get(r->facts, "error"))
		(void)json_object_set_new(o, "error", json_string(failure(r)));
	return o;
}
