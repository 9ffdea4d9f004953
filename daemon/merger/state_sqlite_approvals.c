/* SPDX-License-Identifier: Apache-2.0 */
/* `approvals`: commands from repositories that a person has allowed to run, by their exact text. */
#include "state_sqlite.h"

#include "cleanup.h"
#include "sys.h"

const char state_schema_approvals[] =
	"CREATE TABLE approvals ("
	" repository TEXT NOT NULL, text TEXT NOT NULL, uid INTEGER NOT NULL, time INTEGER NOT NULL,"
	" PRIMARY KEY (repository, text)) STRICT;";

static void stmt_free(sqlite3_stmt *st)
{
	(void)sqlite3_finalize(st);
}
DEFINE_CLEANUP(sqlite3_stmt *, stmt_free);

int state_approval_add(struct state *s, const char *repository, const char *text, uint32_t uid,
		       struct err *reterr)
{
	_cleanup_(stmt_freep) sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(s->db,
				    "INSERT OR REPLACE INTO approvals (repository, text, uid, time)"
				    " VALUES (?1, ?2, ?3, ?4)",
				    -1, &st, NULL);

	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_text(st, 1, repository, -1, SQLITE_STATIC);
		(void)sqlite3_bind_text(st, 2, text, -1, SQLITE_STATIC);
		(void)sqlite3_bind_int64(st, 3, uid);
		(void)sqlite3_bind_int64(st, 4, (sqlite3_int64)sys_now_ns());
		rc = sqlite3_step(st) == SQLITE_DONE ? SQLITE_OK : sqlite3_errcode(s->db);
	}
	return rc == SQLITE_OK ? 0 : state_db_error(s, rc, reterr, "cannot write the approval");
}

int state_approval_has(struct state *s, const char *repository, const char *text,
		       struct err *reterr)
{
	_cleanup_(stmt_freep) sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(s->db,
				    "SELECT 1 FROM approvals WHERE repository = ?1 AND text = ?2",
				    -1, &st, NULL);

	if (rc == SQLITE_OK) {
		(void)sqlite3_bind_text(st, 1, repository, -1, SQLITE_STATIC);
		(void)sqlite3_bind_text(st, 2, text, -1, SQLITE_STATIC);
		rc = sqlite3_step(st);
	}
	if (rc == SQLITE_ROW || rc == SQLITE_DONE)
		return rc == SQLITE_ROW;
	return state_db_error(s, rc, reterr, "cannot read the approvals");
}
