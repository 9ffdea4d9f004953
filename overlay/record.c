/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records and their bytes. Pure: no I/O, no state but the caller's chain.
 *
 * (1) What record_encode() wrote, record_decode() reads back equal, given the same chain.
 * (2) record_decode() never reads past n, whatever the bytes are.
 * (3) A record that was changed, cut, left out, moved or swapped fails: its checksum is seeded with
 *     the checksum of the record before it (the chain).
 *
 * All numbers are little-endian. A record is a header of 40 bytes
 *
 *      0  u32  length of the whole record, this header included; 40 to RECORD_MAX
 *      4  u32  number of fields
 *      8  u64  checksum, see below
 *     16  u64  seq
 *     24  u64  time, CLOCK_REALTIME in ns
 *     32  u16  type, enum record_type
 *     34  u16  flags, enum record_flags
 *     36  u32  0; reserved
 *
 * and its fields, one behind the other, without padding:
 *
 *      0  u16  tag
 *      2  u16  number of bytes of the value; 0xffff: a u32 with that number follows here
 *      4  …    the value
 *
 * A field stands at most once. Tags and the kinds of their values (u32: 4 bytes, u64: 8 bytes,
 * bytes: as many as told; digest and policy hash have exactly 16 and 32) are those of the table
 * below; a number is given to one meaning for good. Tags that are not in the table are skipped.
 *
 *     1 op u32          10 member u32   19 length u64        28 mode u32
 *     2 result i32      11 node u64     20 place u64         29 rdev u32
 *     3 pid u32         12 node2 u64    21 digest 16 bytes   30 mask u32
 *     4 uid u32         13 parent u64   22 rule u32          31 size u64
 *     5 gid u32         14 parent2 u64  23 rule_text bytes   32 atime i64
 *     6 comm bytes      15 name bytes   24 policy_hash 32 b. 33 mtime i64
 *     7 cgroup u64      16 name2 bytes  25 lease u64         34 value bytes
 *     8 connection u64  17 offset u64   26 tool_call bytes   35 path bytes
 *     9 unique u64      18 offset2 u64  27 outcome bytes     36 count u64
 *    37 owner u32       38 group u32
 *
 * checksum = XXH3-64 of the bytes from 16 to the end of the record, its seed being
 *     chain XOR (the first 8 bytes as a number * 0x9e3779b97f4a7c15);
 * the chain behind the record is that checksum.
 */
#include "record.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>
#include <xxhash.h>

enum { LONG_VALUE = 0xffff, FIELD_HEADER = 4, FIELD_HEADER_LONG = 8, MAX_TAG = 38 };
_Static_assert((int)F_MAX == (int)MAX_TAG, "a new field needs a line in the field table and above");

enum kind { KIND_U32, KIND_U64, KIND_BYTES };

struct field {
	uint16_t tag;
	uint8_t kind;
	uint8_t exact; /* the only length that KIND_BYTES may have; 0: any */
	uint16_t offset;
};

#define FIELD(tag, kind, member)                                                                   \
	{                                                                                          \
		tag, KIND_##kind, 0, offsetof(struct record, member)                               \
	}
#define FIELD_EXACT(tag, n, member)                                                                \
	{                                                                                          \
		tag, KIND_BYTES, n, offsetof(struct record, member)                                \
	}

static const struct field fields[F_MAX] = {
	[F_OP] = FIELD(1, U32, op),
	[F_RESULT] = FIELD(2, U32, result),
	[F_PID] = FIELD(3, U32, pid),
	[F_UID] = FIELD(4, U32, uid),
	[F_GID] = FIELD(5, U32, gid),
	[F_COMM] = FIELD(6, BYTES, comm),
	[F_CGROUP] = FIELD(7, U64, cgroup),
	[F_CONNECTION] = FIELD(8, U64, connection),
	[F_UNIQUE] = FIELD(9, U64, unique),
	[F_MEMBER] = FIELD(10, U32, member),
	[F_NODE] = FIELD(11, U64, node),
	[F_NODE2] = FIELD(12, U64, node2),
	[F_PARENT] = FIELD(13, U64, parent),
	[F_PARENT2] = FIELD(14, U64, parent2),
	[F_NAME] = FIELD(15, BYTES, name),
	[F_NAME2] = FIELD(16, BYTES, name2),
	[F_OFFSET] = FIELD(17, U64, offset),
	[F_OFFSET2] = FIELD(18, U64, offset2),
	[F_LENGTH] = FIELD(19, U64, length),
	[F_PLACE] = FIELD(20, U64, place),
	[F_DIGEST] = FIELD_EXACT(21, 16, digest),
	[F_RULE] = FIELD(22, U32, rule),
	[F_RULE_TEXT] = FIELD(23, BYTES, rule_text),
	[F_POLICY_HASH] = FIELD_EXACT(24, 32, policy_hash),
	[F_LEASE] = FIELD(25, U64, lease),
	[F_TOOL_CALL] = FIELD(26, BYTES, tool_call),
	[F_OUTCOME] = FIELD(27, BYTES, outcome),
	[F_MODE] = FIELD(28, U32, mode),
	[F_RDEV] = FIELD(29, U32, rdev),
	[F_MASK] = FIELD(30, U32, mask),
	[F_SIZE] = FIELD(31, U64, size),
	[F_ATIME] = FIELD(32, U64, atime),
	[F_MTIME] = FIELD(33, U64, mtime),
	[F_VALUE] = FIELD(34, BYTES, value),
	[F_PATH] = FIELD(35, BYTES, path),
	[F_COUNT] = FIELD(36, U64, count),
	[F_OWNER] = FIELD(37, U32, owner),
	[F_GROUP] = FIELD(38, U32, group),
};

/* The index of a tag, or F_MAX. The table holds the tags in ascending order from 1, without gaps;
 * test_record__tags_are_stable fails otherwise. */
static unsigned int field_of(uint16_t tag)
{
	return tag >= 1 && tag <= MAX_TAG ? tag - 1u : (unsigned int)F_MAX;
}

static void put16(uint8_t *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

static void put32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static void put64(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

static uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

static uint64_t checksum(const uint8_t *p, size_t n, uint64_t chain)
{
	uint64_t seed = chain ^ (get64(p) * UINT64_C(0x9e3779b97f4a7c15));

	return XXH3_64bits_withSeed(p + 16, n - 16, seed);
}

static const struct bytes *bytes_at(const struct record *rec, const struct field *f)
{
	return (const void *)((const char *)rec + f->offset);
}

static size_t value_size(const struct record *rec, const struct field *f)
{
	switch ((enum kind)f->kind) {
	case KIND_U32:
		return 4;
	case KIND_U64:
		return 8;
	case KIND_BYTES:
		return bytes_at(rec, f)->n;
	}
	return 0;
}

static uint8_t *put_field(uint8_t *p, const struct record *rec, const struct field *f)
{
	const char *member = (const char *)rec + f->offset;
	size_t n = value_size(rec, f);
	uint64_t v64;
	uint32_t v32;

	put16(p, f->tag);
	put16(p + 2, n < LONG_VALUE ? (uint16_t)n : (uint16_t)LONG_VALUE);
	p += FIELD_HEADER;
	if (n >= LONG_VALUE) {
		put32(p, (uint32_t)n);
		p += FIELD_HEADER_LONG - FIELD_HEADER;
	}
	switch ((enum kind)f->kind) {
	case KIND_U32:
		memcpy(&v32, member, sizeof(v32));
		put32(p, v32);
		break;
	case KIND_U64:
		memcpy(&v64, member, sizeof(v64));
		put64(p, v64);
		break;
	case KIND_BYTES:
		if (n)
			memcpy(p, bytes_at(rec, f)->p, n);
		break;
	}
	return p + n;
}

/* The length of the whole record and the number of its fields. Errors: -E2BIG, -EINVAL. */
static int measure(const struct record *rec, size_t *ret_len, uint32_t *ret_nfields)
{
	size_t len = RECORD_HEADER_SIZE;
	uint32_t nfields = 0;

	for (unsigned int i = 0; i < F_MAX; i++) {
		const struct field *f = &fields[i];
		size_t n;

		if (!RECORD_HAS(rec, i))
			continue;
		n = value_size(rec, f);
		if (n > RECORD_MAX)
			return -E2BIG;
		if (f->exact && n != f->exact)
			return -EINVAL;
		len += n + (n < LONG_VALUE ? FIELD_HEADER : FIELD_HEADER_LONG);
		if (len > RECORD_MAX)
			return -E2BIG;
		nfields++;
	}
	*ret_len = len;
	*ret_nfields = nfields;
	return 0;
}

int record_encode(const struct record *rec, uint64_t *chain, struct buf *b)
{
	uint32_t nfields;
	uint8_t *start, *p;
	size_t len;
	int r;

	assert(rec && chain && b);
	r = measure(rec, &len, &nfields);
	if (r < 0)
		return r;
	r = buf_reserve(b, len);
	if (r < 0)
		return r;

	start = (uint8_t *)b->data + b->len;
	put32(start, (uint32_t)len);
	put32(start + 4, nfields);
	put64(start + 16, rec->seq);
	put64(start + 24, rec->time);
	put16(start + 32, rec->type);
	put16(start + 34, rec->flags);
	put32(start + 36, 0);
	p = start + RECORD_HEADER_SIZE;
	for (unsigned int i = 0; i < F_MAX; i++)
		if (RECORD_HAS(rec, i))
			p = put_field(p, rec, &fields[i]);
	assert(p == start + len);

	*chain = checksum(start, len, *chain);
	put64(start + 8, *chain);
	b->len += len;
	b->data[b->len] = '\0';
	return 0;
}

/* Takes one value of n bytes at p over into the record. Errors: -EBADMSG. */
static int take_field(struct record *rec, uint16_t tag, const uint8_t *p, size_t n)
{
	unsigned int i = field_of(tag);
	const struct field *f;
	char *member;

	if (i == F_MAX)
		return 0;
	f = &fields[i];
	if (RECORD_HAS(rec, i) || (f->exact && n != f->exact))
		return -EBADMSG;
	member = (char *)rec + f->offset;
	switch ((enum kind)f->kind) {
	case KIND_U32:
		if (n != 4)
			return -EBADMSG;
		memcpy(member, &(uint32_t){get32(p)}, 4);
		break;
	case KIND_U64:
		if (n != 8)
			return -EBADMSG;
		memcpy(member, &(uint64_t){get64(p)}, 8);
		break;
	case KIND_BYTES:
		*(struct bytes *)(void *)member = (struct bytes){(const char *)p, n};
		break;
	}
	rec->present |= F_BIT(i);
	return 0;
}

static int take_fields(struct record *rec, const uint8_t *p, size_t n, uint32_t nfields)
{
	while (nfields-- > 0) {
		size_t head = FIELD_HEADER, len;
		uint16_t tag;
		int r;

		if (n < head)
			return -EBADMSG;
		tag = get16(p);
		len = get16(p + 2);
		if (len == LONG_VALUE) {
			head = FIELD_HEADER_LONG;
			if (n < head)
				return -EBADMSG;
			len = get32(p + 4);
			if (len < LONG_VALUE)
				return -EBADMSG;
		}
		if (len > n - head)
			return -EBADMSG;
		r = take_field(rec, tag, p + head, len);
		if (r < 0)
			return r;
		p += head + len;
		n -= head + len;
	}
	return n == 0 ? 0 : -EBADMSG;
}

int record_decode(const void *buf, size_t n, uint64_t *chain, struct record *ret, size_t *ret_len)
{
	const uint8_t *p = buf;
	struct record rec = {0};
	uint64_t sum;
	size_t len;
	int r;

	assert(chain && ret && ret_len);
	if (n == 0)
		return -ENODATA;
	if (n < 4)
		return -EAGAIN;
	len = get32(p);
	if (len == 0)
		return -ENODATA;
	if (len < RECORD_HEADER_SIZE || len > RECORD_MAX)
		return -EBADMSG;
	if (len > n)
		return -EAGAIN;
	sum = checksum(p, len, *chain);
	if (get64(p + 8) != sum || get32(p + 36) != 0)
		return -EBADMSG;

	rec.seq = get64(p + 16);
	rec.time = get64(p + 24);
	rec.type = get16(p + 32);
	rec.flags = get16(p + 34);
	r = take_fields(&rec, p + RECORD_HEADER_SIZE, len - RECORD_HEADER_SIZE, get32(p + 4));
	if (r < 0)
		return r;
	*ret = rec;
	*ret_len = len;
	*chain = sum;
	return 0;
}

static const char *const op_names[OP_MAX] = {
	[OP_NONE] = "none",
	[OP_MKNOD] = "mknod",
	[OP_MKDIR] = "mkdir",
	[OP_SYMLINK] = "symlink",
	[OP_LINK] = "link",
	[OP_UNLINK] = "unlink",
	[OP_RMDIR] = "rmdir",
	[OP_RENAME] = "rename",
	[OP_WRITE] = "write",
	[OP_SETATTR] = "setattr",
	[OP_TRUNCATE] = "truncate",
	[OP_SETXATTR] = "setxattr",
	[OP_REMOVEXATTR] = "removexattr",
	[OP_FALLOCATE] = "fallocate",
	[OP_COPY] = "copy",
	[OP_PUT] = "put",
	[OP_OPEN] = "open",
	[OP_COMPACT] = "compact",
	[OP_SEED] = "seed",
	[OP_REDIRECT] = "redirect",
};

const char *record_op_name(uint32_t op)
{
	return op < OP_MAX ? op_names[op] : NULL;
}

int record_op_parse(const char *name)
{
	for (int i = OP_NONE + 1; i < OP_MAX; i++)
		if (op_names[i] && strcmp(op_names[i], name) == 0)
			return i;
	return -EINVAL;
}

static const char *const type_names[] = {
	[RECORD_OP] = "op",
	[RECORD_DENIED] = "denied",
	[RECORD_FAILED] = "failed",
	[RECORD_MOUNT] = "mount",
	[RECORD_POLICY] = "policy",
	[RECORD_SYNC] = "sync",
	[RECORD_FOLD] = "fold",
	[RECORD_SEAL] = "seal",
	[RECORD_CHECKPOINT] = "checkpoint",
	[RECORD_NOTE] = "note",
	[RECORD_CONTROL] = "control",
	[RECORD_SUMMARY] = "summary",
	[RECORD_FORGET] = "forget",
	[RECORD_COMPACT] = "compact",
};

const char *record_type_name(uint16_t type)
{
	if (type >= sizeof(type_names) / sizeof(type_names[0]))
		return NULL;
	return type_names[type];
}
