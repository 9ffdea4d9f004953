/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/*
 * One journal record: what happened, who did it, and everything apply.c needs to do it again.
 * The same encoding carries the messages of viewctl.h. The bytes are described in record.c.
 */

enum record_type {
	RECORD_OP = 1,	   /* an operation that was applied */
	RECORD_DENIED = 2, /* refused by policy; nothing changed */
	RECORD_FAILED =
		3, /* refused for another reason worth keeping (ENOSPC, EDQUOT, device node) */
	RECORD_MOUNT = 4,      /* a connection begins: its id; orphans of the last one go */
	RECORD_POLICY = 5,     /* the policy in force from here on: hash and text (value) */
	RECORD_SYNC = 6,       /* the base moved to another image: tree_sync.c has its fields */
	RECORD_FOLD = 7,       /* reserved */
	RECORD_SEAL = 8,       /* reserved: hash chain and tag of what precedes */
	RECORD_CHECKPOINT = 9, /* a checkpoint up to `length` (a sequence number) is on disk */
	RECORD_NOTE = 10,      /* free text by the admin or a tool (value) */
	RECORD_CONTROL =
		11, /* a changing call on the control socket: name = method, value = JSON */
	RECORD_SUMMARY = 12, /* n more denials like the one before, exact counters */
	RECORD_FORGET = 13,  /* the kernel let go of an unlinked node: its content is released */
	RECORD_COMPACT =
		14, /* bytes of a file were copied: node, offset, length, their new place */
	RECORD_VIEWCTL = 256, /* this and above: messages of viewctl.h, never in a journal */
};

enum record_op {
	OP_NONE = 0,
	OP_MKNOD = 1,	/* parent, name, node, mode, owner, group, rdev */
	OP_MKDIR = 2,	/* parent, name, node, mode, owner, group */
	OP_SYMLINK = 3, /* parent, name, node, owner, group, value = target */
	OP_LINK = 4,	/* node, parent2, name2 */
	OP_UNLINK = 5,	/* parent, name, node */
	OP_RMDIR = 6,	/* parent, name, node */
	OP_RENAME =
		7, /* parent, name, node, parent2, name2, mask = RENAME_* flags, node2 = target or absent */
	OP_WRITE = 8, /* node, offset, length, place, digest; mode where suid or sgid is cleared */
	OP_SETATTR = 9,	  /* node and those of mode, owner, group, atime, mtime that are present */
	OP_TRUNCATE = 10, /* node, size; others as in OP_SETATTR where the kernel asks for both */
	OP_SETXATTR = 11, /* node, name, value */
	OP_REMOVEXATTR = 12, /* node, name */
	OP_FALLOCATE = 13,   /* node, mask = FALLOC_FL_*, offset, length */
	OP_COPY = 14,	     /* node2 = source, offset2, node, offset, length: extents are shared */
	OP_PUT = 15,	     /* reserved */
	OP_OPEN = 16, /* inferred: the kernel refused an open by mode bits (RECORD_DENIED only) */
	OP_COMPACT = 17, /* reserved */
	OP_REDIRECT =
		18, /* node, place: the folder is kept elsewhere (view_redirect.c); 0: it is not */
	OP_SEED =
		19, /* names or bytes taken over from the main worktree; the fields are in seed.c */
	OP_MAX,
};

enum record_flags {
	RECORD_F_INFERRED = 1 << 0, /* the refusal was inferred from a GETATTR */
	RECORD_F_PAGE = 1 << 1,	    /* a page write of a shared mapping: pid is not known */
	RECORD_F_GIT = 1 << 2,	    /* inside the view's own .git */
	RECORD_F_SCRATCH = 1 << 3,  /* allowed as scratch, not by a rule */
};

/* Presence bits; one per field below, in the order of the field table in record.c. */
enum record_field {
	F_OP,
	F_RESULT,
	F_PID,
	F_UID,
	F_GID,
	F_COMM,
	F_CGROUP,
	F_CONNECTION,
	F_UNIQUE,
	F_MEMBER,
	F_NODE,
	F_NODE2,
	F_PARENT,
	F_PARENT2,
	F_NAME,
	F_NAME2,
	F_OFFSET,
	F_OFFSET2,
	F_LENGTH,
	F_PLACE,
	F_DIGEST,
	F_RULE,
	F_RULE_TEXT,
	F_POLICY_HASH,
	F_LEASE,
	F_TOOL_CALL,
	F_OUTCOME,
	F_MODE,
	F_RDEV,
	F_MASK,
	F_SIZE,
	F_ATIME,
	F_MTIME,
	F_VALUE,
	F_PATH,
	F_COUNT,
	F_OWNER,
	F_GROUP,
	F_MAX,
};
#define F_BIT(f) (UINT64_C(1) << (f))

/* Bytes borrowed from the buffer that was decoded, or from the caller who encodes. */
struct bytes {
	const char *p;
	size_t n;
};

struct record {
	uint64_t seq;  /* set by journal_append(); from 1, without gaps */
	uint64_t time; /* CLOCK_REALTIME ns; set by journal_append() where 0 */
	uint16_t type; /* enum record_type */
	uint16_t flags;
	uint64_t present; /* F_BIT() of each field that is there */

	uint32_t op;		/* enum record_op */
	int32_t result;		/* 0 or -errno */
	uint32_t pid, uid, gid; /* the caller's */
	struct bytes comm;	/* command name, at most 15 bytes */
	uint64_t cgroup;	/* cgroup id (inode of its folder) */
	uint64_t connection;	/* 64-bit session number drawn at mount */
	uint64_t unique;	/* FUSE unique of the request */
	uint32_t member;	/* which of the view's mounts */
	uint64_t node, node2, parent, parent2;
	struct bytes name, name2;
	uint64_t offset, offset2, length;
	uint64_t place;		  /* data address of the bytes (data.h) */
	struct bytes digest;	  /* XXH3-128 of the bytes, 16 bytes canonical (big-endian) */
	uint32_t rule;		  /* index of the deciding rule in the policy of policy_hash */
	struct bytes rule_text;	  /* denials: the rule as written */
	struct bytes policy_hash; /* 32 bytes */
	uint64_t lease;
	struct bytes tool_call;
	struct bytes outcome;
	uint32_t mode, rdev, mask;
	uint64_t size;
	int64_t atime, mtime; /* ns since the epoch */
	struct bytes value;
	struct bytes path; /* viewctl and control records: a whole path */
	uint64_t count;
	uint32_t owner, group; /* the node's: of a new one, or the new owner of chown */
};

/* Sets a byte field together with its presence bit; numbers are set with RECORD_SET. */
#define RECORD_SET(rec, field, bit, v)                                                             \
	do {                                                                                       \
		(rec)->field = (v);                                                                \
		(rec)->present |= F_BIT(bit);                                                      \
	} while (0)
#define RECORD_HAS(rec, bit) (((rec)->present & F_BIT(bit)) != 0)

enum { RECORD_HEADER_SIZE = 40, RECORD_MAX = 1 << 20 };

/* Appends the record's bytes to `b`, its checksum seeded with *chain, and moves *chain on.
 * Errors: -E2BIG over RECORD_MAX, -ENOMEM; `b` and chain unchanged. */
int record_encode(const struct record *rec, uint64_t *chain, struct buf *b);

/* Reads one record from p[0..n). On success *ret borrows from p, *ret_len is how long it was and
 * *chain has moved on. Unknown fields are skipped. Never reads past n; p may be hostile.
 * Errors: -ENODATA n is 0 or the length is 0 (the preallocated rest), -EAGAIN cut short,
 * -EBADMSG checksum or structure wrong. */
int record_decode(const void *p, size_t n, uint64_t *chain, struct record *ret, size_t *ret_len);

/* "write", "rename" … for people and the audit; NULL for an unknown value. And back: -EINVAL. */
const char *record_op_name(uint32_t op);
int record_op_parse(const char *name);
const char *record_type_name(uint16_t type);
