/* SPDX-License-Identifier: Apache-2.0 */
/* image and image_build: a compiled tree is the tree, and a damaged file cannot lead us astray. */
#include <sys/wait.h>

#include "store_fixture.h"
#include "sys.h"

/* The place of a path, or -errno. */
static int64_t walk(const struct image *img, const char *path)
{
	int64_t place = 0;

	while (*path && place >= 0) {
		size_t n = strcspn(path, "/");

		place = image_lookup(img, (uint32_t)place, path, n);
		path += n + (path[n] == '/');
	}
	return place;
}

static const struct image_node *node_at(const struct image *img, const char *path)
{
	int64_t place = walk(img, path);

	assert_true(place >= 0);
	return image_node(img, (uint32_t)place);
}

static void test_image__every_mode(void **state)
{
	struct store s;

	store_init(&s);
	git_oid tree = store_sample_tree(&s, "readme\n");
	struct image *img = store_image(&s, tree, NULL, "img");
	const struct image_node *root = image_node(img, 0);
	static const char *const order[] = {"README", "a", "a.c", "a0", "deep", "link", "module"};

	assert_int_equal(image_count(img), 11);
	assert_int_equal(image_time_ns(img), FIXTURE_TIME_NS);
	assert_int_equal(image_oid_size(img), 20);
	assert_memory_equal(image_tree_oid(img), tree.id, 20);
	assert_int_equal(root->children, 7);
	assert_int_equal(root->subdirs, 3);
	for (uint32_t i = 0; i < 7; i++) {
		const struct image_node *n = image_node(img, root->first_child + i);
		size_t len;
		const char *name = image_name(img, n, &len);

		assert_int_equal(len, strlen(order[i]));
		assert_memory_equal(name, order[i], len);
		assert_int_equal(n->parent, 0);
	}
	assert_int_equal(node_at(img, "README")->size, 7);
	assert_int_equal(node_at(img, "README")->mode, 0100644);
	assert_int_equal(node_at(img, "a/run")->mode, 0100755);
	assert_int_equal(node_at(img, "deep/x/run")->size, 10);
	assert_int_equal(node_at(img, "link")->mode, 0120000);
	assert_int_equal(node_at(img, "link")->size, 3);
	assert_int_equal(node_at(img, "module")->mode, 0160000);
	assert_int_equal(node_at(img, "module")->oid[2], 9);
	assert_int_equal(walk(img, "module/x"), -ENOENT);
	assert_int_equal(walk(img, "README/x"), -ENOTDIR);
	assert_int_equal(walk(img, "rEADME"), -ENOENT);
	assert_null(image_node(img, 11));
	assert_int_equal(image_ino(0), 1);
	assert_int_equal(image_ino(1), 3);
	image_close(img);
	store_release(&s);
}

static void test_image__empty_tree(void **state)
{
	struct store s;
	struct buf t = BUF_INIT;

	store_init(&s);
	struct image *img = store_image(&s, store_tree(&s, &t), NULL, "img");

	assert_int_equal(image_count(img), 1);
	assert_int_equal(image_node(img, 0)->children, 0);
	assert_int_equal(image_lookup(img, 0, "a", 1), -ENOENT);
	image_close(img);
	store_release(&s);
}

/* All bytes but '/' and NUL, names of 1 to 255 bytes, and a folder of 10,000. */
static void test_image__names_of_any_bytes(void **state)
{
	struct store s;
	struct buf t = BUF_INIT;
	char name[255];

	store_init(&s);
	git_oid blob = store_blob(&s, "x");

	for (int i = 0; i < 10000; i++) {
		(void)snprintf(name, sizeof(name), "%05d", i);
		tree_adds(&t, "100644", name, blob);
	}
	for (int c = 1; c < 256; c++) {
		memset(name, c, sizeof(name));
		if (c != '/')
			tree_add(&t, "100644", name, c == '.' ? 255 : (size_t)c, blob);
	}
	struct image *img = store_image(&s, store_tree(&s, &t), NULL, "img");

	assert_int_equal(image_count(img), 1 + 10000 + 254);
	for (int i = 0; i < 10000; i++) {
		(void)snprintf(name, sizeof(name), "%05d", i);
		assert_true(image_lookup(img, 0, name, 5) > 0);
	}
	for (int c = 1; c < 256; c++) {
		memset(name, c, sizeof(name));
		if (c != '/')
			assert_true(image_lookup(img, 0, name, c == '.' ? 255 : (size_t)c) > 0);
	}
	assert_int_equal(image_lookup(img, 0, "10000", 5), -ENOENT);
	assert_int_equal(image_lookup(img, 0, "", 0), -ENOENT);
	image_close(img);
	store_release(&s);
}

static git_oid deep_tree(struct store *s, int levels)
{
	git_oid id = store_tree1(s, "100644", "f", store_blob(s, "x"));

	for (int i = 0; i < levels; i++)
		id = store_tree1(s, "40000", "d", id);
	return id;
}

static void test_image__paths_up_to_4095_bytes(void **state)
{
	struct store s;
	struct err e = ERR_INIT;
	char path[4096];

	store_init(&s);
	struct image *img = store_image(&s, deep_tree(&s, 2047), NULL, "img");

	for (size_t i = 0; i < 4094; i += 2)
		memcpy(path + i, "d/", 2);
	memcpy(path + 4094, "f", 2);
	assert_int_equal(node_at(img, path)->size, 1);
	image_close(img);
	assert_int_equal(store_build(&s, deep_tree(&s, 2048), NULL, "long", &e), -ENAMETOOLONG);
	err_release(&e);
	store_release(&s);
}

static void refused(struct store *s, const char *mode, const char *name, size_t len, int want,
		    const char *text)
{
	struct buf t = BUF_INIT;
	struct err e = ERR_INIT;
	char hexes[GIT_OID_HEXSZ + 1];

	tree_add(&t, mode, name, len, store_blob(s, "x"));
	git_oid tree = store_tree(s, &t);

	(void)git_oid_tostr(hexes, sizeof(hexes), &tree);
	assert_int_equal(store_build(s, store_tree1(s, "40000", "sub", tree), NULL, "img", &e),
			 want);
	assert_non_null(strstr(e.text, hexes));
	assert_non_null(strstr(e.text, text));
	err_release(&e);
}

static void test_image__refuses_what_git_would_not_check_out(void **state)
{
	struct store s;
	char long_name[256];

	store_init(&s);
	memset(long_name, 'n', sizeof(long_name));
	refused(&s, "100644", ".git", 4, -EBADMSG, "'.git'");
	refused(&s, "100644", ".GiT", 4, -EBADMSG, "'.GiT'");
	refused(&s, "100644", ".", 1, -EBADMSG, "'.'");
	refused(&s, "100644", "..", 2, -EBADMSG, "'..'");
	refused(&s, "100644", "", 0, -EBADMSG, "''");
	refused(&s, "100644", "a/b", 3, -EBADMSG, "'a/b'");
	refused(&s, "100644", long_name, 256, -ENAMETOOLONG, "nnn");
	refused(&s, "100644", "\033[2J/", 5, -EBADMSG, "'\\033[2J/'");
	refused(&s, "100600", "f", 1, -EBADMSG, "100600");
	refused(&s, "10064x", "f", 1, -EBADMSG, "malformed");
	store_release(&s);
}

static void test_image__refuses_double_names_and_cut_trees(void **state)
{
	struct store s;
	struct buf t = BUF_INIT;
	struct err e = ERR_INIT;

	store_init(&s);
	git_oid blob = store_blob(&s, "x");

	tree_adds(&t, "100644", "a", blob);
	tree_adds(&t, "100644", "b", blob);
	tree_adds(&t, "40000", "a", deep_tree(&s, 1));
	assert_int_equal(store_build(&s, store_tree(&s, &t), NULL, "img", &e), -EBADMSG);
	assert_non_null(strstr(e.text, "'a' stands twice"));
	tree_adds(&t, "100644", "a", blob);
	t.len -= 3;
	assert_int_equal(store_build(&s, store_tree(&s, &t), NULL, "img", &e), -EBADMSG);
	assert_non_null(strstr(e.text, "cut off"));
	err_release(&e);
	store_release(&s);
}

static void test_image__missing_object_is_named(void **state)
{
	struct store s;
	struct err e = ERR_INIT;
	char file[64], hexes[GIT_OID_HEXSZ + 1];
	git_oid none = {.id = {0xab, 0xcd}};

	store_init(&s);
	assert_int_equal(store_build(&s, store_tree1(&s, "100644", "f", none), NULL, "i", &e),
			 -ENOENT);
	assert_non_null(strstr(e.text, "abcd0000"));
	assert_int_equal(store_build(&s, none, NULL, "i", &e), -ENOENT);
	assert_non_null(strstr(e.text, "abcd0000"));

	git_oid sub = deep_tree(&s, 0), top = store_tree1(&s, "40000", "d", sub);

	store_object_file(sub, file);
	(void)git_oid_tostr(hexes, sizeof(hexes), &sub);
	assert_int_equal(fchmodat(s.dir, file, 0600, 0), 0);
	int fd = openat(s.dir, file, O_WRONLY | O_TRUNC | O_CLOEXEC);
	assert_int_equal(io_write_full(fd, "garbage", 7), 0);
	(void)close(fd);
	assert_int_equal(store_build(&s, top, NULL, "i", &e), -EBADMSG);
	assert_non_null(strstr(e.text, hexes));
	git_oid blob = store_blob(&s, "no tree");

	(void)git_oid_tostr(hexes, sizeof(hexes), &blob);
	assert_int_equal(store_build(&s, store_tree1(&s, "40000", "d", blob), NULL, "i", &e),
			 -EBADMSG);
	assert_non_null(strstr(e.text, hexes));
	err_release(&e);
	store_release(&s);
}

static void assert_same_file(struct store *s, const char *a, const char *b)
{
	struct buf x = BUF_INIT, y = BUF_INIT;

	assert_int_equal(io_read_file(s->dir, a, 1 << 24, &x), 0);
	assert_int_equal(io_read_file(s->dir, b, 1 << 24, &y), 0);
	assert_int_equal(x.len, y.len);
	assert_memory_equal(x.data, y.data, x.len);
	buf_release(&x);
	buf_release(&y);
}

/* From scratch and from a similar image: the same bytes, and equal subtrees are not read. */
static void test_image__from_prev_equals_from_scratch(void **state)
{
	struct store s;
	char file[64];

	store_init(&s);
	git_oid first = store_sample_tree(&s, "one"), second = store_sample_tree(&s, "number two");
	git_oid run = store_blob(&s, "#!/bin/sh\n");
	git_oid sub = store_tree1(&s, "100755", "run", run);
	struct image *prev = store_image(&s, first, NULL, "first");
	struct image *scratch = store_image(&s, second, NULL, "second");

	image_close(scratch);
	store_object_file(sub, file);
	assert_int_equal(unlinkat(s.dir, file, 0), 0);
	store_object_file(run, file);
	assert_int_equal(unlinkat(s.dir, file, 0), 0);
	image_close(store_image(&s, second, prev, "copied"));
	assert_same_file(&s, "second", "copied");
	image_close(store_image(&s, first, prev, "again"));
	assert_same_file(&s, "first", "again");
	image_close(prev);
	store_release(&s);
}

/* Entries that change their kind between two images: file to folder, folder to gitlink and back. */
static void test_image__from_prev_with_changed_kinds(void **state)
{
	struct store s;
	struct buf t = BUF_INIT;

	store_init(&s);
	git_oid dir = deep_tree(&s, 3), blob = store_blob(&s, "x"), link = {.id = {7}};

	tree_adds(&t, "40000", "a", dir);
	tree_adds(&t, "100644", "b", blob);
	tree_adds(&t, "160000", "c", link);
	git_oid one = store_tree(&s, &t);

	tree_adds(&t, "160000", "a", link);
	tree_adds(&t, "40000", "b", dir);
	tree_adds(&t, "100755", "c", blob);
	git_oid two = store_tree(&s, &t);
	struct image *i1 = store_image(&s, one, NULL, "1"), *i2 = store_image(&s, two, NULL, "2");

	image_close(store_image(&s, two, i1, "2from1"));
	image_close(store_image(&s, one, i2, "1from2"));
	assert_same_file(&s, "2", "2from1");
	assert_same_file(&s, "1", "1from2");
	image_close(i1);
	image_close(i2);
	store_release(&s);
}

/* Visits everything that can be reached and more, as callers would. */
static void visit_all(const struct image *img)
{
	for (uint32_t place = 0; place <= image_count(img); place++) {
		const struct image_node *n = image_node(img, place);
		const char *name;
		size_t len, sum = 0;

		if (!n)
			continue;
		name = image_name(img, n, &len);
		for (size_t i = 0; i < len; i++)
			sum += (unsigned char)name[i];
		(void)image_lookup(img, n->parent, name, len);
		assert_true((uint64_t)n->first_child + n->children <= image_count(img));
		assert_true(n->children == 0 || n->first_child > place);
		assert_true(sum < SIZE_MAX);
	}
}

static void write_file(struct store *s, const char *name, const void *p, size_t n)
{
	int fd = openat(s->dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(io_write_full(fd, p, n), 0);
	(void)close(fd);
}

static void test_image__cut_files_are_refused(void **state)
{
	struct store s;
	struct buf b = BUF_INIT;
	struct image *img;
	struct err e = ERR_INIT;

	store_init(&s);
	image_close(store_image(&s, store_sample_tree(&s, "readme"), NULL, "img"));
	assert_int_equal(io_read_file(s.dir, "img", 1 << 20, &b), 0);
	for (size_t n = 0; n < b.len; n++) {
		write_file(&s, "cut", b.data, n);
		assert_int_equal(image_open(s.dir, "cut", &img, &e), -EBADMSG);
	}
	assert_int_equal(buf_addc(&b, 'x'), 0);
	write_file(&s, "cut", b.data, b.len);
	assert_int_equal(image_open(s.dir, "cut", &img, &e), -EBADMSG);
	assert_int_equal(image_open(s.dir, "none", &img, &e), -ENOENT);
	buf_release(&b);
	err_release(&e);
	store_release(&s);
}

/* Every bit of the file, one at a time: refused, or noticed by verify and harmless. */
static void test_image__flipped_bits_are_noticed_and_bounded(void **state)
{
	struct store s;
	struct buf b = BUF_INIT;
	struct err e = ERR_INIT;

	store_init(&s);
	image_close(store_image(&s, store_sample_tree(&s, "readme"), NULL, "img"));
	assert_int_equal(io_read_file(s.dir, "img", 1 << 20, &b), 0);
	for (size_t bit = 0; bit < b.len * 8; bit++) {
		struct image *img;
		int r;

		b.data[bit / 8] ^= (char)(1 << bit % 8);
		write_file(&s, "flip", b.data, b.len);
		b.data[bit / 8] ^= (char)(1 << bit % 8);
		r = image_open(s.dir, "flip", &img, &e);
		if (bit < 128 * 8) {
			assert_true(r == -EBADMSG || r == -EPROTONOSUPPORT);
			continue;
		}
		assert_int_equal(r, 0);
		assert_int_equal(image_verify(img), -EBADMSG);
		visit_all(img);
		image_close(img);
	}
	buf_release(&b);
	err_release(&e);
	store_release(&s);
}

static int calls_left;

static ssize_t full_pwritev(int fd, const struct iovec *iov, int n, off_t off)
{
	if (calls_left-- > 0)
		return pwritev(fd, iov, n, off);
	errno = ENOSPC;
	return -1;
}

static void *failing_realloc(void *p, size_t n)
{
	return calls_left-- > 0 ? realloc(p, n) : NULL;
}

static void test_image__full_disk_and_memory_are_errors(void **state)
{
	struct store s;
	struct err e = ERR_INIT;
	struct sys saved = sys;
	int r, n = 0;

	store_init(&s);
	git_oid tree = store_sample_tree(&s, "readme");

	sys.pwritev = full_pwritev;
	calls_left = 0;
	assert_int_equal(store_build(&s, tree, NULL, "img", &e), -ENOSPC);
	sys = saved;
	do {
		sys.realloc = failing_realloc;
		calls_left = n++;
		r = store_build(&s, tree, NULL, "img", &e);
		sys = saved;
		assert_true(r == 0 || r == -ENOMEM);
	} while (r < 0);
	assert_true(n > 4);
	err_release(&e);
	store_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_image__every_mode),
		cmocka_unit_test(test_image__empty_tree),
		cmocka_unit_test(test_image__names_of_any_bytes),
		cmocka_unit_test(test_image__paths_up_to_4095_bytes),
		cmocka_unit_test(test_image__refuses_what_git_would_not_check_out),
		cmocka_unit_test(test_image__refuses_double_names_and_cut_trees),
		cmocka_unit_test(test_image__missing_object_is_named),
		cmocka_unit_test(test_image__from_prev_equals_from_scratch),
		cmocka_unit_test(test_image__from_prev_with_changed_kinds),
		cmocka_unit_test(test_image__cut_files_are_refused),
		cmocka_unit_test(test_image__flipped_bits_are_noticed_and_bounded),
		cmocka_unit_test(test_image__full_disk_and_memory_are_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
