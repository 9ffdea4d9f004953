/* SPDX-License-Identifier: Apache-2.0 */
/* Conflicts known again: keys, classes, and what a person kept offered where the same conflict comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <git2.h>
#include <string.h>

#include "cleanup.h"
#include "resolve.h"

static struct text text(const char *s)
{
	return (struct text){s, strlen(s)};
}

static const char *key_of(const char *base, const char *ours, const char *theirs)
{
	static char keys[4][HUNK_KEY_SIZE];
	static int at;
	char *key = keys[at++ % 4];

	assert_int_equal(hunk_key(text(base), text(ours), text(theirs), key), 0);
	assert_int_equal(strlen(key), 40);
	return key;
}

static void test_key__white_space_and_sides_do_not_count(void **state)
{
	const char *key = key_of("a b\nc\n", "x  y\n", "z\n");

	assert_string_equal(key, key_of("a b\nc\n", "z\n", "x  y\n"));
	assert_string_equal(key, key_of("\ta   b\r\n\n  c", " x y ", "\n\nz\t\n"));
	assert_string_equal(key_of("", "", ""), key_of("\n \n", "\t", "\r\n"));
}

static void test_key__everything_else_does(void **state)
{
	const char *key = key_of("a\n", "x\n", "y\n");

	assert_string_not_equal(key, key_of("a\n", "x\n", "z\n"));
	assert_string_not_equal(key, key_of("x\n", "a\n", "y\n"));
	assert_string_not_equal(key, key_of("a\n", "x\ny\n", ""));
	assert_string_not_equal(key_of("ab\n", "", ""), key_of("a b\n", "", ""));
	assert_string_not_equal(key_of("a\nb\n", "", ""), key_of("b\na\n", "", ""));
}

static void test_class__says_what_was_kept(void **state)
{
	static const struct {
		const char *text, *class;
	} cases[] = {{"  o1\n", "ours"},  {"t1\nt2\n", "theirs"}, {"b\n", "base"},
		     {"\n", "none"},	  {"o1\nt1\nt2", "both"}, {"t1\nt2\no1\n", "both"},
		     {"t2\no1\n", "mix"}, {"o1\nmore\n", "new"},  {"o1t1\n", "new"}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(hunk_class(text("b\n"), text("o1\n"), text("t1\nt2\n"),
					       text(cases[i].text)),
				    cases[i].class);
}

#define BASE_TEXT   "head\n\tone\n\ttwo\ntail\n"
#define OURS_TEXT   "head\n\tONE\n\ttwo\ntail\n"
#define THEIRS_TEXT "head\n\tuno\n\ttwo\ntail\n"

/* What resolver `remembered` says of the one conflict; NULL: nothing. */
static const struct answer *ask(struct memory *m, struct evidence own, const char *base,
				const char *ours, const char *theirs, struct resolve *r)
{
	struct records all = {0};
	const struct resolve_options o = {.cost_of_wrong = 5, .own = &all, .memory = m};

	assert_int_equal(records_add(&all, "remembered", "c", PATH_PLAIN, own), 0);
	assert_int_equal(resolve_file("a.c", text(base), text(ours), text(theirs), &o, r), 0);
	records_release(&all);
	assert_int_equal(r->n, 1);
	for (size_t i = 0; i < r->v[0].n; i++)
		if (strcmp(r->v[0].answers[i].by->name, "remembered") == 0)
			return &r->v[0].answers[i];
	return NULL;
}

static struct memory *remember(const char *path, const char *kept)
{
	struct memory *m = NULL;

	assert_int_equal(memory_new(&m), 0);
	assert_int_equal(
		memory_add(m, path, text("\tone\n"), text("\tuno\n"), text("\tONE\n"), text(kept)),
		0);
	return m;
}

static void test_memory__the_same_conflict_is_answered_alike(void **state)
{
	struct memory *m = remember("b.c", "\tONE and uno\n");
	const struct answer *a;
	struct resolve r;

	a = ask(m, (struct evidence){0}, BASE_TEXT, OURS_TEXT, THEIRS_TEXT, &r);
	assert_non_null(a);
	assert_false(a->acts); /* nothing is known of how good memory is here */
	assert_int_equal(r.left, 1);
	assert_memory_equal(a->text, "\tONE and uno\n", a->len);
	resolve_release(&r);
	a = ask(m, (struct evidence){40, 40}, BASE_TEXT, OURS_TEXT, THEIRS_TEXT, &r);
	assert_true(a->acts);
	assert_int_equal(r.left, 0);
	resolve_release(&r);
	memory_free(m);
}

static void test_memory__of_two_the_same_file_counts_then_the_newer(void **state)
{
	struct memory *m = remember("b.c", "\tolder\n");
	struct resolve r;

	assert_int_equal(memory_add(m, "c.c", text("\tone\n"), text("\tuno\n"), text("\tONE\n"),
				    text("\tnewer\n")),
			 0);
	assert_memory_equal(
		ask(m, (struct evidence){0}, BASE_TEXT, OURS_TEXT, THEIRS_TEXT, &r)->text,
		"\tnewer\n", 7);
	resolve_release(&r);
	assert_int_equal(memory_add(m, "a.c", text("\tone\n"), text("\tONE\n"), text("\tuno\n"),
				    text("\tof this file\n")),
			 0);
	assert_int_equal(memory_add(m, "b.c", text("\tone\n"), text("\tuno\n"), text("\tONE\n"),
				    text("\tnewest\n")),
			 0);
	assert_memory_equal(
		ask(m, (struct evidence){0}, BASE_TEXT, OURS_TEXT, THEIRS_TEXT, &r)->text,
		"\tof this file\n", 14);
	resolve_release(&r);
	memory_free(m);
}

/* Another conflict, another indentation, an answer with markers or with other line ends. */
static void test_memory__declines_where_it_should(void **state)
{
	struct memory *m = remember("a.c", "\tkept\n");
	struct resolve r;

	assert_null(ask(m, (struct evidence){0}, BASE_TEXT, OURS_TEXT, "head\n\tdos\n\ttwo\ntail\n",
			&r));
	resolve_release(&r);
	assert_null(ask(m, (struct evidence){0}, "head\n\t\tone\n\ttwo\ntail\n",
			"head\n\t\tONE\n\ttwo\ntail\n", "head\n\t\tuno\n\ttwo\ntail\n", &r));
	resolve_release(&r);
	assert_null(ask(m, (struct evidence){0}, "head\r\n\tone\r\n", "head\r\n\tONE\r\n",
			"head\r\n\tuno\r\n", &r));
	resolve_release(&r);
	memory_free(m);
	m = remember("a.c", "<<<<<<< ours\n\tkept\n");
	assert_null(ask(m, (struct evidence){0}, BASE_TEXT, OURS_TEXT, THEIRS_TEXT, &r));
	resolve_release(&r);
	memory_free(m);
	assert_null(ask(NULL, (struct evidence){0}, BASE_TEXT, OURS_TEXT, THEIRS_TEXT, &r));
	resolve_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key__white_space_and_sides_do_not_count),
		cmocka_unit_test(test_key__everything_else_does),
		cmocka_unit_test(test_class__says_what_was_kept),
		cmocka_unit_test(test_memory__the_same_conflict_is_answered_alike),
		cmocka_unit_test(test_memory__of_two_the_same_file_counts_then_the_newer),
		cmocka_unit_test(test_memory__declines_where_it_should),
	};
	int r;

	(void)git_libgit2_init();
	r = cmocka_run_group_tests(tests, NULL, NULL);
	(void)git_libgit2_shutdown();
	return r;
}
