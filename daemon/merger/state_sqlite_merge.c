/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is known of merging. `resolver_records`, a row for each repository, resolver, language and class of
 * paths (merge/language.h): how often it had an answer in `merges` historic merges, how often the right
 * one, and when that was learned (ns). Rows of version 2 have neither language nor paths: "".
 * `merges`, a row for each merge that was tried and was no dry run; ids are never used again.
 */
#include "state_sqlite.h"

#include "cleanup.h"
#include "sys.h"

const char state_schema_records[] =
	"ALTER TABLE resolver_records RENAME TO resolver_records_2;"
	"CREATE TABLE resolver_records ("
	" repository TEXT NOT NULL, resolver TEXT NOT NULL, language TEXT NOT NULL,"
	" paths TEXT NOT NULL, fired INTEGER NOT NULL, right INTEGER NOT NULL,"
	" merges INTEGER NOT NULL, learned INTEGER NOT NULL,"
	" PRIMARY KEY (repository, resolver, language, paths)) STRICT;"
	"INSERT INTO resolver_records SELECT repository, resolver, '', '', fired, right, merges,"
	" learned FROM resolver_records_2;"
	"DROP TABLE resolver_records_2;";

static void stmt_free(sqlite3_stmt *st)
{
	(void)sqlite3_finalize(st);
}
DEFINE_CLEANUP(sqlite3_stmt *, stmt_free);

static int put_all(struct state *s, const char *repository, uint64_t merges,
		   const struct state_record *v, size_t n)
{
	_cleanup_(stmt_freep) sqlite3_stmt *gone = NULL, *add = NULL;
	int rc = sqlite3_prepare_v2(s->db, "DELETE FROM resolver_records WHERE repository = ?1", -1,
				    &gone, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(gone, 1, repository, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(gone) == SQLITE_DONE ? SQLITE_OK : sqlite3_errcode(s->db);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(s->db,
					"INSERT INTO resolver_records (repository, resolver, fired,"
					" right, merges, learned, language, paths)"
					" VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
					-1, &add, NULL);
	for (size_t i = 0; i < n && rc == SQLITE_OK; i++) {
		(void)sqlite3_bind_text(add, 1, repository, -1, SQLITE_STATIC);
		(void)sqlite3_bind_text(add, 2, v[i].resolver, -1, SQLITE_STATIC);
		(void)sqlite3_bind_int64(add, 3, v[i].fired);
		(void)sqlite3_bind_int64(add, 4, v[i].right);
		(void)sqlite3_bind_int64(add, 5, (sqlite3_int64)merges);
		(void)sqlite3_bind_int64(add, 6, (sqlite3_int64)sys_now_ns());
		(void)sqlite3_bind_text(add, 7, v[i].language, -1, SQLITE_STATIC);
		(void)sqlite3_bind_text(add, 8, v[i].paths, -1, SQLITE_STATIC);
		rc = sqlite3_step(add) == SQLITE_DONE ? sqlite3_reset(add) : sqlite3_errcode(s->db);
	}
	return rc;
}

int state_records_put(struct state *s, const char *repository, uint64_t merges,
		      const struct state_record *v, size_t n, struct err *reterr)
{
	int rc = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	if (rc == SQLITE_OK) {
		rc = put_all(s, repository, merges, v, n);
		if (rc == SQLITE_OK)
			rc = sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL);
		if (rc != SQLITE_OK) {
			int r = state_db_error(s, rc, reterr, "cannot write what was learned");

			(void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
			return r;
		}
		return 0;
	}
	return state_db_error(s, rc, reterr, "cannot write what was learned");
}

int state_records(struct state *s, state_record_fn fn, void *user, struct err *reterr)
{
	_cleanup_(stmt_freep) sqlite3_stmt *st = NULL;
	int r = 0, rc = sqlite3_prepare_v2(s->db,
					   "SELECT repository, resolver, fired, right, language,"
					   " paths FROM resolver_records"
					   " ORDER BY repository, resolver, language, paths",
					   -1, &st, NULL);

	while (rc == SQLITE_OK && r == 0) {
		struct state_record one;

		if (sqlite3_step(st) != SQLITE_ROW) {
			rc = sqlite3_errcode(s->db);
			break;
		}
		one = (struct state_record){
			.repository = (const char *)sqlite3_column_text(st, 0),
			.resolver = (const char *)sqlite3_column_text(st, 1),
			.fired = (uint32_t)sqlite3_column_int64(st, 2),
			.right = (uint32_t)sqlite3_column_int64(st, 3),
			.language = (const char *)sqlite3_column_text(st, 4),
			.paths = (const char *)sqlite3_column_text(st, 5),
		};
		r = one.repository && one.resolver && one.language && one.paths ? fn(&one, user)
										: -ENOMEM;
	}
	if (r != 0 || rc == SQLITE_OK || rc == SQLITE_DONE)
		return r;
	return state_db_error(s, rc, reterr, "cannot read what was learned");
}

int state_merge_add(struct state *s, struct state_merge *m, struct err *reterr)
{
	const char *const text[] = {m->repository, m->source, m->into,	m->state,
				    m->tier,	   m->commit, m->result};
	_cleanup_(stmt_freep) sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(s->db,
				    "INSERT INTO merges (time, uid, repository, source, target,"
				    " state, tier, commit_id, result)"
				    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
				    -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 1, (sqlite3_int64)m->time);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 2, m->uid);
	for (int i = 0; i < (int)ARRAY_SIZE(text) && rc == SQLITE_OK; i++)
		rc = sqlite3_bind_text(st, i + 3, text[i], -1, SQLITE_STATIC);
	if (rc == SQLITE_OK && sqlite3_step(st) != SQLITE_DONE)
		rc = sqlite3_errcode(s->db);
	if (rc != SQLITE_OK)
		return state_db_error(s, rc, reterr, "cannot write the merge down");
	m->id = sqlite3_last_insert_rowid(s->db);
	return 0;
}

static void read_merge(sqlite3_stmt *st, struct state_merge *m)
{
	const char **const text[] = {&m->repository, &m->source, &m->into,  &m->state,
				     &m->tier,	     &m->commit, &m->result};

	m->id = sqlite3_column_int64(st, 0);
	m->time = (uint64_t)sqlite3_column_int64(st, 1);
	m->uid = (uint32_t)sqlite3_column_int64(st, 2);
	for (int i = 0; i < (int)ARRAY_SIZE(text); i++) {
		const char *value = (const char *)sqlite3_column_text(st, i + 3);

		*text[i] = value ? value : "";
	}
}

int state_merges(struct state *s, int64_t id, state_merge_fn fn, void *user, struct err *reterr)
{
	_cleanup_(stmt_freep) sqlite3_stmt *st = NULL;
	int r = 0,
	    rc = sqlite3_prepare_v2(s->db,
				    "SELECT id, time, uid, repository, source, target, state,"
				    " tier, commit_id, result FROM merges"
				    " WHERE ?1 IN (0, id) ORDER BY id DESC",
				    -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 1, id);
	while (rc == SQLITE_OK && r == 0) {
		struct state_merge m;

		if (sqlite3_step(st) != SQLITE_ROW) {
			rc = sqlite3_errcode(s->db);
			break;
		}
		read_merge(st, &m);
		r = fn(&m, user);
	}
	if (r != 0 || rc == SQLITE_OK || rc == SQLITE_DONE)
		return r;
	return state_db_error(s, rc, reterr, "cannot read the merges");
}
