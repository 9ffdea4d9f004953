/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which resolution breaks a verification: the same command runs on the merge with only the first of its resolved files
 * as they were resolved, the others as the target has them.
 *
 *     none of them ── fails ──► the merge breaks it by itself: no resolver is left out
 *        │ passes
 *        ▼
 *     the middle one of those between passes and fails … until they are neighbours ──► the file at which it begins to fail
 *
 * The better a file's record, the earlier it is in: where several break it, the weakest is found. For n files that is 1 +
 * log2(n) runs, rounded up: BISECT_RUNS at most, since of more than BISECT_MAX files none is looked for; then the weakest
 * record counts. Each run is a step of the request (event "bisect"). A kill during it begins with the merge anew.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "queue_parts.h"
#include "sys.h"
#include "verify.h"

enum { BISECT_MAX = 64, BISECT_RUNS = 7 };

/* A resolved file, by the weakest of its resolvers. */
struct resolved_file {
	const char *path, *resolver; /* borrowed from the request's result */
	double record;
};

struct bisect {
	struct resolved_file v[BISECT_MAX];
	size_t n;
	size_t passes, fails; /* how many of them it takes; the first run is about none */
	size_t now;
	unsigned int runs;
	json_t *said; /* of the whole merge */
};

void bisect_free(struct bisect *b)
{
	if (b)
		json_decref(b->said);
	free(b);
}

static double record_of(const json_t *conflict)
{
	double fired = (double)json_integer_value(json_object_get(conflict, "fired"));
	double right = (double)json_integer_value(json_object_get(conflict, "right"));

	return fired > 0.0 ? right / fired : 0.0;
}

static struct resolved_file file_of(const json_t *file)
{
	struct resolved_file f = {.path = json_string_value(json_object_get(file, "path")),
				  .record = 2.0};
	json_t *o;
	size_t i;

	json_array_foreach (json_object_get(file, "conflicts"), i, o) {
		const char *resolver = json_string_value(json_object_get(o, "resolver"));

		if (resolver && record_of(o) < f.record) {
			f.record = record_of(o);
			f.resolver = resolver;
		}
	}
	if (!f.resolver) /* written anew */
		f.record = 0.0;
	return f;
}

static int by_record(const void *a, const void *b)
{
	const struct resolved_file *x = a, *y = b;

	if (x->record > y->record || x->record < y->record)
		return x->record > y->record ? -1 : 1;
	return strcmp(x->path, y->path);
}

static json_t *resolved_files(const struct request *r)
{
	return json_object_get(json_object_get(r->facts, "result"), "resolved");
}

const char *bisect_weakest(const struct request *r)
{
	struct resolved_file least = {.record = 2.0};
	json_t *file;
	size_t i;

	json_array_foreach (resolved_files(r), i, file) {
		struct resolved_file f = file_of(file);

		if (f.resolver && f.record < least.record)
			least = f;
	}
	return least.resolver;
}

static void try_next(struct train *t);

/* It is known, or cannot be. */
static void end(struct train *t, bool found)
{
	struct bisect *b = t->bisect;
	struct request *r = t->v[0];
	struct culprit c = {.resolver = bisect_weakest(r)};
	struct resolved_file *f = found && b->fails > 0 ? &b->v[b->fails - 1] : NULL;

	if (found)
		c = (struct culprit){
			.resolver = f ? f->resolver : NULL, .path = f ? f->path : NULL, .none = !f};
	train_broken(t, b->said, &c);
}

static void on_tried(struct op *op, json_t *ok, struct fault *f)
{
	struct train *t = op->data;
	struct bisect *b = t->bisect;
	bool passes = json_is_true(json_object_get(ok, "ok"));
	_cleanup_free_ char *text = NULL;

	if (train_is_doomed(t))
		return;
	if (!ok) {
		end(t, false);
		return;
	}
	if (asprintf(&text, "with %zu of %zu resolved files it %s", b->now, b->n,
		     passes ? "passes" : "fails") < 0)
		text = NULL;
	(void)request_note(t->v[0], "bisect", text);
	if (passes)
		b->passes = b->now;
	else
		b->fails = b->now;
	if (b->fails <= b->passes + 1 || (b->now == 0 && !passes))
		end(t, true);
	else if (b->runs >= BISECT_RUNS)
		end(t, false);
	else
		try_next(t);
}

static void on_made(struct op *op, json_t *ok, struct fault *f)
{
	struct train *t = op->data;
	const char *commit = json_string_value(json_object_get(ok, "commit"));

	if (train_is_doomed(t))
		return;
	if (commit)
		verify_start(op, t->lane->repository, t->lane->target, commit, on_tried);
	else
		end(t, false);
}

static void try_next(struct train *t)
{
	struct bisect *b = t->bisect;
	json_t *q = op_repository_request(t->op, "trial", t->lane->repository);
	json_t *result = json_object_get(t->v[0]->facts, "result"), *paths = json_array();

	b->now = b->runs++ == 0 ? 0 : b->passes + (b->fails - b->passes) / 2;
	for (size_t i = b->now; i < b->n; i++)
		(void)json_array_append_new(paths, json_string(b->v[i].path));
	(void)json_object_set_new(q, "paths", paths);
	(void)json_object_set_new(q, "commit", json_string(t->top));
	(void)json_object_set_new(q, "target_commit", json_string(t->from));
	(void)json_object_set(q, "source_commit", json_object_get(result, "source_commit"));
	op_task(t->op, q, on_made);
}

bool bisect_start(struct train *t, json_t *said)
{
	struct request *r = t->v[0];
	json_t *files = resolved_files(r), *file;
	size_t i, n = json_array_size(files);
	struct bisect *b;

	if (!n || n > BISECT_MAX || json_object_get(r->facts, "without"))
		return false;
	b = sys_calloc(1, sizeof(*b));
	if (!b)
		return false;
	json_array_foreach (files, i, file) {
		b->v[b->n] = file_of(file);
		b->n += b->v[b->n].path != NULL;
	}
	if (b->n)
		qsort(b->v, b->n, sizeof(*b->v), by_record);
	b->fails = b->n;
	b->said = json_incref(said);
	t->bisect = b;
	t->alone = true; /* nobody is merged on top of what does not pass */
	try_next(t);
	return true;
}
