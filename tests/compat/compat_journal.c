/* SPDX-License-Identifier: Apache-2.0 */
/* record.v1, journal.v1 and data.v1: written by format 1, read by every later version. */
#include "data.h"
#include "journal_impl.h"
#include "journal_tools.h"
#include "record_sample.h"

static const char *folder;

static struct buf load(const char *name)
{
	struct buf b = BUF_INIT;
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(dir >= 0);
	assert_int_equal(io_read_file(dir, name, 1 << 20, &b), 0);
	(void)safe_close(dir);
	return b;
}

static struct buf encode_samples(void)
{
	struct buf b = BUF_INIT;
	uint64_t chain = 0;

	for (unsigned int i = 0; i < 3; i++) {
		struct record rec = sample_record(i);

		assert_int_equal(record_encode(&rec, &chain, &b), 0);
	}
	return b;
}

static void test_compat_record__v1_is_read_and_written(void **state)
{
	struct buf then = load("record.v1"), now = encode_samples();
	uint64_t chain = 0;
	size_t pos = 0, len;

	for (unsigned int i = 0; i < 3; i++) {
		struct record want = sample_record(i), got;

		assert_int_equal(record_decode(then.data + pos, then.len - pos, &chain, &got, &len),
				 0);
		want.present = got.present; /* a later version may know more fields */
		assert_true(sample_equal(&got, &want));
		assert_int_equal(got.present & (F_BIT(F_GROUP) | F_BIT(F_OP)),
				 F_BIT(F_GROUP) | F_BIT(F_OP));
		pos += len;
	}
	assert_int_equal(pos, then.len);
	assert_int_equal(now.len, then.len);
	assert_memory_equal(now.data, then.data, now.len);
	buf_release(&then);
	buf_release(&now);
}

static void test_compat_journal__v1_is_read(void **state)
{
	struct buf b = load("journal.v1");
	struct tool_dir d = tool_dir_new();
	struct tool_count c;
	uint64_t dropped;

	tool_write(d.fd, "0000000001.jnl", b.data, b.len);
	assert_int_equal(tool_try(d.fd, 0, &c, &dropped), 0);
	assert_int_equal(c.n, 12);
	assert_int_equal(dropped, 0);
	/* Its durable point is read: the record before it may not be damaged. */
	b.data[JOURNAL_HEADER_SIZE + 60] ^= 1;
	tool_write(d.fd, "0000000001.jnl", b.data, b.len);
	assert_int_equal(tool_try(d.fd, 0, &c, &dropped), -EBADMSG);
	buf_release(&b);
	tool_dir_free(&d);
}

static void test_compat_data__v1_is_read(void **state)
{
	struct buf b = load("data.v1");
	struct tool_dir d = tool_dir_new();
	struct data *data = NULL;
	char p[5];

	tool_write(d.fd, "0000000001.dat", b.data, b.len);
	assert_int_equal(data_open(d.fd, tool_options.owner_id, 1, &data, NULL), 0);
	assert_int_equal(data_pread(data, UINT64_C(1) << 32 | 128, p, 5), 0);
	assert_memory_equal(p, "bytes", 5);
	data_close(data);
	buf_release(&b);
	tool_dir_free(&d);
}

static void store(const char *name, const void *p, size_t n)
{
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(io_replace_file(dir, name, p, n, 0644), 0);
	(void)safe_close(dir);
}

/* Without the preallocated zeros: a file that was cut short is a journal as well. */
static void write_fixtures(void **state)
{
	struct tool_dir d = tool_dir_new();
	struct buf b = encode_samples();
	struct journal *j = tool_open(d.fd, 0, NULL, NULL);
	struct data *data = NULL;
	uint64_t addr, end;

	store("record.v1", b.data, b.len);
	buf_clear(&b);
	for (int i = 0; i < 12; i++) {
		tool_append(j, (size_t)i * 9);
		if (i == 9)
			assert_int_equal(journal_sync(j, NULL, 0), 0);
	}
	end = j->pos;
	journal_close(j);
	assert_int_equal(io_read_file(d.fd, "0000000001.jnl", 1 << 20, &b), 0);
	store("journal.v1", b.data, end);
	buf_clear(&b);
	assert_int_equal(data_open(d.fd, tool_options.owner_id, 0, &data, NULL), 0);
	assert_int_equal(data_append(data, DATA_FILES, "bytes", 5, &addr), 0);
	data_close(data);
	assert_int_equal(io_read_file(d.fd, "0000000001.dat", 1 << 20, &b), 0);
	store("data.v1", b.data, 128 + 5);
	buf_release(&b);
	tool_dir_free(&d);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compat_record__v1_is_read_and_written),
		cmocka_unit_test(test_compat_journal__v1_is_read),
		cmocka_unit_test(test_compat_data__v1_is_read),
	};
	const struct CMUnitTest writer[] = {cmocka_unit_test(write_fixtures)};

	if (argc < 2) {
		fprintf(stderr, "usage: %s FOLDER [write]\n", argv[0]);
		return 2;
	}
	folder = argv[1];
	if (argc > 2 && strcmp(argv[2], "write") == 0)
		return cmocka_run_group_tests(writer, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
