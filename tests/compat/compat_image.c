/* SPDX-License-Identifier: Apache-2.0 */
/* image.v1: written by format 1, read by every later version; format 1's writer writes it still. */
#include "store_fixture.h"

static const char *folder;

static void test_compat_image__v1_is_read(void **state)
{
	struct err e = ERR_INIT;
	struct image *img = NULL;
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct image_node *n;
	size_t len;

	assert_true(dir >= 0);
	if (image_open(dir, "image.v1", &img, &e) < 0)
		fail_msg("%s", err_text(&e));
	assert_int_equal(image_verify(img), 0);
	assert_int_equal(image_count(img), 11);
	assert_int_equal(image_time_ns(img), FIXTURE_TIME_NS);
	int64_t deep = image_lookup(img, 0, "deep", 4),
		x = image_lookup(img, (uint32_t)deep, "x", 1);

	n = image_node(img, (uint32_t)image_lookup(img, (uint32_t)x, "run", 3));
	assert_non_null(n);
	assert_int_equal(n->mode, 0100755);
	assert_int_equal(n->size, 10);
	assert_int_equal(n->parent, x);
	assert_memory_equal(image_name(img, n, &len), "run", 3);
	image_close(img);
	(void)close(dir);
}

/* A changed writer must change the version. */
static void test_compat_image__v1_is_written(void **state)
{
	struct store s;
	struct buf now = BUF_INIT, then = BUF_INIT;
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	store_init(&s);
	image_close(store_image(&s, store_sample_tree(&s, "readme\n"), NULL, "img"));
	assert_int_equal(io_read_file(s.dir, "img", 1 << 20, &now), 0);
	assert_int_equal(io_read_file(dir, "image.v1", 1 << 20, &then), 0);
	assert_int_equal(now.len, then.len);
	assert_memory_equal(now.data, then.data, now.len);
	buf_release(&now);
	buf_release(&then);
	store_release(&s);
	(void)close(dir);
}

static void write_fixture(void **state)
{
	struct store s;
	struct buf b = BUF_INIT;
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	store_init(&s);
	image_close(store_image(&s, store_sample_tree(&s, "readme\n"), NULL, "img"));
	assert_int_equal(io_read_file(s.dir, "img", 1 << 20, &b), 0);
	assert_int_equal(io_replace_file(dir, "image.v1", b.data, b.len, 0644), 0);
	buf_release(&b);
	store_release(&s);
	(void)close(dir);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compat_image__v1_is_read),
		cmocka_unit_test(test_compat_image__v1_is_written),
	};
	const struct CMUnitTest writer[] = {cmocka_unit_test(write_fixture)};

	if (argc < 2) {
		fprintf(stderr, "usage: %s FOLDER [write]\n", argv[0]);
		return 2;
	}
	folder = argv[1];
	if (argc > 2 && strcmp(argv[2], "write") == 0)
		return cmocka_run_group_tests(writer, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
