/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Records for tests: made from a number, so that a reader can say which one it got. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "record.h"

/* Record number i with every field present; the same bytes each time. */
static inline struct record sample_record(unsigned int i)
{
	struct record rec = {.seq = i + 1,
			     .time = 1700000000000000000u + i,
			     .type = RECORD_OP,
			     .flags = (uint16_t)(i % 16),
			     .present = F_BIT(F_MAX) - 1};

	rec.op = OP_WRITE;
	rec.result = -EACCES;
	rec.pid = 1000 + i;
	rec.uid = 1001;
	rec.gid = 1002;
	rec.comm = (struct bytes){"cc1", 3};
	rec.cgroup = UINT64_MAX;
	rec.connection = 0x0102030405060708u;
	rec.unique = 2 * i;
	rec.member = 1;
	rec.node = 100 + i;
	rec.node2 = 200 + i;
	rec.parent = 1;
	rec.parent2 = 2;
	rec.name = (struct bytes){"main.c", 6};
	rec.name2 = (struct bytes){"", 0};
	rec.offset = UINT64_C(1) << 40;
	rec.offset2 = 4096;
	rec.length = i;
	rec.place = UINT64_C(3) << 32 | 64;
	rec.digest = (struct bytes){"0123456789abcdef", 16};
	rec.rule = 4;
	rec.rule_text = (struct bytes){"deny write src/**", 17};
	rec.policy_hash = (struct bytes){"0123456789abcdef0123456789abcdef", 32};
	rec.lease = 9;
	rec.tool_call = (struct bytes){"call-1", 6};
	rec.outcome = (struct bytes){"ok", 2};
	rec.mode = 0100644;
	rec.rdev = 5;
	rec.mask = 6;
	rec.size = 123456789;
	rec.atime = -1;
	rec.mtime = 1;
	rec.value = (struct bytes){"a\0b", 3};
	rec.path = (struct bytes){"src/main.c", 10};
	rec.count = 17;
	rec.owner = 1003;
	rec.group = 1004;
	return rec;
}

static inline int sample_bytes_equal(struct bytes a, struct bytes b)
{
	return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

#define SAMPLE_SAME(bit, m)	  (!RECORD_HAS(a, bit) || a->m == b->m)
#define SAMPLE_SAME_BYTES(bit, m) (!RECORD_HAS(a, bit) || sample_bytes_equal(a->m, b->m))

static inline int sample_equal(const struct record *a, const struct record *b)
{
	return a->present == b->present && a->seq == b->seq && a->time == b->time &&
	       a->type == b->type && a->flags == b->flags && SAMPLE_SAME(F_OP, op) &&
	       SAMPLE_SAME(F_RESULT, result) && SAMPLE_SAME(F_PID, pid) &&
	       SAMPLE_SAME(F_UID, uid) && SAMPLE_SAME(F_GID, gid) &&
	       SAMPLE_SAME_BYTES(F_COMM, comm) && SAMPLE_SAME(F_CGROUP, cgroup) &&
	       SAMPLE_SAME(F_CONNECTION, connection) && SAMPLE_SAME(F_UNIQUE, unique) &&
	       SAMPLE_SAME(F_MEMBER, member) && SAMPLE_SAME(F_NODE, node) &&
	       SAMPLE_SAME(F_NODE2, node2) && SAMPLE_SAME(F_PARENT, parent) &&
	       SAMPLE_SAME(F_PARENT2, parent2) && SAMPLE_SAME_BYTES(F_NAME, name) &&
	       SAMPLE_SAME_BYTES(F_NAME2, name2) && SAMPLE_SAME(F_OFFSET, offset) &&
	       SAMPLE_SAME(F_OFFSET2, offset2) && SAMPLE_SAME(F_LENGTH, length) &&
	       SAMPLE_SAME(F_PLACE, place) && SAMPLE_SAME_BYTES(F_DIGEST, digest) &&
	       SAMPLE_SAME(F_RULE, rule) && SAMPLE_SAME_BYTES(F_RULE_TEXT, rule_text) &&
	       SAMPLE_SAME_BYTES(F_POLICY_HASH, policy_hash) && SAMPLE_SAME(F_LEASE, lease) &&
	       SAMPLE_SAME_BYTES(F_TOOL_CALL, tool_call) && SAMPLE_SAME_BYTES(F_OUTCOME, outcome) &&
	       SAMPLE_SAME(F_MODE, mode) && SAMPLE_SAME(F_RDEV, rdev) &&
	       SAMPLE_SAME(F_MASK, mask) && SAMPLE_SAME(F_SIZE, size) &&
	       SAMPLE_SAME(F_ATIME, atime) && SAMPLE_SAME(F_MTIME, mtime) &&
	       SAMPLE_SAME_BYTES(F_VALUE, value) && SAMPLE_SAME_BYTES(F_PATH, path) &&
	       SAMPLE_SAME(F_COUNT, count) && SAMPLE_SAME(F_OWNER, owner) &&
	       SAMPLE_SAME(F_GROUP, group);
}

/* The checksum as record.c describes it, written a second time. Little-endian machines. */
static inline uint64_t sample_checksum(const char *p, size_t n, uint64_t chain)
{
	uint64_t first;

	memcpy(&first, p, 8);
	return XXH3_64bits_withSeed(p + 16, n - 16, chain ^ (first * UINT64_C(0x9e3779b97f4a7c15)));
}
