/* SPDX-License-Identifier: Apache-2.0 */
/* odb: what is read is what was asked for, whatever others do to the store meanwhile. */
#include <pthread.h>

#include "store_fixture.h"

static void test_odb__reads_what_was_written(void **state)
{
	struct store s;
	enum odb_type type;
	void *p;
	size_t n;

	store_init(&s);
	git_oid id = store_blob(&s, "hello\n"), none = {.id = {1}};

	assert_int_equal(odb_read(s.odb, id.id, &type, &p, &n), 0);
	assert_int_equal(type, ODB_BLOB);
	assert_int_equal(n, 6);
	assert_memory_equal(p, "hello\n", 6);
	free(p);
	n = 0;
	assert_int_equal(odb_read_header(s.odb, id.id, &type, &n), 0);
	assert_int_equal(type, ODB_BLOB);
	assert_int_equal(n, 6);
	assert_int_equal(odb_read(s.odb, none.id, &type, &p, &n), -ENOENT);
	assert_int_equal(odb_read_header(s.odb, none.id, &type, &n), -ENOENT);
	store_release(&s);
}

static void test_odb__missing_folder_is_told(void **state)
{
	struct err e = ERR_INIT;
	struct odb *odb = NULL;

	assert_int_equal(odb_open("/tmp/agentfs-unit-none/objects", &odb, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/tmp/agentfs-unit-none/objects"));
	err_release(&e);
}

/* Overwrites a loose object with another's bytes. */
static void damage(struct store *s, git_oid id, git_oid with)
{
	char from[64], to[64];
	struct buf b = BUF_INIT;
	int fd;

	store_object_file(id, to);
	store_object_file(with, from);
	assert_int_equal(io_read_file(s->dir, from, 1 << 20, &b), 0);
	assert_int_equal(unlinkat(s->dir, to, 0), 0);
	fd = openat(s->dir, to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(io_write_full(fd, b.data, b.len), 0);
	(void)close(fd);
	buf_release(&b);
}

/* By us alone, as in a view's server. */
static void test_odb__wrong_content_is_refused(void **state)
{
	struct store s;
	enum odb_type type;
	void *p;
	size_t n;

	odb_verify_once();
	store_init(&s);
	git_oid id = store_blob(&s, "one"), other = store_blob(&s, "two");

	damage(&s, id, other);
	assert_int_equal(odb_read(s.odb, id.id, &type, &p, &n), -EBADMSG);
	store_release(&s);
}

/* Bytes of a loose object's file, whatever they are: an answer comes, and no wrong content. */
static void try_bytes(struct store *s, git_oid id, const char *file, const void *p, size_t len)
{
	int fd = openat(s->dir, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), r;
	enum odb_type type;
	void *got;
	size_t n;

	assert_true(fd >= 0);
	assert_int_equal(io_write_full(fd, p, len), 0);
	(void)close(fd);
	r = odb_read(s->odb, id.id, &type, &got, &n);
	assert_true(r == 0 || r == -EBADMSG);
	if (r == 0) {
		assert_int_equal(n, 3000);
		free(got);
	}
	r = odb_read_header(s->odb, id.id, &type, &n);
	assert_true(r == 0 || r == -EBADMSG);
}

static void test_odb__damaged_loose_objects_end(void **state)
{
	struct store s;
	char file[64], text[3000];
	struct buf b = BUF_INIT;
	int good = 0;

	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i * i % 13);
	store_init(&s);
	git_oid id = store_add(&s, GIT_OBJECT_BLOB, text, sizeof(text));

	store_object_file(id, file);
	assert_int_equal(io_read_file(s.dir, file, 1 << 20, &b), 0);
	assert_int_equal(unlinkat(s.dir, file, 0), 0);
	for (size_t n = 0; n < b.len; n++)
		try_bytes(&s, id, file, b.data, n);
	for (size_t bit = 0; bit < b.len * 8; bit += 3) {
		b.data[bit / 8] ^= (char)(1 << bit % 8);
		try_bytes(&s, id, file, b.data, b.len);
		b.data[bit / 8] ^= (char)(1 << bit % 8);
		good++;
	}
	assert_true(good > 100);
	try_bytes(&s, id, file, b.data, b.len);
	enum odb_type type;
	void *p;
	size_t n;

	assert_int_equal(odb_read(s.odb, id.id, &type, &p, &n), 0);
	assert_memory_equal(p, text, n);
	free(p);
	buf_release(&b);
	store_release(&s);
}

static void test_odb__reads_alternates(void **state)
{
	struct store a, b;
	enum odb_type type;
	void *p;
	size_t n;
	int fd;

	store_init(&a);
	store_init(&b);
	git_oid id = store_blob(&a, "over there");

	assert_int_equal(odb_read_header(b.odb, id.id, &type, &n), -ENOENT);
	assert_int_equal(mkdirat(b.dir, "objects/info", 0700), 0);
	fd = openat(b.dir, "objects/info/alternates", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(io_write_full(fd, a.objects, strlen(a.objects)), 0);
	assert_int_equal(io_write_full(fd, "\n", 1), 0);
	(void)close(fd);
	assert_int_equal(odb_read(b.odb, id.id, &type, &p, &n), 0);
	assert_memory_equal(p, "over there", n);
	free(p);
	store_release(&a);
	store_release(&b);
}

/* Made after the handle first looked: loose, then only in a pack. */
static void test_odb__finds_objects_after_repack(void **state)
{
	struct store s;
	enum odb_type type;
	char cmd[512], hexes[GIT_OID_HEXSZ + 1];
	void *p;
	size_t n;

	store_init(&s);
	git_oid early = store_blob(&s, "early");

	assert_int_equal(odb_read_header(s.odb, early.id, &type, &n), 0);
	git_oid late = store_blob(&s, "late");

	(void)git_oid_tostr(hexes, sizeof(hexes), &late);
	(void)snprintf(
		cmd, sizeof(cmd),
		"cd %s && git init -q --bare r && mkdir -p objects/pack && echo %s | "
		"GIT_OBJECT_DIRECTORY=%s git -C r pack-objects -q %s/pack/pack >/dev/null && "
		"rm -rf objects/??",
		s.path, hexes, s.objects, s.objects);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(odb_read(s.odb, late.id, &type, &p, &n), 0);
	assert_memory_equal(p, "late", 4);
	free(p);
	assert_int_equal(odb_read_header(s.odb, early.id, &type, &n), -ENOENT);
	store_release(&s);
}

enum { THREADS = 12, BLOBS = 64 };

struct crowd {
	struct store s;
	git_oid ids[BLOBS];
};

static void *read_all(void *arg)
{
	struct crowd *c = arg;
	uintptr_t bad = 0;

	for (int i = 0; i < 4 * BLOBS; i++) {
		enum odb_type type;
		char want[32];
		void *p;
		size_t n;

		(void)snprintf(want, sizeof(want), "blob %d", i % BLOBS);
		if (odb_read(c->s.odb, c->ids[i % BLOBS].id, &type, &p, &n) < 0) {
			bad++;
			continue;
		}
		bad += n != strlen(want) || memcmp(p, want, n) != 0;
		free(p);
	}
	return (void *)bad;
}

/* More threads than handles. */
static void test_odb__serves_many_threads(void **state)
{
	static struct crowd c;
	pthread_t t[THREADS];

	store_init(&c.s);
	for (int i = 0; i < BLOBS; i++) {
		char text[32];

		(void)snprintf(text, sizeof(text), "blob %d", i);
		c.ids[i] = store_blob(&c.s, text);
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, read_all, &c), 0);
	for (int i = 0; i < THREADS; i++) {
		void *bad;

		assert_int_equal(pthread_join(t[i], &bad), 0);
		assert_null(bad);
	}
	store_release(&c.s);
}

/* What was not used since the last call goes; a reading opens it anew. */
static void test_odb__rests_when_it_is_not_used(void **state)
{
	struct store s;
	enum odb_type type;
	void *p;
	size_t n;

	store_init(&s);
	git_oid id = store_blob(&s, "hello\n");

	for (int i = 0; i < 3; i++) {
		assert_int_equal(odb_read(s.odb, id.id, &type, &p, &n), 0);
		free(p);
		assert_false(odb_rest(s.odb));
		assert_true(odb_rest(s.odb));
		assert_false(odb_rest(s.odb)); /* nothing is left */
	}
	assert_int_equal(odb_read(s.odb, id.id, &type, &p, &n), 0);
	assert_memory_equal(p, "hello\n", 6);
	free(p);
	store_release(&s);
}

static void test_odb__git_errno_keeps_the_message(void **state)
{
	struct err e = ERR_INIT;
	git_oid id;

	(void)git_libgit2_init();
	int code = git_oid_fromstr(&id, "zz");

	assert_int_equal(git_errno(code, &e, "parse '%s'", "zz"), -EINVAL);
	assert_non_null(strstr(e.text, "parse 'zz': "));
	assert_int_equal(git_errno(GIT_ENOTFOUND, &e, "x"), -ENOENT);
	assert_int_equal(git_errno(GIT_ELOCKED, NULL, "x"), -EBUSY);
	err_release(&e);
	(void)git_libgit2_shutdown();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_odb__reads_what_was_written),
		cmocka_unit_test(test_odb__missing_folder_is_told),
		cmocka_unit_test(test_odb__wrong_content_is_refused),
		cmocka_unit_test(test_odb__damaged_loose_objects_end),
		cmocka_unit_test(test_odb__reads_alternates),
		cmocka_unit_test(test_odb__finds_objects_after_repack),
		cmocka_unit_test(test_odb__serves_many_threads),
		cmocka_unit_test(test_odb__rests_when_it_is_not_used),
		cmocka_unit_test(test_odb__git_errno_keeps_the_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
