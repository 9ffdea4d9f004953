/* SPDX-License-Identifier: Apache-2.0 */
/* Records: any bytes, and the same with right checksums; what is decoded survives a round trip. */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "fuzz.h"
#include "record.h"

static void check_round_trip(const struct record *rec)
{
	struct buf b = BUF_INIT;
	struct record again;
	uint64_t c1 = 3, c2 = 3;
	size_t len;

	if (record_encode(rec, &c1, &b) < 0 || record_decode(b.data, b.len, &c2, &again, &len) < 0)
		abort();
	if (len != b.len || c1 != c2 || again.present != rec->present || again.seq != rec->seq ||
	    again.value.n != rec->value.n || again.op != rec->op || again.mtime != rec->mtime)
		abort();
	if (rec->value.n && memcmp(again.value.p, rec->value.p, rec->value.n) != 0)
		abort();
	buf_release(&b);
}

static void decode_all(const uint8_t *p, size_t n)
{
	uint64_t chain = 0;
	struct record rec;
	size_t len;

	while (record_decode(p, n, &chain, &rec, &len) == 0) {
		if (len > n || len < RECORD_HEADER_SIZE)
			abort();
		check_round_trip(&rec);
		p += len;
		n -= len;
	}
}

/* Gives each record the checksum that it should have, as long as the lengths lead on. */
static void sign_all(uint8_t *p, size_t n)
{
	uint64_t chain = 0, first;
	uint32_t len;

	while (n >= RECORD_HEADER_SIZE) {
		memcpy(&len, p, 4);
		if (len < RECORD_HEADER_SIZE || len > n)
			return;
		memcpy(&first, p, 8);
		memset(p + 36, 0, 4);
		chain = XXH3_64bits_withSeed(p + 16, len - 16,
					     chain ^ (first * UINT64_C(0x9e3779b97f4a7c15)));
		memcpy(p + 8, &chain, 8);
		p += len;
		n -= len;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);

	if (!copy)
		abort();
	decode_all(data, size);
	memcpy(copy, data, size);
	sign_all(copy, size);
	decode_all(copy, size);
	free(copy);
	return 0;
}
