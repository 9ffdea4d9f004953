/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second half of a train's way: what it makes is verified, then lands.
 *
 * That a request lands is written down before the worker is asked to move the target, with where it has to stand
 * and where it goes: after a kill the same is asked for again, and the worker finds out how far it came.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "log.h"
#include "queue_parts.h"
#include "sys.h"
#include "verify.h"

enum { LAND_TRIES = 3 };

/* ---- landing ---- */

static void advance(struct lane *l);

static json_t *kept_names(const struct train *t)
{
	json_t *a = json_array();

	for (size_t i = 0; i < t->n; i++)
		if (*request_text(t->v[i], "keep"))
			(void)json_array_append_new(a, json_string(request_text(t->v[i], "keep")));
	return a;
}

static void all_landed(struct train *t)
{
	struct lane *l = t->lane;

	for (size_t i = 0; i < t->n; i++) {
		json_t *result = json_object_get(t->v[i]->facts, "result");

		request_set(t->v[i], "keep", NULL); /* the landing has removed it */
		(void)json_object_set_new(result, "state", json_string("merged"));
		(void)train_go(t->v[i], QUEUE_LANDED, NULL);
	}
	l->window = queue_window(l->window, true);
	train_end(t);
	advance(l);
}

static void ask_land(struct train *t);

static void not_landed(struct train *t, struct fault *f)
{
	bool moved = f->id && strcmp(f->id, "Busy") == 0;

	/* The worker was killed: what it did is not known, and asking again finds out. */
	if (f->id && strcmp(f->id, "Internal") == 0 && ++t->tries < LAND_TRIES) {
		log_warning(0, "landing on '%s' is asked for again: %s", t->lane->target,
			    f->message);
		ask_land(t);
		return;
	}
	train_doom_second(t);
	for (size_t i = 0; i < t->n; i++) {
		struct request *r = t->v[i];

		if (!moved && t->n > 1)
			request_set(r, "alone", json_true());
		if (!moved && t->n == 1) {
			if (f->details)
				request_set(r, "details", json_incref(f->details));
			(void)request_fail(r, f->id, f->message);
			continue;
		}
		if (r->at.tries + 1 >= QUEUE_TRIES)
			request_set(
				r, "error",
				json_pack("{s:s,s:o}", "id", "Busy", "message",
					  json_sprintf("the branch '%s' was moved by somebody else "
						       "meanwhile, %d times: try again",
						       r->target, QUEUE_TRIES)));
		(void)train_go(r, QUEUE_MOVED, f->message);
	}
	train_end(t);
}

static void on_landed(struct op *op, json_t *ok, struct fault *f)
{
	struct train *t = op->data;

	if (ok)
		all_landed(t);
	else
		not_landed(t, f);
}

static void ask_land(struct train *t)
{
	json_t *q = op_repository_request(t->op, "land", t->lane->repository);
	json_t *result = json_object_get(t->v[0]->facts, "result");
	bool one = t->n == 1;

	t->phase = TRAIN_LANDING;
	(void)json_object_set_new(q, "into", json_string(t->lane->target));
	(void)json_object_set_new(q, "from", json_string(t->from));
	(void)json_object_set_new(q, "commit", json_string(t->top));
	(void)json_object_set_new(q, "drop", kept_names(t));
	(void)json_object_set_new(q, "source",
				  one ? json_string(request_text(t->v[0], "branch"))
				      : json_sprintf("%zu branches", t->n));
	if (one && json_is_true(json_object_get(result, "fast_forward")))
		(void)json_object_set_new(q, "how", json_string("fast-forward"));
	else if (one && request_is(t->v[0], "squash"))
		(void)json_object_set_new(q, "how", json_string("squashed"));
	op_task(t->op, q, on_landed);
}

static bool lacks_approval(const struct train *t)
{
	return t->n == 1 && t->v[0]->at.approval && !t->v[0]->at.approved;
}

/* The first train's turn to land. */
static void advance(struct lane *l)
{
	struct train *t = l->trains[0];

	if (!t || t->phase != TRAIN_VERIFIED || train_is_doomed(t))
		return;
	if (lacks_approval(t)) { /* others may land meanwhile */
		train_doom_second(t);
		train_end(t);
		return;
	}
	for (size_t i = 0; i < t->n; i++) {
		request_set(t->v[i], "from", json_string(t->from));
		request_set(t->v[i], "top", json_string(t->top));
	}
	for (size_t i = 0; i < t->n; i++)
		if (train_go(t->v[i], QUEUE_LAND, NULL) < 0) {
			t->v[i] = NULL;
			t->doomed = true;
		}
	/* What cannot be written down is not begun. */
	if (t->doomed) {
		train_compact(t);
		for (size_t i = 0; i < t->n; i++)
			(void)train_go(t->v[i], QUEUE_MOVED, "the queue cannot be written down");
		train_doom_second(t);
		train_end(t);
		return;
	}
	ask_land(t);
}

void train_land_again(struct lane *l, struct request **v, size_t n)
{
	struct train *t = sys_calloc(1, sizeof(*t));

	if (!t)
		return; /* they stay as they are: the next start asks again */
	t->lane = l;
	t->alone = true;
	for (size_t i = 0; i < n; i++) {
		t->v[t->n++] = v[i];
		v[i]->train = t;
	}
	t->from = sys_strdup(request_text(v[0], "from"));
	t->top = sys_strdup(request_text(v[0], "top"));
	l->trains[0] = t;
	train_op(t);
	if (t->op && t->from && t->top)
		ask_land(t);
}

/* ---- verifying ---- */

/* One request alone does not pass. */
static void broken_alone(struct request *r, json_t *said, const struct culprit *c)
{
	const char *output = json_string_value(json_object_get(said, "output"));
	json_t *result = json_object_get(r->facts, "result");
	_cleanup_free_ char *text = NULL;

	if (asprintf(&text, "the verify command fails with this merge: %s",
		     output && *output ? output : "it said nothing") < 0)
		text = NULL;
	r->at.droppable = c->resolver && !json_object_get(r->facts, "without");
	if (r->at.droppable)
		request_set(r, "without", json_string(c->resolver));
	if (r->at.droppable && c->path)
		request_set(r, "without_path", json_string(c->path));
	if (c->none)
		(void)json_array_append_new(
			json_object_get(result, "notes"),
			json_string(
				"the verify command fails without what was resolved, too: it is "
				"the merge that breaks it"));
	request_set(r, "broken", json_string(text ? text : ""));
	request_set(r, "verify_said", json_string(output ? output : ""));
	(void)json_object_set_new(result, "state", json_string("conflict"));
	(void)json_object_set_new(result, "commit", json_null());
	(void)json_object_set_new(
		result, "conflicts",
		json_pack("[{s:s,s:s,s:s}]", "path", ".", "kind", "verify", "reason",
			  text ? text : "the verify command fails with this merge"));
	(void)train_go(r, QUEUE_BROKEN, text);
}

void train_broken(struct train *t, json_t *said, const struct culprit *c)
{
	broken_alone(t->v[0], said, c);
	train_end(t);
}

static void broken(struct train *t, json_t *said)
{
	struct lane *l = t->lane;
	bool batch = request_int(t->v[0], "batch") != 0;

	train_doom_second(t);
	l->window = queue_window(l->window, false);
	/* Perhaps it is the first train that breaks it: nobody is judged by what is not going to be. */
	if (l->trains[0] != t) {
		l->second_broken = true;
		for (size_t i = 0; i < t->n; i++)
			request_set(t->v[i], "limit", json_integer((json_int_t)(t->n + 1) / 2));
		train_send_back(t, "the verify command fails with it on top of others");
		train_end(t);
		return;
	}
	if (t->n == 1 && !batch && bisect_start(t, said))
		return;
	for (size_t i = 0; i < t->n; i++) {
		struct culprit c = {.resolver = bisect_weakest(t->v[i])};

		if (t->n == 1 || batch) {
			broken_alone(t->v[i], said, &c);
			continue;
		}
		request_set(t->v[i], "limit", json_integer((json_int_t)(t->n / 2)));
		(void)train_go(t->v[i], QUEUE_LATER,
			       "the verify command fails with it and others: half of them now");
	}
	train_end(t);
}

/* Who merged is told that it was verified, by what and how long that took. */
static void note_verified(const struct train *t, const json_t *ok)
{
	json_int_t ms = json_integer_value(json_object_get(ok, "ms"));
	const char *command = json_string_value(json_object_get(ok, "command"));

	for (size_t i = 0; command && i < t->n; i++) {
		json_t *notes = json_object_get(json_object_get(t->v[i]->facts, "result"), "notes");

		if (json_is_array(notes))
			(void)json_array_append_new(notes,
						    json_sprintf("verified by '%s' in %lld.%lld s",
								 command, (long long)ms / 1000,
								 (long long)ms % 1000 / 100));
	}
}

static void verified(struct train *t, bool skipped)
{
	for (size_t i = 0; i < t->n; i++) {
		struct request *r = t->v[i];

		if (!skipped)
			request_set(r, "verified_tree",
				    json_string(request_text(t->v[t->n - 1], "tree")));
		r->at.approved =
			*request_text(r, "approved_tree") &&
			strcmp(request_text(r, "approved_tree"), request_text(r, "tree")) == 0;
		(void)train_go(r, QUEUE_VERIFIED, skipped ? "there is no verify command" : NULL);
	}
	train_compact(t);
	t->phase = TRAIN_VERIFIED;
	if (t->n == 0)
		train_end(t);
	else
		advance(t->lane);
}

static void on_verified(struct op *op, json_t *ok, struct fault *f)
{
	struct train *t = op->data;

	if (train_is_doomed(t))
		return;
	if (!ok) {
		train_doom_second(t);
		for (size_t i = 0; i < t->n; i++)
			(void)request_fail(t->v[i], f->id, f->message);
		train_end(t);
	} else if (json_is_true(json_object_get(ok, "ok")) ||
		   json_is_true(json_object_get(ok, "skipped"))) {
		note_verified(t, ok);
		verified(t, json_is_true(json_object_get(ok, "skipped")));
	} else {
		broken(t, ok);
	}
}

void train_verify(struct train *t)
{
	const struct request *last = t->v[t->n - 1];

	t->phase = TRAIN_VERIFYING;
	if (*request_text(last, "verified_tree") &&
	    strcmp(request_text(last, "verified_tree"), request_text(last, "tree")) == 0) {
		verified(t, false);
		return;
	}
	queue_kick(t->lane->q); /* the next one may be merged on top of it */
	verify_start(t->op, t->lane->repository, t->lane->target, t->top, on_verified);
}
