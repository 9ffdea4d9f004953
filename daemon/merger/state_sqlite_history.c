/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What came of conflicts, in SQLite. `attempts`, a row for each merge with conflicts of lines, whose number is that of
 * `merges`; `hunks`, a row for each conflict; `resolutions`, a row for each thing that was said of one. With a hunk goes
 * what was said of it, with a merge its attempt and its hunks.
 */
#include "state_history.h"

#include "cleanup.h"
#include "state_sqlite_query.h"
#include "sys.h"

const char state_schema_history[] =
	"CREATE TABLE attempts ("
	" merge INTEGER PRIMARY KEY REFERENCES merges (id) ON DELETE CASCADE,"
	" time INTEGER NOT NULL, repository TEXT NOT NULL, source TEXT NOT NULL,"
	" target TEXT NOT NULL, ours TEXT NOT NULL, theirs TEXT NOT NULL,"
	" commit_id TEXT NOT NULL, state TEXT NOT NULL) STRICT;"
	"CREATE INDEX attempts_state ON attempts (state);"
	"CREATE TABLE hunks ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" merge INTEGER REFERENCES merges (id) ON DELETE CASCADE, time INTEGER NOT NULL,"
	" repository TEXT NOT NULL, path TEXT NOT NULL, commit_id TEXT NOT NULL,"
	" line INTEGER NOT NULL, base TEXT NOT NULL, ours TEXT NOT NULL, theirs TEXT NOT NULL,"
	" key TEXT NOT NULL, language TEXT NOT NULL, declaration TEXT NOT NULL) STRICT;"
	"CREATE INDEX hunks_merge ON hunks (merge);"
	"CREATE INDEX hunks_repository ON hunks (repository, key);"
	"CREATE TABLE resolutions ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" hunk INTEGER NOT NULL REFERENCES hunks (id) ON DELETE CASCADE,"
	" who TEXT NOT NULL, name TEXT NOT NULL, taken INTEGER NOT NULL, text TEXT NOT NULL,"
	" class TEXT NOT NULL, reason TEXT NOT NULL, fired INTEGER NOT NULL,"
	" right INTEGER NOT NULL, verdict TEXT NOT NULL) STRICT;"
	"CREATE INDEX resolutions_hunk ON resolutions (hunk);";

static const char failed_write[] = "cannot write the history of merges";
static const char failed_read[] = "cannot read the history of merges";

int state_history_begin(struct state *s, struct err *reterr)
{
	int rc = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : state_db_error(s, rc, reterr, failed_write);
}

int state_history_end(struct state *s, int r, struct err *reterr)
{
	int rc = r < 0 ? SQLITE_OK : sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);

	if (rc != SQLITE_OK)
		r = state_db_error(s, rc, reterr, failed_write);
	if (r < 0)
		(void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

int state_attempt_add(struct state *s, const struct state_attempt *a, struct err *reterr)
{
	const struct sql_value v[] = {{NULL, a->merge},	  {NULL, (int64_t)a->time},
				      {a->repository, 0}, {a->source, 0},
				      {a->into, 0},	  {a->ours, 0},
				      {a->theirs, 0},	  {a->commit, 0},
				      {a->state, 0}};

	return sql_write(s, "INSERT INTO attempts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)", v,
			 ARRAY_SIZE(v), failed_write, reterr);
}

int state_hunk_add(struct state *s, struct state_hunk *h, struct err *reterr)
{
	const struct sql_value v[] = {{NULL, h->merge},	  {NULL, (int64_t)h->time},
				      {h->repository, 0}, {h->path, 0},
				      {h->commit, 0},	  {NULL, h->line},
				      {h->base, 0},	  {h->ours, 0},
				      {h->theirs, 0},	  {h->key, 0},
				      {h->language, 0},	  {h->declaration, 0}};
	int r = sql_write(s,
			  "INSERT INTO hunks (merge, time, repository, path, commit_id, line,"
			  " base, ours, theirs, key, language, declaration) VALUES"
			  " (nullif(?1, 0), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
			  v, ARRAY_SIZE(v), failed_write, reterr);

	if (r == 0)
		h->id = sqlite3_last_insert_rowid(s->db);
	return r;
}

int state_said_add(struct state *s, int64_t hunk, const struct state_said *said, struct err *reterr)
{
	const struct sql_value v[] = {{NULL, hunk},	   {said->who, 0},	{said->name, 0},
				      {NULL, said->taken}, {said->text, 0},	{said->class, 0},
				      {said->reason, 0},   {NULL, said->fired}, {NULL, said->right},
				      {said->verdict, 0}};

	return sql_write(s,
			 "INSERT INTO resolutions (hunk, who, name, taken, text, class, reason,"
			 " fired, right, verdict) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
			 v, ARRAY_SIZE(v), failed_write, reterr);
}

int state_attempt_set(struct state *s, int64_t merge, const char *state, struct err *reterr)
{
	const struct sql_value v[] = {{NULL, merge}, {state, 0}};
	int r = sql_write(s,
			  "UPDATE attempts SET state = ?2 WHERE merge = ?1 AND"
			  " state IN ('open', 'watched')",
			  v, ARRAY_SIZE(v), failed_write, reterr);

	return r < 0 ? r : sqlite3_changes(s->db) > 0;
}

int state_said_judge(struct state *s, int64_t hunk, const char *name, const char *verdict,
		     struct err *reterr)
{
	const struct sql_value v[] = {{NULL, hunk}, {name, 0}, {verdict, 0}};

	return sql_write(s,
			 "UPDATE resolutions SET verdict = ?3 WHERE hunk = ?1 AND who <> 'person'"
			 " AND (name = ?2 OR (?2 = '' AND taken = 1))",
			 v, ARRAY_SIZE(v), failed_write, reterr);
}

int state_merge_judge(struct state *s, int64_t merge, const char *verdict, struct err *reterr)
{
	const struct sql_value v[] = {{NULL, merge}, {verdict, 0}};

	return sql_write(s,
			 "UPDATE resolutions SET verdict = ?2 WHERE taken = 1 AND"
			 " who <> 'person' AND hunk IN (SELECT id FROM hunks WHERE merge = ?1)",
			 v, ARRAY_SIZE(v), failed_write, reterr);
}

int state_merge_undone(struct state *s, int64_t merge, struct err *reterr)
{
	const struct sql_value v[] = {{NULL, merge}};

	return sql_write(s, "UPDATE merges SET state = 'undone' WHERE id = ?1", v, 1, failed_write,
			 reterr);
}

int state_history_prune(struct state *s, uint64_t now, struct err *reterr)
{
	const uint64_t age = (uint64_t)HISTORY_DAYS_MAX * 86400 * 1000000000;
	const struct sql_value before[] = {{NULL, (int64_t)(now > age ? now - age : 0)}};
	const struct sql_value most[] = {{NULL, HISTORY_HUNKS_MAX}};
	int r = sql_write(s, "DELETE FROM merges WHERE time < ?1", before, 1, failed_write, reterr);

	if (r == 0)
		r = sql_write(s, "DELETE FROM hunks WHERE time < ?1", before, 1, failed_write,
			      reterr);
	if (r == 0)
		r = sql_write(s, "DELETE FROM hunks WHERE id <= (SELECT max(id) FROM hunks) - ?1",
			      most, 1, failed_write, reterr);
	return r;
}

struct attempt_call {
	state_attempt_fn fn;
	void *user;
};

static int attempt_row(sqlite3_stmt *st, void *user)
{
	const struct attempt_call *c = user;
	const struct state_attempt a = {
		.merge = sqlite3_column_int64(st, 0),
		.time = (uint64_t)sqlite3_column_int64(st, 1),
		.repository = sql_text(st, 2),
		.source = sql_text(st, 3),
		.into = sql_text(st, 4),
		.ours = sql_text(st, 5),
		.theirs = sql_text(st, 6),
		.commit = sql_text(st, 7),
		.state = sql_text(st, 8),
	};

	return c->fn(&a, c->user);
}

int state_attempts(struct state *s, const char *state, state_attempt_fn fn, void *user,
		   struct err *reterr)
{
	const struct sql_value v[] = {{state, 0}};
	struct attempt_call c = {fn, user};

	return sql_each(s, "SELECT * FROM attempts WHERE state = ?1 ORDER BY merge DESC", v, 1,
			attempt_row, &c, failed_read, reterr);
}

static int note_row(sqlite3_stmt *st, void *user)
{
	*(bool *)user = true;
	return 0;
}

int state_hunk_known(struct state *s, const char *repository, const char *commit, const char *path,
		     const char *key, struct err *reterr)
{
	const struct sql_value v[] = {{repository, 0}, {commit, 0}, {path, 0}, {key, 0}};
	bool known = false;
	int r = sql_each(s,
			 "SELECT 1 FROM hunks WHERE repository = ?1 AND key = ?4 AND"
			 " commit_id = ?2 AND path = ?3 LIMIT 1",
			 v, ARRAY_SIZE(v), note_row, &known, failed_read, reterr);

	return r < 0 ? r : known;
}

struct history_call {
	state_history_fn fn;
	void *user;
};

static int history_row(sqlite3_stmt *st, void *user)
{
	const struct history_call *c = user;
	const struct state_hunk h = {
		.id = sqlite3_column_int64(st, 0),
		.merge = sqlite3_column_int64(st, 1),
		.time = (uint64_t)sqlite3_column_int64(st, 2),
		.repository = sql_text(st, 3),
		.path = sql_text(st, 4),
		.commit = sql_text(st, 5),
		.line = sqlite3_column_int64(st, 6),
		.base = sql_text(st, 7),
		.ours = sql_text(st, 8),
		.theirs = sql_text(st, 9),
		.key = sql_text(st, 10),
		.language = sql_text(st, 11),
		.declaration = sql_text(st, 12),
	};
	const struct state_said said = {
		.who = sql_text(st, 13),
		.name = sql_text(st, 14),
		.taken = sqlite3_column_int64(st, 15) != 0,
		.text = sql_text(st, 16),
		.class = sql_text(st, 17),
		.reason = sql_text(st, 18),
		.fired = (uint32_t)sqlite3_column_int64(st, 19),
		.right = (uint32_t)sqlite3_column_int64(st, 20),
		.verdict = sql_text(st, 21),
	};

	return c->fn(&h, *said.who ? &said : NULL, c->user);
}

int state_history(struct state *s, const struct state_history_filter *f, state_history_fn fn,
		  void *user, struct err *reterr)
{
	const struct sql_value v[] = {{f->repository ? f->repository : "", 0},
				      {NULL, f->merge},
				      {f->path ? f->path : "", 0},
				      {NULL, f->taken},
				      {NULL, f->person},
				      {NULL, f->limit}};
	struct history_call c = {fn, user};

	return sql_each(
		s,
		"SELECT h.id, h.merge, h.time, h.repository, h.path, h.commit_id, h.line, h.base,"
		" h.ours, h.theirs, h.key, h.language, h.declaration, r.who, r.name, r.taken, r.text,"
		" r.class, r.reason, r.fired, r.right, r.verdict"
		" FROM hunks h LEFT JOIN resolutions r ON r.hunk = h.id"
		" WHERE ?1 IN ('', h.repository) AND ?2 IN (0, h.merge) AND ?3 IN ('', h.path)"
		" AND (?4 = 0 OR r.taken = 1) AND (?5 = 0 OR r.who = 'person')"
		" ORDER BY h.id DESC, r.id LIMIT ?6",
		v, ARRAY_SIZE(v), history_row, &c, failed_read, reterr);
}

struct record_call {
	state_record_fn fn;
	void *user;
};

static int record_row(sqlite3_stmt *st, void *user)
{
	const struct record_call *c = user;
	const struct state_record r = {.repository = sql_text(st, 0),
				       .resolver = sql_text(st, 1),
				       .fired = (uint32_t)sqlite3_column_int64(st, 2),
				       .right = (uint32_t)sqlite3_column_int64(st, 3),
				       .language = sql_text(st, 4),
				       .paths = "plain"};

	return c->fn(&r, c->user);
}

int state_history_repositories(struct state *s, state_record_fn fn, void *user, struct err *reterr)
{
	struct record_call c = {fn, user};

	return sql_each(s, "SELECT DISTINCT repository, '', 0, 0, '' FROM hunks", NULL, 0,
			record_row, &c, failed_read, reterr);
}

int state_live_records(struct state *s, state_record_fn fn, void *user, struct err *reterr)
{
	struct record_call c = {fn, user};

	return sql_each(s,
			"SELECT h.repository, r.name, count(*), sum(r.verdict = 'right'),"
			" h.language"
			" FROM resolutions r JOIN hunks h ON h.id = r.hunk"
			" WHERE r.verdict <> '' AND r.who <> 'person' GROUP BY 1, 2, 5",
			NULL, 0, record_row, &c, failed_read, reterr);
}
