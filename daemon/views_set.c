/* SPDX-License-Identifier: Apache-2.0 */
/* The set of open views, by agent, and what their servers say of themselves. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "sys.h"
#include "viewctl.h"
#include "views_internal.h"

enum { STATUS_TIMEOUT_MS = 3000 };

const char *view_status(const struct view *v)
{
	switch (v->row.state) {
	case VIEW_CREATING:
		return "creating";
	case VIEW_CLOSING:
	case VIEW_CLOSED:
		return "closed";
	case VIEW_FROZEN:
	case VIEW_LIVE:
	case VIEW_STATE_MAX:
		break;
	}
	if (v->phase != PHASE_LIVE)
		return "stale";
	return v->row.state == VIEW_FROZEN ? "frozen" : "live";
}

int views_new(const struct views_options *opt, struct views **ret)
{
	struct views *vs = sys_calloc(1, sizeof(*vs));

	if (!vs)
		return -ENOMEM;
	vs->opt = *opt;
	*ret = vs;
	return 0;
}

static void view_free(struct view *v)
{
	v->stop_asked = false;
	v->stopped = v->started = NULL;
	view_let_go(v);
	if (v->child) { /* stays with the event loop until the process was reaped */
		(void)sd_event_source_set_userdata(v->child, NULL);
		(void)sd_event_source_set_floating(v->child, 1);
		v->child = sd_event_source_unref(v->child);
	}
	buf_release(&v->ready_text);
	json_decref(v->redirects);
	view_row_release(&v->row);
	free(v);
}

void view_drop(struct view *v)
{
	struct views *vs = v->views;
	_cleanup_free_ char *agent = sys_strdup(v->row.agent);

	HASH_DEL(vs->all, v);
	view_free(v);
	if (agent && vs->opt.gone)
		vs->opt.gone(agent, vs->opt.user);
}

void views_free(struct views *vs)
{
	struct view *v, *tmp;

	if (!vs)
		return;
	HASH_ITER (hh, vs->all, v, tmp) {
		HASH_DEL(vs->all, v);
		view_free(v);
	}
	free(vs);
}

struct view *views_get(struct views *vs, const char *agent)
{
	struct view *v;

	HASH_FIND_STR(vs->all, agent, v);
	return v;
}

struct view *views_next(struct views *vs, struct view *v)
{
	return v ? v->hh.next : vs->all;
}

unsigned views_count(const struct views *vs)
{
	return HASH_COUNT(vs->all);
}

int views_add(struct views *vs, const struct view_row *row, bool adopt, struct view **ret,
	      struct err *reterr)
{
	struct view *v;
	int r;

	if (views_get(vs, row->agent))
		return err_set(reterr, -EEXIST, "the agent '%s' has a view", row->agent);
	v = sys_calloc(1, sizeof(*v));
	if (!v)
		return err_set(reterr, -ENOMEM, "no memory");
	v->views = vs;
	r = view_row_copy(row, &v->row);
	if (r == 0 && !adopt)
		r = state_view_add(vs->opt.db, row, reterr);
	if (r < 0) {
		view_free(v);
		return r;
	}
	HASH_ADD_KEYPTR(hh, vs->all, v->row.agent, strlen(v->row.agent), v);
	*ret = v;
	return 0;
}

int view_save(struct view *v, struct err *reterr)
{
	return state_view_update(v->views->opt.db, &v->row, reterr);
}

/* ---- stats ---- */

struct refresh {
	char *agent;
	struct views *views;
	view_fn fn;
	void *user;
};

static uint64_t number_of(const struct record *rec, const char *key)
{
	const char *p = rec->value.p, *end = p + rec->value.n;
	size_t n = strlen(key);

	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t line = (size_t)((nl ? nl : end) - p);
		char text[32];

		if (line > n + 1 && line - n - 1 < sizeof(text) && memcmp(p, key, n) == 0 &&
		    p[n] == ' ') {
			memcpy(text, p + n + 1, line - n - 1);
			text[line - n - 1] = '\0';
			return strtoull(text, NULL, 10);
		}
		p += line + 1;
	}
	return 0;
}

/* The lines "redirect STATE BYTES PATH". NULL: there are none. */
static json_t *redirects_of(const struct record *rec)
{
	_cleanup_free_ char *text = strndup(rec->value.p, rec->value.n);
	char *save = NULL, state[16];
	json_t *all = NULL;

	for (char *p = text ? strtok_r(text, "\n", &save) : NULL; p;
	     p = strtok_r(NULL, "\n", &save)) {
		unsigned long long bytes;
		int at = 0;
		json_t *path;

		if (sscanf(p, "redirect %15[a-z] %llu %n", state, &bytes, &at) < 2 || !at)
			continue;
		all = all ? all : json_array();
		path = json_string(p + at);
		path = path ? path : json_string("(not UTF-8)");
		(void)json_array_append_new(all, json_pack("{s:o,s:s,s:I}", "path", path, "state",
							   state, "bytes", (json_int_t)bytes));
	}
	return all;
}

static void on_status(int r, const struct record *rec, const char *text, void *user)
{
	struct refresh *q = user;
	struct view *v = views_get(q->views, q->agent);

	if (r >= 0 && v && RECORD_HAS(rec, F_VALUE)) {
		json_decref(v->redirects);
		v->redirects = redirects_of(rec);
	}
	if (r >= 0 && v && RECORD_HAS(rec, F_VALUE))
		v->stats = (struct view_stats){
			.seq = number_of(rec, "seq"),
			.changed = number_of(rec, "changed") + number_of(rec, "deleted"),
			.bytes = number_of(rec, "bytes"),
			.denied = number_of(rec, "denied"),
			.last_write = number_of(rec, "last-write"),
			.nodes = number_of(rec, "nodes"),
			.quota_bytes = number_of(rec, "quota-bytes"),
			.quota_nodes = number_of(rec, "quota-nodes"),
		};
	q->fn(v, r < 0 ? r : 0, text, q->user);
	free(q->agent);
	free(q);
}

void view_refresh(struct view *v, view_fn fn, void *user)
{
	struct record msg = {.type = VIEWCTL_STATUS};
	struct refresh *q = sys_calloc(1, sizeof(*q));
	int r = -ENOMEM;

	if (q) {
		*q = (struct refresh){sys_strdup(v->row.agent), v->views, fn, user};
		r = q->agent ? view_call(v, &msg, STATUS_TIMEOUT_MS, on_status, q) : -ENOMEM;
	}
	if (r < 0) {
		if (q)
			free(q->agent);
		free(q);
		fn(v, r, "", user);
	}
}
