/* SPDX-License-Identifier: Apache-2.0 */
/* record: round trip, hostile bytes, the chain, and the committed bytes of an earlier day. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "record.h"
#include "record_sample.h"
#include "sys.h"

static void encode(const struct record *rec, uint64_t *chain, struct buf *b)
{
	assert_int_equal(record_encode(rec, chain, b), 0);
}

static void test_record__round_trip_of_every_field(void **state)
{
	for (unsigned int f = 0; f <= F_MAX; f++) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		uint64_t c1 = 7, c2 = 7;
		struct record rec = sample_record(3), got;
		size_t len;

		if (f < F_MAX)
			rec.present &= ~F_BIT(f);
		encode(&rec, &c1, &b);
		assert_int_equal(record_decode(b.data, b.len, &c2, &got, &len), 0);
		assert_int_equal(len, b.len);
		assert_int_equal(c1, c2);
		assert_true(sample_equal(&rec, &got));
		assert_int_equal(got.present, rec.present);
	}
}

static void test_record__long_values_round_trip(void **state)
{
	static const size_t sizes[] = {0, 1, 65534, 65535, 65536, 131072, RECORD_MAX - 48};
	char *big = calloc(1, RECORD_MAX);

	assert_non_null(big);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		uint64_t c1 = 0, c2 = 0;
		struct record rec = {.type = RECORD_POLICY}, got;
		size_t len;

		memset(big, 'a' + (int)i, sizes[i]);
		RECORD_SET(&rec, value, F_VALUE, ((struct bytes){big, sizes[i]}));
		encode(&rec, &c1, &b);
		assert_int_equal(record_decode(b.data, b.len, &c2, &got, &len), 0);
		assert_int_equal(got.value.n, sizes[i]);
		assert_memory_equal(got.value.p, big, sizes[i]);
	}
	free(big);
}

static void test_record__too_big_changes_nothing(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct record rec = {.type = RECORD_POLICY};
	uint64_t chain = 5;
	char *big = calloc(1, RECORD_MAX);

	assert_non_null(big);
	RECORD_SET(&rec, value, F_VALUE, ((struct bytes){big, RECORD_MAX - 47}));
	assert_int_equal(record_encode(&rec, &chain, &b), -E2BIG);
	rec.value.n = SIZE_MAX - 20;
	assert_int_equal(record_encode(&rec, &chain, &b), -E2BIG);
	assert_int_equal(chain, 5);
	assert_int_equal(b.len, 0);
	free(big);
}

static void *no_realloc(void *p, size_t n)
{
	return NULL;
}

static void test_record__no_memory_changes_nothing(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct record rec = sample_record(1);
	void *(*saved)(void *, size_t) = sys.realloc;
	uint64_t chain = 5;
	int r;

	sys.realloc = no_realloc;
	r = record_encode(&rec, &chain, &b);
	sys.realloc = saved;
	assert_int_equal(r, -ENOMEM);
	assert_int_equal(chain, 5);
	assert_int_equal(b.len, 0);
}

/* Every cut is told apart from damage, in a buffer of exactly that size, so that reading on is
 * found. */
static void test_record__every_cut_is_cut_short(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct record rec = sample_record(2), got;
	uint64_t chain = 0;
	size_t len;

	encode(&rec, &chain, &b);
	for (size_t n = 0; n < b.len; n++) {
		char *copy = malloc(n ? n : 1);
		uint64_t c = 0;

		assert_non_null(copy);
		memcpy(copy, b.data, n);
		assert_int_equal(record_decode(copy, n, &c, &got, &len), n ? -EAGAIN : -ENODATA);
		assert_int_equal(c, 0);
		free(copy);
	}
}

static void test_record__every_flipped_bit_is_found(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct record rec = sample_record(2), got;
	uint64_t chain = 0;
	size_t len;

	encode(&rec, &chain, &b);
	for (size_t bit = 0; bit < b.len * 8; bit++) {
		uint64_t c = 0;

		b.data[bit / 8] ^= (char)(1 << bit % 8);
		assert_true(record_decode(b.data, b.len, &c, &got, &len) < 0);
		b.data[bit / 8] ^= (char)(1 << bit % 8);
	}
}

/* (3): three records; leaving out, swapping or repeating one is found at the first wrong place. */
static void test_record__moved_missing_and_swapped_are_found(void **state)
{
	static const int orders[][3] = {{1, 2, 0}, {0, 2, 1}, {0, 0, 1}, {2, 0, 1}, {0, 1, 1}};
	struct buf b[3] = {0};
	struct record got;
	uint64_t chain = 0;
	size_t len;

	for (int i = 0; i < 3; i++) {
		struct record rec = sample_record((unsigned int)i);

		encode(&rec, &chain, &b[i]);
	}
	for (size_t o = 0; o < sizeof(orders) / sizeof(orders[0]); o++) {
		uint64_t c = 0;
		int good = 0;

		for (int i = 0; i < 3; i++) {
			struct buf *x = &b[orders[o][i]];

			if (record_decode(x->data, x->len, &c, &got, &len) == 0)
				good++;
			else
				break;
		}
		assert_true(good < 3);
	}
	for (int i = 0; i < 3; i++)
		buf_release(&b[i]);
}

/* Rewrites the checksum, as a newer writer would have done. */
static void resign(struct buf *b)
{
	uint64_t sum = sample_checksum(b->data, b->len, 0);

	memcpy(b->data + 8, &sum, 8);
}

static void set_len(struct buf *b)
{
	uint32_t n = (uint32_t)b->len;

	memcpy(b->data, &n, 4);
}

static void test_record__unknown_fields_are_skipped(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct record rec = {.type = RECORD_NOTE}, got;
	uint64_t chain = 0, c = 0;
	size_t len;

	RECORD_SET(&rec, pid, F_PID, 77);
	encode(&rec, &chain, &b);
	assert_int_equal(buf_add(&b, "\xe8\x03\x05\x00hello", 9), 0);
	assert_int_equal(buf_add(&b, "\x00\x00\x00\x00", 4), 0);
	b.data[4] = 3;
	set_len(&b);
	resign(&b);
	assert_int_equal(record_decode(b.data, b.len, &c, &got, &len), 0);
	assert_int_equal(got.pid, 77);
	assert_int_equal(got.present, F_BIT(F_PID));
}

/* With a right checksum, wrong structure is still refused. */
static void test_record__wrong_structure_is_refused(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		char nfields;
	} bad[] = {
		{"\x03\x00\x04\x00\x01\x00\x00\x00", 8, 2},	  /* pid twice */
		{"\x04\x00\x03\x00\x01\x00\x00", 7, 2},		  /* a u32 of 3 bytes */
		{"\x0b\x00\x04\x00\x01\x00\x00\x00", 8, 2},	  /* a u64 of 4 bytes */
		{"\x15\x00\x01\x00\x01", 5, 2},			  /* a digest of 1 byte */
		{"\x22\x00\x09\x00hello", 9, 2},		  /* longer than the rest */
		{"\x22\x00\xff\xff\x05\x00\x00\x00hello", 13, 2}, /* long form of a short value */
		{"\x22\x00\xff\xff\xff\xff\xff\xffhello", 13, 2},
		{"\x22\x00\xff\xff", 4, 2},
		{"\x22\x00\x00\x00", 4, 1}, /* bytes behind the last field */
		{"\x22\x00\x00\x00", 4, 3}, /* fewer fields than told */
		{"\x22\x00\x00", 3, 2},
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		struct record rec = {.type = RECORD_NOTE}, got;
		uint64_t chain = 0, c = 0;
		size_t len;

		RECORD_SET(&rec, pid, F_PID, 77);
		encode(&rec, &chain, &b);
		assert_int_equal(buf_add(&b, bad[i].bytes, bad[i].n), 0);
		b.data[4] = bad[i].nfields;
		set_len(&b);
		resign(&b);
		assert_int_equal(record_decode(b.data, b.len, &c, &got, &len), -EBADMSG);
		assert_int_equal(c, 0);
	}
}

static void test_record__preallocated_rest_is_no_data(void **state)
{
	static const char zeros[64];
	struct record got;
	uint64_t c = 9;
	size_t len;

	assert_int_equal(record_decode(zeros, 64, &c, &got, &len), -ENODATA);
	assert_int_equal(record_decode(zeros, 4, &c, &got, &len), -ENODATA);
	assert_int_equal(record_decode(zeros, 3, &c, &got, &len), -EAGAIN);
	assert_int_equal(record_decode("", 0, &c, &got, &len), -ENODATA);
	assert_int_equal(c, 9);
}

static void test_record__digest_of_wrong_length_is_not_encoded(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct record rec = {.type = RECORD_OP};
	uint64_t chain = 0;

	RECORD_SET(&rec, digest, F_DIGEST, ((struct bytes){"short", 5}));
	assert_int_equal(record_encode(&rec, &chain, &b), -EINVAL);
}

/* The tag of each field is its number in enum record_field + 1, in the bytes themselves. */
static void test_record__tags_are_stable(void **state)
{
	assert_int_equal(F_OP, 0);
	assert_int_equal(F_NODE, 10);
	assert_int_equal(F_DIGEST, 20);
	assert_int_equal(F_COUNT, 35);
	assert_int_equal(F_GROUP, 37);
	assert_int_equal(F_MAX, 38);
	for (unsigned int f = 0; f < F_MAX; f++) {
		_cleanup_buf_ struct buf b = BUF_INIT;
		struct record rec = sample_record(0);
		uint64_t chain = 0;

		rec.present = F_BIT(f);
		encode(&rec, &chain, &b);
		assert_int_equal(b.data[RECORD_HEADER_SIZE], f + 1);
		assert_int_equal(b.data[RECORD_HEADER_SIZE + 1], 0);
	}
}

static void test_record__names_go_both_ways(void **state)
{
	for (uint32_t op = OP_NONE + 1; op < OP_MAX; op++) {
		assert_non_null(record_op_name(op));
		assert_int_equal(record_op_parse(record_op_name(op)), op);
	}
	assert_null(record_op_name(OP_MAX));
	assert_null(record_op_name(UINT32_MAX));
	assert_int_equal(record_op_parse("frobnicate"), -EINVAL);
	assert_int_equal(record_op_parse(""), -EINVAL);
	for (uint16_t t = RECORD_OP; t <= RECORD_COMPACT; t++)
		assert_non_null(record_type_name(t));
	assert_null(record_type_name(0));
	assert_null(record_type_name(RECORD_COMPACT + 1));
	assert_null(record_type_name(RECORD_VIEWCTL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_record__round_trip_of_every_field),
		cmocka_unit_test(test_record__long_values_round_trip),
		cmocka_unit_test(test_record__too_big_changes_nothing),
		cmocka_unit_test(test_record__no_memory_changes_nothing),
		cmocka_unit_test(test_record__every_cut_is_cut_short),
		cmocka_unit_test(test_record__every_flipped_bit_is_found),
		cmocka_unit_test(test_record__moved_missing_and_swapped_are_found),
		cmocka_unit_test(test_record__unknown_fields_are_skipped),
		cmocka_unit_test(test_record__wrong_structure_is_refused),
		cmocka_unit_test(test_record__preallocated_rest_is_no_data),
		cmocka_unit_test(test_record__digest_of_wrong_length_is_not_encoded),
		cmocka_unit_test(test_record__tags_are_stable),
		cmocka_unit_test(test_record__names_go_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
