/* SPDX-License-Identifier: Apache-2.0 */
/* Operations: waiting for the key, running workers one after the other, answering once. */
#include "op.h"

#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "log.h"
#include "sys.h"
#include "verify_scratch.h"

const char *arg_str(const struct call *c, const char *key)
{
	return json_string_value(json_object_get(c->in.parameters, key));
}

bool arg_bool(const struct call *c, const char *key)
{
	return json_is_true(json_object_get(c->in.parameters, key));
}

int64_t arg_int(const struct call *c, const char *key, int64_t otherwise)
{
	const json_t *v = json_object_get(c->in.parameters, key);

	return json_is_integer(v) ? (int64_t)json_integer_value(v) : otherwise;
}

bool may_use(const struct view *v, uid_t uid)
{
	return !scratch_is(v->row.agent) && (uid == 0 || uid == v->row.uid || !v->views);
}

int find_view(struct daemon *d, const struct call *c, const char *agent, struct view **ret,
	      struct fault *f)
{
	struct view *v = views_get(d->views, agent);

	if (!v) {
		(void)fault_set(f, "NotFound", "there is no agent '%s'", agent);
		return fault_remedy(f, "agentfsctl list shows the agents there are");
	}
	if (!may_use(v, c->uid))
		return fault_set(f, "Denied", "the view of agent '%s' belongs to another user",
				 agent);
	*ret = v;
	return 0;
}

struct op *op_new(struct daemon *d, struct call *call, const char *key, const char *what)
{
	struct op *op = sys_calloc(1, sizeof(*op));

	if (op && key)
		op->key = sys_strdup(key);
	if (!op || (key && !op->key)) {
		struct fault f = FAULT_INIT;

		free(op);
		(void)fault_set(&f, "Internal", "the daemon has no memory for this");
		if (call)
			call_fault(call, &f);
		fault_release(&f);
		return NULL;
	}
	op->d = d;
	op->call = call;
	op->uid = call ? call->uid : 0;
	op->gid = call ? call->gid : 0;
	op->what = what;
	DL_APPEND2(d->ops, op, before, after);
	return op;
}

static void have_key(void *user)
{
	struct op *op = user;

	op->start(op);
}

void op_begin(struct op *op, op_fn start)
{
	op->start = start;
	if (!op->key) {
		start(op);
	} else if (keylock_take(op->d->locks, op->key, have_key, op) < 0) {
		free(op->key);
		op->key = NULL;
		op_fail(op, "Internal", "the daemon has no memory for this");
	}
}

static void answer(struct op *op, json_t *reply, struct fault *f)
{
	if (op->call && reply)
		call_reply(op->call, json_incref(reply));
	else if (op->call)
		call_fault(op->call, f);
	else if (!reply)
		log_error(0, "%s%s%s: %s", op->what, op->key ? " " : "", op->key ? op->key : "",
			  f->message ? f->message : "failed");
}

static void op_free(struct op *op)
{
	DL_DELETE2(op->d->ops, op, before, after);
	if (op->data_free)
		op->data_free(op->data);
	json_decref(op->result);
	free(op->text);
	free(op->key);
	free(op);
}

void op_end(struct op *op, json_t *reply, struct fault *f)
{
	struct keylocks *locks = op->d->locks;
	char *key = op->key;

	if (op->done)
		op->done(op, reply, f);
	else
		answer(op, reply, f);
	json_decref(reply);
	fault_release(f);
	op->key = NULL;
	op_free(op);
	if (key)
		keylock_drop(locks, key);
	free(key);
}

void ops_free(struct daemon *d)
{
	struct op *op, *next;

	for (op = d->ops; op; op = next) {
		struct fault f = FAULT_INIT;

		next = op->after;
		(void)fault_set(&f, "Busy", "the daemon ends: try again when it runs again");
		if (op->call)
			call_fault(op->call, &f);
		fault_release(&f);
		op_free(op);
	}
}

void op_fail(struct op *op, const char *id, const char *fmt, ...)
{
	struct fault f = FAULT_INIT;
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)fault_set(&f, id, "%s", text);
	op_end(op, NULL, &f);
}

static void task_done(json_t *ok, struct fault *f, void *user)
{
	struct op *op = user;

	op->following = NULL;
	op->next(op, ok, f);
}

static void task_progress(const char *text, int64_t n, int64_t total, void *user)
{
	struct op *op = user;

	events_emit(op->d->events, "progress", op->key, NULL, op->uid, "%s: %s (%lld of %lld)",
		    op->what, text, (long long)n, (long long)total);
}

static void begin_task(struct op *op, json_t *request, op_step next, unsigned flags)
{
	static const struct task_callbacks cb = {.done = task_done, .progress = task_progress};

	op->next = next;
	if (task_start(op->d->tasks, request, &cb, op, flags,
		       flags & TASK_FOLLOW ? &op->following : NULL) < 0) {
		struct fault f = FAULT_INIT;

		(void)fault_set(&f, "Internal", "the daemon has no memory for this");
		next(op, NULL, &f);
		fault_release(&f);
	}
}

void op_task(struct op *op, json_t *request, op_step next)
{
	begin_task(op, request, next, 0);
}

void op_follow(struct op *op, json_t *request, op_step next)
{
	begin_task(op, request, next, TASK_FOLLOW);
}

static bool is_part_of(const struct op *op, const struct op *whole)
{
	while (op && op != whole)
		op = op->parent;
	return op == whole;
}

void op_interrupt(struct op *whole)
{
	struct op *op;

	DL_FOREACH2(whole->d->ops, op, after)
	{
		if (!is_part_of(op, whole))
			continue;
		op->interrupted = true;
		if (op->following)
			task_hang_up(op->following);
	}
}

json_t *op_request(const struct op *op, const char *name)
{
	return json_pack("{s:s,s:s,s:I,s:I}", "op", name, "state", op->d->paths.state, "peer_uid",
			 (json_int_t)op->uid, "peer_gid", (json_int_t)op->gid);
}

void op_add_user(const struct op *op, json_t *q, const char *repository)
{
	const char *name = config_user_name(&op->d->config, repository);
	const char *email = config_user_email(&op->d->config, repository);

	if (name)
		(void)json_object_set_new(q, "user_name", json_string(name));
	if (email)
		(void)json_object_set_new(q, "user_email", json_string(email));
}

json_t *op_repository_request(const struct op *op, const char *name, const char *repository)
{
	json_t *q = op_request(op, name);

	(void)json_object_set_new(q, "repo", json_string(repository));
	op_add_user(op, q, repository);
	return q;
}

/* The branches of the other views of its repository. */
static json_t *peers(const struct view *v)
{
	json_t *a = json_array();

	for (struct view *o = views_next(v->views, NULL); o; o = views_next(v->views, o))
		if (o != v && !scratch_is(o->row.agent) &&
		    strcmp(o->row.repository, v->row.repository) == 0)
			(void)json_array_append_new(a, json_string(o->row.branch));
	return a;
}

json_t *op_view_request(const struct op *op, const char *name, const struct view *v)
{
	json_t *q = op_request(op, name), *more;
	const struct view_row *row = &v->row;
	char dir[4096], sock[4096];

	if (!q || view_dir_path(v, dir, sizeof(dir)) < 0 ||
	    view_socket_path(v, sock, sizeof(sock)) < 0) {
		json_decref(q);
		return NULL;
	}
	more = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:I}", "repo", row->repository,
			 "view_dir", dir, "agent", row->agent, "role", row->role, "task", row->task,
			 "view_id", row->id, "branch", row->branch, "target", row->target,
			 "base_commit", row->base, "uid", (json_int_t)row->uid, "gid",
			 (json_int_t)row->gid);
	(void)json_object_update(q, more);
	json_decref(more);
	if (v->phase == PHASE_LIVE)
		(void)json_object_set_new(q, "sock", json_string(sock));
	if (strcmp(row->git, "worktree") == 0) {
		(void)json_object_set_new(q, "git", json_string(row->git));
		(void)json_object_set_new(q, "peers", peers(v));
	}
	if (v->stats.seq)
		(void)json_object_set_new(q, "journal", json_integer((json_int_t)v->stats.seq));
	op_add_user(op, q, *row->worktree ? row->worktree : row->repository);
	return q;
}

struct view *op_view(struct op *op)
{
	struct view *v = views_get(op->d->views, op->key);

	if (!v)
		op_fail(op, "NotFound", "there is no agent '%s'", op->key);
	else if (!may_use(v, op->uid))
		op_fail(op, "Denied", "the view of agent '%s' belongs to another user", op->key);
	else if (v->row.state == VIEW_CREATING || v->row.state == VIEW_CLOSING)
		op_fail(op, "Busy", "the view of agent '%s' is %s", op->key,
			v->row.state == VIEW_CREATING ? "not made yet" : "being closed");
	else
		return v;
	return NULL;
}

static json_t *lines_to_array(const char *text)
{
	json_t *a = json_array();

	while (*text) {
		size_t n = strcspn(text, "\n");

		if (n > 0)
			(void)json_array_append_new(a, json_stringn(text, n));
		text += n + (text[n] == '\n');
	}
	return a;
}

json_t *view_json(const struct view *v)
{
	const struct view_row *r = &v->row;
	json_t *o = json_pack(
		"{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:o,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:o}",
		"agent", r->agent, "id", r->id, "repository",
		*r->worktree ? r->worktree : r->repository, "path", r->mount, "branch", r->branch,
		"target", r->target, "base", r->base, "role", r->role, "task", r->task, "scope",
		lines_to_array(r->scope), "user", r->user, "git", r->git, "state", view_status(v),
		"changed", (json_int_t)v->stats.changed, "bytes", (json_int_t)v->stats.bytes,
		"ahead", (json_int_t)v->distance.ahead, "behind", (json_int_t)v->distance.behind,
		"denied", (json_int_t)v->stats.denied, "started", json_time(r->created));

	(void)json_object_set_new(o, "nodes", json_integer((json_int_t)v->stats.nodes));
	(void)json_object_set_new(o, "overlaps", json_integer(v->overlaps));
	if (v->redirects)
		(void)json_object_set(o, "redirects", v->redirects);
	if (v->stats.quota_bytes)
		(void)json_object_set_new(o, "quota_bytes",
					  json_integer((json_int_t)v->stats.quota_bytes));
	if (v->stats.quota_nodes)
		(void)json_object_set_new(o, "quota_nodes",
					  json_integer((json_int_t)v->stats.quota_nodes));
	if (o && v->stats.last_write)
		(void)json_object_set_new(o, "last_write", json_time(v->stats.last_write));
	return o;
}
