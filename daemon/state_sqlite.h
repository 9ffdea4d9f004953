/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sqlite3.h>

#include "state.h"

/* What the files that know SQL share and nobody else sees. */
struct state {
	sqlite3 *db;
};

/* What a version of the schema adds, each in the file of its subject. */
extern const char state_schema_records[]; /* merger/state_sqlite_merge.c */

/* "what: SQLite's words" with its -errno; a damaged database says so. Returns it. */
int state_db_error(struct state *s, int rc, struct err *e, const char *what);

/* What a schema version adds, a text of statements for each subject: state_sqlite_<subject>.c. */
extern const char state_schema_ai[];
extern const char state_schema_history[];
extern const char state_schema_approvals[];
extern const char state_schema_told[];
/* What a subject's file adds to the schema. */
extern const char state_schema_queue[];
