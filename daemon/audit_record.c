/* SPDX-License-Identifier: Apache-2.0 */
/* One record as people and programs read it: paths for node numbers, names for numbers. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "audit_source.h"
#include "worker_run.h"

enum audit_result audit_result_of(const struct record *rec)
{
	if (rec->type == RECORD_DENIED ||
	    (rec->type == RECORD_SUMMARY && !RECORD_HAS(rec, F_RESULT)))
		return AUDIT_DENIED; /* a summary with a result is of a quota */
	if (rec->type == RECORD_CONTROL && RECORD_HAS(rec, F_RESULT) && rec->result == -EACCES)
		return AUDIT_DENIED;
	if (rec->type == RECORD_FAILED || (RECORD_HAS(rec, F_RESULT) && rec->result < 0))
		return AUDIT_FAILED;
	return AUDIT_OK;
}

static const char *const result_names[] = {
	[AUDIT_ANY] = "",
	[AUDIT_OK] = "ok",
	[AUDIT_DENIED] = "denied",
	[AUDIT_FAILED] = "failed",
};

static bool takes_xattr(const struct record *rec)
{
	return rec->op == OP_SETXATTR || rec->op == OP_REMOVEXATTR;
}

/* The path of a name in a folder. Where the folder is not known, "…/" stands for it. */
static int child_path(const struct audit_source *s, uint64_t dir, struct bytes name, struct buf *b)
{
	int r = s->image ? tree_path_child(&s->tree, dir, name.p, name.n, b) : -ENOENT;

	if (r != -ENOENT)
		return r;
	buf_clear(b);
	r = buf_adds(b, "…/");
	return r < 0 ? r : buf_add(b, name.p, name.n);
}

static int find_path(const struct audit_source *s, const struct record *rec, struct audit_words *w)
{
	int r = 0;

	if (RECORD_HAS(rec, F_PATH)) {
		w->has_path = true;
		return buf_add(&w->path, rec->path.p, rec->path.n);
	}
	if (RECORD_HAS(rec, F_PARENT) && RECORD_HAS(rec, F_NAME)) {
		w->has_path = true;
		return child_path(s, rec->parent, rec->name, &w->path);
	}
	if (!RECORD_HAS(rec, F_NODE) || !s->image)
		return 0;
	/* A file without a name any more: the kernel still writes to it. */
	r = tree_path(&s->tree, rec->node, &w->path);
	if (r == -ENOENT) {
		buf_clear(&w->path);
		return 0;
	}
	w->has_path = r == 0;
	return r;
}

static int hex_bytes(struct bytes v, struct buf *b)
{
	int r = 0;

	for (size_t i = 0; i < v.n && r == 0; i++)
		r = buf_addf(b, "%02x", (unsigned char)v.p[i]);
	return r;
}

static int attr_value(const struct record *rec, struct buf *b)
{
	int r = 0;

	if (RECORD_HAS(rec, F_SIZE))
		r = buf_addf(b, "size %" PRIu64 " ", rec->size);
	if (r == 0 && RECORD_HAS(rec, F_MODE))
		r = buf_addf(b, "mode %04o ", rec->mode & 07777);
	if (r == 0 && RECORD_HAS(rec, F_OWNER))
		r = buf_addf(b, "owner %u ", rec->owner);
	if (r == 0 && RECORD_HAS(rec, F_GROUP))
		r = buf_addf(b, "group %u ", rec->group);
	if (r == 0 && (RECORD_HAS(rec, F_ATIME) || RECORD_HAS(rec, F_MTIME)))
		r = buf_adds(b, "times ");
	if (r == 0 && b->len > 0)
		b->data[--b->len] = '\0';
	return r;
}

static int find_value(const struct record *rec, struct audit_words *w)
{
	int r = 0;

	if (rec->type == RECORD_POLICY) {
		r = hex_bytes(rec->policy_hash, &w->value);
	} else if (rec->type == RECORD_SUMMARY) {
		r = buf_addf(&w->value, "%" PRIu64 " more like the one before", rec->count);
	} else if (RECORD_HAS(rec, F_OUTCOME)) {
		r = buf_add(&w->value, rec->outcome.p, rec->outcome.n);
	} else if (rec->type == RECORD_NOTE || rec->type == RECORD_CONTROL ||
		   rec->op == OP_SYMLINK) {
		r = buf_add(&w->value, rec->value.p, rec->value.n);
	} else if (takes_xattr(rec)) {
		r = buf_add(&w->value, rec->name.p, rec->name.n);
	} else if (rec->op == OP_SETATTR || rec->op == OP_TRUNCATE) {
		r = attr_value(rec, &w->value);
	}
	w->has_value = w->value.len > 0;
	return r;
}

static int find_rule(const struct audit_source *s, const struct record *rec, struct audit_words *w)
{
	int r = 0;

	if (RECORD_HAS(rec, F_RULE_TEXT)) {
		r = buf_add(&w->rule_text, rec->rule_text.p, rec->rule_text.n);
		w->rule = w->rule_text.data;
	} else if (RECORD_HAS(rec, F_RULE) && s->policy) {
		w->rule = policy_rule_text(s->policy, rec->rule);
	}
	return r;
}

int audit_words(const struct audit_source *s, const struct record *rec, struct audit_words *ret)
{
	struct audit_words w = {0};
	int r = find_path(s, rec, &w);

	if (r == 0 && RECORD_HAS(rec, F_PARENT2) && RECORD_HAS(rec, F_NAME2)) {
		w.has_to = true;
		r = child_path(s, rec->parent2, rec->name2, &w.to);
	}
	if (r == 0)
		r = find_value(rec, &w);
	if (r == 0)
		r = find_rule(s, rec, &w);
	if (r < 0) {
		audit_words_release(&w);
		return r;
	}
	*ret = w;
	return 0;
}

void audit_words_release(struct audit_words *w)
{
	buf_release(&w->path);
	buf_release(&w->to);
	buf_release(&w->value);
	buf_release(&w->rule_text);
	*w = (struct audit_words){0};
}

static json_t *text(const char *p, size_t n)
{
	return worker_text(p ? p : "", p ? n : 0);
}

static json_t *time_text(uint64_t ns)
{
	time_t s = (time_t)(ns / 1000000000u);
	char day[32], all[64];
	struct tm tm;

	if (!gmtime_r(&s, &tm) || strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		return json_string("");
	(void)snprintf(all, sizeof(all), "%s.%09uZ", day, (unsigned int)(ns % 1000000000u));
	return json_string(all);
}

static void put_numbers(json_t *o, const struct record *rec)
{
	const struct {
		const char *key;
		enum record_field field;
		uint64_t value;
	} numbers[] = {
		{"offset", F_OFFSET, rec->offset},
		{"length", F_LENGTH, rec->length},
		{"pid", F_PID, rec->pid},
		{"uid", F_UID, rec->uid},
	};

	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (RECORD_HAS(rec, numbers[i].field))
			(void)json_object_set_new(o, numbers[i].key,
						  json_integer((json_int_t)numbers[i].value));
}

static void put_words(json_t *o, const struct record *rec, const struct audit_words *w)
{
	if (w->has_path)
		(void)json_object_set_new(o, "path", text(w->path.data, w->path.len));
	if (w->has_to)
		(void)json_object_set_new(o, "to", text(w->to.data, w->to.len));
	if (w->has_value)
		(void)json_object_set_new(o, "value", text(w->value.data, w->value.len));
	if (w->rule)
		(void)json_object_set_new(o, "rule", text(w->rule, strlen(w->rule)));
	if (RECORD_HAS(rec, F_COMM))
		(void)json_object_set_new(o, "command", text(rec->comm.p, rec->comm.n));
}

static void put_op(json_t *o, const struct record *rec)
{
	const char *name = record_op_name(rec->op), *error;

	if (rec->type == RECORD_CONTROL && RECORD_HAS(rec, F_NAME))
		(void)json_object_set_new(o, "op", text(rec->name.p, rec->name.n));
	else if (RECORD_HAS(rec, F_OP) && rec->op != OP_NONE && name)
		(void)json_object_set_new(o, "op", json_string(name));
	/* A call's failure is told by its outcome, a sentence. */
	if (!RECORD_HAS(rec, F_RESULT) || rec->result >= 0 || rec->type == RECORD_CONTROL)
		return;
	error = strerrorname_np(-rec->result);
	(void)json_object_set_new(o, "errno",
				  error ? json_string(error) : json_sprintf("%d", -rec->result));
}

json_t *audit_json(const struct audit_source *s, const struct record *rec,
		   const struct audit_words *w, const struct audit_key *key)
{
	const char *type = record_type_name(rec->type);
	json_t *o = json_object();

	if (!o)
		return NULL;
	(void)json_object_set_new(o, "seq", json_integer((json_int_t)rec->seq));
	(void)json_object_set_new(o, "time", time_text(rec->time));
	(void)json_object_set_new(o, "agent", text(s->agent, strlen(s->agent)));
	(void)json_object_set_new(o, "view", json_string(s->view));
	(void)json_object_set_new(o, "type", json_string(type ? type : "unknown"));
	(void)json_object_set_new(o, "result", json_string(result_names[audit_result_of(rec)]));
	put_op(o, rec);
	if (rec->type == RECORD_CONTROL && RECORD_HAS(rec, F_COUNT))
		(void)json_object_set_new(o, "call", json_integer((json_int_t)rec->count));
	put_numbers(o, rec);
	put_words(o, rec, w);
	if (rec->flags & RECORD_F_INFERRED)
		(void)json_object_set_new(o, "inferred", json_true());
	(void)json_object_set_new(
		o, "cursor",
		json_sprintf("%" PRIu64 ":%s:%" PRIu64, key->time, key->view, key->seq));
	return o;
}
