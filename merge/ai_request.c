/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol of external resolvers, version 1. A resolver is any command: one JSON object on its standard
 * input, then end of file; one JSON object on its standard output, then exit 0. Any other exit status means
 * that it has no answer, and the last line of its standard error says why. It runs in a sandbox: it sees
 * its program, the system's libraries and what the configuration lets it read, has no network unless that is
 * allowed, and is ended at its time limit.
 *
 * Request (members that are not known are null or absent; new ones may come, a resolver skips those):
 *     protocol   1
 *     ask        "class": which of `classes`; `text` only where it is known at once
 *                "text":  the class is new; `text` is wanted
 *                "file":  the whole file that holds what both sides meant is wanted, as `file`
 *     path, language ("c", "python", …, "text")
 *     classes    ["ours", "theirs", "both", "base", "new"]
 *     conflict   {line (from 1, in ours), base, ours, theirs, before, after (at most 20 lines each, as they
 *                merged), enclosing (the first line of the declaration around it)}
 *     files      {base, ours, theirs}, with ask "file"
 *     ours       {branch, agent, role, task, messages [text], diff}: the target since the merge base; diff is
 *     theirs     of the whole file, unified; the source likewise
 *     candidates [{resolver, does, fired, right, text}]: what rules would say, and how often each was right
 *     history    [{path, base, ours, theirs, kept, who, similarity (0 … 1)}]: past conflicts of this
 *                repository that are most like this one, and what a person kept
 *     attempt    1 or 2; rejected: why the first answer was not taken
 *     sample     1, 2 …: the same question, asked again to see whether the answer stays
 *     verify_output  what the verify command printed when it failed on the last merge
 *
 * Answer:
 *     class      "ours", "theirs", "both" (lines of both, ours first unless `text` has another order), "base",
 *                "new", or "none": no answer
 *     text       the conflict's lines, with "new" (and where it likes with "both"); never with fences or markers
 *     file       instead of text: the whole file. What is outside its conflicts has to be as it merged; with
 *                ask "file" anything may differ
 *     confidence 0 … 1, reason (one line), tokens (what the answer cost)
 */
#include "ai_request.h"

#include <errno.h>
#include <git2.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "token.h"

enum { AROUND_LINES = 20, DIFF_MAX = 48 << 10, HISTORY_LOOK = 2000, CANDIDATES_MAX = 8 };
static const size_t whole_max = (size_t)256 << 10;
static const double alike_min = 0.15;

bool ai_askable(const struct text whole[SIDES])
{
	for (int s = BASE; s < SIDES; s++) {
		json_t *t = whole[s].n <= whole_max &&
					    !memchr(whole[s].n ? whole[s].p : "", 0, whole[s].n)
				    ? json_stringn(whole[s].n ? whole[s].p : "", whole[s].n)
				    : NULL;

		if (!t)
			return false;
		json_decref(t);
	}
	return true;
}

static json_t *text_json(struct text t)
{
	return json_stringn(t.n ? t.p : "", t.n);
}

static json_t *maybe(const char *s)
{
	json_t *o = s && *s ? json_string(s) : NULL;

	return o ? o : json_null();
}

/* Lines of a text that may be cut anywhere: the longest piece of it that is UTF-8. */
static json_t *cut_json(const char *p, size_t n, size_t max)
{
	json_t *o;

	if (n <= max)
		return json_stringn(p, n);
	while (max && ((unsigned char)p[max] & 0xc0) == 0x80)
		max--;
	o = json_stringn(p, max);
	if (o) {
		json_t *told =
			json_sprintf("%s\n[… %zu more bytes]\n", json_string_value(o), n - max);

		json_decref(o);
		return told;
	}
	return NULL;
}

/* Unified, of the whole file; null where libgit2 cannot. */
static json_t *diff_json(const char *path, struct text a, struct text b)
{
	git_patch *patch = NULL;
	git_buf out = {0};
	json_t *o = NULL;

	if (git_patch_from_buffers(&patch, a.n ? a.p : "", a.n, path, b.n ? b.p : "", b.n, path,
				   NULL) == 0 &&
	    git_patch_to_buf(&out, patch) == 0)
		o = cut_json(out.ptr ? out.ptr : "", out.size, DIFF_MAX);
	git_buf_dispose(&out);
	git_patch_free(patch);
	return o ? o : json_null();
}

static json_t *side_json(const struct ai_context *x, enum side side)
{
	const struct ai_side *s = &x->side[side];
	json_t *messages = s->messages ? json_deep_copy(s->messages) : json_array();

	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o}", "branch", maybe(s->branch), "agent",
			 maybe(s->agent), "role", maybe(s->role), "task", maybe(s->task),
			 "messages", messages, "diff",
			 diff_json(x->path, x->whole[BASE], x->whole[side]));
}

/* ---- the most similar past conflicts ---- */

struct scored {
	const json_t *past;
	double score;
	size_t order;
};

static int by_score(const void *a, const void *b)
{
	const struct scored *x = a, *y = b;

	if (x->score != y->score)
		return x->score < y->score ? 1 : -1;
	return (x->order > y->order) - (x->order < y->order);
}

static struct text member(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return (struct text){json_is_string(v) ? json_string_value(v) : "", json_string_length(v)};
}

static int tokens_of(const struct text t[SIDES], struct token_set *ret)
{
	int r = 0;

	for (int s = BASE; s < SIDES && r == 0; s++)
		r = token_set_add(ret, t[s], TOKEN_NUMBER);
	token_set_close(ret);
	return r;
}

/* Half of it the words, a quarter each the same path, the same kind of file. */
static double likeness(const char *path, const struct token_set *words, const json_t *past)
{
	const struct text t[SIDES] = {member(past, "base"), member(past, "ours"),
				      member(past, "theirs")};
	const char *other = json_string_value(json_object_get(past, "path"));
	struct token_set theirs = {0};
	double alike = 0;

	if (!other || !json_is_string(json_object_get(past, "kept")))
		return 0;
	if (tokens_of(t, &theirs) == 0)
		alike = token_set_alike(words, &theirs);
	token_set_release(&theirs);
	if (alike < alike_min)
		return 0;
	return alike / 2 + (strcmp(path, other) == 0 ? 0.25 : 0) +
	       (language_of(path) == language_of(other) ? 0.25 : 0);
}

static json_t *pick(const struct scored *v, size_t n)
{
	json_t *picked = json_array();

	for (size_t i = 0; i < n && i < AI_SIMILAR_MAX && v[i].score > 0; i++) {
		json_t *o = json_deep_copy(v[i].past);

		(void)json_object_set_new(o, "similarity", json_real(v[i].score));
		(void)json_array_append_new(picked, o);
	}
	return picked;
}

json_t *ai_similar(const json_t *history, const char *path, const struct text t[SIDES])
{
	size_t n = json_array_size(history);
	_cleanup_free_ struct scored *v = NULL;
	struct token_set words = {0};
	json_t *picked = NULL;

	n = n < HISTORY_LOOK ? n : HISTORY_LOOK;
	v = calloc(n + 1, sizeof(*v));
	if (v && tokens_of(t, &words) == 0) {
		for (size_t i = 0; i < n; i++) {
			const json_t *past = json_array_get(history, i);

			v[i] = (struct scored){past, likeness(path, &words, past), i};
		}
		qsort(v, n, sizeof(*v), by_score);
		picked = pick(v, n);
	}
	token_set_release(&words);
	return picked ? picked : json_array();
}

/* ---- a conflict and what is around it ---- */

/* At most so many lines of the merged file before (or behind) byte `at`. */
static json_t *around(const struct buf *file, size_t at, bool before)
{
	size_t from = at, to = at;

	for (int i = 0; before && i < AROUND_LINES && from > 0; i++)
		for (from--; from > 0 && file->data[from - 1] != '\n';)
			from--;
	for (int i = 0; !before && i < AROUND_LINES && to < file->len; i++)
		for (to++; to < file->len && file->data[to - 1] != '\n';)
			to++;
	return json_stringn(file->len ? file->data + from : "", to - from);
}

/* As git names a hunk: the nearest line above that begins at the margin with a letter. */
static json_t *enclosing(const struct buf *file, size_t at)
{
	for (size_t end = at; end > 0;) {
		size_t from = end - 1;

		while (from > 0 && file->data[from - 1] != '\n')
			from--;
		if ((file->data[from] | 0x20) >= 'a' && (file->data[from] | 0x20) <= 'z')
			return json_stringn(file->data + from, strcspn(file->data + from, "\r\n"));
		end = from;
	}
	return json_null();
}

static json_t *conflict_json(const struct resolve *r, size_t at)
{
	const struct chunk *c = &r->v[at].chunk;
	_cleanup_free_ struct range *where = calloc(r->d.conflicts + 1, sizeof(*where));
	_cleanup_buf_ struct buf file = BUF_INIT;

	if (!where || diff3_assemble(&r->d, OURS, &file, where) < 0)
		return NULL;
	return json_pack("{s:I,s:o,s:o,s:o,s:o,s:o,s:o}", "line", (json_int_t)c->from[OURS] + 1,
			 "base", text_json(diff3_text(&r->d, c, BASE)), "ours",
			 text_json(diff3_text(&r->d, c, OURS)), "theirs",
			 text_json(diff3_text(&r->d, c, THEIRS)), "before",
			 around(&file, where[at].from, true), "after",
			 around(&file, where[at].to, false), "enclosing",
			 enclosing(&file, where[at].from));
}

static json_t *candidates_json(const struct resolved_conflict *c)
{
	json_t *all = json_array();

	for (size_t i = 0; i < c->n && i < CANDIDATES_MAX; i++) {
		const struct answer *a = &c->answers[i];

		(void)json_array_append_new(
			all, json_pack("{s:s,s:s,s:i,s:i,s:o}", "resolver", a->by->name, "does",
				       a->by->does, "fired", (int)a->evidence.fired, "right",
				       (int)a->evidence.right, "text",
				       text_json((struct text){a->text, a->len})));
	}
	return all;
}

static const char *const asks[] = {
	[AI_ASK_CLASS] = "class", [AI_ASK_TEXT] = "text", [AI_ASK_FILE] = "file"};

/* What every question has. */
static json_t *question(const struct ai_context *x, const struct ai_question *q, json_t *history)
{
	return json_pack("{s:i,s:s,s:s,s:s,s:o,s:o,s:o,s:i,s:i,s:o,s:o}", "protocol", AI_PROTOCOL,
			 "ask", asks[q->ask], "path", x->path, "language",
			 language_of(x->path)->name, "ours", side_json(x, OURS), "theirs",
			 side_json(x, THEIRS), "history", history, "attempt", q->attempt, "sample",
			 q->sample, "rejected", maybe(q->rejected), "verify_output",
			 maybe(x->verify_output));
}

json_t *ai_request_conflict(const struct ai_context *x, const struct resolve *r, size_t at,
			    const struct ai_question *q)
{
	const struct resolved_conflict *c = &r->v[at];
	const struct text t[SIDES] = {diff3_text(&r->d, &c->chunk, BASE),
				      diff3_text(&r->d, &c->chunk, OURS),
				      diff3_text(&r->d, &c->chunk, THEIRS)};
	json_t *o = question(x, q, ai_similar(x->history, x->path, t)), *classes = json_array();

	for (int i = 0; i < AI_CLASSES; i++)
		(void)json_array_append_new(classes, json_string(ai_class_name((enum ai_class)i)));
	if (!o || json_object_set_new(o, "classes", classes) < 0 ||
	    json_object_set_new(o, "conflict", conflict_json(r, at)) < 0 ||
	    json_object_set_new(o, "candidates", candidates_json(c)) < 0) {
		json_decref(o);
		return NULL;
	}
	return o;
}

json_t *ai_request_file(const struct ai_context *x, const struct ai_question *q)
{
	json_t *o = question(x, q, ai_similar(x->history, x->path, x->whole));
	json_t *files = json_pack("{s:o,s:o,s:o}", "base", text_json(x->whole[BASE]), "ours",
				  text_json(x->whole[OURS]), "theirs", text_json(x->whole[THEIRS]));

	if (!o || json_object_set_new(o, "files", files) < 0) {
		json_decref(o);
		return NULL;
	}
	return o;
}
