/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "resolve.h"

/*
 * The five invariants of a file that was resolved, whoever resolved it, looked at once more on the whole:
 * resolver_ask() has dropped the answers that broke one by themselves.
 */
enum invariant {
	INVARIANT_NONE,
	INVARIANT_LINES, /* every line that a side added is there, every one that a side deleted is gone, or a rule says why */
	INVARIANT_PARSE, /* it parses as well as its parents (struct resolve_checker) */
	INVARIANT_FORM, /* no markers, the same line ends, last newline, encoding and indentation */
	INVARIANT_SWAP, /* the sides swapped give the same text, but for the order of additions */
	INVARIANT_LIMIT, /* the time limit */
	INVARIANTS
};
const char *invariant_name(enum invariant i);

/* Counts what does not parse in a text; a negative result: nobody knows the language. */
struct resolve_checker {
	int (*errors)(void *user, const char *path, struct text t);
	void *user;
};

/* That of a parser, for the file's language; NULL (and any it cannot read): nobody knows the language. Borrows it. */
struct resolve_checker resolve_checker_of(struct parser *p);

/* Looks at a file without conflicts left; `checker` may be NULL: then it is not parsed. Answers of who is not asked by
 * resolve_file() have been looked at by who took them: of them, only what the whole file tells. *ret_why (literal) says what
 * is broken. Returns an enum invariant, or -ENOMEM. */
int resolve_check(const char *path, const struct resolve *r, const struct resolve_options *o,
		  const struct resolve_checker *checker, const char **ret_why);

/* What comes before a file's answers are believed: it is looked at (with o->parser, where there is one). Where an
 * invariant is broken, none of them is taken any more: r->left, r->broken, r->why, `refused` of each conflict. Nothing is
 * done while conflicts are left. Returns an enum invariant, or -ENOMEM. */
int resolve_believe(const char *path, struct resolve *r, const struct resolve_options *o);
