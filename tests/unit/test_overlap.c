/* SPDX-License-Identifier: Apache-2.0 */
/* What two versions of a file that are being worked on have to do with each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <git2.h>
#include <stdlib.h>
#include <string.h>

#include "overlap.h"

static const struct resolve_options options = {.cost_of_wrong = COST_OF_WRONG};

static struct text text(const char *s)
{
	return (struct text){s, strlen(s)};
}

static struct overlap ask(const char *path, const char *base, const char *a, const char *b)
{
	struct text t[SIDES] = {text(base), text(a), text(b)};
	struct overlap o;

	assert_int_equal(overlap_texts(path, t, &options, &o), 0);
	return o;
}

static const char base_c[] = "int one(int a)\n{\n\tint x = a;\n\n\treturn x;\n}\n"
			     "\nint two(int b)\n{\n\treturn b;\n}\n";

static void test_overlap__the_same_change_is_none(void **state)
{
	(void)state;
	assert_int_equal(ask("a.c", "a\n", "b\n", "b\n").kind, OVERLAP_NONE);
	assert_int_equal(ask("a.c", "a\n", "a\n", "b\n").kind, OVERLAP_NONE);
	assert_int_equal(ask("a.c", "a\n", "b\n", "a\n").kind, OVERLAP_NONE);
}

static void test_overlap__different_functions_share_the_file_only(void **state)
{
	struct overlap o = ask("a.c", base_c,
			       "int one(int a)\n{\n\tint x = a + 1;\n\n\treturn x;\n}\n"
			       "\nint two(int b)\n{\n\treturn b;\n}\n",
			       "int one(int a)\n{\n\tint x = a;\n\n\treturn x;\n}\n"
			       "\nint two(int b)\n{\n\treturn b + 2;\n}\n");

	(void)state;
	assert_int_equal(o.kind, OVERLAP_FILE);
	assert_int_equal(o.n, 0);
	assert_true(o.clean > 0.99);
}

static void test_overlap__different_lines_of_one_function_are_named(void **state)
{
	struct overlap o = ask("a.c", base_c,
			       "int one(int a)\n{\n\tint x = a + 1;\n\n\treturn x;\n}\n"
			       "\nint two(int b)\n{\n\treturn b;\n}\n",
			       "int one(int a)\n{\n\tint x = a;\n\n\treturn -x;\n}\n"
			       "\nint two(int b)\n{\n\treturn b;\n}\n");

	(void)state;
	assert_int_equal(o.kind, OVERLAP_DECLARATION);
	assert_int_equal(o.n, 1);
	assert_true(text_is(o.place[0].declaration, "int one(int a)"));
	assert_int_equal(o.place[0].from[OURS], 2);
	assert_int_equal(o.place[0].from[THEIRS], 4);
}

/* A function that is added behind another is no change of that one. */
static void test_overlap__an_added_function_is_its_own(void **state)
{
	struct overlap o = ask("a.c", base_c,
			       "int one(int a)\n{\n\tint x = a;\n\n\treturn x;\n}\n"
			       "\nint three(void)\n{\n\treturn 3;\n}\n"
			       "\nint two(int b)\n{\n\treturn b;\n}\n",
			       "int one(int a)\n{\n\tint x = 2 * a;\n\n\treturn x;\n}\n"
			       "\nint two(int b)\n{\n\treturn b;\n}\n");

	(void)state;
	assert_int_equal(o.kind, OVERLAP_FILE);
}

static void test_overlap__the_same_lines_conflict(void **state)
{
	struct overlap o = ask("a.py", "def f():\n    return 1\n", "def f():\n    return 2\n",
			       "def f():\n    return 3\n");

	(void)state;
	assert_int_equal(o.kind, OVERLAP_LINES);
	assert_int_equal(o.conflicts, 1);
	assert_int_equal(o.left, 1);
	assert_true(o.clean < 0.01);
	assert_true(text_is(o.place[0].declaration, "def f():"));
	assert_int_equal(o.place[0].from[OURS], 1);
	assert_int_equal(o.place[0].to[OURS], 2);
	assert_false(o.place[0].resolved);
}

/* What a rule would resolve is told so, as likely as its record says. */
static void test_overlap__a_rule_may_resolve_it(void **state)
{
	struct overlap o =
		ask("setup.cfg", "version = 1.2.0\n", "version = 1.2.1\n", "version = 1.3.0\n");

	(void)state;
	assert_int_equal(o.kind, OVERLAP_LINES);
	assert_int_equal(o.left, 0);
	assert_true(o.place[0].resolved);
	assert_true(o.clean > 0.8 && o.clean < 1);
}

static void test_overlap__swapping_the_sides_swaps_the_places(void **state)
{
	const char *a = "int one(int a)\n{\n\tint x = a + 1;\n\n\treturn x;\n}\n"
			"\nint two(int b)\n{\n\treturn b;\n}\n";
	const char *b = "int one(int a)\n{\n\tint x = a;\n\n\treturn -x;\n}\n";
	struct overlap o = ask("a.c", base_c, a, b), p = ask("a.c", base_c, b, a);

	(void)state;
	assert_int_equal(o.kind, p.kind);
	assert_int_equal(o.n, p.n);
	for (size_t i = 0; i < o.n; i++) {
		assert_int_equal(o.place[i].from[OURS], p.place[i].from[THEIRS]);
		assert_int_equal(o.place[i].to[THEIRS], p.place[i].to[OURS]);
	}
}

static void test_overlap__headings_are_found(void **state)
{
	struct lines l;
	static const char s[] = "#include <a.h>\n\nstruct a {\n\tint x;\n};\n\nint f(void)\n{\n"
				"out:\n\treturn 1;\n}\n";

	(void)state;
	assert_int_equal(lines_split(text(s), &l), 0);
	assert_int_equal(overlap_heading(&l, 0), l.n);
	assert_int_equal(overlap_heading(&l, 3), 2);
	assert_int_equal(overlap_heading(&l, 9), 6);
	assert_int_equal(overlap_heading(&l, 1000), 6);
	free(l.v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overlap__the_same_change_is_none),
		cmocka_unit_test(test_overlap__different_functions_share_the_file_only),
		cmocka_unit_test(test_overlap__different_lines_of_one_function_are_named),
		cmocka_unit_test(test_overlap__an_added_function_is_its_own),
		cmocka_unit_test(test_overlap__the_same_lines_conflict),
		cmocka_unit_test(test_overlap__a_rule_may_resolve_it),
		cmocka_unit_test(test_overlap__swapping_the_sides_swaps_the_places),
		cmocka_unit_test(test_overlap__headings_are_found),
	};

	int r;

	(void)git_libgit2_init();
	r = cmocka_run_group_tests(tests, NULL, NULL);
	(void)git_libgit2_shutdown();
	return r;
}
