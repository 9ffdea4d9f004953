/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guarantees: (1) a conflict of lines is always found, by the very comparison that a merge makes; (2) swapping the
 * sides swaps the places and changes nothing else; (3) which declaration lines stand in is a guess from their
 * indentation, right for most languages with a top level, and never hides an overlap: it only names it.
 */
#include "overlap.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

static bool begins_declaration(struct text line)
{
	struct text t = text_trim(line);
	unsigned char c = line.n ? (unsigned char)line.p[0] : 0;

	return (isalpha(c) || c == '_' || c == '$' || c >= 0x80) && t.n && t.p[t.n - 1] != ':' &&
	       t.p[t.n - 1] != ';' && t.p[t.n - 1] != ',';
}

/* "def f():" and "class A:" end as a label does. */
static bool is_python(struct text line)
{
	return text_starts(line, "def ") || text_starts(line, "class ") ||
	       text_starts(line, "async def ");
}

size_t overlap_heading(const struct lines *l, size_t at)
{
	for (size_t i = at < l->n ? at + 1 : l->n; i-- > 0;)
		if (begins_declaration(l->v[i]) || is_python(l->v[i]))
			return i;
	return l->n;
}

static bool blank_lines(const struct lines *l, size_t from, size_t to)
{
	for (; from < to; from++)
		if (!text_blank(l->v[from]))
			return false;
	return true;
}

/* Which declaration of the base a change belongs to; base->n: none, or one that it adds itself. */
static size_t changed_heading(const struct diff3 *d, const struct chunk *c, enum side s)
{
	const struct lines *base = &d->lines[BASE], *side = &d->lines[s];

	if (c->from[BASE] == c->to[BASE]) {
		size_t at = c->from[s];

		while (at < c->to[s] && text_blank(side->v[at]))
			at++;
		if (at < c->to[s] && (begins_declaration(side->v[at]) || is_python(side->v[at])))
			return base->n;
		return c->from[BASE] ? overlap_heading(base, c->from[BASE] - 1) : base->n;
	}
	return overlap_heading(base, c->from[BASE]);
}

static void put_place(struct overlap *o, const struct diff3 *d, const struct chunk *a,
		      const struct chunk *b, size_t heading, bool resolved)
{
	struct overlap_place *p = &o->place[o->n];

	if (o->n == OVERLAP_PLACES_MAX)
		return;
	*p = (struct overlap_place){.resolved = resolved};
	memcpy(p->from, a->from, sizeof(p->from));
	memcpy(p->to, a->to, sizeof(p->to));
	p->from[THEIRS] = b->from[THEIRS];
	p->to[THEIRS] = b->to[THEIRS];
	if (heading < d->lines[BASE].n)
		p->declaration = text_trim(d->lines[BASE].v[heading]);
	o->n++;
}

/* The places where both sides changed the same declaration without touching each other's lines. */
static void find_declarations(const struct diff3 *d, struct overlap *o)
{
	for (size_t i = 0; i < d->n; i++) {
		const struct chunk *a = &d->v[i];
		size_t heading;

		if (a->kind != CHUNK_OURS ||
		    blank_lines(&d->lines[OURS], a->from[OURS], a->to[OURS]))
			continue;
		heading = changed_heading(d, a, OURS);
		for (size_t k = 0; k < d->n && heading < d->lines[BASE].n; k++) {
			const struct chunk *b = &d->v[k];

			if (b->kind != CHUNK_THEIRS || changed_heading(d, b, THEIRS) != heading)
				continue;
			put_place(o, d, a, b, heading, true);
			break;
		}
	}
}

static void find_lines(const struct resolve *r, struct overlap *o)
{
	o->clean = 1;
	for (size_t i = 0; i < r->n; i++) {
		const struct answer *a = r->v[i].taken;
		const struct chunk *c = &r->v[i].chunk;

		o->clean *= a ? evidence_lower(a->evidence) : 0;
		put_place(o, &r->d, c, c,
			  c->to[BASE] > c->from[BASE] || !c->from[BASE]
				  ? overlap_heading(&r->d.lines[BASE], c->from[BASE])
				  : overlap_heading(&r->d.lines[BASE], c->from[BASE] - 1),
			  a);
	}
	o->conflicts = r->n;
	o->left = r->left;
}

int overlap_texts(const char *path, const struct text text[SIDES], const struct resolve_options *o,
		  struct overlap *ret)
{
	struct resolve r;
	int k;

	memset(ret, 0, sizeof(*ret));
	if (text_equal(text[OURS], text[THEIRS]) || text_equal(text[BASE], text[OURS]) ||
	    text_equal(text[BASE], text[THEIRS]))
		return 0;
	k = resolve_file(path, text[BASE], text[OURS], text[THEIRS], o, &r);
	if (k < 0)
		return k;
	find_lines(&r, ret);
	if (r.n)
		ret->kind = OVERLAP_LINES;
	else
		find_declarations(&r.d, ret);
	if (!r.n)
		ret->kind = ret->n ? OVERLAP_DECLARATION : OVERLAP_FILE;
	resolve_release(&r);
	return 0;
}
