/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `ai_spent`: what merges spent on asking resolvers, a row for each that might. A row is written with all
 * that the merge may spend before it begins, and settled with what it did: of a merge that was killed the
 * most counts, so that a budget is never exceeded. `ai_said`: answers that were believed, as JSON, by the conflict's
 * key (tier_memo.c) and the repository.
 */
#include "state_sqlite_query.h"

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

static const char failed_write[] = "cannot write down what asking resolvers costs";

int state_ai_reserve(struct state *s, uint64_t now, const char *repository,
		     const struct state_cost *most, int64_t *ret_id, struct err *reterr)
{
	const struct sql_value v[] = {{NULL, most->calls},
				      {NULL, most->ms},
				      {NULL, most->tokens},
				      {NULL, (int64_t)now},
				      {repository, 0}};
	int r = sql_write(s,
			  "INSERT INTO ai_spent (calls, ms, tokens, time, repository)"
			  " VALUES (?1, ?2, ?3, ?4, ?5)",
			  v, ARRAY_SIZE(v), failed_write, reterr);

	if (r == 0)
		*ret_id = sqlite3_last_insert_rowid(s->db);
	return r;
}

int state_ai_settle(struct state *s, int64_t id, const struct state_cost *spent, struct err *reterr)
{
	const struct sql_value v[] = {
		{NULL, spent->calls}, {NULL, spent->ms}, {NULL, spent->tokens}, {NULL, id}};

	return sql_write(s, "UPDATE ai_spent SET calls = ?1, ms = ?2, tokens = ?3 WHERE id = ?4", v,
			 ARRAY_SIZE(v), failed_write, reterr);
}

static int spent_row(sqlite3_stmt *st, void *user)
{
	*(struct state_cost *)user = (struct state_cost){(int64_t)sqlite3_column_double(st, 0),
							 (int64_t)sqlite3_column_double(st, 1),
							 (int64_t)sqlite3_column_double(st, 2)};
	return 0;
}

int state_ai_spent(struct state *s, uint64_t since, struct state_cost *ret, struct err *reterr)
{
	const struct sql_value v[] = {{NULL, (int64_t)since}};

	return sql_each(s,
			"SELECT total(calls), total(ms), total(tokens) FROM ai_spent"
			" WHERE time >= ?1",
			v, 1, spent_row, ret, "cannot read what asking resolvers cost", reterr);
}

int state_ai_said_put(struct state *s, int64_t id, uint64_t now, const char *key,
		      const char *answer, bool needs_verify, struct err *reterr)
{
	const struct sql_value v[] = {
		{NULL, id}, {key, 0}, {NULL, (int64_t)now}, {NULL, needs_verify}, {answer, 0}};

	return sql_write(
		s,
		"INSERT OR REPLACE INTO ai_said (repository, key, time, needs_verify, answer)"
		" SELECT repository, ?2, ?3, ?4, ?5 FROM ai_spent WHERE id = ?1",
		v, ARRAY_SIZE(v), failed_write, reterr);
}

int state_ai_said_forget(struct state *s, uint64_t before, uint64_t verified, struct err *reterr)
{
	const struct sql_value v[] = {{NULL, (int64_t)before}, {NULL, (int64_t)verified}};

	return sql_write(s, "DELETE FROM ai_said WHERE time < ?1 OR (needs_verify AND time < ?2)",
			 v, ARRAY_SIZE(v), failed_write, reterr);
}

struct said_call {
	state_ai_said_fn fn;
	void *user;
};

static int said_row(sqlite3_stmt *st, void *user)
{
	const struct said_call *c = user;

	return c->fn(sql_text(st, 0), sql_text(st, 1), c->user);
}

int state_ai_said(struct state *s, const char *repository, state_ai_said_fn fn, void *user,
		  struct err *reterr)
{
	const struct sql_value v[] = {{repository, 0}};
	struct said_call c = {fn, user};

	return sql_each(s,
			"SELECT key, answer FROM ai_said WHERE repository = ?1 ORDER BY time DESC",
			v, 1, said_row, &c, "cannot read what resolvers said", reterr);
}
