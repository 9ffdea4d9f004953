/* SPDX-License-Identifier: Apache-2.0 */
/* The shared cache of base content. */
#include "content_fixture.h"

static void test_content__reads_without_a_cache(void **state)
{
	static struct fixture f;
	char buf[8];

	fixture_init(&f, 100);
	struct content *c = open_cache(&f, -1);

	assert_int_equal(check_all(&f, c, 100), 0);
	assert_int_equal(check_blob(&f, c, 49, 1000), 0);
	assert_int_equal(content_read(c, f.ids[1], f.sizes[1], f.sizes[1], buf, 8), 0);
	assert_int_equal(content_read(c, f.ids[1], f.sizes[1], f.sizes[1] - 3, buf, 8), 3);
	content_close(c);
	fixture_release(&f);
}

/* Nothing is brought by a read that may not wait; what is there is right, whole or in part. */
static void test_content__cached_reads_bring_nothing(void **state)
{
	static struct fixture f;

	fixture_init(&f, 50);
	for (int round = 0; round < 2; round++) {
		struct content *c = open_cache(&f, f.cache);

		for (int i = 0; i < 50; i++) {
			size_t part = round ? f.sizes[i] : f.sizes[i] / 2;
			char *p = malloc(part + 1), *q = malloc(part + 1);
			ssize_t r = content_read_cached(c, f.ids[i], f.sizes[i], 0, p, part);

			if (!part)
				assert_int_equal(r, 0);
			else if (!round)
				assert_int_equal(r, -EAGAIN);
			if (!round)
				assert_int_equal(check_blob(&f, c, i, 131072), 0);
			assert_int_equal(content_read(c, f.ids[i], f.sizes[i], 0, q, part), part);
			if (r > 0)
				assert_memory_equal(p, q, part);
			free(p);
			free(q);
		}
		content_close(c);
	}
	fixture_release(&f);
	(void)state;
}

/* Sequential reads of one blob ask git once, cached or not. */
static void test_content__inflates_a_blob_once(void **state)
{
	static struct fixture f;
	char file[64];

	fixture_init(&f, 50);
	for (int with = 0; with < 2; with++) {
		struct content *c = open_cache(&f, with ? f.cache : -1);
		git_oid id;
		char b;

		memcpy(id.id, f.ids[49], 20);
		store_object_file(id, file);
		assert_int_equal(content_read(c, f.ids[49], f.sizes[49], 5, &b, 1), 1);
		assert_int_equal(renameat(f.s.dir, file, f.s.dir, "away"), 0);
		assert_int_equal(check_blob(&f, c, 49, 4096), 0);
		assert_int_equal(renameat(f.s.dir, "away", f.s.dir, file), 0);
		content_close(c);
	}
	fixture_release(&f);
}

static void test_content__survives_reopening(void **state)
{
	static struct fixture f;

	fixture_init(&f, 100);
	struct content *c = open_cache(&f, f.cache);

	assert_int_equal(check_all(&f, c, 100), 0);
	content_close(c);
	lose_objects(&f);
	c = open_cache(&f, f.cache);
	assert_int_equal(check_all(&f, c, 100), 0);
	content_close(c);
	fixture_release(&f);
}

static void test_content__missing_damaged_and_wrong_size_are_eio(void **state)
{
	static struct fixture f;
	uint8_t none[32] = {1, 2, 3};
	char b[16];

	fixture_init(&f, 3);
	struct content *c = open_cache(&f, f.cache);
	git_oid tree = store_tree1(&f.s, "100644", "f", store_blob(&f.s, "x"));
	uint8_t tree_id[32] = {0};

	memcpy(tree_id, tree.id, 20);
	assert_int_equal(content_read(c, none, 5, 0, b, 5), -EIO);
	assert_int_equal(content_read(c, f.ids[1], f.sizes[1] + 1, 0, b, 5), -EIO);
	assert_int_equal(check_blob(&f, c, 1, 4096), 0);
	assert_int_equal(content_read(c, f.ids[1], f.sizes[1] + 1, 0, b, 5), -EIO);
	assert_int_equal(content_read(c, tree_id, 28, 0, b, 5), -EIO);
	content_close(c);
	fixture_release(&f);
}

/* A child fills half, its parent sees it in a cache that it had open before. */
static void test_content__is_shared_by_processes(void **state)
{
	static struct fixture f;
	int status;

	fixture_init(&f, 100);
	struct content *c = open_cache(&f, f.cache);
	pid_t pid = fork();

	if (pid == 0) {
		struct content *mine = open_cache(&f, f.cache);

		_exit(check_all(&f, mine, 100) != 0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	lose_objects(&f);
	assert_int_equal(check_all(&f, c, 100), 0);
	content_close(c);
	fixture_release(&f);
}

/* Four processes at once on an empty cache, then none of git. */
static void test_content__is_filled_by_many_at_once(void **state)
{
	static struct fixture f;
	pid_t pids[4];
	int status;

	fixture_init(&f, BLOBS);
	for (int i = 0; i < 4; i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			struct content *c = open_cache(&f, f.cache);

			_exit(check_all(&f, c, BLOBS) != 0);
		}
	}
	for (int i = 0; i < 4; i++) {
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	lose_objects(&f);
	struct content *c = open_cache(&f, f.cache);

	assert_int_equal(check_all(&f, c, BLOBS), 0);
	content_close(c);
	fixture_release(&f);
}

struct reader {
	struct fixture *f;
	struct content *c;
	int r;
};

static void *read_as_thread(void *arg)
{
	struct reader *x = arg;

	x->r = check_all(x->f, x->c, 100);
	return NULL;
}

static void test_content__serves_threads(void **state)
{
	static struct fixture f;
	struct reader x[6];
	pthread_t t[6];

	fixture_init(&f, 100);
	struct content *c = open_cache(&f, f.cache);

	for (int i = 0; i < 6; i++) {
		x[i] = (struct reader){&f, c, 1};
		assert_int_equal(pthread_create(&t[i], NULL, read_as_thread, &x[i]), 0);
	}
	for (int i = 0; i < 6; i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
		assert_int_equal(x[i].r, 0);
	}
	content_close(c);
	fixture_release(&f);
}

static void test_content__newer_format_is_refused(void **state)
{
	static struct fixture f;
	struct content *c;
	struct err e = ERR_INIT;

	fixture_init(&f, 1);
	content_close(open_cache(&f, f.cache));
	scribble(&f, "table", 8, 1);
	assert_int_equal(content_open(f.cache, f.s.odb, &c, &e), -EPROTONOSUPPORT);
	assert_non_null(strstr(e.text, "newer version"));
	err_release(&e);
	fixture_release(&f);
}

static off_t size_in(struct fixture *f, const char *name)
{
	struct stat st;

	return fstatat(f->cache, name, &st, 0) < 0 ? -1 : st.st_size;
}

/* A cache over its limit takes no more while it is used, and is dropped when nobody uses it. */
static void test_content__limit_drops_an_unused_generation(void **state)
{
	static struct fixture f;
	int fd;

	fixture_init(&f, 60);
	struct content *c = open_cache(&f, f.cache), *d;

	assert_int_equal(check_blob(&f, c, 49, 4096), 0);
	fd = openat(f.cache, "data.7", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(fd, (off_t)65 << 30), 0);
	(void)close(fd);
	d = open_cache(&f, f.cache);
	assert_true(size_in(&f, "data.7") > 0);
	content_close(d);
	lose_objects(&f);
	assert_int_equal(check_blob(&f, c, 49, 4096), 0);
	find_objects(&f);
	content_close(c);
	c = open_cache(&f, f.cache);
	assert_int_equal(size_in(&f, "data.7"), -1);
	assert_int_equal(size_in(&f, "data.0"), -1);
	assert_int_equal(check_all(&f, c, 60), 0);
	content_close(c);
	fixture_release(&f);
}

/* After a reboot nothing is written where an entry may point that the tail does not know of. */
static void test_content__a_new_boot_writes_elsewhere(void **state)
{
	static struct fixture f;
	off_t before;

	fixture_init(&f, 60);
	struct content *c = open_cache(&f, f.cache);

	assert_int_equal(check_all(&f, c, 30), 0);
	content_close(c);
	before = size_in(&f, "data.0");
	assert_true(before > 0);
	assert_int_equal(size_in(&f, "data.1"), -1);
	/* Another boot id, with a right checksum. */
	int fd = openat(f.cache, "table", O_RDWR | O_CLOEXEC);
	unsigned char h[80];

	assert_int_equal(io_pread_full(fd, h, sizeof(h), 0), 0);
	h[60] ^= 1;
	XXH64_hash_t sum = XXH3_64bits(h, 72);
	memcpy(h + 72, &sum, 8);
	assert_int_equal(io_pwrite_full(fd, h, sizeof(h), 0), 0);
	(void)close(fd);
	c = open_cache(&f, f.cache);
	assert_int_equal(check_all(&f, c, 60), 0);
	assert_int_equal(size_in(&f, "data.0"), before);
	assert_true(size_in(&f, "data.1") > 0);
	content_close(c);
	fixture_release(&f);
}

/* Beyond the first table's 4,096 slots, while another process has the old one open. */
static void test_content__table_grows_under_others(void **state)
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
	struct content *old = open_cache(&f, f.cache), *c = open_cache(&f, f.cache);

	for (int i = 0; i < MANY; i++)
		assert_int_equal(content_read(c, ids[i], len[i], 0, buf, 16), len[i]);
	assert_true(size_in(&f, "table") > 4096 + 4096 * 64);
	lose_objects(&f);
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(text, sizeof(text), "blob %d", i);
		assert_int_equal(content_read(old, ids[i], len[i], 0, buf, 16), len[i]);
		assert_memory_equal(buf, text, len[i]);
	}
	content_close(old);
	content_close(c);
	fixture_release(&f);
}

/* Bigger than a preallocation step, and than what is kept in memory. */
static void test_content__big_blobs_pass_through(void **state)
{
	static struct fixture f;
	size_t n = (size_t)70 << 20;
	unsigned char *p = malloc(n), *q = malloc(n);
	uint8_t oid[32] = {0};

	assert_non_null(p);
	assert_non_null(q);
	fixture_init(&f, 1);
	for (size_t i = 0; i < n; i++)
		p[i] = (unsigned char)(i >> 12);
	git_oid id = store_add(&f.s, GIT_OBJECT_BLOB, p, n);

	memcpy(oid, id.id, 20);
	for (int with = 0; with < 2; with++) {
		struct content *c = open_cache(&f, with ? f.cache : -1);

		memset(q, 0xff, n);
		for (size_t off = 0; off < n; off += 1 << 20)
			assert_int_equal(content_read(c, oid, n, off, q + off, 1 << 20), 1 << 20);
		assert_memory_equal(p, q, n);
		content_close(c);
	}
	free(p);
	free(q);
	fixture_release(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_content__reads_without_a_cache),
		cmocka_unit_test(test_content__cached_reads_bring_nothing),
		cmocka_unit_test(test_content__inflates_a_blob_once),
		cmocka_unit_test(test_content__survives_reopening),
		cmocka_unit_test(test_content__missing_damaged_and_wrong_size_are_eio),
		cmocka_unit_test(test_content__is_shared_by_processes),
		cmocka_unit_test(test_content__is_filled_by_many_at_once),
		cmocka_unit_test(test_content__serves_threads),
		cmocka_unit_test(test_content__newer_format_is_refused),
		cmocka_unit_test(test_content__limit_drops_an_unused_generation),
		cmocka_unit_test(test_content__a_new_boot_writes_elsewhere),
		cmocka_unit_test(test_content__table_grows_under_others),
		cmocka_unit_test(test_content__big_blobs_pass_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
