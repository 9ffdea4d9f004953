/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merge: for each source in order its view is materialized (unless told not to; in a dry run the commit is made and no ref moves),
 * then its branch is merged, then, where asked for, its view is closed. The first conflict or error
 * ends it; what was merged before stays merged and is told.
 */
#include <string.h>

#include "cleanup.h"
#include "history.h"
#include "log.h"
#include "merge_request.h"
#include "methods.h"
#include "op.h"
#include "sys.h"

struct merge {
	size_t at;    /* source under way */
	json_t *done; /* array of Merged */
	bool dry_run, no_materialize, destroy;
	json_t *onto; /* dry run: target → what the sources before would make of it */
	char *tip;    /* dry run: the commit that materializing the view would make */
	json_t *tips; /* dry run: the same for each source so far */
};

static void merge_free(void *p)
{
	struct merge *m = p;

	json_decref(m->done);
	json_decref(m->onto);
	free(m->tip);
	json_decref(m->tips);
	free(m);
}

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static const char *source_name(const struct op *op)
{
	const struct merge *m = op->data;

	return json_string_value(
		json_array_get(json_object_get(op->call->in.parameters, "sources"), m->at));
}

/* The view of the source under way, or NULL where it is a branch's name. */
static struct view *source_view(const struct op *op)
{
	struct view *v = views_get(op->d->views, source_name(op));

	return v && view_is_open(v) ? v : NULL;
}

static void next_source(struct op *op);

/* An error after some were merged says which. */
static void merge_failed(struct op *op, struct fault *f)
{
	struct merge *m = op->data;

	if (json_array_size(m->done) > 0) {
		if (!f->details)
			f->details = json_object();
		(void)json_object_set(f->details, "merges", m->done);
	}
	op_end(op, NULL, f);
}

static void finish(struct op *op)
{
	struct merge *m = op->data;

	op_end(op, json_pack("{s:O}", "merges", m->done), NULL);
}

static void on_destroyed(struct op *child, json_t *reply, struct fault *f)
{
	struct op *op = child->parent;
	struct merge *m = op->data;
	json_t *last = json_array_get(m->done, json_array_size(m->done) - 1);
	json_t *notes = json_object_get(last, "notes");

	if (!reply && json_is_array(notes))
		(void)json_array_append_new(notes, json_sprintf("merged, but its view stays: %s",
								f->message ? f->message : "?"));
	m->at++;
	next_source(op);
}

/* Merges that were tried are kept, with all that was said of them. */
static void write_down(struct op *op, json_t *ok)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	_cleanup_free_ char *result = json_dumps(ok, JSON_COMPACT | JSON_SORT_KEYS);
	struct state_merge m = {.time = sys_now_ns(),
				.uid = op->uid,
				.repository = text_of(ok, "repository"),
				.source = text_of(ok, "source"),
				.into = text_of(ok, "into"),
				.state = text_of(ok, "state"),
				.tier = text_of(ok, "tier"),
				.commit = text_of(ok, "commit"),
				.result = result ? result : "{}"};

	if (state_merge_add(op->d->db, &m, &e) < 0)
		(void)log_warning(e.code, "%s: the merge itself is done", err_text(&e));
	else
		(void)json_object_set_new(ok, "merge", json_integer(m.id));
	if (m.id)
		history_write(op->d, ok, m.id);
}

static void on_merged(struct op *op, json_t *ok, struct fault *f)
{
	struct merge *m = op->data;
	struct view *v = source_view(op);
	const char *state = json_string_value(json_object_get(ok, "state"));
	struct op *child;

	if (!ok || !state) {
		merge_failed(op, f);
		return;
	}
	history_recalled(op->d, ok);
	(void)json_object_set_new(ok, "source", json_string(source_name(op)));
	if (!m->dry_run && strcmp(state, "up_to_date") != 0)
		write_down(op, ok);
	(void)json_object_del(ok, "repository");
	(void)json_array_append(m->done, ok);
	if (m->dry_run && json_object_get(ok, "would")) {
		/* The next source comes on top of it. */
		(void)json_object_set(m->onto, json_string_value(json_object_get(ok, "into")),
				      json_object_get(ok, "would"));
		(void)json_object_del(ok, "would");
	}
	if (v && !m->dry_run) {
		v->distance.at = 0;
		events_emit(op->d->events, strcmp(state, "conflict") == 0 ? "conflict" : "merged",
			    v->row.agent, v->row.id, v->row.uid, "%s: %s", v->row.branch, state);
	}
	if (strcmp(state, "conflict") == 0) {
		finish(op);
		return;
	}
	child = v && m->destroy && !m->dry_run ? op_new(op->d, NULL, v->row.agent, "destroy")
					       : NULL;
	if (child) {
		child->parent = op;
		child->uid = op->uid;
		child->gid = op->gid;
		child->done = on_destroyed;
		op_begin(child, close_start);
		return;
	}
	m->at++;
	next_source(op);
}

/* The repository of a branch: as given, or that of the first view among the sources. */
static const char *branch_repository(const struct op *op)
{
	const char *given = arg_str(op->call, "repository");
	json_t *sources = json_object_get(op->call->in.parameters, "sources"), *s;
	size_t i;

	if (given)
		return given;
	json_array_foreach (sources, i, s) {
		struct view *v = views_get(op->d->views, json_string_value(s));

		if (v && may_use(v, op->uid))
			return v->row.repository;
	}
	return NULL;
}

static void merge_one(struct op *op)
{
	struct merge *m = op->data;
	struct view *v = source_view(op);
	const char *into = arg_str(op->call, "into"), *repo = branch_repository(op);
	json_t *q = v ? op_view_request(op, "merge", v) : op_request(op, "merge");

	if (!v) {
		if (!repo) {
			json_decref(q);
			op_fail(op, "NotFound",
				"there is no agent '%s', and which repository has a branch "
				"of that name was not said: give --repo",
				source_name(op));
			return;
		}
		(void)json_object_set_new(q, "repo", json_string(repo));
		(void)json_object_set_new(q, "agent", json_string(""));
		(void)json_object_set_new(q, "task", json_string(""));
	}
	(void)json_object_set_new(q, "source", json_string(v ? v->row.branch : source_name(op)));
	if (!into && v && *v->row.target)
		into = v->row.target;
	(void)json_object_set_new(q, "into", into ? json_string(into) : json_null());
	(void)json_object_set_new(q, "dry_run", json_boolean(m->dry_run));
	if (m->tip)
		(void)json_object_set_new(q, "source_commit", json_string(m->tip));
	(void)json_object_set_new(q, "target_commit",
				  json_incref(json_object_get(m->onto, into ? into : "")));
	(void)json_object_set_new(q, "squash", json_boolean(arg_bool(op->call, "squash")));
	merge_request_knows(op->d, v ? v->row.repository : repo, q);
	op_task(op, q, on_merged);
}

static void on_source_materialized(struct op *child, json_t *reply, struct fault *f)
{
	const char *tip = reply ? json_string_value(json_object_get(reply, "tip")) : NULL;
	struct op *op = child->parent;
	struct merge *m = op->data;

	if (!reply) {
		merge_failed(op, f);
		return;
	}
	free(m->tip);
	m->tip = m->dry_run && tip ? sys_strdup(tip) : NULL;
	if (m->tip) /* made again it would be another commit: its time is another */
		(void)json_object_set_new(m->tips, source_name(op), json_string(m->tip));
	merge_one(op);
}

static void next_source(struct op *op)
{
	struct merge *m = op->data;
	const char *name = source_name(op);
	struct fault f = FAULT_INIT;
	struct view *v;
	struct op *child;

	if (!name) {
		finish(op);
		return;
	}
	v = source_view(op);
	if (v && !may_use(v, op->uid)) {
		(void)fault_set(&f, "Denied", "the view of agent '%s' belongs to another user",
				name);
		merge_failed(op, &f);
		return;
	}
	free(m->tip);
	m->tip = NULL;
	if (m->dry_run && json_object_get(m->tips, name))
		m->tip = sys_strdup(json_string_value(json_object_get(m->tips, name)));
	if (!v || m->no_materialize || m->tip) {
		merge_one(op);
		return;
	}
	child = op_new(op->d, NULL, name, "materialize");
	if (!child) {
		(void)fault_set(&f, "Internal", "the daemon has no memory for this");
		merge_failed(op, &f);
		return;
	}
	child->parent = op;
	child->uid = op->uid;
	child->gid = op->gid;
	child->dry_run = m->dry_run;
	child->done = on_source_materialized;
	op_begin(child, materialize_start);
}

void method_merge(struct daemon *d, struct call *c)
{
	struct merge *m = sys_calloc(1, sizeof(*m));
	struct op *op = m ? op_new(d, c, NULL, "merge") : NULL;

	if (!op) {
		struct fault f = FAULT_INIT;

		if (!m)
			call_fault(c, &f);
		free(m);
		return;
	}
	m->done = json_array();
	m->tips = json_object();
	m->onto = json_object();
	m->dry_run = arg_bool(c, "dry_run");
	m->no_materialize = arg_bool(c, "no_materialize");
	m->destroy = arg_bool(c, "destroy");
	op->data = m;
	op->data_free = merge_free;
	if (!source_name(op)) {
		op_fail(op, "Invalid", "no source was named: give agents or branches");
		return;
	}
	op_begin(op, next_source);
}
