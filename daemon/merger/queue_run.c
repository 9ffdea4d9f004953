/* SPDX-License-Identifier: Apache-2.0 */
/* The queue as a whole: its lanes, what waits for what, and its start. */
#include "queue_run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "cleanup.h"
#include "log.h"
#include "mail.h"
#include "queue_parts.h"
#include "state_queue.h"
#include "sys.h"

enum { NAP_US = 100 * 1000 };

/* ---- looking whether something may go on ---- */

static void run_lanes(struct queue *q)
{
	struct request *r, *tmp;
	struct lane *l;

	DL_FOREACH_SAFE (q->over, r, tmp) {
		DL_DELETE(q->over, r);
		request_free(r);
	}
	if (q->d->ending)
		return;
	DL_FOREACH (q->lanes, l)
		if (state_paused(q->d->db, l->repository) == 0)
			lane_run(l);
}

/* A request that waits for a moment has nobody who would wake it. */
static void nap(struct queue *q)
{
	uint64_t now = sys_now_ns();
	struct request *r;
	bool needed = false;

	DL_FOREACH (q->requests, r)
		needed |= r->at.state == QUEUE_PENDING && r->at.not_before > now;
	if (needed) {
		(void)sd_event_source_set_time_relative(q->timer, NAP_US);
		(void)sd_event_source_set_enabled(q->timer, SD_EVENT_ONESHOT);
	}
}

static int on_soon(sd_event_source *s, void *user)
{
	run_lanes(user);
	nap(user);
	return 0;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *user)
{
	queue_kick(user);
	return 0;
}

void queue_kick(struct queue *q)
{
	if (q)
		(void)sd_event_source_set_enabled(q->soon, SD_EVENT_ONESHOT);
}

int queue_new(struct daemon *d, struct queue **ret)
{
	struct queue *q = sys_calloc(1, sizeof(*q));
	int r = q ? 0 : -ENOMEM;

	if (r < 0)
		return r;
	q->d = d;
	r = sd_event_add_defer(d->event, &q->soon, on_soon, q);
	if (r >= 0)
		r = sd_event_source_set_enabled(q->soon, SD_EVENT_OFF);
	if (r >= 0)
		r = sd_event_add_time_relative(d->event, &q->timer, CLOCK_MONOTONIC, 0, 0, on_timer,
					       q);
	if (r >= 0)
		r = sd_event_source_set_enabled(q->timer, SD_EVENT_OFF);
	if (r < 0) {
		queue_free(q);
		return r;
	}
	*ret = q;
	return 0;
}

void queue_free(struct queue *q)
{
	struct merged_task *m, *mtmp;
	struct request *r, *rtmp;
	struct lane *l, *ltmp;

	if (!q)
		return;
	(void)sd_event_source_disable_unref(q->soon);
	(void)sd_event_source_disable_unref(q->timer);
	DL_CONCAT(q->requests, q->over);
	DL_FOREACH_SAFE (q->requests, r, rtmp)
		request_free(r);
	DL_FOREACH_SAFE (q->lanes, l, ltmp) {
		lane_free(l);
	}
	DL_FOREACH_SAFE (q->merged, m, mtmp) {
		free(m->repository);
		free(m->task);
		free(m->view_id);
		free(m);
	}
	free(q);
}

void lane_free(struct lane *l)
{
	for (size_t i = 0; i < ARRAY_SIZE(l->trains); i++)
		train_free(l->trains[i]);
	free(l->repository);
	free(l->target);
	free(l);
}

struct lane *lane_of(struct queue *q, const char *repository, const char *target)
{
	struct lane *l;

	DL_FOREACH (q->lanes, l)
		if (strcmp(l->repository, repository) == 0 && strcmp(l->target, target) == 0)
			return l;
	l = sys_calloc(1, sizeof(*l));
	if (!l)
		return NULL;
	*l = (struct lane){.q = q,
			   .repository = sys_strdup(repository),
			   .target = sys_strdup(target),
			   .window = QUEUE_WINDOW_START};
	if (!l->repository || !l->target) {
		lane_free(l);
		return NULL;
	}
	DL_APPEND(q->lanes, l);
	return l;
}

/* ---- its start ---- */

/* Landings that a kill cut off are asked for again, as they were. */
static void land_again(struct queue *q)
{
	struct request *v[TRAIN_MAX], *r;
	struct lane *l;

	DL_FOREACH (q->lanes, l) {
		size_t n = 0;

		DL_FOREACH (q->requests, r)
			if (r->at.landing && n < TRAIN_MAX &&
			    lane_of(q, r->repository, r->target) == l &&
			    (n == 0 ||
			     strcmp(request_text(r, "top"), request_text(v[0], "top")) == 0))
				v[n++] = r;
		if (n > 0)
			train_land_again(l, v, n);
	}
}

/* A kill came before all of a batch was written down: then nothing of it lands. */
static void check_batch(struct queue *q, struct request *r)
{
	int64_t batch = request_int(r, "batch"), size = request_int(r, "batch_size");
	struct request *o;

	if (!batch || r->at.state != QUEUE_PENDING)
		return;
	DL_FOREACH (q->requests, o)
		size -= request_int(o, "batch") == batch;
	if (size > 0)
		(void)request_fail(r, "Conflict",
				   "the batch was cut off before all of it was asked for");
}

int queue_take_up(struct queue *q, struct err *reterr)
{
	struct request *r, **v;
	size_t n = 0, k = 0;
	int e = request_load(q);

	if (e < 0)
		return err_set(reterr, e, "the merge queue cannot be read");
	DL_FOREACH (q->requests, r)
		n++;
	v = sys_calloc(n + 1, sizeof(struct request *));
	if (!v)
		return -ENOMEM;
	DL_FOREACH (q->requests, r)
		v[k++] = r;
	for (size_t i = 0; i < n; i++) {
		r = v[i];
		if (lane_of(q, r->repository, r->target) && queue_is_final(r->at.state))
			request_tell(r);
		else if (r->at.state != QUEUE_PENDING || *request_text(r, "keep"))
			(void)request_step(r, QUEUE_RESTART, NULL);
	}
	for (size_t i = 0; i < n; i++)
		check_batch(q, v[i]);
	free(v);
	land_again(q);
	queue_kick(q);
	return 0;
}

/* ---- requests ---- */

int queue_add(struct queue *q, struct queue_ask *ask, struct request **ret, struct err *reterr)
{
	uint64_t now = sys_now_ns();
	struct request *r = request_new(q, now, ask->uid, ask->gid, ask->repository, ask->target,
					ask->source, ask->facts);
	_cleanup_free_ char *facts = r ? json_dumps(r->facts, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	struct state_request row = {.time = now,
				    .uid = ask->uid,
				    .gid = ask->gid,
				    .repository = ask->repository,
				    .target = ask->target,
				    .source = ask->source,
				    .state = queue_state_name(QUEUE_PENDING),
				    .facts = facts};
	struct state_step first = {now, "asked", row.state, ""};
	int e = facts && lane_of(q, ask->repository, ask->target) ? 0 : -ENOMEM;

	queue_failpoint("before", "asked");
	if (e == 0)
		e = state_request_add(q->d->db, &row, &first, reterr);
	if (e < 0) {
		if (r)
			request_free(r);
		return e;
	}
	queue_failpoint("after", "asked");
	r->id = row.id;
	r->at.since = now;
	DL_APPEND(q->requests, r);
	events_emit(q->d->events, "merge", NULL, NULL, r->uid,
		    "merge request %lld (%s -> %s): pending", (long long)r->id, r->source,
		    r->target);
	queue_kick(q);
	*ret = r;
	return 0;
}

json_t *queue_view_facts(const struct view *v)
{
	const struct view_row *row = &v->row;

	return json_pack("{s:s,s:s,s:s,s:s}", "branch", row->branch, "agent", row->agent, "task",
			 row->task, "view_id", row->id);
}

int queue_add_view(struct daemon *d, struct view *v, uid_t uid, gid_t gid, int64_t *ret_id,
		   struct fault *f)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct queue_ask ask = {.uid = uid,
				.gid = gid,
				.repository = v->row.repository,
				.target = v->row.target,
				.source = v->row.agent};
	struct request *r;

	if (!*v->row.target)
		return fault_set(f, "Invalid",
				 "the base of agent '%s' was taken from no branch: merge it with "
				 "--into BRANCH",
				 v->row.agent);
	DL_FOREACH (d->queue->requests, r)
		if (!queue_is_final(r->at.state) && !r->at.landing &&
		    strcmp(request_text(r, "view_id"), v->row.id) == 0 &&
		    r->at.state == QUEUE_PENDING) {
			*ret_id = r->id; /* it waits already: what it has by then is merged */
			return 0;
		}
	ask.facts = queue_view_facts(v);
	if (queue_add(d->queue, &ask, &r, &e) < 0)
		return queue_not_kept(f, &e);
	*ret_id = r->id;
	return 0;
}

struct request *queue_get(struct queue *q, int64_t id)
{
	struct request *r;

	DL_FOREACH (q->requests, r)
		if (r->id == id)
			return r;
	return NULL;
}

struct request *queue_next(struct queue *q, struct request *r)
{
	return r ? r->next : q->requests;
}

/* ---- what waits for what ---- */

int merged_task_add(struct queue *q, const char *repository, const char *task, const char *view_id)
{
	struct merged_task *m;

	if (!view_id || !*view_id)
		return 0;
	m = sys_calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	*m = (struct merged_task){sys_strdup(repository), sys_strdup(task ? task : ""),
				  sys_strdup(view_id), NULL, NULL};
	DL_APPEND(q->merged, m);
	return 0;
}

static bool is_merged(const struct queue *q, const char *repository, const char *task,
		      const char *view_id)
{
	const struct merged_task *m;

	DL_FOREACH (q->merged, m)
		if (strcmp(m->repository, repository) == 0 &&
		    (!task || strcmp(m->task, task) == 0) &&
		    (!view_id || strcmp(m->view_id, view_id) == 0))
			return true;
	return false;
}

struct order {
	struct request *r;
	struct view *views[256]; /* of the same series, made before it; NULL: gone */
	char series[80];
	char *why;
};

int queue_not_kept(struct fault *f, struct err *e)
{
	bool locked = e->code == -EBUSY;
	int r = fault_from_err(f, e, NULL);

	if (locked)
		(void)fault_remedy(
			f, "another program holds the daemon's state database: nothing was merged; "
			   "try again when it is done");
	return r;
}

/* The request's own line: what it is after. */
static int own_order(const char *view_id, const char *after, const char *series, void *user)
{
	struct order *o = user;

	if (strcmp(view_id, request_text(o->r, "view_id")) != 0)
		return 0;
	(void)snprintf(o->series, sizeof(o->series), "%s", series);
	while (*after) {
		size_t n = strcspn(after, "\n");
		_cleanup_free_ char *task = strndup(after, n);

		if (task && !is_merged(o->r->queue, o->r->repository, task, NULL) && !o->why &&
		    asprintf(&o->why, "task '%s' is not merged yet", task) < 0)
			o->why = NULL;
		after += n + (after[n] == '\n');
	}
	return 1;
}

static int series_order(const char *view_id, const char *after, const char *series, void *user)
{
	struct order *o = user;
	struct views *vs = o->r->queue->d->views;
	struct view *v;

	if (strcmp(view_id, request_text(o->r, "view_id")) == 0)
		return 1; /* those behind it wait for it */
	if (strcmp(series, o->series) != 0 || o->why)
		return 0;
	for (v = views_next(vs, NULL); v; v = views_next(vs, v))
		if (strcmp(v->row.id, view_id) == 0 && view_is_open(v) &&
		    strcmp(v->row.repository, o->r->repository) == 0 &&
		    !is_merged(o->r->queue, v->row.repository, NULL, view_id) &&
		    asprintf(&o->why, "'%s' is before it in the series '%s'", v->row.agent,
			     series) < 0)
			o->why = NULL;
	return 0;
}

static char *waits_for_view(struct request *r)
{
	struct view *v = *request_text(r, "agent")
				 ? views_get(r->queue->d->views, request_text(r, "agent"))
				 : NULL;
	char *why = NULL;

	if (v && (v->phase == PHASE_STARTING || v->phase == PHASE_GREETING) &&
	    asprintf(&why, "its view is being mounted") < 0)
		why = NULL;
	return why;
}

static char *waits_for_other(struct request *r)
{
	struct request *before = queue_get(r->queue, request_int(r, "needs"));
	char *why = NULL;

	if (before && asprintf(&why, "request %lld is before it", (long long)before->id) < 0)
		why = NULL;
	return why;
}

char *request_waits(struct request *r)
{
	struct order o = {.r = r};

	if (r->at.state == QUEUE_READY && r->at.approval && !r->at.approved)
		return strdup("its approval");
	if (r->at.state != QUEUE_PENDING)
		return NULL;
	if (state_paused(r->queue->d->db, r->repository) > 0)
		return strdup("the queue is paused");
	o.why = waits_for_other(r);
	if (!o.why)
		o.why = waits_for_view(r);
	if (o.why || !*request_text(r, "view_id"))
		return o.why;
	(void)state_view_orders(r->queue->d->db, own_order, &o, NULL);
	if (!o.why && *o.series)
		(void)state_view_orders(r->queue->d->db, series_order, &o, NULL);
	return o.why;
}

/* ---- the order ---- */

/* With how many others of them it shares a path, as far as is known. */
static size_t overlaps(struct request **v, size_t n, const struct request *r)
{
	json_t *mine = json_object_get(r->facts, "paths"), *p, *o;
	size_t count = 0, i, j;

	for (size_t k = 0; k < n && json_array_size(mine) > 0; k++) {
		bool hit = false;

		if (v[k] == r || json_array_size(mine) > 64)
			continue;
		json_array_foreach (mine, i, p)
			json_array_foreach (json_object_get(v[k]->facts, "paths"), j, o)
				hit = hit || json_equal(p, o);
		count += hit;
	}
	return count;
}

static size_t paths_of(const struct request *r)
{
	const struct view *v = *request_text(r, "agent")
				       ? views_get(r->queue->d->views, request_text(r, "agent"))
				       : NULL;
	size_t known = json_array_size(json_object_get(r->facts, "paths"));

	return known ? known : v ? (size_t)v->stats.changed : 0;
}

size_t queue_items(struct queue *q, const char *repository, const char *target,
		   struct queue_item **ret, struct request ***ret_requests)
{
	struct request *r, **v;
	struct queue_item *items;
	size_t n = 0, k = 0;

	DL_FOREACH (q->requests, r)
		n++;
	v = sys_calloc(n + 1, sizeof(struct request *));
	items = sys_calloc(n + 1, sizeof(*items));
	DL_FOREACH (q->requests, r)
		if (v && items && r->at.state == QUEUE_PENDING && strcmp(r->target, target) == 0 &&
		    strcmp(r->repository, repository) == 0)
			v[k++] = r;
	for (size_t i = 0; i < k; i++) {
		_cleanup_free_ char *why = request_waits(v[i]);

		items[i] = (struct queue_item){.id = v[i]->id,
					       .time = v[i]->time,
					       .turn = v[i]->at.not_before,
					       .rank = request_int(v[i], "rank"),
					       .paths = paths_of(v[i]),
					       .overlaps = overlaps(v, k, v[i]),
					       .uid = v[i]->uid,
					       .waits = why != NULL,
					       .alone = request_is(v[i], "alone"),
					       .limit = (unsigned)request_int(v[i], "limit"),
					       .batch = request_int(v[i], "batch")};
	}
	*ret = items;
	*ret_requests = v;
	return k;
}
