/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The merge queue's tables. `merge_requests`, a row for each request that ever was; `merge_steps`, a row for each
 * step that one took, never changed; `merge_pauses`; `view_order`, what the merge of a view waits for; `mails`. A
 * request's row and the step that led there are one transaction.
 */
#include "state_queue.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "cleanup.h"
#include "state_sqlite.h"
#include "sys.h"

const char state_schema_queue[] =
	"CREATE TABLE merge_requests ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, uid INTEGER NOT NULL,"
	" gid INTEGER NOT NULL, repository TEXT NOT NULL, target TEXT NOT NULL,"
	" source TEXT NOT NULL, state TEXT NOT NULL, facts TEXT NOT NULL) STRICT;"
	"CREATE INDEX merge_requests_open ON merge_requests (state)"
	" WHERE state NOT IN ('merged', 'conflict', 'failed');"
	"CREATE TABLE merge_steps ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT, request INTEGER NOT NULL, time INTEGER NOT NULL,"
	" event TEXT NOT NULL, state TEXT NOT NULL, text TEXT NOT NULL) STRICT;"
	"CREATE INDEX merge_steps_request ON merge_steps (request);"
	"CREATE TABLE merge_pauses (repository TEXT PRIMARY KEY NOT NULL) STRICT;"
	"CREATE TABLE view_order ("
	" view_id TEXT PRIMARY KEY NOT NULL, after TEXT NOT NULL, series TEXT NOT NULL) STRICT;"
	"CREATE TABLE mails ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, uid INTEGER NOT NULL,"
	" type TEXT NOT NULL, sender TEXT NOT NULL, recipient TEXT NOT NULL,"
	" payload TEXT NOT NULL) STRICT;";

static void stmt_free(sqlite3_stmt *st)
{
	(void)sqlite3_finalize(st);
}
DEFINE_CLEANUP(sqlite3_stmt *, stmt_free);

/* Binds in order: i is a number, t a text. */
static int bind(sqlite3_stmt *st, const char *kinds, va_list ap)
{
	int rc = SQLITE_OK;

	for (int i = 1; *kinds && rc == SQLITE_OK; kinds++, i++)
		rc = *kinds == 'i' ? sqlite3_bind_int64(st, i, va_arg(ap, sqlite3_int64))
				   : sqlite3_bind_text(st, i, va_arg(ap, const char *), -1,
						       SQLITE_TRANSIENT);
	return rc;
}

/* Runs a statement that gives no rows. Returns SQLite's code. */
static int put(struct state *s, const char *sql, const char *kinds, ...)
{
	_cleanup_(stmt_freep) sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);
	va_list ap;

	va_start(ap, kinds);
	if (rc == SQLITE_OK)
		rc = bind(st, kinds, ap);
	va_end(ap);
	if (rc == SQLITE_OK && sqlite3_step(st) != SQLITE_DONE)
		rc = sqlite3_errcode(s->db);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int put_step(struct state *s, int64_t request, const struct state_step *step)
{
	return put(s,
		   "INSERT INTO merge_steps (request, time, event, state, text)"
		   " VALUES (?1, ?2, ?3, ?4, ?5)",
		   "iittt", (sqlite3_int64)request, (sqlite3_int64)step->time, step->event,
		   step->state, step->text);
}

/* Ends the transaction: all of it, or nothing. */
static int finish(struct state *s, int rc, struct err *reterr)
{
	int r;

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		return 0;
	r = state_db_error(s, rc, reterr, "cannot write the merge queue");
	(void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

int state_request_add(struct state *s, struct state_request *r, const struct state_step *first,
		      struct err *reterr)
{
	int64_t id = 0;
	int rc = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL), q;

	if (rc != SQLITE_OK)
		return state_db_error(s, rc, reterr, "cannot write the merge queue");
	rc = put(s,
		 "INSERT INTO merge_requests (time, uid, gid, repository, target, source, state,"
		 " facts) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
		 "iiittttt", (sqlite3_int64)r->time, (sqlite3_int64)r->uid, (sqlite3_int64)r->gid,
		 r->repository, r->target, r->source, r->state, r->facts);
	id = sqlite3_last_insert_rowid(s->db);
	if (rc == SQLITE_OK)
		rc = put_step(s, id, first);
	q = finish(s, rc, reterr);
	if (q == 0)
		r->id = id;
	return q;
}

int state_request_step(struct state *s, const struct state_request *r,
		       const struct state_step *step, struct err *reterr)
{
	int rc = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	if (rc != SQLITE_OK)
		return state_db_error(s, rc, reterr, "cannot write the merge queue");
	rc = put(s, "UPDATE merge_requests SET state = ?2, facts = ?3 WHERE id = ?1", "itt",
		 (sqlite3_int64)r->id, r->state, r->facts);
	if (rc == SQLITE_OK && sqlite3_changes(s->db) == 0) {
		(void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
		return err_set(reterr, -ENOENT, "there is no merge request %lld", (long long)r->id);
	}
	if (rc == SQLITE_OK)
		rc = put_step(s, r->id, step);
	return finish(s, rc, reterr);
}

static const char *text(sqlite3_stmt *st, int column)
{
	const char *t = (const char *)sqlite3_column_text(st, column);

	return t ? t : "";
}

/* Calls row for each row; a non-zero return ends it and is returned. */
static int each(struct state *s, const char *sql, sqlite3_int64 arg, bool has_arg,
		int (*row)(sqlite3_stmt *, void *), void *user, struct err *reterr)
{
	_cleanup_(stmt_freep) sqlite3_stmt *st = NULL;
	int r = 0, rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);

	if (rc == SQLITE_OK && has_arg)
		rc = sqlite3_bind_int64(st, 1, arg);
	while (rc == SQLITE_OK && r == 0) {
		if (sqlite3_step(st) != SQLITE_ROW) {
			rc = sqlite3_errcode(s->db);
			break;
		}
		r = row(st, user);
	}
	if (r != 0 || rc == SQLITE_OK || rc == SQLITE_DONE)
		return r;
	return state_db_error(s, rc, reterr, "cannot read the merge queue");
}

struct requests {
	state_request_fn fn;
	void *user;
};

static int request_row(sqlite3_stmt *st, void *user)
{
	const struct requests *q = user;
	struct state_request r = {
		.id = sqlite3_column_int64(st, 0),
		.time = (uint64_t)sqlite3_column_int64(st, 1),
		.uid = (uint32_t)sqlite3_column_int64(st, 2),
		.gid = (uint32_t)sqlite3_column_int64(st, 3),
		.repository = text(st, 4),
		.target = text(st, 5),
		.source = text(st, 6),
		.state = text(st, 7),
		.facts = text(st, 8),
	};

	return q->fn(&r, q->user);
}

int state_requests(struct state *s, int64_t id, bool all, state_request_fn fn, void *user,
		   struct err *reterr)
{
	struct requests q = {fn, user};

	return each(s,
		    all || id
			    ? "SELECT id, time, uid, gid, repository, target, source, state, facts"
			      " FROM merge_requests WHERE ?1 IN (0, id) ORDER BY id"
			    : "SELECT id, time, uid, gid, repository, target, source, state, facts"
			      " FROM merge_requests WHERE ?1 = 0"
			      " AND state NOT IN ('merged', 'conflict', 'failed') ORDER BY id",
		    id, true, request_row, &q, reterr);
}

struct steps {
	state_step_fn fn;
	void *user;
};

static int step_row(sqlite3_stmt *st, void *user)
{
	const struct steps *q = user;
	struct state_step step = {
		.time = (uint64_t)sqlite3_column_int64(st, 0),
		.event = text(st, 1),
		.state = text(st, 2),
		.text = text(st, 3),
	};

	return q->fn(&step, q->user);
}

int state_steps(struct state *s, int64_t request, state_step_fn fn, void *user, struct err *reterr)
{
	struct steps q = {fn, user};

	return each(s,
		    "SELECT time, event, state, text FROM merge_steps WHERE request = ?1"
		    " ORDER BY id",
		    request, true, step_row, &q, reterr);
}

int state_pause(struct state *s, const char *repository, bool on, struct err *reterr)
{
	int rc = put(s,
		     on ? "INSERT OR IGNORE INTO merge_pauses (repository) VALUES (?1)"
			: "DELETE FROM merge_pauses WHERE repository = ?1",
		     "t", repository);

	return rc == SQLITE_OK ? 0 : state_db_error(s, rc, reterr, "cannot write the merge queue");
}

struct paused {
	const char *repository;
	bool found;
};

static int pause_row(sqlite3_stmt *st, void *user)
{
	struct paused *p = user;

	p->found |= !*text(st, 0) || strcmp(text(st, 0), p->repository) == 0;
	return 0;
}

int state_paused(struct state *s, const char *repository)
{
	struct paused p = {repository, false};
	int r = each(s, "SELECT repository FROM merge_pauses", 0, false, pause_row, &p, NULL);

	return r < 0 ? r : p.found;
}

int state_view_order_put(struct state *s, const char *view_id, const char *after,
			 const char *series, struct err *reterr)
{
	int rc = put(s,
		     "INSERT OR REPLACE INTO view_order (view_id, after, series)"
		     " VALUES (?1, ?2, ?3)",
		     "ttt", view_id, after, series);

	return rc == SQLITE_OK ? 0 : state_db_error(s, rc, reterr, "cannot write the view's order");
}

struct orders {
	state_order_fn fn;
	void *user;
};

static int order_row(sqlite3_stmt *st, void *user)
{
	const struct orders *o = user;

	return o->fn(text(st, 0), text(st, 1), text(st, 2), o->user);
}

int state_view_orders(struct state *s, state_order_fn fn, void *user, struct err *reterr)
{
	struct orders o = {fn, user};

	return each(s, "SELECT view_id, after, series FROM view_order ORDER BY rowid", 0, false,
		    order_row, &o, reterr);
}

int state_mail_add(struct state *s, struct state_mail *m, struct err *reterr)
{
	int rc = put(s,
		     "INSERT INTO mails (time, uid, type, sender, recipient, payload)"
		     " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
		     "iitttt", (sqlite3_int64)m->time, (sqlite3_int64)m->uid, m->type, m->from,
		     m->to, m->payload);

	if (rc != SQLITE_OK)
		return state_db_error(s, rc, reterr, "cannot write the mail");
	m->id = sqlite3_last_insert_rowid(s->db);
	return 0;
}

struct mails {
	state_mail_fn fn;
	void *user;
};

static int mail_row(sqlite3_stmt *st, void *user)
{
	const struct mails *q = user;
	struct state_mail m = {
		.id = sqlite3_column_int64(st, 0),
		.time = (uint64_t)sqlite3_column_int64(st, 1),
		.uid = (uint32_t)sqlite3_column_int64(st, 2),
		.type = text(st, 3),
		.from = text(st, 4),
		.to = text(st, 5),
		.payload = text(st, 6),
	};

	return q->fn(&m, q->user);
}

int state_mails(struct state *s, state_mail_fn fn, void *user, struct err *reterr)
{
	struct mails q = {fn, user};

	return each(s,
		    "SELECT id, time, uid, type, sender, recipient, payload FROM mails"
		    " ORDER BY id DESC",
		    0, false, mail_row, &q, reterr);
}
