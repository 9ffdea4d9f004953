/* SPDX-License-Identifier: Apache-2.0 */
/* Names that are gone, changed or newly used between two versions of a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "symbol_diff.h"

#define DECL(name, params, enclosing)                                                              \
	{                                                                                          \
		(char *)"function", (char *)(name), (char *)(params), 1, 2, enclosing              \
	}

static void test_symbols__what_is_gone_or_has_other_parameters(void **state)
{
	struct symbol before[] = {
		DECL("kept", "(int)", SYMBOL_NONE),	 DECL("gone", "(int)", SYMBOL_NONE),
		DECL("changed", "(int)", SYMBOL_NONE),	 DECL("overload", "(int)", SYMBOL_NONE),
		DECL("overload", "(char)", SYMBOL_NONE), DECL("local", NULL, 0),
		DECL("ab", "(int)", SYMBOL_NONE),
	};
	struct symbol now[] = {DECL("changed", "(int, int)", SYMBOL_NONE),
			       DECL("overload", "(char)", SYMBOL_NONE),
			       DECL("kept", "(int)", SYMBOL_NONE)};
	struct symbols a = {.v = before, .n = 7}, b = {.v = now, .n = 3};
	struct symbol_gone *v;
	size_t n;

	(void)state;
	assert_int_equal(symbols_gone(&a, &b, &v, &n), 0);
	assert_int_equal(n, 3);
	assert_string_equal(v[0].was->name, "gone");
	assert_false(v[0].changed);
	assert_string_equal(v[1].was->name, "changed");
	assert_true(v[1].changed);
	assert_string_equal(v[2].was->name, "overload");
	assert_string_equal(v[2].was->params, "(int)");
	free(v);
}

static void test_symbols__members_count_and_locals_do_not(void **state)
{
	struct symbol before[] = {DECL("Class", NULL, SYMBOL_NONE), DECL("method", "(int)", 0),
				  DECL("inner", NULL, 1)};
	struct symbols a = {.v = before, .n = 3}, none = {0};
	struct symbol_gone *v;
	size_t n;

	(void)state;
	assert_int_equal(symbols_gone(&a, &none, &v, &n), 0);
	assert_int_equal(n, 2);
	assert_string_equal(v[1].was->name, "method");
	free(v);
}

static void test_symbols__newly_used_is_what_was_neither_used_nor_is_declared(void **state)
{
	struct symbol_use before[] = {{(char *)"old", SYMBOL_NONE, 1}};
	struct symbol_use now[] = {{(char *)"old", SYMBOL_NONE, 1},
				   {(char *)"fresh", SYMBOL_NONE, 9},
				   {(char *)"fresh", SYMBOL_NONE, 4},
				   {(char *)"mine", SYMBOL_NONE, 5},
				   {(char *)"it", SYMBOL_NONE, 6}};
	struct symbol declared[] = {DECL("mine", "()", SYMBOL_NONE)};
	struct symbols a = {.uses = before, .nuses = 1};
	struct symbols b = {.v = declared, .n = 1, .uses = now, .nuses = 5};
	const struct symbol_use **v;
	size_t n;

	(void)state;
	assert_int_equal(symbols_newly_used(&a, &b, &v, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(v[0]->name, "fresh");
	assert_int_equal(v[0]->line, 4);
	free(v);
}

static void test_symbols__nothing_of_nothing(void **state)
{
	struct symbols none = {0};
	const struct symbol_use **u;
	struct symbol_gone *v;
	size_t n;

	(void)state;
	assert_int_equal(symbols_gone(&none, &none, &v, &n), 0);
	assert_int_equal(n, 0);
	free(v);
	assert_int_equal(symbols_newly_used(&none, &none, &u, &n), 0);
	assert_int_equal(n, 0);
	free(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_symbols__what_is_gone_or_has_other_parameters),
		cmocka_unit_test(test_symbols__members_count_and_locals_do_not),
		cmocka_unit_test(test_symbols__newly_used_is_what_was_neither_used_nor_is_declared),
		cmocka_unit_test(test_symbols__nothing_of_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
