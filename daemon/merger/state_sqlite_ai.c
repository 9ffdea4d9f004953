/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `ai_spent`: what merges spent on asking resolvers, a row for each that might. A row is written with all
 * that the merge may spend before it begins, and settled with what it did: of a merge that was killed the
 * most counts, so that a budget is never exceeded. `ai_said`: answers that were believed, as JSON, by the conflict's
 * key (tier_memo.c) and the repository.
 */
#include "state_sqlite.h"

#include "cleanup.h"

const char state_schema_ai[] =
	"CREATE TABLE ai_spent ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, repository TEXT NOT NULL,"
	" calls INTEGER NOT NULL, ms INTEGER NOT NULL, tokens INTEGER NOT NULL) STRICT;"
	"CREATE INDEX ai_spent_time ON ai_spent (time);"
	"CREATE TABLE ai_said ("
	" repository TEXT NOT NULL, key TEXT NOT NULL, time INTEGER NOT NULL,"
	" needs_verify INTEGER NOT NULL, answer TEXT NOT NULL,"
	" PRIMARY KEY (repository, key)) STRICT;";

static void stmt_free(sqlite3_stmt *st)
{
	(void)sqlite3_finalize(st);
}
DEFINE_CLEANUP(sqlite3_stmt *, stmt_free);

static int step_to_end(struct state *s, sqlite3_stmt *st, int rc, struct err *reterr)
{
	if (rc == SQLITE_OK && sqlite3_step(st) != SQLITE_DONE)
		rc = sqlite3_errcode(s->db);
	return rc == SQLITE_OK ? 0
			       : state_db_error(s, rc, reterr,
						"cannot write down what asking resolvers costs");
}

static int bind_cost(sqlite3_stmt *st, const struct state_cost *c)
{
	int rc = sqlite3_bind_int64(st, 1, c->calls);

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 2, c->ms);
	return rc == SQLITE_OK ? sqlite3_bind_int64(st, 3, c->tokens) : rc;
}

int state_ai_reserve(struct state *s, uint64_t now, const char *repository,
		     const struct state_cost *most, int64_t *ret_id, struct err *reterr)
{
	_cleanup_(stmt_freep) sqlite3_stmt *st = NULL;
	int r, rc = sqlite3_prepare_v2(s->db,
				       "INSERT INTO ai_spent (calls, ms, tokens, time, repository)"
				       " VALUES (?1, ?2, ?3, ?4, ?5)",
				       -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = bind_cost(st, most);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 4, (sqlite3_int64)now);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(st, 5, repository, -1, SQLITE_STATIC);
	r = step_to_end(s, st, rc, reterr);
	if (r == 0)
		*ret_id = sqlite3_last_insert_rowid(s->db);
	return r;
}

int state_ai_settle(struct state *s, int64_t id, const struct state_cost *spent, struct err *reterr)
{
	_cleanup_(stmt_freep) sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(s->db,
				    "UPDATE ai_spent SET calls = ?1, ms = ?2, tokens = ?3"
				    " WHERE id = ?4",
				    -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = bind_cost(st, spent);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 4, id);
	return step_to_end(s, st, rc, reterr);
}

int state_ai_spent(struct state *s, uint64_t since, struct state_cost *ret, struct err *reterr)
{
	_cleanup_(stmt_freep) sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(s->db,
				    "SELECT total(calls), total(ms), total(tokens) FROM ai_spent"
				    " WHERE time >= ?1",
				    -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 1, (sqlite3_int64)since);
	if (rc == SQLITE_OK && sqlite3_step(st) != SQLITE_ROW)
		rc = sqlite3_errcode(s->db);
	if (rc != SQLITE_OK)
		return state_db_error(s, rc, reterr, "cannot read what asking resolvers cost");
	*ret = (struct state_cost){(int64_t)sqlite3_column_double(st, 0),
				   (int64_t)sqlite3_column_double(st, 1),
				   (int64_t)sqlite3_column_double(st, 2)};
	return 0;
}

int state_ai_said_put(struct state *s, int64_t id, uint64_t now, const char *key,
		      const char *answer, bool needs_verify, struct err *reterr)
{
	_cleanup_(stmt_freep) sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(
		s->db,
		"INSERT OR REPLACE INTO ai_said (repository, key, time, needs_verify, answer)"
		" SELECT repository, ?2, ?3, ?4, ?5 FROM ai_spent WHERE id = ?1",
		-1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 1, id);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(st, 2, key, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 3, (sqlite3_int64)now);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 4, needs_verify);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(st, 5, answer, -1, SQLITE_STATIC);
	return step_to_end(s, st, rc, reterr);
}

int state_ai_said_forget(struct state *s, uint64_t before, uint64_t verified, struct err *reterr)
{
	_cleanup_(stmt_freep) sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(s->db,
				    "DELETE FROM ai_said WHERE time < ?1"
				    " OR (needs_verify AND time < ?2)",
				    -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 1, (sqlite3_int64)before);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 2, (sqlite3_int64)verified);
	return step_to_end(s, st, rc, reterr);
}

int state_ai_said(struct state *s, const char *repository, state_ai_said_fn fn, void *user,
		  struct err *reterr)
{
	_cleanup_(stmt_freep) sqlite3_stmt *st = NULL;
	int r = 0, rc = sqlite3_prepare_v2(s->db,
					   "SELECT key, answer FROM ai_said WHERE repository = ?1"
					   " ORDER BY time DESC",
					   -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(st, 1, repository, -1, SQLITE_STATIC);
	while (rc == SQLITE_OK && r == 0) {
		const char *key, *answer;

		if (sqlite3_step(st) != SQLITE_ROW) {
			rc = sqlite3_errcode(s->db);
			break;
		}
		key = (const char *)sqlite3_column_text(st, 0);
		answer = (const char *)sqlite3_column_text(st, 1);
		r = key && answer ? fn(key, answer, user) : -ENOMEM;
	}
	if (r != 0 || rc == SQLITE_OK || rc == SQLITE_DONE)
		return r;
	return state_db_error(s, rc, reterr, "cannot read what resolvers said");
}
