/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three-way comparison by lines (Khanna, Kunal, Pierce: A Formal Investigation of Diff3, 2007), on the
 * edit scripts base → ours and base → theirs. Guarantees: (1) the chunks cover each version's lines
 * once, in order; (2) chunks that are no conflicts, put together, are the merge; (3) swapping the
 * sides gives the same chunks, swapped.
 */
#include "diff3.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

static struct text span(const struct lines *l, struct text whole, size_t from, size_t to)
{
	const char *p = from < l->n ? l->v[from].p : whole.p + whole.n;

	if (from >= to)
		return (struct text){p, 0};
	return (struct text){p, (size_t)(l->v[to - 1].p + l->v[to - 1].n - p)};
}

struct text diff3_text(const struct diff3 *d, const struct chunk *c, enum side side)
{
	return span(&d->lines[side], d->text[side], c->from[side], c->to[side]);
}

static int add(struct diff3 *d, const struct chunk *c)
{
	bool empty = true;

	for (int s = BASE; s < SIDES; s++)
		empty &= c->from[s] == c->to[s];
	if (empty)
		return 0;
	if (d->n == d->cap) {
		size_t cap = d->cap ? 2 * d->cap : 16;
		struct chunk *v = realloc(d->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		d->v = v;
		d->cap = cap;
	}
	d->conflicts += c->kind == CHUNK_CONFLICT;
	d->v[d->n++] = *c;
	return 0;
}

/* Lines that both sides begin or end a conflict with, alike, are no conflict. */
static int add_trimmed(struct diff3 *d, struct chunk c)
{
	const struct text *o = d->lines[OURS].v, *t = d->lines[THEIRS].v;
	struct chunk head = c, tail = c;
	int r;

	while (c.from[OURS] < c.to[OURS] && c.from[THEIRS] < c.to[THEIRS] &&
	       text_equal(o[c.from[OURS]], t[c.from[THEIRS]])) {
		c.from[OURS]++;
		c.from[THEIRS]++;
	}
	while (c.from[OURS] < c.to[OURS] && c.from[THEIRS] < c.to[THEIRS] &&
	       text_equal(o[c.to[OURS] - 1], t[c.to[THEIRS] - 1])) {
		c.to[OURS]--;
		c.to[THEIRS]--;
	}
	head.kind = tail.kind = CHUNK_SAME;
	for (int s = OURS; s < SIDES; s++) {
		head.to[s] = c.from[s];
		tail.from[s] = c.to[s];
	}
	/* The base's lines stay with the conflict: which of them these were is not known. */
	head.to[BASE] = head.from[BASE];
	tail.from[BASE] = tail.to[BASE];
	c.head = head.to[OURS] - head.from[OURS];
	c.tail = tail.to[OURS] - tail.from[OURS];
	c.trimmed = head.from[OURS] < head.to[OURS] || tail.from[OURS] < tail.to[OURS];
	r = add(d, &head);
	if (r == 0)
		r = add(d, &c);
	return r < 0 ? r : add(d, &tail);
}

/* The next stretch of the base that is changed: edits of both sides that overlap or touch. */
static void gather(const struct diff3 *d, size_t at[SIDES], struct chunk *c)
{
	const struct edits *e = d->edits;
	size_t lo = SIZE_MAX, hi;
	bool grew = true;

	for (int s = OURS; s < SIDES; s++)
		if (at[s] < e[s].n && e[s].v[at[s]].b0 < lo)
			lo = e[s].v[at[s]].b0;
	hi = lo;
	while (grew) {
		grew = false;
		for (int s = OURS; s < SIDES; s++)
			while (at[s] < e[s].n && e[s].v[at[s]].b0 <= hi) {
				const struct edit *one = &e[s].v[at[s]++];

				grew = true;
				if (one->b1 > hi)
					hi = one->b1;
			}
	}
	c->from[BASE] = lo;
	c->to[BASE] = hi;
}

static void classify(const struct diff3 *d, struct chunk *c)
{
	bool ours = c->edit_to[OURS] > c->edit_from[OURS];
	bool theirs = c->edit_to[THEIRS] > c->edit_from[THEIRS];

	if (ours && theirs)
		c->kind = text_equal(diff3_text(d, c, OURS), diff3_text(d, c, THEIRS))
				  ? CHUNK_SAME
				  : CHUNK_CONFLICT;
	else
		c->kind = ours ? CHUNK_OURS : CHUNK_THEIRS;
}

static int chunks(struct diff3 *d)
{
	size_t at[SIDES] = {0}, pos[SIDES] = {0};
	int r = 0;

	while (r == 0 && (at[OURS] < d->edits[OURS].n || at[THEIRS] < d->edits[THEIRS].n)) {
		struct chunk c = {0}, same = {.kind = CHUNK_SAME};
		size_t before[SIDES] = {0, at[OURS], at[THEIRS]}, skip;

		gather(d, at, &c);
		skip = c.from[BASE] - pos[BASE];
		for (int s = BASE; s < SIDES; s++) {
			same.from[s] = pos[s];
			same.to[s] = c.from[s] = pos[s] + skip;
		}
		for (int s = OURS; s < SIDES; s++) {
			size_t grown = c.to[BASE] - c.from[BASE];

			for (size_t i = before[s]; i < at[s]; i++) {
				const struct edit *e = &d->edits[s].v[i];

				grown += (e->s1 - e->s0) - (e->b1 - e->b0);
			}
			c.to[s] = c.from[s] + grown;
			c.edit_from[s] = before[s];
			c.edit_to[s] = at[s];
		}
		memcpy(pos, c.to, sizeof(pos));
		classify(d, &c);
		r = add(d, &same);
		if (r == 0)
			r = c.kind == CHUNK_CONFLICT ? add_trimmed(d, c) : add(d, &c);
	}
	if (r == 0) {
		struct chunk rest = {.kind = CHUNK_SAME};

		for (int s = BASE; s < SIDES; s++) {
			rest.from[s] = pos[s];
			rest.to[s] = d->lines[s].n;
		}
		r = add(d, &rest);
	}
	return r;
}

int diff3(struct text base, struct text ours, struct text theirs, struct diff3 *ret)
{
	struct diff3 d = {.text = {base, ours, theirs}};
	int r = 0;

	for (int s = BASE; s < SIDES && r == 0; s++)
		r = lines_split(d.text[s], &d.lines[s]);
	for (int s = OURS; s < SIDES && r == 0; s++)
		r = lines_diff(base, d.text[s], &d.edits[s]);
	if (r == 0)
		r = chunks(&d);
	if (r < 0) {
		diff3_release(&d);
		return r;
	}
	*ret = d;
	return 0;
}

static const struct chunk *taken_out(const struct diff3 *d, size_t at)
{
	const struct chunk *c = at < d->n ? &d->v[at] : NULL;

	return c && c->kind == CHUNK_SAME && c->from[BASE] == c->to[BASE] ? c : NULL;
}

void diff3_trimmed(const struct diff3 *d, const struct chunk *c, const struct chunk **ret_head,
		   const struct chunk **ret_tail)
{
	size_t at = (size_t)(c - d->v);

	*ret_head = c->trimmed && at ? taken_out(d, at - 1) : NULL;
	*ret_tail = c->trimmed ? taken_out(d, at + 1) : NULL;
}

void diff3_release(struct diff3 *d)
{
	for (int s = BASE; s < SIDES; s++) {
		free(d->lines[s].v);
		free(d->edits[s].v);
	}
	free(d->v);
	*d = (struct diff3){0};
}
