/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists with one entry a line (contributors, ignore patterns) to which both sides added: both sides'
 * entries, ours first, sorted in where the list is sorted. Something deleted or changed, or a pattern that
 * takes back others (!name), is declined.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "resolver.h"

static int compare(struct text a, struct text b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int d = n ? strncasecmp(a.p, b.p, n) : 0;

	return d ? d : a.n < b.n ? -1 : a.n > b.n;
}

static bool sorted(const struct lines *l)
{
	for (size_t i = 1; i < l->n; i++)
		if (compare(text_trim(l->v[i - 1]), text_trim(l->v[i])) > 0)
			return false;
	return l->n > 2;
}

/* Entries and nothing else: no blank lines, headings or negations. */
static bool is_list(const struct lines *l)
{
	for (size_t i = 0; i < l->n; i++) {
		struct text line = text_trim(l->v[i]);

		if (!line.n || line.p[0] == '!' || line.p[0] == '=' || line.p[0] == '#')
			return false;
	}
	return true;
}

static int put_sorted(const struct conflict *c, struct buf *out)
{
	const struct lines *o = &c->lines[OURS], *t = &c->lines[THEIRS];
	size_t i = 0, k = 0;
	int r = 0;

	while (r == 0 && (i < o->n || k < t->n)) {
		if (k < t->n && lines_have(o, t->v[k]))
			k++;
		else if (k == t->n ||
			 (i < o->n && compare(text_trim(o->v[i]), text_trim(t->v[k])) <= 0))
			r = put_line(out, c, o->v[i++]);
		else
			r = put_line(out, c, t->v[k++]);
	}
	return r;
}

int resolve_names(const struct conflict *c, struct buf *out)
{
	const struct lines *o = &c->lines[OURS], *t = &c->lines[THEIRS];
	int r = 0;

	if ((c->class != PATH_NAMES && c->class != PATH_IGNORE) || c->lines[BASE].n || !o->n ||
	    !t->n || !is_list(o) || !is_list(t))
		return 0;
	if (sorted(o) && sorted(t))
		return put_sorted(c, out) < 0 ? -ENOMEM : 1;
	r = put_lines(out, c, o->v, o->n);
	for (size_t i = 0; r == 0 && i < t->n; i++)
		if (!lines_have(o, t->v[i]))
			r = put_line(out, c, t->v[i]);
	return r < 0 ? -ENOMEM : 1;
}
