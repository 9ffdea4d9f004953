/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A journal's records of any content, applied: refused, or a tree that can be walked, that a full
 * checkpoint brings back the same (and so breaks none of the rules that loading checks), and that can
 * be emptied. Extents, names, links and renames all pass through here.
 */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "fuzz.h"
#include "fuzz_base.h"
#include "record.h"

static const uint8_t view_id[16];

static void apply_all(struct tree *t, const uint8_t *p, size_t n)
{
	struct record rec;
	uint64_t first;
	uint32_t len;
	size_t used;

	while (n >= RECORD_HEADER_SIZE) {
		uint8_t *copy;
		uint64_t chain = 0;

		memcpy(&len, p, 4);
		if (len < RECORD_HEADER_SIZE || len > n)
			return;
		copy = malloc(len); /* exactly: a read too far is seen */
		MUST(copy);
		memcpy(copy, p, len);
		memcpy(&first, copy, 8);
		memset(copy + 36, 0, 4);
		chain = XXH3_64bits_withSeed(copy + 16, len - 16,
					     first * UINT64_C(0x9e3779b97f4a7c15));
		memcpy(copy + 8, &chain, 8);
		chain = 0;
		if (record_decode(copy, len, &chain, &rec, &used) == 0) {
			rec.seq = t->seq + 1;
			(void)apply_replay(t, &rec);
		}
		free(copy);
		p += len;
		n -= len;
	}
}

static void check_checkpoint(struct tree *t, const struct buf *before)
{
	struct buf b = BUF_INIT, after = BUF_INIT;
	struct checkpoint_info info;
	struct err e = ERR_INIT;
	struct tree again;
	int dir = fuzz_checkpoints();

	fuzz_tree_init(&again);
	t->seq = 1; /* one file, written over each time */
	MUST(checkpoint_collect(t, view_id, 0, true, &b) == 0);
	MUST(checkpoint_write(dir, 1, &b) == 0);
	MUST(checkpoint_load(dir, view_id, 0, &again, &info, &e) == 0);
	MUST(again.seq == 1 && !info.bad);
	fuzz_walk(&again, NODE_ROOT, 0, &after);
	MUST(after.len == before->len);
	MUST(!after.len || memcmp(after.data, before->data, after.len) == 0);
	tree_release(&again);
	buf_release(&b);
	buf_release(&after);
	err_release(&e);
	(void)close(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf out = BUF_INIT;
	struct tree t;

	if (!base_image)
		(void)atexit(fuzz_base_release);
	fuzz_tree_init(&t);
	apply_all(&t, data, size);
	fuzz_walk(&t, NODE_ROOT, 0, &out);
	check_checkpoint(&t, &out);
	fuzz_remove_all(&t, NODE_ROOT, 0);
	tree_release(&t);
	buf_release(&out);
	return 0;
}
