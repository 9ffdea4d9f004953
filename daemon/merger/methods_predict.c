/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Predict: for each source the commit that materializing would make is made, without a ref, then one worker makes the
 * trial merges. Beside each stands what the history says: of the past merges that touched one of its paths, how many
 * went in without a person.
 */
#include <string.h>

#include "cleanup.h"
#include "history.h"
#include "merge_request.h"
#include "methods.h"
#include "op.h"
#include "sys.h"

enum { LOOKED_BACK = 300 };

struct predict {
	size_t at;
	json_t *sources; /* [{name, source, source_commit}] for the worker */
	char *repository, *into;
};

static void predict_free(void *p)
{
	struct predict *x = p;

	json_decref(x->sources);
	free(x->repository);
	free(x->into);
	free(x);
}

static const char *source_name(const struct op *op, size_t i)
{
	return json_string_value(
		json_array_get(json_object_get(op->call->in.parameters, "sources"), i));
}

static struct view *open_view(const struct op *op, const char *name)
{
	struct view *v = views_get(op->d->views, name);

	return v && view_is_open(v) ? v : NULL;
}

/* --- what the history says --- */

struct looking {
	const json_t *paths; /* object: path → anything */
	const char *repository;
	unsigned left, of, went;
};

static bool touches(const json_t *result, const json_t *paths)
{
	static const char *const keys[] = {"changes", "conflicts", "resolved"};
	json_t *o;
	size_t i;

	for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
		json_array_foreach (json_object_get(result, keys[k]), i, o) {
			const char *path = json_string_value(json_object_get(o, "path"));

			if (path && json_object_get(paths, path))
				return true;
		}
	return false;
}

static int look(const struct state_merge *m, void *user)
{
	struct looking *l = user;
	json_t *result;

	if (strcmp(m->repository, l->repository) != 0)
		return 0;
	result = json_loads(m->result, 0, NULL);
	if (touches(result, l->paths)) {
		l->of++;
		l->went += strcmp(m->state, "conflict") != 0;
	}
	json_decref(result);
	return --l->left ? 0 : 1;
}

static json_t *paths_of(const json_t *merged)
{
	static const char *const keys[] = {"changes", "conflicts"};
	json_t *paths = json_object(), *o;
	size_t i;

	for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
		json_array_foreach (json_object_get(merged, keys[k]), i, o)
			(void)json_object_set_new(
				paths, json_string_value(json_object_get(o, "path")), json_true());
	json_array_foreach (json_object_get(merged, "touched"), i, o)
		(void)json_object_set_new(paths, json_string_value(o), json_true());
	return paths;
}

/* Laplace's rule of succession; what conflicts now does not go in by itself, whatever was. */
static void add_probability(struct op *op, const char *repository, json_t *merged)
{
	const char *state = json_string_value(json_object_get(merged, "state"));
	_cleanup_(err_release) struct err e = ERR_INIT;
	json_t *paths = paths_of(merged);
	struct looking l = {.paths = paths, .repository = repository, .left = LOOKED_BACK};
	bool in = state && (strcmp(state, "would_merge") == 0 || strcmp(state, "up_to_date") == 0);

	(void)state_merges(op->d->db, 0, look, &l, &e); /* unread: nothing is known */
	(void)json_object_set_new(merged, "past", json_integer(l.of));
	(void)json_object_set_new(merged, "past_merged", json_integer(l.went));
	if (l.of && in)
		(void)json_object_set_new(merged, "probability",
					  json_real((l.went + 1.0) / (l.of + 2.0)));
	else
		(void)json_object_set_new(merged, "probability", in ? json_null() : json_real(0));
	json_decref(paths);
}

/* --- the merges --- */

static void on_predicted(struct op *op, json_t *ok, struct fault *f)
{
	const char *repository = json_string_value(json_object_get(ok, "repository"));
	json_t *merged;
	size_t i;

	if (!ok || !repository) {
		op_end(op, NULL, f);
		return;
	}
	json_array_foreach (json_object_get(ok, "merges"), i, merged) {
		add_probability(op, repository, merged);
		(void)json_object_del(merged, "recalled");
		(void)json_object_del(merged, "repository");
		(void)json_object_del(merged, "would");
	}
	(void)json_object_del(ok, "repository");
	op_end(op, json_incref(ok), NULL);
}

static void ask_worker(struct op *op)
{
	struct predict *p = op->data;
	const char *into = arg_str(op->call, "into"), *given = arg_str(op->call, "repository");
	const char *repo = p->repository ? p->repository : given;
	json_t *q;

	if (!repo) {
		op_fail(op, "NotFound",
			"there is no agent '%s', and which repository has a branch of that name was "
			"not said: give --repo",
			source_name(op, 0));
		return;
	}
	q = op_request(op, "predict");
	(void)json_object_set_new(q, "repo", json_string(repo));
	(void)json_object_set(q, "sources", p->sources);
	into = into ? into : p->into;
	(void)json_object_set_new(q, "into", into ? json_string(into) : json_null());
	merge_request_knows(op->d, repo, q);
	op_task(op, q, on_predicted);
}

static void next_source(struct op *op);

static void on_materialized(struct op *child, json_t *reply, struct fault *f)
{
	struct op *op = child->parent;
	struct predict *p = op->data;
	const char *tip = json_string_value(json_object_get(reply, "tip"));
	json_t *last = json_array_get(p->sources, json_array_size(p->sources) - 1);

	if (!reply) {
		op_end(op, NULL, f);
		return;
	}
	if (tip)
		(void)json_object_set_new(last, "source_commit", json_string(tip));
	p->at++;
	next_source(op);
}

/* All views have to be of one repository; the first one's target is the target. */
static bool fits(struct op *op, const struct view *v)
{
	struct predict *p = op->data;

	if (!may_use(v, op->uid)) {
		op_fail(op, "Denied", "the view of agent '%s' belongs to another user",
			v->row.agent);
		return false;
	}
	if (p->repository && strcmp(p->repository, v->row.repository) != 0) {
		op_fail(op, "Invalid",
			"the view of agent '%s' is of another repository than the one before: ask about "
			"one repository at a time",
			v->row.agent);
		return false;
	}
	if (!p->repository)
		p->repository = sys_strdup(v->row.repository);
	if (!p->into && *v->row.target)
		p->into = sys_strdup(v->row.target);
	return true;
}

static void next_source(struct op *op)
{
	struct predict *p = op->data;
	const char *name = source_name(op, p->at);
	struct view *v = name ? open_view(op, name) : NULL;
	struct op *child;

	if (!name) {
		ask_worker(op);
		return;
	}
	if (v && !fits(op, v))
		return;
	(void)json_array_append_new(p->sources, json_pack("{s:s,s:s}", "name", name, "source",
							  v ? v->row.branch : name));
	if (!v) {
		p->at++;
		next_source(op);
		return;
	}
	child = op_new(op->d, NULL, name, "materialize");
	if (!child) {
		op_fail(op, "Internal", "the daemon has no memory for this");
		return;
	}
	child->parent = op;
	child->uid = op->uid;
	child->gid = op->gid;
	child->dry_run = true;
	child->done = on_materialized;
	op_begin(child, materialize_start);
}

void method_merge_predict(struct daemon *d, struct call *c)
{
	struct predict *p = sys_calloc(1, sizeof(*p));
	struct op *op = p ? op_new(d, c, NULL, "predict") : NULL;

	if (!op) {
		struct fault f = FAULT_INIT;

		if (!p)
			call_fault(c, &f);
		free(p);
		return;
	}
	p->sources = json_array();
	op->data = p;
	op->data_free = predict_free;
	if (!source_name(op, 0))
		op_fail(op, "Invalid", "no source was named: give agents or branches");
	else
		op_begin(op, next_source);
}
