/* SPDX-License-Identifier: Apache-2.0 */
/* Edits of an index against git's own update-index, in each version; hostile bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"
#include "cleanup.h"
#include "gitindex.h"
#include "io.h"

static char dir[] = "/tmp/agentfs-unit-XXXXXX";

static void sh(struct buf *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void sh(struct buf *out, const char *fmt, ...)
{
	char script[2048], line[4096];
	va_list ap;
	FILE *p;
	int c;

	va_start(ap, fmt);
	(void)vsnprintf(script, sizeof(script), fmt, ap);
	va_end(ap);
	(void)snprintf(line, sizeof(line), "cd %s && { %s; }", dir, script);
	p = popen(line, "r");
	assert_non_null(p);
	while ((c = fgetc(p)) != EOF)
		if (out)
			assert_int_equal(buf_addc(out, (char)c), 0);
	assert_int_equal(pclose(p), 0);
}

static int setup(void **state)
{
	(void)state;
	(void)git_libgit2_init();
	if (!mkdtemp(dir))
		return -1;
	sh(NULL, "git init -q -b main . && git config user.name x && git config user.email x@x && "
		 "mkdir -p a/b c && for f in README a/one a/b/two a/b/three a-b a.c c/x z; do "
		 "echo $f >$f; done && git add -A && git commit -qm first");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	(void)git_libgit2_shutdown();
	return io_rm_rf(-100, dir);
}

static struct gitindex *load(void)
{
	struct gitindex *x = NULL;
	struct buf b = BUF_INIT;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/.git/index", dir);
	assert_int_equal(io_read_file(-100, path, 1 << 20, &b), 0);
	assert_int_equal(gitindex_parse(&b, &x, NULL), 0);
	return x;
}

static void store(const struct buf *b)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/.git/index", dir);
	assert_int_equal(io_replace_file(-100, path, b->data, b->len, 0644), 0);
}

static struct gitindex_edit edit(const char *path, uint32_t mode, const char *hex)
{
	struct gitindex_edit e = {.path = path, .e.mode = mode};

	if (hex)
		assert_int_equal(git_oid_fromstr(&e.e.oid, hex), 0);
	return e;
}

#define BLOB "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"

/* Applies the edits by us and by git, and compares what git lists; fsck of the index by git. */
static void same_as_git(struct gitindex_edit *edits, size_t n)
{
	struct buf ours = BUF_INIT, got = BUF_INIT, want = BUF_INIT;
	struct gitindex *x = load();

	qsort(edits, n, sizeof(*edits), gitindex_edit_order);
	assert_int_equal(gitindex_edit(x, edits, n, &ours), 0);
	gitindex_free(x);
	sh(NULL, "cp .git/index .git/saved");
	store(&ours);
	sh(&got, "git ls-files -s; git fsck --no-dangling; git write-tree");
	sh(NULL, "cp .git/saved .git/index");
	for (size_t i = 0; i < n; i++) {
		if (edits[i].e.mode)
			sh(NULL, "git update-index --add --replace --cacheinfo %o,%s,'%s'",
			   edits[i].e.mode, git_oid_tostr_s(&edits[i].e.oid), edits[i].path);
		else
			sh(NULL, "git update-index --force-remove '%s'", edits[i].path);
	}
	sh(&want, "git ls-files -s; git fsck --no-dangling; git write-tree");
	assert_string_equal(got.data, want.data);
	buf_release(&ours);
	buf_release(&got);
	buf_release(&want);
}

static void in_version(int version)
{
	struct gitindex_edit change = edit("a/b/two", 0100755, BLOB);
	struct gitindex_edit mixed[] = {
		edit("a/b/two", 0100755, BLOB),
		edit("new/deep/file", 0100644, BLOB),
		edit("z", 0, NULL),
		edit("a-b", 0120000, BLOB),
		edit("not there", 0, NULL),
	};
	struct gitindex_edit places[] = {
		edit("a", 0100644, BLOB), /* was a folder */
		edit("README/now/a/folder", 0100644, BLOB),
		edit("z", 0, NULL),
	};

	sh(NULL,
	   "git reset -q --hard && git hash-object -w -t blob /dev/null >/dev/null && "
	   "git update-index --index-version %d",
	   version);
	if (version == 3)
		sh(NULL, "echo n >n && git add -N n");
	same_as_git(&change, 1);
	same_as_git(mixed, ARRAY_SIZE(mixed));
	same_as_git(places, ARRAY_SIZE(places));
	sh(NULL, "rm -f n; git reset -q --hard");
}

static void test_gitindex__edits_as_git_does_in_version_2(void **state)
{
	(void)state;
	in_version(2);
}

static void test_gitindex__edits_as_git_does_in_version_3(void **state)
{
	(void)state;
	in_version(3);
}

static void test_gitindex__edits_as_git_does_in_version_4(void **state)
{
	(void)state;
	in_version(4);
}

static void test_gitindex__finds_what_is_there(void **state)
{
	struct gitindex_entry e;
	struct gitindex *x;

	(void)state;
	for (int version = 2; version <= 4; version += 2) {
		sh(NULL, "git reset -q --hard; git update-index --index-version %d", version);
		x = load();
		assert_true(gitindex_find(x, "a/b/two", &e));
		assert_int_equal(e.mode, 0100644);
		assert_int_equal(e.size, 8);
		assert_true(gitindex_find(x, "README", &e));
		assert_true(gitindex_find(x, "z", &e));
		assert_false(gitindex_find(x, "a/b", &e));
		assert_false(gitindex_find(x, "a/b/tw", &e));
		assert_false(gitindex_find(x, "zz", &e));
		assert_false(gitindex_has_conflicts(x));
		gitindex_free(x);
	}
}

static void test_gitindex__sees_conflicts_and_resolves_them(void **state)
{
	struct gitindex_edit e = edit("a/one", 0100644, BLOB);
	struct gitindex_entry found;
	struct gitindex *x;

	(void)state;
	sh(NULL,
	   "git reset -q --hard; printf '0 0000000000000000000000000000000000000000\\ta/one\\n"
	   "100644 " BLOB " 1\\ta/one\\n100644 " BLOB " 2\\ta/one\\n' | git update-index "
	   "--index-info");
	x = load();
	assert_true(gitindex_has_conflicts(x));
	assert_false(gitindex_find(x, "a/one", &found));
	gitindex_free(x);
	same_as_git(&e, 1);
	sh(NULL, "git reset -q --hard");
}

/* What did not change stays known to git: write-tree reads no other tree. */
static void test_gitindex__keeps_the_trees_that_were_not_touched(void **state)
{
	struct gitindex_edit e = edit("c/x", 0100644, BLOB);
	struct buf out = BUF_INIT, said = BUF_INIT;
	struct gitindex *x;

	(void)state;
	sh(NULL, "git reset -q --hard; git write-tree >/dev/null");
	x = load();
	assert_int_equal(gitindex_edit(x, &e, 1, &out), 0);
	store(&out);
	assert_non_null(memmem(out.data, out.len, "TREE", 4));
	assert_non_null(memmem(out.data, out.len, "-1 2\n", 5));     /* the root */
	assert_non_null(memmem(out.data, out.len, "c\0-1 0\n", 7));  /* what was edited */
	assert_non_null(memmem(out.data, out.len, "b\0002 0\n", 6)); /* what was not */
	sh(&said, "git diff-index --cached --name-only HEAD");
	assert_string_equal(said.data, "c/x\n");
	gitindex_free(x);
	buf_release(&out);
	buf_release(&said);
	sh(NULL, "git reset -q --hard");
}

static void test_gitindex__keeps_fsmonitor_only_in_place(void **state)
{
	struct gitindex_edit same = edit("c/x", 0100644, BLOB), more = edit("c/y", 0100644, BLOB);
	struct buf b = BUF_INIT, kept = BUF_INIT, dropped = BUF_INIT;
	struct gitindex *x;
	char path[128];

	(void)state;
	sh(NULL, "git reset -q --hard; printf '#!/bin/sh\\nprintf \"token\\\\0\"\\n' >.git/mon; "
		 "chmod +x .git/mon; git config core.fsmonitor .git/mon; "
		 "git config core.fsmonitorHookVersion 2; git update-index --fsmonitor; "
		 "git status >/dev/null");
	(void)snprintf(path, sizeof(path), "%s/.git/index", dir);
	assert_int_equal(io_read_file(-100, path, 1 << 20, &b), 0);
	assert_non_null(memmem(b.data, b.len, "FSMN", 4));
	assert_int_equal(gitindex_parse(&b, &x, NULL), 0);
	assert_int_equal(gitindex_edit(x, &same, 1, &kept), 0);
	assert_int_equal(gitindex_edit(x, &more, 1, &dropped), 0);
	assert_non_null(memmem(kept.data, kept.len, "FSMN", 4));
	assert_null(memmem(dropped.data, dropped.len, "FSMN", 4));
	store(&kept);
	sh(NULL, "git ls-files >/dev/null; git config --unset core.fsmonitor; git reset -q --hard");
	gitindex_free(x);
	buf_release(&kept);
	buf_release(&dropped);
}

/* Cut off and flipped at every place: an error or an index, and no read outside (ASan tells). */
static void test_gitindex__hostile_bytes_do_no_harm(void **state)
{
	struct gitindex_edit e = edit("c/new", 0100644, BLOB);
	struct buf whole = BUF_INIT;
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/.git/index", dir);
	for (int version = 2; version <= 4; version += 2) {
		sh(NULL,
		   "git reset -q --hard; git update-index --index-version %d; git write-tree "
		   ">/dev/null",
		   version);
		buf_clear(&whole);
		assert_int_equal(io_read_file(-100, path, 1 << 20, &whole), 0);
		for (size_t i = 0; i < 2 * whole.len; i++) {
			struct buf b = BUF_INIT, out = BUF_INIT;
			struct gitindex *x = NULL;
			struct gitindex_entry found;

			assert_int_equal(buf_add(&b, whole.data, i < whole.len ? i : whole.len), 0);
			if (i >= whole.len)
				b.data[i - whole.len] ^= (char)(1 << i % 8);
			if (gitindex_parse(&b, &x, NULL) == 0) {
				(void)gitindex_find(x, "a/b/two", &found);
				assert_int_equal(gitindex_edit(x, &e, 1, &out), 0);
			}
			gitindex_free(x);
			buf_release(&out);
		}
	}
	buf_release(&whole);
}

static void test_gitindex__split_and_sparse_are_refused(void **state)
{
	struct buf b = BUF_INIT;
	struct gitindex *x = NULL;
	char path[128];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/.git/index", dir);
	sh(NULL, "git reset -q --hard; git update-index --split-index");
	assert_int_equal(io_read_file(-100, path, 1 << 20, &b), 0);
	assert_int_equal(gitindex_parse(&b, &x, NULL), -EPROTONOSUPPORT);
	sh(NULL, "git update-index --no-split-index");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gitindex__edits_as_git_does_in_version_2),
		cmocka_unit_test(test_gitindex__edits_as_git_does_in_version_3),
		cmocka_unit_test(test_gitindex__edits_as_git_does_in_version_4),
		cmocka_unit_test(test_gitindex__finds_what_is_there),
		cmocka_unit_test(test_gitindex__sees_conflicts_and_resolves_them),
		cmocka_unit_test(test_gitindex__keeps_the_trees_that_were_not_touched),
		cmocka_unit_test(test_gitindex__keeps_fsmonitor_only_in_place),
		cmocka_unit_test(test_gitindex__hostile_bytes_do_no_harm),
		cmocka_unit_test(test_gitindex__split_and_sparse_are_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
