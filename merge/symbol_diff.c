/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names are compared as sets, sorted once: a declaration is the same where name, kind and parameters are. Which of several
 * declarations of one name (overloads) is gone is told only where no other with those parameters is left.
 */
#include "symbol_diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

enum { NAME_MIN = 3 };

static const char *text_of(const char *s)
{
	return s ? s : "";
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The names of what is declared, or used, sorted; borrowed. */
static int names_of(const struct symbols *s, bool uses, const char ***ret, size_t *ret_n)
{
	size_t n = uses ? s->nuses : s->n, k = 0;
	const char **v = calloc(n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const char *name = uses ? s->uses[i].name : s->v[i].name;

		if (name)
			v[k++] = name;
	}
	if (k)
		qsort(v, k, sizeof(*v), by_name);
	*ret = v;
	*ret_n = k;
	return 0;
}

static bool has(const char *const *v, size_t n, const char *name)
{
	return n && bsearch(&name, v, n, sizeof(*v), by_name);
}

/* In a function everything is local: who encloses it has parameters. */
static bool is_visible(const struct symbols *s, const struct symbol *x)
{
	return x->name && strlen(x->name) >= NAME_MIN &&
	       (x->enclosing == SYMBOL_NONE ||
		(x->enclosing < s->n && !*text_of(s->v[x->enclosing].params)));
}

static bool still_there(const struct symbols *now, const struct symbol *x)
{
	for (size_t i = 0; i < now->n; i++) {
		const struct symbol *y = &now->v[i];

		if (strcmp(text_of(y->name), x->name) == 0 &&
		    strcmp(text_of(y->params), text_of(x->params)) == 0)
			return true;
	}
	return false;
}

int symbols_gone(const struct symbols *before, const struct symbols *now, struct symbol_gone **ret,
		 size_t *ret_n)
{
	_cleanup_free_ struct symbol_gone *v = calloc(before->n + 1, sizeof(*v));
	_cleanup_free_ const char **names = NULL;
	size_t n = 0, nnames = 0;
	int r = v ? names_of(now, false, &names, &nnames) : -ENOMEM;

	if (r < 0)
		return r;
	for (size_t i = 0; i < before->n; i++) {
		const struct symbol *x = &before->v[i];
		bool named = x->name && has(names, nnames, x->name);

		if (is_visible(before, x) && !(named && still_there(now, x)))
			v[n++] = (struct symbol_gone){x, named};
	}
	*ret = TAKE_PTR(v);
	*ret_n = n;
	return 0;
}

static int by_use(const void *a, const void *b)
{
	const struct symbol_use *x = *(const struct symbol_use *const *)a;
	const struct symbol_use *y = *(const struct symbol_use *const *)b;
	int k = strcmp(x->name, y->name);

	return k ? k : x->line < y->line ? -1 : x->line > y->line;
}

int symbols_newly_used(const struct symbols *before, const struct symbols *now,
		       const struct symbol_use ***ret, size_t *ret_n)
{
	_cleanup_free_ const struct symbol_use **v = calloc(now->nuses + 1, sizeof(*v));
	_cleanup_free_ const char **used = NULL, **declared = NULL;
	size_t n = 0, k = 0, nused = 0, ndeclared = 0;
	int r = v ? names_of(before, true, &used, &nused) : -ENOMEM;

	if (r == 0)
		r = names_of(now, false, &declared, &ndeclared);
	if (r < 0)
		return r;
	for (size_t i = 0; i < now->nuses; i++) {
		const char *name = now->uses[i].name;

		if (name && strlen(name) >= NAME_MIN && !has(used, nused, name) &&
		    !has(declared, ndeclared, name))
			v[n++] = &now->uses[i];
	}
	if (n)
		qsort(v, n, sizeof(*v), by_use);
	for (size_t i = 0; i < n; i++)
		if (!i || strcmp(v[i]->name, v[k - 1]->name) != 0)
			v[k++] = v[i];
	*ret = TAKE_PTR(v);
	*ret_n = k;
	return 0;
}
