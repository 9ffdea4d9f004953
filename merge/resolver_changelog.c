/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changelogs to which both sides added: section by section, ours first, no heading twice. What stands
 * before the first heading of the conflict belongs to the section it stands in. Where all sections of the highest rank are
 * different ones they are not looked into. Declined: something was deleted or changed, the sides' sections stand in
 * different orders, or a link leads elsewhere.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "resolver.h"

static bool rule(struct text line)
{
	line = text_trim(line);
	if (line.n < 3 || !strchr("=-~^", line.p[0]))
		return false;
	for (size_t i = 1; i < line.n; i++)
		if (line.p[i] != line.p[0])
			return false;
	return true;
}

/* "## 1.2", "1.2.0 / 2020-01-01", "Version 1.2" over a rule, the label ".. _v1:" over either. */
static bool heading(const struct lines *l, size_t i)
{
	struct text t = text_trim(l->v[i]);

	if (!t.n || l->v[i].p[0] == ' ' || l->v[i].p[0] == '\t')
		return false;
	if (t.p[0] == '#' || text_starts(t, ".. _") || (i + 1 < l->n && rule(l->v[i + 1])))
		return true;
	if (t.p[0] == '[' || t.p[0] == 'v')
		t = (struct text){t.p + 1, t.n - 1};
	return t.n > 2 && isdigit((unsigned char)t.p[0]) && memchr(t.p, '.', t.n) &&
	       t.p[t.n - 1] != '.';
}

static size_t section_end(const struct lines *l, size_t from)
{
	size_t i = from;

	while (i < l->n && !heading(l, i))
		i++;
	return i;
}

/* Where a section's text begins: behind its heading and the rule under it. */
static size_t body(const struct lines *l, size_t at)
{
	return at + 1 < l->n && rule(l->v[at + 1]) ? at + 2 : at + 1;
}

static size_t find_heading(const struct lines *l, size_t from, struct text line)
{
	for (size_t i = from; i < l->n; i++)
		if (heading(l, i) && text_equal(text_trim(l->v[i]), text_trim(line)))
			return i;
	return l->n;
}

/* Ours, then what theirs has beside it; blank lines at the end are those of the side that has more. */
static int put_both(const struct conflict *c, struct buf *out, const size_t from[SIDES],
		    const size_t to[SIDES])
{
	const struct lines *o = &c->lines[OURS], *t = &c->lines[THEIRS];
	size_t end_o = to[OURS], end_t = to[THEIRS], blank = 0;
	struct lines ours;
	int r;

	while (end_o > from[OURS] && text_blank(o->v[end_o - 1]))
		end_o--;
	while (end_t > from[THEIRS] && text_blank(t->v[end_t - 1]))
		end_t--;
	ours = (struct lines){o->v + from[OURS], end_o - from[OURS]};
	r = put_lines(out, c, ours.v, ours.n);
	for (size_t i = from[THEIRS]; r == 0 && i < end_t; i++)
		if (!lines_have(&ours, t->v[i]))
			r = put_line(out, c, t->v[i]);
	blank = to[OURS] - end_o > to[THEIRS] - end_t ? to[OURS] - end_o : to[THEIRS] - end_t;
	for (size_t i = 0; r == 0 && i < blank; i++)
		r = buf_adds(out, c->crlf ? "\r\n" : "\n");
	return r;
}

/* "[1.2]: https://…/1.1...1.2": the label, and where the range that is compared begins (empty: it is none). */
static bool reference(struct text line, struct text *ret_label, struct text *ret_from)
{
	const char *colon = line.n && line.p[0] == '[' ? memmem(line.p, line.n, "]: ", 3) : NULL;
	const char *dots;
	size_t at;

	if (!colon)
		return false;
	at = (size_t)(colon - line.p) + 3;
	dots = memmem(line.p + at, line.n - at, "...", 3);
	*ret_label = (struct text){line.p, at};
	*ret_from = (struct text){line.p + at, dots ? (size_t)(dots - line.p) - at : 0};
	return true;
}

/* One label for two addresses; or two versions that each compare themselves with the one before: for the later of them that
 * is now the other side's. */
static bool references_clash(const struct lines *o, const struct lines *t)
{
	struct text label[SIDES], from[SIDES];

	for (size_t i = 0; i < o->n; i++) {
		if (!reference(o->v[i], &label[OURS], &from[OURS]))
			continue;
		for (size_t k = 0; k < t->n; k++)
			if (!text_equal(text_trim(o->v[i]), text_trim(t->v[k])) &&
			    reference(t->v[k], &label[THEIRS], &from[THEIRS]) &&
			    (text_equal(label[OURS], label[THEIRS]) ||
			     (from[OURS].n && text_equal(from[OURS], from[THEIRS]))))
				return true;
	}
	return false;
}

static struct text first(struct text t)
{
	const char *end = t.n ? memchr(t.p, '\n', t.n) : NULL;

	return end ? (struct text){t.p, (size_t)(end - t.p)} : t;
}

static bool headings(const struct lines *l)
{
	return section_end(l, 0) < l->n;
}

/* Sections that the sides end alike: which of them the lines belong to is not known. */
static bool cut(const struct conflict *c)
{
	if (text_blank(c->tail))
		return false;
	return headings(&c->lines[OURS]) || headings(&c->lines[THEIRS]) || rule(first(c->tail));
}

/* The blank line between two sections that the sides had alike, and so outside the conflict. */
static int put_gap(const struct conflict *c, struct buf *out)
{
	size_t n = out->len;

	if (!c->tail.n || n < 2 || (out->data[n - 1] == '\n' && out->data[n - 2] == '\n') ||
	    (n > 3 && memcmp(out->data + n - 3, "\n\r\n", 3) == 0))
		return 0;
	return buf_adds(out, c->crlf ? "\r\n" : "\n");
}

/* What tells a heading's rank: how many '#', the sign of its rule, or what begins it. 0: it is none. */
static int rank(const struct lines *l, size_t i)
{
	struct text t = text_trim(l->v[i]);
	int n = 0;

	if (!heading(l, i))
		return 0;
	while (n < (int)t.n && t.p[n] == '#')
		n++;
	if (n)
		return n;
	if (i + 1 < l->n && rule(l->v[i + 1]))
		return text_trim(l->v[i + 1]).p[0];
	return t.p[0] == '.' ? '.' : 'v';
}

static size_t first_line(const struct lines *l)
{
	size_t i = 0;

	while (i < l->n && text_blank(l->v[i]))
		i++;
	return i;
}

/* Did both sides add whole sections of one rank, none of them the same? What stands in them is then no matter. */
static bool apart(const struct lines *o, const struct lines *t)
{
	size_t at_o = first_line(o), at_t = first_line(t);
	int top = at_o < o->n ? rank(o, at_o) : 0;

	if (!top || at_t == t->n || rank(t, at_t) != top)
		return false;
	for (size_t i = at_o; i < o->n; i++)
		for (size_t k = at_t; rank(o, i) == top && k < t->n; k++)
			if (rank(t, k) == top && text_equal(text_trim(o->v[i]), text_trim(t->v[k])))
				return false;
	return true;
}

static int put_apart(const struct conflict *c, struct buf *out)
{
	int r = put_lines(out, c, c->lines[OURS].v, c->lines[OURS].n);

	if (r == 0)
		r = put_gap(c, out);
	if (r == 0)
		r = put_lines(out, c, c->lines[THEIRS].v, c->lines[THEIRS].n);
	return r < 0 ? r : 1;
}

int resolve_changelog(const struct conflict *c, struct buf *out)
{
	const struct lines *o = &c->lines[OURS], *t = &c->lines[THEIRS];
	size_t from[SIDES] = {0}, to[SIDES];
	int r;

	if (c->class != PATH_CHANGELOG || c->lines[BASE].n || !o->n || !t->n ||
	    references_clash(o, t) || cut(c))
		return 0;
	if (apart(o, t))
		return put_apart(c, out);
	to[OURS] = section_end(o, 0);
	to[THEIRS] = section_end(t, 0);
	r = put_both(c, out, from, to);
	while (r == 0 && (to[OURS] < o->n || to[THEIRS] < t->n)) {
		size_t at = to[OURS] < o->n ? find_heading(t, to[THEIRS], o->v[to[OURS]]) : t->n;

		if (to[OURS] == o->n || (at < t->n && at > to[THEIRS])) {
			/* Theirs has a section that comes before. */
			size_t end = section_end(t, to[THEIRS] + 1);

			if (find_heading(o, 0, t->v[to[THEIRS]]) < o->n)
				return 0; /* in another order */
			r = put_gap(c, out);
			if (r == 0)
				r = put_lines(out, c, t->v + to[THEIRS], end - to[THEIRS]);
			to[THEIRS] = end;
			continue;
		}
		from[OURS] = body(o, to[OURS]);
		r = put_gap(c, out);
		if (r == 0)
			r = put_lines(out, c, o->v + to[OURS], from[OURS] - to[OURS]);
		to[OURS] = section_end(o, from[OURS]);
		from[THEIRS] = at < t->n ? body(t, at) : to[THEIRS];
		to[THEIRS] = at < t->n ? section_end(t, from[THEIRS]) : to[THEIRS];
		if (r == 0)
			r = put_both(c, out, from, to);
	}
	return r < 0 ? -ENOMEM : 1;
}
