/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "buf.h"
#include "diff3.h"
#include "language.h"

/*
 * Resolvers: functions that may know what a conflict's text should be, and decline where they do not.
 * Each stands in one file, resolver_<name>.c, and in the table of resolver.c. Whether an answer is
 * believed is not theirs to say: evidence.h.
 */

/* One conflict, as resolvers see it. */
struct conflict {
	const char *path;
	const struct language *lang;
	enum path_class class;
	struct text text[SIDES];
	struct lines lines[SIDES]; /* of text */
	struct edits edits[SIDES]; /* OURS, THEIRS: against the base's lines, from its first on */
	bool trimmed;		   /* edits cover more than the lines */
	bool crlf;		   /* the file's lines end so */
};

/* Appends the answer. Returns 1, 0 where it declines (what it appended is dropped), -ENOMEM. */
typedef int (*resolver_fn)(const struct conflict *c, struct buf *out);

struct resolver {
	const char *name;
	resolver_fn fn;
	const char *does;	   /* for people: end of "resolved: …" */
	bool replaces;		   /* drops lines by its own rule, which it has to check itself */
	unsigned int fired, right; /* in the histories that its figures come from: evidence.c */
};

/* In the order in which they are asked. */
extern const struct resolver resolvers[];
extern const size_t resolvers_n;

const struct resolver *resolver_find(const char *name);

/* Asks one: its answer with the conflict's line ends and final newline, if it holds under the invariants that
 * need no parser (invariant.h), sides swapped included. Returns 1, 0 or -ENOMEM. */
int resolver_ask(const struct resolver *r, const struct conflict *c, struct buf *ret);

/* --- what resolvers share --- */

/* Appends lines, each with an end. Errors: -ENOMEM. */
int put_lines(struct buf *out, const struct conflict *c, const struct text *v, size_t n);
int put_line(struct buf *out, const struct conflict *c, struct text line);

/* Is the line among these? */
bool lines_have(const struct lines *l, struct text line);

int resolve_space(const struct conflict *c, struct buf *out);
int resolve_adjacent(const struct conflict *c, struct buf *out);
int resolve_version(const struct conflict *c, struct buf *out);
int resolve_changelog(const struct conflict *c, struct buf *out);
int resolve_names(const struct conflict *c, struct buf *out);
int resolve_import(const struct conflict *c, struct buf *out);
