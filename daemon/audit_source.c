/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One journal read through: a record's paths are found before it is applied, so that a file that it
 * removes or renames still has its old name. Every record is applied, whether it is shown or not.
 */
#include "audit_source.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "cleanup.h"

int audit_key_compare(const struct audit_key *a, const struct audit_key *b)
{
	int c;

	if (a->time != b->time)
		return a->time < b->time ? -1 : 1;
	c = strcmp(a->view, b->view);
	if (c != 0)
		return c;
	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

/* Bookkeeping of our own is nobody's deed. */
static bool is_deed(const struct record *rec)
{
	switch (rec->type) {
	case RECORD_SYNC:
	case RECORD_FOLD:
	case RECORD_SEAL:
	case RECORD_CHECKPOINT:
	case RECORD_FORGET:
	case RECORD_COMPACT:
		return false;
	default:
		return true;
	}
}

/* What can be told without paths. */
static bool matches_record(const struct audit_filter *f, const struct record *rec,
			   const struct audit_key *key)
{
	uint32_t op = RECORD_HAS(rec, F_OP) ? rec->op : OP_NONE;

	if (!is_deed(rec) || key->time < f->since || key->time > f->until)
		return false;
	if (f->has_cursor && audit_key_compare(key, &f->cursor) <= 0)
		return false;
	if (f->ops && (op >= OP_MAX || !(f->ops & UINT64_C(1) << op)))
		return false;
	if (f->result != AUDIT_ANY && audit_result_of(rec) != f->result)
		return false;
	if (!f->any_pid && (!RECORD_HAS(rec, F_PID) || rec->pid != f->pid))
		return false;
	return f->git || !(rec->flags & RECORD_F_GIT);
}

static bool covers(const struct audit_filter *f, const struct buf *path)
{
	const struct pattern_path at = {.p = path->data ? path->data : "", .n = path->len};

	return pattern_covers(f->path, &at);
}

static bool greps(const struct audit_filter *f, const char *s)
{
	return s && regexec(&f->grep, s, 0, NULL, 0) == 0;
}

static bool matches_words(const struct audit_filter *f, const struct record *rec,
			  const struct audit_words *w)
{
	if (f->path && !(w->has_path && covers(f, &w->path)) && !(w->has_to && covers(f, &w->to)))
		return false;
	if (f->rule && (!w->rule || !strstr(w->rule, f->rule)))
		return false;
	if (f->has_grep) {
		_cleanup_free_ char *comm = strndup(rec->comm.p ? rec->comm.p : "", rec->comm.n);

		return greps(f, w->path.data) || greps(f, w->to.data) || greps(f, w->value.data) ||
		       greps(f, w->rule) || greps(f, comm);
	}
	return true;
}

static int apply(struct audit_source *s, const struct record *rec, struct err *reterr)
{
	int r = s->image ? apply_replay(&s->tree, rec) : 0;

	if (r == -ENOENT && rec->type == RECORD_SYNC) { /* no image, no paths */
		tree_release(&s->tree);
		image_close(s->image);
		s->image = NULL;
		r = 0;
	}
	if (r < 0)
		return err_set_id(reterr, r, r == -EBADMSG ? "Damaged" : "Internal",
				  "record %" PRIu64
				  " of the view of %s does not fit the ones before it",
				  rec->seq, s->agent);
	if (rec->type == RECORD_POLICY && RECORD_HAS(rec, F_VALUE)) {
		_cleanup_free_ char *policy = strndup(rec->value.p, rec->value.n);

		policy_free(s->policy);
		s->policy = NULL;
		/* One that cannot be read any more leaves the rules' numbers without text. */
		if (policy && policy_parse(policy, &s->policy, NULL) < 0)
			s->policy = NULL;
	}
	return 0;
}

/* 1: s->head is this record. */
static int take(struct audit_source *s, const struct audit_filter *f, const struct record *rec,
		struct err *reterr)
{
	struct audit_words w = {0};
	int r;

	if (rec->time > s->time)
		s->time = rec->time;
	s->key = (struct audit_key){.time = s->time, .seq = rec->seq};
	memcpy(s->key.view, s->view, sizeof(s->view));
	if (!matches_record(f, rec, &s->key))
		return apply(s, rec, reterr);
	r = audit_words(s, rec, &w);
	if (r == 0 && matches_words(f, rec, &w)) {
		s->head = audit_json(s, rec, &w, &s->key);
		r = s->head ? 0 : -ENOMEM;
	}
	audit_words_release(&w);
	if (r == 0)
		r = apply(s, rec, reterr);
	return r < 0 ? r : s->head != NULL;
}

int audit_source_fill(struct audit_source *s, const struct audit_filter *f, struct err *reterr)
{
	struct record rec;
	int r;

	if (s->head)
		return 1;
	if (!s->reader) {
		r = journal_reader_open(s->dir, 0, &s->reader, reterr);
		if (r == -ENOENT) {
			err_release(reterr);
			return 0;
		}
		if (r < 0)
			return r;
	}
	while ((r = journal_reader_next(s->reader, &rec, reterr)) > 0) {
		r = take(s, f, &rec, reterr);
		if (r != 0)
			return r;
	}
	return r;
}

void audit_source_free(struct audit_source *s)
{
	if (!s)
		return;
	json_decref(s->head);
	journal_reader_close(s->reader);
	if (s->image)
		tree_release(&s->tree);
	image_close(s->image);
	policy_free(s->policy);
	(void)safe_close(s->dir);
	(void)safe_close(s->images_dir);
	free(s->agent);
	free(s);
}
