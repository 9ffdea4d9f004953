/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One look at a repository: its open views are asked how far their journals are; where none moved since the last look
 * nothing else happens. Else one worker compares the pairs with a view that moved (radar_op.c), and its answer
 * takes the place of what was known of these pairs.
 *
 *     idle ──look──▶ asking ──all answered──▶ comparing ──worker's answer──▶ idle
 *
 * Guarantees: (1) a repository has one look under way; who asks meanwhile waits for the next one, that sees
 * what he wrote; (2) an overlap of lines or of a declaration is told to both agents once in the life of the two views
 * (state_told(), durable before it is told), whatever dies in between; (3) views that are away keep what was known
 * of them; views that are gone are forgotten.
 */
#include "radar.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "cleanup.h"
#include "daemon.h"
#include "log.h"
#include "mail.h"
#include "op.h"
#include "sys.h"

enum { FIRST_LOOK_S = 3, WHERE_SAID = 60 };

struct radar_waiter {
	radar_fn fn;
	void *user;
	struct radar_waiter *prev, *next;
};

/* What is known of one repository. */
struct area {
	struct radar *radar;
	char *repository;
	json_t *overlaps; /* array of Overlap */
	json_t *seqs;	  /* view id → journal's sequence number that was compared */
	json_t *asked;	  /* agents of the look under way */
	size_t pending;
	bool busy, again;
	struct radar_waiter *waiting, *later;
	struct area *prev, *next;
};

struct radar {
	struct daemon *d;
	struct area *areas;
	sd_event_source *timer;
};

static void area_free(struct area *a)
{
	struct radar_waiter *w, *t;

	DL_FOREACH_SAFE (a->waiting, w, t)
		free(w);
	DL_FOREACH_SAFE (a->later, w, t)
		free(w);
	json_decref(a->overlaps);
	json_decref(a->seqs);
	json_decref(a->asked);
	free(a->repository);
	free(a);
}

static struct area *area_get(struct radar *r, const char *repository)
{
	struct area *a;

	DL_FOREACH (r->areas, a)
		if (strcmp(a->repository, repository) == 0)
			return a;
	a = sys_calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	a->radar = r;
	a->repository = sys_strdup(repository);
	a->overlaps = json_array();
	a->seqs = json_object();
	if (!a->repository || !a->overlaps || !a->seqs) {
		area_free(a);
		return NULL;
	}
	DL_APPEND(r->areas, a);
	return a;
}

static bool in_area(const struct area *a, const struct view *v)
{
	return view_is_open(v) && strcmp(v->row.repository, a->repository) == 0;
}

/* ---- telling ---- */

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static struct view *view_of(struct radar *r, const json_t *overlap, size_t i)
{
	const char *agent =
		json_string_value(json_array_get(json_object_get(overlap, "agents"), i));

	return agent ? views_get(r->d->views, agent) : NULL;
}

/* How much of a declaration's first line is said: no character is cut in two. */
static int said_of(const char *where)
{
	size_t n = strlen(where);

	if (n > WHERE_SAID)
		for (n = WHERE_SAID; n > 0 && ((unsigned char)where[n] & 0xc0) == 0x80;)
			n--;
	return (int)n;
}

/* "bob changes src/a.c (int f(void)) too: the same lines, which conflict", as `to` is told. Caller frees. */
static char *sentence(struct radar *r, const json_t *o, const struct view *to,
		      const struct view *other)
{
	const char *where = text_of(json_array_get(json_object_get(o, "places"), 0), "declaration");
	const char *kind = text_of(o, "kind"), *name = text_of(o, "name");
	const char *gone = json_is_true(json_object_get(o, "changed")) ? "changes" : "removes";
	char *s = NULL;
	int k;

	if (strcmp(kind, "use") == 0)
		k = view_of(r, o, 1) == to
			    ? asprintf(&s, "%s %s %s (%s), which this view newly uses in %s",
				       other->row.agent, gone, name, text_of(o, "declared_in"),
				       text_of(o, "path"))
			    : asprintf(&s, "%s newly uses %s (%s), which this view %s",
				       other->row.agent, name, text_of(o, "path"), gone);
	else
		k = asprintf(&s, "%s changes %s%s%.*s%s%s too%s", other->row.agent,
			     text_of(o, "path"), *where ? " (" : "", said_of(where), where,
			     said_of(where) < (int)strlen(where) ? " …" : "", *where ? ")" : "",
			     strcmp(kind, "declaration") == 0 || strcmp(kind, "file") == 0 ? ""
			     : *text_of(o, "tier") ? ": the same lines, which a rule resolves"
			     : strcmp(kind, "lines") == 0 ? ": the same lines, which conflict"
							  : ", in a way that conflicts");
	return k < 0 ? NULL : s;
}

static void tell_one(struct radar *r, const json_t *o, struct view *to, struct view *other)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	_cleanup_free_ char *text = sentence(r, o, to, other);
	json_t *payload = json_pack("{s:s,s:s,s:s,s:s,s:s}", "agentName", other->row.agent,
				    "taskId", other->row.task, "path", text_of(o, "path"), "kind",
				    text_of(o, "kind"), "text", text ? text : "");

	events_emit(r->d->events, "overlap", to->row.agent, to->row.id, to->row.uid, "%s",
		    text ? text : "");
	if (mail_send(r->d, "overlap", "radar", to->row.agent, payload, &e) < 0)
		(void)log_warning(e.code, "%s: %s has no mail of an overlap", err_text(&e),
				  to->row.agent);
	json_decref(payload);
}

/* What needs no word: they are in one file, far from each other. */
static bool worth_telling(const json_t *o)
{
	return strcmp(text_of(o, "kind"), "file") != 0;
}

static void tell_new(struct radar *r, const json_t *o)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct view *a = view_of(r, o, 0), *b = view_of(r, o, 1);
	bool first = a && b && strcmp(a->row.id, b->row.id) < 0;
	_cleanup_free_ char *key = NULL;
	int k;

	if (!a || !b || !worth_telling(o))
		return;
	if (asprintf(&key, "%s %s %s\n%s", first ? a->row.id : b->row.id,
		     first ? b->row.id : a->row.id, text_of(o, "path"),
		     text_of(json_array_get(json_object_get(o, "places"), 0), "declaration")) < 0)
		return;
	k = state_tell(r->d->db, key, &e);
	if (k < 0)
		(void)log_warning(k, "%s: the overlap of %s and %s in '%s' is not told",
				  err_text(&e), a->row.agent, b->row.agent, text_of(o, "path"));
	if (k <= 0)
		return;
	tell_one(r, o, a, b);
	tell_one(r, o, b, a);
}

/* ---- a look ---- */

static void area_look(struct area *a);

static void look_ended(struct area *a, struct fault *f)
{
	struct radar_waiter *w, *t, *list = a->waiting;

	a->busy = false;
	a->waiting = a->later;
	a->later = NULL;
	if (a->waiting)
		area_look(a);
	DL_FOREACH_SAFE (list, w, t) {
		w->fn(f, w->user);
		free(w);
	}
}

static bool names(const json_t *agents, const json_t *name)
{
	const char *s = json_string_value(name);
	json_t *o;
	size_t i;

	json_array_foreach (agents, i, o)
		if (s && strcmp(json_string_value(o), s) == 0)
			return true;
	return false;
}

/* Pairs with a view that was compared anew, or that is gone, make room. */
static void forget(struct area *a, const json_t *changed)
{
	for (size_t i = json_array_size(a->overlaps); i-- > 0;) {
		json_t *o = json_array_get(a->overlaps, i), *agents = json_object_get(o, "agents");
		bool gone = false;

		for (size_t k = 0; k < 2; k++) {
			struct view *v = view_of(a->radar, o, k);

			gone |= !v || !in_area(a, v) || names(changed, json_array_get(agents, k));
		}
		if (gone)
			(void)json_array_remove(a->overlaps, i);
	}
}

static void count_overlaps(struct area *a)
{
	struct views *vs = a->radar->d->views;
	json_t *o;
	size_t i;

	for (struct view *v = views_next(vs, NULL); v; v = views_next(vs, v))
		if (in_area(a, v))
			v->overlaps = 0;
	json_array_foreach (a->overlaps, i, o)
		for (size_t k = 0; k < 2; k++) {
			struct view *v = view_of(a->radar, o, k);

			if (v && worth_telling(o))
				v->overlaps++;
		}
}

static void keep_seqs(struct area *a, const json_t *views)
{
	json_t *o;
	size_t i;

	json_array_foreach (views, i, o) {
		struct view *v = views_get(a->radar->d->views, text_of(o, "agent"));

		if (v && in_area(a, v))
			(void)json_object_set(a->seqs, v->row.id, json_object_get(o, "seq"));
	}
}

static void on_compared(struct op *op, json_t *ok, struct fault *f)
{
	struct area *a = op->data;
	json_t *o;
	size_t i;

	op->data = NULL;
	if (ok) {
		forget(a, a->asked);
		keep_seqs(a, json_object_get(ok, "views"));
		json_array_foreach (json_object_get(ok, "overlaps"), i, o) {
			(void)json_array_append(a->overlaps, o);
			tell_new(a->radar, o);
		}
		count_overlaps(a);
	}
	look_ended(a, ok ? NULL : f);
	op_end(op, json_object(), NULL);
}

static void compare(struct op *op)
{
	struct area *a = op->data;
	struct daemon *d = op->d;
	json_t *q = op_request(op, "radar"), *views = json_array();

	for (struct view *v = views_next(d->views, NULL); v; v = views_next(d->views, v)) {
		char dir[4096];

		if (in_area(a, v) && view_dir_path(v, dir, sizeof(dir)) == 0)
			(void)json_array_append_new(
				views, json_pack("{s:s,s:s}", "agent", v->row.agent, "dir", dir));
	}
	(void)json_object_set_new(q, "repo", json_string(a->repository));
	(void)json_object_set_new(q, "views", views);
	(void)json_object_set(q, "changed", a->asked);
	(void)json_object_set_new(
		q, "cost_of_wrong",
		json_integer(config_cost_of_wrong(&d->config, a->repository, false)));
	op_task(op, q, on_compared);
}

/* Those that moved since they were compared last. */
static json_t *moved(struct area *a)
{
	struct views *vs = a->radar->d->views;
	json_t *agents = json_array();

	for (struct view *v = views_next(vs, NULL); v; v = views_next(vs, v)) {
		const json_t *seq = json_object_get(a->seqs, v->row.id);

		if (in_area(a, v) && (!seq || (uint64_t)json_integer_value(seq) != v->stats.seq))
			(void)json_array_append_new(agents, json_string(v->row.agent));
	}
	return agents;
}

static void all_answered(struct area *a)
{
	struct op *op;

	json_decref(a->asked);
	a->asked = moved(a);
	if (json_array_size(a->asked) == 0) {
		forget(a, a->asked);
		count_overlaps(a);
		look_ended(a, NULL);
		return;
	}
	op = op_new(a->radar->d, NULL, NULL, "radar");
	if (!op) {
		struct fault f = FAULT_INIT;

		look_ended(a, &f);
		return;
	}
	op->data = a;
	op_begin(op, compare);
}

static void on_asked(struct view *v, int r, const char *why, void *user)
{
	struct area *a = user;

	if (--a->pending == 0)
		all_answered(a);
}

static void area_look(struct area *a)
{
	struct views *vs = a->radar->d->views;

	a->busy = true;
	a->pending = 1;
	for (struct view *v = views_next(vs, NULL); v; v = views_next(vs, v))
		if (in_area(a, v)) {
			a->pending++;
			view_refresh(v, on_asked, a);
		}
	on_asked(NULL, 0, "", a);
}

void radar_look(struct radar *r, const char *repository, radar_fn fn, void *user)
{
	struct area *a = area_get(r, repository);
	struct radar_waiter *w = sys_calloc(1, sizeof(*w));
	struct fault f = FAULT_INIT;

	if (!a || !w) {
		free(w);
		fn(&f, user);
		return;
	}
	*w = (struct radar_waiter){.fn = fn, .user = user};
	if (a->busy) {
		DL_APPEND(a->later, w);
		return;
	}
	DL_APPEND(a->waiting, w);
	area_look(a);
}

/* ---- what is known ---- */

static int badness(const json_t *o)
{
	static const char *const kinds[] = {"file", "declaration", "lines", "use"};
	const char *kind = text_of(o, "kind");
	int n = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kind, kinds[i]) == 0)
			n = (int)i;
	return *text_of(o, "tier") ? n : 10; /* needs a person */
}

static int by_badness(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	int k = badness(y) - badness(x);

	return k ? k : strcmp(text_of(x, "path"), text_of(y, "path"));
}

static json_t *sorted(json_t *all)
{
	size_t n = json_array_size(all);
	_cleanup_free_ json_t **v = calloc(n + 1, sizeof(*v));
	json_t *ret = json_array();

	for (size_t i = 0; v && i < n; i++)
		v[i] = json_array_get(all, i);
	if (v)
		qsort(v, n, sizeof(*v), by_badness);
	for (size_t i = 0; v && i < n; i++)
		(void)json_array_append(ret, v[i]);
	json_decref(all);
	return ret;
}

json_t *radar_overlaps(struct radar *r, const char *repository, const char *agent, uid_t uid)
{
	json_t *found = json_array(), *o;
	struct area *a;
	size_t i;

	DL_FOREACH (r->areas, a) {
		if (repository && strcmp(repository, a->repository) != 0)
			continue;
		json_array_foreach (a->overlaps, i, o) {
			struct view *x = view_of(r, o, 0), *y = view_of(r, o, 1);

			if (!x || !y || !may_use(x, uid) || !may_use(y, uid))
				continue;
			if (!agent || strcmp(x->row.agent, agent) == 0 ||
			    strcmp(y->row.agent, agent) == 0)
				(void)json_array_append(found, o);
		}
	}
	return sorted(found);
}

void radar_notes(struct radar *r, const struct view *v, json_t *notes)
{
	json_t *all = radar_overlaps(r, v->row.repository, v->row.agent, v->row.uid), *o;
	size_t i;

	json_array_foreach (all, i, o) {
		struct view *a = view_of(r, o, 0), *b = view_of(r, o, 1);
		_cleanup_free_ char *text =
			worth_telling(o) ? sentence(r, o, v, a == v ? b : a) : NULL;

		if (text)
			(void)json_array_append_new(notes, json_string(text));
	}
	json_decref(all);
}

/* ---- by itself ---- */

static void on_looked(struct fault *f, void *user)
{
	if (f && f->message)
		(void)log_warning(0, "the radar sees nothing of '%s': %s", (char *)user,
				  f->message);
	free(user);
}

/* Repositories with at least two open views. */
static void look_around(struct radar *r)
{
	struct views *vs = r->d->views;

	for (struct view *v = views_next(vs, NULL); v; v = views_next(vs, v)) {
		struct area *a = *v->row.repository ? area_get(r, v->row.repository) : NULL;
		unsigned n = 0, before = 0;
		char *name;
		bool seen = false;

		for (struct view *o = views_next(vs, NULL); a && o; o = views_next(vs, o)) {
			seen |= o == v;
			n += in_area(a, o);
			before += !seen && in_area(a, o);
		}
		name = a && in_area(a, v) && !before && n > 1 && !a->busy
			       ? sys_strdup(a->repository)
			       : NULL;
		if (name)
			radar_look(r, name, on_looked, name);
	}
}

static int on_timer(sd_event_source *s, uint64_t usec, void *user)
{
	struct radar *r = user;
	unsigned every = config_radar_every(&r->d->config);

	if (every) {
		look_around(r);
		(void)sd_event_source_set_time_relative(s, every * UINT64_C(1000000));
		(void)sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	}
	return 0;
}

void radar_reconfigure(struct radar *r)
{
	unsigned every = config_radar_every(&r->d->config);

	(void)sd_event_source_set_enabled(r->timer, every ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
	if (every)
		(void)sd_event_source_set_time_relative(r->timer, every * UINT64_C(1000000));
}

int radar_new(struct daemon *d, struct radar **ret)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct radar *r = sys_calloc(1, sizeof(*r));
	int k;

	if (!r)
		return -ENOMEM;
	r->d = d;
	k = sd_event_add_time_relative(d->event, &r->timer, CLOCK_MONOTONIC,
				       FIRST_LOOK_S * UINT64_C(1000000), 100000, on_timer, r);
	if (k < 0) {
		free(r);
		return k;
	}
	if (state_told_forget(d->db, &e) < 0)
		(void)log_warning(e.code, "%s, ignoring", err_text(&e));
	*ret = r;
	return 0;
}

void radar_free(struct radar *r)
{
	struct area *a, *t;

	if (!r)
		return;
	DL_FOREACH_SAFE (r->areas, a, t)
		area_free(a);
	(void)sd_event_source_disable_unref(r->timer);
	free(r);
}
