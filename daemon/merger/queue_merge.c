/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Method Merge through the queue. All sources are written down before anything is answered, each after the one before
 * it (or, with `all` and `batch`, beside it), so that a kill loses none. Without them the first conflict or error ends it: what
 * was merged before stays merged and is told, what was named after it is not tried.
 */
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "merge_request.h"
#include "methods.h"
#include "queue_parts.h"
#include "sys.h"

struct merge {
	json_t *answers; /* one of each request, in order; null while it is under way */
	json_t *ids;	 /* their numbers */
	unsigned under_way;
	bool together;	    /* all, batch: the failure of one ends nothing */
	struct fault fault; /* a source that could not be asked for */
	bool has_fault;
};

static void merge_free(void *p)
{
	struct merge *m = p;

	json_decref(m->answers);
	json_decref(m->ids);
	fault_release(&m->fault);
	free(m);
}

static bool is_batch(const struct op *op)
{
	return arg_bool(op->call, "batch");
}

/* ---- the answer ---- */

static json_t *merged_json(const struct request *r)
{
	json_t *o = json_deep_copy(json_object_get(r->facts, "result"));

	(void)json_object_del(o, "repository");
	return o;
}

/* {"merged": …} or {"error": …, "source": …} */
static json_t *answer_of(const struct request *r)
{
	json_t *error = json_object_get(r->facts, "error"), *o;

	if (r->at.state != QUEUE_FAILED)
		return json_pack("{s:o}", "merged", merged_json(r));
	o = json_deep_copy(error);
	if (!o)
		o = json_pack("{s:s,s:s}", "id", "Internal", "message", "it failed");
	if (json_object_get(r->facts, "details"))
		(void)json_object_set(o, "details", json_object_get(r->facts, "details"));
	return json_pack("{s:o,s:s}", "error", o, "source", r->source);
}

/* An error after some were merged says which. */
static void end_failed(struct op *op, json_t *merges, struct fault *f)
{
	if (json_array_size(merges) > 0) {
		if (!f->details)
			f->details = json_object();
		(void)json_object_set(f->details, "merges", merges);
	}
	json_decref(merges);
	op_end(op, NULL, f);
}

static void finish(struct op *op)
{
	struct merge *m = op->data;
	json_t *merges = json_array(), *failed = json_array(), *one;
	struct fault f = FAULT_INIT;
	size_t i;

	json_array_foreach (m->answers, i, one) {
		json_t *merged = json_object_get(one, "merged"),
		       *error = json_object_get(one, "error");
		const char *state = json_string_value(json_object_get(merged, "state"));

		if (merged)
			(void)json_array_append(merges, merged);
		if (error && !m->together) {
			(void)fault_from_json(&f, error);
			end_failed(op, merges, &f);
			json_decref(failed);
			return;
		}
		if (error)
			(void)json_array_append_new(
				failed,
				json_pack("{s:O,s:O,s:O}", "source", json_object_get(one, "source"),
					  "id", json_object_get(error, "id"), "message",
					  json_object_get(error, "message")));
		if (!m->together && state && strcmp(state, "conflict") == 0) {
			m->has_fault = false;
			break;
		}
	}
	if (m->has_fault) {
		json_decref(failed);
		fault_move(&f, &m->fault);
		end_failed(op, merges, &f);
		return;
	}
	one = json_pack("{s:o,s:O}", "merges", merges, "requests", m->ids);
	if (json_array_size(failed) > 0)
		(void)json_object_set(one, "failed", failed);
	json_decref(failed);
	op_end(op, one, NULL);
}

struct heard {
	struct op *op;
	size_t at;
};

static void on_over(struct request *r, void *user)
{
	struct heard *h = user;
	struct op *op = h->op;
	struct merge *m = op->data;

	(void)json_array_set_new(m->answers, h->at, answer_of(r));
	free(h);
	if (--m->under_way == 0)
		finish(op);
}

/* ---- asking ---- */

static json_t *facts_of(const struct op *op, const struct view *v, const char *name, int64_t needs,
			int64_t batch)
{
	static const char *const options[] = {"squash", "no_materialize", "destroy", "ask_models"};
	json_t *facts = v ? queue_view_facts(v) : json_pack("{s:s}", "branch", name);

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (arg_bool(op->call, options[i]))
			(void)json_object_set_new(facts, options[i], json_true());
	if (needs)
		(void)json_object_set_new(facts, "needs", json_integer(needs));
	if (batch)
		(void)json_object_set_new(facts, "batch", json_integer(batch));
	if (batch)
		(void)json_object_set_new(facts, "batch_size",
					  json_integer((json_int_t)json_array_size(json_object_get(
						  op->call->in.parameters, "sources"))));
	return facts;
}

/* Where a branch is, as the worker has found it. */
struct place {
	const char *repository, *head;
};

static int ask_one(struct op *op, const char *name, const struct place *p, int64_t needs,
		   int64_t batch, struct request **ret, struct fault *f)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct view *v = views_get(op->d->views, name);
	const char *into = arg_str(op->call, "into");
	struct queue_ask ask = {.uid = op->uid, .gid = op->gid, .source = name};

	if (v && !view_is_open(v))
		v = NULL;
	if (v && !may_use(v, op->uid))
		return fault_set(f, "Denied", "the view of agent '%s' belongs to another user",
				 name);
	if (!v && !p->repository)
		return fault_set(f, "NotFound",
				 "there is no agent '%s', and which repository has a branch "
				 "of that name was not said: give --repo",
				 name);
	ask.repository = v ? v->row.repository : p->repository;
	ask.target = into ? into : v && *v->row.target ? v->row.target : p->head;
	if (!ask.target || !*ask.target)
		return fault_set(f, "Invalid",
				 "no branch to merge into was named, and HEAD of '%s' is on "
				 "none: give --into BRANCH",
				 ask.repository);
	ask.facts = facts_of(op, v, name, needs, batch);
	if (queue_add(op->d->queue, &ask, ret, &e) < 0)
		return queue_not_kept(f, &e);
	return 0;
}

static void listen_to(struct op *op, struct request *r, size_t at)
{
	struct merge *m = op->data;
	struct heard *h = sys_calloc(1, sizeof(*h));

	if (!h)
		return;
	*h = (struct heard){op, at};
	m->under_way++;
	queue_listen(r, on_over, h);
}

static void ask_all(struct op *op, const struct place *p)
{
	json_t *sources = json_object_get(op->call->in.parameters, "sources"), *s;
	struct merge *m = op->data;
	int64_t needs = 0, batch = is_batch(op) ? (int64_t)(sys_now_ns() >> 1) : 0;
	bool wait = !arg_bool(op->call, "no_wait");
	size_t i;

	json_array_foreach (sources, i, s) {
		struct request *r = NULL;

		if (ask_one(op, json_string_value(s), p, m->together ? 0 : needs, batch, &r,
			    &m->fault) < 0) {
			m->has_fault = true;
			break;
		}
		needs = r->id;
		(void)json_array_append_new(m->ids, json_integer(r->id));
		if (wait) {
			(void)json_array_append_new(m->answers, json_null());
			listen_to(op, r, i);
		}
	}
	/* Of a batch that cannot be asked for whole nothing lands. */
	if (m->has_fault && batch)
		json_array_foreach (m->ids, i, s) {
			struct fault ignored = FAULT_INIT;
			struct request *r = queue_get(op->d->queue, json_integer_value(s));

			m->under_way += i == 0; /* it ends below */
			if (r)
				(void)request_cancel(r, &ignored);
			fault_release(&ignored);
		}
	if (m->has_fault && batch && json_array_size(m->ids) > 0)
		m->under_way--;
	if (m->under_way == 0)
		finish(op);
}

static void on_repository(struct op *op, json_t *ok, struct fault *f)
{
	struct place p = {json_string_value(json_object_get(ok, "repository")),
			  json_string_value(json_object_get(ok, "head"))};

	if (ok)
		ask_all(op, &p);
	else
		op_end(op, NULL, f);
}

/* Is it known of every source where it is and where it goes? */
static bool all_known(const struct op *op)
{
	json_t *sources = json_object_get(op->call->in.parameters, "sources"), *s;
	const char *into = arg_str(op->call, "into");
	size_t i;

	json_array_foreach (sources, i, s) {
		const struct view *v = views_get(op->d->views, json_string_value(s));

		if (!v || !view_is_open(v) || (!into && !*v->row.target))
			return false;
	}
	return true;
}

static void start(struct op *op)
{
	const char *repo = merge_request_repository(op);
	struct place none = {NULL, NULL};
	json_t *q;

	if (all_known(op) || !repo) {
		ask_all(op, &none);
		return;
	}
	q = op_request(op, "repository");
	(void)json_object_set_new(q, "repo", json_string(repo));
	op_task(op, q, on_repository);
}

/* `all`: every view of the repository that has something to merge, or might. */
static void add_views(struct op *op, json_t *sources)
{
	const char *repo = arg_str(op->call, "repository");
	struct view *v;

	for (v = views_next(op->d->views, NULL); v; v = views_next(op->d->views, v))
		if (view_is_open(v) && may_use(v, op->uid) && in_repository(v, repo))
			(void)json_array_append_new(sources, json_string(v->row.agent));
}

void queue_merge(struct daemon *d, struct call *c)
{
	struct merge *m = sys_calloc(1, sizeof(*m));
	struct op *op = m ? op_new(d, c, NULL, "merge") : NULL;
	json_t *sources = json_object_get(c->in.parameters, "sources");
	struct fault f = FAULT_INIT;

	if (!op) {
		if (!m)
			call_fault(c, &f);
		free(m);
		return;
	}
	m->answers = json_array();
	m->ids = json_array();
	m->together = arg_bool(c, "all") || arg_bool(c, "batch");
	op->data = m;
	op->data_free = merge_free;
	if (arg_bool(c, "all"))
		add_views(op, sources);
	if (json_array_size(sources) == 0)
		op_fail(op, arg_bool(c, "all") ? "NotFound" : "Invalid",
			arg_bool(c, "all") ? "there is no view in this repository to merge"
					   : "no source was named: give agents or branches");
	else if (json_array_size(sources) > TRAIN_MAX && is_batch(op))
		op_fail(op, "TooLarge", "a batch is at most %d sources", TRAIN_MAX);
	else
		op_begin(op, start);
}
