/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merges that are certain: what each condition is for, and thousands of random ones against git's own, by lines that are
 * rare and lines that are not (AGENTFS_SEED). Whatever is called certain, git has to make the same of.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <git2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "io.h"
#include "merge_file.h"
#include "merge_git.h"
#include "merge_reduced.h"
#include "plain_merge.h"
#include "unit_tmp.h"

enum { FILES = 1500, ROUNDS = 2 };

static char folder[UNIT_TMP_PATH];
static git_repository *repo;

static int setup(void **state)
{
	(void)state;
	(void)git_libgit2_init();
	unit_tmp(folder);
	return git_repository_init(&repo, folder, 1);
}

static int teardown(void **state)
{
	(void)state;
	git_repository_free(repo);
	assert_int_equal(io_rm_rf(-1, folder), 0);
	return git_libgit2_shutdown() < 0;
}

static struct text text(const char *s)
{
	return (struct text){s, strlen(s)};
}

static int certain(const char *base, const char *ours, const char *theirs, const char *merged)
{
	const struct text t[SIDES] = {text(base), text(ours), text(theirs)};

	return plain_merge(t, text(merged));
}

static void test_plain__changes_apart_from_each_other_are_certain(void **state)
{
	(void)state;
	assert_int_equal(certain("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", "A\nb\nC\n"), 1);
	assert_int_equal(certain("a\nb\nc\n", "x\na\nb\nc\n", "a\nb\nc\ny", "x\na\nb\nc\ny"), 1);
	assert_int_equal(certain("a\nb\nc\nd\n", "b\nc\nd\n", "a\nb\nc\n", "b\nc\n"), 1);
	/* The result has to be that. */
	assert_int_equal(certain("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", "A\nb\nC"), 0);
	assert_int_equal(certain("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", "A\nb\nC\nd\n"), 0);
}

static void test_plain__what_touches_is_not(void **state)
{
	(void)state;
	assert_int_equal(certain("a\nb\n", "A\nb\n", "a\nB\n", "A\nB\n"), 0);
	assert_int_equal(certain("a\nb\n", "a\nx\nb\n", "a\ny\nb\n", "a\nx\ny\nb\n"), 0);
	assert_int_equal(certain("a\nb\nc\n", "A\nb\nc\n", "A\nb\nc\n", "A\nb\nc\n"), 0);
}

static void test_plain__lines_that_stand_elsewhere_are_not(void **state)
{
	(void)state;
	/* (1) an added line that the base has, a deleted one that the side has, a moved one */
	assert_int_equal(certain("a\nb\nc\n", "c\na\nb\nc\n", "a\nb\nC\n", "c\na\nb\nC\n"), 0);
	assert_int_equal(certain("a\nb\na\nc\n", "b\na\nc\n", "a\nb\na\nC\n", "b\na\nC\n"), 0);
	assert_int_equal(certain("a\nb\nc\nd\n", "b\na\nc\nd\n", "a\nb\nc\nD\n", "b\na\nc\nD\n"),
			 0);
	/* (2) a run without a line of its own */
	assert_int_equal(certain("x\na\nx\nb\n", "x\nA\nx\nb\n", "x\na\nx\nB\n", "x\nA\nx\nB\n"),
			 0);
	/* (3) a deletion between lines that stand elsewhere */
	assert_int_equal(certain("u\nx\nd\ny\nv\nx\ny\nw\n", "u\nx\ny\nv\nx\ny\nw\n",
				 "u\nx\nd\ny\nv\nx\ny\nW\n", "u\nx\ny\nv\nx\ny\nW\n"),
			 0);
	assert_int_equal(certain("u\nd\ny\nv\nx\ny\nw\n", "u\ny\nv\nx\ny\nw\n",
				 "u\nd\ny\nv\nx\ny\nW\n", "u\ny\nv\nx\ny\nW\n"),
			 1);
}

/* --- against git --- */

static uint64_t rnd(uint64_t *seed, uint64_t n)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed % n;
}

/* A line of its own, or one of a few. */
static int put_random(struct buf *b, uint64_t *seed, unsigned int words, unsigned int rare)
{
	return rnd(seed, 100) < rare
		       ? buf_addf(b, "line %llu\n", (unsigned long long)rnd(seed, UINT32_MAX))
		       : buf_addf(b, "word %llu\n", (unsigned long long)rnd(seed, words));
}

static int put_copy(struct buf *out, const struct lines *l, uint64_t i)
{
	return buf_add(out, l->v[i].p, l->v[i].n);
}

static void edit_lines(const struct lines *base, uint64_t *seed, unsigned int words,
		       unsigned int rare, struct buf *out)
{
	uint64_t often = 12 + rnd(seed, 60);

	for (size_t i = 0; i < base->n; i++) {
		uint64_t what = rnd(seed, often);

		if (what < 2)
			for (uint64_t k = rnd(seed, 3) + 1; k > 0; k--)
				assert_int_equal(put_random(out, seed, words, rare), 0);
		if (what == 2)
			assert_int_equal(put_copy(out, base, rnd(seed, base->n)), 0);
		if (what == 1 || what == 3)
			continue;
		assert_int_equal(buf_add(out, base->v[i].p, base->v[i].n), 0);
	}
	if (out->len && rnd(seed, 10) == 0)
		out->len--;
}

static git_oid put_blob(const struct buf *b)
{
	git_oid id;

	assert_int_equal(git_blob_create_from_buffer(&id, repo, b->len ? b->data : "", b->len), 0);
	return id;
}

/* One file of three texts. */
static void make_file(uint64_t *seed, size_t at, struct merge_both *ret)
{
	static const unsigned int alphabets[] = {2, 4, 8, 20, 100}, rarity[] = {20, 50, 80, 97};
	unsigned int words = alphabets[rnd(seed, ARRAY_SIZE(alphabets))];
	unsigned int rare = rarity[rnd(seed, ARRAY_SIZE(rarity))];
	_cleanup_buf_ struct buf b = BUF_INIT, o = BUF_INIT, t = BUF_INIT;
	struct lines base;

	for (uint64_t n = 3 + rnd(seed, 40); n > 0; n--)
		assert_int_equal(put_random(&b, seed, words, rare), 0);
	assert_int_equal(lines_split((struct text){b.data, b.len}, &base), 0);
	edit_lines(&base, seed, words, 100 - (unsigned int)rnd(seed, 2) * 50, &o);
	edit_lines(&base, seed, words, 100 - (unsigned int)rnd(seed, 2) * 50, &t);
	free(base.v);
	*ret = (struct merge_both){.base = {0100644, put_blob(&b)},
				   .ours = {0100644, put_blob(&o)},
				   .theirs = {0100644, put_blob(&t)}};
	assert_true(asprintf(&ret->path, "%05zu", at) > 0);
}

static bool conflicts(const struct merge_git *g, const char *path)
{
	for (size_t i = 0; i < g->conflicts.n; i++)
		if (strcmp(g->conflicts.v[i].path, path) == 0)
			return true;
	return false;
}

/* All files in one merge of git's. Returns how many were certain. */
static size_t one_round(uint64_t *seed)
{
	struct merge_both *files = calloc(FILES, sizeof(*files));
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct merge_private p;
	struct merge_git g = {0};
	git_oid ours, theirs;
	size_t n = 0;
	int r;

	assert_non_null(files);
	for (size_t i = 0; i < FILES; i++)
		make_file(seed, i, &files[i]);
	merge_private_init(&p, repo, NULL, NULL, NULL);
	assert_int_equal(merge_reduced(&p, files, FILES, &ours, &theirs, &e), 0);
	r = merge_git(&p, &ours, &theirs, &g, &e);
	if (r == -ENOSYS)
		skip();
	assert_int_equal(r, 0);
	for (size_t i = 0; i < FILES; i++) {
		struct merge_file mine;
		struct tree_entry gits;

		assert_int_equal(merge_file(repo, MERGE_DRIVER_TEXT, &files[i], &mine, &e), 0);
		if (mine.certain) {
			n++;
			assert_false(conflicts(&g, files[i].path));
			assert_int_equal(tree_get(p.git, &g.tree, files[i].path, &gits), 0);
			assert_true(git_oid_equal(&gits.oid, &mine.to.oid));
		}
		free(files[i].path);
	}
	merge_git_release(&g);
	merge_private_close(&p);
	free(files);
	return n;
}

static void test_plain__git_makes_the_same_of_what_is_certain(void **state)
{
	const char *s = getenv("AGENTFS_SEED");
	uint64_t seed = s ? strtoull(s, NULL, 0) : 4711;
	size_t n = 0;

	(void)state;
	print_message("seed %llu\n", (unsigned long long)seed);
	seed = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
	for (int i = 0; i < ROUNDS; i++)
		n += one_round(&seed);
	print_message("%zu of %d are certain\n", n, FILES * ROUNDS);
	assert_true(n > FILES * ROUNDS / 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain__changes_apart_from_each_other_are_certain),
		cmocka_unit_test(test_plain__what_touches_is_not),
		cmocka_unit_test(test_plain__lines_that_stand_elsewhere_are_not),
		cmocka_unit_test(test_plain__git_makes_the_same_of_what_is_certain),
	};

	return cmocka_run_group_tests_name("plain_merge", tests, setup, teardown);
}
