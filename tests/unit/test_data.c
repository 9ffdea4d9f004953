/* SPDX-License-Identifier: Apache-2.0 */
/* data: bytes come back, space is decided before, descriptors are few, every call may fail. */
#include <pthread.h>

#include "data.h"
#include "fault.h"
#include "journal_tools.h"

static const uint8_t owner[16] = "0123456789abcde";

static struct data *open_data(int dir)
{
	struct err e = ERR_INIT;
	struct data *d = NULL;
	int r = data_open(dir, owner, 0, &d, &e);

	if (r < 0)
		print_error("%d: %s\n", r, err_text(&e));
	assert_int_equal(r, 0);
	return d;
}

static void fill(char *p, size_t n, unsigned int seed)
{
	for (size_t i = 0; i < n; i++) {
		seed = seed * 1103515245u + 12345u;
		p[i] = (char)(seed >> 16);
	}
}

static uint64_t append(struct data *d, size_t n, unsigned int seed)
{
	_cleanup_free_ char *p = malloc(n + 1);
	uint64_t addr;

	fill(p, n, seed);
	assert_int_equal(data_append(d, DATA_FILES, p, n, &addr), 0);
	data_live(d, addr, -(int64_t)n);
	return addr;
}

static void check(struct data *d, uint64_t addr, size_t n, unsigned int seed)
{
	_cleanup_free_ char *p = malloc(n + 1), *q = malloc(n + 1);

	fill(p, n, seed);
	assert_int_equal(data_pread(d, addr, q, n), 0);
	assert_memory_equal(p, q, n);
}

/* Whole pages in a row begin on one, large ones on 64 KiB; others go where the last one ended. */
static void test_data__whole_pages_begin_on_one(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct data *data = open_data(d.fd);
	uint64_t a, b;

	(void)append(data, 300 << 10, 1);
	(void)append(data, 5000, 1); /* in a segment of twice that size: room for all the rest */
	a = append(data, 100, 2);
	b = append(data, 4096, 3);
	assert_int_equal(b, a + 100);
	a = append(data, 8192, 4);
	assert_int_equal(a % 4096, 0);
	b = append(data, 4096, 5);
	assert_int_equal(b, a + 8192);
	a = append(data, 128 << 10, 6);
	assert_int_equal(a % 65536, 0);
	b = append(data, 7, 7);
	assert_int_equal(b, a + (128 << 10));
	assert_int_equal(append(data, 1, 8), b + 7);
	data_close(data);
	data = open_data(d.fd);
	check(data, a, 128 << 10, 6);
	check(data, b, 7, 7);
	data_close(data);
	tool_dir_free(&d);
	(void)state;
}

/* What was just written is in the page cache; who counts calls is not passed by. */
static void test_data__cached_reads_are_right_or_again(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct data *data = open_data(d.fd);
	uint64_t addr = append(data, 9000, 1);
	char p[9000], q[9000];
	int r;

	fill(p, sizeof(p), 1);
	r = data_pread_cached(data, addr, q, sizeof(q));
	assert_true(r == 0 || r == -EAGAIN);
	if (r == 0)
		assert_memory_equal(p, q, sizeof(p));
	assert_int_equal(data_pread_cached(data, addr | UINT64_C(1) << 62, q, 1), -EBADMSG);
	fault_arm(0, EIO);
	assert_int_equal(data_pread_cached(data, addr, q, sizeof(q)), -EAGAIN);
	fault_disarm();
	data_close(data);
	tool_dir_free(&d);
	(void)state;
}

static void test_data__bytes_come_back_after_reopen(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct data *data = open_data(d.fd);
	uint64_t addr[500];

	for (unsigned int i = 0; i < 500; i++)
		addr[i] = append(data, i * 37 % 9000, i);
	for (unsigned int i = 0; i < 500; i++)
		check(data, addr[i], i * 37 % 9000, i);
	assert_true(addr[499] >> 32 > 3);
	data_close(data);
	data = open_data(d.fd);
	for (unsigned int i = 0; i < 500; i++) {
		assert_int_equal(data_mark_used(data, addr[i], i * 37 % 9000), 0);
		check(data, addr[i], i * 37 % 9000, i);
	}
	for (unsigned int i = 0; i < 100; i++) {
		uint64_t more = append(data, 100, 1000 + i);

		assert_true(more >= addr[499]);
	}
	for (unsigned int i = 0; i < 500; i++)
		check(data, addr[i], i * 37 % 9000, i);
	data_close(data);
	tool_dir_free(&d);
}

static void test_data__appends_go_behind_what_is_used(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct data *data = open_data(d.fd);
	uint64_t a = append(data, 1000, 1), b = append(data, 1000, 2), c;

	data_close(data);
	data = open_data(d.fd);
	assert_int_equal(data_mark_used(data, a, 1000), 0);
	c = append(data, 1000, 3); /* b was never acknowledged */
	assert_int_equal(c, b);
	check(data, a, 1000, 1);
	check(data, c, 1000, 3);
	data_close(data);
	tool_dir_free(&d);
}

static void test_data__segments_double_and_large_bytes_have_their_own(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct data *data = open_data(d.fd);
	struct stat st;
	uint64_t big;

	append(data, 100, 1);
	assert_int_equal(fstatat(d.fd, "0000000001.dat", &st, 0), 0);
	assert_int_equal(st.st_size, 32768);
	append(data, 32768 - 128 - 100, 1);
	append(data, 1, 1);
	assert_int_equal(fstatat(d.fd, "0000000002.dat", &st, 0), 0);
	assert_int_equal(st.st_size, 65536);
	big = append(data, 20 << 20, 5);
	assert_int_equal(big >> 32, 3);
	check(data, big, 20 << 20, 5);
	assert_int_equal(fstatat(d.fd, "0000000003.dat", &st, 0), 0);
	assert_in_range(st.st_size, 20 << 20, (20 << 20) + 8192);
	assert_true(st.st_blocks * 512 >= st.st_size);
	assert_int_equal(fstatat(d.fd, "spare-0.dat", &st, 0), 0);
	assert_int_equal(st.st_size, 16 << 20);
	assert_in_range(data_disk_bytes(data), (20 << 20) + (32 << 20), 60 << 20);
	data_close(data);
	tool_dir_free(&d);
}

static void test_data__addresses_outside_are_refused(void **state)
{
	static const uint64_t one = UINT64_C(1) << 32;
	struct tool_dir d = tool_dir_new();
	struct data *data = open_data(d.fd);
	char p[16];

	append(data, 100, 1);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(data_pread(data, one | 127, p, 1), -EBADMSG);
		assert_int_equal(data_pread(data, one | 32768, p, 1), -EBADMSG);
		assert_int_equal(data_pread(data, one | 32760, p, 16), -EBADMSG);
		assert_int_equal(data_pread(data, 2 * one | 128, p, 1), -EBADMSG);
		assert_int_equal(data_pread(data, 0, p, 0), -EBADMSG);
		assert_int_equal(data_mark_used(data, one | 128, UINT64_MAX), -EBADMSG);
		assert_int_equal(data_mark_used(data, one | 128, 40000), -EBADMSG);
		assert_int_equal(data_mark_used(data, 7 * one | 128, 1), -EBADMSG);
		data_close(data);
		data = open_data(d.fd);
	}
	data_close(data);
	tool_dir_free(&d);
}

static void test_data__wrong_segments_are_found(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct data *data = open_data(d.fd);
	struct tool_files files;
	struct err e = ERR_INIT;
	uint64_t a = append(data, 30000, 1), b = append(data, 30000, 2);
	int fd;

	data_close(data);
	files = tool_save(d.fd);
	assert_int_equal(data_open(d.fd, (const uint8_t *)"another owner 16", 0, &data, &e),
			 -EBADMSG);
	assert_string_equal(e.id, "Damaged");
	err_release(&e);
	assert_int_equal(renameat(d.fd, "0000000001.dat", d.fd, "x"), 0);
	assert_int_equal(renameat(d.fd, "0000000002.dat", d.fd, "0000000001.dat"), 0);
	assert_int_equal(renameat(d.fd, "x", d.fd, "0000000002.dat"), 0);
	assert_int_equal(data_open(d.fd, owner, 0, &data, NULL), -EBADMSG);
	tool_restore(d.fd, &files);
	assert_int_equal(unlinkat(d.fd, "0000000001.dat", 0), 0);
	data = open_data(d.fd);
	assert_int_equal(data_mark_used(data, a, 30000), -EBADMSG);
	assert_int_equal(data_mark_used(data, b, 30000), 0);
	data_close(data);
	/* Every byte of the header: refused when something names the segment, or at once. */
	tool_restore(d.fd, &files);
	fd = openat(d.fd, "0000000002.dat", O_RDWR | O_CLOEXEC);
	for (off_t i = 0; i < 128; i++) {
		char old, bad;

		assert_int_equal(pread(fd, &old, 1, i), 1);
		bad = (char)(old ^ 0x10);
		assert_int_equal(pwrite(fd, &bad, 1, i), 1);
		data = open_data(d.fd);
		assert_int_equal(data_mark_used(data, a, 30000), 0);
		assert_int_equal(data_mark_used(data, b, 30000), -EBADMSG);
		assert_true(append(data, 10, 9) >> 32 > 2);
		data_close(data);
		assert_int_equal(unlinkat(d.fd, "0000000003.dat", 0), 0);
		assert_int_equal(pwrite(fd, &old, 1, i), 1);
	}
	(void)safe_close(fd);
	tool_files_free(&files);
	tool_dir_free(&d);
}

static int full_fallocate(int fd, int mode, off_t off, off_t len)
{
	errno = ENOSPC;
	return -1;
}

static void test_data__full_disk_is_told_before_a_byte_is_written(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct data *data = open_data(d.fd);
	uint64_t addr[400], n = 0, x = 42;
	char p[400] = {0};

	sys.fallocate = full_fallocate;
	for (;;) {
		int r;

		fill(p, sizeof(p), (unsigned int)n);
		r = data_append(data, DATA_FILES, p, sizeof(p), &addr[n]);
		if (r < 0) {
			assert_int_equal(r, -ENOSPC);
			break;
		}
		assert_true(++n < 400);
	}
	assert_in_range(n, 2 * 32000 / 400, 2 * 32768 / 400);
	assert_int_equal(data_append(data, DATA_FILES, p, 400, &x), -ENOSPC);
	assert_int_equal(x, 42);
	for (unsigned int i = 0; i < n; i++)
		check(data, addr[i], 400, i);
	sys.fallocate = fallocate;
	append(data, 400, 1);
	data_close(data);
	tool_dir_free(&d);
}

static void test_data__few_descriptors_stay_open(void **state)
{
	struct tool_dir d = tool_dir_new();
	unsigned int before = tool_open_fds();
	struct data *data;
	uint64_t addr[60];

	for (unsigned int i = 0; i < 60; i++) {
		char name[32];
		int fds[8], n;
		uint64_t token;

		/* Each round begins a segment: the one before is marked full. */
		data = open_data(d.fd);
		for (unsigned int k = 0; k < i; k++) {
			struct stat st;

			(void)snprintf(name, sizeof(name), "%010u.dat", k + 1);
			assert_int_equal(fstatat(d.fd, name, &st, 0), 0);
			assert_int_equal(data_mark_used(data, (k + 1ull) << 32 | 128,
							(uint64_t)st.st_size - 128),
					 0);
		}
		addr[i] = append(data, 100, i);
		assert_int_equal(addr[i] >> 32, i + 1);
		if (i > 0) {
			/* Small ones, or the doubling would fill the disk. */
			(void)snprintf(name, sizeof(name), "%010u.dat", i + 1);
			int fd = openat(d.fd, name, O_RDWR | O_CLOEXEC);

			assert_int_equal(ftruncate(fd, 32768), 0);
			(void)safe_close(fd);
		}
		for (unsigned int k = 0; k <= i; k++)
			check(data, addr[k], 100, k);
		assert_in_range(tool_open_fds(), before, before + 32 + 2);
		n = data_dirty_fds(data, fds, 8, &token);
		assert_in_range(n, 2, 8);
		while (n > 0)
			(void)safe_close(fds[--n]);
		data_synced(data, token);
		assert_int_equal(data_dirty_fds(data, fds, 8, &token), 0);
		data_close(data);
	}
	assert_int_equal(tool_open_fds(), before);
	tool_dir_free(&d);
}

static void test_data__only_what_was_written_since_is_dirty(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct data *data = open_data(d.fd);
	uint64_t token, later;
	int fds[8], n;

	append(data, 100, 1);
	n = data_dirty_fds(data, fds, 8, &token);
	assert_int_equal(n, 2); /* the folder and the segment */
	while (n > 0)
		(void)safe_close(fds[--n]);
	append(data, 100, 2); /* behind the token */
	data_synced(data, token);
	n = data_dirty_fds(data, fds, 8, &later);
	assert_int_equal(n, 1);
	(void)safe_close(fds[0]);
	data_synced(data, later);
	assert_int_equal(data_dirty_fds(data, fds, 8, &token), 0);
	data_live(data, UINT64_C(1) << 32 | 128, 200);
	data_live(data, UINT64_C(1) << 32 | 128, -50);
	assert_int_equal(data_live_bytes(data), 150);
	data_close(data);
	tool_dir_free(&d);
}

struct job {
	struct data *data;
	unsigned int seed;
	int failures;
};

static void *data_thread(void *arg)
{
	struct job *job = arg;
	uint64_t addr[200];
	char p[3000], q[3000];

	for (unsigned int i = 0; i < 200; i++) {
		size_t n = (job->seed + i * 61) % sizeof(p);

		fill(p, n, job->seed + i);
		job->failures += data_append(job->data, DATA_FILES, p, n, &addr[i]) < 0;
	}
	for (unsigned int i = 0; i < 200; i++) {
		size_t n = (job->seed + i * 61) % sizeof(p);

		fill(p, n, job->seed + i);
		job->failures += data_pread(job->data, addr[i], q, n) < 0 || memcmp(p, q, n) != 0;
	}
	return NULL;
}

static void test_data__threads_append_and_read(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct data *data = open_data(d.fd);
	struct job jobs[6];
	pthread_t t[6];

	for (unsigned int i = 0; i < 6; i++) {
		jobs[i] = (struct job){data, i * 1000, 0};
		assert_int_equal(pthread_create(&t[i], NULL, data_thread, &jobs[i]), 0);
	}
	for (int i = 0; i < 6; i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
		assert_int_equal(jobs[i].failures, 0);
	}
	data_close(data);
	tool_dir_free(&d);
}

static void run_faults(int error, bool half, bool memory)
{
	bool reached = true;

	fault.half = half;
	fault.memory = memory;
	for (long n = 1; reached; n++) {
		struct tool_dir d = tool_dir_new();
		struct data *data = open_data(d.fd);
		uint64_t addr[4], token;
		unsigned int done = 0, fds = 0;
		char p[20000], q[20000];
		int list[8], r, k;

		addr[0] = append(data, 20000, 0);
		data_close(data);
		fds = tool_open_fds();
		data = NULL;
		fault_arm(n, error);
		r = data_open(d.fd, owner, 0, &data, NULL);
		if (r == 0)
			r = data_mark_used(data, addr[0], 20000);
		for (done = 1; r == 0 && done < 4; done++) {
			fill(p, sizeof(p), done);
			addr[done] = 42;
			r = data_append(data, DATA_FILES, p, sizeof(p), &addr[done]);
			if (r < 0) {
				assert_int_equal(addr[done], 42);
				break;
			}
		}
		if (r == 0) {
			r = data_pread(data, addr[3], q, sizeof(q));
			assert_true(r < 0 || memcmp(p, q, sizeof(p)) == 0);
		}
		if (r == 0) {
			k = data_dirty_fds(data, list, 8, &token);
			r = k < 0 ? k : 0;
			while (k > 0)
				(void)safe_close(list[--k]);
		}
		reached = fault_disarm();
		if (!reached)
			assert_int_equal(r, 0);
		/* The object goes on, and what was acknowledged is there. */
		for (unsigned int i = 0; data && i < done; i++)
			check(data, addr[i], 20000, i);
		if (data)
			check(data, append(data, 20000, 77), 20000, 77);
		data_close(data);
		assert_int_equal(tool_open_fds(), fds);
		data = open_data(d.fd);
		for (unsigned int i = 0; i < done; i++) {
			assert_int_equal(data_mark_used(data, addr[i], 20000), 0);
			check(data, addr[i], 20000, i);
		}
		data_close(data);
		tool_dir_free(&d);
		assert_true(n < 1000);
	}
	fault.half = fault.memory = false;
}

static void test_data__every_call_may_fail(void **state)
{
	run_faults(EIO, false, false);
	run_faults(ENOSPC, true, false);
	run_faults(ENOMEM, false, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_data__whole_pages_begin_on_one),
		cmocka_unit_test(test_data__cached_reads_are_right_or_again),
		cmocka_unit_test(test_data__bytes_come_back_after_reopen),
		cmocka_unit_test(test_data__appends_go_behind_what_is_used),
		cmocka_unit_test(test_data__segments_double_and_large_bytes_have_their_own),
		cmocka_unit_test(test_data__addresses_outside_are_refused),
		cmocka_unit_test(test_data__wrong_segments_are_found),
		cmocka_unit_test(test_data__full_disk_is_told_before_a_byte_is_written),
		cmocka_unit_test(test_data__few_descriptors_stay_open),
		cmocka_unit_test(test_data__only_what_was_written_since_is_dirty),
		cmocka_unit_test(test_data__threads_append_and_read),
		cmocka_unit_test(test_data__every_call_may_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
