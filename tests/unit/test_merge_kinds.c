/* SPDX-License-Identifier: Apache-2.0 */
/* Conflicts that no lines can express: each has its kind, and a sentence with what each side did. */
#include "merge_fixture.h"

/* The path's only conflict, of that kind and in these words. */
static void expect_said(struct merge_out *out, const char *path, const char *kind,
			const char *words)
{
	size_t found = 0;

	for (size_t i = 0; i < out->conflicts.n; i++) {
		const struct merge_conflict *c = &out->conflicts.v[i];

		if (strcmp(c->path, path) != 0)
			continue;
		assert_string_equal(c->kind, kind);
		assert_string_equal(c->reason, words);
		found++;
	}
	assert_int_equal(found, 1);
	assert_int_equal(out->conflicts.n, 1);
	merge_out_release(out);
}

/* Mode 0: deleted there. */
static void one_conflict(const char *path, uint32_t om, const char *ours, uint32_t tm,
			 const char *theirs, const char *kind, const char *words)
{
	struct merge_out out;
	struct three t;

	three_init(&t);
	if (om)
		set(&t.ours, path, om, ours);
	else
		drop(&t.ours, (size_t)(find(&t.ours, path) - t.ours.v));
	if (tm)
		set(&t.theirs, path, tm, theirs);
	else
		drop(&t.theirs, (size_t)(find(&t.theirs, path) - t.theirs.v));
	merge_three(&t, &out);
	expect_said(&out, path, kind, words);
}

static void test_kind__of_lines(void **state)
{
	(void)state;
	one_conflict("a", 0100644, "x\n", 0100644, "y\n", "content",
		     "'a' has lines that both sides changed differently");
	one_conflict("n", 0100644, "x\n", 0100644, "y\n", "add/add",
		     "'n' was added on both sides with different content");
}

static void test_kind__deleted_and_changed(void **state)
{
	const char *more = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n";

	(void)state;
	one_conflict("a", 0100644, more, 0, "", "modify/delete",
		     "'a' was changed in the target and deleted in the source");
	one_conflict("a", 0, "", 0100644, more, "delete/modify",
		     "'a' was deleted in the target and changed in the source");
}

static void test_kind__symlinks_and_other_types(void **state)
{
	(void)state;
	one_conflict(
		"l", 0120000, "here", 0120000, "there", "symlink",
		"the symbolic link 'l' leads to 'here' in the target and to 'there' in the source");
	one_conflict(
		"l", 0120000, "here", 0120000, "\1\n", "symlink",
		"the symbolic link 'l' leads to 'here' in the target and to '\1\n' in the source");
	one_conflict("n", 0100644, "x\n", 0120000, "there", "type",
		     "'n' is a file in the target and a symbolic link in the source");
	one_conflict("n", 0120000, "there", 0160000, "x", "type",
		     "'n' is a symbolic link in the target and a submodule in the source");
}

static void test_kind__modes(void **state)
{
	(void)state;
	one_conflict("n", 0100755, "x\n", 0100644, "x\n", "mode",
		     "'n' was added on both sides alike, but as a program in the target only");
}

static void test_kind__submodules(void **state)
{
	struct merge_out out;
	struct three t;

	(void)state;
	one_conflict(
		"m", 0160000, "x", 0160000, "y", "submodule",
		"the submodule 'm' is at c1b0730e01 in the target and at e25f1814e5 in the source");
	three_init(&t);
	set(&t.base, "m", 0160000, "x");
	set(&t.theirs, "m", 0160000, "y");
	merge_three(&t, &out);
	expect_said(&out, "m", "delete/modify",
		    "'m' was deleted in the target and changed in the source");
}

static void test_kind__a_file_where_the_other_has_a_folder(void **state)
{
	struct merge_out out;
	struct three t;

	(void)state;
	three_init(&t);
	set(&t.ours, "a", 0100644, "x\n");
	set(&t.theirs, "a/b", 0100644, "y\n");
	merge_three(&t, &out);
	expect_said(&out, "a", "file/folder",
		    "'a' is a file in the target and a folder in the source");
	three_init(&t);
	set(&t.ours, "n/b", 0100644, "y\n");
	set(&t.theirs, "n", 0120000, "x");
	merge_three(&t, &out);
	expect_said(&out, "n", "file/folder",
		    "'n' is a file in the source and a folder in the target");
	/* Of two links that became folders, the one that nobody else changed is no conflict. */
	three_init(&t);
	set(&t.base, "l", 0120000, "d");
	set(&t.base, "k", 0120000, "d");
	set(&t.ours, "l", 0120000, "e");
	set(&t.ours, "k", 0120000, "d");
	set(&t.theirs, "l/x", 0100644, "y\n");
	set(&t.theirs, "k/x", 0100644, "y\n");
	merge_three(&t, &out);
	expect_said(&out, "l", "file/folder",
		    "'l' is a file in the target and a folder in the source");
}

static void rename_one(struct files *f, const char *from, const char *to)
{
	(void)snprintf(find(f, from)->path, PATH_ROOM, "%s", to);
}

static void test_kind__renames(void **state)
{
	struct merge_out out;
	struct three t;

	(void)state;
	three_init(&t);
	rename_one(&t.ours, "a", "here");
	rename_one(&t.theirs, "a", "there");
	merge_three(&t, &out);
	expect_said(&out, "a", "rename/rename",
		    "'a' was renamed to 'here' in the target and to 'there' in the source");
	three_init(&t);
	rename_one(&t.ours, "a", "here");
	drop(&t.theirs, (size_t)(find(&t.theirs, "a") - t.theirs.v));
	merge_three(&t, &out);
	expect_said(&out, "here", "rename/delete",
		    "'a' was renamed to 'here' in the target and deleted in the source");
	three_init(&t);
	rename_one(&t.theirs, "a", "with space");
	drop(&t.ours, (size_t)(find(&t.ours, "a") - t.ours.v));
	merge_three(&t, &out);
	expect_said(&out, "with space", "rename/delete",
		    "'a' was renamed to 'with space' in the source and deleted in the target");
}

static void test_kind__binary_files_are_not_merged_by_line(void **state)
{
	struct merge_out out;
	struct three t;

	(void)state;
	three_init(&t);
	set(&t.base, "b", 0100644, "1\n2\n3\n4\n5\n6\n7\n");
	set(&t.ours, "b", 0100644, "1\n2\n3\n4\n5\n6\n7\n");
	set(&t.theirs, "b", 0100644, "x\n2\n3\n4\n5\n6\n7\n");
	assert_int_equal(buf_add(&find(&t.ours, "b")->text, "\0\n", 2), 0);
	merge_three(&t, &out);
	expect_said(&out, "b", "binary", "'b' is not text and was changed on both sides");
}

static void test_kind__added_to_a_renamed_folder_is_never_silent(void **state)
{
	struct merge_out out;
	struct three t;

	(void)state;
	three_init(&t);
	for (size_t i = 0; i < t.ours.n; i++)
		if (t.ours.v[i].path[0] == 'd')
			t.ours.v[i].path[0] = 'z';
	set(&t.theirs, "d/new", 0100644, "new\n");
	merge_three(&t, &out);
	assert_true(out.by_git);
	assert_true(out.conflicts.n > 0);
	assert_string_equal(out.conflicts.v[0].kind, "folder rename");
	merge_out_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kind__of_lines),
		cmocka_unit_test(test_kind__deleted_and_changed),
		cmocka_unit_test(test_kind__symlinks_and_other_types),
		cmocka_unit_test(test_kind__modes),
		cmocka_unit_test(test_kind__submodules),
		cmocka_unit_test(test_kind__a_file_where_the_other_has_a_folder),
		cmocka_unit_test(test_kind__renames),
		cmocka_unit_test(test_kind__binary_files_are_not_merged_by_line),
		cmocka_unit_test(test_kind__added_to_a_renamed_folder_is_never_silent),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
