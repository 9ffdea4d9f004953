/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Trains: requests that are materialized, merged one on top of the other by one worker, verified as one, and land
 * as one move of the target.
 *
 * A lane has two at most: while the first is verified the second is merged on top of it and verified beside it;
 * what it changes is disjoint from what the first changes. When the first does not land, the second is
 * dissolved: its requests are merged anew. A train that fails its verification is halved until the one that breaks it
 * goes alone. So a target only ever gets commits that were verified as they are, or the first requests of
 * such a one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "history.h"
#include "merge_request.h"
#include "methods.h"
#include "queue_parts.h"
#include "sys.h"

enum { MASS = 200 }; /* paths: it goes alone from there on */

static struct train *head(const struct lane *l)
{
	return l->trains[0];
}

void train_free(struct train *t)
{
	if (!t)
		return;
	free(t->from);
	free(t->top);
	bisect_free(t->bisect);
	free(t);
}

/* A step of one of its requests; where it cannot be written, the request is given up. */
int train_go(struct request *r, enum queue_event event, const char *text)
{
	int q = request_step(r, event, text);

	if (q < 0 && q != -EINVAL && !queue_is_final(r->at.state)) {
		r->train = NULL;
		request_give_up(r);
	}
	return q;
}

/* Those that are over, or wait anew, are no longer in it. */
void train_compact(struct train *t)
{
	size_t k = 0;

	for (size_t i = 0; i < t->n; i++) {
		struct request *r = t->v[i];

		if (r && (queue_is_final(r->at.state) || r->at.state == QUEUE_PENDING)) {
			r->train = NULL;
			r = NULL;
		}
		if (r)
			t->v[k++] = r;
	}
	t->n = k;
}

void train_send_back(struct train *t, const char *why)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i])
			(void)train_go(t->v[i], QUEUE_LATER, why);
	train_compact(t);
}

/* What was merged on top of a train that does not land. */
void train_doom_second(struct train *t)
{
	struct lane *l = t->lane;

	if (head(l) != t || !l->trains[1])
		return;
	l->trains[1]->doomed = true;
	op_interrupt(l->trains[1]->op); /* what it verifies is not going to be */
}

void train_end(struct train *t)
{
	struct lane *l = t->lane;
	struct op *op = t->op;
	struct fault f = FAULT_INIT;

	train_compact(t);
	for (size_t i = 0; i < t->n; i++)
		t->v[i]->train = NULL;
	if (head(l) == t) {
		l->trains[0] = l->trains[1];
		l->trains[1] = NULL;
		l->second_broken = false;
	} else {
		l->trains[1] = NULL;
	}
	train_free(t);
	op_end(op, json_object(), &f);
	queue_kick(l->q);
}

void train_leave(struct request *r)
{
	struct train *t = r->train;

	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		if (t->v[i] == r)
			t->v[i] = NULL;
	r->train = NULL;
	t->doomed = true;
	op_interrupt(t->op);
	train_doom_second(t);
}

/* Has it no future? Then it is taken apart. */
bool train_is_doomed(struct train *t)
{
	if (!t->doomed)
		return false;
	train_doom_second(t);
	train_send_back(t, "what it was merged on did not land");
	train_end(t);
	return true;
}

/* ---- merging ---- */

static json_t *paths_json(json_t *changes)
{
	static const char *const keys[] = {"path", "from"};
	json_t *paths = json_array(), *c;
	size_t i;

	json_array_foreach (changes, i, c)
		for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
			if (json_is_string(json_object_get(c, keys[k])))
				(void)json_array_append(paths, json_object_get(c, keys[k]));
	return paths;
}

/* It stands: what it makes is known now. */
static void held(struct train *t, struct request *r, json_t *one)
{
	const char *commit = json_string_value(json_object_get(one, "commit"));

	if (!t->from)
		t->from = sys_strdup(json_string_value(json_object_get(one, "onto")));
	free(t->top);
	t->top = sys_strdup(commit ? commit : "");
	(void)json_object_del(one, "onto");
	request_set(r, "commit", json_string(commit));
	request_set(r, "tree", json_incref(json_object_get(one, "tree")));
	request_set(r, "paths", paths_json(json_object_get(one, "changes")));
	request_set(r, "result", json_incref(one));
	if (json_array_size(json_object_get(one, "changes")) > MASS)
		request_set(r, "alone", json_true());
	(void)train_go(r, QUEUE_HELD, commit);
}

/* A resolver whose part in it did not pass is told with the last line that the verify command printed. */
static void note_left_out(const struct request *r, json_t *one)
{
	const char *who = request_text(r, "without"), *text = request_text(r, "verify_said");
	const char *path = request_text(r, "without_path");
	json_t *notes = json_object_get(one, "notes");
	size_t end = strlen(text), from;

	if (!*who || !json_is_array(notes))
		return;
	while (end > 0 && strchr(" \t\r\n", text[end - 1]))
		end--;
	for (from = end; from > 0 && text[from - 1] != '\n';)
		from--;
	(void)json_array_append_new(
		notes,
		json_sprintf(
			"what %s had resolved was left out: with %s%s%s the verify command fails%s%.*s",
			who, *path ? "what it made of '" : "it", path, *path ? "'" : "",
			end ? ": " : "", (int)(end - from), text + from));
}

/* What the worker made of one. Returns whether it stands. */
static bool take_answer(struct train *t, struct request *r, json_t *one)
{
	const char *state = json_string_value(json_object_get(one, "state"));
	json_t *error = json_object_get(one, "error");

	if (!error)
		history_recalled(r->queue->d, one);
	(void)json_object_set_new(one, "source", json_string(r->source));
	note_left_out(r, one);
	if (!state || strcmp(state, "held") != 0)
		request_set(r, "keep", NULL); /* there is none */
	if (error) {
		if (json_object_get(error, "details"))
			request_set(r, "details", json_incref(json_object_get(error, "details")));
		(void)request_fail(r, json_string_value(json_object_get(error, "id")),
				   json_string_value(json_object_get(error, "message")));
	} else if (state && strcmp(state, "held") == 0) {
		held(t, r, one);
	} else if (state && strcmp(state, "up_to_date") == 0) {
		request_set(r, "result", json_incref(one));
		(void)train_go(r, QUEUE_NOTHING, NULL);
	} else if (state && strcmp(state, "conflict") == 0 &&
		   (t->n == 1 || request_int(r, "batch"))) {
		request_set(r, "result", json_incref(one));
		(void)train_go(r, QUEUE_CONFLICTS, NULL);
	} else {
		if (state && strcmp(state, "conflict") == 0)
			request_set(r, "alone", json_true());
		else
			request_set(r, "paths", paths_json(json_object_get(one, "changes")));
		(void)train_go(r, QUEUE_LATER, "in the way of another");
	}
	return r->at.state == QUEUE_VERIFYING;
}

/* Of a batch all stand, or none lands. */
static void fail_batch(struct train *t, const char *culprit)
{
	_cleanup_free_ char *text = NULL;

	if (asprintf(&text, "the batch did not land, as '%s' could not be merged", culprit) < 0)
		text = NULL;
	for (size_t i = 0; i < t->n; i++)
		(void)request_fail(t->v[i], "Conflict", text);
	train_end(t);
}

static void on_held(struct op *op, json_t *ok, struct fault *f)
{
	struct train *t = op->data;
	json_t *merges = json_object_get(ok, "merges");
	const char *culprit = NULL;

	merge_request_done(op->d, ok ? ok : f->details);
	if (train_is_doomed(t))
		return;
	for (size_t i = 0; i < t->n; i++) {
		struct request *r = t->v[i];

		if (!ok) {
			(void)request_fail(r, f->id, f->message);
			continue;
		}
		if (!take_answer(t, r, json_array_get(merges, i)) && request_int(r, "batch") &&
		    r->at.state != QUEUE_MERGED)
			culprit = r->source;
	}
	train_compact(t);
	if (t->n == 0 || !t->top) {
		train_doom_second(t);
		train_end(t);
	} else if (culprit) {
		fail_batch(t, culprit);
	} else {
		train_verify(t);
	}
}

static json_t *source_json(struct train *t, struct request *r)
{
	json_t *o = json_pack("{s:s,s:s,s:s,s:s,s:b}", "source", request_text(r, "branch"), "keep",
			      request_text(r, "keep"), "agent", request_text(r, "agent"), "task",
			      request_text(r, "task"), "squash", request_is(r, "squash"));
	static const char *const without[] = {"without", "without_path"};
	struct view *v = views_get(t->op->d->views, request_text(r, "agent"));

	if (v) /* what its journal says of the work: for the commit's message */
		(void)json_object_update_new(o, json_pack("{s:s,s:I}", "view_id", v->row.id,
							  "journal", (json_int_t)v->stats.seq));
	for (size_t i = 0; i < ARRAY_SIZE(without); i++)
		if (json_object_get(r->facts, without[i]))
			(void)json_object_set(o, without[i], json_object_get(r->facts, without[i]));
	if (t->n > 1) /* what asks others for an answer may take long: it goes alone */
		(void)json_object_set_new(o, "ai", json_null());
	return o;
}

static void ask_hold(struct train *t)
{
	struct train *before = head(t->lane) == t ? NULL : head(t->lane);
	json_t *q = op_repository_request(t->op, "hold", t->lane->repository),
	       *sources = json_array(), *avoid = json_array();
	bool batch = request_int(t->v[0], "batch") != 0;

	for (size_t i = 0; i < t->n; i++)
		(void)json_array_append_new(sources, source_json(t, t->v[i]));
	if (before) {
		t->from = sys_strdup(before->top);
		(void)json_object_set_new(q, "onto", json_string(before->top));
		for (size_t i = 0; i < before->n; i++)
			(void)json_array_extend(avoid,
						json_object_get(before->v[i]->facts, "paths"));
	}
	(void)json_object_set_new(q, "into", json_string(t->lane->target));
	(void)json_object_set_new(q, "sources", sources);
	(void)json_object_set_new(q, "avoid", avoid);
	(void)json_object_set_new(q, "disjoint", json_boolean(!batch && (t->n > 1 || before)));
	merge_request_knows(t->op->d, t->lane->repository, q);
	op_task(t->op, q, on_held);
}

/* All views' work is on their branches, or is not to be had. */
static void materialized(struct train *t)
{
	bool batch = t->n > 0 && request_int(t->v[0], "batch") != 0;
	const char *culprit = NULL;

	if (--t->pending > 0)
		return;
	for (size_t i = 0; i < t->n && batch; i++)
		if (t->v[i] && queue_is_final(t->v[i]->at.state))
			culprit = t->v[i]->source;
	train_compact(t);
	if (train_is_doomed(t))
		return;
	if (t->n == 0)
		train_end(t);
	else if (culprit)
		fail_batch(t, culprit);
	else
		ask_hold(t);
}

struct materializing {
	struct train *t;
	struct request *r;
};

static void on_materialized(struct op *child, json_t *reply, struct fault *f)
{
	struct materializing *m = child->data;
	struct request *r = m->r;

	if (r->train == m->t && !reply) {
		if (f->details)
			request_set(r, "details", json_incref(f->details));
		(void)request_fail(r, f->id, f->message);
	}
	materialized(m->t);
}

static void materialize(struct train *t, struct request *r)
{
	struct view *v = views_get(t->op->d->views, request_text(r, "agent"));
	bool same = v && strcmp(v->row.id, request_text(r, "view_id")) == 0 && view_is_open(v);
	struct materializing *m;
	struct op *child;

	/* Where the view has gone on to another task, its branch is what was asked for. */
	if (!same || request_is(r, "no_materialize") ||
	    strcmp(v->row.branch, request_text(r, "branch")) != 0)
		return;
	m = sys_calloc(1, sizeof(*m));
	child = m ? op_new(t->op->d, NULL, v->row.agent, "materialize") : NULL;
	if (!child) {
		free(m);
		(void)request_fail(r, "Internal", "the daemon has no memory for this");
		return;
	}
	*m = (struct materializing){t, r};
	child->uid = r->uid;
	child->gid = r->gid;
	child->data = m;
	child->data_free = free;
	child->done = on_materialized;
	t->pending++;
	op_begin(child, materialize_start);
}

static void no_answer(struct op *op, json_t *reply, struct fault *f)
{
}

void train_op(struct train *t)
{
	t->op = op_new(t->lane->q->d, NULL, NULL, "merge");
	if (!t->op)
		return;
	t->op->uid = t->v[0]->uid;
	t->op->gid = t->v[0]->gid;
	t->op->done = no_answer;
	t->op->data = t;
}

static void train_start(struct lane *l, struct request **v, size_t n, bool alone)
{
	struct train *t = sys_calloc(1, sizeof(*t));

	if (!t)
		return;
	t->lane = l;
	t->alone = alone;
	for (size_t i = 0; i < n; i++) {
		request_set(v[i], "keep",
			    json_sprintf("%llx-%lld", (unsigned long long)v[i]->time,
					 (long long)v[i]->id));
		if (train_go(v[i], QUEUE_START, NULL) == 0) {
			v[i]->train = t;
			t->v[t->n++] = v[i];
		}
	}
	if (t->n > 0)
		train_op(t);
	if (!t->op) {
		train_send_back(t, "the daemon has no memory for this");
		train_free(t);
		return;
	}
	l->trains[head(l) ? 1 : 0] = t;
	t->pending = 1;
	for (size_t i = 0; i < t->n; i++)
		materialize(t, t->v[i]);
	materialized(t);
}

/* May another train set out now? */
static bool has_room(struct lane *l)
{
	struct train *t = head(l);

	if (!t)
		return true;
	return !l->trains[1] && !l->second_broken && !t->alone && !t->doomed &&
	       t->phase == TRAIN_VERIFYING;
}

void lane_run(struct lane *l)
{
	_cleanup_free_ struct queue_item *items = NULL;
	_cleanup_free_ struct request **requests = NULL;
	struct request *v[TRAIN_MAX];
	size_t chosen[TRAIN_MAX + 1], n, got;
	bool alone;

	if (!has_room(l))
		return;
	n = queue_items(l->q, l->repository, l->target, &items, &requests);
	if (!items || !requests || n == 0 || n > TRAIN_MAX)
		n = n > TRAIN_MAX ? TRAIN_MAX : items && requests ? n : 0;
	got = n ? queue_pick(items, n,
			     config_merge_approval(&l->q->d->config, l->repository) ? 1 : l->window,
			     sys_now_ns(), chosen)
		: 0;
	if (got == 0)
		return;
	alone = items[chosen[0]].alone || items[chosen[0]].batch || items[chosen[0]].limit == 1;
	if (head(l) && (alone || items[chosen[0]].uid != head(l)->v[0]->uid))
		return; /* its turn comes when the one before has landed */
	for (size_t i = 0; i < got; i++)
		v[i] = requests[chosen[i]];
	train_start(l, v, got, alone);
}
