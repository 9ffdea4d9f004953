/* SPDX-License-Identifier: Apache-2.0 */
/* Undo: a worker takes a merge back in a new commit, and what resolvers had their way with in it counts as wrong. */
#include <string.h>

#include "cleanup.h"
#include "log.h"
#include "methods.h"
#include "op.h"
#include "state_history.h"
#include "sys.h"

struct undo {
	int64_t merge;
	uid_t uid;
	json_t *request; /* of the merge's row; NULL: none that this peer may see */
	char *state;	 /* of the merge */
};

static void undo_free(void *p)
{
	struct undo *u = p;

	json_decref(u->request);
	free(u->state);
	free(u);
}

static int read_merge(const struct state_merge *m, void *user)
{
	struct undo *u = user;
	json_t *result;

	if (u->uid != 0 && u->uid != m->uid)
		return 0;
	result = json_loads(m->result, 0, NULL);
	u->state = sys_strdup(m->state);
	u->request = json_pack("{s:s,s:s,s:s,s:s,s:I,s:O*}", "repo", m->repository, "source",
			       m->source, "into", m->into, "commit", m->commit, "merge",
			       (json_int_t)m->id, "before", json_object_get(result, "target"));
	json_decref(result);
	return u->state && u->request ? 0 : -ENOMEM;
}

/* The verdict and the merge's new state, at once. */
static int write_undone(struct daemon *d, int64_t merge, struct err *e)
{
	int r = state_history_begin(d->db, e);

	if (r < 0)
		return r;
	r = state_merge_judge(d->db, merge, "wrong", e);
	if (r == 0)
		r = state_attempt_set(d->db, merge, "undone", e);
	if (r >= 0)
		r = state_merge_undone(d->db, merge, e);
	return state_history_end(d->db, r, e);
}

static void on_undone(struct op *op, json_t *ok, struct fault *f)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct undo *u = op->data;

	if (!ok) {
		op_end(op, NULL, f);
		return;
	}
	if (write_undone(op->d, u->merge, &e) < 0)
		(void)log_warning(e.code, "%s: the merge itself is undone", err_text(&e));
	(void)json_object_set(ok, "into", json_object_get(u->request, "into"));
	(void)json_object_set(ok, "source", json_object_get(u->request, "source"));
	op_end(op, json_incref(ok), NULL);
}

static void start(struct op *op)
{
	struct undo *u = op->data;
	json_t *q = op_request(op, "undo");

	(void)json_object_update(q, u->request);
	op_add_user(op, q, json_string_value(json_object_get(u->request, "repo")));
	op_task(op, q, on_undone);
}

/* Why it cannot be undone; NULL: it can. */
static const char *refusal(const struct undo *u)
{
	if (!u->request)
		return "there is no merge %lld: agentfsctl merge history lists them";
	if (strcmp(u->state, "undone") == 0)
		return "merge %lld was undone already";
	if (strcmp(u->state, "merged") != 0)
		return "merge %lld changed nothing, so that there is nothing to undo";
	return NULL;
}

void method_merge_undo(struct daemon *d, struct call *c)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct undo *u = sys_calloc(1, sizeof(*u));
	struct op *op = u ? op_new(d, c, NULL, "undo") : NULL;
	const char *why;

	if (!op) {
		struct fault f = FAULT_INIT;

		if (!u)
			call_fault(c, &f);
		free(u);
		return;
	}
	op->data = u;
	op->data_free = undo_free;
	u->merge = arg_int(c, "merge", 0);
	u->uid = c->uid;
	if (u->merge > 0 && state_merges(d->db, u->merge, read_merge, u, &e) < 0) {
		op_fail(op, "Internal", "%s", err_text(&e));
		return;
	}
	why = refusal(u);
	if (why)
		op_fail(op, u->request ? "Invalid" : "NotFound", why, (long long)u->merge);
	else
		op_begin(op, start);
}
