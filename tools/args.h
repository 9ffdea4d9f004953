/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "err.h"

struct ctl;

/* One option. Where completion and the check of values come from: `words`. */
struct opt {
	const char *name;  /* without "--" */
	char letter;	   /* 0: none */
	const char *arg;   /* "PATH"; NULL: a flag */
	const char *help;  /* lower case, no full stop; NULL: not shown to people */
	const char *words; /* "a|b|c": nothing else is taken; "@agents", "@files", "@dirs", "@roles"
			      (suggested only); NULL: anything. With "comma" lists each part is
			      checked */
	bool repeat;	   /* may be given more than once */
	bool number;	   /* takes a number, 0 or more */
	bool comma;	   /* a,b,c: a list in one word; implies repeat */
};

struct arg_value {
	const struct opt *opt;
	const char *value; /* borrowed from argv; NULL for a flag */
};

/* What was on the command line. Zero-initialised is empty. Everything is borrowed from argv. */
struct args {
	const struct opt *opts;	  /* the command's, may be NULL */
	const struct opt *global; /* those every command takes */
	struct arg_value *values;
	size_t n_values;
	const char **words;
	size_t n_words;
	size_t n_plain; /* words that came before "--" */
};

/* Reads argv[*pos…] into `a`, moving *pos. With `first_word` it stops at the first word, which is
 * the command. Errors: -EINVAL with a sentence that names the wrong word; -ENOMEM. */
int args_parse(struct args *a, int argc, char **argv, int *pos, bool first_word,
	       struct err *reterr);

/* How many words `spec` ("AGENT [PATH...]") takes; *ret_max is SIZE_MAX where it has no limit. */
void args_limits(const char *spec, size_t *ret_min, size_t *ret_max);

/* The (last) value of an option, which must be in a table: an undeclared name is our own mistake
 * and asserts. NULL, false, an empty list, `missing`: not given. */
const char *args_get(const struct args *a, const char *name);
bool args_has(const struct args *a, const char *name);
long args_number(const struct args *a, const char *name, long missing);
/* All values as a JSON array, NULL when there are none; caller owns. */
json_t *args_list(const struct args *a, const char *name);
/* The flag as a JSON true, or NULL; caller owns. */
json_t *args_true(const struct args *a, const char *name);

/* The word of the list nearest to `word` in spelling, NULL when none is near. With `next` the
 * candidates are asked for by number until it returns NULL. */
const char *args_nearest(const char *word, const char *(*next)(size_t i, const void *arg),
			 const void *arg);

void args_release(struct args *a);
