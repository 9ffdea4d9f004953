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

struct parser;

/* One conflict, as resolvers see it. */
struct conflict {
	const char *path;
	const struct language *lang;
	enum path_class class;
	struct text text[SIDES];
	struct lines lines[SIDES]; /* of text */
	struct edits edits[SIDES]; /* OURS, THEIRS: against the base's lines, from its first on */
	bool trimmed;		   /* edits cover more than the lines */
	struct text head, tail;	   /* what was taken out at the ends, both sides having it alike */
	bool crlf;		   /* the file's lines end so */
};

/* Appends the answer. Returns 1, 0 where it declines (what it appended is dropped), -ENOMEM. */
typedef int (*resolver_fn)(const struct conflict *c, struct buf *out);

/* A file with conflicts, for resolvers that read all of it: f->d->conflicts of them, in order. */
struct conflict_file {
	const char *path;
	const struct language *lang;
	enum path_class class;
	const struct diff3 *d;
	bool crlf;
	struct parser *parser; /* for syntax trees, or NULL */
};

/* What a resolver made of one conflict of a file; has: false is "declined". */
struct file_answer {
	bool has;
	struct buf text; /* owned by whoever made the array */
};

/* Fills v, one for each conflict, all of them zero before. Returns 0, -ENOMEM. */
typedef int (*resolver_file_fn)(const struct conflict_file *f, struct file_answer *v);

struct resolver {
	const char *name;
	resolver_fn fn;
	const char *does;	   /* for people: end of "resolved: …" */
	bool replaces;		   /* drops lines by its own rule, which it has to check itself */
	unsigned int fired, right; /* in the histories that its figures come from: evidence.c */
	resolver_file_fn
		file_fn; /* instead of fn: reads the whole file; neither: memory.h is asked */
	bool wary; /* declines where a side newly uses a name that the other took out or renamed */
	resolver_fn swapped; /* of a resolver that answers for one side alone: the other side's */
};

/* In the order in which they are asked. */
extern const struct resolver resolvers[];
extern const size_t resolvers_n;

const struct resolver *resolver_find(const char *name);

/* Does `other` answer with the sides swapped what `r` answers? */
bool resolver_is_swapped(const struct resolver *r, const struct resolver *other);

/* Asks one: its answer with the conflict's line ends and final newline, if it holds under the invariants that
 * need no parser (invariant.h), sides swapped included. Returns 1, 0 or -ENOMEM. */
int resolver_ask(const struct resolver *r, const struct conflict *c, struct buf *ret);

/* The same of one that reads the whole file, whose conflicts are c[0 … f->d->conflicts - 1]; ret as many, zero
 * before; answers that do not hold are dropped. Returns 0 or -ENOMEM. */
int resolver_ask_file(const struct resolver *r, const struct conflict_file *f,
		      const struct conflict *c, struct file_answer *ret);
/* Gives an answer that comes from elsewhere the conflict's final newline. Returns 1 where it holds under the invariants,
 * 0, -ENOMEM. */
int resolver_accept(const struct resolver *r, const struct conflict *c, struct buf *answer);
void file_answers_free(struct file_answer *v, size_t n);

/* --- what resolvers share --- */

/* Appends lines, each with an end. Errors: -ENOMEM. */
int put_lines(struct buf *out, const struct conflict *c, const struct text *v, size_t n);
int put_line(struct buf *out, const struct conflict *c, struct text line);

/* Is the line among these? */
bool lines_have(const struct lines *l, struct text line);

int resolve_space(const struct conflict *c, struct buf *out);
int resolve_adjacent(const struct conflict *c, struct buf *out);
int resolve_ahead(const struct conflict *c, struct buf *out);
int resolve_ahead_version(const struct conflict *c, struct buf *out);
int resolve_behind(const struct conflict *c, struct buf *out);
int resolve_behind_version(const struct conflict *c, struct buf *out);
int resolve_version(const struct conflict *c, struct buf *out);
int resolve_copyright(const struct conflict *c, struct buf *out);
int resolve_changelog(const struct conflict *c, struct buf *out);
/* Length of the version that begins there (digits with at least one dot between, perhaps a suffix), or 0. */
size_t version_at(struct text t, size_t at);
/* Two versions: -1, 0, 1; 2: not to be ordered. */
int version_compare(struct text a, struct text b);
/* Which of two lines that differ only in version numbers has the greater: 1 the first, -1 the second; 0 equal; 2 they
 * differ otherwise, or not all one way. */
int version_compare_lines(struct text a, struct text b);

int resolve_gomod(const struct conflict_file *f, struct file_answer *v);
int resolve_ignore(const struct conflict_file *f, struct file_answer *v);
int resolve_ini(const struct conflict_file *f, struct file_answer *v);
int resolve_json(const struct conflict_file *f, struct file_answer *v);
int resolve_requirements(const struct conflict_file *f, struct file_answer *v);
int resolve_toml(const struct conflict_file *f, struct file_answer *v);
int resolve_yaml(const struct conflict_file *f, struct file_answer *v);
int resolve_names(const struct conflict *c, struct buf *out);
int resolve_import(const struct conflict *c, struct buf *out);
int resolve_append(const struct conflict *c, struct buf *out);
int resolve_words(const struct conflict *c, struct buf *out);
int resolve_structured(const struct conflict_file *f, struct file_answer *v);
int resolve_structured_add(const struct conflict_file *f, struct file_answer *v);
int resolve_structured_block(const struct conflict_file *f, struct file_answer *v);
int resolve_structured_token(const struct conflict_file *f, struct file_answer *v);
