/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Audit: a worker reads the journals and its records are passed on as they come. A peer that reads
 * slowly slows the worker down, not the daemon; one that goes away ends it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "methods.h"
#include "op.h"
#include "sys.h"

enum { PENDING_MAX = 4 << 20, COLLECT_MAX = 500000 };

struct audit {
	struct call *call;
	struct task *task; /* NULL once it has ended */
	json_t *records;   /* without `more`: all of them */
	bool follow, paused;
};

static void audit_free(struct audit *a)
{
	json_decref(a->records);
	free(a);
}

static void on_records(json_t *records, void *user)
{
	struct audit *a = user;

	if (!a->call->in.more) {
		if (json_array_size(a->records) < COLLECT_MAX)
			(void)json_array_extend(a->records, records);
		return;
	}
	call_reply_more(a->call, json_pack("{s:O}", "records", records));
	if (call_pending(a->call) > PENDING_MAX && !a->paused) {
		a->paused = true;
		task_pause(a->task, true);
	}
}

static void on_drained(struct call *c, void *user)
{
	struct audit *a = user;

	if (a->paused && a->task)
		task_pause(a->task, false);
	a->paused = false;
}

static void on_done(json_t *ok, struct fault *f, void *user)
{
	struct audit *a = user;
	struct call *c = a->call;
	json_t *records = a->records ? json_incref(a->records) : json_array();

	c->gone = c->drained = NULL;
	if (!ok) {
		call_fault(c, f);
	} else if (json_array_size(records) >= COLLECT_MAX) {
		struct fault g = FAULT_INIT;

		(void)fault_set(&g, "TooLarge", "more than %d records match", COLLECT_MAX);
		(void)fault_remedy(&g, "ask for fewer (-n, --since), or call with `more`");
		call_fault(c, &g);
	} else {
		call_reply(c, json_pack("{s:O}", "records", records));
	}
	json_decref(records);
	audit_free(a);
}

static void on_gone(struct call *c, void *user)
{
	struct audit *a = user;

	task_cancel(a->task);
	audit_free(a);
	call_reply(c, NULL); /* nobody hears it; it frees the call */
}

struct wanted {
	struct daemon *d;
	struct call *call;
	json_t *views, *agents;
	size_t found;
};

static bool is_asked_for(json_t *agents, const char *agent)
{
	json_t *s;
	size_t i;

	if (json_array_size(agents) == 0)
		return true;
	json_array_foreach (agents, i, s)
		if (strcmp(json_string_value(s), agent) == 0)
			return true;
	return false;
}

static int add_view(const struct view_row *row, void *user)
{
	struct wanted *w = user;
	const char *state = w->d->paths.state;
	json_t *dir;

	if ((w->call->uid != 0 && row->uid != w->call->uid) || row->state == VIEW_CREATING ||
	    !is_asked_for(w->agents, row->agent))
		return 0;
	dir = row->state == VIEW_CLOSED ? json_sprintf("%s/closed/%s", state, row->id)
					: json_sprintf("%s/views/%s", state, row->agent);
	w->found++;
	return json_array_append_new(w->views, json_pack("{s:s,s:s,s:o}", "agent", row->agent,
							 "view_id", row->id, "dir", dir)) < 0
		       ? -ENOMEM
		       : 0;
}

/* The views that the peer may see among those asked for; an unknown name is an error. */
static int choose_views(struct daemon *d, struct call *c, json_t **ret, struct fault *f)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct wanted w = {d, c, json_array(), json_object_get(c->in.parameters, "agents"), 0};
	int r = state_views(d->db, true, add_view, &w, &e);

	if (r < 0)
		r = fault_from_err(f, &e, NULL);
	else if (w.found == 0 && json_array_size(w.agents) > 0)
		r = fault_set(f, "NotFound", "there is and was no agent '%s'",
			      json_string_value(json_array_get(w.agents, 0)));
	if (r < 0) {
		json_decref(w.views);
		return r;
	}
	*ret = w.views;
	return 0;
}

static json_t *audit_request(struct daemon *d, struct call *c, json_t *views)
{
	json_t *q = json_deep_copy(c->in.parameters);
	bool control = arg_bool(c, "control");

	(void)json_object_del(q, "agents");
	/* "op" of a worker's request is the worker's. */
	(void)json_object_set(q, "ops", json_object_get(q, "op"));
	(void)json_object_update_new(q, json_pack("{s:s,s:s,s:I,s:I,s:o}", "op", "audit", "state",
						  d->paths.state, "peer_uid", (json_int_t)c->uid,
						  "peer_gid", (json_int_t)c->gid, "views", views));
	(void)json_object_set_new(q, "control_dir",
				  control ? json_sprintf("%s/control-journal", d->paths.state)
					  : json_null());
	return q;
}

void method_audit(struct daemon *d, struct call *c)
{
	static const struct task_callbacks cb = {.done = on_done, .records = on_records};
	struct audit *a = sys_calloc(1, sizeof(*a));
	bool follow = arg_bool(c, "follow");
	struct fault f = FAULT_INIT;
	json_t *views = NULL;
	int r = a ? 0 : -ENOMEM;

	if (r == 0 && follow && !c->in.more) {
		free(a);
		call_service_error(c, "ExpectedMore", NULL, NULL);
		return;
	}
	if (r == 0 && arg_bool(c, "control") && c->uid != 0 && d->system)
		r = fault_set(&f, "Denied",
			      "only root may read the control journal of the system daemon");
	if (r == 0)
		r = choose_views(d, c, &views, &f);
	if (r == 0) {
		a->call = c;
		a->follow = follow;
		a->records = c->in.more ? NULL : json_array();
		r = task_start(d->tasks, audit_request(d, c, views), &cb, a,
			       follow ? TASK_FOLLOW : 0, &a->task);
	}
	if (r < 0) {
		call_fault(c, &f);
		if (a)
			audit_free(a);
		return;
	}
	c->user = a;
	c->gone = on_gone;
	c->drained = on_drained;
}
