/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options and words of a command line, read by a command's own table.
 *
 * 1. Options may stand before, between and after words; "--" ends them.
 * 2. "--name value", "--name=value", "-n value", "-nvalue" and letters in a row are all taken.
 * 3. An option that no table declares is refused by name with the nearest one; a command that asks
 *    for one that it did not declare stops in an assertion, so that table and code cannot drift
 * apart.
 */
#include "args.h"

#include <assert.h>
#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "cleanup.h"
#include "sys.h"

static size_t distance(const char *a, const char *b)
{
	size_t row[65], n = strlen(b), up, left;

	if (n > 64 || strlen(a) > 64)
		return SIZE_MAX;
	for (size_t j = 0; j <= n; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		up = row[0]; /* the diagonal */
		row[0] = i;
		for (size_t j = 1; j <= n; j++) {
			left = row[j];
			up += a[i - 1] != b[j - 1];
			if (row[j] + 1 < up)
				up = row[j] + 1;
			if (row[j - 1] + 1 < up)
				up = row[j - 1] + 1;
			row[j] = up;
			up = left;
		}
	}
	return row[n];
}

const char *args_nearest(const char *word, const char *(*next)(size_t i, const void *arg),
			 const void *arg)
{
	size_t len = strlen(word), best = len / 2 + 1, d;
	const char *found = NULL, *s;

	for (size_t i = 0; (s = next(i, arg)); i++) {
		d = distance(word, s);
		if (len >= 2 && strncmp(word, s, len) == 0)
			d = 1; /* the beginning of a word means that word */
		if (d < best) {
			best = d;
			found = s;
		}
	}
	return found;
}

/* Candidate i of the command's options followed by the global ones. */
static const char *opt_name(size_t i, const void *arg)
{
	const struct args *a = arg;

	for (const struct opt *o = a->opts; o && o->name; o++)
		if (i-- == 0)
			return o->name;
	for (const struct opt *o = a->global; o && o->name; o++)
		if (i-- == 0)
			return o->name;
	return NULL;
}

static const struct opt *find_in(const struct opt *o, const char *name, size_t len, char letter)
{
	for (; o && o->name; o++)
		if (letter ? o->letter == letter
			   : strlen(o->name) == len && strncmp(o->name, name, len) == 0)
			return o;
	return NULL;
}

static const struct opt *find(const struct args *a, const char *name, size_t len, char letter)
{
	const struct opt *o = find_in(a->opts, name, len, letter);

	return o ? o : find_in(a->global, name, len, letter);
}

/* Whether value (of length n) is one of "a|b|c". */
static bool one_of(const char *words, const char *value, size_t n)
{
	for (const char *w = words; w; w = strchr(w, '|') ? strchr(w, '|') + 1 : NULL)
		if (strcspn(w, "|") == n && strncmp(w, value, n) == 0)
			return true;
	return false;
}

static int check_value(const struct opt *o, const char *value, struct err *reterr)
{
	const char *part = value;
	size_t n;

	if (!*value)
		return err_set(reterr, -EINVAL, "--%s needs a %s, not an empty word", o->name,
			       o->arg);
	if (o->number && (strlen(value) > 9 || value[strspn(value, "0123456789")]))
		return err_set(reterr, -EINVAL, "--%s needs a number, not '%s'", o->name, value);
	if (!o->words || o->words[0] == '@')
		return 0;
	for (;; part += n + 1) {
		n = o->comma ? strcspn(part, ",") : strlen(part);
		if (!one_of(o->words, part, n))
			return err_set(reterr, -EINVAL, "--%s takes %s, not '%.*s'", o->name,
				       o->words, (int)n, part);
		if (!part[n])
			return 0;
	}
}

static int add_value(struct args *a, const struct opt *o, const char *value, struct err *reterr)
{
	struct arg_value *v;
	int r;

	if (o->arg) {
		r = check_value(o, value, reterr);
		if (r < 0)
			return r;
		if (!o->repeat && !o->comma)
			for (size_t i = 0; i < a->n_values; i++)
				if (a->values[i].opt == o)
					return err_set(reterr, -EINVAL,
						       "--%s is given twice: '%s' and '%s'",
						       o->name, a->values[i].value, value);
	}
	v = sys.realloc(a->values, (a->n_values + 1) * sizeof(*v));
	if (!v)
		return err_set(reterr, -ENOMEM, "out of memory");
	a->values = v;
	a->values[a->n_values++] = (struct arg_value){o, value};
	return 0;
}

static int add_word(struct args *a, const char *word, bool plain, struct err *reterr)
{
	const char **w = sys.realloc(a->words, (a->n_words + 1) * sizeof(*w));

	if (!w)
		return err_set(reterr, -ENOMEM, "out of memory");
	a->words = w;
	a->words[a->n_words++] = word;
	if (plain)
		a->n_plain = a->n_words;
	return 0;
}

static int parse_long(struct args *a, int argc, char **argv, int *pos, struct err *reterr)
{
	const char *name = argv[*pos] + 2, *near;
	size_t len = strcspn(name, "=");
	const struct opt *o = find(a, name, len, 0);
	_cleanup_free_ char *plain = NULL;

	if (!o) {
		plain = strndup(name, len);
		near = plain ? args_nearest(plain, opt_name, a) : NULL;
		if (near)
			return err_set(reterr, -EINVAL,
				       "unknown option '--%s'; did you mean '--%s'?", plain, near);
		return err_set(reterr, -EINVAL, "unknown option '--%.*s'", (int)len, name);
	}
	if (!o->arg && name[len])
		return err_set(reterr, -EINVAL, "--%s takes no value, but got '%s'", o->name,
			       name + len + 1);
	if (!o->arg)
		return add_value(a, o, NULL, reterr);
	if (name[len])
		return add_value(a, o, name + len + 1, reterr);
	if (*pos + 1 >= argc)
		return err_set(reterr, -EINVAL, "--%s needs a %s", o->name, o->arg);
	return add_value(a, o, argv[++*pos], reterr);
}

static int parse_letters(struct args *a, int argc, char **argv, int *pos, struct err *reterr)
{
	const struct opt *o;
	int r;

	for (const char *p = argv[*pos] + 1; *p; p++) {
		o = find(a, NULL, 0, *p);
		if (!o)
			return err_set(reterr, -EINVAL, "unknown option '-%c' in '%s'", *p,
				       argv[*pos]);
		if (o->arg && p[1])
			return add_value(a, o, p + 1, reterr);
		if (o->arg && *pos + 1 >= argc)
			return err_set(reterr, -EINVAL, "-%c needs a %s", *p, o->arg);
		r = add_value(a, o, o->arg ? argv[++*pos] : NULL, reterr);
		if (r < 0 || o->arg)
			return r;
	}
	return 0;
}

int args_parse(struct args *a, int argc, char **argv, int *pos, bool first_word, struct err *reterr)
{
	bool only_words = false;
	int r;

	for (; *pos < argc; ++*pos) {
		const char *s = argv[*pos];

		if (only_words || s[0] != '-' || !s[1]) {
			if (first_word)
				return 0;
			r = add_word(a, s, !only_words, reterr);
		} else if (strcmp(s, "--") == 0) {
			only_words = true;
			r = 0;
		} else if (s[1] == '-') {
			r = parse_long(a, argc, argv, pos, reterr);
		} else {
			r = parse_letters(a, argc, argv, pos, reterr);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

void args_limits(const char *spec, size_t *ret_min, size_t *ret_max)
{
	size_t min = 0, max = 0, n;

	for (const char *p = spec; *p; p += n + strspn(p + n, " ")) {
		n = strcspn(p, " ");
		if (*p != '[')
			min++;
		if (memmem(p, n, "...", 3))
			max = SIZE_MAX;
		else if (max != SIZE_MAX)
			max++;
	}
	*ret_min = min;
	*ret_max = max;
}

const char *args_get(const struct args *a, const char *name)
{
	const struct opt *o = find(a, name, strlen(name), 0);
	const char *found = NULL;

	assert(o && o->arg);
	for (size_t i = 0; i < a->n_values; i++)
		if (a->values[i].opt == o)
			found = a->values[i].value;
	return found;
}

bool args_has(const struct args *a, const char *name)
{
	const struct opt *o = find(a, name, strlen(name), 0);

	assert(o);
	for (size_t i = 0; i < a->n_values; i++)
		if (a->values[i].opt == o)
			return true;
	return false;
}

long args_number(const struct args *a, const char *name, long missing)
{
	const char *s = args_get(a, name);

	return s ? strtol(s, NULL, 10) : missing;
}

json_t *args_list(const struct args *a, const char *name)
{
	const struct opt *o = find(a, name, strlen(name), 0);
	json_t *list = NULL;
	size_t n;

	assert(o && o->arg && (o->repeat || o->comma));
	for (size_t i = 0; i < a->n_values; i++) {
		if (a->values[i].opt != o)
			continue;
		if (!list)
			list = json_array();
		for (const char *p = a->values[i].value;; p += n + 1) {
			n = o->comma ? strcspn(p, ",") : strlen(p);
			(void)json_array_append_new(list,
						    json_stringn(p, n)); /* not UTF-8: left out */
			if (!p[n])
				break;
		}
	}
	return list;
}

json_t *args_true(const struct args *a, const char *name)
{
	return args_has(a, name) ? json_true() : NULL;
}

void args_release(struct args *a)
{
	free(a->values);
	free(a->words);
	*a = (struct args){0};
}
