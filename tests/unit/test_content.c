/* SPDX-License-Identifier: Apache-2.0 */
/* content: the right bytes or an error, whatever happens to the cache and to those who fill it. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <xxhash.h>

#include "content.h"
#include "store_fixture.h"
#include "sys.h"

enum { BLOBS = 300 };

struct fixture {
	struct store s;
	int cache;
	uint8_t ids[BLOBS][32];
	size_t sizes[BLOBS];
};

/* Byte `off` of blob `i`. */
static unsigned char byte_of(int i, uint64_t off)
{
	return (unsigned char)((off * 2654435761u >> 7) + (unsigned int)i * 31u);
}

static size_t size_of(int i)
{
	return i % 50 == 49 ? 300000 + (size_t)i : (size_t)(i * 37 % 9000);
}

static void fixture_init(struct fixture *f, int blobs)
{
	store_init(&f->s);
	assert_int_equal(io_mkdir(f->s.dir, "content", 0700), 0);
	f->cache = openat(f->s.dir, "content", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(f->cache >= 0);
	memset(f->ids, 0, sizeof(f->ids));
	for (int i = 0; i < blobs; i++) {
		size_t n = f->sizes[i] = size_of(i);
		unsigned char *p = malloc(n + 1);

		assert_non_null(p);
		for (size_t k = 0; k < n; k++)
			p[k] = byte_of(i, k);
		git_oid id = store_add(&f->s, GIT_OBJECT_BLOB, p, n);

		memcpy(f->ids[i], id.id, 20);
		free(p);
	}
}

static void fixture_release(struct fixture *f)
{
	(void)close(f->cache);
	store_release(&f->s);
}

static struct content *open_cache(struct fixture *f, int dir)
{
	struct content *c = NULL;
	struct err e = ERR_INIT;

	if (content_open(dir, f->s.odb, &c, &e) < 0)
		fail_msg("%s", err_text(&e));
	return c;
}

/* Reads blob i in pieces. 0: right, 1: wrong bytes, or -errno. No assertion: children use it. */
static int check_blob(struct fixture *f, struct content *c, int i, size_t piece)
{
	unsigned char *buf = malloc(piece);
	int r = 0;

	for (uint64_t off = 0; r == 0 && off <= f->sizes[i]; off += piece) {
		size_t left = f->sizes[i] - off, want = left < piece ? left : piece;
		ssize_t n = content_read(c, f->ids[i], f->sizes[i], off, buf, piece);

		if (n < 0)
			r = (int)n;
		else if ((size_t)n != want)
			r = 1;
		for (size_t k = 0; r == 0 && k < want; k++)
			r = buf[k] != byte_of(i, off + k);
	}
	free(buf);
	return r;
}

static int check_all(struct fixture *f, struct content *c, int blobs)
{
	for (int i = 0; i < blobs; i++) {
		int r = check_blob(f, c, i, 131072);

		if (r != 0)
			return r;
	}
	return 0;
}

/* Takes git's objects away, so that only the cache can answer. */
static void lose_objects(struct fixture *f)
{
	assert_int_equal(renameat(f->s.dir, "objects", f->s.dir, "lost"), 0);
	assert_int_equal(io_mkdir(f->s.dir, "objects", 0700), 0);
}

static void find_objects(struct fixture *f)
{
	assert_int_equal(io_rm_rf(f->s.dir, "objects"), 0);
	assert_int_equal(renameat(f->s.dir, "lost", f->s.dir, "objects"), 0);
}

static int cached(struct fixture *f, struct content *c, int blobs)
{
	int n = 0;

	for (int i = 0; i < blobs; i++)
		n += check_blob(f, c, i, 131072) == 0 && f->sizes[i] > 0;
	return n;
}

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

static void scribble(struct fixture *f, const char *name, uint64_t off, size_t n)
{
	int fd = openat(f->cache, name, O_RDWR | O_CLOEXEC);
	unsigned char b;

	assert_true(fd >= 0);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(io_pread_full(fd, &b, 1, off + i), 0);
		b ^= 0x55;
		assert_int_equal(io_pwrite_full(fd, &b, 1, off + i), 0);
	}
	(void)close(fd);
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

enum { MANY = 7000 };

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
		cmocka_unit_test(test_content__survives_kill_while_adding),
		cmocka_unit_test(test_content__full_disk_still_serves),
		cmocka_unit_test(test_content__any_failing_call_still_serves),
		cmocka_unit_test(test_content__damage_is_noticed_and_mended),
		cmocka_unit_test(test_content__cut_files_are_misses),
		cmocka_unit_test(test_content__newer_format_is_refused),
		cmocka_unit_test(test_content__limit_drops_an_unused_generation),
		cmocka_unit_test(test_content__a_new_boot_writes_elsewhere),
		cmocka_unit_test(test_content__table_grows_under_others),
		cmocka_unit_test(test_content__survives_kill_while_growing),
		cmocka_unit_test(test_content__big_blobs_pass_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
