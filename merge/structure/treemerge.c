/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three trees to one text, from the roots down and only where they differ. Guarantees: (1) every byte of the result is
 * copied from a version; (2) what one side changed alone is that side's; what both changed is looked into, and
 * where that is not possible (a token, a broken part, a deletion against a change) the place
 * keeps ours and every conflict that touches it is given up; (3) additions of both at one place are kept only where the
 * profile lets them commute and no two of them declare the same.
 */
#include "treemerge_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

enum { DEPTH_MAX = 120 };

/* --- one list of items --- */

/* Is it a declaration that may stand in any order with others? */
static bool commutes(const struct merging *m, const struct list *l, enum side s, int j)
{
	const struct kind *parent = syn_kind(&m->s[s], l->node[s]);
	const struct kind *k = syn_kind(&m->s[s], list_item(l, s, j)->key);

	return list_item(l, s, j)->identity && k->declare &&
	       (parent->commutes >> (k->declare - 1) & 1);
}

/* Between declarations that commute there may be statements, which do not. */
static enum parser_class class_at(const struct merging *m, const struct list *l, enum side s, int j)
{
	return l->class == PARSER_DECL && !commutes(m, l, s, j) ? PARSER_BLOCK : l->class;
}

static bool is_import(const struct merging *m, const struct list *l, enum side s, int i)
{
	return syn_kind(&m->s[s], list_item(l, s, i)->key)->flags & KIND_IMPORT;
}

static void merge_nodes(struct merging *m, const uint32_t node[SIDES], enum parser_class class);

/* An item that both sides changed: what stands before its node, the node, what stands behind it. */
static void merge_item(struct merging *m, const struct list *l, const int at[SIDES])
{
	uint32_t key[SIDES], from[SIDES], to[SIDES], start[SIDES], end[SIDES];

	for (int s = BASE; s < SIDES; s++) {
		const struct item *it = list_item(l, (enum side)s, at[s]);

		key[s] = it->key;
		from[s] = it->from;
		start[s] = m->s[s].v[it->key].from;
		end[s] = items_end(&m->s[s], it->key);
		to[s] = it->to;
	}
	(void)merging_emit_changed(m, from, start, PARSER_BLOCK);
	merge_nodes(m, key, class_at(m, l, OURS, at[OURS]));
	(void)merging_emit_changed(m, end, to, PARSER_BLOCK);
}

/* An item that all three have, or that one side moved here. */
static void emit_item(struct merging *m, struct list *l, const int at[SIDES])
{
	struct text b = list_text(m, l, BASE, at[BASE]), o = list_text(m, l, OURS, at[OURS]),
		    t = list_text(m, l, THEIRS, at[THEIRS]);
	bool ours = !text_equal(b, o), theirs = !text_equal(b, t);
	bool broken = list_item(l, OURS, at[OURS])->broken ||
		      list_item(l, THEIRS, at[THEIRS])->broken ||
		      list_item(l, BASE, at[BASE])->broken;
	enum side side = ours ? OURS : THEIRS;

	if (ours && theirs && !text_equal(o, t) && !broken && !is_import(m, l, OURS, at[OURS])) {
		merge_item(m, l, at);
		return;
	}
	merging_emit(m, side, list_item(l, side, at[side])->from, list_item(l, side, at[side])->to);
	for (int s = BASE; s < SIDES && (ours || theirs); s++) {
		list_mark(m, l, (enum side)s, at[s], class_at(m, l, (enum side)s, at[s]));
		if ((broken && ours && theirs && !text_equal(o, t)) ||
		    is_import(m, l, (enum side)s, at[s]))
			list_give_up(m, l, (enum side)s, at[s]);
	}
}

static bool is_added(const struct item *it)
{
	return it->match < 0 || it->moved;
}

static void written(struct list *l, int b, int o, int t)
{
	l->prev[BASE] = b;
	l->prev[OURS] = o;
	l->prev[THEIRS] = t;
}

/* One item that a side added, or moved here with what the other side made of it. */
static void emit_added(struct merging *m, struct list *l, enum side s, int j,
		       enum parser_class class)
{
	const struct item *it = list_item(l, s, j);
	enum side other = s == OURS ? THEIRS : OURS;

	if (!list_emit_gap_added(m, l, s, j) && m->out.len)
		list_give_up(m, l, s, j);
	if (class_at(m, l, s, j) > class)
		class = class_at(m, l, s, j);
	merging_mark(m, s, it->gap, it->to, class);
	if (it->broken || is_import(m, l, s, j))
		list_give_up(m, l, s, j);
	if (it->moved && l->of[other][it->match] >= 0) {
		int at[SIDES];

		at[BASE] = it->match;
		at[s] = j;
		at[other] = l->of[other][it->match];
		emit_item(m, l, at);
	} else {
		merging_emit(m, s, it->from, it->to);
	}
	written(l, ABSENT, s == OURS ? j : ABSENT, s == THEIRS ? j : ABSENT);
}

/* Lines of a that b has as well, and how many a has: those that hold a word. */
static void shared_lines(struct text a, struct text b, size_t *ret_shared, size_t *ret_all)
{
	*ret_shared = *ret_all = 0;
	for (size_t at = 0; at < a.n;) {
		const char *end = memchr(a.p + at, '\n', a.n - at);
		struct text line = {a.p + at, (end ? (size_t)(end - a.p) : a.n) - at};
		bool word = false;

		at += line.n + 1;
		line = text_trim(line);
		for (size_t i = 0; i < line.n; i++)
			word = word || (line.p[i] >= 'A' && line.p[i] <= 'z');
		if (!word)
			continue;
		++*ret_all;
		*ret_shared += memmem(b.p, b.n, line.p, line.n) != NULL;
	}
}

/* Two names for one thing: keeping both is hardly ever what was meant. */
static bool alike(struct text a, struct text b)
{
	size_t shared, all;

	shared_lines(a.n < b.n ? a : b, a.n < b.n ? b : a, &shared, &all);
	return all > 2 && 3 * shared >= 2 * all;
}

/* What both added: -1 where they may not stand together. Else whether theirs has to be left out, as ours is it. */
static int also_ours(const struct merging *m, const struct list *l, size_t jo, size_t jo_end, int j)
{
	const struct item *t = list_item(l, THEIRS, j);
	int same = 0;

	for (size_t i = jo; i < jo_end; i++) {
		const struct item *o = list_item(l, OURS, (int)i);

		if (o->hash == t->hash && o->identity == t->identity)
			same = 1;
		else if ((o->identity && o->identity == t->identity) ||
			 alike(list_text(m, l, OURS, (int)i), list_text(m, l, THEIRS, j)))
			return -1;
	}
	return same;
}

static bool may_stand_together(const struct merging *m, const struct list *l, size_t jo,
			       size_t jo_end, size_t jt, size_t jt_end)
{
	for (size_t j = jo; j < jo_end; j++)
		if (!commutes(m, l, OURS, (int)j) || list_item(l, OURS, (int)j)->moved)
			return false;
	for (size_t j = jt; j < jt_end; j++)
		if (!commutes(m, l, THEIRS, (int)j) || list_item(l, THEIRS, (int)j)->moved ||
		    also_ours(m, l, jo, jo_end, (int)j) < 0)
			return false;
	return true;
}

static bool same_sequence(const struct merging *m, const struct list *l, size_t jo, size_t jo_end,
			  size_t jt, size_t jt_end)
{
	if (jo_end - jo != jt_end - jt)
		return false;
	for (size_t k = 0; k < jo_end - jo; k++)
		if (!text_equal(list_text(m, l, OURS, (int)(jo + k)),
				list_text(m, l, THEIRS, (int)(jt + k))))
			return false;
	return true;
}

/* Is the base's item as it was on that side? There may be none. */
static bool untouched(const struct merging *m, const struct list *l, enum side s, size_t i)
{
	return i >= l->items[BASE].n ||
	       (l->of[s][i] >= 0 &&
		text_equal(list_text(m, l, BASE, (int)i), list_text(m, l, s, l->of[s][i])));
}

/* Did the other side change or take away what stands beside gap i? Then an addition there may have lost its place or
 * its sense, unless order means nothing. */
static bool place_is_lost(const struct merging *m, const struct list *l, enum side s, size_t jo,
			  size_t jo_end, size_t i)
{
	enum side other = s == OURS ? THEIRS : OURS;
	bool all = true;

	for (size_t j = jo; j < jo_end; j++)
		all = all && commutes(m, l, s, (int)j);
	if (all)
		return false;
	return (i > 0 && !untouched(m, l, other, i - 1)) || !untouched(m, l, other, i);
}

static void give_up_run(struct merging *m, const struct list *l, enum side s, size_t j, size_t end)
{
	if (j < end)
		merging_give_up(m, s, list_item(l, s, (int)j)->gap,
				list_item(l, s, (int)end - 1)->to);
}

/* Gap i of the base: what the sides added there. */
static void emit_additions(struct merging *m, struct list *l, size_t i)
{
	size_t jo = l->next[OURS], jt = l->next[THEIRS], eo = jo, et = jt;
	enum parser_class class = l->class;
	bool both, same;

	while (eo < l->items[OURS].n && is_added(list_item(l, OURS, (int)eo)))
		eo++;
	while (et < l->items[THEIRS].n && is_added(list_item(l, THEIRS, (int)et)))
		et++;
	l->next[OURS] = eo;
	l->next[THEIRS] = et;
	both = jo < eo && jt < et;
	same = both && same_sequence(m, l, jo, eo, jt, et);
	if (both && !same) {
		class = class > PARSER_ADD ? class : PARSER_ADD;
		if (!may_stand_together(m, l, jo, eo, jt, et)) {
			give_up_run(m, l, OURS, jo, eo);
			give_up_run(m, l, THEIRS, jt, et);
			et = jt;
		}
	} else if (!both && (jo < eo || jt < et)) {
		enum side s = jo < eo ? OURS : THEIRS;

		if (place_is_lost(m, l, s, s == OURS ? jo : jt, s == OURS ? eo : et, i))
			give_up_run(m, l, s, s == OURS ? jo : jt, s == OURS ? eo : et);
	}
	for (size_t j = jo; j < eo; j++)
		emit_added(m, l, OURS, (int)j, class);
	for (size_t j = jt; j < et && !same; j++)
		if (!both || also_ours(m, l, jo, eo, (int)j) == 0)
			emit_added(m, l, THEIRS, (int)j, class);
}

/* One side has the base's item no more, at this place or at all. */
static void emit_without(struct merging *m, struct list *l, int i, enum side gone)
{
	enum side other = gone == OURS ? THEIRS : OURS;
	int at[SIDES] = {i, ABSENT, ABSENT}, moved = l->of[gone][i];
	int j = l->of[other][i];

	if (moved >= 0) /* it is written where it went */
		return;
	/* People take a deletion back more often than a change: no better than a statement. */
	list_mark(m, l, BASE, i, l->class > PARSER_BLOCK ? l->class : PARSER_BLOCK);
	if (is_import(m, l, BASE, i) ||
	    (!commutes(m, l, BASE, i) && ((i > 0 && !untouched(m, l, other, (size_t)i - 1)) ||
					  !untouched(m, l, other, (size_t)i + 1))))
		list_give_up(m, l, BASE, i);
	if (text_equal(list_text(m, l, BASE, i), list_text(m, l, other, j)))
		return;
	list_give_up(m, l, BASE, i);
	list_give_up(m, l, other, j);
	if (other != OURS)
		return;
	at[OURS] = j;
	list_emit_gap(m, l, list_choose_gap(m, l, at), at[list_choose_gap(m, l, at)]);
	merging_emit(m, OURS, list_item(l, OURS, j)->from, list_item(l, OURS, j)->to);
	written(l, ABSENT, j, ABSENT);
}

static bool stays(const struct list *l, enum side s, int i)
{
	return l->of[s][i] >= 0 && !list_item(l, s, l->of[s][i])->moved;
}

/* The base's item i. */
static void emit_base_item(struct merging *m, struct list *l, int i)
{
	bool ours = stays(l, OURS, i), theirs = stays(l, THEIRS, i);

	if (ours && theirs) {
		const int at[SIDES] = {i, l->of[OURS][i], l->of[THEIRS][i]};
		enum side gap = list_choose_gap(m, l, at);

		list_emit_gap(m, l, gap, at[gap]);
		emit_item(m, l, at);
		written(l, i, at[OURS], at[THEIRS]);
	} else if (ours || theirs) {
		emit_without(m, l, i, ours ? THEIRS : OURS);
	} else if (l->of[OURS][i] >= 0 || l->of[THEIRS][i] >= 0) {
		/* Both moved it, or one moved what the other took away. */
		for (int s = BASE; s < SIDES; s++)
			if (s == BASE || l->of[s][i] >= 0)
				list_give_up(m, l, (enum side)s, s == BASE ? i : l->of[s][i]);
	}
	for (int s = OURS; s < SIDES; s++)
		if (stays(l, (enum side)s, i))
			l->next[s] = (size_t)l->of[s][i] + 1;
}

/* What stands behind the last item. */
static void emit_tail(struct merging *m, const struct list *l)
{
	uint32_t from[SIDES], to[SIDES];
	bool blank = true;
	enum side side = OURS;

	for (int s = BASE; s < SIDES; s++) {
		const struct items *v = &l->items[s];

		from[s] = v->n ? v->v[v->n - 1].to : m->s[s].v[l->node[s]].from;
		to[s] = l->node[s] ? items_end(&m->s[s], l->node[s]) : (uint32_t)m->in->text[s].n;
		if (from[s] > to[s])
			from[s] = to[s];
		blank = blank && text_blank(merging_slice(m, (enum side)s, from[s], to[s]));
	}
	if (!blank) {
		(void)merging_emit_changed(m, from, to, l->class);
		return;
	}
	if (text_equal(merging_slice(m, BASE, from[BASE], to[BASE]),
		       merging_slice(m, OURS, from[OURS], to[OURS])))
		side = THEIRS;
	merging_emit(m, side, from[side], to[side]);
}

static enum parser_class class_of(const struct syntax *s, uint32_t node)
{
	const struct kind *k = syn_kind(s, node);

	if (k->flags & KIND_COMMUTE)
		return PARSER_DECL;
	return k->flags & KIND_BLOCK ? PARSER_BLOCK : PARSER_TOKEN;
}

static int open_list(struct merging *m, struct list *l)
{
	int r = 0;

	for (int s = BASE; s < SIDES && r == 0; s++)
		r = items_of(&m->s[s], l->node[s], &l->items[s]);
	for (int s = OURS; s < SIDES && r == 0; s++) {
		l->of[s] = calloc(l->items[BASE].n + 1, sizeof(int));
		if (!l->of[s])
			return -ENOMEM;
		for (size_t i = 0; i < l->items[BASE].n; i++)
			l->of[s][i] = -1;
		r = items_match(&m->s[BASE], &l->items[BASE], &m->s[s], &l->items[s]);
		for (size_t j = 0; r == 0 && j < l->items[s].n; j++)
			if (list_item(l, (enum side)s, (int)j)->match >= 0)
				l->of[s][list_item(l, (enum side)s, (int)j)->match] = (int)j;
	}
	l->class = class_of(&m->s[BASE], l->node[BASE]);
	return r;
}

static void close_list(struct list *l)
{
	for (int s = BASE; s < SIDES; s++) {
		free(l->items[s].v);
		free(l->of[s]);
	}
}

static void merge_list(struct merging *m, const uint32_t node[SIDES])
{
	struct list l = {.prev = {-1, -1, -1}};

	memcpy(l.node, node, sizeof(l.node));
	m->error = open_list(m, &l);
	for (size_t i = 0; i <= l.items[BASE].n && !m->error; i++) {
		emit_additions(m, &l, i);
		if (i < l.items[BASE].n)
			emit_base_item(m, &l, (int)i);
	}
	if (!m->error)
		emit_tail(m, &l);
	close_list(&l);
}

static bool is_leaf(const struct syntax *s, uint32_t node)
{
	return s->v[node].end == node + 1;
}

static void merge_nodes(struct merging *m, const uint32_t node[SIDES], enum parser_class class)
{
	uint32_t from[SIDES], to[SIDES];
	bool leaf = false, kinds = true, changed = true;

	for (int s = BASE; s < SIDES; s++) {
		from[s] = m->s[s].v[node[s]].from;
		to[s] = items_end(&m->s[s], node[s]);
		leaf = leaf || is_leaf(&m->s[s], node[s]);
		kinds = kinds && m->s[s].v[node[s]].kind == m->s[BASE].v[node[BASE]].kind;
	}
	for (int s = OURS; s < SIDES; s++)
		changed = changed && !text_equal(merging_slice(m, BASE, from[BASE], to[BASE]),
						 merging_slice(m, (enum side)s, from[s], to[s]));
	if (!changed || leaf || !kinds || m->depth == DEPTH_MAX) {
		(void)merging_emit_changed(m, from, to, class);
		return;
	}
	m->depth++;
	merge_list(m, node);
	m->depth--;
}

void treemerge_run(struct merging *m)
{
	const uint32_t roots[SIDES] = {0};

	merge_list(m, roots);
}
