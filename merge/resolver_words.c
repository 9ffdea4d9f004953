/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each side changed its own words of the same lines, far from the other's: between a word that one changed and one that
 * the other changed stand at least three that nobody did. For languages without a grammar, and for prose; where there
 * is one, structured-token knows what a part of a statement is. Declined: lines that a side added or deleted, and
 * white space that a side changed.
 */
#include <errno.h>

#include "resolver.h"
#include "hunk_words.h"

enum { BETWEEN = 3 };

/* Words of the base in [from, to), white space aside. */
static size_t between(const struct words *base, size_t from, size_t to)
{
	size_t n = 0;

	for (; from < to; from++)
		n += !text_blank(base->v[from]);
	return n;
}

/* The edit takes out or puts in nothing but words. */
static bool only_words(const struct words *base, const struct words *w, const struct edit *e)
{
	bool any = false;

	for (size_t i = e->b0; i < e->b1; i++) {
		if (base->v[i].p[0] == '\n')
			return false;
		any |= !text_blank(base->v[i]);
	}
	for (size_t i = e->s0; i < e->s1; i++) {
		if (w->v[i].p[0] == '\n')
			return false;
		any |= !text_blank(w->v[i]);
	}
	return any;
}

static int put_words(struct buf *out, const struct text *v, size_t n)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = buf_add(out, v[i].p, v[i].n);
	return r;
}

/* The side whose edit comes next, or BASE at the end. */
static enum side next_side(const struct words w[SIDES], const size_t at[SIDES])
{
	bool o = at[OURS] < w[OURS].edits.n, t = at[THEIRS] < w[THEIRS].edits.n;

	if (o && t)
		return w[OURS].edits.v[at[OURS]].b0 <= w[THEIRS].edits.v[at[THEIRS]].b0 ? OURS
											: THEIRS;
	return o ? OURS : t ? THEIRS : BASE;
}

/* Both sides' edits of the base, in its order. */
static int merge_words(const struct words w[SIDES], struct buf *out)
{
	size_t at[SIDES] = {0}, pos = 0;
	enum side last = BASE, side;
	int r = 0;

	while (r == 0 && (side = next_side(w, at)) != BASE) {
		const struct edit *e = &w[side].edits.v[at[side]++];

		if (e->b0 < pos || !only_words(&w[BASE], &w[side], e) ||
		    (last != BASE && last != side && between(&w[BASE], pos, e->b0) < BETWEEN))
			return 0;
		r = put_words(out, w[BASE].v + pos, e->b0 - pos);
		if (r == 0)
			r = put_words(out, w[side].v + e->s0, e->s1 - e->s0);
		pos = e->b1;
		last = side;
	}
	if (r == 0)
		r = put_words(out, w[BASE].v + pos, w[BASE].n - pos);
	return r < 0 ? r : 1;
}

int resolve_words(const struct conflict *c, struct buf *out)
{
	size_t n = c->lines[BASE].n;
	struct words w[SIDES] = {0};
	int r;

	if (!n || n != c->lines[OURS].n || n != c->lines[THEIRS].n || c->trimmed ||
	    c->class == PATH_LOCK || c->class == PATH_GENERATED)
		return 0;
	r = words_read(c, WORDS_SPACE, w);
	if (r > 0 && w[OURS].edits.n && w[THEIRS].edits.n)
		r = merge_words(w, out);
	else if (r > 0)
		r = 0;
	words_release(w);
	return r;
}
