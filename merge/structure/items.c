/* SPDX-License-Identifier: Apache-2.0 */
#include "items.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static uint64_t hash_byte(uint64_t h, unsigned char c)
{
	return (h ^ c) * UINT64_C(0x100000001b3);
}

static const uint64_t hash_seed = UINT64_C(0xcbf29ce484222325);

/* FNV-1a of a text, its runs of white space as one blank. */
static uint64_t hash_text(uint64_t h, struct text t)
{
	for (size_t i = 0; i < t.n; i++) {
		if (!is_space(t.p[i]))
			h = hash_byte(h, (unsigned char)t.p[i]);
		else if (i == 0 || !is_space(t.p[i - 1]))
			h = hash_byte(h, ' ');
	}
	return h;
}

static struct text span(const struct syntax *s, uint32_t from, uint32_t to)
{
	return (struct text){s->text.p + from, to - from};
}

static int identify(const struct syntax *s, struct item *it)
{
	struct text name = syn_name(s, it->key);
	struct buf params = BUF_INIT;
	uint64_t h = hash_byte(hash_seed, (unsigned char)s->v[it->key].kind);
	int r;

	it->hash = hash_text(hash_seed, span(s, it->from, it->to));
	it->body = it->hash;
	if (!name.n)
		return 0;
	h = hash_byte(h, (unsigned char)(s->v[it->key].kind >> 8));
	h = hash_byte(hash_text(h, name), 0);
	r = syn_params(s, it->key, &params);
	h = hash_text(h, (struct text){params.data, params.len});
	buf_release(&params);
	it->identity = h ? h : 1;
	it->body = hash_text(hash_seed, span(s, it->from, (uint32_t)(name.p - s->text.p)));
	it->body = hash_text(
		hash_byte(it->body, 0),
		(struct text){name.p + name.n, (size_t)(s->text.p + it->to - name.p) - name.n});
	return r;
}

/* A separator that goes with what it follows. */
static bool is_separator(const struct syntax *s, uint32_t c)
{
	return !(s->v[c].flags & SYN_NAMED) && s->v[c].to - s->v[c].from == 1 &&
	       (s->text.p[s->v[c].from] == ';' || s->text.p[s->v[c].from] == ',');
}

uint32_t items_end(const struct syntax *s, uint32_t c)
{
	uint32_t to = s->v[c].to;

	while (to > s->v[c].from && is_space(s->text.p[to - 1]))
		to--;
	return to;
}

static bool newline_between(const struct syntax *s, uint32_t from, uint32_t to)
{
	return from < to && memchr(s->text.p + from, '\n', to - from);
}

/* Comments and prefixes wait for the node that they precede. */
struct gather {
	const struct syntax *s;
	struct items *out;
	uint32_t pending,
		end; /* first of those that wait, or SYN_NONE; where the last item ended */
	uint32_t pending_end;
	bool pending_broken, separators;
};

static void put(struct gather *g, uint32_t key, uint32_t from, uint32_t to, bool broken)
{
	g->out->v[g->out->n++] = (struct item){
		.key = key,
		.gap = g->end,
		.from = from,
		.to = to,
		.named = (g->s->v[key].flags & SYN_NAMED) != 0,
		.broken = broken,
		.match = -1,
	};
	g->end = to;
}

static void flush(struct gather *g)
{
	if (g->pending != SYN_NONE)
		put(g, g->pending, g->s->v[g->pending].from, g->pending_end, g->pending_broken);
	g->pending = SYN_NONE;
}

static void visit(struct gather *g, uint32_t c)
{
	const struct syn_node *n = &g->s->v[c];
	uint8_t flags = syn_kind(g->s, c)->flags;
	uint32_t to = items_end(g->s, c);
	bool broken = (n->flags & SYN_BROKEN) != 0;
	struct item *last = g->out->n ? &g->out->v[g->out->n - 1] : NULL;

	if (to == n->from && !broken)
		return; /* only white space: an end of line that the grammar names */
	if (g->pending == SYN_NONE && last && last->named &&
	    (((flags & KIND_COMMENT) && !newline_between(g->s, last->to, n->from)) ||
	     (g->separators && is_separator(g->s, c)))) {
		last->to = g->end = to;
		return;
	}
	if (flags & (KIND_COMMENT | KIND_PREFIX)) {
		if (g->pending == SYN_NONE)
			g->pending = c;
		g->pending_broken = (g->pending != c && g->pending_broken) || broken;
		g->pending_end = to;
		return;
	}
	if (!(n->flags & SYN_NAMED))
		flush(g); /* nothing belongs to a bracket */
	put(g, c, g->pending == SYN_NONE ? n->from : g->s->v[g->pending].from, to,
	    broken || (g->pending != SYN_NONE && g->pending_broken));
	g->pending = SYN_NONE;
}

int items_of(const struct syntax *s, uint32_t node, struct items *ret)
{
	const struct kind *k = syn_kind(s, node);
	struct gather g = {.s = s,
			   .out = ret,
			   .pending = SYN_NONE,
			   .end = node ? s->v[node].from : 0,
			   .separators = (k->flags & (KIND_BLOCK | KIND_COMMUTE)) != 0};
	size_t n = 1;
	int r = 0;

	for (uint32_t c = node + 1; c < s->v[node].end; c = s->v[c].end)
		n++;
	*ret = (struct items){calloc(n, sizeof(*ret->v)), 0};
	if (!ret->v)
		return -ENOMEM;
	for (uint32_t c = node + 1; c < s->v[node].end; c = s->v[c].end)
		visit(&g, c);
	flush(&g);
	for (size_t i = 0; i < ret->n && r == 0; i++)
		r = identify(s, &ret->v[i]);
	if (r < 0) {
		free(ret->v);
		ret->v = NULL;
	}
	return r;
}

/* --- which is which --- */

enum { CELLS_MAX = 4 << 20 };

struct matcher {
	const struct syntax *bs, *ss;
	const struct items *base;
	struct items *side;
};

/* How well two items fit: 0 not, 3 alike. */
static unsigned int fit(const struct matcher *m, size_t i, size_t j)
{
	const struct item *b = &m->base->v[i], *s = &m->side->v[j];

	if (b->hash == s->hash && b->identity == s->identity)
		return 3;
	return b->identity && b->identity == s->identity ? 2 : 0;
}

static bool same_kind(const struct matcher *m, size_t i, size_t j)
{
	return m->bs->v[m->base->v[i].key].kind == m->ss->v[m->side->v[j].key].kind;
}

/* The best common sequence of base [i0, i1) and side [j0, j1). */
static int align(struct matcher *m, size_t i0, size_t i1, size_t j0, size_t j1)
{
	size_t w = j1 - j0 + 1, h = i1 - i0 + 1;
	_cleanup_free_ uint32_t *best = NULL;

	if (h == 1 || w == 1)
		return 0;
	if (h > CELLS_MAX / w)
		return -EFBIG;
	best = calloc(h * w, sizeof(*best));
	if (!best)
		return -ENOMEM;
	for (size_t i = h - 1; i-- > 0;)
		for (size_t j = w - 1; j-- > 0;) {
			uint32_t down = best[(i + 1) * w + j], right = best[i * w + j + 1];
			unsigned int f = fit(m, i0 + i, j0 + j);
			uint32_t both = f ? best[(i + 1) * w + j + 1] + f : 0;

			best[i * w + j] = both > down && both > right ? both
					  : down > right	      ? down
								      : right;
		}
	for (size_t i = 0, j = 0; i + 1 < h && j + 1 < w;) {
		unsigned int f = fit(m, i0 + i, j0 + j);

		if (f && best[i * w + j] == best[(i + 1) * w + j + 1] + f) {
			m->side->v[j0 + j].match = (int)(i0 + i);
			i++;
			j++;
		} else if (best[(i + 1) * w + j] >= best[i * w + j + 1]) {
			i++;
		} else {
			j++;
		}
	}
	return 0;
}

/* What stands alone between two matches on either side was changed there, or renamed. */
static bool changed_in_place(const struct matcher *m, size_t i, size_t j)
{
	const struct item *b = &m->base->v[i], *s = &m->side->v[j];

	if (!same_kind(m, i, j) || !b->named)
		return false;
	if (!b->identity && !s->identity)
		return true;
	return b->body == s->body || text_equal(syn_name(m->bs, b->key), syn_name(m->ss, s->key));
}

static void pair_between(struct matcher *m, size_t i0, size_t i1, size_t j0, size_t j1)
{
	if (i1 - i0 != j1 - j0)
		return;
	for (size_t k = 0; k < i1 - i0; k++)
		if (!changed_in_place(m, i0 + k, j0 + k))
			return;
	for (size_t k = 0; k < i1 - i0; k++)
		m->side->v[j0 + k].match = (int)(i0 + k);
}

static void pair_all(struct matcher *m)
{
	size_t i = 0, j0 = 0;

	for (size_t j = 0; j <= m->side->n; j++) {
		size_t to;

		if (j < m->side->n && m->side->v[j].match < 0)
			continue;
		to = j < m->side->n ? (size_t)m->side->v[j].match : m->base->n;
		pair_between(m, i, to, j0, j);
		i = to + 1;
		j0 = j + 1;
	}
}

/* Declarations that left their place: of one identity or, renamed or not, one body, each once. */
static int find_moved(struct matcher *m)
{
	_cleanup_free_ bool *taken = calloc(m->base->n + 1, sizeof(*taken));

	if (!taken)
		return -ENOMEM;
	for (size_t j = 0; j < m->side->n; j++)
		if (m->side->v[j].match >= 0)
			taken[m->side->v[j].match] = true;
	for (size_t j = 0; j < m->side->n; j++) {
		struct item *s = &m->side->v[j];
		int found = -1;

		if (s->match >= 0 || !s->identity)
			continue;
		for (size_t i = 0; i < m->base->n; i++)
			if (!taken[i] && m->base->v[i].identity == s->identity)
				found = found == -1 ? (int)i : -2;
		if (found < 0)
			continue;
		s->match = found;
		s->moved = true;
		taken[found] = true;
	}
	return 0;
}

int items_match(const struct syntax *bs, const struct items *base, const struct syntax *ss,
		struct items *side)
{
	struct matcher m = {bs, ss, base, side};
	size_t head = 0, tail = 0, less = base->n < side->n ? base->n : side->n;
	int r;

	while (head < less && fit(&m, head, head))
		side->v[head].match = (int)head, head++;
	while (tail < less - head && fit(&m, base->n - 1 - tail, side->n - 1 - tail)) {
		side->v[side->n - 1 - tail].match = (int)(base->n - 1 - tail);
		tail++;
	}
	r = align(&m, head, base->n - tail, head, side->n - tail);
	if (r < 0)
		return r;
	pair_all(&m);
	return find_moved(&m);
}

/* --- duplicates --- */

struct owned {
	uint32_t parent;
	uint64_t identity;
};

static int compare_owned(const void *a, const void *b)
{
	const struct owned *x = a, *y = b;

	if (x->parent != y->parent)
		return x->parent < y->parent ? -1 : 1;
	return x->identity < y->identity ? -1 : x->identity > y->identity;
}

int items_duplicates(const struct syntax *s, size_t *ret)
{
	_cleanup_free_ struct owned *v = calloc(s->n + 1, sizeof(*v));
	size_t n = 0;

	*ret = 0;
	if (!v)
		return -ENOMEM;
	for (uint32_t i = 1; i < s->n; i++) {
		struct item it = {.key = i, .from = s->v[i].from, .to = s->v[i].from};

		if (!syn_declare(s, i) || !(syn_kind(s, s->v[i].parent)->flags & KIND_COMMUTE))
			continue;
		it.to = s->v[i].to;
		if (identify(s, &it) < 0)
			return -ENOMEM;
		if (it.identity)
			v[n++] = (struct owned){s->v[i].parent, it.identity};
	}
	qsort(v, n, sizeof(*v), compare_owned);
	for (size_t i = 1; i < n; i++)
		*ret += compare_owned(&v[i - 1], &v[i]) == 0;
	return 0;
}
