/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places of the base image and their node numbers.
 *
 * Invariants of a finished map: (1) the runs cover the places from 0 on without gaps; (2) no number is
 * given twice; (3) by_id orders the runs by number, so that both directions are a binary search, and
 * none at all for the one run of a view that never was synced.
 */
#include "base_map.h"

#include <errno.h>
#include <stdlib.h>

#include "sys.h"

#define NUMBER_ROOT  UINT64_C(1)
#define NUMBER_MAX   (UINT64_C(0xffff) << 48)
#define FIRST_NUMBER UINT64_C(2)

int base_map_add(struct base_map *m, const struct base_run *run)
{
	struct base_run *last = m->n ? &m->runs[m->n - 1] : NULL;

	if (!run->len || run->place != (last ? last->place + last->len : 0) ||
	    run->len > UINT32_MAX - run->place || run->id < FIRST_NUMBER ||
	    run->id >= NUMBER_MAX - run->len)
		return -EBADMSG;
	if (last && last->id + last->len == run->id && last->time == run->time) {
		last->len += run->len;
		return 0;
	}
	if (m->n == m->cap) {
		uint32_t cap = m->cap ? m->cap * 2 : 1;
		struct base_run *v = sys.realloc(m->runs, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		m->runs = v;
		m->cap = cap;
	}
	m->runs[m->n++] = *run;
	return 0;
}

static int by_number(const void *a, const void *b, void *user)
{
	const struct base_map *m = user;
	uint64_t x = m->runs[*(const uint32_t *)a].id, y = m->runs[*(const uint32_t *)b].id;

	return x < y ? -1 : x > y;
}

int base_map_finish(struct base_map *m, uint32_t count)
{
	uint32_t end = m->n ? m->runs[m->n - 1].place + m->runs[m->n - 1].len : 0;

	if (!m->n || end != count)
		return -EBADMSG;
	m->by_id = sys_calloc(m->n, sizeof(*m->by_id));
	if (!m->by_id)
		return -ENOMEM;
	for (uint32_t i = 0; i < m->n; i++)
		m->by_id[i] = i;
	if (m->n > 1)
		qsort_r(m->by_id, m->n, sizeof(*m->by_id), by_number, m);
	for (uint32_t i = 1; i < m->n; i++) {
		const struct base_run *a = &m->runs[m->by_id[i - 1]];

		if (a->id + a->len > m->runs[m->by_id[i]].id)
			return -EBADMSG;
	}
	return 0;
}

void base_map_release(struct base_map *m)
{
	free(m->runs);
	free(m->by_id);
	*m = (struct base_map){0};
}

const struct base_run *base_map_run(const struct base_map *m, uint32_t place)
{
	uint32_t lo = 0, hi = m->n;

	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (m->runs[mid].place <= place)
			lo = mid;
		else
			hi = mid;
	}
	return &m->runs[lo];
}

uint64_t base_map_number(const struct base_map *m, uint32_t place)
{
	const struct base_run *run;

	if (place == 0)
		return NUMBER_ROOT;
	run = base_map_run(m, place);
	return run->id + (place - run->place);
}

bool base_map_place(const struct base_map *m, uint64_t id, uint32_t *ret_place, uint32_t *ret_len)
{
	const struct base_run *run;
	uint32_t lo = 0, hi = m->n;
	uint64_t skip;

	if (id == NUMBER_ROOT) {
		*ret_place = 0;
		*ret_len = 1;
		return true;
	}
	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (m->runs[m->by_id[mid]].id <= id)
			lo = mid;
		else
			hi = mid;
	}
	if (!m->n)
		return false;
	run = &m->runs[m->by_id[lo]];
	skip = id - run->id;
	if (id < run->id || skip >= run->len || run->place + skip == 0)
		return false;
	*ret_place = run->place + (uint32_t)skip;
	*ret_len = run->len - (uint32_t)skip;
	return true;
}
