/* SPDX-License-Identifier: Apache-2.0 */
/* Batches of new objects: what is read from them, what lands in the repository, and what git says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"
#include "cleanup.h"
#include "io.h"
#include "objects.h"
#include "sys.h"

struct fixture {
	char dir[64], folder[96];
	git_repository *git;
	struct objects *objects;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	(void)git_libgit2_init();
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/agentfs-unit-XXXXXX");
	if (!mkdtemp(f->dir) || git_repository_init(&f->git, f->dir, 1) < 0)
		return -1;
	(void)snprintf(f->folder, sizeof(f->folder), "%s/objects", f->dir);
	*state = f;
	return objects_begin(f->git, f->folder, &f->objects, NULL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	int r;

	git_repository_free(f->git);
	(void)git_libgit2_shutdown();
	r = io_rm_rf(-100, f->dir);
	free(f);
	return r;
}

/* Content of object i: of many sizes, and of one that compresses badly now and then. */
static void content(unsigned i, struct buf *b)
{
	unsigned n = i % 97 * i % 5000, x = i * 2654435761u;

	buf_clear(b);
	assert_int_equal(buf_addf(b, "object %u\n", i), 0);
	for (unsigned k = 0; k < n; k++) {
		x = x * 1664525u + 1013904223u;
		assert_int_equal(buf_addc(b, i % 7 ? "abc de\n"[x >> 24 & 3] : (char)(x >> 24)), 0);
	}
}

static git_oid put_one(struct fixture *f, unsigned i)
{
	struct buf b = BUF_INIT;
	git_oid oid, want;

	content(i, &b);
	assert_int_equal(objects_put(f->git, GIT_OBJECT_BLOB, b.data, b.len, &oid), 0);
	assert_int_equal(git_odb_hash(&want, b.data, b.len, GIT_OBJECT_BLOB), 0);
	assert_true(git_oid_equal(&oid, &want));
	buf_release(&b);
	return oid;
}

static void assert_readable(git_repository *git, unsigned i)
{
	struct buf b = BUF_INIT;
	git_blob *blob = NULL;
	git_oid oid;

	content(i, &b);
	assert_int_equal(git_odb_hash(&oid, b.data, b.len, GIT_OBJECT_BLOB), 0);
	assert_int_equal(git_blob_lookup(&blob, git, &oid), 0);
	assert_int_equal(git_blob_rawsize(blob), b.len);
	assert_memory_equal(git_blob_rawcontent(blob), b.data, b.len);
	git_blob_free(blob);
	buf_release(&b);
}

/* As another process sees it. */
static bool another_has(const struct fixture *f, unsigned i)
{
	git_repository *git = NULL;
	struct buf b = BUF_INIT;
	git_odb *odb = NULL;
	git_oid oid;
	bool found;

	content(i, &b);
	assert_int_equal(git_odb_hash(&oid, b.data, b.len, GIT_OBJECT_BLOB), 0);
	assert_int_equal(git_repository_open(&git, f->dir), 0);
	assert_int_equal(git_repository_odb(&odb, git), 0);
	found = git_odb_exists(odb, &oid);
	if (found)
		assert_readable(git, i);
	git_odb_free(odb);
	git_repository_free(git);
	buf_release(&b);
	return found;
}

static size_t files(const struct fixture *f, const char *suffix)
{
	char path[128];
	DIR *d;
	const struct dirent *e;
	size_t n = 0;

	(void)snprintf(path, sizeof(path), "%s/pack", f->folder);
	d = opendir(path);
	while (d && (e = readdir(d)))
		n += strlen(e->d_name) > strlen(suffix) &&
		     strcmp(e->d_name + strlen(e->d_name) - strlen(suffix), suffix) == 0;
	if (d)
		(void)closedir(d);
	return n;
}

static int git_says(const struct fixture *f, const char *command)
{
	char line[256];

	(void)snprintf(line, sizeof(line), "cd %s && git %s >/dev/null 2>&1", f->dir, command);
	return system(line);
}

static void test_objects__are_read_before_they_land(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 300; i++)
		(void)put_one(f, i);
	for (unsigned i = 0; i < 300; i++)
		assert_readable(f->git, i);
	assert_false(another_has(f, 5));
	assert_int_equal(files(f, ""), 2); /* "." and ".." */
}

static void test_objects__many_land_as_one_pack_that_git_finds_sound(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 3000; i++)
		(void)put_one(f, i % 2000);
	assert_int_equal(objects_flush(f->objects, NULL), 0);
	assert_int_equal(files(f, ".pack"), 1);
	assert_int_equal(files(f, ".idx"), 1);
	assert_int_equal(git_says(f, "fsck --strict"), 0);
	assert_int_equal(git_says(f, "verify-pack objects/pack/*.idx"), 0);
	for (unsigned i = 0; i < 2000; i += 7)
		assert_true(another_has(f, i));
	assert_readable(f->git, 1); /* here, too */
}

static void test_objects__few_land_loose(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 16; i++)
		(void)put_one(f, i);
	assert_int_equal(objects_flush(f->objects, NULL), 0);
	assert_int_equal(files(f, ".pack"), 0);
	for (unsigned i = 0; i < 16; i++)
		assert_true(another_has(f, i));
}

static void test_objects__after_a_flush_another_batch_begins(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 100; i++)
		(void)put_one(f, i);
	assert_int_equal(objects_flush(f->objects, NULL), 0);
	assert_int_equal(objects_flush(f->objects, NULL), 0);
	assert_int_equal(files(f, ".pack"), 1);
	for (unsigned i = 50; i < 200; i++)
		(void)put_one(f, i);
	assert_false(another_has(f, 150));
	assert_int_equal(objects_flush(f->objects, NULL), 0);
	assert_int_equal(files(f, ".pack"), 2);
	assert_true(another_has(f, 150));
	assert_int_equal(git_says(f, "fsck"), 0);
}

/* 20 MiB that do not compress: the pack is on the disk before it is whole. */
static void test_objects__a_large_batch_does_not_stay_in_memory(void **state)
{
	struct fixture *f = *state;
	size_t n = 4 << 20;
	char *p = malloc(n);
	git_oid oid[5];
	uint32_t x = 1;

	for (size_t k = 0; k < ARRAY_SIZE(oid); k++) {
		for (size_t i = 0; i < n; i++) {
			x = x * 1664525u + 1013904223u;
			p[i] = (char)(x >> 24);
		}
		assert_int_equal(objects_put(f->git, GIT_OBJECT_BLOB, p, n, &oid[k]), 0);
	}
	for (unsigned i = 0; i < 20; i++)
		(void)put_one(f, i);
	for (size_t k = 0; k < ARRAY_SIZE(oid); k++) {
		git_blob *blob = NULL;

		assert_int_equal(git_blob_lookup(&blob, f->git, &oid[k]), 0);
		git_blob_free(blob);
	}
	assert_int_equal(objects_flush(f->objects, NULL), 0);
	assert_int_equal(git_says(f, "fsck --strict"), 0);
	assert_true(another_has(f, 3));
	free(p);
}

struct part {
	struct fixture *f;
	unsigned from;
};

static void *put_some(void *user)
{
	struct part *p = user;

	for (unsigned i = 0; i < 500; i++)
		(void)put_one(p->f, p->from + i);
	return NULL;
}

static void test_objects__threads_put_the_same_and_different_ones(void **state)
{
	struct fixture *f = *state;
	struct part parts[4] = {{f, 0}, {f, 250}, {f, 0}, {f, 700}};
	pthread_t threads[4];

	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, put_some, &parts[i]), 0);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(objects_flush(f->objects, NULL), 0);
	for (unsigned i = 0; i < 1200; i += 11)
		assert_true(another_has(f, i));
	assert_int_equal(git_says(f, "fsck --strict"), 0);
}

static void test_objects__what_is_there_is_not_written_again(void **state)
{
	struct fixture *f = *state;
	struct buf b = BUF_INIT;
	git_oid oid;

	content(1, &b);
	assert_int_equal(git_says(f, "config user.name x"), 0);
	for (unsigned i = 0; i < 40; i++)
		(void)put_one(f, i);
	assert_int_equal(objects_flush(f->objects, NULL), 0);
	git_repository_free(f->git);
	assert_int_equal(git_repository_open(&f->git, f->dir), 0);
	assert_int_equal(objects_begin(f->git, f->folder, &f->objects, NULL), 0);
	for (unsigned i = 0; i < 40; i++)
		(void)put_one(f, i);
	assert_int_equal(git_odb_hash(&oid, b.data, b.len, GIT_OBJECT_BLOB), 0);
	assert_int_equal(objects_flush(f->objects, NULL), 0);
	assert_int_equal(files(f, ".pack"), 1);
	buf_release(&b);
}

/* No ref leads to the pack: repack -a -d would drop it, were it not marked. */
static void test_objects__a_repack_leaves_them_until_the_release(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 100; i++)
		(void)put_one(f, i);
	assert_int_equal(objects_flush(f->objects, NULL), 0);
	assert_int_equal(files(f, ".keep"), 1);
	assert_int_equal(git_says(f, "repack -a -d"), 0);
	assert_true(another_has(f, 50));
	objects_release(f->objects);
	assert_int_equal(files(f, ".keep"), 0);
	assert_int_equal(git_says(f, "repack -a -d"), 0);
	assert_false(another_has(f, 50));
}

/* A process that dies between the pack and the refs leaves a mark, which the next one takes away. */
static void test_objects__a_mark_of_a_dead_process_goes(void **state)
{
	struct fixture *f = *state;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		for (unsigned i = 0; i < 100; i++)
			(void)put_one(f, i);
		_exit(objects_flush(f->objects, NULL) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(files(f, ".keep"), 1);
	for (unsigned i = 200; i < 300; i++)
		(void)put_one(f, i);
	assert_int_equal(objects_flush(f->objects, NULL), 0);
	assert_int_equal(files(f, ".keep"), 1); /* ours */
	objects_release(f->objects);
	assert_int_equal(files(f, ".keep"), 0);
	assert_int_equal(git_says(f, "gc --prune=now -q"), 0);
	assert_int_equal(files(f, ".pack"), 0);
}

/* --- failing calls --- */

static int countdown;
static struct sys real;

static int fail_fsync(int fd)
{
	if (--countdown == 0) {
		errno = EIO;
		return -1;
	}
	return real.fsync(fd);
}

static int fail_renameat(int a, const char *from, int b, const char *to)
{
	if (--countdown == 0) {
		errno = ENOSPC;
		return -1;
	}
	return real.renameat(a, from, b, to);
}

static ssize_t fail_pwrite(int fd, const void *p, size_t n, off_t off)
{
	if (--countdown == 0) {
		errno = ENOSPC;
		return -1;
	}
	return real.pwrite(fd, p, n, off);
}

static int fail_openat(int dir, const char *name, int flags, mode_t mode)
{
	if (--countdown == 0) {
		errno = EMFILE;
		return -1;
	}
	return real.openat(dir, name, flags, mode);
}

/* Returns which call the first was that need not have failed: one more than there are. */
static int fail_each(struct fixture *f, void (*set)(void))
{
	int n = 1;

	for (;; n++) {
		int r;

		real = sys;
		countdown = n;
		set();
		for (unsigned i = 0; i < 100; i++)
			(void)put_one(f, i);
		r = objects_flush(f->objects, NULL);
		sys = real;
		if (r == 0)
			break;
		git_repository_free(f->git);
		assert_int_equal(files(f, ".keep"), 0);
		assert_int_equal(git_says(f, "gc --prune=now -q"), 0);
		assert_int_equal(files(f, ""), 2);
		assert_int_equal(git_repository_open(&f->git, f->dir), 0);
		assert_int_equal(objects_begin(f->git, f->folder, &f->objects, NULL), 0);
	}
	assert_true(another_has(f, 99));
	return n;
}

static void set_fsync(void)
{
	sys.fsync = fail_fsync;
}

static void set_rename(void)
{
	sys.renameat = fail_renameat;
}

static void set_pwrite(void)
{
	sys.pwrite = fail_pwrite;
}

static void set_openat(void)
{
	sys.openat = fail_openat;
}

static void test_objects__each_failing_fsync_leaves_nothing_behind(void **state)
{
	assert_int_equal(fail_each(*state, set_fsync), 4);
}

static void test_objects__each_failing_rename_leaves_nothing_behind(void **state)
{
	assert_int_equal(fail_each(*state, set_rename), 3);
}

static void test_objects__each_failing_write_leaves_nothing_behind(void **state)
{
	assert_int_equal(fail_each(*state, set_pwrite), 4);
}

static void test_objects__each_failing_open_leaves_nothing_behind(void **state)
{
	assert_int_equal(fail_each(*state, set_openat), 4);
}

#define T(name) cmocka_unit_test_setup_teardown(test_objects__##name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(are_read_before_they_land),
		T(many_land_as_one_pack_that_git_finds_sound),
		T(few_land_loose),
		T(after_a_flush_another_batch_begins),
		T(a_large_batch_does_not_stay_in_memory),
		T(threads_put_the_same_and_different_ones),
		T(what_is_there_is_not_written_again),
		T(a_repack_leaves_them_until_the_release),
		T(a_mark_of_a_dead_process_goes),
		T(each_failing_fsync_leaves_nothing_behind),
		T(each_failing_rename_leaves_nothing_behind),
		T(each_failing_write_leaves_nothing_behind),
		T(each_failing_open_leaves_nothing_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
