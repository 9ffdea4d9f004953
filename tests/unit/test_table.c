/* SPDX-License-Identifier: Apache-2.0 */
/* table: a million random puts and removes against a plain array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "table.h"

enum { KEYS = 4096, STEPS = 1000000 };

static void test_table__equals_an_array(void **state)
{
	static char *model[KEYS + 1];
	static char cells[KEYS + 1];
	struct table t = {0};
	uint64_t seed = 42;

	for (int i = 0; i < STEPS; i++) {
		uint64_t key;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		key = (seed >> 33) % KEYS + 1;
		if (seed & (1u << 20)) {
			assert_int_equal(table_put(&t, key, &cells[key]), 0);
			model[key] = &cells[key];
		} else {
			assert_ptr_equal(table_remove(&t, key), model[key]);
			model[key] = NULL;
		}
		key = (seed >> 17) % KEYS + 1;
		assert_ptr_equal(table_get(&t, key), model[key]);
	}
	size_t pos = 0, n = 0, want = 0;

	while (table_next(&t, &pos))
		n++;
	for (int i = 1; i <= KEYS; i++)
		want += model[i] != NULL;
	assert_int_equal(n, want);
	assert_int_equal(n, t.used);
	table_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table__equals_an_array),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
