/* SPDX-License-Identifier: Apache-2.0 */
/* Merging commits: each case of the walk by name. */
#include "merge_fixture.h"

static void expect_conflict(struct merge_out *out, const char *path, const char *kind)
{
	bool found = false;

	for (size_t i = 0; i < out->conflicts.n; i++)
		found |= strcmp(out->conflicts.v[i].path, path) == 0 &&
			 strcmp(out->conflicts.v[i].kind, kind) == 0;
	for (size_t i = 0; !found && i < out->conflicts.n; i++)
		print_message("%s: %s: %s\n", out->conflicts.v[i].path, out->conflicts.v[i].kind,
			      out->conflicts.v[i].reason);
	assert_true(found);
	merge_out_release(out);
}

static void test_merge__takes_each_sides_change(void **state)
{
	struct merge_out out;
	struct files want = {0};
	struct three t;

	(void)state;
	three_init(&t);
	set(&t.ours, "d/f", 0100644, "mine\n");
	set(&t.theirs, "e/h", 0100755, "theirs\n");
	set(&t.theirs, "n/new", 0100644, "new\n");
	drop(&t.ours, 0);
	copy(&want, &t.theirs);
	drop(&want, 0);
	set(&want, "d/f", 0100644, "mine\n");
	merge_three(&t, &out);
	assert_false(out.by_git);
	expect_tree(&out, &want);
}

static void test_merge__merges_lines_and_modes_of_one_file(void **state)
{
	struct merge_out out;
	struct files want = {0};
	struct three t;

	(void)state;
	three_init(&t);
	copy(&want, &t.base);
	set(&t.ours, "a", 0100644, "X\n2\n3\n4\n5\n6\n7\n8\n9\n");
	set(&t.theirs, "a", 0100755, "1\n2\n3\n4\n5\n6\n7\n8\nY\n");
	set(&want, "a", 0100755, "X\n2\n3\n4\n5\n6\n7\n8\nY\n");
	merge_three(&t, &out);
	expect_tree(&out, &want);
}

static void attribute(const char *line, const char *kind)
{
	struct merge_out out;
	struct files want = {0};
	struct three t;

	three_init(&t);
	set(&t.theirs, "d/.gitattributes", 0100644, line);
	set(&t.ours, "d/f", 0100644, "X\ntwo\nthree\nfour\nfive\n");
	set(&t.theirs, "d/f", 0100644,
	    kind ? "one\ntwo\nthree\nfour\nY\n" : "Y\ntwo\nthree\nfour\nfive\n");
	copy(&want, &t.theirs);
	set(&want, "d/f", 0100644, "X\nY\ntwo\nthree\nfour\nfive\n");
	merge_three(&t, &out);
	if (kind) {
		clear(&want);
		expect_conflict(&out, "d/f", kind);
	} else {
		expect_tree(&out, &want);
	}
}

static void test_merge__attributes_of_the_trees_count(void **state)
{
	(void)state;
	attribute("f merge=union\n", NULL);
	attribute("f -merge\n", "binary");
	attribute("f binary\n", "binary");
	attribute("* merge=ours\n", "content"); /* a driver of the repository's own */
}

static void test_merge__follows_a_rename(void **state)
{
	struct merge_out out;
	struct files want = {0};
	struct three t;

	(void)state;
	three_init(&t);
	(void)snprintf(find(&t.ours, "a")->path, PATH_ROOM, "moved");
	set(&t.theirs, "a", 0100644, "1\n2\n3\n4\n5\n6\n7\n8\nY\n");
	copy(&want, &t.ours);
	set(&want, "moved", 0100644, "1\n2\n3\n4\n5\n6\n7\n8\nY\n");
	merge_three(&t, &out);
	assert_true(out.by_git);
	expect_tree(&out, &want);
}

static void test_merge__unrelated_histories_are_refused(void **state)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct files one = {0}, two = {0};
	struct merge_out out = {0};
	git_oid a, b;

	(void)state;
	set(&one, "x", 0100644, "x");
	set(&two, "y", 0100644, "y");
	commit(&one, NULL, NULL, &a);
	commit(&two, NULL, NULL, &b);
	assert_true(merge_commits(repo, &a, &b, NULL, &out, &e) < 0);
	assert_string_equal(e.id, "Invalid");
	assert_non_null(strstr(e.text, "no common history"));
	clear(&one);
	clear(&two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merge__takes_each_sides_change),
		cmocka_unit_test(test_merge__merges_lines_and_modes_of_one_file),
		cmocka_unit_test(test_merge__attributes_of_the_trees_count),
		cmocka_unit_test(test_merge__follows_a_rename),
		cmocka_unit_test(test_merge__unrelated_histories_are_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
