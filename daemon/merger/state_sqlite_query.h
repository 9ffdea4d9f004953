/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "state_sqlite.h"

/* Statements with values, for the files that keep what merges leave behind. */

/* Text, or a number where that is NULL. Borrowed until the statement has run. */
struct sql_value {
	const char *text;
	int64_t n;
};

/* A statement that gives no rows; `failed` begins the sentence of an error. Errors: as state_db_error(). */
int sql_write(struct state *s, const char *sql, const struct sql_value *v, size_t n,
	      const char *failed, struct err *reterr);

/* A query: fn for each row; what it returns, unless it is 0, ends the query and is returned. */
int sql_each(struct state *s, const char *sql, const struct sql_value *v, size_t n,
	     int (*fn)(sqlite3_stmt *st, void *user), void *user, const char *failed,
	     struct err *reterr);

/* The text of a column, "" for none; borrowed until the next row. */
const char *sql_text(sqlite3_stmt *st, int column);
