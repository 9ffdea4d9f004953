/* SPDX-License-Identifier: Apache-2.0 */
/* Trees compared and edited, and names that are .git somewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "buf.h"
#include "gitname.h"
#include "io.h"
#include "treewalk.h"
#include "unit_tmp.h"

static char dir[UNIT_TMP_PATH];
static git_repository *git;

static int setup(void **state)
{
	(void)state;
	(void)git_libgit2_init();
	unit_tmp(dir);
	return git_repository_init(&git, dir, 1) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	git_repository_free(git);
	(void)git_libgit2_shutdown();
	return io_rm_rf(-100, dir);
}

static struct tree_entry blob(const char *text)
{
	struct tree_entry e = {.mode = GIT_FILEMODE_BLOB};

	assert_int_equal(git_blob_create_from_buffer(&e.oid, git, text, strlen(text)), 0);
	return e;
}

/* Applies "+path" and "-path" edits. */
static git_oid apply(const git_oid *onto, size_t n, const char *const *what)
{
	struct tree_edit edits[16];
	git_oid oid;

	for (size_t i = 0; i < n; i++)
		edits[i] = (struct tree_edit){
			what[i] + 1, what[i][0] == '+' ? blob(what[i]) : (struct tree_entry){0}};
	qsort(edits, n, sizeof(*edits), tree_path_order);
	assert_int_equal(tree_apply(git, NULL, onto, edits, n, &oid), 0);
	return oid;
}

#define APPLY(onto, ...)                                                                           \
	apply(onto, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *),                   \
	      (const char *const[]){__VA_ARGS__})

static int describe(const struct tree_delta *d, void *user)
{
	return buf_addf(user, "%c%s ", !d->from.mode ? 'A' : !d->to.mode ? 'D' : 'M', d->path);
}

static void assert_diff(const git_oid *a, const git_oid *b, const char *want)
{
	struct buf got = BUF_INIT;

	assert_int_equal(tree_diff(git, a, b, describe, &got), 0);
	assert_string_equal(got.data ? got.data : "", want);
	buf_release(&got);
}

static void test_treewalk__apply_and_diff_agree(void **state)
{
	git_oid one = APPLY(NULL, "+a", "+a-b", "+a.c", "+d/x", "+d/e/y", "+d/e/z");
	git_oid two = APPLY(&one, "-d/e/y", "-d/e/z", "+d/x2", "-a");

	(void)state;
	assert_diff(NULL, &one, "Aa Aa-b Aa.c Ad/e/y Ad/e/z Ad/x ");
	assert_diff(&one, &two, "Da Dd/e/y Dd/e/z Ad/x2 ");
	assert_diff(&two, &two, "");
}

static void test_treewalk__files_and_folders_change_places(void **state)
{
	git_oid one = APPLY(NULL, "+a", "+a-b", "+d/x");
	git_oid two = APPLY(&one, "-a", "+a/in", "-d/x", "+d", "+a-b/c", "-a-b");
	git_oid want = APPLY(NULL, "+a/in", "+d", "+a-b/c");

	(void)state;
	assert_true(git_oid_equal(&two, &want));
}

static void test_treewalk__empty_folders_go(void **state)
{
	git_oid one = APPLY(NULL, "+a", "+d/e/f/g");
	git_oid two = APPLY(&one, "-d/e/f/g", "-no/such/path");
	git_oid want = APPLY(NULL, "+a");

	(void)state;
	assert_true(git_oid_equal(&two, &want));
}

static void test_treewalk__get_knows_files_only(void **state)
{
	git_oid one = APPLY(NULL, "+d/x");
	struct tree_entry e;

	(void)state;
	assert_int_equal(tree_get(git, &one, "d/x", &e), 0);
	assert_int_equal(e.mode, GIT_FILEMODE_BLOB);
	assert_int_equal(tree_get(git, &one, "d", &e), 0);
	assert_int_equal(e.mode, 0);
	assert_int_equal(tree_get(git, &one, "d/x/y", &e), 0);
	assert_int_equal(e.mode, 0);
}

static void test_gitname__sees_through_disguises(void **state)
{
	static const char *const bad[] = {".git",
					  ".GIT",
					  ".GiT",
					  "git~1",
					  "GIT~1",
					  ".git.",
					  ".git ",
					  ".git . .",
					  ".git::$INDEX_ALLOCATION",
					  ".git:x",
					  ".g\xe2\x80\x8cit",
					  "\xef\xbb\xbf.git",
					  ".git\\hooks"};
	static const char *const good[] = {"git",   ".gitignore", ".github",
					   ".gi",   "",		  ".git2",
					   "x.git", "git~2",	  ".g\xe2\x80\x9cit"};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (!gitname_is_git(bad[i], strlen(bad[i])))
			fail_msg("'%s' is not seen", bad[i]);
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		if (gitname_is_git(good[i], strlen(good[i])))
			fail_msg("'%s' is taken for .git", good[i]);
}

static void test_gitname__finds_the_component(void **state)
{
	size_t at = 99;

	(void)state;
	assert_true(gitname_in_path("a/b/.Git/config", &at));
	assert_int_equal(at, 4);
	assert_true(gitname_in_path(".git", &at));
	assert_int_equal(at, 0);
	assert_false(gitname_in_path("a/.gitignore", &at));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_treewalk__apply_and_diff_agree),
		cmocka_unit_test(test_treewalk__files_and_folders_change_places),
		cmocka_unit_test(test_treewalk__empty_folders_go),
		cmocka_unit_test(test_treewalk__get_knows_files_only),
		cmocka_unit_test(test_gitname__sees_through_disguises),
		cmocka_unit_test(test_gitname__finds_the_component),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
