/* SPDX-License-Identifier: Apache-2.0 */
/* Which way of waiting is learnt from callers of each kind. Times are given, nothing waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "waiting.h"

enum { US = 1000 };

/* n waits, each takes spin or block ns by its way; how many of them spun. */
static int wait_often(struct waiting *w, int n, uint64_t spin, uint64_t block)
{
	int spun = 0;

	for (int i = 0; i < n; i++) {
		enum way way = waiting_choose(w);

		spun += way == SPIN;
		waiting_learn(w, way, way == SPIN ? spin : block);
	}
	return spun;
}

static void test_waiting__a_caller_on_another_cpu_is_spun_for(void **state)
{
	struct waiting w = WAITING_INIT;

	(void)state;
	assert_in_range(wait_often(&w, 1280, 8 * US, 60 * US), 1270 - 10, 1270);
}

static void test_waiting__a_caller_on_our_cpu_gets_it(void **state)
{
	struct waiting w = WAITING_INIT;

	(void)state;
	assert_in_range(wait_often(&w, 1280, 105 * US, 8 * US), 10, 30);
}

/* Whichever it was before: within some hundred requests. */
static void test_waiting__a_caller_that_moves_is_noticed(void **state)
{
	struct waiting w = WAITING_INIT;

	(void)state;
	for (int i = 0; i < 10; i++) {
		(void)wait_often(&w, 1280, 105 * US, 8 * US);
		assert_in_range(wait_often(&w, 100, 105 * US, 8 * US), 0, 1);
		(void)wait_often(&w, 1280, 8 * US, 60 * US);
		assert_in_range(wait_often(&w, 100, 8 * US, 60 * US), 99, 100);
	}
}

/* Neither way is worth a CPU. */
static void test_waiting__a_slow_caller_is_not_spun_for(void **state)
{
	struct waiting w = WAITING_INIT;

	(void)state;
	(void)wait_often(&w, 1000, 400 * US, 400 * US);
	assert_in_range(wait_often(&w, 1280, 400 * US, 400 * US), 10, 10);
}

static void test_waiting__pauses_end_it_and_count_for_neither(void **state)
{
	struct waiting w = WAITING_INIT;

	(void)state;
	assert_in_range(wait_often(&w, 1280, 5000 * US, 5000 * US), WAITING_VAIN_MAX,
			WAITING_VAIN_MAX + 10);
	assert_int_equal(w.took[SPIN], 10 * US);
	assert_int_equal(w.took[BLOCK], 30 * US);
	assert_in_range(wait_often(&w, 1280, 8 * US, 60 * US), 1280 - WAITING_EXPLORE - 10, 1280);
}

static void test_waiting__one_pause_in_a_row_of_requests_changes_nothing(void **state)
{
	struct waiting w = WAITING_INIT;
	int spun = 0;

	(void)state;
	for (int i = 0; i < 64; i++) {
		spun += wait_often(&w, 19, 8 * US, 60 * US);
		spun += wait_often(&w, 1, 2000 * US, 2000 * US);
	}
	assert_in_range(spun, 1260, 1270);
}

static void test_waiting__beside_one_who_computes_it_blocks_at_once(void **state)
{
	struct waiting w = WAITING_INIT;

	(void)state;
	(void)wait_often(&w, 20, 8 * US, 60 * US);
	waiting_hogged(&w);
	assert_int_equal(waiting_choose(&w), BLOCK);
	assert_in_range(wait_often(&w, 1280, 8 * US, 60 * US), 1, 900);
	assert_in_range(wait_often(&w, 1280, 8 * US, 60 * US), 1260, 1280);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waiting__a_caller_on_another_cpu_is_spun_for),
		cmocka_unit_test(test_waiting__a_caller_on_our_cpu_gets_it),
		cmocka_unit_test(test_waiting__a_caller_that_moves_is_noticed),
		cmocka_unit_test(test_waiting__a_slow_caller_is_not_spun_for),
		cmocka_unit_test(test_waiting__pauses_end_it_and_count_for_neither),
		cmocka_unit_test(test_waiting__one_pause_in_a_row_of_requests_changes_nothing),
		cmocka_unit_test(test_waiting__beside_one_who_computes_it_blocks_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
