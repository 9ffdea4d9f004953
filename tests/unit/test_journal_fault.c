/* SPDX-License-Identifier: Apache-2.0 */
/* journal: every call failing, a full disk, kill -9. */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "fault.h"
#include "journal_tools.h"

/* What one attempt does: open, a reserve and an append that rotates, sync. */
static int fault_scene(int dir, uint64_t *ret_acked)
{
	struct journal *j = NULL;
	int r = journal_open(dir, &tool_options, 0, NULL, NULL, &j, NULL, NULL);

	for (int i = 0; i < 3 && r == 0; i++) {
		uint64_t seq = journal_seq(j);
		char value[30000];
		struct record rec = {.type = RECORD_NOTE, .time = 1};

		memset(value, (int)('a' + (seq + 1) % 26), sizeof(value));
		RECORD_SET(&rec, count, F_COUNT, (seq + 1) * 7);
		RECORD_SET(&rec, value, F_VALUE, ((struct bytes){value, sizeof(value)}));
		r = journal_reserve(j, sizeof(value) + 200);
		if (r == 0)
			r = journal_append(j, &rec);
		if (r == 0)
			*ret_acked = rec.seq;
		else
			assert_int_equal(journal_seq(j), seq);
		if (r == -EROFS)
			break;
		if (r < 0)
			assert_int_equal(rec.seq, 0);
	}
	if (r == 0)
		r = journal_sync(j, NULL, 0);
	if (r == 0)
		assert_int_equal(journal_durable(j), journal_seq(j));
	journal_close(j);
	return r;
}

static void run_faults(int error, bool half, bool memory)
{
	bool reached = true;

	fault.half = half;
	fault.memory = memory;
	for (long n = 1; reached; n++) {
		struct tool_dir d = tool_dir_new();
		struct journal *j;
		struct tool_count c;
		uint64_t acked = 0, dropped;
		unsigned int fds = tool_open_fds();
		int r;

		/* A journal that has a past, in the second half of the calls' numbers. */
		j = tool_open(d.fd, 0, NULL, NULL);
		tool_append(j, 100);
		acked = 1;
		journal_close(j);
		fault_arm(n, error);
		r = fault_scene(d.fd, &acked);
		reached = fault_disarm();
		assert_int_equal(tool_open_fds(), fds);
		if (!reached)
			assert_int_equal(r, 0);
		/* Whatever failed: all that was acknowledged is there, and no more than one more.
		 */
		j = tool_open(d.fd, 0, &c, &dropped);
		assert_in_range(c.n, acked, acked);
		assert_int_equal(journal_reserve(j, 1000), 0);
		tool_append(j, 100);
		assert_int_equal(journal_sync(j, NULL, 0), 0);
		journal_close(j);
		assert_int_equal(tool_try(d.fd, 0, &c, NULL), 0);
		assert_int_equal(c.n, acked + 1);
		tool_dir_free(&d);
		assert_true(n < 2000);
	}
	fault.half = fault.memory = false;
}

static void test_journal__every_call_may_fail(void **state)
{
	run_faults(EIO, false, false);
	run_faults(ENOSPC, true, false);
	run_faults(ENOMEM, false, true);
}

static void test_journal__creation_may_fail_at_every_call(void **state)
{
	bool reached = true;

	for (long n = 1; reached; n++) {
		struct tool_dir d = tool_dir_new();
		unsigned int fds = tool_open_fds();
		struct journal *j = NULL;
		struct tool_count c;
		int r;

		fault_arm(n, ENOSPC);
		r = journal_open(d.fd, &tool_options, 0, NULL, NULL, &j, NULL, NULL);
		reached = fault_disarm();
		if (r == 0)
			journal_close(j);
		assert_int_equal(tool_open_fds(), fds);
		assert_int_equal(tool_try(d.fd, 0, &c, NULL), 0);
		assert_int_equal(tool_try(d.fd, 0, &c, NULL), 0);
		tool_dir_free(&d);
	}
}

static void test_journal__interrupted_calls_are_repeated(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct journal *j = tool_open(d.fd, 0, NULL, NULL);
	uint64_t acked = 0;
	bool reached = true;

	journal_close(j);
	for (long n = 1; reached; n++) {
		int r;

		fault_arm(n, EINTR);
		r = fault_scene(d.fd, &acked);
		reached = fault_disarm();
		/* open, rename and unlink do not give EINTR on a local disk. */
		if (r < 0)
			assert_int_equal(r == -EINTR || r == -EIO, 1);
	}
	tool_dir_free(&d);
}

/* On a full disk what was reserved fits, and there is a spare left for what is vital. */
static int full_fallocate(int fd, int mode, off_t off, off_t len)
{
	errno = ENOSPC;
	return -1;
}

static void test_journal__full_disk_keeps_room_for_what_is_vital(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct journal *j = tool_open(d.fd, 0, NULL, NULL);
	struct record rec;
	struct tool_count c;
	uint64_t n = 0, vital = 0;

	sys.fallocate = full_fallocate;
	while (journal_reserve(j, 400) == 0) {
		tool_append(j, 300);
		n++;
	}
	assert_int_equal(journal_reserve(j, 400), -ENOSPC);
	/* A segment and one of the spares were used up. */
	assert_in_range(n * 404, 50000, 65536);
	while (journal_reserve_vital(j, 400) == 0) {
		tool_append(j, 300);
		vital++;
	}
	assert_in_range(vital * 404, 25000, 32768);
	rec = (struct record){.type = RECORD_NOTE, .time = 1};
	RECORD_SET(&rec, value, F_VALUE, ((struct bytes){"", 0}));
	journal_close(j);
	/* It opens on a full disk. */
	j = tool_open(d.fd, 0, &c, NULL);
	assert_int_equal(c.n, n + vital);
	assert_int_equal(journal_reserve(j, 400), -ENOSPC);
	sys.fallocate = fallocate;
	assert_int_equal(journal_reserve(j, 400), 0);
	tool_append(j, 300);
	journal_close(j);
	tool_dir_free(&d);
}

/* A sync that comes at any call of an append, between reserving and handing over a segment too. */
static struct journal *synced_meanwhile;

static ssize_t pwrite_and_sync(int fd, const void *buf, size_t n, off_t off)
{
	ssize_t k = pwrite(fd, buf, n, off);
	struct journal *j = synced_meanwhile;

	if (j) {
		synced_meanwhile = NULL; /* not from within */
		assert_int_equal(journal_sync(j, NULL, 0), 0);
		synced_meanwhile = j;
	}
	return k;
}

static void test_journal__a_sync_may_come_while_a_segment_is_handed_over(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct journal *j = tool_open(d.fd, 0, NULL, NULL);
	struct tool_count c;

	sys.pwrite = pwrite_and_sync;
	synced_meanwhile = j;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(journal_reserve(j, 30200), 0);
		tool_append(j, 30000);
	}
	synced_meanwhile = NULL;
	sys.pwrite = pwrite;
	assert_int_equal(journal_sync(j, NULL, 0), 0);
	assert_int_equal(journal_durable(j), journal_seq(j));
	journal_close(j);
	j = tool_open(d.fd, 0, &c, NULL);
	assert_int_equal(c.n, 20);
	journal_close(j);
	tool_dir_free(&d);
}

/* The child tells each acknowledged record through shared memory and is killed somewhere. */
static void test_journal__append_survives_kill(void **state)
{
	_Atomic uint64_t *told =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct tool_dir d = tool_dir_new();
	struct tool_count c;
	uint64_t dropped;

	assert_true(told != MAP_FAILED);
	for (int round = 0; round < 20; round++) {
		uint64_t start = *told;
		pid_t pid = fork();
		int status;

		assert_true(pid >= 0);
		if (pid == 0) {
			struct journal *j = tool_open(d.fd, 0, NULL, NULL);

			for (;;) {
				tool_append(j, 100 + (size_t)(journal_seq(j) * 31 % 3000));
				*told = journal_seq(j);
				if (journal_seq(j) % 64 == 0)
					(void)journal_sync(j, NULL, 0);
			}
		}
		while (*told < start + 20 + (uint64_t)round * 11)
			(void)nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_int_equal(tool_try(d.fd, 0, &c, &dropped), 0);
		assert_in_range(c.n, *told, *told + 1);
		*told = c.n;
	}
	(void)munmap((void *)told, 4096);
	tool_dir_free(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_journal__every_call_may_fail),
		cmocka_unit_test(test_journal__creation_may_fail_at_every_call),
		cmocka_unit_test(test_journal__interrupted_calls_are_repeated),
		cmocka_unit_test(test_journal__full_disk_keeps_room_for_what_is_vital),
		cmocka_unit_test(test_journal__a_sync_may_come_while_a_segment_is_handed_over),
		cmocka_unit_test(test_journal__append_survives_kill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
