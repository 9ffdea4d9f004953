/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A checkpoint of any bytes: refused, or a tree that can be walked, emptied and written again. Each
 * input is tried as it is and with all its checksums put right.
 */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "fuzz.h"
#include "fuzz_base.h"

enum { HEADER = 96 };

static const uint8_t view_id[16];

static void load_and_use(const uint8_t *p, size_t n)
{
	static const char name[] = "00000000000000000007.ckp";
	struct checkpoint_info info;
	struct err e = ERR_INIT;
	struct buf out = BUF_INIT;
	struct tree t;
	int dir;

	fuzz_tree_init(&t);
	dir = fuzz_checkpoints();
	MUST(io_replace_file(dir, name, p, n, 0600) == 0);
	if (checkpoint_load(dir, view_id, 0, &t, &info, &e) == 0 && t.seq) {
		fuzz_walk(&t, NODE_ROOT, 0, &out);
		MUST(checkpoint_collect(&t, view_id, 0, true, &out) == 0);
		fuzz_remove_all(&t, NODE_ROOT, 0);
	}
	buf_release(&out);
	err_release(&e);
	tree_release(&t);
	(void)close(dir);
}

static void put(uint8_t *p, uint64_t v, size_t n)
{
	memcpy(p, &v, n);
}

/* Everything that a reader compares is made to fit. */
static void sign(uint8_t *p, size_t n)
{
	uint64_t chain = 0, count = 0, first;
	size_t at = HEADER;
	uint32_t len;

	if (n < HEADER)
		return;
	while (n - at >= RECORD_HEADER_SIZE) {
		uint8_t *r = p + at;

		memcpy(&len, r, 4);
		if (len < RECORD_HEADER_SIZE || len > n - at)
			break;
		memcpy(&first, r, 8);
		memset(r + 36, 0, 4);
		chain = XXH3_64bits_withSeed(r + 16, len - 16,
					     chain ^ (first * UINT64_C(0x9e3779b97f4a7c15)));
		put(r + 8, chain, 8);
		at += len;
		count++;
	}
	memcpy(p, "AFSCKPT\0\1\0\x60\0", 12);
	memset(p + 16, 0, 4);
	put(p + 20, 1, 4);
	memset(p + 24, 0, 16);
	put(p + 40, 7, 8);
	put(p + 48, 0, 8);
	put(p + 64, n - HEADER, 8);
	put(p + 72, count, 8);
	put(p + 80, chain, 8);
	put(p + 88, XXH3_64bits(p, 88), 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);

	MUST(copy);
	if (!base_image)
		(void)atexit(fuzz_base_release);
	load_and_use(data, size);
	memcpy(copy, data, size);
	sign(copy, size);
	load_and_use(copy, size);
	free(copy);
	return 0;
}
