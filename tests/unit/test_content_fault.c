/* SPDX-License-Identifier: Apache-2.0 */
/* The shared cache of base content when disks are full, calls fail, files are damaged and processes killed. */
#include "content_fixture.h"

/* 20 times: a process that fills the cache is killed in the middle; what is there is right. */
static void test_content__survives_kill_while_adding(void **state)
{
	static struct fixture f;
	unsigned int seed = (unsigned int)time(NULL);
	int rounds_cut = 0;

	print_message("seed %u\n", seed);
	fixture_init(&f, BLOBS);
	for (int round = 0; round < 20; round++) {
		int from = round * 13 % BLOBS, status;
		pid_t pid = fork();

		if (pid == 0) {
			struct content *c = open_cache(&f, f.cache);

			for (int i = 0; i < BLOBS; i++)
				if (check_blob(&f, c, (from + i) % BLOBS, 131072) != 0)
					_exit(1);
			_exit(0);
		}
		(void)usleep((useconds_t)(rand_r(&seed) % 25000));
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		rounds_cut += WIFSIGNALED(status);
		assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	}
	assert_true(rounds_cut > 0);
	struct content *c = open_cache(&f, f.cache);

	assert_int_equal(check_all(&f, c, BLOBS), 0);
	lose_objects(&f);
	assert_int_equal(check_all(&f, c, BLOBS), 0);
	content_close(c);
	fixture_release(&f);
}

static int calls_left;
static int fail_with;

static ssize_t failing_pwrite(int fd, const void *p, size_t n, off_t off)
{
	if (calls_left-- != 0)
		return pwrite(fd, p, n, off);
	errno = fail_with;
	return -1;
}

static int failing_fallocate(int fd, int mode, off_t off, off_t len)
{
	errno = ENOSPC;
	return -1;
}

static int failing_openat(int dir, const char *name, int flags, mode_t mode)
{
	if (calls_left-- != 0)
		return openat(dir, name, flags, mode);
	errno = EMFILE;
	return -1;
}

static void test_content__full_disk_still_serves(void **state)
{
	static struct fixture f;
	struct sys saved = sys;

	fixture_init(&f, 100);
	struct content *c = open_cache(&f, f.cache);

	sys.fallocate = failing_fallocate;
	assert_int_equal(check_all(&f, c, 100), 0);
	sys = saved;
	lose_objects(&f);
	assert_true(cached(&f, c, 100) < 10);
	find_objects(&f);
	assert_int_equal(check_all(&f, c, 100), 0);
	content_close(c);
	fixture_release(&f);
}

/* The n-th write fails, for every n: the read succeeds, and the cache is whole afterwards. */
static void test_content__any_failing_call_still_serves(void **state)
{
	static struct fixture f;
	struct sys saved = sys;

	fixture_init(&f, 10);
	for (int n = 0; n < 45; n++) {
		struct content *c;

		assert_int_equal(io_rm_rf(f.s.dir, "content"), 0);
		assert_int_equal(io_mkdir(f.s.dir, "content", 0700), 0);
		(void)close(f.cache);
		f.cache = openat(f.s.dir, "content", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		c = open_cache(&f, f.cache);
		calls_left = n;
		fail_with = n % 2 ? ENOSPC : EIO;
		if (n < 40)
			sys.pwrite = failing_pwrite;
		else
			sys.openat = failing_openat;
		assert_int_equal(check_all(&f, c, 10), 0);
		sys = saved;
		content_close(c);
		c = open_cache(&f, f.cache);
		assert_int_equal(check_all(&f, c, 10), 0);
		lose_objects(&f);
		assert_int_equal(check_all(&f, c, 10), 0);
		find_objects(&f);
		content_close(c);
	}
	fixture_release(&f);
}

/* What a power cut may do: bytes, entries or the header are not what was written. */
static void test_content__damage_is_noticed_and_mended(void **state)
{
	static struct fixture f;
	static const struct {
		const char *name;
		uint64_t off;
		size_t n;
	} places[] = {
		{"data.0", 0, 400000},	 {"table", 4096, 64 * 4096}, {"table", 4096 + 77, 1},
		{"table", 30000, 20000}, {"table", 33, 4},	     {"table", 0, 4},
	};

	fixture_init(&f, 100);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct content *c = open_cache(&f, f.cache);

		assert_int_equal(check_all(&f, c, 100), 0);
		content_close(c);
		scribble(&f, places[i].name, places[i].off, places[i].n);
		c = open_cache(&f, f.cache);
		assert_int_equal(check_all(&f, c, 100), 0);
		lose_objects(&f);
		assert_int_equal(check_all(&f, c, 100), 0);
		find_objects(&f);
		content_close(c);
	}
	fixture_release(&f);
}

static void test_content__cut_files_are_misses(void **state)
{
	static struct fixture f;

	fixture_init(&f, 100);
	for (int i = 0; i < 2; i++) {
		struct content *c = open_cache(&f, f.cache);
		int fd;

		assert_int_equal(check_all(&f, c, 100), 0);
		fd = openat(f.cache, i ? "table" : "data.0", O_RDWR | O_CLOEXEC);
		assert_int_equal(ftruncate(fd, 5000), 0);
		(void)close(fd);
		assert_int_equal(check_all(&f, c, 100), 0);
		content_close(c);
	}
	fixture_release(&f);
}

static int die_after_rename;

static int deadly_renameat(int from, const char *a, int to, const char *b)
{
	if (die_after_rename)
		(void)renameat(from, a, to, b);
	(void)raise(SIGKILL);
	return -1;
}

/* Killed before the new table got its name, and after, while others have the old one open. */
static void test_content__survives_kill_while_growing(void **state)
{
	static struct fixture f;
	static uint8_t ids[MANY][32];
	char text[16], buf[16];
	size_t len[MANY];

	fixture_init(&f, 1);
	for (int i = 0; i < MANY; i++) {
		len[i] = (size_t)snprintf(text, sizeof(text), "blob %d", i);
		git_oid id = store_blob(&f.s, text);

		memcpy(ids[i], id.id, 20);
	}
	struct content *c = open_cache(&f, f.cache);

	for (int i = 0; i < 10; i++)
		assert_int_equal(content_read(c, ids[i], len[i], 0, buf, 16), len[i]);
	for (die_after_rename = 0; die_after_rename < 2; die_after_rename++) {
		int status;
		pid_t pid = fork();

		if (pid == 0) {
			struct content *mine = open_cache(&f, f.cache);

			sys.renameat = deadly_renameat;
			for (int i = 0; i < MANY; i++)
				if (content_read(mine, ids[i], len[i], 0, buf, 16) !=
				    (ssize_t)len[i])
					_exit(1);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
	}
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(text, sizeof(text), "blob %d", i);
		assert_int_equal(content_read(c, ids[i], len[i], 0, buf, 16), len[i]);
		assert_memory_equal(buf, text, len[i]);
	}
	lose_objects(&f);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(content_read(c, ids[i], len[i], 0, buf, 16), len[i]);
	content_close(c);
	fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_content__survives_kill_while_adding),
		cmocka_unit_test(test_content__full_disk_still_serves),
		cmocka_unit_test(test_content__any_failing_call_still_serves),
		cmocka_unit_test(test_content__damage_is_noticed_and_mended),
		cmocka_unit_test(test_content__cut_files_are_misses),
		cmocka_unit_test(test_content__survives_kill_while_growing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
