/* SPDX-License-Identifier: Apache-2.0 */
/* A statement lives for one call: what it was given is borrowed no longer than that. */
#include "state_sqlite_query.h"

#include "cleanup.h"

static void stmt_free(sqlite3_stmt *st)
{
	(void)sqlite3_finalize(st);
}
DEFINE_CLEANUP(sqlite3_stmt *, stmt_free);

static int prepare(struct state *s, const char *sql, const struct sql_value *v, size_t n,
		   sqlite3_stmt **ret)
{
	int rc = sqlite3_prepare_v2(s->db, sql, -1, ret, NULL);

	for (size_t i = 0; i < n && rc == SQLITE_OK; i++)
		rc = v[i].text ? sqlite3_bind_text(*ret, (int)i + 1, v[i].text, -1, SQLITE_STATIC)
			       : sqlite3_bind_int64(*ret, (int)i + 1, v[i].n);
	return rc;
}

int sql_write(struct state *s, const char *sql, const struct sql_value *v, size_t n,
	      const char *failed, struct err *reterr)
{
	_cleanup_(stmt_freep) sqlite3_stmt *st = NULL;
	int rc = prepare(s, sql, v, n, &st);

	if (rc == SQLITE_OK && sqlite3_step(st) != SQLITE_DONE)
		rc = sqlite3_errcode(s->db);
	return rc == SQLITE_OK ? 0 : state_db_error(s, rc, reterr, failed);
}

int sql_each(struct state *s, const char *sql, const struct sql_value *v, size_t n,
	     int (*fn)(sqlite3_stmt *st, void *user), void *user, const char *failed,
	     struct err *reterr)
{
	_cleanup_(stmt_freep) sqlite3_stmt *st = NULL;
	int r = 0, rc = prepare(s, sql, v, n, &st);

	while (rc == SQLITE_OK && r == 0) {
		if (sqlite3_step(st) != SQLITE_ROW) {
			rc = sqlite3_errcode(s->db);
			break;
		}
		r = fn(st, user);
	}
	if (r != 0 || rc == SQLITE_OK || rc == SQLITE_DONE)
		return r;
	return state_db_error(s, rc, reterr, failed);
}

const char *sql_text(sqlite3_stmt *st, int column)
{
	const char *t = (const char *)sqlite3_column_text(st, column);

	return t ? t : "";
}
