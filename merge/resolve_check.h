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

/* Looks at a file without conflicts left; `checker` may be NULL: then it is not parsed. *ret_why (literal) says what
 * is broken. Returns an enum invariant, or -ENOMEM. */
int resolve_check(const char *path, const struct resolve *r, const struct resolve_options *o,
		  const struct resolve_checker *checker, const char **ret_why);
