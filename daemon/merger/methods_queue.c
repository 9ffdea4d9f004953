/* SPDX-License-Identifier: Apache-2.0 */
/* The merge queue for people: what is in it, and their hand in it. A peer sees and changes its own, root all. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "cleanup.h"
#include "methods.h"
#include "queue_run.h"
#include "state_queue.h"
#include "sys.h"

/* ---- which ---- */

static bool may_see(const struct request *r, uid_t uid)
{
	return uid == 0 || uid == r->uid;
}

/* One that is under way, of the peer. Errors: set in f. */
static struct request *find(struct daemon *d, struct call *c, struct fault *f)
{
	int64_t id = arg_int(c, "request", 0);
	struct request *r = queue_get(d->queue, id);

	if (!r || !may_see(r, c->uid)) {
		(void)fault_set(f, "NotFound", "there is no merge request %lld under way",
				(long long)id);
		(void)fault_remedy(f, "agentfsctl queue list shows them");
		return NULL;
	}
	return r;
}

/* A repository is named by its common git folder, or by a path in the worktree that this is the .git of. */
static bool in_place(const char *repository, const char *path)
{
	size_t n = strlen(repository);

	if (!path || strcmp(repository, path) == 0)
		return true;
	if (n > 5 && strcmp(repository + n - 5, "/.git") == 0)
		n -= 5;
	return strncmp(path, repository, n) == 0 && (path[n] == '/' || !path[n]);
}

/* ---- QueueList ---- */

/* In the order of their turns: what is under way, then what waits. */
static json_t *list(struct daemon *d, uid_t uid, const char *path)
{
	struct request *r, **pending;
	struct queue_item *items;
	json_t *a = json_array();
	size_t n = 0, k = 0, *order;

	for (r = queue_next(d->queue, NULL); r; r = queue_next(d->queue, r)) {
		n++;
		if (r->at.state != QUEUE_PENDING && may_see(r, uid) &&
		    in_place(r->repository, path))
			(void)json_array_append_new(a, request_json(r));
	}
	pending = sys_calloc(n + 1, sizeof(struct request *));
	items = sys_calloc(n + 1, sizeof(*items));
	order = sys_calloc(n + 1, sizeof(*order));
	for (r = queue_next(d->queue, NULL); r && pending && items; r = queue_next(d->queue, r)) {
		if (r->at.state != QUEUE_PENDING || !may_see(r, uid) ||
		    !in_place(r->repository, path))
			continue;
		items[k] = (struct queue_item){
			.id = r->id,
			.time = r->time,
			.rank = request_int(r, "rank"),
			.paths = json_array_size(json_object_get(r->facts, "paths"))};
		pending[k++] = r;
	}
	if (order && pending && items)
		queue_sort(items, k, order);
	for (size_t i = 0; i < k && order; i++)
		(void)json_array_append_new(a, request_json(pending[order[i]]));
	free(order);
	free(items);
	free(pending);
	return a;
}

void method_queue_list(struct daemon *d, struct call *c)
{
	const char *path = arg_str(c, "repository");
	struct request *r;
	bool paused = state_paused(d->db, "") > 0;

	for (r = queue_next(d->queue, NULL); r; r = queue_next(d->queue, r))
		if (path && in_place(r->repository, path))
			paused |= state_paused(d->db, r->repository) > 0;
	call_reply(c, json_pack("{s:o,s:b}", "requests", list(d, c->uid, path), "paused", paused));
}

/* ---- QueueShow ---- */

static int add_step(const struct state_step *s, void *user)
{
	return json_array_append_new(user, json_pack("{s:o,s:s,s:s,s:s}", "time",
						     json_time(s->time), "event", s->event, "state",
						     s->state, "text", s->text))
		       ? -ENOMEM
		       : 0;
}

struct found {
	struct daemon *d;
	uid_t uid;
	json_t *request, *result;
};

/* One that is over is known by what is written alone. */
static int old_request(const struct state_request *row, void *user)
{
	struct found *o = user;
	json_t *facts = json_loads(row->facts, 0, NULL), *error, *result;

	if (o->uid != 0 && o->uid != row->uid) {
		json_decref(facts);
		return 0;
	}
	o->request = json_pack(
		"{s:I,s:o,s:s,s:s,s:s,s:O,s:O,s:s,s:o,s:b,s:I,s:i}", "request", (json_int_t)row->id,
		"time", json_time(row->time), "repository", row->repository, "source", row->source,
		"into", row->target, "agent",
		json_object_get(facts, "agent") ? json_object_get(facts, "agent")
						: json_object_get(facts, "branch"),
		"task",
		json_object_get(facts, "task") ? json_object_get(facts, "task")
					       : json_object_get(facts, "branch"),
		"state", row->state, "since",
		json_time((uint64_t)json_integer_value(json_object_get(facts, "since"))), "landing",
		0, "tries", json_integer_value(json_object_get(facts, "tries")), "paths",
		(int)json_array_size(json_object_get(facts, "paths")));
	error = json_object_get(json_object_get(facts, "error"), "message");
	if (error)
		(void)json_object_set(o->request, "error", error);
	if (json_object_get(facts, "tree"))
		(void)json_object_set(o->request, "tree", json_object_get(facts, "tree"));
	result = json_object_get(facts, "result");
	(void)json_object_del(result, "repository");
	o->result = json_incref(result);
	json_decref(facts);
	return 1;
}

void method_queue_show(struct daemon *d, struct call *c)
{
	int64_t id = arg_int(c, "request", 0);
	struct request *r = queue_get(d->queue, id);
	struct found o = {.d = d, .uid = c->uid};
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct fault f = FAULT_INIT;
	json_t *steps;

	if (id < 1 || state_requests(d->db, id, true, old_request, &o, &e) < 0 || !o.request) {
		if (e.code)
			(void)fault_from_err(&f, &e, NULL);
		else
			(void)fault_set(&f, "NotFound", "there is no merge request %lld",
					(long long)id);
		call_fault(c, &f);
		return;
	}
	if (r) {
		json_decref(o.request);
		o.request = request_json(r);
	}
	steps = json_array();
	(void)state_steps(d->db, id, add_step, steps, NULL);
	call_reply(c, json_pack("{s:o,s:o,s:o*}", "request", o.request, "steps", steps, "result",
				o.result));
}

/* ---- by hand ---- */

struct pausing {
	struct daemon *d;
	struct call *call;
};

static void set_pause(struct daemon *d, struct call *c, const char *repository)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct fault f = FAULT_INIT;

	if (state_pause(d->db, repository, !arg_bool(c, "resume"), &e) < 0) {
		(void)fault_from_err(&f, &e, NULL);
		call_fault(c, &f);
		return;
	}
	events_emit(d->events, "merge", NULL, NULL, c->uid, "the merge queue%s%s %s",
		    *repository ? " of " : "", repository,
		    arg_bool(c, "resume") ? "goes on" : "is paused");
	queue_kick(d->queue);
	call_reply(c, NULL);
}

static void on_where(struct op *op, json_t *ok, struct fault *f)
{
	const char *repository = json_string_value(json_object_get(ok, "repository"));
	struct call *c = op->call;

	if (!ok || !repository) {
		op_end(op, NULL, f);
		return;
	}
	op->call = NULL;
	set_pause(op->d, c, repository);
	op_end(op, json_object(), NULL);
}

static void find_where(struct op *op)
{
	json_t *q = op_request(op, "repository");

	(void)json_object_set_new(q, "repo", json_string(arg_str(op->call, "repository")));
	op_task(op, q, on_where);
}

void method_queue_pause(struct daemon *d, struct call *c)
{
	struct fault f = FAULT_INIT;
	struct op *op;

	if (arg_str(c, "repository")) {
		op = op_new(d, c, NULL, "queue pause");
		if (op)
			op_begin(op, find_where);
	} else if (d->system && c->uid != 0) {
		(void)fault_set(&f, "Denied",
				"only root may pause everybody's merges: name a repository");
		call_fault(c, &f);
	} else {
		set_pause(d, c, "");
	}
}

void method_queue_reorder(struct daemon *d, struct call *c)
{
	struct fault f = FAULT_INIT;
	struct request *r = find(d, c, &f), *before = NULL, **v = NULL;
	int64_t other = arg_int(c, "before", 0), rank = 0;
	struct queue_item *items = NULL;
	size_t n, *order;

	if (r && r->at.state != QUEUE_PENDING)
		(void)fault_set(&f, "Busy", "merge request %lld is %s already", (long long)r->id,
				queue_state_name(r->at.state));
	if (r && other) {
		before = queue_get(d->queue, other);
		if (!before || before == r || before->at.state != QUEUE_PENDING ||
		    strcmp(before->target, r->target) != 0 ||
		    strcmp(before->repository, r->repository) != 0)
			(void)fault_set(&f, "Invalid",
					"merge request %lld does not wait for the same branch",
					(long long)other);
	}
	if (f.id) {
		call_fault(c, &f);
		return;
	}
	n = queue_items(d->queue, r->repository, r->target, &items, &v);
	order = sys_calloc(n + 1, sizeof(*order));
	if (order && items && v)
		queue_sort(items, n, order);
	if (!before)
		request_set(r, "rank", json_integer(++rank));
	for (size_t i = 0; i < n && order && v; i++) {
		struct request *o = v[order[i]];

		if (o == r || !may_see(o, c->uid))
			continue;
		if (o == before)
			request_set(r, "rank", json_integer(++rank));
		request_set(o, "rank", json_integer(++rank));
		(void)request_note(o, "reorder", NULL);
	}
	(void)request_note(r, "reorder", before ? "before another" : "to the front");
	free(order);
	free(items);
	free(v);
	call_reply(c, json_pack("{s:o}", "requests", list(d, c->uid, r->repository)));
}

/* Answers with the request, or the fault. */
static void answer(struct call *c, struct request *r, struct fault *f)
{
	if (f->id)
		call_fault(c, f);
	else
		call_reply(c, json_pack("{s:o}", "request", request_json(r)));
}

void method_queue_cancel(struct daemon *d, struct call *c)
{
	struct fault f = FAULT_INIT;
	struct request *r = find(d, c, &f);

	if (r)
		(void)request_cancel(r, &f);
	answer(c, r, &f);
}

void method_queue_approve(struct daemon *d, struct call *c)
{
	struct fault f = FAULT_INIT;
	struct request *r = find(d, c, &f);

	if (r)
		(void)request_approve(r, arg_str(c, "tree"), &f);
	answer(c, r, &f);
}

/* ---- Wait ---- */

struct waiter {
	struct call *call;
	int64_t id;
	enum queue_state state;
	sd_event_source *timer;
	struct waiter *prev, *next;
};

static struct waiter *waiters;

/* Takes a waiter out; its call is the caller's. */
static struct call *take(struct waiter *w)
{
	struct call *c = w->call;

	DL_DELETE(waiters, w);
	(void)sd_event_source_disable_unref(w->timer);
	c->gone = NULL;
	free(w);
	return c;
}

static void on_gone(struct call *c, void *user)
{
	call_reply(take(user), NULL);
}

static int on_timeout(sd_event_source *s, uint64_t usec, void *user)
{
	struct waiter *w = user;
	struct fault f = FAULT_INIT;

	(void)fault_set(&f, "Timeout", "merge request %lld is not %s yet", (long long)w->id,
			queue_state_name(w->state));
	call_fault(take(w), &f);
	return 0;
}

static void ended_otherwise(struct call *c, int64_t id, const char *as, const char *wanted)
{
	struct fault f = FAULT_INIT;

	(void)fault_set(&f, "Conflict", "merge request %lld ended as %s, it will not be %s",
			(long long)id, as, wanted);
	(void)fault_remedy(&f, "agentfsctl queue show %lld says why", (long long)id);
	call_fault(c, &f);
}

void queue_waiters_check(struct request *r)
{
	struct waiter *w, *tmp;

	DL_FOREACH_SAFE (waiters, w, tmp) {
		enum queue_state wanted = w->state;

		if (w->id != r->id)
			continue;
		if (wanted == r->at.state)
			call_reply(take(w), json_pack("{s:o}", "request", request_json(r)));
		else if (queue_is_final(r->at.state))
			ended_otherwise(take(w), r->id, queue_state_name(r->at.state),
					queue_state_name(wanted));
	}
}

static void wait_for(struct daemon *d, struct call *c, int64_t id, enum queue_state state)
{
	int64_t timeout = arg_int(c, "timeout", -1);
	struct waiter *w = sys_calloc(1, sizeof(*w));
	struct fault f = FAULT_INIT;

	if (w)
		*w = (struct waiter){c, id, state, NULL, NULL, NULL};
	if (!w || (timeout >= 0 &&
		   sd_event_add_time_relative(d->event, &w->timer, CLOCK_MONOTONIC,
					      (uint64_t)timeout * 1000000, 0, on_timeout, w) < 0)) {
		free(w);
		call_fault(c, &f);
		return;
	}
	c->gone = on_gone;
	c->user = w;
	DL_APPEND(waiters, w);
}

bool queue_wait(struct daemon *d, struct call *c)
{
	const char *target = arg_str(c, "target"), *name = arg_str(c, "state"), *is;
	char *end;
	int64_t id = strtoll(target, &end, 10);
	struct found o = {.d = d, .uid = c->uid};
	struct fault f = FAULT_INIT;
	int state = queue_state_parse(name);
	struct request *r = queue_get(d->queue, id);

	if (id < 1 || *end)
		return false;
	if (state_requests(d->db, id, true, old_request, &o, NULL) < 0 || !o.request)
		(void)fault_set(&f, "NotFound", "there is no agent and no merge request '%s'",
				target);
	else if (state < 0)
		(void)fault_set(&f, "Invalid",
				"'%s' is no state of a merge: pending, merging, verifying, ready, "
				"merged, conflict or failed",
				name);
	is = json_string_value(json_object_get(o.request, "state"));
	if (f.id)
		call_fault(c, &f);
	else if (is && strcmp(is, name) == 0)
		call_reply(c, json_pack("{s:O}", "request", o.request));
	else if (!r)
		ended_otherwise(c, id, is, name);
	else
		wait_for(d, c, id, (enum queue_state)state);
	json_decref(o.request);
	json_decref(o.result);
	return true;
}
