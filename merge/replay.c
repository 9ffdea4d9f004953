/* SPDX-License-Identifier: Apache-2.0 */
#include "replay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

int replay_open(const struct diff3 *d, struct text person, struct replay *ret)
{
	struct replay rp = {.person = person};
	int r = lines_diff(d->text[OURS], person, &rp.edits);

	if (r == 0)
		r = lines_split(person, &rp.lines);
	if (r < 0)
		replay_release(&rp);
	else
		*ret = rp;
	return r;
}

void replay_release(struct replay *r)
{
	free(r->edits.v);
	free(r->lines.v);
	*r = (struct replay){0};
}

/* Edits before move it; those that overlap or touch it belong to it. What was trimmed off its ends is looked at again: a
 * person who keeps both of two functions doubles the bracket that ends them. */
struct text replay_region(const struct replay *r, const struct chunk *c)
{
	size_t from = c->from[OURS] - c->head, to = c->to[OURS] + c->tail, pf = from, pt = to;
	const struct lines *l = &r->lines;
	const char *p;

	for (size_t i = 0; i < r->edits.n && r->edits.v[i].b0 <= to; i++) {
		const struct edit *x = &r->edits.v[i];
		size_t behind = x->s1 - x->b1; /* wraps where lines went: so does the sum below */

		if (x->b1 < from)
			pf = from + behind;
		else if (x->b0 <= from)
			pf = x->s0;
		pt = x->b1 > to ? x->s1 : to + behind;
	}
	p = pf < l->n ? l->v[pf].p : r->person.p + r->person.n;
	return (struct text){p, pf < pt ? (size_t)(l->v[pt - 1].p + l->v[pt - 1].n - p) : 0};
}

static int compare(const void *a, const void *b)
{
	const struct text *x = a, *y = b;
	size_t n = x->n < y->n ? x->n : y->n;
	int k = n ? memcmp(x->p, y->p, n) : 0;

	return k ? k : x->n < y->n ? -1 : x->n > y->n;
}

/* The lines without white space around them, sorted, blank ones left out. */
static int sorted_lines(struct text t, struct lines *ret)
{
	struct lines l;
	size_t n = 0;
	int r = lines_split(t, &l);

	if (r < 0)
		return r;
	for (size_t i = 0; i < l.n; i++) {
		struct text line = text_trim(l.v[i]);

		if (line.n)
			l.v[n++] = line;
	}
	l.n = n;
	qsort(l.v, l.n, sizeof(*l.v), compare);
	*ret = l;
	return 0;
}

static bool has(const struct lines *l, const struct text *line)
{
	return l->n && bsearch(line, l->v, l->n, sizeof(*l->v), compare);
}

/* All of a in b, as often. */
static bool contained(const struct lines *a, const struct lines *b)
{
	size_t k = 0;

	for (size_t i = 0; i < a->n; i++, k++) {
		while (k < b->n && compare(&b->v[k], &a->v[i]) < 0)
			k++;
		if (k == b->n || compare(&b->v[k], &a->v[i]) != 0)
			return false;
	}
	return true;
}

/* The chunk and an answer to it, with what was trimmed off the chunk. */
static int widen(const struct diff3 *d, struct chunk *c, struct text *answer, struct buf *whole)
{
	struct chunk head = *c, tail = *c;
	struct text h, t;
	int r;

	head.to[OURS] = c->from[OURS];
	head.from[OURS] -= c->head;
	tail.from[OURS] = c->to[OURS];
	tail.to[OURS] += c->tail;
	for (int s = OURS; s < SIDES; s++) {
		c->from[s] -= c->head;
		c->to[s] += c->tail;
	}
	h = diff3_text(d, &head, OURS);
	t = diff3_text(d, &tail, OURS);
	r = buf_add(whole, h.p, h.n);
	if (r == 0)
		r = buf_add(whole, answer->p, answer->n);
	if (r == 0)
		r = buf_add(whole, t.p, t.n);
	*answer = (struct text){whole->len ? whole->data : "", whole->len};
	return r;
}

int replay_right(const struct diff3 *d, const struct chunk *chunk, struct text answer,
		 struct text person)
{
	enum { ANSWER = SIDES, PERSON, ALL };
	struct lines l[ALL] = {0};
	_cleanup_buf_ struct buf whole = BUF_INIT;
	struct chunk wide = *chunk;
	const struct chunk *c = &wide;
	int r = widen(d, &wide, &answer, &whole);

	for (int s = BASE; s < ALL && r == 0; s++)
		r = sorted_lines(s == ANSWER   ? answer
				 : s == PERSON ? person
					       : diff3_text(d, c, (enum side)s),
				 &l[s]);
	if (r == 0)
		r = contained(&l[ANSWER], &l[PERSON]);
	for (size_t i = 0; r > 0 && i < l[PERSON].n; i++) {
		const struct text *line = &l[PERSON].v[i];

		if ((has(&l[OURS], line) || has(&l[THEIRS], line)) && !has(&l[ANSWER], line))
			r = 0;
	}
	if (r > 0) {
		r = text_equal(answer, person)		? REPLAY_EQUAL
		    : contained(&l[PERSON], &l[ANSWER]) ? REPLAY_ORDER
							: REPLAY_CONTAINED;
	}
	for (int s = BASE; s < ALL; s++)
		free(l[s].v);
	return r;
}

bool replay_counts(const struct resolve *r, const struct resolved_conflict *c, size_t i)
{
	const struct resolver *by = c->answers[i].by;
	size_t before = 0;

	for (const struct resolved_conflict *v = r->v; v < c && before < REPLAY_COUNTED; v++)
		for (size_t k = 0; k < v->n; k++)
			before += v->answers[k].by == by;
	return before < REPLAY_COUNTED;
}

/* Is each line, blank ones aside, among those of the three versions? */
static bool known(const struct diff3 *d, const struct chunk *c, struct text line)
{
	for (int s = BASE; s < SIDES; s++)
		for (size_t i = c->from[s]; i < c->to[s]; i++)
			if (text_equal(text_trim(d->lines[s].v[i]), line))
				return true;
	return !line.n;
}

const char *replay_reason(const struct diff3 *d, const struct chunk *c, struct text person)
{
	static const char *const kept[] = {"the person went back to the base's text",
					   "the person kept ours", "the person kept theirs"};
	struct lines l;
	bool all = true;

	for (int s = THEIRS; s >= BASE; s--)
		if (text_equal_but_space(diff3_text(d, c, (enum side)s), person))
			return kept[s];
	if (text_blank(person))
		return "the person kept nothing";
	if (lines_split(person, &l) < 0)
		return "not compared: out of memory";
	for (size_t i = 0; i < l.n && all; i++)
		all = known(d, c, text_trim(l.v[i]));
	free(l.v);
	return all ? "the person made another choice among the sides' lines"
		   : "the person wrote lines that no side has";
}
