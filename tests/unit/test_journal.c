/* SPDX-License-Identifier: Apache-2.0 */
/* journal: append, rotate, reopen, read beside, group commit. */
#include <pthread.h>

#include "fault.h"
#include "journal_tools.h"

static void test_journal__append_survives_reopen(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct tool_count c;
	uint64_t dropped = 1;
	struct journal *j = tool_open(d.fd, 0, &c, &dropped);

	assert_int_equal(dropped, 0);
	assert_int_equal(journal_seq(j), 0);
	for (int i = 0; i < 3000; i++)
		tool_append(j, (size_t)(i * 37 % 400));
	assert_int_equal(journal_seq(j), 3000);
	journal_close(j);
	j = tool_open(d.fd, 0, &c, &dropped);
	assert_int_equal(c.first, 1);
	assert_int_equal(c.n, 3000);
	assert_int_equal(dropped, 0);
	assert_true(faccessat(d.fd, "0000000003.jnl", F_OK, 0) == 0);
	tool_append(j, 10);
	journal_close(j);
	j = tool_open(d.fd, 2990, &c, &dropped);
	assert_int_equal(c.first, 2991);
	assert_int_equal(c.last, 3001);
	journal_close(j);
	tool_dir_free(&d);
}

static void test_journal__idle_one_has_a_segment_and_two_spares(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct journal *j = tool_open(d.fd, 0, NULL, NULL);
	struct tool_files files = tool_save(d.fd);

	assert_int_equal(files.n, 3);
	for (size_t i = 0; i < files.n; i++)
		assert_int_equal(files.f[i].b.len, 32768);
	assert_int_equal(journal_bytes(j), 3 * 32768);
	tool_files_free(&files);
	journal_close(j);
	tool_dir_free(&d);
}

static void test_journal__segments_double_to_16_mib(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct journal *j = tool_open(d.fd, 0, NULL, NULL);
	uint64_t want = 32768;
	struct stat st;
	char name[32];

	while (faccessat(d.fd, "0000000012.jnl", F_OK, 0) != 0)
		tool_append(j, 60000 - 7 * (size_t)(journal_seq(j) % 1000));
	for (int i = 1; i <= 12; i++) {
		(void)snprintf(name, sizeof(name), "%010d.jnl", i);
		assert_int_equal(fstatat(d.fd, name, &st, 0), 0);
		/* The first record is larger than the first segment's rest. */
		if (i > 1)
			assert_true((uint64_t)st.st_size >= want);
		assert_true(st.st_size <= 16 << 20);
		assert_int_equal(st.st_size % 4096, 0);
		assert_true(st.st_blocks * 512 >= st.st_size);
		want = (uint64_t)st.st_size * 2 < 16 << 20 ? (uint64_t)st.st_size * 2 : 16 << 20;
	}
	assert_int_equal(fstatat(d.fd, "spare-0.jnl", &st, 0), 0);
	assert_int_equal(st.st_size, 16 << 20);
	journal_close(j);
	tool_dir_free(&d);
}

static void test_journal__large_batch_has_a_segment_of_its_own(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct tool_count c;
	struct journal *j = tool_open(d.fd, 0, NULL, NULL);
	struct record recs[20], *p[20];
	char *value = malloc(1000000);

	assert_non_null(value);
	tool_append(j, 10);
	for (unsigned int i = 0; i < 20; i++) {
		recs[i] = (struct record){.type = RECORD_NOTE};
		RECORD_SET(&recs[i], count, F_COUNT, (i + 2) * 7);
		RECORD_SET(&recs[i], value, F_VALUE, ((struct bytes){value, 0}));
		p[i] = &recs[i];
	}
	memset(value, 'a' + 21 % 26, 1000000);
	for (int i = 19; i < 20; i++)
		recs[i].value.n = 1000000;
	assert_int_equal(journal_append_many(j, p, 20), 0);
	assert_int_equal(recs[0].seq, 2);
	assert_int_equal(recs[19].seq, 21);
	assert_true(recs[19].time > 0);
	tool_append(j, 10);
	journal_close(j);
	j = tool_open(d.fd, 0, &c, NULL);
	assert_int_equal(c.n, 22);
	journal_close(j);
	free(value);
	tool_dir_free(&d);
}

static void test_journal__other_owner_is_refused(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct journal *j = tool_open(d.fd, 0, NULL, NULL);
	struct journal_options other = {.owner_id = "another"};
	struct err e = ERR_INIT;

	tool_append(j, 1);
	journal_close(j);
	assert_int_equal(journal_open(d.fd, &other, 0, NULL, NULL, &j, NULL, &e), -EBADMSG);
	assert_string_equal(e.id, "Damaged");
	err_release(&e);
	tool_dir_free(&d);
}

static void test_journal__read_only_changes_nothing(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct journal *j = tool_open(d.fd, 0, NULL, NULL);
	struct tool_files before, after;
	struct tool_count c = {0};
	uint64_t dropped = 0;
	struct record rec = {.type = RECORD_NOTE};
	int fd;

	for (int i = 0; i < 10; i++)
		tool_append(j, 100);
	journal_close(j);
	fd = openat(d.fd, "0000000001.jnl", O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "torn", 4, 9000), 4);
	(void)safe_close(fd);
	assert_int_equal(unlinkat(d.fd, "spare-1.jnl", 0), 0);
	before = tool_save(d.fd);
	assert_int_equal(
		journal_open(d.fd, &tool_read_only, 0, tool_replay, &c, &j, &dropped, NULL), 0);
	assert_int_equal(c.n, 10);
	assert_true(dropped > 0);
	assert_int_equal(journal_append(j, &rec), -EROFS);
	assert_int_equal(journal_reserve(j, 1), -EROFS);
	assert_int_equal(journal_sync(j, NULL, 0), -EROFS);
	journal_close(j);
	after = tool_save(d.fd);
	assert_int_equal(before.n, after.n);
	for (size_t i = 0; i < before.n; i++)
		assert_memory_equal(before.f[i].b.data, after.f[i].b.data, before.f[i].b.len);
	tool_files_free(&before);
	tool_files_free(&after);
	tool_remove_all(d.fd);
	assert_int_equal(journal_open(d.fd, &tool_read_only, 0, NULL, NULL, &j, NULL, NULL),
			 -ENOENT);
	tool_dir_free(&d);
}

static int refuse_fifth(const struct record *rec, void *user)
{
	return rec->seq == 5 ? -EXDEV : 0;
}

static void test_journal__replay_error_ends_the_opening(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct journal *j = tool_open(d.fd, 0, NULL, NULL);
	struct tool_count c;
	unsigned int fds;

	for (int i = 0; i < 10; i++)
		tool_append(j, 100);
	journal_close(j);
	fds = tool_open_fds();
	assert_int_equal(journal_open(d.fd, &tool_options, 0, refuse_fifth, NULL, &j, NULL, NULL),
			 -EXDEV);
	assert_int_equal(tool_open_fds(), fds);
	assert_int_equal(tool_try(d.fd, 0, &c, NULL), 0);
	assert_int_equal(c.n, 10);
	tool_dir_free(&d);
}

static int cut_from(const struct record *rec, void *user)
{
	return rec->seq >= *(uint64_t *)user ? JOURNAL_CUT : 0;
}

/* Ten records, one batch of five among them; cut before each. */
static void test_journal__replay_may_cut_above_the_durable_point(void **state)
{
	for (uint64_t cut = 1; cut <= 12; cut++) {
		struct tool_dir d = tool_dir_new();
		struct journal *j = tool_open(d.fd, 0, NULL, NULL);
		struct record recs[5], *p[5];
		struct tool_count c;
		uint64_t dropped;

		for (int i = 0; i < 3; i++)
			tool_append(j, 100);
		for (unsigned int i = 0; i < 5; i++) {
			recs[i] = (struct record){.type = RECORD_NOTE, .time = 1};
			RECORD_SET(&recs[i], count, F_COUNT, (i + 4) * 7);
			p[i] = &recs[i];
		}
		assert_int_equal(journal_append_many(j, p, 5), 0);
		for (int i = 0; i < 3; i++)
			tool_append(j, 100);
		journal_close(j);
		assert_int_equal(
			journal_open(d.fd, &tool_options, 0, cut_from, &cut, &j, &dropped, NULL),
			0);
		assert_int_equal(journal_seq(j), cut < 12 ? cut - 1 : 11);
		assert_int_equal(dropped > 0, cut < 12);
		tool_append(j, 20);
		journal_close(j);
		j = tool_open(d.fd, 0, &c, &dropped);
		assert_int_equal(dropped, 0);
		assert_int_equal(c.n, cut < 12 ? cut : 12);
		journal_close(j);
		tool_dir_free(&d);
	}
}

static void test_journal__replay_may_not_cut_what_was_durable(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct journal *j = tool_open(d.fd, 0, NULL, NULL);
	uint64_t cut = 4;

	for (int i = 0; i < 5; i++)
		tool_append(j, 100);
	assert_int_equal(journal_sync(j, NULL, 0), 0);
	assert_int_equal(journal_durable(j), 5);
	tool_append(j, 100);
	journal_close(j);
	assert_int_equal(journal_open(d.fd, &tool_options, 0, cut_from, &cut, &j, NULL, NULL),
			 -EBADMSG);
	cut = 6;
	assert_int_equal(journal_open(d.fd, &tool_options, 0, cut_from, &cut, &j, NULL, NULL), 0);
	assert_int_equal(journal_seq(j), 5);
	journal_close(j);
	tool_dir_free(&d);
}

static void test_journal__reader_follows_the_appender(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct journal *j = tool_open(d.fd, 0, NULL, NULL);
	struct journal_reader *r = NULL, *late = NULL;
	struct tool_count c = {0}, lc = {0};
	struct record rec;

	tool_append(j, 5);
	assert_int_equal(journal_reader_open(d.fd, 0, &r, NULL), 0);
	for (int i = 0; i < 2000; i++) {
		while (journal_reader_next(r, &rec, NULL) == 1)
			assert_int_equal(tool_replay(&rec, &c), 0);
		assert_int_equal(c.last, journal_seq(j));
		assert_int_equal(journal_reader_next(r, &rec, NULL), 0);
		for (int k = 0; k <= i % 3; k++)
			tool_append(j, (size_t)(i % 500));
		if (i % 100 == 0)
			assert_int_equal(journal_sync(j, NULL, 0), 0);
	}
	assert_true(faccessat(d.fd, "0000000003.jnl", F_OK, 0) == 0);
	assert_int_equal(journal_reader_open(d.fd, 1000, &late, NULL), 0);
	while (journal_reader_next(late, &rec, NULL) == 1)
		assert_int_equal(tool_replay(&rec, &lc), 0);
	assert_int_equal(lc.first, 1001);
	assert_int_equal(lc.last, journal_seq(j));
	journal_reader_close(r);
	journal_reader_close(late);
	journal_close(j);
	tool_remove_all(d.fd);
	assert_int_equal(journal_reader_open(d.fd, 0, &r, NULL), -ENOENT);
	tool_dir_free(&d);
}

static void test_journal__reader_tells_damage_from_the_end(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct journal *j = tool_open(d.fd, 0, NULL, NULL);
	struct journal_reader *r = NULL;
	struct err e = ERR_INIT;
	struct record rec;
	int fd, k;

	for (int i = 0; i < 20; i++)
		tool_append(j, 200);
	fd = openat(d.fd, "0000000001.jnl", O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, "X", 1, 192 + 300 * 10), 1);
	assert_int_equal(journal_reader_open(d.fd, 0, &r, NULL), 0);
	while ((k = journal_reader_next(r, &rec, &e)) == 1)
		assert_true(rec.seq < 20);
	assert_int_equal(k, 0);
	assert_int_equal(journal_sync(j, NULL, 0), 0);
	tool_append(j, 10);
	assert_int_equal(journal_reader_next(r, &rec, &e), -EBADMSG);
	assert_string_equal(e.id, "Damaged");
	err_release(&e);
	journal_reader_close(r);
	(void)safe_close(fd);
	journal_close(j);
	tool_dir_free(&d);
}

static int sync_calls;
static int failing_fd = -2;

static int counting_fdatasync(int fd)
{
	sync_calls++;
	if (fd == failing_fd) {
		errno = EIO;
		return -1;
	}
	return fdatasync(fd);
}

static void test_journal__failed_sync_makes_it_read_only_for_good(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct journal *j = tool_open(d.fd, 0, NULL, NULL);
	struct record rec = {.type = RECORD_NOTE};
	struct tool_count c;
	int calls;

	tool_append(j, 5);
	fault_arm(1, EIO);
	assert_int_equal(journal_sync(j, NULL, 0), -EIO);
	assert_true(fault_disarm());
	sync_calls = 0;
	sys.fdatasync = counting_fdatasync;
	calls = sync_calls;
	assert_int_equal(journal_sync(j, NULL, 0), -EROFS);
	assert_int_equal(journal_append(j, &rec), -EROFS);
	assert_int_equal(journal_reserve(j, 1), -EROFS);
	assert_int_equal(journal_reserve_vital(j, 1), -EROFS);
	assert_int_equal(sync_calls, calls);
	assert_int_equal(journal_durable(j), 0);
	sys.fdatasync = fdatasync;
	journal_close(j);
	assert_int_equal(tool_try(d.fd, 0, &c, NULL), 0);
	assert_int_equal(c.n, 1);
	tool_dir_free(&d);
}

static void test_journal__extra_descriptors_are_synced_and_may_fail(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct journal *j = tool_open(d.fd, 0, NULL, NULL);
	int fds[40], bad = 39;

	for (int i = 0; i < 40; i++)
		fds[i] = openat(d.fd, "bytes", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	/* Over io_uring, where the kernel has it: */
	for (int i = 0; i < 5; i++) {
		tool_append(j, 5);
		assert_int_equal(journal_sync(j, fds, 40), 0);
		assert_int_equal(journal_durable(j), journal_seq(j));
	}
	sys.fdatasync = counting_fdatasync;
	sync_calls = 0;
	assert_int_equal(journal_sync(j, fds, 40), 0);
	assert_int_equal(sync_calls, 40);
	tool_append(j, 5);
	assert_int_equal(journal_sync(j, fds, 40), 0);
	assert_int_equal(sync_calls, 81);
	sys.fdatasync = fdatasync;
	/* A descriptor that cannot be synced: a completion with an error. */
	(void)safe_close(fds[bad]);
	assert_int_equal(pipe2(fds + bad - 1, O_CLOEXEC), 0);
	tool_append(j, 5);
	assert_int_equal(journal_sync(j, fds, 40), -EIO);
	assert_int_equal(journal_durable(j), journal_seq(j) - 1);
	assert_int_equal(journal_sync(j, NULL, 0), -EROFS);
	for (int i = 0; i < 40; i++)
		(void)safe_close(fds[i]);
	journal_close(j);
	tool_dir_free(&d);
}

static void test_journal__sync_until_goes_no_further(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct journal *j = tool_open(d.fd, 0, NULL, NULL);

	for (int i = 0; i < 5; i++)
		tool_append(j, 5);
	assert_int_equal(journal_sync_until(j, 3, NULL, 0), 0);
	assert_int_equal(journal_durable(j), 3);
	assert_int_equal(journal_sync(j, NULL, 0), 0);
	assert_int_equal(journal_durable(j), 5);
	journal_close(j);
	tool_dir_free(&d);
}

struct group {
	struct journal *j;
	pthread_mutex_t lock;
	int rounds;
	int failures;
};

static void *group_thread(void *arg)
{
	struct group *g = arg;

	for (int i = 0; i < g->rounds; i++) {
		struct record rec = {.type = RECORD_NOTE, .time = 1};
		uint64_t seq;
		int r;

		pthread_mutex_lock(&g->lock);
		RECORD_SET(&rec, count, F_COUNT, (journal_seq(g->j) + 1) * 7);
		r = journal_append(g->j, &rec);
		seq = rec.seq;
		pthread_mutex_unlock(&g->lock);
		if (r == 0)
			r = journal_sync(g->j, NULL, 0);
		if (r < 0 || journal_durable(g->j) < seq)
			__atomic_fetch_add(&g->failures, 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

static int slow_fdatasync(int fd)
{
	__atomic_fetch_add(&sync_calls, 1, __ATOMIC_SEQ_CST);
	(void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	return fdatasync(fd);
}

/* 8 threads x 20 records; with syncs that take a while they must share them. */
static void test_journal__threads_share_a_sync(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct group g = {.j = tool_open(d.fd, 0, NULL, NULL),
			  .rounds = 20,
			  .lock = PTHREAD_MUTEX_INITIALIZER};
	pthread_t t[8];
	struct tool_count c;

	sync_calls = 0;
	sys.fdatasync = slow_fdatasync;
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&t[i], NULL, group_thread, &g), 0);
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_join(t[i], NULL), 0);
	sys.fdatasync = fdatasync;
	assert_int_equal(g.failures, 0);
	assert_int_equal(journal_durable(g.j), 160);
	assert_in_range(sync_calls, 1, 120);
	journal_close(g.j);
	assert_int_equal(tool_try(d.fd, 0, &c, NULL), 0);
	assert_int_equal(c.n, 160);
	tool_dir_free(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_journal__append_survives_reopen),
		cmocka_unit_test(test_journal__idle_one_has_a_segment_and_two_spares),
		cmocka_unit_test(test_journal__segments_double_to_16_mib),
		cmocka_unit_test(test_journal__large_batch_has_a_segment_of_its_own),
		cmocka_unit_test(test_journal__other_owner_is_refused),
		cmocka_unit_test(test_journal__read_only_changes_nothing),
		cmocka_unit_test(test_journal__replay_error_ends_the_opening),
		cmocka_unit_test(test_journal__replay_may_cut_above_the_durable_point),
		cmocka_unit_test(test_journal__replay_may_not_cut_what_was_durable),
		cmocka_unit_test(test_journal__reader_follows_the_appender),
		cmocka_unit_test(test_journal__reader_tells_damage_from_the_end),
		cmocka_unit_test(test_journal__failed_sync_makes_it_read_only_for_good),
		cmocka_unit_test(test_journal__extra_descriptors_are_synced_and_may_fail),
		cmocka_unit_test(test_journal__sync_until_goes_no_further),
		cmocka_unit_test(test_journal__threads_share_a_sync),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
