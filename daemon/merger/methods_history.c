/* SPDX-License-Identifier: Apache-2.0 */
/* Merges that were tried: what became of each, and why. A peer sees its own, root all. */
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "history.h"
#include "log.h"
#include "methods.h"
#include "op.h"
#include "state_history.h"
#include "sys.h"

enum { HISTORY_DEFAULT = 50, LOOKED_MAX = 4 };

struct history {
	uid_t uid;
	const char *repository, *path; /* NULL: any */
	int64_t last;
	json_t *merges;
	json_t *result; /* MergeExplain: type Merged */
};

/* The paths that a rule resolved, or that conflict. */
static json_t *paths_of(const json_t *result)
{
	static const char *const keys[] = {"resolved", "conflicts"};
	json_t *paths = json_array(), *o;
	size_t i;

	for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
		json_array_foreach (json_object_get(result, keys[k]), i, o)
			(void)json_array_append(paths, json_object_get(o, "path"));
	return paths;
}

static bool has_path(const json_t *paths, const char *path)
{
	json_t *o;
	size_t i;

	json_array_foreach (paths, i, o)
		if (json_is_string(o) && strcmp(json_string_value(o), path) == 0)
			return true;
	return false;
}

/* "" is nothing. */
static json_t *text_or_null(const char *s)
{
	return *s ? json_string(s) : json_null();
}

/* A repository is named by its common git folder, or by the worktree that this is the .git of. */
static bool same_repository(const char *asked, const char *is)
{
	size_t n = strlen(asked);

	while (n > 1 && asked[n - 1] == '/')
		n--;
	if (strncmp(asked, is, n) != 0)
		return false;
	return is[n] == '\0' || strcmp(is + n, "/.git") == 0;
}

static int one(const struct state_merge *m, void *user)
{
	struct history *h = user;
	json_t *result, *paths;

	if ((h->uid != 0 && h->uid != m->uid) ||
	    (h->repository && !same_repository(h->repository, m->repository)))
		return 0;
	result = json_loads(m->result, 0, NULL);
	paths = paths_of(result);
	if (!h->path || has_path(paths, h->path)) {
		(void)json_array_append_new(
			h->merges,
			json_pack("{s:I,s:o,s:s,s:s,s:s,s:s,s:o,s:o,s:O}", "merge",
				  (json_int_t)m->id, "time", json_time(m->time), "repository",
				  m->repository, "source", m->source, "into", m->into, "state",
				  m->state, "tier", text_or_null(m->tier), "commit",
				  text_or_null(m->commit), "paths", paths));
		h->last--;
		if (!h->result) {
			(void)json_object_del(result, "repository");
			h->result = json_incref(result);
		}
	}
	json_decref(paths);
	json_decref(result);
	return h->last > 0 ? 0 : 1;
}

static void answer_history(struct op *op)
{
	const struct call *c = op->call;
	struct history h = {.uid = op->uid,
			    .repository = arg_str(c, "repository"),
			    .path = arg_str(c, "path"),
			    .last = arg_int(c, "last", HISTORY_DEFAULT),
			    .merges = json_array()};
	_cleanup_(err_release) struct err e = ERR_INIT;
	int r = state_merges(op->d->db, 0, one, &h, &e);

	json_decref(h.result);
	if (r < 0) {
		json_decref(h.merges);
		op_fail(op, "Internal", "%s", err_text(&e));
		return;
	}
	op_end(op, json_pack("{s:o}", "merges", h.merges), NULL);
}

/* --- what people made of earlier merges is looked for first --- */

static void look_next(struct op *op);

/* A repository that is gone, or another's, is no reason not to answer. */
static void on_looked(struct op *op, json_t *ok, struct fault *f)
{
	if (ok)
		history_recalled(op->d, ok);
	look_next(op);
}

/* op->result: repositories that are still to be looked at. */
static void look_next(struct op *op)
{
	size_t n = json_array_size(op->result);
	json_t *q, *repository;

	if (n == 0) {
		(*(const op_fn *)op->data)(op);
		return;
	}
	repository = json_incref(json_array_get(op->result, n - 1));
	(void)json_array_remove(op->result, n - 1);
	q = op_request(op, "recall");
	(void)json_object_set(q, "repo", repository);
	history_knows(op->d, json_string_value(repository), q);
	json_decref(repository);
	op_task(op, q, on_looked);
}

static void look(struct op *op)
{
	op->result = history_pending(op->d);
	while (json_array_size(op->result) > LOOKED_MAX)
		(void)json_array_remove(op->result, 0);
	look_next(op);
}

static op_fn finish_history = answer_history;

void method_merge_history(struct daemon *d, struct call *c)
{
	struct op *op = op_new(d, c, NULL, "merge history");

	if (!op)
		return;
	op->data = &finish_history;
	if (arg_int(c, "last", HISTORY_DEFAULT) < 1)
		op_fail(op, "Invalid", "the number of merges to show is 1 or more");
	else
		op_begin(op, look);
}

/* --- one merge --- */

static json_t *said_json(const struct state_said *said)
{
	return json_pack("{s:s,s:s,s:b,s:s,s:s,s:s,s:I,s:I,s:o}", "who", said->who, "name",
			 said->name, "taken", said->taken, "text", said->text, "class", said->class,
			 "reason", said->reason, "fired", (json_int_t)said->fired, "right",
			 (json_int_t)said->right, "verdict", text_or_null(said->verdict));
}

/* Newest hunk first, so each new one goes to the front. */
static int tell_hunk(const struct state_hunk *h, const struct state_said *said, void *user)
{
	json_t *hunks = user, *o = json_array_get(hunks, 0);

	if (json_integer_value(json_object_get(o, "hunk")) != h->id) {
		o = json_pack("{s:I,s:s,s:I,s:s,s:s,s:s,s:s,s:o,s:[]}", "hunk", (json_int_t)h->id,
			      "path", h->path, "line", (json_int_t)h->line, "base", h->base, "ours",
			      h->ours, "theirs", h->theirs, "language", h->language, "declaration",
			      text_or_null(h->declaration), "said");
		if (!o || json_array_insert_new(hunks, 0, o) < 0)
			return -ENOMEM;
	}
	if (said)
		(void)json_array_append_new(json_object_get(o, "said"), said_json(said));
	return 0;
}

static void answer_explain(struct op *op)
{
	int64_t id = arg_int(op->call, "merge", 0);
	struct history h = {.uid = op->uid, .last = 1, .merges = json_array()};
	const struct state_history_filter f = {.merge = id, .limit = INT32_MAX};
	_cleanup_(err_release) struct err e = ERR_INIT;
	json_t *hunks = json_array();
	int r = id > 0 ? state_merges(op->d->db, id, one, &h, &e) : 0;

	/* Its conflicts as they were told then stand in the result as well. */
	if (r >= 0 && h.result && state_history(op->d->db, &f, tell_hunk, hunks, &e) < 0)
		(void)log_warning(e.code, "%s: explaining without it", err_text(&e));
	if (r < 0)
		op_fail(op, "Internal", "%s", err_text(&e));
	else if (!h.result)
		op_fail(op, "NotFound",
			"there is no merge %lld: agentfsctl merge history lists them",
			(long long)id);
	else
		op_end(op,
		       json_pack("{s:O,s:O,s:O}", "record", json_array_get(h.merges, 0), "result",
				 h.result, "hunks", hunks),
		       NULL);
	json_decref(h.merges);
	json_decref(h.result);
	json_decref(hunks);
}

static op_fn finish_explain = answer_explain;

void method_merge_explain(struct daemon *d, struct call *c)
{
	struct op *op = op_new(d, c, NULL, "merge explain");

	if (!op)
		return;
	op->data = &finish_explain;
	op_begin(op, look);
}
