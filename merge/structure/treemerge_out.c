/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the structured merge writes, and what is known of it: a stretch of a version at a time, with the class of the
 * decision that put it there, for the conflicts that touch it.
 */
#include "treemerge_parts.h"

#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"

static bool overlap(struct range c, size_t from, size_t to)
{
	if (c.from == c.to || from == to)
		return c.from <= to && from <= c.to;
	return c.from < to && from < c.to;
}

/* Every conflict that touches the place: decided by a decision of that class. */
void merging_mark(struct merging *m, enum side side, size_t from, size_t to,
		  enum parser_class class)
{
	for (size_t i = 0; i < m->in->n; i++)
		if (overlap(m->in->conflict[side][i], from, to) && m->class[i] < class)
			m->class[i] = class;
}

void merging_give_up(struct merging *m, enum side side, size_t from, size_t to)
{
	for (size_t i = 0; i < m->in->n; i++)
		if (overlap(m->in->conflict[side][i], from, to))
			m->failed[i] = true;
}

void merging_emit(struct merging *m, enum side side, uint32_t from, uint32_t to)
{
	if (m->error || from >= to)
		return;
	if (m->n == m->cap) {
		size_t cap = m->cap ? 2 * m->cap : 64;
		struct piece *v = realloc(m->pieces, cap * sizeof(*v));

		if (!v) {
			m->error = -ENOMEM;
			return;
		}
		m->pieces = v;
		m->cap = cap;
	}
	m->pieces[m->n++] = (struct piece){side, from, to, m->out.len};
	if (buf_add(&m->out, m->in->text[side].p + from, to - from) < 0)
		m->error = -ENOMEM;
}

/* Bytes of the three versions: one side's change, or none. Returns false (ours was written, the conflicts there are
 * given up) where both changed them. */
bool merging_emit_changed(struct merging *m, const uint32_t from[SIDES], const uint32_t to[SIDES],
			  enum parser_class class)
{
	struct text b = merging_slice(m, BASE, from[BASE], to[BASE]),
		    o = merging_slice(m, OURS, from[OURS], to[OURS]),
		    t = merging_slice(m, THEIRS, from[THEIRS], to[THEIRS]);
	bool same = text_equal(o, t);
	enum side side = !same && text_equal(b, o) ? THEIRS : OURS;

	merging_emit(m, side, from[side], to[side]);
	if (same || text_equal(b, o) || text_equal(b, t)) {
		for (int s = BASE; s < SIDES && !(same && text_equal(b, o)); s++)
			merging_mark(m, (enum side)s, from[s], to[s], class);
		return true;
	}
	for (int s = BASE; s < SIDES; s++)
		merging_give_up(m, (enum side)s, from[s], to[s]);
	return false;
}

/* --- items and the gaps before them --- */

struct text list_text(const struct merging *m, const struct list *l, enum side s, int i)
{
	return merging_slice(m, s, list_item(l, s, i)->from, list_item(l, s, i)->to);
}

static size_t newlines(struct text t)
{
	size_t n = 0;

	for (size_t i = 0; i < t.n; i++)
		n += t.p[i] == '\n';
	return n;
}

static struct text list_gap(const struct merging *m, const struct list *l, enum side s, int i)
{
	return merging_slice(m, s, list_item(l, s, i)->gap, list_item(l, s, i)->from);
}

void list_emit_gap(struct merging *m, const struct list *l, enum side s, int i)
{
	merging_emit(m, s, list_item(l, s, i)->gap, list_item(l, s, i)->from);
}

/* The gap before an item that the versions have: as the side has it that changed it, among those in which the same
 * item stands before. */
enum side list_choose_gap(const struct merging *m, const struct list *l, const int at[SIDES])
{
	bool fits[SIDES];
	struct text t[SIDES];
	enum side best = at[OURS] >= 0 ? OURS : at[THEIRS] >= 0 ? THEIRS : BASE;

	for (int s = BASE; s < SIDES; s++) {
		fits[s] = at[s] >= 0 && l->prev[s] == at[s] - 1;
		t[s] = at[s] >= 0 ? list_gap(m, l, (enum side)s, at[s]) : (struct text){"", 0};
	}
	if (fits[OURS] && fits[THEIRS])
		return fits[BASE] && text_equal(t[BASE], t[OURS]) ? THEIRS : OURS;
	if (fits[OURS] || fits[THEIRS])
		return fits[OURS] ? OURS : THEIRS;
	if (fits[BASE])
		return BASE;
	for (int s = BASE; s < SIDES; s++)
		if (at[s] >= 0 && newlines(t[s]) > newlines(t[best]))
			best = (enum side)s;
	return best;
}

/* The gap before an item that one side added: its own, unless something else stands before it now and the one behind
 * it is the wider. False where the two would run together. */
bool list_emit_gap_added(struct merging *m, const struct list *l, enum side s, int j)
{
	struct text own = list_gap(m, l, s, j), behind = {"", 0};
	int next = j + 1;

	if (l->prev[s] == j - 1) {
		list_emit_gap(m, l, s, j);
		return true;
	}
	while ((size_t)next < l->items[s].n && list_item(l, s, next)->match < 0)
		next++;
	if ((size_t)next < l->items[s].n && list_item(l, s, next)->named)
		behind = list_gap(m, l, s, next);
	if (newlines(behind) > newlines(own))
		list_emit_gap(m, l, s, next);
	else
		list_emit_gap(m, l, s, j);
	return newlines(own) || newlines(behind);
}

void list_give_up(struct merging *m, const struct list *l, enum side s, int i)
{
	merging_give_up(m, s, list_item(l, s, i)->from, list_item(l, s, i)->to);
}

void list_mark(struct merging *m, const struct list *l, enum side s, int i, enum parser_class class)
{
	merging_mark(m, s, list_item(l, s, i)->from, list_item(l, s, i)->to, class);
}
