/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Closing a view. The steps, and what a crash after each leaves:
 *
 *   0. worker "repository": what is to keep the work must be there (else refused, nothing happened)
 *   1. the server is stopped and unmounted (in use without force: refused, nothing happened);
 *      crash: the next start makes it live again
 *   2. worker "preserve": what is unmerged is kept under refs/agentfs/preserved/; it comes after the
 *      stop, so that nothing is written behind it. Failure: the view is made live again.
 *   3. the row says closing (and whether the branch goes); from here on the next start goes on here
 *   4. worker "close": the view's refs go, for rollback its branch
 *   5. STATE/views/<agent> moves to STATE/closed/<view-id>, its data segments go, the mount point of
 *      ours is removed, the row says closed
 *
 * Every step from 4 on may be done twice.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "log.h"
#include "op.h"
#include "sys.h"

static void gather(struct op *op, json_t *ok, const char *key)
{
	json_t *have, *more = json_object_get(ok, key);

	if (!op->result)
		op->result = json_pack("{s:[],s:[]}", "preserved", "notes");
	have = json_object_get(op->result, key);
	if (json_is_array(have) && json_is_array(more))
		(void)json_array_extend(have, more);
}

/* STATE/views/<agent> → STATE/closed/<view-id>, without the bytes; the journal is what is audited. */
static int move_away(struct op *op, struct view *v)
{
	char from[512], to[512];
	int r;

	(void)snprintf(from, sizeof(from), "views/%s", v->row.agent);
	(void)snprintf(to, sizeof(to), "closed/%s", v->row.id);
	if (renameat(op->d->state_fd, from, op->d->state_fd, to) < 0 && errno != ENOENT)
		return -errno;
	(void)snprintf(to, sizeof(to), "closed/%s/data", v->row.id);
	r = io_rm_rf(op->d->state_fd, to);
	if (r < 0)
		log_warning(r, "the data of closed view %s stays, ignoring", v->row.id);
	discard_redirects(op->d, v->row.id);
	return 0;
}

static void finish(struct op *op, struct view *v)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct fault f = FAULT_INIT;
	int r = move_away(op, v);

	if (r < 0) {
		op_fail(op, fault_id(r), "cannot move the files of view '%s' away: %s",
			v->row.agent, strerror(-r));
		return;
	}
	if (v->row.mount_made && rmdir(v->row.mount) < 0 && errno != ENOENT)
		log_warning(-errno, "the mount point '%s' stays, ignoring", v->row.mount);
	v->row.state = VIEW_CLOSED;
	v->row.closed = sys_now_ns();
	r = view_save(v, &e);
	if (r < 0) {
		v->row.state = VIEW_CLOSING;
		(void)fault_from_err(&f, &e, NULL);
		op_end(op, NULL, &f);
		return;
	}
	events_emit(op->d->events, "closed", v->row.agent, v->row.id, v->row.uid, "closed");
	view_drop(v);
	gather(op, NULL, "notes");
	op_end(op, json_incref(op->result), NULL);
}

static void on_closed(struct op *op, json_t *ok, struct fault *f)
{
	struct view *v = views_get(op->d->views, op->key);

	if (!ok && f->id && strcmp(f->id, "NotFound") != 0) {
		op_end(op, NULL, f);
		return;
	}
	if (!ok) { /* the repository itself is gone: nothing of ours is left in it */
		gather(op, NULL, "notes");
		(void)json_array_append_new(json_object_get(op->result, "notes"),
					    json_string(f->message ? f->message : "no repository"));
	}
	gather(op, ok, "preserved");
	gather(op, ok, "notes");
	finish(op, v);
}

static void close_refs(struct op *op, struct view *v)
{
	json_t *q = op_view_request(op, "close", v);

	(void)json_object_set_new(q, "delete_branch", json_boolean(v->row.delete_branch));
	op_task(op, q, on_closed);
}

/* A view that was stopped for nothing: the caller hears why once it is there again, so that nothing he
 * writes afterwards goes below its mount. */
struct restart {
	struct op *op;
	struct fault why;
};

static void on_restarted(struct view *v, int r, const char *why, void *user)
{
	struct restart *s = user;

	if (r < 0)
		view_start(v, NULL, NULL); /* the supervisor goes on trying */
	op_end(s->op, NULL, &s->why);
	free(s);
}

static void restart(struct op *op, struct view *v, struct fault *f)
{
	struct restart *s = sys_calloc(1, sizeof(*s));

	if (!s) {
		view_start(v, NULL, NULL);
		op_end(op, NULL, f);
		return;
	}
	*s = (struct restart){op, FAULT_INIT};
	fault_move(&s->why, f);
	view_start(v, on_restarted, s);
}

static void on_preserved(struct op *op, json_t *ok, struct fault *f)
{
	struct view *v = views_get(op->d->views, op->key);
	_cleanup_(err_release) struct err e = ERR_INIT;
	const char *restore = json_string_value(json_object_get(ok, "restore"));

	if (!ok && !(op->force && f->id && strcmp(f->id, "NotFound") == 0)) {
		(void)fault_remedy(f, "the view goes on; nothing was removed");
		restart(op, v, f);
		return;
	}
	gather(op, ok, "preserved");
	gather(op, ok, "notes");
	if (restore && *restore)
		(void)json_array_append_new(json_object_get(op->result, "notes"),
					    json_sprintf("kept; bring it back with: %s", restore));
	v->row.state = VIEW_CLOSING;
	v->row.delete_branch = op->delete_branch;
	if (view_save(v, &e) < 0) {
		struct fault g = FAULT_INIT;

		v->row.state = VIEW_LIVE;
		(void)fault_from_err(&g, &e, NULL);
		restart(op, v, &g);
		return;
	}
	close_refs(op, v);
}

static void on_stopped(struct view *v, int r, const char *why, void *user)
{
	struct op *op = user;
	struct fault f = FAULT_INIT;

	if (r == -EBUSY) {
		(void)fault_set(&f, "Busy", "the view of agent '%s' is in use%s%s", v->row.agent,
				*why ? ": " : "", why);
		(void)fault_remedy(&f, "end what works in '%s', or give --force", v->row.mount);
		op_end(op, NULL, &f);
		return;
	}
	if (r < 0) {
		view_start(v, NULL, NULL);
		op_fail(op, fault_id(r), "cannot stop the view of agent '%s': %s", v->row.agent,
			*why ? why : strerror(-r));
		return;
	}
	if (v->row.state == VIEW_CLOSING)
		close_refs(op, v);
	else
		op_task(op, op_view_request(op, "preserve", v), on_preserved);
}

static void on_looked(struct op *op, json_t *ok, struct fault *f)
{
	struct view *v = views_get(op->d->views, op->key);

	if (ok && v) {
		view_stop(v, false, on_stopped, op);
		return;
	}
	(void)fault_remedy(
		f, "the view goes on; bring the repository back, or give --force: what is not "
		   "merged is lost then");
	op_end(op, NULL, f);
}

void close_start(struct op *op)
{
	struct view *v = views_get(op->d->views, op->key);
	json_t *q;

	/* One whose closing failed half way may be closed again. */
	if (!v || v->row.state != VIEW_CLOSING)
		v = op_view(op);
	if (!v)
		return;
	if (op->force || v->row.state == VIEW_CLOSING) {
		view_stop(v, op->force, on_stopped, op);
		return;
	}
	q = op_request(op, "repository");
	(void)json_object_set_new(q, "repo", json_string(v->row.repository));
	op_task(op, q, on_looked);
}
