/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "keyed.h"

/* For readers of formats with one entry a line: walks the lines, keeps the table that is open. */
struct keyed_lines {
	struct text t;
	struct keyed *k;
	size_t at;	  /* where the next line begins */
	size_t table;	  /* the item of the open table, or NO_TABLE */
	struct text line; /* with its end */
	struct text bare; /* without it and the white space around it */
};
enum { NO_TABLE = -1 };

struct keyed_lines keyed_lines(struct text t, struct keyed *k);

/* The next line that is neither blank nor a comment, which begins with one of `marks`; false at the end. */
bool keyed_next_line(struct keyed_lines *l, const char *marks);

/* The line as an item of the open table; an entry's value is `value`. Returns 1, 0 or -ENOMEM. */
int keyed_add_line(struct keyed_lines *l, struct text key, enum keyed_role role, struct text value);

/* The next line belongs to the last item as well: its value goes on, from where it begins, to the line's end. */
void keyed_join_line(struct keyed_lines *l);

/* The line begins a table (under no other) whose name is `key`. */
int keyed_open_line(struct keyed_lines *l, struct text key);

struct text text_from(struct text t, size_t at);
struct text text_until(struct text t, size_t n);
