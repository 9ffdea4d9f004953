/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon's merge makes of a resolver that breaks an invariant: an answer that breaks it by itself is none;
 * one that breaks it in the whole file is a conflict again, which names the invariant.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <git2.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "io.h"
#include "merge_resolve.h"
#include "unit_tmp.h"

static char folder[UNIT_TMP_PATH];
static git_repository *repo;
static unsigned int calls;
static int declines(const struct conflict *c, struct buf *out)
{
	(void)c;
	(void)out;
	return 0;
}

static struct resolver liars[2] = {[1] = {.name = "other", .fn = declines, .does = ""}};

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

static struct tree_entry blob(const char *text)
{
	struct tree_entry e = {.mode = 0100644};

	assert_int_equal(git_blob_create_from_buffer(&e.oid, repo, text, strlen(text)), 0);
	return e;
}

/* Merges lines that both sides changed with `fn` as the only resolver that answers. Returns what merge_resolve() does. */
static int merged(resolver_fn fn, bool replaces, unsigned int limit_ms, struct merge_resolved *ret)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct merge_both both = {.path = (char *)"a.c",
				  .base = blob("one\ntwo\n"),
				  .ours = blob("ONE\ntwo\n"),
				  .theirs = blob("one\nTWO\n")};
	const struct resolve_options o = {.cost_of_wrong = 5,
					  .table = liars,
					  .ntable = limit_ms ? 1 : 2,
					  .limit_ms = limit_ms};
	git_oid id;

	liars[0] = (struct resolver){.name = "liar",
				     .fn = fn,
				     .does = "",
				     .replaces = replaces,
				     .fired = 1000,
				     .right = 1000};
	calls = 0;
	*ret = (struct merge_resolved){0};
	return merge_resolve(repo, repo, &both, &o, ret, &id, &e);
}

static json_t *first_hunk(const struct merge_resolved *m)
{
	return json_array_get(json_object_get(m->hunks, "a.c"), 0);
}

/* A conflict, for which nobody has an answer. */
static void is_none(resolver_fn fn, bool replaces)
{
	struct merge_resolved m;

	assert_int_equal(merged(fn, replaces, 0, &m), 0);
	assert_int_equal(json_array_size(m.files), 0);
	assert_non_null(first_hunk(&m));
	assert_int_equal(json_array_size(json_object_get(first_hunk(&m), "candidates")), 0);
	assert_null(json_object_get(first_hunk(&m), "rejected"));
	merge_resolved_release(&m);
}

/* A conflict again: the answer is shown as rejected, with why, and is no candidate. */
static void is_refused(resolver_fn fn, bool replaces, unsigned int limit_ms, const char *why)
{
	struct merge_resolved m;
	const json_t *one;

	assert_int_equal(merged(fn, replaces, limit_ms, &m), 0);
	assert_int_equal(json_array_size(m.files), 0);
	one = json_array_get(json_object_get(first_hunk(&m), "rejected"), 0);
	assert_non_null(one);
	assert_string_equal(json_string_value(json_object_get(one, "why")), why);
	assert_string_equal(json_string_value(json_object_get(one, "resolver")), "liar");
	assert_non_null(json_object_get(one, "text"));
	assert_int_equal(json_array_size(json_object_get(first_hunk(&m), "candidates")), 0);
	merge_resolved_release(&m);
}

static int both_lines(struct buf *out)
{
	return buf_adds(out, "ONE\nTWO\n") < 0 ? -ENOMEM : 1;
}

static int behaves(const struct conflict *c, struct buf *out)
{
	(void)c;
	return both_lines(out);
}

static int drops_a_line(const struct conflict *c, struct buf *out)
{
	(void)c;
	return buf_adds(out, "ONE\n") < 0 ? -ENOMEM : 1;
}

static int leaves_markers(const struct conflict *c, struct buf *out)
{
	(void)c;
	return buf_adds(out, "<<<<<<< ours\nONE\n=======\nTWO\n>>>>>>> theirs\n") < 0 ? -ENOMEM : 1;
}

static int takes_ours(const struct conflict *c, struct buf *out)
{
	return buf_add(out, c->text[OURS].p, c->text[OURS].n) < 0 ? -ENOMEM : 1;
}

static void test_refuse__what_breaks_an_invariant_by_itself_is_no_answer(void **state)
{
	struct merge_resolved m;

	(void)state;
	assert_int_equal(merged(behaves, false, 0, &m), 1);
	assert_int_equal(json_array_size(m.files), 1);
	merge_resolved_release(&m);
	is_none(drops_a_line, false);
	is_none(leaves_markers, true);
	is_none(takes_ours, true);
}

/* Takes back that the first may replace lines, once that was asked. */
static int betrays(const struct conflict *c, struct buf *out)
{
	(void)c;
	(void)out;
	liars[0].replaces = false;
	return 0;
}

static void test_refuse__lines_are_looked_at_in_the_whole_file(void **state)
{
	(void)state;
	liars[1].fn = betrays;
	is_refused(drops_a_line, true, 0,
		   "breaks the invariant 'lines': a line that a side added is missing");
	liars[1].fn = declines;
}

/* Something else each time that a file is resolved. */
static int changes_its_mind(const struct conflict *c, struct buf *out)
{
	(void)c;
	return ++calls > 2 ? both_lines(out) : buf_adds(out, "THREE\n") < 0 ? -ENOMEM : 1;
}

static void test_refuse__swapped_sides_say_the_same_of_the_whole_file(void **state)
{
	(void)state;
	is_refused(changes_its_mind, true, 0,
		   "breaks the invariant 'swap': with the sides swapped it is another text");
}

static int declines_later(const struct conflict *c, struct buf *out)
{
	(void)c;
	return ++calls > 2 ? 0 : both_lines(out);
}

static void test_refuse__swapped_sides_are_resolved_as_well(void **state)
{
	(void)state;
	is_refused(declines_later, false, 0,
		   "breaks the invariant 'swap': with the sides swapped it is not resolved");
}

static int is_slow(const struct conflict *c, struct buf *out)
{
	const struct timespec t = {0, 30000000};

	(void)c;
	(void)nanosleep(&t, NULL);
	return both_lines(out);
}

static void test_refuse__over_the_time_limit_the_conflict_stays(void **state)
{
	(void)state;
	is_refused(is_slow, false, 1, "breaks the invariant 'limit': looking at it took too long");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refuse__what_breaks_an_invariant_by_itself_is_no_answer),
		cmocka_unit_test(test_refuse__lines_are_looked_at_in_the_whole_file),
		cmocka_unit_test(test_refuse__swapped_sides_say_the_same_of_the_whole_file),
		cmocka_unit_test(test_refuse__swapped_sides_are_resolved_as_well),
		cmocka_unit_test(test_refuse__over_the_time_limit_the_conflict_stays),
	};

	return cmocka_run_group_tests_name("merge_resolve", tests, setup, teardown);
}
