/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a parser that crashes, hangs, eats memory, reaches out or lies: one question fails. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "parser.h"

static struct parser *fake(unsigned int timeout_ms)
{
	const struct parser_options o = {.program = getenv("AGENTFS_PARSER"),
					 .grammars = getenv("AGENTFS_FAKE_GRAMMARS"),
					 .timeout_ms = timeout_ms};
	struct parser *p = parser_new(&o, NULL);

	assert_non_null(o.program);
	assert_non_null(o.grammars);
	assert_non_null(p);
	return p;
}

static int check(struct parser *p, const char *text, struct err *e)
{
	unsigned int n;

	return parser_check(p, "a.json", (struct text){text, strlen(text)}, &n, e);
}

/* -ENOMEM: the fake library answered with no tree, and is well. */
static void lives(struct parser *p)
{
	assert_int_equal(check(p, "nothing", NULL), -ENOMEM);
}

static void test_parser__a_crash_costs_one_question(void **state)
{
	struct parser *p = fake(30000);
	struct err e = ERR_INIT;

	(void)state;
	lives(p);
	assert_int_equal(check(p, "crash", &e), -EPIPE);
	assert_string_equal(e.text, "'a.json': the parser died of it");
	lives(p);
	err_release(&e);
	parser_free(p);
}

static void test_parser__a_hang_costs_its_time_limit(void **state)
{
	struct parser *p = fake(2000);
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(check(p, "hang", &e), -ETIMEDOUT);
	assert_string_equal(e.text, "'a.json': its syntax took more than 2000 ms to read");
	lives(p);
	err_release(&e);
	parser_free(p);
}

#ifndef __SANITIZE_ADDRESS__ /* which reserves more than any limit */
static void test_parser__memory_is_limited(void **state)
{
	struct parser *p = fake(60000);

	(void)state;
	assert_int_equal(check(p, "memory", NULL), -EPIPE);
	lives(p);
	parser_free(p);
}
#endif

static void test_parser__grammars_can_reach_nothing(void **state)
{
	struct parser *p = fake(30000);

	(void)state;
	assert_int_equal(check(p, "calls", NULL), -ENOMEM);
	assert_int_equal(check(p, "read", NULL), -ENOMEM);
	parser_free(p);
}

static void test_parser__what_it_answers_is_checked(void **state)
{
	struct parser *p = fake(30000);

	(void)state;
	assert_int_equal(check(p, "lie", NULL), -EBADMSG);
	lives(p);
	parser_free(p);
}

static void test_parser__unknown_languages_are_told(void **state)
{
	struct parser *p = fake(30000);
	struct err e = ERR_INIT;
	unsigned int n;

	(void)state;
	assert_int_equal(parser_check(p, "a/b.unknown", (struct text){"", 0}, &n, &e), -ENOTSUP);
	assert_string_equal(e.text, "'a/b.unknown': there is no language profile for it");
	err_release(&e);
	/* A profile whose grammar is not there. */
	assert_int_equal(parser_check(p, "a.c", (struct text){"", 0}, &n, &e), -ENOENT);
	assert_non_null(strstr(e.text, "run tools/grammars"));
	err_release(&e);
	lives(p);
	parser_free(p);
}

static void test_parser__no_grammars_is_a_sentence(void **state)
{
	const struct parser_options o = {.program = "/nonexistent/agentfs-parser",
					 .grammars = "/nonexistent"};
	struct parser *p = parser_new(&o, NULL);
	struct err e = ERR_INIT;

	(void)state;
	assert_non_null(p);
	assert_int_equal(check(p, "x", &e), -ENOENT);
	err_release(&e);
	parser_free(p);
	parser_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parser__a_crash_costs_one_question),
		cmocka_unit_test(test_parser__a_hang_costs_its_time_limit),
#ifndef __SANITIZE_ADDRESS__
		cmocka_unit_test(test_parser__memory_is_limited),
#endif
		cmocka_unit_test(test_parser__grammars_can_reach_nothing),
		cmocka_unit_test(test_parser__what_it_answers_is_checked),
		cmocka_unit_test(test_parser__unknown_languages_are_told),
		cmocka_unit_test(test_parser__no_grammars_is_a_sentence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
