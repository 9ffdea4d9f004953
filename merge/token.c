/* SPDX-License-Identifier: Apache-2.0 */
#include "token.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool in_name(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

bool token_next(struct text t, size_t *at, struct text *ret, enum token_kind *ret_kind)
{
	size_t i = *at, from;

	while (i < t.n && isspace((unsigned char)t.p[i]))
		i++;
	if (i >= t.n)
		return false;
	from = i++;
	*ret_kind = TOKEN_SIGN;
	if (in_name(t.p[from])) {
		*ret_kind = isdigit((unsigned char)t.p[from]) ? TOKEN_NUMBER : TOKEN_NAME;
		while (i < t.n && in_name(t.p[i]))
			i++;
	}
	*ret = (struct text){t.p + from, i - from};
	*at = i;
	return true;
}

int token_compare(struct text a, struct text b)
{
	int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return c ? c : (a.n > b.n) - (a.n < b.n);
}

static int compare(const void *a, const void *b)
{
	return token_compare(*(const struct text *)a, *(const struct text *)b);
}

static int push(struct token_set *s, struct text token)
{
	if (s->n == s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 64;
		struct text *v = realloc(s->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		s->v = v;
		s->cap = cap;
	}
	s->v[s->n++] = token;
	return 0;
}

int token_set_add(struct token_set *s, struct text t, enum token_kind least)
{
	enum token_kind kind;
	struct text token;
	int r = 0;

	for (size_t at = 0; r == 0 && token_next(t, &at, &token, &kind);)
		if (kind >= least)
			r = push(s, token);
	return r;
}

void token_set_sort(struct token_set *s)
{
	if (s->n)
		qsort(s->v, s->n, sizeof(*s->v), compare);
}

void token_set_close(struct token_set *s)
{
	size_t n = 0;

	if (!s->n)
		return;
	token_set_sort(s);
	for (size_t i = 1; i < s->n; i++)
		if (compare(&s->v[n], &s->v[i]) != 0)
			s->v[++n] = s->v[i];
	s->n = n + 1;
}

bool token_set_has(const struct token_set *s, struct text token)
{
	return s->n && bsearch(&token, s->v, s->n, sizeof(*s->v), compare);
}

void token_set_release(struct token_set *s)
{
	free(s->v);
	*s = (struct token_set){0};
}

double token_set_alike(const struct token_set *a, const struct token_set *b)
{
	size_t i = 0, k = 0, both = 0;

	while (i < a->n && k < b->n) {
		int c = compare(&a->v[i], &b->v[k]);

		both += c == 0;
		i += c <= 0;
		k += c >= 0;
	}
	return a->n + b->n ? (double)both / (double)(a->n + b->n - both) : 0;
}
