/* SPDX-License-Identifier: Apache-2.0 */
/* Methods that look at views: List, Show, Which, Status, Wait. Nobody's answer waits on a dead view. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "agentfs_config.h"
#include "cleanup.h"
#include "methods.h"
#include "mountpoint.h"
#include "op.h"
#include "queue_run.h"
#include "sys.h"

enum { DISTANCE_FRESH_S = 3, DENIALS = 10 };

static uint64_t monotonic_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/*
 * A look at some views: each is asked for its stats, and one worker for each repository for the distances of
 * the branches that are not fresh; then `ready` is called. A view that goes meanwhile is left out.
 */
struct look {
	struct daemon *d;
	struct call *call;
	char **agents;
	size_t n, pending;
	json_t *denials; /* Show */
	void (*ready)(struct look *l);
};

static void look_free(struct look *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->agents[i]);
	free(l->agents);
	json_decref(l->denials);
	free(l);
}

static void look_done(struct look *l)
{
	if (--l->pending > 0)
		return;
	l->ready(l);
	look_free(l);
}

static void on_stats(struct view *v, int r, const char *why, void *user)
{
	look_done(user);
}

/* One worker measures all branches of a repository that a look wants to know. */
struct distances {
	struct look *look;
	char **agents;
	size_t n;
};

static void distances_free(struct distances *q)
{
	for (size_t i = 0; i < q->n; i++)
		free(q->agents[i]);
	free(q->agents);
	free(q);
}

static void on_distances(json_t *ok, struct fault *f, void *user)
{
	struct distances *q = user;
	const json_t *all = json_object_get(ok, "distances");

	for (size_t i = 0; i < q->n; i++) {
		struct view *v = views_get(q->look->d->views, q->agents[i]);
		const json_t *d = json_array_get(all, i);

		if (!v)
			continue;
		if (json_is_object(d)) {
			v->distance.ahead = json_integer_value(json_object_get(d, "ahead"));
			v->distance.behind = json_integer_value(json_object_get(d, "behind"));
		}
		/* One that cannot be told is not asked at once again. */
		v->distance.at = monotonic_ns();
	}
	look_done(q->look);
	distances_free(q);
}

static bool wants_distance(const struct view *v)
{
	uint64_t age = monotonic_ns() - v->distance.at;

	return view_is_open(v) &&
	       (!v->distance.at || age >= DISTANCE_FRESH_S * UINT64_C(1000000000));
}

static int add_branch(struct distances *q, json_t *branches, const struct view *v)
{
	q->agents[q->n] = sys_strdup(v->row.agent);
	if (!q->agents[q->n])
		return -ENOMEM;
	q->n++;
	return json_array_append_new(branches,
				     json_pack("{s:s,s:s,s:s}", "branch", v->row.branch, "target",
					       v->row.target, "base", v->row.base));
}

/* The views of the look from place `from` on that are of one repository and want it; `asked` says which
 * have been asked for. */
static void ask_repository(struct look *l, size_t from, bool *asked)
{
	static const struct task_callbacks cb = {.done = on_distances};
	const struct op who = {.d = l->d, .uid = l->call->uid, .gid = l->call->gid};
	const struct view *first = views_get(l->d->views, l->agents[from]);
	struct distances *q = sys_calloc(1, sizeof(*q));
	json_t *branches = json_array(), *request = op_request(&who, "distances");
	int r = -ENOMEM;

	if (q) {
		q->look = l;
		q->agents = sys_calloc(l->n, sizeof(*q->agents));
		r = q->agents ? 0 : -ENOMEM;
	}
	for (size_t i = from; i < l->n; i++) {
		const struct view *v = views_get(l->d->views, l->agents[i]);

		if (asked[i] || !v || strcmp(v->row.repository, first->row.repository) != 0)
			continue;
		asked[i] = true;
		if (r == 0 && wants_distance(v))
			r = add_branch(q, branches, v);
	}
	(void)json_object_set_new(request, "repo", json_string(first->row.repository));
	(void)json_object_set_new(request, "branches", branches);
	if (r == 0 && q->n && task_start(l->d->tasks, json_incref(request), &cb, q, 0, NULL) == 0)
		l->pending++;
	else if (q)
		distances_free(q);
	json_decref(request);
}

static void ask_distances(struct look *l)
{
	_cleanup_free_ bool *asked = sys_calloc(l->n + 1, sizeof(*asked));

	for (size_t i = 0; asked && i < l->n; i++)
		if (!asked[i] && views_get(l->d->views, l->agents[i]))
			ask_repository(l, i, asked);
}

static void on_denials(json_t *records, void *user)
{
	struct look *l = user;

	(void)json_array_extend(l->denials, records);
}

static void on_denials_done(json_t *ok, struct fault *f, void *user)
{
	look_done(user);
}

static void ask_denials(struct look *l, const struct view *v)
{
	static const struct task_callbacks cb = {.records = on_denials, .done = on_denials_done};
	const struct op who = {.d = l->d, .uid = l->call->uid, .gid = l->call->gid};
	json_t *q = op_request(&who, "audit");
	char dir[4096];

	l->denials = json_array();
	if (view_dir_path(v, dir, sizeof(dir)) < 0)
		return;
	(void)json_object_update_new(q, json_pack("{s:[{s:s,s:s,s:s}],s:n,s:s,s:i,s:b}", "views",
						  "agent", v->row.agent, "view_id", v->row.id,
						  "dir", dir, "control_dir", "result", "denied",
						  "last", DENIALS, "git", 1));
	if (task_start(l->d->tasks, q, &cb, l, 0, NULL) == 0)
		l->pending++;
}

static struct look *look_new(struct daemon *d, struct call *c, size_t max,
			     void (*ready)(struct look *))
{
	struct look *l = sys_calloc(1, sizeof(*l));

	if (l)
		l->agents = sys_calloc(max + 1, sizeof(*l->agents));
	if (!l || !l->agents) {
		struct fault f = FAULT_INIT;

		free(l);
		call_fault(c, &f);
		return NULL;
	}
	l->d = d;
	l->call = c;
	l->ready = ready;
	l->pending = 1; /* ours, until all was asked */
	return l;
}

static void look_at(struct look *l, struct view *v)
{
	l->agents[l->n] = sys_strdup(v->row.agent);
	if (!l->agents[l->n])
		return;
	l->n++;
	l->pending++;
	view_refresh(v, on_stats, l);
}

/* ---- List, Show, Which ---- */

static void list_ready(struct look *l)
{
	json_t *a = json_array();

	for (size_t i = 0; i < l->n; i++) {
		struct view *v = views_get(l->d->views, l->agents[i]);

		if (v)
			(void)json_array_append_new(a, view_json(v));
	}
	call_reply(l->call, json_pack("{s:o}", "views", a));
}

bool in_repository(const struct view *v, const char *path)
{
	return !path || strcmp(v->row.asked_repository, path) == 0 ||
	       path_is_below(path, v->row.repository) ||
	       (*v->row.worktree && path_is_below(path, v->row.worktree));
}

void method_list(struct daemon *d, struct call *c)
{
	const char *repo = arg_str(c, "repository");
	struct look *l = look_new(d, c, views_count(d->views), list_ready);
	struct view *v;

	if (!l)
		return;
	for (v = views_next(d->views, NULL); v; v = views_next(d->views, v))
		if (may_use(v, c->uid) && in_repository(v, repo))
			look_at(l, v);
	ask_distances(l);
	look_done(l);
}

static void show_ready(struct look *l)
{
	struct view *v = l->n ? views_get(l->d->views, l->agents[0]) : NULL;
	struct fault f = FAULT_INIT;
	json_t *notes;

	if (!v) {
		(void)fault_set(&f, "NotFound", "the view has gone meanwhile");
		call_fault(l->call, &f);
		return;
	}
	notes = json_array();
	if (strcmp(view_status(v), "stale") == 0)
		(void)json_array_append_new(notes, json_sprintf("its server is away: %s", v->why));
	call_reply(l->call, json_pack("{s:o,s:o,s:O}", "view", view_json(v), "notes", notes,
				      "denials", l->denials));
}

void method_show(struct daemon *d, struct call *c)
{
	struct fault f = FAULT_INIT;
	struct view *v;
	struct look *l;

	if (find_view(d, c, arg_str(c, "agent"), &v, &f) < 0) {
		call_fault(c, &f);
		return;
	}
	l = look_new(d, c, 1, show_ready);
	if (!l)
		return;
	look_at(l, v);
	ask_distances(l);
	ask_denials(l, v);
	look_done(l);
}

void method_which(struct daemon *d, struct call *c)
{
	_cleanup_free_ char *path = mountpoint_clean(arg_str(c, "path"));
	struct fault f = FAULT_INIT;
	struct view *v;

	for (v = path ? views_next(d->views, NULL) : NULL; v; v = views_next(d->views, v))
		if (path_is_below(path, v->row.mount) && may_use(v, c->uid)) {
			call_reply(c, json_pack("{s:o}", "view", view_json(v)));
			return;
		}
	(void)fault_set(&f, "NotFound", "'%s' is in no view", arg_str(c, "path"));
	(void)fault_remedy(&f, "name the agent, or go into its view");
	call_fault(c, &f);
}

/* ---- Status ---- */

void method_status(struct daemon *d, struct call *c)
{
	struct view *v;
	int n = 0;

	for (v = views_next(d->views, NULL); v; v = views_next(d->views, v))
		n += may_use(v, c->uid);
	call_reply(c, json_pack("{s:s,s:i,s:s,s:s,s:s,s:s,s:i,s:o}", "version", AGENTFS_VERSION,
				"pid", (int)getpid(), "kind", d->system ? "system" : "user",
				"state_dir", d->paths.state, "run_dir", d->paths.run, "mounts",
				d->paths.mounts, "views", n, "started", json_time(d->started)));
}

/* ---- Wait ---- */

struct waiter {
	struct daemon *d;
	struct call *call;
	char *agent, *state;
	sd_event_source *timer;
	struct waiter *prev, *next;
};

static struct waiter *waiters;

/* Takes a waiter out; its call is the caller's. */
static struct call *waiter_take(struct waiter *w)
{
	struct call *c = w->call;

	DL_DELETE(waiters, w);
	(void)sd_event_source_disable_unref(w->timer);
	c->gone = NULL;
	free(w->agent);
	free(w->state);
	free(w);
	return c;
}

static void on_waiter_gone(struct call *c, void *user)
{
	call_reply(waiter_take(user), NULL);
}

static int on_waiter_timeout(sd_event_source *s, uint64_t usec, void *user)
{
	struct waiter *w = user;
	struct fault f = FAULT_INIT;

	(void)fault_set(&f, "Timeout", "the view of agent '%s' is not %s yet", w->agent, w->state);
	call_fault(waiter_take(w), &f);
	return 0;
}

static bool reached(struct daemon *d, const char *agent, const char *state, struct view **ret)
{
	*ret = views_get(d->views, agent);
	return *ret ? strcmp(view_status(*ret), state) == 0 : strcmp(state, "closed") == 0;
}

static void answer_waiter(struct call *c, struct view *v)
{
	call_reply(c, v ? json_pack("{s:o}", "view", view_json(v)) : json_object());
}

void waiters_check(struct daemon *d, const char *agent)
{
	struct waiter *w, *tmp;
	struct view *v;

	DL_FOREACH_SAFE (waiters, w, tmp)
		if (strcmp(w->agent, agent) == 0 && reached(d, agent, w->state, &v))
			answer_waiter(waiter_take(w), v);
}

void method_wait(struct daemon *d, struct call *c)
{
	static const char *const known[] = {"creating", "live", "frozen", "stale", "closed"};
	const char *agent = arg_str(c, "target"), *state = arg_str(c, "state");
	int64_t timeout = arg_int(c, "timeout", -1);
	struct fault f = FAULT_INIT;
	bool fits = false;
	struct waiter *w;
	struct view *v;

	if (!views_get(d->views, agent) && queue_wait(d, c))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		fits |= strcmp(state, known[i]) == 0;
	if (!fits)
		(void)fault_set(&f, "Invalid",
				"'%s' is no state of a view: creating, live, frozen, stale "
				"or closed",
				state);
	else if (strcmp(state, "closed") != 0 || views_get(d->views, agent))
		(void)find_view(d, c, agent, &v, &f);
	if (f.id) {
		call_fault(c, &f);
		return;
	}
	if (reached(d, agent, state, &v)) {
		answer_waiter(c, v);
		return;
	}
	w = sys_calloc(1, sizeof(*w));
	if (w)
		*w = (struct waiter){d, c, sys_strdup(agent), sys_strdup(state), NULL, NULL, NULL};
	if (!w || !w->agent || !w->state ||
	    (timeout >= 0 && sd_event_add_time_relative(d->event, &w->timer, CLOCK_MONOTONIC,
							(uint64_t)timeout * 1000000, 0,
							on_waiter_timeout, w) < 0)) {
		if (w) {
			free(w->agent);
			free(w->state);
		}
		free(w);
		call_fault(c, &f);
		return;
	}
	c->gone = on_waiter_gone;
	c->user = w;
	DL_APPEND(waiters, w);
}

/* ---- Events ---- */

void method_events(struct daemon *d, struct call *c)
{
	struct fault f = FAULT_INIT;

	if (!c->in.more)
		call_service_error(c, "ExpectedMore", NULL, NULL);
	else if (events_subscribe(d->events, c) < 0)
		call_fault(c, &f);
}
