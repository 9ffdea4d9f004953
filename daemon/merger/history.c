/* SPDX-License-Identifier: Apache-2.0 */
/* Guarantee: what came of one merge is written wholly or not at all, and once. */
#include "history.h"

#include <string.h>

#include "cleanup.h"
#include "log.h"
#include "state_history.h"
#include "sys.h"

enum { PENDING_MAX = 20, REMEMBERED_MAX = 500, HISTORY_MAX = 200, WATCH_DAYS = 30 };
enum { REMEMBERED_BYTES = 1 << 20, HISTORY_BYTES = 256 << 10 };

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static uint32_t number_of(const json_t *o, const char *key)
{
	return (uint32_t)json_integer_value(json_object_get(o, key));
}

/* --- writing --- */

struct writing {
	struct state *db;
	struct state_attempt attempt;
	struct err *err;
};

static int put_said(struct writing *w, int64_t hunk, const json_t *o, bool taken)
{
	const char *who = text_of(o, "who");
	const struct state_said said = {.who = *who ? who : "resolver",
					.name = text_of(o, "resolver"),
					.taken = taken,
					.text = text_of(o, "text"),
					.class = text_of(o, "class"),
					.reason = text_of(o, "does"),
					.fired = number_of(o, "fired"),
					.right = number_of(o, "right"),
					.verdict = ""};

	return state_said_add(w->db, hunk, &said, w->err);
}

static bool is_short(const char *s)
{
	return strlen(s) < HISTORY_TEXT_MAX;
}

static int put_hunk(struct writing *w, const char *path, const json_t *o, bool resolved)
{
	struct state_hunk h = {.merge = w->attempt.merge,
			       .time = w->attempt.time,
			       .repository = w->attempt.repository,
			       .path = path,
			       .commit = "",
			       .line = json_integer_value(json_object_get(o, "line")),
			       .base = text_of(o, "base"),
			       .ours = text_of(o, "ours"),
			       .theirs = text_of(o, "theirs"),
			       .language = text_of(o, "language"),
			       .declaration = text_of(o, "declaration")};
	json_t *other;
	size_t i;
	int r;

	h.key = is_short(h.base) && is_short(h.ours) && is_short(h.theirs) ? text_of(o, "key") : "";
	r = state_hunk_add(w->db, &h, w->err);
	if (r == 0 && resolved)
		r = put_said(w, h.id, o, true);
	json_array_foreach (json_object_get(o, "candidates"), i, other)
		r = r < 0 ? r : put_said(w, h.id, other, false);
	return r;
}

/* The hunks of [{path, <member>: [hunk]}]. */
static int put_hunks(struct writing *w, const json_t *files, const char *member, bool resolved)
{
	json_t *file, *hunk;
	size_t i, k;
	int r = 0;

	json_array_foreach (files, i, file)
		json_array_foreach (json_object_get(file, member), k, hunk)
			r = r < 0 ? r : put_hunk(w, text_of(file, "path"), hunk, resolved);
	return r;
}

static bool has_hunks(const json_t *merged)
{
	json_t *conflict;
	size_t i;

	json_array_foreach (json_object_get(merged, "conflicts"), i, conflict)
		if (json_array_size(json_object_get(conflict, "hunks")))
			return true;
	return json_array_size(json_object_get(merged, "resolved")) > 0;
}

void history_write(struct daemon *d, const json_t *merged, int64_t merge)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	bool conflict = strcmp(text_of(merged, "state"), "conflict") == 0;
	struct writing w = {.db = d->db,
			    .err = &e,
			    .attempt = {.merge = merge,
					.time = sys_now_ns(),
					.repository = text_of(merged, "repository"),
					.source = text_of(merged, "source_branch"),
					.into = text_of(merged, "into"),
					.ours = text_of(merged, "target"),
					.theirs = text_of(merged, "source_commit"),
					.commit = text_of(merged, "commit"),
					.state = conflict ? "open" : "watched"}};
	int r;

	if (!has_hunks(merged))
		return;
	r = state_history_begin(d->db, &e);
	if (r == 0) {
		r = state_attempt_add(d->db, &w.attempt, &e);
		if (r == 0)
			r = put_hunks(&w, json_object_get(merged, "conflicts"), "hunks", false);
		if (r == 0)
			r = put_hunks(&w, json_object_get(merged, "resolved"), "conflicts", true);
		if (r == 0)
			r = state_history_prune(d->db, w.attempt.time, &e);
		r = state_history_end(d->db, r, &e);
	}
	if (r < 0)
		(void)log_warning(e.code, "%s: the merge itself is done", err_text(&e));
}

/* --- what became of it --- */

static int keep_hunk(struct daemon *d, const json_t *recalled, const json_t *o, struct err *e)
{
	int64_t hunk = json_integer_value(json_object_get(o, "hunk"));
	json_t *said;
	size_t i;
	int r = 0;

	if (json_is_string(json_object_get(o, "kept"))) {
		const struct state_said person = {.who = "person",
						  .name = text_of(recalled, "by"),
						  .taken = true,
						  .text = text_of(o, "kept"),
						  .class = text_of(o, "class"),
						  .reason = text_of(recalled, "commit"),
						  .verdict = ""};

		r = state_said_add(d->db, hunk, &person, e);
	} else {
		r = state_said_judge(d->db, hunk, "", text_of(o, "verdict"), e);
	}
	json_array_foreach (json_object_get(o, "said"), i, said)
		if (r == 0)
			r = state_said_judge(d->db, hunk, text_of(said, "resolver"),
					     text_of(said, "verdict"), e);
	return r;
}

/* Somebody else may have told it already: then it is not told again. */
static int keep_recalled(struct daemon *d, const json_t *o, struct err *e)
{
	int64_t merge = json_integer_value(json_object_get(o, "merge"));
	json_t *hunk;
	size_t i;
	int r = state_history_begin(d->db, e);

	if (r < 0)
		return r;
	r = state_attempt_set(d->db, merge, text_of(o, "state"), e);
	if (r > 0) {
		r = 0;
		json_array_foreach (json_object_get(o, "hunks"), i, hunk)
			r = r < 0 ? r : keep_hunk(d, o, hunk, e);
	}
	return state_history_end(d->db, r, e);
}

void history_recalled(struct daemon *d, json_t *answer)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	json_t *o;
	size_t i;
	int r = 0;

	json_array_foreach (json_object_get(answer, "recalled"), i, o)
		r = r < 0 ? r : keep_recalled(d, o, &e);
	if (r < 0)
		(void)log_warning(e.code,
				  "%s: what people made of earlier merges is looked for again "
				  "next time",
				  err_text(&e));
	(void)json_object_del(answer, "recalled");
}

static int learn_hunk(struct daemon *d, const char *repository, const json_t *o, struct err *e)
{
	struct state_hunk h = {.time = sys_now_ns(),
			       .repository = repository,
			       .path = text_of(o, "path"),
			       .commit = text_of(o, "commit"),
			       .line = json_integer_value(json_object_get(o, "line")),
			       .base = text_of(o, "base"),
			       .ours = text_of(o, "ours"),
			       .theirs = text_of(o, "theirs"),
			       .key = text_of(o, "key"),
			       .language = text_of(o, "language"),
			       .declaration = ""};
	const struct state_said person = {.who = "person",
					  .name = "",
					  .taken = true,
					  .text = text_of(o, "kept"),
					  .class = text_of(o, "class"),
					  .reason = h.commit,
					  .verdict = ""};
	int r = state_hunk_known(d->db, repository, h.commit, h.path, h.key, e);

	if (r != 0)
		return r < 0 ? r : 0;
	r = state_hunk_add(d->db, &h, e);
	return r < 0 ? r : state_said_add(d->db, h.id, &person, e);
}

void history_learned(struct daemon *d, json_t *answer)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	const json_t *kept = json_object_get(answer, "kept");
	int r = state_history_begin(d->db, &e);

	/* Newest first there; here what comes later counts more. */
	for (size_t i = json_array_size(kept); i-- > 0 && r == 0;)
		r = learn_hunk(d, text_of(answer, "repository"), json_array_get(kept, i), &e);
	if (r == 0)
		r = state_history_prune(d->db, sys_now_ns(), &e);
	if (e.code == 0 || r < 0)
		r = state_history_end(d->db, r, &e);
	if (r < 0)
		(void)log_warning(e.code, "%s: nothing is remembered of the history", err_text(&e));
	(void)json_object_del(answer, "kept");
}

/* --- what workers are told --- */

struct telling {
	struct daemon *d;
	char *repository; /* its common git folder */
	json_t *to;
	size_t bytes, bytes_max;
	struct err *err;
};

/* Is this repository, by its common git folder, the one that a path lies in? */
static bool lies_in(const char *path, const char *repository)
{
	size_t n = strlen(repository);

	if (strcmp(path, repository) == 0)
		return true;
	if (n > 5 && strcmp(repository + n - 5, "/.git") == 0)
		n -= 5;
	return strncmp(path, repository, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

struct finding {
	const char *path;
	char *found;
};

static int find(const struct state_record *r, void *user)
{
	struct finding *f = user;
	char *copy;

	if (!lies_in(f->path, r->repository) ||
	    (f->found && strlen(f->found) > strlen(r->repository)))
		return 0;
	copy = sys_strdup(r->repository);
	if (!copy)
		return -ENOMEM;
	free(f->found);
	f->found = copy;
	return 0;
}

static int tell_kept(const struct state_hunk *h, const struct state_said *said, void *user)
{
	struct telling *t = user;

	if (!said || !*h->key)
		return 0;
	t->bytes += strlen(h->path) + strlen(h->base) + strlen(h->ours) + strlen(h->theirs) +
		    strlen(said->text);
	if (t->bytes > t->bytes_max)
		return 1;
	return json_array_append_new(t->to,
				     json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "path", h->path, "base",
					       h->base, "ours", h->ours, "theirs", h->theirs,
					       "kept", said->text, "who", said->who)) < 0
		       ? -ENOMEM
		       : 0;
}

static int add_hunk(const struct state_hunk *h, const struct state_said *said, void *user)
{
	json_t *paths = user, *of = json_object_get(paths, h->path), *last;

	if (!*h->key)
		return 0;
	if (!of) {
		of = json_array();
		(void)json_object_set_new(paths, h->path, of);
	}
	last = json_array_get(of, json_array_size(of) - 1); /* a row for each thing said */
	if (json_integer_value(json_object_get(last, "hunk")) != h->id)
		(void)json_array_append_new(
			of, json_pack("{s:I,s:s}", "hunk", (json_int_t)h->id, "key", h->key));
	return 0;
}

static int tell_pending(const struct state_attempt *a, void *user)
{
	struct telling *t = user;
	const struct state_history_filter f = {.merge = a->merge, .limit = INT32_MAX};
	uint64_t age = (sys_now_ns() - a->time) / 1000000000 / 86400;
	json_t *paths;
	int r;

	if (strcmp(a->repository, t->repository) != 0)
		return 0;
	if (json_array_size(t->to) >= t->bytes_max)
		return 1;
	paths = json_object();
	r = state_history(t->d->db, &f, add_hunk, paths, t->err);
	(void)json_array_append_new(
		t->to, json_pack("{s:I,s:s,s:s,s:s,s:s,s:s,s:s,s:b,s:o}", "merge",
				 (json_int_t)a->merge, "state", a->state, "source", a->source,
				 "into", a->into, "ours", a->ours, "theirs", a->theirs, "commit",
				 a->commit, "old", age > WATCH_DAYS, "paths", paths));
	return r;
}

static json_t *told_pending(struct telling *t)
{
	json_t *all = t->to = json_array();
	int r;

	t->bytes_max = PENDING_MAX;
	r = state_attempts(t->d->db, "open", tell_pending, t, t->err);
	t->bytes_max = 2 * (size_t)PENDING_MAX;
	if (r >= 0)
		r = state_attempts(t->d->db, "watched", tell_pending, t, t->err);
	return all;
}

static json_t *told_kept(struct telling *t, bool person)
{
	const struct state_history_filter f = {.repository = t->repository,
					       .taken = true,
					       .person = person,
					       .limit = person ? REMEMBERED_MAX : HISTORY_MAX};
	json_t *all = t->to = json_array();

	t->bytes = 0;
	t->bytes_max = person ? REMEMBERED_BYTES : HISTORY_BYTES;
	if (!t->err->code)
		(void)state_history(t->d->db, &f, tell_kept, t, t->err);
	return all;
}

/* A live record on top of what was learned. */
static int add_live(const struct state_record *r, void *user)
{
	json_t *all = user, *of = json_object_get(all, r->repository), *o = NULL;
	size_t i;

	if (!of) {
		of = json_array();
		(void)json_object_set_new(all, r->repository, of);
	}
	json_array_foreach (of, i, o)
		if (strcmp(text_of(o, "resolver"), r->resolver) == 0 &&
		    strcmp(text_of(o, "language"), r->language) == 0 &&
		    strcmp(text_of(o, "paths"), r->paths) == 0)
			break;
	if (i == json_array_size(of)) {
		o = json_pack("{s:s,s:s,s:s}", "resolver", r->resolver, "language", r->language,
			      "paths", r->paths);
		(void)json_array_append_new(of, o);
	}
	(void)json_object_set_new(o, "fired", json_integer(number_of(o, "fired") + r->fired));
	(void)json_object_set_new(o, "right", json_integer(number_of(o, "right") + r->right));
	return 0;
}

void history_knows(struct daemon *d, const char *repository, json_t *request)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct finding f = {.path = repository};
	struct telling t = {.d = d, .err = &e};
	json_t *records = json_object_get(request, "records");

	if (state_history_repositories(d->db, find, &f, &e) >= 0 && f.found) {
		t.repository = f.found;
		(void)json_object_set_new(request, "pending", told_pending(&t));
		(void)json_object_set_new(request, "remembered", told_kept(&t, true));
		(void)json_object_set_new(request, "history", told_kept(&t, false));
	}
	if (!e.code && records)
		(void)state_live_records(d->db, add_live, records, &e);
	free(f.found);
	if (e.code)
		(void)log_warning(e.code, "%s: merging without it", err_text(&e));
}

static int add_repository(const struct state_attempt *a, void *user)
{
	json_t *all = user, *o;
	size_t i;

	json_array_foreach (all, i, o)
		if (strcmp(json_string_value(o), a->repository) == 0)
			return 0;
	return json_array_append_new(all, json_string(a->repository));
}

json_t *history_pending(struct daemon *d)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	json_t *all = json_array();

	if (state_attempts(d->db, "open", add_repository, all, &e) >= 0)
		(void)state_attempts(d->db, "watched", add_repository, all, &e);
	if (e.code)
		(void)log_warning(e.code, "%s", err_text(&e));
	return all;
}
