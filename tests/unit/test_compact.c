/* SPDX-License-Identifier: Apache-2.0 */
/* view_compact: dead bytes leave the disk, and nothing else changes, whatever dies in between. */
#include "view_random.h"

#include <dirent.h>
#include <errno.h>

#include "fault.h"
#include "view_compact.h"

static const char FREE_POLICY[] = "agentfs-policy 1\nrole builder\nscratch beside\nwrite *\n";

/* Keeps nothing and waits for nothing. */
static const struct compact_limits all = {.history = 0, .copy = 64 << 20};

enum { PIECE = 20000 };

static uint64_t make_file(struct view_fixture *f, uint64_t dir, const char *name)
{
	struct node_attr a;

	assert_int_equal(view_mknod(f->view, &OWNER, dir, name, S_IFREG | 0644, 0, &a), 0);
	view_forget(f->view, a.id, 1);
	return a.id;
}

static void write_piece(struct view_fixture *f, uint64_t id, uint64_t off, uint64_t *seed)
{
	char p[PIECE];

	for (size_t i = 0; i < sizeof(p); i++)
		p[i] = (char)rnd(seed, 256);
	assert_int_equal(view_write(f->view, &OWNER, id, off, p, sizeof(p)), PIECE);
}

/* The first of these stays, all else is written over: every segment keeps a little that lives. */
static void rewrite(struct view_fixture *f, uint64_t id, unsigned int rounds, uint64_t *seed)
{
	for (unsigned int i = 0; i < rounds; i++)
		write_piece(f, id, i % 16 ? PIECE : (uint64_t)(i / 16 + 2) * PIECE, seed);
}

static uint64_t disk(struct view_fixture *f)
{
	struct view_info info;

	view_info(f->view, &info);
	return info.data_bytes;
}

/* A segment goes two full checkpoints after it died. */
static void compact_to_the_end(struct view_fixture *f, const struct compact_limits *limits)
{
	for (int i = 0; i < 5; i++)
		assert_int_equal(view_compact(f->view, limits), 0);
}

static void test_compact__dead_bytes_go_and_files_stay(void **state)
{
	uint64_t seed = 1, id, before;
	struct view_fixture f;
	char *live, *again;

	(void)state;
	view_fixture_init(&f, FREE_POLICY);
	id = make_file(&f, NODE_ROOT, "data");
	rewrite(&f, id, 400, &seed);
	live = view_picture(&f);
	before = disk(&f);
	compact_to_the_end(&f, &all);
	again = view_picture(&f);
	assert_string_equal(again, live);
	free(again);
	/* 8 MB were written, 0.5 MB live; what is appended to and the spares remain. */
	assert_true(before > 8 << 20);
	assert_in_range(disk(&f), 1, before - (3 << 20));
	view_fixture_crash(&f);
	again = view_picture(&f);
	assert_string_equal(again, live);
	assert_in_range(disk(&f), 1, before - (3 << 20));
	free(again);
	free(live);
	view_fixture_release(&f);
}

static void test_compact__the_history_that_is_kept_stays(void **state)
{
	struct compact_limits limits = all;
	uint64_t seed = 2, id, before;
	struct view_fixture f;

	(void)state;
	limits.history = 64 << 20;
	view_fixture_init(&f, FREE_POLICY);
	id = make_file(&f, NODE_ROOT, "data");
	rewrite(&f, id, 300, &seed);
	before = disk(&f);
	compact_to_the_end(&f, &limits);
	assert_int_equal(disk(&f), before);
	view_fixture_release(&f);
}

static void test_compact__the_views_own_git_goes_at_once(void **state)
{
	struct compact_limits limits = all;
	uint64_t seed = 3, id, before;
	struct view_fixture f;
	struct node_attr git;

	(void)state;
	limits.history = UINT64_MAX;
	view_fixture_init(&f, FREE_POLICY);
	assert_int_equal(view_mkdir(f.view, &OWNER, NODE_ROOT, ".git", 0755, &git), 0);
	id = make_file(&f, git.id, "index");
	rewrite(&f, id, 300, &seed);
	before = disk(&f);
	compact_to_the_end(&f, &limits);
	assert_in_range(disk(&f), 1, before - (2 << 20));
	view_forget(f.view, git.id, 1);
	view_fixture_release(&f);
}

static void test_compact__bytes_on_their_way_are_not_removed(void **state)
{
	uint64_t seed = 4, id, place;
	struct view_fixture f;
	char p[100] = "on its way";

	(void)state;
	view_fixture_init(&f, FREE_POLICY);
	id = make_file(&f, NODE_ROOT, "data");
	assert_int_equal(data_append(f.view->rec.data, DATA_FILES, p, sizeof(p), &place), 0);
	rewrite(&f, id, 200, &seed);
	write_piece(&f, id, 2 * PIECE, &seed); /* the last of the first segment that lived */
	compact_to_the_end(&f, &all);
	assert_int_equal(data_pread(f.view->rec.data, place, p, sizeof(p)), 0);
	assert_string_equal(p, "on its way");
	data_live(f.view->rec.data, place, -(int64_t)sizeof(p));
	compact_to_the_end(&f, &all);
	assert_int_equal(data_pread(f.view->rec.data, place, p, sizeof(p)), -EBADMSG);
	view_fixture_release(&f);
}

/* Each call that the compactor makes fails once, the process dies: the files are what they were. */
static void test_compact__a_failure_at_any_call_loses_nothing(void **state)
{
	unsigned int failed = 0;
	uint64_t seed = 5;

	(void)state;
	for (int n = 1; n < 400; n += n < 40 ? 1 : 7) {
		struct view_fixture f;
		uint64_t id;
		char *live, *again;
		int r = 0;

		view_fixture_init(&f, FREE_POLICY);
		id = make_file(&f, NODE_ROOT, "data");
		rewrite(&f, id, 60, &seed);
		live = view_picture(&f);
		fault.memory = true;
		fault_arm(n, n & 1 ? ENOSPC : EINTR);
		for (int i = 0; i < 4 && r == 0; i++)
			r = view_compact(f.view, &all);
		if (fault_disarm())
			failed++;
		again = view_picture(&f);
		assert_string_equal(again, live);
		free(again);
		view_fixture_crash(&f);
		again = view_picture(&f);
		assert_string_equal(again, live);
		free(again);
		free(live);
		view_fixture_release(&f);
	}
	assert_true(failed > 30);
}

/* Histories with the compactor at work in between: replay gives the live tree. */
static void test_compact__replay_equals_the_live_tree(void **state)
{
	uint64_t seed = 6;

	(void)state;
	for (int round = 0; round < 12; round++) {
		struct view_fixture f;
		uint64_t id;

		view_fixture_init(&f, FREE_POLICY);
		id = make_file(&f, NODE_ROOT, "data");
		for (int step = 0; step < 300; step++) {
			char *live, *again;

			(void)random_step(&f, &seed);
			if (rnd(&seed, 4) == 0)
				write_piece(&f, id, rnd(&seed, 5 * PIECE), &seed);
			if (rnd(&seed, 20) == 0)
				assert_int_equal(view_compact(f.view, &all), 0);
			if (step % 100 != 99)
				continue;
			live = view_picture(&f);
			view_fixture_crash(&f);
			again = view_picture(&f);
			assert_string_equal(again, live);
			free(live);
			free(again);
		}
		view_fixture_release(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compact__dead_bytes_go_and_files_stay),
		cmocka_unit_test(test_compact__the_history_that_is_kept_stays),
		cmocka_unit_test(test_compact__the_views_own_git_goes_at_once),
		cmocka_unit_test(test_compact__bytes_on_their_way_are_not_removed),
		cmocka_unit_test(test_compact__a_failure_at_any_call_loses_nothing),
		cmocka_unit_test(test_compact__replay_equals_the_live_tree),
	};

	return cmocka_run_group_tests_name("compact", tests, NULL, NULL);
}
