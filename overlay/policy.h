/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/*
 * What a view's agent may write, compiled from the text of policy_parse(). It knows paths, not
 * nodes; `view.c` asks and caches. Pure: no I/O, no clock. The text's grammar is at the head of
 * policy.c; its canonical form is what is hashed, journaled and shown.
 */
struct policy;

enum policy_op {
	POLICY_CREATE, /* a file, symlink, fifo or socket that was not there */
	POLICY_MKDIR,
	POLICY_WRITE,  /* content: write, truncate, fallocate, copy into */
	POLICY_ATTR,   /* chmod, chown, utimens, xattrs */
	POLICY_UNLINK, /* file */
	POLICY_RMDIR,
	POLICY_RENAME_FROM,
	POLICY_RENAME_TO,
	POLICY_LINK, /* the new name; the node's other names are asked as POLICY_WRITE */
};

enum policy_result {
	POLICY_ALLOW,
	POLICY_SCRATCH, /* allowed, journaled, never materialized */
	POLICY_DENY,	/* EACCES */
	POLICY_DENY_RO, /* EROFS: the role writes nothing at all */
};

struct policy_query {
	enum policy_op op;
	const char *
		path; /* relative to the view's root, no leading slash, any bytes but NUL; borrowed */
	bool dir;     /* the path is (or becomes) a folder */
	bool in_base; /* the base has this path */
	bool ours;    /* it exists and was made by this view (a scratch candidate) */
};

struct policy_verdict {
	enum policy_result result;
	uint32_t rule; /* index for policy_rule_text(); UINT32_MAX: no rule, the default decided */
};

/* Compiles a policy text. Errors: -EINVAL with line and reason, -EPROTONOSUPPORT newer version,
 * -ENOMEM. */
int policy_parse(const char *text, struct policy **ret, struct err *reterr);
void policy_free(struct policy *p);

/* Decides. Never fails. */
struct policy_verdict policy_decide(const struct policy *p, const struct policy_query *q);

/* Does one verdict hold for every existing and possible name below folder `dir` ("" = root)? Then
 * true and *ret is it. False only costs time. */
bool policy_uniform_below(const struct policy *p, const char *dir, enum policy_result *ret);

/* May any name directly in folder `dir` be made, so that the folder keeps its write bits? */
bool policy_may_make_in(const struct policy *p, const char *dir);

/* Is the path hidden from this role (lookups say ENOENT)? */
bool policy_hidden(const struct policy *p, const char *path, bool dir);

/* Is the folder one that a redirect rule names: by itself, not by a folder above it? Then true, and
 * *ret_rule is the rule that decided. */
bool policy_redirects(const struct policy *p, const char *path, uint32_t *ret_rule);

/* What the view may hold; 0: no limit. */
struct policy_quota {
	uint64_t bytes, nodes;
};
struct policy_quota policy_quota(const struct policy *p);

/* The rule's pattern as it was written. Borrowed; "" for one that is built in. */
const char *policy_rule_pattern(const struct policy *p, uint32_t rule);

/* The rule as the admin wrote it, with its kind and origin: "write !SPRINT.md
 * (agentfs.yaml:12)", "scope src/auth/", "iron *.yml", "built in: …"; for UINT32_MAX a sentence
 * such as "no rule of role architect allows it". Borrowed. */
const char *policy_rule_text(const struct policy *p, uint32_t rule);

const char *policy_role(const struct policy *p);
const char *policy_text(const struct policy *p);    /* canonical; parses to the same policy */
const uint8_t *policy_hash(const struct policy *p); /* 32 bytes: SHA-256 of the canonical text */
bool policy_read_only(const struct policy *p);	    /* the role writes nothing */

/* "create", "write", "rename" … as `policy check` takes them → enum; -EINVAL. */
int policy_op_parse(const char *name);
const char *policy_op_name(enum policy_op op);
const char *policy_result_name(enum policy_result r);
