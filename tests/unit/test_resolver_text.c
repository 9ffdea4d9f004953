/* SPDX-License-Identifier: Apache-2.0 */
/* Resolvers of prose and of lines that are alike but for something: copyright years, changelogs; and how a
 * person's merge is read. */
#include "replay.h"
#include "resolver_fixture.h"

static const struct resolver_case copyright[] = {
	{"a.c", " * Copyright 2012-2022 us\n", " * Copyright 2012-2024 us\n",
	 " * Copyright 2012-2025 us\n", " * Copyright 2012-2025 us\n"},
	{"a.c", " * Copyright 2012-2022 us\n", " * Copyright 2012-2025 us\n",
	 " * Copyright 2012-present us\n", " * Copyright 2012-present us\n"},
	{"a.c", "(c) 2019 us\n",
	 "(c) 2019\xe2\x80\x93"
	 "2021 us\n",
	 "(c) 2019 - 2020 us\n",
	 "(c) 2019\xe2\x80\x93"
	 "2021 us\n"},
	{"LICENSE", "Copyright 2019\n", "Copyright 2020\n", "Copyright 2019-2021\n",
	 "Copyright 2019-2021\n"},
	{"a.c", "// Copyright 2019\r\n", "// Copyright 2020\r\n", "// Copyright 2021\r\n", NULL},
	{"a.c", "// Copyright 2019, us\n", "// Copyright 2020, us\n", "// Copyright 2021, them\n",
	 NULL},
	{"a.c", "x = 2019;\n", "x = 2020;\n", "x = 2021;\n", NULL},
	{"a.c", "Copyright 2001-2003\n", "Copyright 2002-2004\n", "Copyright 2001-2003, 2005\n",
	 NULL},
	{"a.c", "Copyright 20190\n", "Copyright 20200\n", "Copyright 20210\n", NULL},
	{"a.c", "Copyright 2019 a\n", "Copyright 2020 a\nx\n", "Copyright 2021 a\ny\n", NULL},
};

static void test_copyright__the_later_year_stays(void **state)
{
	(void)state;
	resolver_check("copyright", copyright, ARRAY_SIZE(copyright));
	resolver_check_swapped("copyright", copyright, ARRAY_SIZE(copyright));
}

static const struct resolver_case changelog[] = {
	/* The blank line behind both additions is no part of the conflict: one is put between. */
	{"CHANGES.rst", "1.0\n---\n\n- old\n", "1.2\n---\n\n- ours\n\n1.0\n---\n\n- old\n",
	 "1.1\n---\n\n- theirs\n\n1.0\n---\n\n- old\n",
	 "1.2\n---\n\n- ours\n\n1.1\n---\n\n- theirs\n\n1.0\n---\n\n- old\n"},
	{"CHANGELOG.md", "# Log\r\n", "# Log\r\n## 2\r\n- a\r\n\r\n",
	 "# Log\r\n## 1\r\n- b\r\n\r\n", "# Log\r\n## 2\r\n- a\r\n\r\n## 1\r\n- b\r\n\r\n"},
	{"Changelog", "Log\n", "Log\n.. _v2:\n\n2.0\n===\n\n- a\n",
	 "Log\n.. _v1:\n\n1.9\n===\n\n- b\n",
	 "Log\n.. _v2:\n\n2.0\n===\n\n- a\n.. _v1:\n\n1.9\n===\n\n- b\n"},
	/* Whose text the common lines at the end would be is not known. */
	{"CHANGES.rst", "x\n", "Version 2\n---------\n\nUnreleased\n\nx\n",
	 "Version 1\n---------\n\nUnreleased\n\nx\n", NULL},
	{"CHANGELOG.md", "# Log\n", "# Log\n## 2\n- a\n- same\n", "# Log\n## 1\n- b\n- same\n",
	 NULL},
	{"CHANGELOG.md", "# Log\n", "# Log\n[2]: https://x/1...2\n",
	 "# Log\n[1.1]: https://x/1...1.1\n", NULL},
	/* "Fixed" and "Added" in another order, in sections of their own. */
	{"CHANGELOG.md", "",
	 "# 2\n\n### Added\n\n- a\n\n### Fixed\n\n- b\n\n# 1.9\n\n### Fixed\n\n- c\n\n",
	 "# 1.8\n\n### Fixed\n\n- b\n\n### Added\n\n- d\n\n",
	 "# 2\n\n### Added\n\n- a\n\n### Fixed\n\n- b\n\n# 1.9\n\n### Fixed\n\n- c\n\n"
	 "# 1.8\n\n### Fixed\n\n- b\n\n### Added\n\n- d\n\n"},
	{"CHANGELOG.md", "", "# 2\n\n### Added\n\n- a\n\n### Fixed\n\n- b\n\n",
	 "# 2\n\n### Fixed\n\n- c\n\n### Added\n\n- d\n\n", NULL},
	{"CHANGELOG.md", "# Log\n", "# Log\n[#1]: https://x/1\n", "# Log\n[#1]: https://y/1\n",
	 NULL},
	{"CHANGELOG.md", "# Log\n", "# Log\n[2.1]: https://x/2.0...2.1\n",
	 "# Log\n[1.9]: https://x/1.8...1.9\n",
	 "# Log\n[2.1]: https://x/2.0...2.1\n[1.9]: https://x/1.8...1.9\n"},
	{"CHANGELOG.md", "# Log\n", "# Log\n## 2\n- a ([#1])\n\n[#1]: https://x/1\n",
	 "# Log\n## 1\n- b ([#2])\n\n[#2]: https://x/2\n",
	 "# Log\n## 2\n- a ([#1])\n\n[#1]: https://x/1\n"
	 "## 1\n- b ([#2])\n\n[#2]: https://x/2\n"},
};

static void test_changelog__sections_stay_apart(void **state)
{
	(void)state;
	resolver_check("changelog", changelog, ARRAY_SIZE(changelog));
	resolver_check_swapped("changelog", changelog, ARRAY_SIZE(changelog));
}

/* --- one side's change is part of the other's --- */

static const struct resolver_case ahead[] = {
	/* Both took out "= null", ours did more. */
	{"A.java", "  Version v = null;\n", "  @Nullable Version v;\n", "  Version v;\n",
	 "  @Nullable Version v;\n"},
	/* Ours deleted what theirs deleted, and put something there. */
	{"a.c", "a\nb\nc\n", "x\ny\n", "a\n", "x\ny\n"},
	{"a.c", "f(a, b);\n", "f(a);\n", "f(b);\n", NULL}, /* each deleted its own */
	{"a.c", "f(a);\n", "g(a, 1);\n", "f(a, 1, 2);\n", NULL},
	{"a.c", "f(a);\n", "f(a, 1);\n", "f(a, 1, 2);\n", NULL}, /* theirs has more */
	{"a.c", "f(a);\n", "f(a, 2, 1);\n", "f(a, 1, 2);\n", NULL},
	/* What theirs added stands there but once. */
	{"a.c", "x\n", "x a\n", "a x a\n", NULL},
	/* White space alone: another's matter, or a change that would be lost. */
	{"a.c", "f(a);\n", "f( a );\n", "f (a);\n", NULL},
	{"a.c", "f(a);\n", "f(a, b);\n", "  f(a);\n", NULL},
	{"a.py", "f(a)\n", "if b:\n    f(a)\n", "  f(a)\n", NULL},
	{"a.py", "f(a)\n", "  f(a, b)\n", "  f(a)\n", "  f(a, b)\n"},
	{"go.sum", "a 1 x\n", "b 2\n", "a 1\n", NULL},
};

static const struct resolver_case ahead_version[] = {
	{"README.rst", ":Version: 3.0.21 (Slide)\n", ":Version: 3.1.0rc3 (Cipater)\n",
	 ":Version: 3.0.22 (Slide)\n", ":Version: 3.1.0rc3 (Cipater)\n"},
	{"a.py", "N = 'a'\nVERSION = (3, 0, 5)\n", "N = 'b'\nVERSION = (3, 1, 0, 'a1')\n",
	 "N = 'a'\nVERSION = (3, 0, 6)\n", "N = 'b'\nVERSION = (3, 1, 0, 'a1')\n"},
	{"a.gradle", "lib(\"X\", \"v1.2.3-SNAPSHOT\") {\n",
	 "lib(\"X\", \"v2.0.7\") {\n  prohibit()\n}\n", "lib(\"X\", \"v1.2.3\") {\n",
	 "lib(\"X\", \"v2.0.7\") {\n  prohibit()\n}\n"},
	/* What theirs raised is gone; whose version is less and stays is not. */
	{"package.json", "a: 2.1.0\nb: 1.3.2\n", "", "a: 2.1.1\nb: 1.3.2\n", ""},
	{"package.json", "a: 2.1.0\nb: 1.3.2\n", "", "a: 2.1.1\nb: x\n", NULL},
	/* Theirs is the greater, and has less. */
	{"README.rst", ":Version: 3.0.21 (Slide)\n", ":Version: 3.0.22 (Cipater)\n",
	 ":Version: 3.1.0 (Slide)\n", NULL},
	/* Nothing but a version: another's. */
	{"README.rst", ":Version: 3.0.21 (Slide)\n", ":Version: 3.1.0 (Slide)\n",
	 ":Version: 3.0.22 (Slide)\n", NULL},
	/* No version: a place. */
	{"a.py", "AT = (3, 0, 5)\nN = 1\n", "AT = (3, 1, 0)\nN = 2\n", "AT = (3, 0, 6)\nN = 1\n",
	 NULL},
	{"a.py", "x = 1\n", "y = 3\n", "x = 2\n", NULL},
	/* Theirs did something else, too. */
	{"README.rst", ":Version: 3.0.21 (Slide)\n", ":Version: 3.1.0 (Cipater)\n",
	 ":Version: 3.0.22 (Slide) x\n", NULL},
	/* Suffixes without an order. */
	{"README.rst", ":Version: 3.0.21 (Slide)\n", ":Version: 3.1.0a (Cipater)\n",
	 ":Version: 3.1.0x (Slide)\n", NULL},
};

/* Each case, and with the sides swapped for the other resolver; `answered` of them are not declined. */
static void check_sides(const char *ours, const char *theirs, const struct resolver_case *v,
			size_t n, size_t answered)
{
	for (size_t i = 0; i < n; i++) {
		struct resolver_case other = {v[i].path, v[i].base, v[i].theirs, v[i].ours,
					      v[i].expected};

		resolver_check(ours, &v[i], 1);
		resolver_check(theirs, &other, 1);
		answered -= v[i].expected != NULL;
	}
	assert_int_equal(answered, 0);
}

static void test_ahead__a_change_that_is_part_of_the_others(void **state)
{
	(void)state;
	check_sides("ahead", "behind", ahead, ARRAY_SIZE(ahead), 3);
	check_sides("ahead-version", "behind-version", ahead_version, ARRAY_SIZE(ahead_version), 4);
}

/* --- lines that both added --- */

static const struct resolver_case append[] = {
	{"a.c", "x\n", "x\nf(1);\n\n", "x\ng(2);\n", "x\nf(1);\n\ng(2);\n"},
	/* The last line has an end as long as it is not the last. */
	{"a.c", "", "f(1);", "g(2);", "f(1);\ng(2);"},
	{"a.c", "x\n", "x\nf(1);\n", "x\ng(2);\n  f(1);\nh();\n", NULL},
	{"a.c", "x\ny\n", "x\nf(1);\n", "x\ng(2);\ny\n", NULL},
	{"a.c", "x\n", "x\n\n", "x\ng(2);\n", NULL},
	/* What both end with may belong to either. */
	{"a.c", "x\n", "x\nf() {\n}\n", "x\ng() {\n}\n", NULL},
	{"AUTHORS", "x\n", "x\nb\n", "x\na\n", NULL},
	{"a.py", "x\n", "x\nimport b\n", "x\nimport a\n", NULL},
};

static void test_append__lines_that_both_added(void **state)
{
	(void)state;
	resolver_check("append", append, ARRAY_SIZE(append));
	resolver_check_swapped("append", append, ARRAY_SIZE(append));
}

/* --- words --- */

static const struct resolver_case words[] = {
	{"a.txt", "the old tool has one mode of work and some flags\n",
	 "the new tool has one mode of work and some flags\n",
	 "the old tool has one mode of work and many flags\n",
	 "the new tool has one mode of work and many flags\n"},
	{"build.gradle", "a(\"x\", group: \"g\",  c: 1)\nb(y: 1, z: 2)\n",
	 "a(\"x2\", group: \"g\",  c: 1)\nb(y: 1, z: 2)\n",
	 "a(\"x\", group: \"g\",  c: 2)\nb(y: 1, z: 3)\n",
	 "a(\"x2\", group: \"g\",  c: 2)\nb(y: 1, z: 3)\n"},
	/* Too near. */
	{"a.txt", "the old tool has\n", "the new tool has\n", "the old tool had\n", NULL},
	{"a.txt", "one two three four five\n", "1 two three four five\n", "I two three four 5\n",
	 NULL},
	/* A side added a line, or joined two. */
	{"a.txt", "one two three four five\n", "1 two three four five\nsix\n",
	 "one two three four 5\n", NULL},
	{"a.txt", "one two\nthree four five\n", "1 two three\nfour five\n",
	 "one two\nthree four 5\n", NULL},
	/* White space is no word. */
	{"a.c", "one two three four five;\n", "one  two three four five;\n",
	 "one two three four six;\n", NULL},
	/* Theirs newly uses what ours renamed. */
	{"a.c", "f(one, two, three, four);\n", "f(1, two, three, four);\n",
	 "f(one, two, three, one, four);\n", NULL},
	{"go.sum", "one two three four five\n", "1 two three four five\n", "one two three four 5\n",
	 NULL},
};

static void test_words__far_from_each_other(void **state)
{
	(void)state;
	resolver_check("words", words, ARRAY_SIZE(words));
	resolver_check_swapped("words", words, ARRAY_SIZE(words));
}

/* --- a name that one side took out and the other newly uses --- */

static const struct resolver_case adjacent[] = {
	{"a.c", "a = f(x);\nb = 1;\n", "a = g(x);\nb = 1;\n", "a = f(x);\nb = h(1);\n",
	 "a = g(x);\nb = h(1);\n"},
	{"a.c", "a = f(x);\nb = 1;\n", "a = g(x);\nb = 1;\n", "a = f(x);\nb = f(1);\n", NULL},
	/* Ours uses it still. */
	{"a.c", "a = f(x);\nb = f(1);\n", "a = g(x);\nb = f(1);\n", "a = f(x);\nb = f(2);\n",
	 "a = g(x);\nb = f(2);\n"},
};

static const struct resolver_case import[] = {
	{"A.java", "import a.B;\nimport x.Y;\n", "import b.B;\nimport x.Y;\n",
	 "import a.B;\nimport c.D;\nimport x.Y;\n", "import b.B;\nimport c.D;\nimport x.Y;\n"},
	{"A.java", "import a.B;\nimport x.Y;\n", "import b.B;\nimport x.Y;\n",
	 "import a.B;\nimport a.D;\nimport x.Y;\n", NULL},
};

static void test_wary__what_revives_a_name_is_left(void **state)
{
	(void)state;
	resolver_check("adjacent", adjacent, ARRAY_SIZE(adjacent));
	resolver_check_swapped("adjacent", adjacent, ARRAY_SIZE(adjacent));
	resolver_check("import", import, ARRAY_SIZE(import));
	resolver_check_swapped("import", import, ARRAY_SIZE(import));
}

/* --- what a person did with a conflict --- */

static const struct {
	const char *base, *ours, *theirs, *person;
	enum replay_kept kept;
} kept[] = {
	{"x\n", "x\no\n", "x\nt\n", "x\no\nt\n", REPLAY_KEPT_ALL},
	{"x\n", "x\no\n", "x\nt\n", "x\n  t\nmore\no\n", REPLAY_KEPT_ALL},
	/* Theirs has all that ours has: to take it is to keep everything. */
	{"x\n", "x\na\n", "x\na\nb\nc\n", "x\na\nb\nc\n", REPLAY_KEPT_ALL},
	{"a b\n", "A b\n", "a B\n", "A B\n", REPLAY_KEPT_WORDS},
	{"a b\n", "A b\n", "a B\n", "A  b\n", REPLAY_KEPT_OURS},
	{"a b\n", "A b\n", "a B\n", "a B\n", REPLAY_KEPT_THEIRS},
	{"a b\n", "A b\n", "a B\n", "a b\n", REPLAY_KEPT_BASE},
	{"a b\n", "A b\n", "a B\n", "\n", REPLAY_KEPT_NOTHING},
	{"x\n", "o1\no2\n", "t1\nt2\n", "o1\nt2\n", REPLAY_KEPT_SOME},
	{"x\n", "o1\no2\n", "t1\nt2\n", "o1\nnew\n", REPLAY_KEPT_NEW},
	/* Both doubled the bracket: what was trimmed off the conflict counts. */
	{"", "f\n}\n", "g\n}\n", "f\n}\ng\n}\n", REPLAY_KEPT_ALL},
	{"", "f\n}\n", "g\n}\n", "g\n}\n", REPLAY_KEPT_THEIRS},
};

static void test_replay__what_a_person_did_is_told_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		struct text person = text_cstr(kept[i].person);
		const struct chunk *c = NULL;
		struct replay r;
		struct diff3 d;
		int got;

		assert_int_equal(diff3(text_cstr(kept[i].base), text_cstr(kept[i].ours),
				       text_cstr(kept[i].theirs), &d),
				 0);
		for (size_t k = 0; k < d.n; k++)
			c = d.v[k].kind == CHUNK_CONFLICT ? &d.v[k] : c;
		assert_int_equal(d.conflicts, 1);
		assert_int_equal(replay_open(&d, person, &r), 0);
		got = replay_kept(&d, c, replay_region(&r, c));
		if (got != (int)kept[i].kept)
			fail_msg("case %zu: expected %s, got %s", i, replay_kept_name(kept[i].kept),
				 replay_kept_name(got));
		replay_release(&r);
		diff3_release(&d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copyright__the_later_year_stays),
		cmocka_unit_test(test_changelog__sections_stay_apart),
		cmocka_unit_test(test_ahead__a_change_that_is_part_of_the_others),
		cmocka_unit_test(test_append__lines_that_both_added),
		cmocka_unit_test(test_words__far_from_each_other),
		cmocka_unit_test(test_wary__what_revives_a_name_is_left),
		cmocka_unit_test(test_replay__what_a_person_did_is_told_apart),
	};

	return cmocka_run_group_tests_name("resolver_text", tests, resolver_setup,
					   resolver_teardown);
}
