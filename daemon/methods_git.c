/* SPDX-License-Identifier: Apache-2.0 */
/* Methods whose work a worker does: each asks, waits, and passes the answer on. */
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "methods.h"
#include "mountpoint.h"
#include "op.h"
#include "record.h"
#include "sys.h"
#include "viewctl.h"

/* The answer as it is. */
static void pass_on(struct op *op, json_t *ok, struct fault *f)
{
	op_end(op, json_incref(ok), f);
}

static json_t *pick(json_t *from, const char *const *keys, size_t n)
{
	json_t *o = json_object();

	for (size_t i = 0; i < n; i++)
		if (json_object_get(from, keys[i]))
			(void)json_object_set(o, keys[i], json_object_get(from, keys[i]));
	return o;
}

static void set_arg(json_t *q, const struct call *c, const char *key)
{
	json_t *v = json_object_get(c->in.parameters, key);

	if (v)
		(void)json_object_set(q, key, v);
}

/* Ops that read: no key is held, many may run at once. */
static void read_only(struct daemon *d, struct call *c, const char *name, const char *const *args,
		      size_t n)
{
	struct fault f = FAULT_INIT;
	struct view *v;
	struct op *op;
	json_t *q;

	if (find_view(d, c, arg_str(c, "agent"), &v, &f) < 0) {
		call_fault(c, &f);
		return;
	}
	op = op_new(d, c, NULL, name);
	if (!op)
		return;
	q = op_view_request(op, name, v);
	for (size_t i = 0; i < n; i++)
		set_arg(q, c, args[i]);
	op_task(op, q, pass_on);
}

void method_diff(struct daemon *d, struct call *c)
{
	static const char *const args[] = {"patch", "paths", "scratch"};

	read_only(d, c, "diff", args, ARRAY_SIZE(args));
}

void method_log(struct daemon *d, struct call *c)
{
	static const char *const args[] = {"patch"};

	read_only(d, c, "log", args, ARRAY_SIZE(args));
}

/* ---- materialize ---- */

static void on_materialized(struct op *op, json_t *ok, struct fault *f)
{
	static const char *const keys[] = {"commit",  "branch", "commits",
					   "changes", "notes",	"tip"};
	struct view *v = views_get(op->d->views, op->key);
	uint64_t seq = (uint64_t)json_integer_value(json_object_get(ok, "journal"));

	if (v)
		v->distance.at = 0;
	if (v && seq > v->stats.seq)
		v->stats.seq = seq;
	if (ok && v && !op->dry_run)
		events_emit(op->d->events, "materialized", v->row.agent, v->row.id, v->row.uid,
			    "branch %s has what the view has", v->row.branch);
	op_end(op, ok ? pick(ok, keys, op->done ? ARRAY_SIZE(keys) : ARRAY_SIZE(keys) - 1) : NULL,
	       f);
}

void materialize_start(struct op *op)
{
	struct view *v = op_view(op);
	json_t *q;

	if (!v)
		return;
	q = op_view_request(op, "materialize", v);
	(void)json_object_set_new(q, "message", op->text ? json_string(op->text) : json_null());
	(void)json_object_set_new(q, "force", json_boolean(op->force));
	(void)json_object_set_new(q, "dry_run", json_boolean(op->dry_run));
	op_task(op, q, on_materialized);
}

/* A method with a key and the arguments that several have. */
static void keyed(struct daemon *d, struct call *c, const char *what, op_fn start)
{
	const char *text = arg_str(c, strcmp(what, "next") == 0 ? "task" : "message");
	struct fault f = FAULT_INIT;
	struct view *v;
	struct op *op;

	if (find_view(d, c, arg_str(c, "agent"), &v, &f) < 0) {
		call_fault(c, &f);
		return;
	}
	op = op_new(d, c, v->row.agent, what);
	if (!op)
		return;
	op->force = arg_bool(c, "force");
	op->text = text ? sys_strdup(text) : NULL;
	op->delete_branch = strcmp(what, "rollback") == 0;
	op_begin(op, start);
}

void method_materialize(struct daemon *d, struct call *c)
{
	keyed(d, c, "materialize", materialize_start);
}

void method_destroy(struct daemon *d, struct call *c)
{
	keyed(d, c, "destroy", close_start);
}

void method_rollback(struct daemon *d, struct call *c)
{
	keyed(d, c, "rollback", close_start);
}

/* ---- apply: materialized first, then the branch's change since its base ---- */

/* The worktree that is asked for; NULL: the repository's main one, also for who stands in a view. */
static const char *apply_worktree(struct op *op)
{
	const char *asked = arg_str(op->call, "worktree");
	struct view *v;

	for (v = asked ? views_next(op->d->views, NULL) : NULL; v; v = views_next(op->d->views, v))
		if (path_is_below(asked, v->row.mount))
			return NULL;
	return asked;
}

static void on_applied(struct op *op, json_t *ok, struct fault *f)
{
	struct view *v = views_get(op->d->views, op->key);
	json_t *notes = json_object_get(ok, "notes");

	if (v && json_is_array(notes) && arg_str(op->call, "worktree") && !apply_worktree(op))
		(void)json_array_append_new(
			notes, json_sprintf("you stand in a view: '%s' is what was changed",
					    v->row.worktree));
	op_end(op, json_incref(ok), f);
}

static void on_apply_materialized(struct op *op, json_t *ok, struct fault *f)
{
	struct view *v = views_get(op->d->views, op->key);
	const char *tree = apply_worktree(op);
	json_t *q, *tip = json_object_get(ok, "tip");

	if (!ok || !v) {
		op_end(op, NULL, f);
		return;
	}
	q = op_view_request(op, "apply", v);
	(void)json_object_set_new(q, "worktree", json_string(tree ? tree : v->row.worktree));
	(void)json_object_set_new(
		q, "source", json_is_string(tip) ? json_incref(tip) : json_string(v->row.branch));
	(void)json_object_set_new(q, "base", json_string(v->row.base));
	op_task(op, q, on_applied);
}

static void apply_start(struct op *op)
{
	struct view *v = op_view(op);
	json_t *q;

	if (!v)
		return;
	if (!apply_worktree(op) && !*v->row.worktree) {
		op_fail(op, "Invalid", "the repository '%s' is bare and has no worktree: name one",
			v->row.repository);
		return;
	}
	q = op_view_request(op, "materialize", v);
	(void)json_object_set_new(q, "message", json_null());
	op_task(op, q, on_apply_materialized);
}

void method_apply(struct daemon *d, struct call *c)
{
	keyed(d, c, "apply", apply_start);
}

/* ---- next: materialize, worker "next", then the view is told ---- */

struct next {
	struct view_row row; /* as it will be */
	char *policy;
	unsigned tries; /* of moving the view to another base */
};

static void next_free(void *p)
{
	struct next *n = p;

	if (!n)
		return;
	view_row_release(&n->row);
	free(n->policy);
	free(n);
}

static void ignore_answer(int r, const struct record *rec, const char *text, void *user)
{
}

static struct bytes text_bytes(const char *s)
{
	return (struct bytes){s, strlen(s)};
}

/* What the server shows from now on. A server that is away reads view.conf when it comes back. */
static void tell_server(struct view *v, const char *policy)
{
	struct record msg = {.type = VIEWCTL_REBASE_BRANCH}, pol = {.type = VIEWCTL_POLICY};

	RECORD_SET(&msg, name, F_NAME, text_bytes(v->row.branch));
	RECORD_SET(&msg, value, F_VALUE, text_bytes(v->row.task));
	(void)view_call(v, &msg, 10000, ignore_answer, NULL);
	if (!policy) /* told already */
		return;
	RECORD_SET(&pol, value, F_VALUE, text_bytes(policy));
	(void)view_call(v, &pol, 10000, ignore_answer, NULL);
}

static void next_task(struct op *op, struct view *v);

/* What the new base could not be joined with. */
static void note_conflicts(json_t *notes, const json_t *conflicts)
{
	json_t *c;
	size_t i;

	json_array_foreach (conflicts, i, c)
		(void)json_array_append_new(
			notes, json_sprintf("%s: the view keeps its own, as a conflict in its git",
					    json_string_value(json_object_get(c, "reason"))));
}

static void on_next(struct op *op, json_t *ok, struct fault *f)
{
	struct next *n = op->data;
	struct view *v = views_get(op->d->views, op->key);
	const char *base = json_string_value(json_object_get(ok, "base_commit"));
	const char *target = json_string_value(json_object_get(ok, "target"));
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct fault g = FAULT_INIT;
	json_t *notes = json_object_get(ok, "notes");
	struct view_row old;

	if (!ok && v && sync_again(f, &n->tries)) {
		fault_release(f);
		next_task(op, v);
		return;
	}
	if (!ok || !v) {
		op_end(op, NULL, f);
		return;
	}
	if (base)
		(void)view_row_set(&n->row.base, base);
	if (target && *target)
		(void)view_row_set(&n->row.target, target);
	n->row.branch_made = true;
	old = v->row;
	v->row = n->row;
	n->row = old; /* the key of the table is the agent's name: its bytes must stay */
	old.agent = v->row.agent;
	v->row.agent = n->row.agent;
	n->row.agent = old.agent;
	v->distance.at = 0;
	if (view_save(v, &e) < 0)
		(void)fault_from_err(&g, &e, NULL);
	else if (!arg_str(op->call, "base"))
		(void)view_files_update(op->d, v, n->policy, &g);
	else
		(void)view_set_base(op->d, v, ok, &g);
	if (g.id) {
		op_end(op, NULL, &g);
		return;
	}
	tell_server(v, arg_str(op->call, "base") ? NULL : n->policy);
	notes = json_is_array(notes) ? json_incref(notes) : json_array();
	note_conflicts(notes, json_object_get(ok, "conflicts"));
	op_end(op, json_pack("{s:o,s:o}", "view", view_json(v), "notes", notes), NULL);
}

static void on_next_materialized(struct op *op, json_t *ok, struct fault *f)
{
	struct view *v = views_get(op->d->views, op->key);

	if (!ok || !v)
		op_end(op, NULL, f);
	else
		next_task(op, v);
}

/* Onto the branch's own tip, or with the files of another base. */
static void next_task(struct op *op, struct view *v)
{
	const char *base = arg_str(op->call, "base");
	struct next *n = op->data;
	json_t *q = op_view_request(op, base ? "sync" : "next", v);

	(void)json_object_set_new(q, "new_branch", json_string(n->row.branch));
	(void)json_object_set_new(q, "new_task", json_string(n->row.task));
	if (base)
		(void)json_object_set_new(q, "to", json_string(base));
	op_task(op, q, on_next);
}

/* The row of the new task. Errors: set in f. */
static int next_row(struct op *op, const struct view *v, struct next *n, struct fault *f)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	_cleanup_free_ char *branch = NULL;
	_cleanup_buf_ struct buf scope = BUF_INIT;
	json_t *a = json_object_get(op->call->in.parameters, "scope"), *s;
	const char *repo = *v->row.worktree ? v->row.worktree : v->row.repository;
	size_t i;

	if (config_check_name("task", op->text, &e) < 0 ||
	    config_branch_name(config_branch(&op->d->config, repo), v->row.agent, op->text, &branch,
			       &e) < 0)
		return fault_from_err(f, &e, NULL);
	if (strcmp(branch, v->row.branch) == 0)
		return fault_set(f, "NameTaken",
				 "the agent '%s' is on branch '%s' already: give another "
				 "--task",
				 v->row.agent, branch);
	json_array_foreach (a, i, s)
		if (strchr(json_string_value(s), '\n') || !*json_string_value(s) ||
		    buf_addf(&scope, "%s%s", i ? "\n" : "", json_string_value(s)) < 0)
			return fault_set(f, "Invalid",
					 "a scope pattern is empty or has a line's end");
	if (view_row_copy(&v->row, &n->row) < 0 || view_row_set(&n->row.task, op->text) < 0 ||
	    view_row_set(&n->row.branch, branch) < 0 ||
	    (json_is_array(a) && view_row_set(&n->row.scope, scope.data ? scope.data : "") < 0))
		return fault_set(f, "Internal", "the daemon has no memory for this");
	return make_policy(op->d, &n->row, &n->policy, f);
}

static void next_start(struct op *op)
{
	struct view *v = op_view(op);
	struct next *n = v ? sys_calloc(1, sizeof(*n)) : NULL;
	struct fault f = FAULT_INIT;
	json_t *q;

	if (!v)
		return;
	op->data = n;
	op->data_free = next_free;
	if (!n || next_row(op, v, n, &f) < 0) {
		op_end(op, NULL, &f);
		return;
	}
	q = op_view_request(op, "materialize", v);
	(void)json_object_set_new(q, "message", json_null());
	op_task(op, q, on_next_materialized);
}

void method_next(struct daemon *d, struct call *c)
{
	keyed(d, c, "next", next_start);
}
