/* SPDX-License-Identifier: Apache-2.0 */
/* Tiers 3 and 4: what the request says, what is kept over a merge, and what is told of it. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "policy_pattern.h"
#include "tier_parts.h"

enum { TEXT_MAX = 8192 };

json_t *tier_text(struct text t)
{
	return worker_text(t.n ? t.p : "", t.n < TEXT_MAX ? t.n : TEXT_MAX);
}

void tier_note(struct tier_ai *t, const char *fmt, ...)
{
	_cleanup_free_ char *text = NULL;
	json_t *o;
	va_list ap;
	size_t i;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	json_array_foreach (t->notes, i, o)
		if (text && strcmp(json_string_value(o), text) == 0)
			return;
	if (text)
		(void)json_array_append_new(t->notes, worker_text(text, strlen(text)));
}

/* Its record here, of which live merges keep count. */
static struct evidence record_of(const struct worker *w, const char *label)
{
	json_t *all = json_object_get(json_object_get(w->req, "records"), w->repo.common), *o;
	size_t i;

	json_array_foreach (all, i, o) {
		const char *name = json_string_value(json_object_get(o, "resolver"));

		if (name && strcmp(name, label) == 0)
			return (struct evidence){
				(unsigned int)json_integer_value(json_object_get(o, "fired")),
				(unsigned int)json_integer_value(json_object_get(o, "right"))};
	}
	return (struct evidence){0};
}

static int read_resolvers(struct tier_ai *t, const json_t *all)
{
	json_t *o;
	size_t i;

	t->v = calloc(json_array_size(all) + 1, sizeof(*t->v));
	if (!t->v)
		return -ENOMEM;
	json_array_foreach (all, i, o) {
		struct tier_resolver *v = &t->v[t->n];
		const char *name = json_string_value(json_object_get(o, "name"));

		*v = (struct tier_resolver){.name = name ? name : "?", .settings = o};
		if (asprintf(&v->label, "ai:%s", v->name) < 0) {
			v->label = NULL;
			return -ENOMEM;
		}
		v->record = record_of(t->w, v->label);
		v->without = worker_str(t->w, "without") &&
			     strcmp(worker_str(t->w, "without"), v->label) == 0;
		v->without_path = worker_str(t->w, "without_path");
		t->n++;
	}
	return 0;
}

static struct tier_cost cost_of(const json_t *o)
{
	return (struct tier_cost){json_integer_value(json_object_get(o, "calls")),
				  json_integer_value(json_object_get(o, "ms")),
				  json_integer_value(json_object_get(o, "tokens"))};
}

static json_t *cost_json(const struct tier_cost *c)
{
	return json_pack("{s:I,s:I,s:I}", "calls", (json_int_t)c->calls, "ms", (json_int_t)c->ms,
			 "tokens", (json_int_t)c->tokens);
}

int tier_ai_new(struct worker *w, struct tier_ai **ret)
{
	json_t *ai = json_object_get(w->req, "ai");
	const json_t *budget = json_object_get(ai, "budget");
	struct tier_ai *t;

	*ret = NULL;
	if (!json_is_object(ai))
		return 0;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->w = w;
	t->settings = ai;
	t->ask = json_is_true(json_object_get(ai, "ask"));
	t->reimagine = json_is_true(json_object_get(ai, "reimagine"));
	t->verify = worker_bool(w, "hold") && worker_bool(w, "verify");
	t->by_day = json_is_true(json_object_get(budget, "by_day"));
	t->history = json_object_get(w->req, "history");
	t->cost_of_wrong = (unsigned int)worker_int(w, "cost_of_wrong", COST_OF_WRONG);
	t->left = cost_of(budget);
	t->before = t->spent = cost_of(json_object_get(ai, "spent"));
	t->asked = json_array();
	t->notes = json_array();
	*ret = t;
	return read_resolvers(t, json_object_get(ai, "resolvers"));
}

void tier_ai_free(struct tier_ai *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		free(t->v[i].label);
	/* Of many merges of one request each goes on where the one before it stopped. */
	(void)json_object_set_new(t->settings, "spent", cost_json(&t->spent));
	(void)json_object_update_new(json_object_get(t->settings, "budget"), cost_json(&t->left));
	free(t->v);
	json_decref(t->asked);
	json_decref(t->notes);
	free(t);
}

void tier_ai_begin(struct tier_ai *t, const git_oid *ours, const git_oid *theirs,
		   const char *source, const char *into)
{
	t->ours = *ours;
	t->theirs = *theirs;
	t->source = source;
	t->into = into;
	t->gave_up = t->needs_verify = false;
	t->unasked = 0;
	(void)json_array_clear(t->notes);
}

void tier_ai_give_up(struct tier_ai *t)
{
	t->gave_up = true;
}

void tier_ai_hopeless(struct tier_ai *t, const char *path)
{
	if (t->ask && !t->gave_up)
		tier_note(t, "no resolver was asked: '%s' is a conflict that none can resolve",
			  path);
	t->gave_up = true;
}

bool tier_ai_needs_verify(const struct tier_ai *t)
{
	return t->needs_verify;
}

/* Patterns as in .gitignore: the last that matches decides. */
static bool paths_have(const json_t *patterns, const char *path)
{
	const struct pattern_path at = {.p = path, .n = strlen(path)};
	bool has = false;
	json_t *o;
	size_t i;

	json_array_foreach (patterns, i, o) {
		struct pattern *p = NULL;
		const char *why;

		if (pattern_compile(json_string_value(o), &p, &why) == 0 && pattern_covers(p, &at))
			has = !pattern_negated(p);
		pattern_free(p);
	}
	return has;
}

bool tier_applies(const struct tier_resolver *v, const char *path)
{
	const json_t *languages = json_object_get(v->settings, "languages"),
		     *paths = json_object_get(v->settings, "paths");
	const char *is = language_of(path)->name;
	bool known = json_array_size(languages) == 0;
	json_t *o;
	size_t i;

	json_array_foreach (languages, i, o)
		known |= strcmp(json_string_value(o), is) == 0;
	if (v->without && (!v->without_path || strcmp(v->without_path, path) == 0))
		return false;
	return known && !v->failed && (json_array_size(paths) == 0 || paths_have(paths, path));
}

bool tier_askable(struct tier_ai *t, const char *path, const struct text whole[SIDES],
		  bool generated)
{
	enum path_class class = path_class_of(path);

	if (t->gave_up || t->exhausted || generated || class == PATH_LOCK ||
	    class == PATH_GENERATED)
		return false;
	if (ai_askable(whole))
		return true;
	tier_note(t,
		  "no resolver was asked about '%s': it is longer than 256 KiB, or no UTF-8 text",
		  path);
	return false;
}

int tier_ai_tell(struct tier_ai *t, json_t *merged, json_t *notes)
{
	const struct tier_cost cost = {t->spent.calls - t->before.calls, t->spent.ms - t->before.ms,
				       t->spent.tokens - t->before.tokens};
	int r = 0;

	if (t->unasked)
		tier_note(
			t,
			"a dry run asks no resolver about the %zu conflict%s that no rule resolves: "
			"--ask-models does",
			t->unasked, t->unasked == 1 ? "" : "s");
	r = json_array_extend(notes, t->notes);
	if (r == 0 && cost.calls)
		r = json_object_set(merged, "asked", t->asked);
	if (r == 0 && cost.calls)
		r = json_object_set_new(merged, "cost", cost_json(&cost));
	if (r == 0 && t->needs_verify)
		r = json_object_set_new(merged, "needs_verify", json_true());
	return r < 0 ? -ENOMEM : 0;
}

json_t *tier_ai_spent(const struct tier_ai *t)
{
	json_t *o = cost_json(&t->spent);

	(void)json_object_set(o, "reservation", json_object_get(t->settings, "reservation"));
	if (json_object_get(t->settings, "fresh"))
		(void)json_object_set(o, "said", json_object_get(t->settings, "fresh"));
	return o;
}
