/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A changed file's map, as a sorted vector.
 *
 * Invariants: (1) v[i].off + v[i].len <= v[i+1].off; (2) len > 0; (3) neighbours that continue each
 * other both in the file and at their source are one extent, so that appending costs one; (4) covered is
 * the sum of all len.
 */
#include "extent.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sys.h"

int extent_reserve(struct extent_map *m, uint32_t n)
{
	uint32_t cap = m->cap ? m->cap : 1;
	struct extent *v;

	if (m->n + n <= m->cap)
		return 0;
	while (cap < m->n + n)
		cap *= 2;
	v = sys.realloc(m->v, cap * sizeof(*v));
	if (!v)
		return -ENOMEM;
	m->v = v;
	m->cap = cap;
	return 0;
}

uint32_t extent_find(const struct extent_map *m, uint64_t off)
{
	uint32_t lo = 0, hi = m->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (m->v[mid].off + m->v[mid].len > off)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static void tell(const struct extent_live *live, const struct extent *e, uint64_t skip,
		 uint64_t len, int sign)
{
	if (live && live->fn && e->node == EXTENT_DATA && len)
		live->fn(e->place + skip, sign * (int64_t)len, live->user);
}

static void insert_at(struct extent_map *m, uint32_t i, const struct extent *e)
{
	assert(m->n < m->cap);
	memmove(&m->v[i + 1], &m->v[i], (m->n - i) * sizeof(*m->v));
	m->v[i] = *e;
	m->n++;
}

static void remove_range(struct extent_map *m, uint32_t from, uint32_t to)
{
	memmove(&m->v[from], &m->v[to], (m->n - to) * sizeof(*m->v));
	m->n -= to - from;
}

void extent_punch(struct extent_map *m, uint64_t off, uint64_t len, const struct extent_live *live)
{
	uint64_t end = len > UINT64_MAX - off ? UINT64_MAX : off + len;
	uint32_t i = extent_find(m, off), from;

	if (!len || i == m->n)
		return;
	if (m->v[i].off < off) {
		struct extent tail = m->v[i];
		uint64_t cut = off - tail.off;

		tail.off += cut;
		tail.place += cut;
		tail.len -= cut;
		m->v[i].len = cut;
		if (tail.len > end - off) { /* the hole lies inside one extent */
			tell(live, &tail, 0, end - off, -1);
			m->covered -= end - off;
			tail.place += end - off;
			tail.len -= end - off;
			tail.off = end;
			insert_at(m, i + 1, &tail);
			return;
		}
		tell(live, &tail, 0, tail.len, -1);
		m->covered -= tail.len;
		i++;
	}
	for (from = i; i < m->n && m->v[i].off + m->v[i].len <= end; i++) {
		tell(live, &m->v[i], 0, m->v[i].len, -1);
		m->covered -= m->v[i].len;
	}
	remove_range(m, from, i);
	if (from < m->n && m->v[from].off < end) {
		struct extent *e = &m->v[from];
		uint64_t cut = end - e->off;

		tell(live, e, 0, cut, -1);
		m->covered -= cut;
		e->off += cut;
		e->place += cut;
		e->len -= cut;
	}
}

static bool continues(const struct extent *a, const struct extent *b)
{
	return a->off + a->len == b->off && a->node == b->node && a->place + a->len == b->place;
}

void extent_set(struct extent_map *m, uint64_t off, uint64_t len, uint64_t node, uint64_t place,
		const struct extent_live *live)
{
	struct extent e = {off, len, node, place};
	uint32_t i;

	if (!len)
		return;
	extent_punch(m, off, len, live);
	tell(live, &e, 0, len, 1);
	m->covered += len;
	i = extent_find(m, off);
	if (i > 0 && continues(&m->v[i - 1], &e)) {
		m->v[i - 1].len += len;
		i--;
	} else {
		insert_at(m, i, &e);
	}
	if (i + 1 < m->n && continues(&m->v[i], &m->v[i + 1])) {
		m->v[i].len += m->v[i + 1].len;
		remove_range(m, i + 1, i + 2);
	}
}

bool extent_is_base(const struct extent_map *m, uint64_t size, uint64_t *ret_node)
{
	const struct extent *e = m->v;

	if (m->n != 1 || e->off != 0 || e->len != size || e->place != 0 || e->node == EXTENT_DATA ||
	    e->node == EXTENT_INDEX || e->node == EXTENT_SEED)
		return false;
	*ret_node = e->node;
	return true;
}

void extent_release(struct extent_map *m, const struct extent_live *live)
{
	for (uint32_t i = 0; i < m->n; i++)
		tell(live, &m->v[i], 0, m->v[i].len, -1);
	free(m->v);
	*m = (struct extent_map){0};
}
