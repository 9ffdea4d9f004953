/* SPDX-License-Identifier: Apache-2.0 */
/* Learn: a worker replays a repository's merges, and what it counted is what later merges go by. */
#include <string.h>

#include "cleanup.h"
#include "history.h"
#include "log.h"
#include "methods.h"
#include "op.h"
#include "sys.h"

static int add_record(const struct state_record *r, void *user)
{
	json_t *all = user, *of = json_object_get(all, r->repository);

	if (!of) {
		of = json_array();
		(void)json_object_set_new(all, r->repository, of);
	}
	return json_array_append_new(of,
				     json_pack("{s:s,s:s,s:s,s:I,s:I}", "resolver", r->resolver,
					       "language", r->language, "paths", r->paths, "fired",
					       (json_int_t)r->fired, "right", (json_int_t)r->right))
		       ? -ENOMEM
		       : 0;
}

json_t *learned_records(struct daemon *d)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	json_t *all = json_object();

	/* Without them resolvers go by their shipped records. */
	if (state_records(d->db, add_record, all, &e) < 0)
		(void)log_warning(e.code, "%s: merging without what was learned", err_text(&e));
	return all;
}

static int keep(struct daemon *d, json_t *ok, struct err *e)
{
	json_t *records = json_object_get(ok, "records"), *o;
	const char *repository = json_string_value(json_object_get(ok, "repository"));
	size_t n = json_array_size(records), i;
	_cleanup_free_ struct state_record *v = sys_calloc(n + 1, sizeof(*v));

	if (!v || !repository)
		return -ENOMEM;
	json_array_foreach (records, i, o) {
		v[i].resolver = json_string_value(json_object_get(o, "resolver"));
		v[i].fired = (uint32_t)json_integer_value(json_object_get(o, "fired"));
		v[i].right = (uint32_t)json_integer_value(json_object_get(o, "right"));
		v[i].language = json_string_value(json_object_get(o, "language"));
		v[i].paths = json_string_value(json_object_get(o, "paths"));
		if (!v[i].resolver || !v[i].language || !v[i].paths)
			return -EINVAL;
	}
	return state_records_put(d->db, repository,
				 (uint64_t)json_integer_value(json_object_get(ok, "merges")), v, n,
				 e);
}

static void on_learned(struct op *op, json_t *ok, struct fault *f)
{
	_cleanup_(err_release) struct err e = ERR_INIT;

	if (ok && keep(op->d, ok, &e) < 0) {
		op_fail(op, "Internal", "%s", err_text(&e));
		return;
	}
	if (ok)
		history_learned(op->d, ok);
	op_end(op, json_incref(ok), f);
}

static void start(struct op *op)
{
	json_t *q = op_request(op, "learn"),
	       *last = json_object_get(op->call->in.parameters, "last");

	(void)json_object_set_new(q, "repo", json_string(arg_str(op->call, "repository")));
	if (json_is_integer(last))
		(void)json_object_set(q, "last", last);
	op_task(op, q, on_learned);
}

void method_learn(struct daemon *d, struct call *call)
{
	struct op *op = op_new(d, call, NULL, "learn");

	if (op)
		op_begin(op, start);
}
