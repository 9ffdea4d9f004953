/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state in SQLite, and the only file that knows it.
 *
 * Guarantees:
 * 1. What a function that returned 0 wrote is there after kill -9 and after power loss (WAL,
 *    synchronous=FULL: each commit syncs the log).
 * 2. Each function is one transaction: after a crash its change is there wholly or not at all.
 * 3. At most one view that is not closed has a given agent's name (a partial unique index).
 * 4. A database that is damaged, newer than we know, or another program's is refused and not
 *    written to. (application_id says whose it is, user_version which schema.)
 * 5. An older schema is migrated in one transaction, after a copy was made beside.
 *
 * Schema, version 1: `views`, a column for each field of struct view_row, in the order of
 * view_columns[]; `meta` (key, value), for facts of the whole daemon. Version 2: `resolver_records`
 * and `merges` (merger/state_sqlite_merge.c). Version 3: see schema[].
 */
#include "state_sqlite.h"

#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "sys.h"

enum { STATE_VERSION = 3, STATE_APPLICATION = 0x41474653 /* AGFS */ };

/* Kinds of columns; where a field lives in struct view_row. */
enum column_kind { COL_TEXT, COL_U32, COL_U64, COL_BOOL, COL_STATE };

static const struct column {
	const char *name;
	enum column_kind kind;
	size_t offset;
} view_columns[] = {
#define COL(kind, name)                                                                            \
	{                                                                                          \
#name, kind, offsetof(struct view_row, name)                                       \
	}
	COL(COL_TEXT, id),
	COL(COL_TEXT, agent),
	COL(COL_TEXT, task),
	COL(COL_TEXT, role),
	COL(COL_TEXT, department),
	COL(COL_TEXT, branch),
	COL(COL_TEXT, target),
	COL(COL_TEXT, repository),
	COL(COL_TEXT, worktree),
	COL(COL_TEXT, asked_repository),
	COL(COL_TEXT, asked_base),
	COL(COL_TEXT, base),
	COL(COL_TEXT, tree),
	COL(COL_TEXT, image),
	{"image_index", COL_TEXT, offsetof(struct view_row, index)},
	COL(COL_TEXT, scope),
	{"user_name", COL_TEXT, offsetof(struct view_row, user)},
	COL(COL_TEXT, mount),
	COL(COL_TEXT, git),
	COL(COL_U32, uid),
	COL(COL_U32, gid),
	COL(COL_U32, owner_uid),
	COL(COL_BOOL, mount_made),
	COL(COL_BOOL, branch_made),
	COL(COL_BOOL, delete_branch),
	COL(COL_STATE, state),
	COL(COL_U64, created),
	COL(COL_U64, closed),
#undef COL
};
enum { COLUMNS = ARRAY_SIZE(view_columns) };

static const char schema_v1[] =
	"CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;"
	"CREATE TABLE views ("
	" id TEXT PRIMARY KEY NOT NULL, agent TEXT NOT NULL, task TEXT NOT NULL, role TEXT NOT NULL,"
	" department TEXT NOT NULL, branch TEXT NOT NULL, target TEXT NOT NULL,"
	" repository TEXT NOT NULL, worktree TEXT NOT NULL, asked_repository TEXT NOT NULL,"
	" asked_base TEXT NOT NULL, base TEXT NOT NULL, tree TEXT NOT NULL, image TEXT NOT NULL,"
	" image_index TEXT NOT NULL, scope TEXT NOT NULL, user_name TEXT NOT NULL,"
	" mount TEXT NOT NULL, git TEXT NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL,"
	" owner_uid INTEGER NOT NULL, mount_made INTEGER NOT NULL, branch_made INTEGER NOT NULL,"
	" delete_branch INTEGER NOT NULL, state TEXT NOT NULL, created INTEGER NOT NULL,"
	" closed INTEGER NOT NULL) STRICT;"
	"CREATE UNIQUE INDEX views_agent ON views (agent) WHERE state <> 'closed';"
	"CREATE INDEX views_created ON views (created);";

static const char schema_v2[] =
	"CREATE TABLE resolver_records ("
	" repository TEXT NOT NULL, resolver TEXT NOT NULL, fired INTEGER NOT NULL,"
	" right INTEGER NOT NULL, merges INTEGER NOT NULL, learned INTEGER NOT NULL,"
	" PRIMARY KEY (repository, resolver)) STRICT;"
	"CREATE TABLE merges ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, uid INTEGER NOT NULL,"
	" repository TEXT NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL, state TEXT NOT NULL,"
	" tier TEXT NOT NULL, commit_id TEXT NOT NULL, result TEXT NOT NULL) STRICT;";

/* What each version added, in order; tables of one subject stand in its own file (state_sqlite_<subject>.c). */
static const struct {
	int version;
	const char *sql;
} schema[] = {
	{1, schema_v1},
	{2, schema_v2},
	{3, state_schema_ai},
	{3, state_schema_records},
	{3, state_schema_history},
	{3, state_schema_approvals},
	{3, state_schema_told},
	{3, state_schema_queue},
};

static const char *const state_names[VIEW_STATE_MAX] = {
	[VIEW_CREATING] = "creating", [VIEW_LIVE] = "live",	[VIEW_FROZEN] = "frozen",
	[VIEW_CLOSING] = "closing",   [VIEW_CLOSED] = "closed",
};

const char *view_state_name(enum view_state s)
{
	return state_names[s];
}

int view_state_parse(const char *name)
{
	for (int i = 0; i < VIEW_STATE_MAX; i++)
		if (strcmp(name, state_names[i]) == 0)
			return i;
	return -EINVAL;
}

static char **text_field(const struct view_row *v, const struct column *c)
{
	return (char **)((const char *)v + c->offset);
}

int view_row_init(struct view_row *v)
{
	memset(v, 0, sizeof(*v));
	for (size_t i = 0; i < COLUMNS; i++) {
		const struct column *c = &view_columns[i];

		if (c->kind != COL_TEXT)
			continue;
		*text_field(v, c) = sys_strdup("");
		if (!*text_field(v, c)) {
			view_row_release(v);
			return -ENOMEM;
		}
	}
	return 0;
}

void view_row_release(struct view_row *v)
{
	if (!v)
		return;
	for (size_t i = 0; i < COLUMNS; i++)
		if (view_columns[i].kind == COL_TEXT)
			free(*text_field(v, &view_columns[i]));
	memset(v, 0, sizeof(*v));
}

int view_row_copy(const struct view_row *v, struct view_row *ret)
{
	struct view_row copy = *v;

	for (size_t i = 0; i < COLUMNS; i++)
		if (view_columns[i].kind == COL_TEXT)
			*text_field(&copy, &view_columns[i]) = NULL;
	for (size_t i = 0; i < COLUMNS; i++) {
		const struct column *c = &view_columns[i];

		if (c->kind != COL_TEXT)
			continue;
		*text_field(&copy, c) = sys_strdup(*text_field(v, c));
		if (!*text_field(&copy, c)) {
			view_row_release(&copy);
			return -ENOMEM;
		}
	}
	*ret = copy;
	return 0;
}

int view_row_set(char **field, const char *text)
{
	char *copy = sys_strdup(text);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

/* SQLite's primary result codes → -errno. */
static int sqlite_errno(int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
		return -EBADMSG;
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_CANTOPEN:
		return -EACCES;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	default:
		return -EIO;
	}
}

int state_db_error(struct state *s, int rc, struct err *e, const char *what)
{
	int r = sqlite_errno(rc);

	if (r == -EBADMSG)
		return err_set_id(e, r, "Damaged",
				  "%s: the state database is damaged (%s); it was "
				  "left as it is: put a copy in its place, or move it away",
				  what, s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
	return err_set(e, r, "%s: %s", what, s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
}

static int db_exec(struct state *s, const char *sql, struct err *e, const char *what)
{
	int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : state_db_error(s, rc, e, what);
}

static void stmt_free(sqlite3_stmt *st)
{
	(void)sqlite3_finalize(st); /* repeats the error of the last step */
}
DEFINE_CLEANUP(sqlite3_stmt *, stmt_free);

/* The single number or text a statement gives. */
static int db_get_int(struct state *s, const char *sql, int64_t *ret, struct err *e)
{
	_cleanup_(stmt_freep) sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc != SQLITE_ROW)
		return state_db_error(s, rc, e, "cannot read the state");
	*ret = sqlite3_column_int64(st, 0);
	return 0;
}

static int check_integrity(struct state *s, struct err *e)
{
	_cleanup_(stmt_freep) sqlite3_stmt *st = NULL;
	const char *text;
	int rc = sqlite3_prepare_v2(s->db, "PRAGMA quick_check(1)", -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc != SQLITE_ROW)
		return state_db_error(s, rc, e, "cannot check the state");
	text = (const char *)sqlite3_column_text(st, 0);
	if (!text || strcmp(text, "ok") != 0)
		return err_set_id(e, -EBADMSG, "Damaged",
				  "the state database is damaged (%s); it was left as it is: put a "
				  "copy in its place, or move it away",
				  text ? text : "no answer");
	return 0;
}

/* Copies the database to `path`.v<version>, with what is in its log. */
static int back_up(struct state *s, const char *path, int64_t version, struct err *e)
{
	char *copy = sqlite3_mprintf("%s.v%lld", path, (long long)version);
	char *sql = copy ? sqlite3_mprintf("VACUUM INTO %Q", copy) : NULL;
	int r = -ENOMEM;

	if (sql) {
		(void)unlink(copy); /* of a migration that did not get through */
		r = db_exec(s, sql, e, "cannot copy the state before its migration");
	}
	sqlite3_free(sql);
	sqlite3_free(copy);
	return r;
}

/* Brings the schema from `version` to ours; 0 is an empty database. */
static int migrate(struct state *s, const char *path, int64_t version, struct err *e)
{
	_cleanup_buf_ struct buf sql = BUF_INIT;
	int r;

	if (version > 0) {
		r = back_up(s, path, version, e);
		if (r < 0)
			return r;
	}
	r = buf_adds(&sql, "BEGIN IMMEDIATE; ");
	for (size_t i = 0; i < ARRAY_SIZE(schema) && r == 0; i++)
		if (version < schema[i].version)
			r = buf_adds(&sql, schema[i].sql);
	if (r == 0)
		r = buf_addf(&sql, " PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
			     STATE_APPLICATION, STATE_VERSION);
	if (r < 0)
		return r;
	r = db_exec(s, sql.data, e, "cannot prepare the state database");
	if (r < 0)
		(void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

/* Is it ours, and do we know its version? Nothing is written before this has passed. */
static int check_and_migrate(struct state *s, const char *path, struct err *e)
{
	int64_t version = 0, app = 0, tables = 0;
	int r = db_get_int(s, "PRAGMA user_version", &version, e);

	if (r == 0)
		r = db_get_int(s, "PRAGMA application_id", &app, e);
	if (r == 0)
		r = db_get_int(s, "SELECT count(*) FROM sqlite_schema", &tables, e);
	if (r == 0)
		r = check_integrity(s, e);
	if (r < 0)
		return r;
	if (tables > 0 && app != STATE_APPLICATION)
		return err_set_id(e, -EPROTONOSUPPORT, "Unsupported",
				  "'%s' is a database of another program", path);
	if (version > STATE_VERSION)
		return err_set_id(
			e, -EPROTONOSUPPORT, "Unsupported",
			"'%s' was written by a newer agentfsd (version %lld, this one knows "
			"%d): start that one, or use another --state",
			path, (long long)version, STATE_VERSION);
	if (version == STATE_VERSION)
		return 0;
	return migrate(s, path, version, e);
}

int state_open(const char *path, struct state **ret, struct err *reterr)
{
	struct state *s = sys_calloc(1, sizeof(*s));
	int r, rc;

	if (!s)
		return err_set(reterr, -ENOMEM, "cannot open '%s'", path);
	rc = sqlite3_open_v2(path, &s->db,
			     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOFOLLOW |
				     SQLITE_OPEN_FULLMUTEX,
			     NULL);
	if (rc == SQLITE_OK)
		(void)sqlite3_busy_timeout(s->db, 2000);
	r = rc == SQLITE_OK ? 0 : state_db_error(s, rc, reterr, "cannot open the state database");
	if (r == 0)
		r = check_and_migrate(s, path, reterr);
	if (r == 0)
		r = db_exec(s,
			    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; "
			    "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF",
			    reterr, "cannot prepare the state database");
	if (r < 0) {
		if (reterr && !strstr(err_text(reterr), path))
			(void)err_wrap(reterr, "'%s'", path);
		state_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void state_close(struct state *s)
{
	if (!s)
		return;
	(void)sqlite3_close_v2(
		s->db); /* only fails with statements left, which it then takes along */
	free(s);
}

/* Binds every column of a row, in order, from parameter 1 on. */
static int bind_row(sqlite3_stmt *st, const struct view_row *v)
{
	int rc = SQLITE_OK;

	for (int i = 0; i < COLUMNS && rc == SQLITE_OK; i++) {
		const void *p = (const char *)v + view_columns[i].offset;

		switch (view_columns[i].kind) {
		case COL_TEXT:
			rc = sqlite3_bind_text(st, i + 1, *(char *const *)p, -1, SQLITE_STATIC);
			break;
		case COL_U32:
			rc = sqlite3_bind_int64(st, i + 1, *(const uint32_t *)p);
			break;
		case COL_U64:
			rc = sqlite3_bind_int64(st, i + 1, (int64_t) * (const uint64_t *)p);
			break;
		case COL_BOOL:
			rc = sqlite3_bind_int64(st, i + 1, *(const bool *)p);
			break;
		case COL_STATE:
			rc = sqlite3_bind_text(st, i + 1, view_state_name(v->state), -1,
					       SQLITE_STATIC);
			break;
		}
	}
	return rc;
}

/* Reads the current row of a SELECT of all columns. Errors: -ENOMEM, -EBADMSG. */
static int read_row(sqlite3_stmt *st, struct view_row *ret)
{
	struct view_row v;
	int r = view_row_init(&v);

	for (int i = 0; i < COLUMNS && r == 0; i++) {
		void *p = (char *)&v + view_columns[i].offset;
		const char *text;

		switch (view_columns[i].kind) {
		case COL_TEXT:
			text = (const char *)sqlite3_column_text(st, i);
			r = text ? view_row_set(p, text) : -ENOMEM;
			break;
		case COL_U32:
			*(uint32_t *)p = (uint32_t)sqlite3_column_int64(st, i);
			break;
		case COL_U64:
			*(uint64_t *)p = (uint64_t)sqlite3_column_int64(st, i);
			break;
		case COL_BOOL:
			*(bool *)p = sqlite3_column_int64(st, i) != 0;
			break;
		case COL_STATE:
			text = (const char *)sqlite3_column_text(st, i);
			r = text ? view_state_parse(text) : -ENOMEM;
			if (r >= 0) {
				v.state = (enum view_state)r;
				r = 0;
			} else if (r == -EINVAL) {
				r = -EBADMSG;
			}
			break;
		}
	}
	if (r < 0) {
		view_row_release(&v);
		return r;
	}
	*ret = v;
	return 0;
}

/* "a, b, c" with a suffix after each name ("" or " = ?"), or "?, ?, ?". */
static void list_columns(char *out, size_t size, const char *suffix, bool marks)
{
	size_t n = 0;

	for (size_t i = 0; i < COLUMNS; i++)
		n += (size_t)snprintf(out + n, n < size ? size - n : 0, "%s%s%s", i ? ", " : "",
				      marks ? "?" : view_columns[i].name, marks ? "" : suffix);
}

/* Runs a statement whose parameters are a row's columns and, where given, its id behind them. */
static int write_row(struct state *s, const char *sql, const struct view_row *v, const char *id,
		     struct err *e, const char *what)
{
	_cleanup_(stmt_freep) sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);

	if (rc == SQLITE_OK && v)
		rc = bind_row(st, v);
	if (rc == SQLITE_OK && id)
		rc = sqlite3_bind_text(st, v ? COLUMNS + 1 : 1, id, -1, SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc != SQLITE_DONE)
		return state_db_error(s, rc, e, what);
	return sqlite3_changes(s->db) > 0 ? 0 : err_set(e, -ENOENT, "%s: no such view", what);
}

int state_view_add(struct state *s, const struct view_row *v, struct err *reterr)
{
	char names[1024], marks[256], sql[2048];

	list_columns(names, sizeof(names), "", false);
	list_columns(marks, sizeof(marks), "", true);
	(void)snprintf(sql, sizeof(sql), "INSERT INTO views (%s) VALUES (%s)", names, marks);
	return write_row(s, sql, v, NULL, reterr, "cannot record the view");
}

int state_view_update(struct state *s, const struct view_row *v, struct err *reterr)
{
	char names[1024], sql[2048];

	list_columns(names, sizeof(names), " = ?", false);
	(void)snprintf(sql, sizeof(sql), "UPDATE views SET %s WHERE id = ?", names);
	return write_row(s, sql, v, v->id, reterr, "cannot record the view");
}

int state_view_delete(struct state *s, const char *id, struct err *reterr)
{
	return write_row(s, "DELETE FROM views WHERE id = ?", NULL, id, reterr,
			 "cannot forget the view");
}

int state_views(struct state *s, bool closed, state_view_fn fn, void *user, struct err *reterr)
{
	_cleanup_(stmt_freep) sqlite3_stmt *st = NULL;
	char names[1024], sql[2048];
	int rc, r;

	list_columns(names, sizeof(names), "", false);
	(void)snprintf(sql, sizeof(sql), "SELECT %s FROM views %s ORDER BY created, rowid", names,
		       closed ? "" : "WHERE state <> 'closed'");
	rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);
	while (rc == SQLITE_OK && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		struct view_row v;

		r = read_row(st, &v);
		if (r < 0)
			return err_set(reterr, r, "cannot read the views");
		r = fn(&v, user);
		view_row_release(&v);
		if (r != 0)
			return r;
		rc = SQLITE_OK;
	}
	return rc == SQLITE_DONE ? 0 : state_db_error(s, rc, reterr, "cannot read the views");
}
