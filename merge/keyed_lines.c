/* SPDX-License-Identifier: Apache-2.0 */
/* Formats with one entry a line. */
#include "keyed_lines.h"

#include <string.h>

#include "cleanup.h"

struct text text_from(struct text t, size_t at)
{
	at = at < t.n ? at : t.n;
	return (struct text){t.p + at, t.n - at};
}

struct text text_until(struct text t, size_t n)
{
	return (struct text){t.p, n < t.n ? n : t.n};
}

struct keyed_lines keyed_lines(struct text t, struct keyed *k)
{
	return (struct keyed_lines){.t = t, .k = k, .table = (size_t)NO_TABLE};
}

bool keyed_next_line(struct keyed_lines *l, const char *marks)
{
	while (l->at < l->t.n) {
		l->line = keyed_line(l->t, l->at);
		l->bare = text_trim(l->line);
		l->at += l->line.n;
		if (l->bare.n && !strchr(marks, l->bare.p[0]))
			return true;
	}
	return false;
}

int keyed_add_line(struct keyed_lines *l, struct text key, enum keyed_role role, struct text value)
{
	size_t from = (size_t)(l->line.p - l->t.p);
	const struct keyed_item *table = l->table == (size_t)NO_TABLE ? NULL : &l->k->v[l->table];
	int r = keyed_add(l->k, table, key, role, from, from + l->line.n);

	if (r > 0)
		l->k->v[l->k->n - 1].value = value;
	return r;
}

void keyed_join_line(struct keyed_lines *l)
{
	struct keyed_item *i = &l->k->v[l->k->n - 1];
	struct text line = keyed_line(l->t, l->at);

	i->to += line.n;
	l->at += line.n;
	for (i->end = i->to; i->end > i->from && strchr("\r\n", l->t.p[i->end - 1]);)
		i->end--;
	i->value.n = (size_t)(l->t.p + i->end - i->value.p);
}

int keyed_open_line(struct keyed_lines *l, struct text key)
{
	int r;

	l->table = (size_t)NO_TABLE;
	r = keyed_add_line(l, key, KEYED_OPEN, (struct text){"", 0});
	l->table = l->k->n - 1;
	return r;
}
