/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>
#include <time.h>

enum out_color { OUT_PLAIN, OUT_BOLD, OUT_DIM, OUT_RED, OUT_GREEN, OUT_YELLOW, OUT_CYAN };

/* Decides on colours, once: "auto" (a terminal, and neither NO_COLOR nor TERM=dumb), "always",
 * "never". */
void out_setup(const char *color);

/* The sequences that begin and end a colour; empty strings where colours are off. */
const char *out_on(enum out_color color);
const char *out_off(enum out_color color);

/* A copy in which control characters, bytes that are no UTF-8 and characters that turn the
 * direction of text are spelt out (\n, \x1b, \u{202e}), so that a name can neither move the
 * cursor nor look like another. Caller frees; never NULL (ends the program without memory). */
char *out_escape(const char *s);

/* The same, written to f. NULL writes nothing. */
void out_text(FILE *f, const char *s);
/* A line of a file: the same, but that tabs stay. */
void out_line(FILE *f, const char *s);
/* How many of n bytes are shown where at most max are: no character is cut in two. */
size_t out_fit(const char *s, size_t n, size_t max);

/* The beginning of a commit's id, escaped like any text. */
void out_id(FILE *f, const char *id);

/* A word as a shell reads it back; escaped, so that a strange one is shown and not run. */
void out_quoted(FILE *f, const char *s);

/* Text of several lines from the daemon or from a commit: every line escaped but for tabs,
 * indented by `indent` spaces, ended with a newline. */
void out_block(FILE *f, const char *s, int indent);

/* How many columns a string takes on a terminal. */
size_t out_width(const char *s);

/* Rows of cells in aligned columns. Cells are copied and escaped; the last column is not padded. */
struct out_table {
	size_t columns;
	char **cells;
	enum out_color *colors; /* one per row */
	size_t rows;
};

/* Adds a row of t->columns strings (NULL: "-"). */
void out_row(struct out_table *t, enum out_color color, const char *const *cells);
void out_table_print(FILE *f, const struct out_table *t);
void out_table_release(struct out_table *t);

/* Seconds since the epoch of an RFC 3339 time. Errors: -EINVAL. */
int out_time(const char *rfc3339, time_t *ret, long *ret_nsec);

/* "12 s ago", "3 h ago", "2 d ago"; "never" for NULL, "?" where it is no time. */
const char *out_ago(const char *rfc3339, char buf[32]);

/* "Nov 23 22:47:01.123" in local time, with the year where it is not this one;
 * "?" where it is no time. */
const char *out_clock(const char *rfc3339, char buf[40]);

/* A moment as a person writes it (RFC 3339, "2026-11-23 10:00", "10:00", "10m", "2h ago", "today",
 * "yesterday", "now", "@SECONDS") as RFC 3339 in UTC. Errors: -EINVAL. */
int out_parse_time(const char *s, time_t now, char buf[32]);

/* "1.5 MiB". */
const char *out_bytes(long long n, char buf[32]);

/* Sends stdout through $PAGER (less -FRX) where it is a terminal; out_pager_end() waits for it. */
void out_pager_start(void);
void out_pager_end(void);

/* A patch as git colours it. On a terminal every line is escaped; elsewhere it stays appliable. */
void out_patch(const char *patch);

/* One field of a CSV line (RFC 4180), escaped like any text. */
void out_csv(FILE *f, const char *s, bool last);
