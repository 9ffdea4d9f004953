/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What agents were told, so that they are told once: `told`, a row for each key (what it is made of is the
 * caller's), with when. Rows older than 90 days go; views rarely live that long.
 */
#include "state_sqlite.h"

#include "cleanup.h"
#include "sys.h"

const char state_schema_told[] =
	"CREATE TABLE told (key TEXT PRIMARY KEY NOT NULL, time INTEGER NOT NULL) STRICT,"
	" WITHOUT ROWID;";

static const uint64_t keep_ns = UINT64_C(90) * 86400 * 1000000000;

static void stmt_free(sqlite3_stmt *st)
{
	(void)sqlite3_finalize(st);
}
DEFINE_CLEANUP(sqlite3_stmt *, stmt_free);

int state_tell(struct state *s, const char *key, struct err *reterr)
{
	_cleanup_(stmt_freep) sqlite3_stmt *st = NULL;
	uint64_t now = sys_now_ns();
	int rc = sqlite3_prepare_v2(s->db, "INSERT OR IGNORE INTO told (key, time) VALUES (?1, ?2)",
				    -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 2, (sqlite3_int64)now);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc != SQLITE_DONE)
		return state_db_error(s, rc, reterr, "cannot write down what was told");
	return sqlite3_changes(s->db) > 0;
}

int state_told_forget(struct state *s, struct err *reterr)
{
	_cleanup_(stmt_freep) sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(s->db, "DELETE FROM told WHERE time < ?1", -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 1, (sqlite3_int64)(sys_now_ns() - keep_ns));
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	return rc == SQLITE_DONE ? 0 : state_db_error(s, rc, reterr, "cannot tidy what was told");
}
