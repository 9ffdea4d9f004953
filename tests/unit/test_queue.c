/* SPDX-License-Identifier: Apache-2.0 */
/* queue: every state with every event, what depends on more, and the order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "queue.h"

#define SECOND UINT64_C(1000000000)

/* One letter a state that it leads to; - cannot happen. Columns are the events in their order:
 * start held later nothing conflicts verified broken approve land landed moved fault cancel restart */
static const struct {
	enum queue_state state;
	const char *to;
} table[] = {
	{QUEUE_PENDING, "M-P--------FFP"},   {QUEUE_MERGING, "-VPDC------FFP"},
	{QUEUE_VERIFYING, "--P--RC----FFP"}, {QUEUE_READY, "--P-----R--FFP"},
	{QUEUE_MERGED, "--------------"},    {QUEUE_CONFLICT, "--------------"},
	{QUEUE_FAILED, "--------------"},
};

static char letter(enum queue_state s)
{
	return "PMVRDCF"[s];
}

static void test_queue__every_state_with_every_event(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		for (int e = 0; e < QUEUE_EVENT_MAX; e++) {
			struct queue_at at = {.state = table[i].state, .since = 7}, next = {0};
			unsigned actions = 0;
			int r = queue_step(&at, (enum queue_event)e, 9, &next, &actions);
			char got = r < 0 ? '-' : letter(next.state);

			if (got != table[i].to[e])
				fail_msg("%s, %s: %c, want %c", queue_state_name(at.state),
					 queue_event_name((enum queue_event)e), got,
					 table[i].to[e]);
			if (r < 0) {
				assert_int_equal(r, -EINVAL);
				continue;
			}
			assert_int_equal(next.since,
					 next.state == at.state && e == QUEUE_LAND ? 7 : 9);
			assert_int_equal(!!(actions & QUEUE_DO_TELL), queue_is_final(next.state));
			if (next.state == QUEUE_PENDING)
				assert_true(actions & QUEUE_DO_DROP);
		}
}

static int step(struct queue_at *at, enum queue_event e, uint64_t now, unsigned *actions)
{
	return queue_step(at, e, now, at, actions);
}

static void test_queue__what_lands_is_neither_cancelled_nor_taken_back(void **state)
{
	static const enum queue_event no[] = {QUEUE_LATER, QUEUE_CANCEL, QUEUE_APPROVE, QUEUE_LAND};
	struct queue_at at = {.state = QUEUE_READY};
	unsigned actions;

	assert_int_equal(step(&at, QUEUE_LAND, 1, &actions), 0);
	assert_true(at.landing && (actions & QUEUE_DO_LAND));
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		assert_int_equal(step(&at, no[i], 2, &actions), -EINVAL);
	assert_int_equal(step(&at, QUEUE_RESTART, 2, &actions), 0);
	assert_true(at.state == QUEUE_READY && at.landing && actions == QUEUE_DO_LAND);
	assert_int_equal(step(&at, QUEUE_LANDED, 3, &actions), 0);
	assert_int_equal(at.state, QUEUE_MERGED);
	assert_false(at.landing);
}

static void test_queue__a_target_that_moves_is_bounded(void **state)
{
	struct queue_at at = {.state = QUEUE_READY};
	unsigned actions, n = 0;
	uint64_t now = SECOND;

	for (; at.state == QUEUE_READY; n++) {
		assert_int_equal(step(&at, QUEUE_LAND, now, &actions), 0);
		assert_int_equal(step(&at, QUEUE_MOVED, now, &actions), 0);
		assert_false(at.landing);
		if (at.state != QUEUE_PENDING)
			break;
		assert_true(at.not_before >= now);
		at.state = QUEUE_READY;
	}
	assert_int_equal(n + 1, QUEUE_TRIES);
	assert_int_equal(at.state, QUEUE_FAILED);
}

static void test_queue__approval_is_waited_for(void **state)
{
	struct queue_at at = {.state = QUEUE_VERIFYING, .approval = true};
	unsigned actions;

	assert_int_equal(step(&at, QUEUE_VERIFIED, 1, &actions), 0);
	assert_true(actions & QUEUE_DO_ASK);
	assert_int_equal(step(&at, QUEUE_LAND, 1, &actions), -EINVAL);
	assert_int_equal(step(&at, QUEUE_RESTART, 1, &actions), 0);
	assert_int_equal(at.state, QUEUE_READY); /* what was made to be looked at stays */
	at.approved = true;
	assert_int_equal(step(&at, QUEUE_APPROVE, 1, &actions), 0);
	assert_int_equal(at.state,
			 QUEUE_PENDING); /* made anew, and compared with what was approved */
	at.state = QUEUE_READY;
	assert_int_equal(step(&at, QUEUE_LAND, 1, &actions), 0);
	at = (struct queue_at){.state = QUEUE_READY};
	assert_int_equal(step(&at, QUEUE_APPROVE, 1, &actions), -EINVAL);
}

static void test_queue__a_rule_is_dropped_once(void **state)
{
	struct queue_at at = {.state = QUEUE_VERIFYING, .droppable = true};
	unsigned actions;

	assert_int_equal(step(&at, QUEUE_BROKEN, 1, &actions), 0);
	assert_int_equal(at.state, QUEUE_PENDING);
	at.state = QUEUE_VERIFYING;
	assert_int_equal(step(&at, QUEUE_BROKEN, 1, &actions), 0);
	assert_int_equal(at.state, QUEUE_CONFLICT);
}

static void test_queue__names_there_and_back(void **state)
{
	for (int i = 0; i < QUEUE_STATE_MAX; i++)
		assert_int_equal(queue_state_parse(queue_state_name((enum queue_state)i)), i);
	assert_int_equal(queue_state_parse("no such"), -EINVAL);
	for (int i = 0; i < QUEUE_EVENT_MAX; i++)
		assert_non_null(queue_event_name((enum queue_event)i));
}

/* "3 1 2": the ids of those that go next. */
static const char *picked(const struct queue_item *v, size_t n, size_t window, uint64_t now)
{
	static char text[256];
	size_t order[16], got = queue_pick(v, n, window, now, order), at = 0;

	text[0] = 0;
	for (size_t i = 0; i < got; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%lld", i ? " " : "",
				       (long long)v[order[i]].id);
	return text;
}

static void test_queue__small_ones_first_but_none_starves(void **state)
{
	struct queue_item v[] = {{.id = 1, .time = SECOND, .paths = 1024},
				 {.id = 2, .time = 2 * SECOND, .paths = 1},
				 {.id = 3, .time = 3 * SECOND, .paths = 1, .overlaps = 3}};

	assert_string_equal(picked(v, 3, 8, SECOND), "2 3 1");
	v[1].time = v[2].time = 120 * SECOND; /* later ones do not go before it for ever */
	assert_string_equal(picked(v, 3, 8, SECOND), "1 2 3");
	v[2].rank = 1;
	assert_string_equal(picked(v, 3, 2, SECOND), "3 1");
}

static void test_queue__who_waits_and_who_goes_alone(void **state)
{
	struct queue_item v[] = {{.id = 1, .waits = true}, {.id = 2, .turn = 5}, {.id = 3},
				 {.id = 4, .alone = true}, {.id = 5, .uid = 7},	 {.id = 6}};

	assert_string_equal(picked(v, 6, 8, 1), "3 6");
	assert_string_equal(picked(v, 6, 8, 5), "2 3 6");
	assert_string_equal(picked(&v[3], 1, 8, 1), "4");
	assert_string_equal(picked(&v[3], 3, 8, 1), "4");
	assert_string_equal(picked(&v[4], 1, 8, 1), "5");
	assert_string_equal(picked(v, 1, 8, 1), "");
	assert_string_equal(picked(v, 0, 8, 1), "");
	v[2].limit = 1;
	assert_string_equal(picked(v, 6, 8, 1), "3");
}

static void test_queue__a_batch_goes_whole_or_not(void **state)
{
	struct queue_item v[] = {{.id = 1, .batch = 9, .paths = 100},
				 {.id = 2, .batch = 9},
				 {.id = 3},
				 {.id = 4, .batch = 9}};

	assert_string_equal(picked(v, 4, 2, 1), "1 2 4");
	v[3].waits = true;
	assert_string_equal(picked(v, 4, 2, 1), "3");
}

static void test_queue__the_window(void **state)
{
	assert_int_equal(queue_window(8, true), 9);
	assert_int_equal(queue_window(QUEUE_WINDOW_MAX, true), QUEUE_WINDOW_MAX);
	assert_int_equal(queue_window(9, false), 4);
	assert_int_equal(queue_window(1, false), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_queue__every_state_with_every_event),
		cmocka_unit_test(test_queue__what_lands_is_neither_cancelled_nor_taken_back),
		cmocka_unit_test(test_queue__a_target_that_moves_is_bounded),
		cmocka_unit_test(test_queue__approval_is_waited_for),
		cmocka_unit_test(test_queue__a_rule_is_dropped_once),
		cmocka_unit_test(test_queue__names_there_and_back),
		cmocka_unit_test(test_queue__small_ones_first_but_none_starves),
		cmocka_unit_test(test_queue__who_waits_and_who_goes_alone),
		cmocka_unit_test(test_queue__a_batch_goes_whole_or_not),
		cmocka_unit_test(test_queue__the_window),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
