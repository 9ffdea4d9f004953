/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "language.h"

/* Counts of answers and of right ones, a row for each resolver, language and class of paths. */

struct evidence {
	unsigned int fired, right;
};

struct record_row {
	const char *resolver, *language;
	enum path_class class;
	struct evidence e;
};

struct records {
	struct record_row *v;
	size_t n, cap;
};

/* What stands in this program: merge/records_shipped.c, written by `tools/bench merge-replay --records`. */
extern const struct records records_shipped;

/* Adds to the row, which is made if need be; the names are borrowed. Errors: -ENOMEM. */
int records_add(struct records *r, const char *resolver, const char *language,
		enum path_class class, struct evidence e);
void records_release(struct records *r);

/* How much of a resolver's record is looked at, finest first. */
enum record_scope { RECORD_CELL, RECORD_LANGUAGE, RECORD_ALL, RECORD_SCOPES };

/* The sum of the rows in that scope; r may be NULL. */
struct evidence records_sum(const struct records *r, const char *resolver, const char *language,
			    enum path_class class, enum record_scope scope);
