/* SPDX-License-Identifier: Apache-2.0 */
/* The map of a changed file against an array with one entry per byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "extent.h"

enum { BYTES = 300, PLACES = 4096, ROUNDS = 20000 };

struct model {
	uint64_t node[BYTES], place[BYTES]; /* node UINT64_MAX: a hole */
	int live[PLACES];		    /* how often a byte of the data is in use */
};

static uint32_t rnd(uint64_t *seed, uint32_t n)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 33) % n;
}

static void on_live(uint64_t addr, int64_t delta, void *user)
{
	struct model *m = user;
	uint64_t n = (uint64_t)(delta < 0 ? -delta : delta);

	for (uint64_t i = addr; i < addr + n; i++)
		m->live[i] += delta < 0 ? -1 : 1;
}

static void check_same(const struct extent_map *e, const struct model *m)
{
	int live[PLACES] = {0};
	uint64_t end = 0, covered = 0;
	uint32_t at = 0;

	for (uint32_t i = 0; i < e->n; i++) {
		assert_true(e->v[i].len > 0);
		assert_true(e->v[i].off >= end);
		end = e->v[i].off + e->v[i].len;
		covered += e->v[i].len;
		if (i > 0 && e->v[i - 1].off + e->v[i - 1].len == e->v[i].off &&
		    e->v[i - 1].node == e->v[i].node)
			assert_int_not_equal(e->v[i - 1].place + e->v[i - 1].len, e->v[i].place);
	}
	assert_int_equal(e->covered, covered);
	for (uint64_t i = 0; i < BYTES; i++) {
		while (at < e->n && e->v[at].off + e->v[at].len <= i)
			at++;
		assert_int_equal(extent_find(e, i), at);
		if (at == e->n || e->v[at].off > i) {
			assert_true(m->node[i] == UINT64_MAX);
			continue;
		}
		assert_int_equal(e->v[at].node, m->node[i]);
		assert_int_equal(e->v[at].place + (i - e->v[at].off), m->place[i]);
		if (e->v[at].node == EXTENT_DATA)
			live[m->place[i]]++;
	}
	assert_memory_equal(live, m->live, sizeof(live));
}

static void test_extent__equals_an_array_of_bytes(void **state)
{
	static struct model m;
	struct extent_live live = {on_live, &m};
	struct extent_map e = {0};
	uint64_t seed = 7;

	(void)state;
	memset(m.node, 0xff, sizeof(m.node));
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t off = rnd(&seed, BYTES), len = rnd(&seed, (uint32_t)(BYTES - off) + 1);
		uint64_t node = rnd(&seed, 3), place = rnd(&seed, PLACES - BYTES);

		if (rnd(&seed, 3) == 0) /* go on where the bytes before came from */
			place = off && m.node[off - 1] == node ? m.place[off - 1] + 1 : place;
		if (place + len > PLACES)
			continue;
		assert_int_equal(extent_reserve(&e, 2), 0);
		if (rnd(&seed, 4)) {
			extent_set(&e, off, len, node, place, &live);
		} else if (rnd(&seed, 4)) {
			extent_punch(&e, off, len, &live);
			node = UINT64_MAX;
		} else { /* as truncating does */
			extent_punch(&e, off, UINT64_MAX - off, &live);
			len = BYTES - off;
			node = UINT64_MAX;
		}
		for (uint64_t i = off; i < off + len; i++) {
			m.node[i] = node;
			m.place[i] = place + (i - off);
		}
		check_same(&e, &m);
	}
	extent_release(&e, &live);
	for (int i = 0; i < PLACES; i++)
		assert_int_equal(m.live[i], 0);
}

static void test_extent__offsets_beyond_4_GiB(void **state)
{
	const uint64_t big = UINT64_C(5) << 32, last = INT64_MAX;
	struct extent_map e = {0};

	(void)state;
	assert_int_equal(extent_reserve(&e, 8), 0);
	extent_set(&e, big, 10, EXTENT_DATA, 77, NULL);
	extent_set(&e, last - 1, 1, EXTENT_DATA, 500, NULL);
	assert_int_equal(extent_find(&e, 0), 0);
	assert_int_equal(extent_find(&e, big + 9), 0);
	assert_int_equal(extent_find(&e, big + 10), 1);
	extent_punch(&e, big + 5, last, NULL);
	assert_int_equal(e.n, 1);
	assert_int_equal(e.v[0].len, 5);
	extent_punch(&e, 0, UINT64_MAX, NULL);
	assert_int_equal(e.n, 0);
	extent_release(&e, NULL);
}

static void test_extent__appending_stays_one(void **state)
{
	struct extent_map e = {0};

	(void)state;
	for (uint64_t i = 0; i < 1000; i++) {
		assert_int_equal(extent_reserve(&e, 2), 0);
		extent_set(&e, i * 10, 10, EXTENT_DATA, 5000 + i * 10, NULL);
	}
	assert_int_equal(e.n, 1);
	assert_int_equal(e.v[0].len, 10000);
	extent_release(&e, NULL);
}

static void test_extent__whole_base_file_is_recognised(void **state)
{
	const uint64_t base = UINT64_C(1) << 48 | 9;
	struct extent_map e = {0};
	uint64_t node = 0;

	(void)state;
	assert_int_equal(extent_reserve(&e, 8), 0);
	extent_set(&e, 0, 100, base, 0, NULL);
	assert_true(extent_is_base(&e, 100, &node));
	assert_int_equal(node, base);
	assert_false(extent_is_base(&e, 101, &node)); /* grown: a hole at its end */
	extent_set(&e, 50, 1, EXTENT_DATA, 0, NULL);
	assert_false(extent_is_base(&e, 100, &node));
	extent_set(&e, 50, 1, base, 50, NULL); /* the very bytes back */
	assert_true(extent_is_base(&e, 100, &node));
	extent_punch(&e, 0, 100, NULL);
	extent_set(&e, 0, 100, EXTENT_INDEX, 0, NULL);
	assert_false(extent_is_base(&e, 100, &node));
	extent_release(&e, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_extent__equals_an_array_of_bytes),
		cmocka_unit_test(test_extent__offsets_beyond_4_GiB),
		cmocka_unit_test(test_extent__appending_stays_one),
		cmocka_unit_test(test_extent__whole_base_file_is_recognised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
