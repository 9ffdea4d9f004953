/* SPDX-License-Identifier: Apache-2.0 */
/* Resolvers of prose and of lines that are alike but for something: copyright years, changelogs; and how a
 * person's merge is read. */
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
};

static void test_changelog__sections_stay_apart(void **state)
{
	(void)state;
	resolver_check("changelog", changelog, ARRAY_SIZE(changelog));
	resolver_check_swapped("changelog", changelog, ARRAY_SIZE(changelog));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copyright__the_later_year_stays),
		cmocka_unit_test(test_changelog__sections_stay_apart),
	};

	return cmocka_run_group_tests_name("resolver_text", tests, resolver_setup,
					   resolver_teardown);
}
