/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merge as a dry run: for each source in order its view is materialized (unless told not to; the commit is made and no ref
 * moves), then its branch is merged, on top of what those before would make. The first conflict or error ends it. One that is
 * no dry run goes through the queue (queue_merge.c).
 */
#include <string.h>

#include "cleanup.h"
#include "history.h"
#include "merge_request.h"
#include "methods.h"
#include "op.h"
#include "radar.h"
#include "queue_run.h"
#include "sys.h"

struct merge {
	size_t at;    /* source under way */
	json_t *done; /* array of Merged */
	bool no_materialize;
	json_t *onto; /* target → what the sources before would make of it */
	char *tip;    /* the commit that materializing the view would make */
	json_t *tips; /* the same for each source so far */
	char *common; /* the common git folder of a branch's repository, by which what is known of it is kept */
};

static void merge_free(void *p)
{
	struct merge *m = p;

	json_decref(m->done);
	json_decref(m->onto);
	free(m->tip);
	free(m->common);
	json_decref(m->tips);
	free(m);
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

static void on_merged(struct op *op, json_t *ok, struct fault *f)
{
	struct merge *m = op->data;
	const char *state = json_string_value(json_object_get(ok, "state"));

	merge_request_done(op->d, ok ? ok : f->details);
	if (!ok || !state) {
		merge_failed(op, f);
		return;
	}
	history_recalled(op->d, ok);
	(void)json_object_set_new(ok, "source", json_string(source_name(op)));
	(void)json_object_del(ok, "repository");
	if (source_view(op))
		radar_notes(op->d->radar, source_view(op), json_object_get(ok, "notes"));
	(void)json_array_append(m->done, ok);
	if (json_object_get(ok, "would")) {
		/* The next source comes on top of it. */
		(void)json_object_set(m->onto, json_string_value(json_object_get(ok, "into")),
				      json_object_get(ok, "would"));
		(void)json_object_del(ok, "would");
	}
	if (strcmp(state, "conflict") == 0) {
		finish(op);
		return;
	}
	m->at++;
	next_source(op);
}

static void merge_one(struct op *op);

static void on_repository(struct op *op, json_t *ok, struct fault *f)
{
	struct merge *m = op->data;
	const char *common = json_string_value(json_object_get(ok, "repository"));

	m->common = common ? sys_strdup(common) : NULL;
	if (m->common)
		merge_one(op);
	else
		merge_failed(op, f);
}

static void merge_one(struct op *op)
{
	struct merge *m = op->data;
	struct view *v = source_view(op);
	const char *into = arg_str(op->call, "into"), *repo = merge_request_repository(op);
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
		if (!m->common) {
			json_decref(q);
			q = op_request(op, "repository");
			(void)json_object_set_new(q, "repo", json_string(repo));
			op_task(op, q, on_repository);
			return;
		}
		(void)json_object_set_new(q, "agent", json_string(""));
		(void)json_object_set_new(q, "task", json_string(""));
	}
	(void)json_object_set_new(q, "source", json_string(v ? v->row.branch : source_name(op)));
	if (!into && v && *v->row.target)
		into = v->row.target;
	(void)json_object_set_new(q, "into", into ? json_string(into) : json_null());
	(void)json_object_set_new(q, "dry_run", json_true());
	if (m->tip)
		(void)json_object_set_new(q, "source_commit", json_string(m->tip));
	(void)json_object_set_new(q, "target_commit",
				  json_incref(json_object_get(m->onto, into ? into : "")));
	(void)json_object_set_new(q, "ask_models", json_boolean(arg_bool(op->call, "ask_models")));
	(void)json_object_set_new(q, "squash", json_boolean(arg_bool(op->call, "squash")));
	merge_request_knows(op->d, v ? v->row.repository : m->common, q);
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
	m->tip = tip ? sys_strdup(tip) : NULL;
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
	if (json_object_get(m->tips, name))
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
	child->dry_run = true;
	child->done = on_source_materialized;
	op_begin(child, materialize_start);
}

/* One that changes nothing; one that does goes through the queue. */
void method_merge(struct daemon *d, struct call *c)
{
	struct fault f = FAULT_INIT;
	struct merge *m;
	struct op *op;

	if (!arg_bool(c, "dry_run")) {
		queue_merge(d, c);
		return;
	}
	m = sys_calloc(1, sizeof(*m));
	op = m ? op_new(d, c, NULL, "merge") : NULL;
	if (!op) {
		if (!m)
			call_fault(c, &f);
		free(m);
		return;
	}
	m->done = json_array();
	m->tips = json_object();
	m->onto = json_object();
	m->no_materialize = arg_bool(c, "no_materialize");
	op->data = m;
	op->data_free = merge_free;
	if (!source_name(op)) {
		op_fail(op, "Invalid", "no source was named: give agents or branches");
		return;
	}
	op_begin(op, next_source);
}
