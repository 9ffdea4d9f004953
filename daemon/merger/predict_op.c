/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Op predict: what merging each source would come to, and in which order they go in best. Trial merges, as op merge
 * makes them in a dry run: no ref, index or file moves.
 *
 * The order is built step by step: next comes the source that merges by the cheapest tier on top of those before it, of
 * those the one that changes the fewest paths; sources that conflict come last.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "cleanup.h"
#include "worker_ops.h"
#include "worker_run.h"

enum { SOURCES_MAX = 20 };

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* One source on top of commit `onto` (NULL: the target's tip): type Merged, or {source, error}. Caller's reference. */
static json_t *try_one(struct worker *w, json_t *source, const char *onto)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	json_t *all = w->req, *ret = json_object();
	int r;

	w->req = json_copy(all);
	(void)json_object_update(w->req, source);
	(void)json_object_set_new(w->req, "dry_run", json_true());
	(void)json_object_del(w->req, "pending");
	if (onto)
		(void)json_object_set_new(w->req, "target_commit", json_string(onto));
	r = op_merge(w, ret, &e);
	json_decref(w->req);
	w->req = all;
	if (r < 0) {
		json_decref(ret);
		ret = json_pack("{s:s,s:s,s:s}", "state", "error", "id", worker_error_id(&e),
				"error", err_text(&e));
	}
	(void)json_object_set(ret, "source", json_object_get(source, "name"));
	return ret;
}

/* The lower the better; INT_MAX: it does not go in. */
static int cost_of(const json_t *merged)
{
	const char *state = str(merged, "state"), *tier = str(merged, "tier");
	int paths = (int)json_array_size(json_object_get(merged, "changes"));

	if (strcmp(state, "up_to_date") == 0)
		return 0;
	if (strcmp(state, "would_merge") != 0)
		return INT_MAX;
	return paths + (strcmp(tier, "clean-merge") == 0 ? 0 : 1 << 24);
}

/* Moves the best of the sources that are left to the end of the order. Returns what it made of the target, or NULL. */
static json_t *take_best(struct worker *w, json_t *left, json_t *order, const char *onto)
{
	json_t *best = NULL, *source;
	size_t i, at = 0;

	json_array_foreach (left, i, source) {
		json_t *merged = try_one(w, source, onto);

		if (!best || cost_of(merged) < cost_of(best)) {
			json_decref(best);
			best = merged;
			at = i;
		} else {
			json_decref(merged);
		}
	}
	(void)json_array_append(order, json_array_get(left, at));
	(void)json_array_remove(left, at);
	return best;
}

/* What becomes of a source on top of those before it. */
static json_t *step_of(const json_t *merged)
{
	json_t *paths = json_array(), *c;
	size_t i;

	json_array_foreach (json_object_get(merged, "conflicts"), i, c)
		(void)json_array_append(paths, json_object_get(c, "path"));
	return json_pack("{s:O,s:s,s:o}", "source", json_object_get(merged, "source"), "state",
			 str(merged, "state"), "conflicts", paths);
}

/* The names, best first; what each then does is appended to `steps`. */
static json_t *order_of(struct worker *w, json_t *sources, json_t *steps)
{
	json_t *left = json_copy(sources), *order = json_array(), *names = json_array(), *o;
	char onto[65] = "";
	size_t i;

	while (json_array_size(left)) {
		json_t *merged = take_best(w, left, order, *onto ? onto : NULL);

		if (*str(merged, "would"))
			(void)snprintf(onto, sizeof(onto), "%s", str(merged, "would"));
		(void)json_array_append_new(steps, step_of(merged));
		json_decref(merged);
	}
	json_array_foreach (order, i, o)
		(void)json_array_append(names, json_object_get(o, "name"));
	json_decref(left);
	json_decref(order);
	return names;
}

int op_predict(struct worker *w, json_t *ret, struct err *reterr)
{
	json_t *sources = json_incref(json_object_get(w->req, "sources")), *merges = json_array(),
	       *steps = json_array(), *source;
	size_t i;

	(void)json_object_set_new(ret, "merges", merges);
	if (!json_array_size(sources) || json_array_size(sources) > SOURCES_MAX) {
		json_decref(sources);
		json_decref(steps);
		return err_set_id(reterr, -EINVAL, "Invalid",
				  "from 1 to %d agents or branches can be looked at together",
				  SOURCES_MAX);
	}
	(void)json_object_del(w->req, "sources");
	json_array_foreach (sources, i, source)
		(void)json_array_append_new(merges, try_one(w, source, NULL));
	(void)json_object_set_new(ret, "in_order", steps);
	(void)json_object_set_new(ret, "order", order_of(w, sources, steps));
	(void)json_object_set_new(ret, "repository",
				  worker_text(w->repo.common, strlen(w->repo.common)));
	json_decref(sources);
	return 0;
}
