/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "io.h"
#include "origin.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C "cccccccccccccccccccccccccccccccccccccccc"

struct fixture {
	char dir[64], objects[128];
	struct origin *o;
};

static void put(const struct fixture *f, const char *name, const char *text)
{
	char path[512], *slash;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	slash = strrchr(path, '/');
	*slash = '\0';
	assert_int_equal(io_mkdir_p(path, 0755), 0);
	*slash = '/';
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	assert_true(fd >= 0);
	assert_int_equal(io_write_full(fd, text, strlen(text)), 0);
	close(fd);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/agentfs-origin-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->objects, sizeof(f->objects), "%s/objects", f->dir);
	put(f, "HEAD", "ref: refs/heads/main\n");
	put(f, "objects/pack/.keep", "");
	assert_int_equal(origin_new(f->dir, f->objects, getuid(), getgid(), &f->o), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	origin_free(f->o);
	assert_int_equal(io_rm_rf(AT_FDCWD, f->dir), 0);
	free(f);
	return 0;
}

static void expect_text(struct fixture *f, enum origin_text what, const char *want)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	assert_int_equal(origin_text(f->o, what, &b), 0);
	assert_string_equal(b.data ? b.data : "", want);
}

#define HEADER "# pack-refs with: sorted \n"

static void test_origin__loose_refs_win_and_links_are_followed(void **state)
{
	struct fixture *f = *state;

	expect_text(f, ORIGIN_PACKED_REFS, HEADER);
	put(f, "packed-refs",
	    "# pack-refs with: peeled fully-peeled sorted \n" A " refs/heads/main\n" A
	    " refs/heads/old\n" B " refs/tags/v1\n^" C "\n" C " refs/remotes/x/y\n" C
	    " refs/agentfs/base/1\n");
	put(f, "refs/heads/main", B "\n");
	put(f, "refs/heads/deep/er", C "\n");
	put(f, "refs/heads/alias", "ref: refs/heads/second\n");
	put(f, "refs/heads/second", "ref:  refs/heads/main\n");
	put(f, "refs/heads/loop", "ref: refs/heads/loop\n");
	put(f, "refs/stash", C "\n");
	expect_text(f, ORIGIN_PACKED_REFS,
		    HEADER B " refs/heads/alias\n" C " refs/heads/deep/er\n" B
			     " refs/heads/main\n" A " refs/heads/old\n" B " refs/heads/second\n" B
			     " refs/tags/v1\n");
}

static void test_origin__what_is_no_ref_is_left_out(void **state)
{
	struct fixture *f = *state;
	char path[512];

	put(f, "refs/heads/good", A);
	put(f, "refs/heads/short", "abc\n");
	put(f, "refs/heads/long", A "a\n");
	put(f, "refs/heads/upper", "A" A "\n");
	put(f, "refs/heads/empty", "");
	put(f, "refs/heads/x.lock", A "\n");
	put(f, "refs/heads/.hidden", A "\n");
	put(f, "refs/heads/a b", A "\n");
	put(f, "refs/heads/new\nline", A "\n");
	put(f, "refs/heads/outside", "ref: ../../etc/passwd\n");
	(void)snprintf(path, sizeof(path), "%s/refs/heads/fifo", f->dir);
	assert_int_equal(mkfifo(path, 0644), 0);
	(void)snprintf(path, sizeof(path), "%s/refs/heads/dangling", f->dir);
	assert_int_equal(symlink("nowhere", path), 0);
	put(f, "packed-refs", A " refs/heads/../../x\n" A "\nrubbish\n" A "refs/heads/y\n");
	expect_text(f, ORIGIN_PACKED_REFS, HEADER A " refs/heads/good\n");
}

static void test_origin__head_and_shallow(void **state)
{
	struct fixture *f = *state;
	_cleanup_buf_ struct buf b = BUF_INIT;

	expect_text(f, ORIGIN_HEAD, "ref: refs/heads/main\n");
	put(f, "HEAD", A "\n");
	expect_text(f, ORIGIN_HEAD, A "\n");
	put(f, "HEAD", "something else\n");
	expect_text(f, ORIGIN_HEAD, "ref: refs/heads/main\n");
	assert_int_equal(origin_text(f->o, ORIGIN_SHALLOW, &b), -ENOENT);
	put(f, "shallow", C "\n");
	expect_text(f, ORIGIN_SHALLOW, C "\n");
}

static void test_origin__keys_are_of_object_files_alone(void **state)
{
	static const struct {
		const char *folder, *name;
		bool good;
	} cases[] = {
		{"ab", "cdefcdefcdefcdefcdefcdefcdefcdefcdefcd", true},
		{"pack", "pack-" A ".pack", true},
		{"pack", "pack-" A ".idx", true},
		{"pack", "pack-" A ".rev", true},
		{"pack", "pack-" A ".keep", false},
		{"pack", "pack-" A, false},
		{"pack", "pack-" A "a.pack", false},
		{"pack", "multi-pack-index", false},
		{"pack", "../../secret", false},
		{"ab", "..", false},
		{"ab", "", false},
		{"ab", "CDEFcdefcdefcdefcdefcdefcdefcdefcdefcd", false},
		{"abc", "defcdefcdefcdefcdefcdefcdefcdefcdefcd", false},
		{"info", "alternates", false},
	};
	uint64_t key, seen[16];
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int r = origin_key(cases[i].folder, cases[i].name, &key);

		assert_int_equal(r, cases[i].good ? 0 : -ENOENT);
		if (r < 0)
			continue;
		for (size_t k = 0; k < n; k++)
			assert_int_not_equal(seen[k], key);
		seen[n++] = key;
	}
}

struct listed {
	char text[4096];
};

static int add_listed(const char *name, uint64_t key, void *user)
{
	struct listed *l = user;

	(void)key;
	strcat(l->text, name);
	strcat(l->text, "\n");
	return 0;
}

static void expect_content(struct fixture *f, uint64_t key, const char *name, const char *want)
{
	char got[64] = "";
	int fd = origin_file(f->o, key, name);

	assert_true(fd >= 0);
	assert_true(pread(fd, got, sizeof(got) - 1, 0) >= 0);
	close(fd);
	assert_string_equal(got, want);
}

static void test_origin__alternates_are_one_store(void **state)
{
	struct fixture *f = *state;
	struct listed l = {""};
	uint64_t key;

	origin_free(f->o);
	put(f, "objects/pack/pack-" A ".pack", "own");
	put(f, "other/objects/pack/pack-" B ".pack", "theirs");
	put(f, "other/objects/pack/pack-" A ".pack", "the same");
	put(f, "other/objects/info/alternates", "../../objects\n");
	put(f, "objects/info/alternates", "../other/objects\n# none\n\n/nowhere/objects\n");
	assert_int_equal(origin_new(f->dir, f->objects, getuid(), getgid(), &f->o), 0);
	l.text[0] = '\0';
	assert_int_equal(origin_list(f->o, "pack", 0, add_listed, &l), 0);
	assert_string_equal(l.text, "pack-" A ".pack\npack-" B ".pack\n");
	assert_int_equal(origin_key("pack", "pack-" B ".pack", &key), 0);
	l.text[0] = '\0';
	assert_int_equal(origin_list(f->o, "pack", key, add_listed, &l), 0);
	assert_string_equal(l.text, "pack-" B ".pack\n");
	expect_content(f, key, "pack/pack-" B ".pack", "theirs");
	assert_int_equal(origin_key("pack", "pack-" A ".pack", &key), 0);
	expect_content(f, key, NULL, "own");
}

/* A file that is gone is read on while it is kept open; how many are is bounded. */
static void test_origin__files_are_found_by_key_and_kept(void **state)
{
	struct fixture *f = *state;
	char name[128], path[512];
	uint64_t key = 0;
	size_t there = 0;

	for (unsigned i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof(name), "%02x/%036x%02x", i, 7, i);
		(void)snprintf(path, sizeof(path), "objects/%s", name);
		put(f, path, name);
		assert_int_equal(origin_key((char[]){name[0], name[1], 0}, name + 3, &key), 0);
		expect_content(f, key, i % 2 ? name : NULL, name);
	}
	(void)snprintf(path, sizeof(path), "%s/objects", f->dir);
	assert_int_equal(io_rm_rf(AT_FDCWD, path), 0);
	for (unsigned i = 0; i < 100; i++) {
		int fd;

		(void)snprintf(name, sizeof(name), "%036x%02x", 7, i);
		(void)snprintf(path, sizeof(path), "%02x", i);
		assert_int_equal(origin_key(path, name, &key), 0);
		fd = origin_file(f->o, key, NULL);
		assert_true(fd >= 0 || fd == -ENOENT);
		if (fd >= 0) {
			there++;
			close(fd);
		}
	}
	assert_true(there > 0 && there < 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_origin__loose_refs_win_and_links_are_followed,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_origin__what_is_no_ref_is_left_out, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_origin__head_and_shallow, setup, teardown),
		cmocka_unit_test(test_origin__keys_are_of_object_files_alone),
		cmocka_unit_test_setup_teardown(test_origin__alternates_are_one_store, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_origin__files_are_found_by_key_and_kept, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
