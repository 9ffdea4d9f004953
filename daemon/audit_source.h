/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <regex.h>
#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "image.h"
#include "journal.h"
#include "policy.h"
#include "policy_pattern.h"
#include "tree.h"

/* Inside the audit's own files only. */

enum audit_result { AUDIT_ANY, AUDIT_OK, AUDIT_DENIED, AUDIT_FAILED };

/* Where a record stands among those of all views. */
struct audit_key {
	uint64_t time; /* ns; never less than that of the record before in the same journal */
	char view[33];
	uint64_t seq;
};

struct audit_filter {
	uint64_t since, until; /* ns */
	struct pattern *path;  /* or NULL */
	uint64_t ops;	       /* 1 << enum record_op; 0: any */
	enum audit_result result;
	bool any_pid, git, has_cursor, has_grep;
	uint32_t pid;
	char *rule; /* or NULL */
	regex_t grep;
	struct audit_key cursor;
};

/* One journal, and the tree that its records lead to. */
struct audit_source {
	struct audit_source *next;
	char *agent;
	char view[33];		       /* "" for the control plane */
	int dir;		       /* journal */
	struct journal_reader *reader; /* NULL: there is none yet */
	int images_dir;		       /* for those of later bases */
	struct image *image;	       /* NULL: gone; paths are then what the record itself says */
	struct tree tree;
	struct policy *policy; /* in force, or NULL */
	uint64_t time;	       /* of the last record */
	json_t *head;	       /* the next record that matches, or NULL */
	struct audit_key key;  /* its place */
};

int audit_key_compare(const struct audit_key *a, const struct audit_key *b);

/* Makes s->head the next record that matches. 1: there is one; 0: not now. Errors: -EBADMSG, … */
int audit_source_fill(struct audit_source *s, const struct audit_filter *f, struct err *reterr);
void audit_source_free(struct audit_source *s);

/* What a record says of paths; freed with audit_words_release(). */
struct audit_words {
	struct buf path, to, value;
	bool has_path, has_to, has_value;
	const char *rule; /* borrowed from rule_text or the policy; or NULL */
	struct buf rule_text;
};

int audit_words(const struct audit_source *s, const struct record *rec, struct audit_words *ret);
void audit_words_release(struct audit_words *w);

/* Type Record. Returns a new reference, or NULL without memory. */
json_t *audit_json(const struct audit_source *s, const struct record *rec,
		   const struct audit_words *w, const struct audit_key *key);

/* ok, denied or failed. */
enum audit_result audit_result_of(const struct record *rec);
