/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the histogram comparison can only give one script.
 *
 * It takes the longest run of lines that both texts have, but prefers one with a line that is rare in the base; on both
 * sides of it it goes on in the same way, until no line is common. Runs are found by going through the side's lines and
 * looking for each at all its places in the base. Suppose that, for the base and one side,
 *
 *  (1) without the lines that only one of them has, the two are the same: so they are runs of common lines, with
 *      regions between them that have no line of the other text;
 *  (2) each of these runs has a line that stands in the base once;
 *  (3) where a region is empty in the side, the line before it in the base's text or the one behind it stands there once.
 *
 * A run that is found anywhere else than at its own place has no line that stands in the base once (that one has no other
 * place), so by (2) it is shorter than the run of the side that it lies in, and by (3) it lies in one only. The first line of
 * the first run has its first place in the base where it belongs, which is looked at first: all of that run is found, with
 * a line of count 1. From then on only lines that stand there once are looked at, which find their own runs. So one of
 * the runs is taken as a whole, and the same holds for what is left on both sides of it, down to the regions, which have
 * nothing in common. The script is the list of the regions. No change can be moved up or down either (which both comparisons do
 * afterwards): a line at the edge of a region is no common line, the one outside it is.
 *
 * Where no region of ours touches one of theirs in the base, git's merge takes both; what that gives is compared with what was
 * made. Nothing here depends on how the shortest script was found: a result that differs is simply not certain.
 */
#include "plain_merge.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { LINES_MAX = 1 << 20 };

/* Lines that are alike are one class. */
struct line_class {
	struct text line;
	uint32_t n[SIDES]; /* how often it stands in each */
};

struct plain {
	struct lines lines[SIDES];
	struct line_class **kind[SIDES]; /* of each line */
	struct line_class *table;
	size_t mask;
	struct edits edits[SIDES];
};

static uint64_t hash(struct text t)
{
	const uint64_t k = UINT64_C(0x9e3779b97f4a7c15);
	uint64_t h = t.n * k, w;

	for (; t.n >= sizeof(w); t.p += sizeof(w), t.n -= sizeof(w)) {
		memcpy(&w, t.p, sizeof(w));
		h = (h ^ w) * k;
		h ^= h >> 29;
	}
	w = 0;
	if (t.n)
		memcpy(&w, t.p, t.n);
	h = (h ^ w) * k;
	return h ^ h >> 32;
}

static struct line_class *classify(struct plain *p, struct text line)
{
	size_t i = hash(line) & p->mask;

	while (p->table[i].line.p && !text_equal(p->table[i].line, line))
		i = (i + 1) & p->mask;
	p->table[i].line = line;
	return &p->table[i];
}

/* Returns 1, 0 where there are too many lines, -ENOMEM. */
static int read_lines(struct plain *p, const struct text t[SIDES])
{
	size_t all = 0, size = 64;
	int r = 0;

	for (int s = BASE; s < SIDES && r == 0; s++) {
		r = lines_split(t[s], &p->lines[s]);
		all += p->lines[s].n;
	}
	if (r < 0 || all > LINES_MAX)
		return r < 0 ? r : 0;
	while (size < 2 * all)
		size *= 2;
	p->mask = size - 1;
	p->table = calloc(size, sizeof(*p->table));
	if (!p->table)
		return -ENOMEM;
	for (int s = BASE; s < SIDES; s++) {
		p->kind[s] = calloc(p->lines[s].n + 1, sizeof(*p->kind[s]));
		p->edits[s].v = calloc(p->lines[BASE].n + p->lines[s].n + 1, sizeof(struct edit));
		if (!p->kind[s] || !p->edits[s].v)
			return -ENOMEM;
		for (size_t i = 0; i < p->lines[s].n; i++) {
			p->kind[s][i] = classify(p, p->lines[s].v[i]);
			p->kind[s][i]->n[s]++;
		}
	}
	return 1;
}

static bool is_unique(const struct plain *p, size_t i)
{
	return p->kind[BASE][i]->n[BASE] == 1;
}

/* The run of common lines at *b and *s; false where it has no line of its own. */
static bool pass_run(const struct plain *p, int side, size_t *b, size_t *s)
{
	bool unique = false;

	for (; *b < p->lines[BASE].n && *s < p->lines[side].n &&
	       p->kind[BASE][*b] == p->kind[side][*s];
	     ++*b, ++*s)
		unique |= is_unique(p, *b);
	return unique;
}

/* (1) to (3) of one side; its regions are p->edits[side]. */
static bool is_certain(struct plain *p, int side)
{
	size_t nb = p->lines[BASE].n, ns = p->lines[side].n, b = 0, s = 0;
	struct edits *out = &p->edits[side];

	for (;;) {
		struct edit e = {.b0 = b, .s0 = s};

		while (b < nb && !p->kind[BASE][b]->n[side])
			b++;
		while (s < ns && !p->kind[side][s]->n[BASE])
			s++;
		e.b1 = b;
		e.s1 = s;
		if (e.s0 == e.s1 && e.b0 > 0 && e.b0 < e.b1 && b < nb && !is_unique(p, e.b0 - 1) &&
		    !is_unique(p, b))
			return false;
		if (e.b0 < e.b1 || e.s0 < e.s1)
			out->v[out->n++] = e;
		if (b == nb || s == ns)
			return b == nb && s == ns;
		if (!pass_run(p, side, &b, &s))
			return false;
	}
}

/* Is the piece what comes next? */
static bool eat(struct text *rest, const struct lines *l, size_t from, size_t to)
{
	const char *p = from < to ? l->v[from].p : "";
	size_t n = from < to ? (size_t)(l->v[to - 1].p + l->v[to - 1].n - p) : 0;

	if (n > rest->n || (n && memcmp(rest->p, p, n) != 0))
		return false;
	rest->p += n;
	rest->n -= n;
	return true;
}

/* Both sides' regions, none of which touches one of the other's: do they make the merged text? */
static bool makes(const struct plain *p, struct text merged)
{
	size_t at[SIDES] = {0}, b = 0;

	while (at[OURS] < p->edits[OURS].n || at[THEIRS] < p->edits[THEIRS].n) {
		const struct edit *o = &p->edits[OURS].v[at[OURS]];
		const struct edit *t = &p->edits[THEIRS].v[at[THEIRS]], *e;
		bool has_o = at[OURS] < p->edits[OURS].n, has_t = at[THEIRS] < p->edits[THEIRS].n;
		int side = has_o && (!has_t || o->b1 < t->b0) ? OURS : THEIRS;

		if (has_o && has_t && side == THEIRS && t->b1 >= o->b0)
			return false;
		e = side == OURS ? o : t;
		if (!eat(&merged, &p->lines[BASE], b, e->b0) ||
		    !eat(&merged, &p->lines[side], e->s0, e->s1))
			return false;
		b = e->b1;
		at[side]++;
	}
	return eat(&merged, &p->lines[BASE], b, p->lines[BASE].n) && !merged.n;
}

int plain_merge(const struct text t[SIDES], struct text merged)
{
	struct plain p = {0};
	int r = read_lines(&p, t);

	if (r > 0)
		r = is_certain(&p, OURS) && is_certain(&p, THEIRS) && makes(&p, merged);
	for (int s = BASE; s < SIDES; s++) {
		free(p.lines[s].v);
		free(p.kind[s]);
		free(p.edits[s].v);
	}
	free(p.table);
	return r;
}
