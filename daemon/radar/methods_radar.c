/* SPDX-License-Identifier: Apache-2.0 */
/* Method Radar: looks at the repositories that are asked about, then tells what is known. */
#include <string.h>

#include "cleanup.h"
#include "methods.h"
#include "op.h"
#include "radar.h"
#include "sys.h"

struct asked {
	struct op *op;
	size_t pending;
	bool failed;
	json_t *repositories; /* common git folders, as keys */
};

static void asked_free(void *p)
{
	struct asked *a = p;

	json_decref(a->repositories);
	free(a);
}

static void finish(struct op *op)
{
	struct asked *a = op->data;
	const char *agent = arg_str(op->call, "agent"), *repository;
	json_t *all = json_array(), *one, *tmp;
	void *next;

	json_object_foreach_safe(a->repositories, next, repository, tmp)
	{
		one = radar_overlaps(op->d->radar, repository, agent, op->uid);
		(void)json_array_extend(all, one);
		json_decref(one);
	}
	op_end(op, json_pack("{s:o}", "overlaps", all), NULL);
}

static void on_looked(struct fault *f, void *user)
{
	struct op *op = user;
	struct asked *a = op->data;
	bool last = --a->pending == 0;

	if (f && !a->failed) {
		struct fault mine = FAULT_INIT;

		a->failed = true;
		(void)fault_set(&mine, f->id ? f->id : "Internal", "%s",
				f->message ? f->message : "the daemon has no memory for this");
		if (last) {
			op_end(op, NULL, &mine);
			return;
		}
		fault_release(&mine);
	}
	if (last && a->failed)
		op_fail(op, "Internal",
			"a repository could not be looked at: see the daemon's log");
	else if (last)
		finish(op);
}

static void look(struct op *op)
{
	struct asked *a = op->data;
	const char *repository;
	json_t *tmp;
	void *next;

	a->pending = json_object_size(a->repositories) + 1;
	json_object_foreach_safe(a->repositories, next, repository, tmp)
		radar_look(op->d->radar, repository, on_looked, op);
	on_looked(NULL, op);
}

/* The repositories of the views that the caller may use; where one was named, only that. */
static void gather(struct op *op, const char *wanted)
{
	struct asked *a = op->data;
	struct views *vs = op->d->views;

	for (struct view *v = views_next(vs, NULL); v; v = views_next(vs, v))
		if (view_is_open(v) && may_use(v, op->uid) && *v->row.repository &&
		    (!wanted || strcmp(wanted, v->row.repository) == 0))
			(void)json_object_set_new(a->repositories, v->row.repository, json_true());
	look(op);
}

static void on_repository(struct op *op, json_t *ok, struct fault *f)
{
	const char *common = json_string_value(json_object_get(ok, "repository"));

	if (!ok || !common)
		op_end(op, NULL, f);
	else
		gather(op, common);
}

static void start(struct op *op)
{
	const char *agent = arg_str(op->call, "agent"), *repo = arg_str(op->call, "repository");
	struct fault f = FAULT_INIT;
	struct view *v = NULL;
	json_t *q;

	if (agent && find_view(op->d, op->call, agent, &v, &f) < 0) {
		op_end(op, NULL, &f);
		return;
	}
	if (v || !repo) {
		gather(op, v ? v->row.repository : NULL);
		return;
	}
	q = op_request(op, "repository");
	(void)json_object_set_new(q, "repo", json_string(repo));
	op_task(op, q, on_repository);
}

void method_radar(struct daemon *d, struct call *c)
{
	struct asked *a = sys_calloc(1, sizeof(*a));
	struct op *op = a ? op_new(d, c, NULL, "radar") : NULL;

	if (!op) {
		struct fault f = FAULT_INIT;

		if (!a)
			call_fault(c, &f);
		free(a);
		return;
	}
	a->op = op;
	a->repositories = json_object();
	op->data = a;
	op->data_free = asked_free;
	op_begin(op, start);
}
