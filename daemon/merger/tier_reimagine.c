/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tier 4, reimagine: a file that no lower tier could merge is written anew, to hold what both sides meant.
 * Guarantees: (1) only where the configuration says so, and where what lands is verified: else the file stays a
 * conflict, and it is said why; (2) what comes has every name that a side added (ai_accept_file()); (3) the result
 * tells from which versions it was made, and by which command.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ai_accept.h"
#include "cleanup.h"
#include "tier_parts.h"

enum { TRIES = 2 };

struct writing {
	struct tier_ai *t;
	struct ai_context x;
	struct tier_cost before;
	json_t *rejected;
};

static bool crlf(struct text t)
{
	const char *nl = t.n ? memchr(t.p, '\n', t.n) : NULL;

	return nl && nl > t.p && nl[-1] == '\r';
}

static int fit(const struct writing *w, const struct ai_answer *a, struct buf *ret, struct err *why)
{
	struct text ours = w->x.whole[OURS], theirs = w->x.whole[THEIRS];
	bool ended = (ours.n && ours.p[ours.n - 1] == '\n') ||
		     (theirs.n && theirs.p[theirs.n - 1] == '\n');
	int r;

	if (!a->file)
		return err_set(why, -EBADMSG, "a whole file was asked for");
	r = ai_text_ends((struct text){a->file, a->file_len}, crlf(ours), ended, ret);
	return r < 0 ? r
		     : ai_accept_file(w->x.path, w->x.whole,
				      (struct text){ret->len ? ret->data : "", ret->len}, why);
}

static void note_rejected(struct writing *w, const struct tier_resolver *v, const char *why)
{
	(void)json_array_append_new(w->rejected, json_pack("{s:s,s:o}", "resolver", v->label, "why",
							   worker_text(why, strlen(why))));
	tier_note(w->t, "'%s' was not reimagined by '%s': %s", w->x.path, v->name, why);
}

/* Returns 1 and the file, 0, -errno; *a is released by the caller. */
static int one_try(struct writing *w, struct tier_resolver *v, struct ai_question *q,
		   struct ai_answer *a, struct buf *ret, struct err *why)
{
	json_t *request = ai_request_file(&w->x, q);
	int r = request ? tier_call(w->t, v, w->x.path, 1, request, q, a, why) : -ENOMEM;

	json_decref(request);
	if (r == 0 && a->declined) {
		note_rejected(w, v, *a->reason ? a->reason : "it has no answer");
		return 0;
	}
	if (r == 0)
		r = fit(w, a, ret, why);
	return r < 0 ? r : 1;
}

static int ask_one(struct writing *w, struct tier_resolver *v, struct ai_answer *a, struct buf *ret)
{
	_cleanup_(err_release) struct err first = ERR_INIT;

	for (int attempt = 1; attempt <= TRIES; attempt++) {
		_cleanup_(err_release) struct err why = ERR_INIT;
		struct ai_question q = {.ask = AI_ASK_FILE,
					.attempt = attempt,
					.sample = 1,
					.rejected = first.code ? err_text(&first) : NULL};
		int r;

		buf_clear(ret);
		ai_answer_release(a);
		r = one_try(w, v, &q, a, ret, &why);
		if (r >= 0 || r == -ENOMEM || r == -EDQUOT)
			return r;
		if (r != -EBADMSG)
			return 0;
		if (attempt == TRIES)
			note_rejected(w, v, err_text(&why));
		err_release(&first);
		(void)err_set(&first, r, "%s", err_text(&why));
	}
	return 0;
}

/* ---- what is told ---- */

/* The command as it was started. No key is ever in it. */
static json_t *command_json(const struct tier_resolver *v)
{
	json_t *words = json_object_get(v->settings, "argv"), *word;
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t i;

	json_array_foreach (words, i, word) {
		const char *s = json_string_value(word), *slash = i ? NULL : strrchr(s, '/');

		if (buf_addf(&b, "%s%s", i ? " " : "", slash ? slash + 1 : s) < 0)
			return json_null();
	}
	return worker_text(b.len ? b.data : "", b.len < 400 ? b.len : 400);
}

static json_t *from_json(const struct writing *w)
{
	static const char *const names[SIDES] = {"base", "ours", "theirs"};
	json_t *o = json_object();

	for (int s = BASE; s < SIDES; s++) {
		char hex[GIT_OID_HEXSZ + 1];
		git_oid id;

		if (git_odb_hash(&id, w->x.whole[s].n ? w->x.whole[s].p : "", w->x.whole[s].n,
				 GIT_OBJECT_BLOB) == 0)
			(void)json_object_set_new(
				o, names[s], json_string(git_oid_tostr(hex, sizeof(hex), &id)));
	}
	return o;
}

static json_t *resolved_json(const struct writing *w, const struct tier_resolver *v,
			     const struct ai_answer *a, struct text text)
{
	const struct tier_cost *now = &w->t->spent, *was = &w->before;
	json_t *o = json_pack(
		"{s:i,s:o,s:o,s:o,s:s,s:s,s:i,s:i,s:o,s:[],s:s,s:s,s:s,s:o,s:b,s:O,s:{s:I,s:I,s:I}}",
		"line", 1, "base", tier_text(w->x.whole[BASE]), "ours", tier_text(w->x.whole[OURS]),
		"theirs", tier_text(w->x.whole[THEIRS]), "resolver", v->label, "does",
		"the whole file written anew", "fired", (int)v->record.fired, "right",
		(int)v->record.right, "text", tier_text(text), "candidates", "tier", "reimagine",
		"basis", "verify", "class", "new", "reason", json_string(a->reason), "needs_verify",
		1, "rejected", w->rejected, "cost", "calls", (json_int_t)(now->calls - was->calls),
		"ms", (json_int_t)(now->ms - was->ms), "tokens",
		(json_int_t)(now->tokens - was->tokens));

	if (o)
		(void)json_object_set_new(o, "who", json_string("ai"));
	if (o && a->confidence >= 0)
		(void)json_object_set_new(o, "confidence", json_real(a->confidence));
	return json_pack("{s:o,s:s,s:o,s:o,s:[o]}", "path",
			 worker_text(w->x.path, strlen(w->x.path)), "tier", "reimagine", "from",
			 from_json(w), "command", command_json(v), "conflicts", o);
}

static int ask_all(struct writing *w, struct buf *ret, json_t **ret_resolved)
{
	int r = 0;

	for (size_t i = 0; i < w->t->n && r == 0; i++) {
		struct tier_resolver *v = &w->t->v[i];
		struct ai_answer a = {0};

		if (tier_applies(v, w->x.path))
			r = ask_one(w, v, &a, ret);
		if (r > 0) {
			*ret_resolved = resolved_json(
				w, v, &a, (struct text){ret->len ? ret->data : "", ret->len});
			r = *ret_resolved ? 1 : -ENOMEM;
		}
		ai_answer_release(&a);
	}
	return r == -EDQUOT ? 0 : r;
}

int tier_reimagine(struct tier_ai *t, const char *path, const struct text whole[SIDES],
		   bool generated, struct buf *ret, json_t **ret_resolved)
{
	struct writing w = {.t = t, .before = t->spent};
	json_t *keep = NULL;
	bool any = false;
	int r;

	for (size_t i = 0; i < t->n; i++)
		any |= tier_applies(&t->v[i], path);
	if (!any || !t->reimagine || !t->ask || !tier_askable(t, path, whole, generated))
		return 0;
	if (!t->verify) {
		tier_note(
			t,
			"'%s' was not reimagined: that needs a verify command for '%s', and none is "
			"configured",
			path, t->into);
		return 0;
	}
	w.rejected = json_array();
	w.x = (struct ai_context){.path = path,
				  .whole = {whole[BASE], whole[OURS], whole[THEIRS]},
				  .history = t->history,
				  .verify_output = worker_str(t->w, "verify_output")};
	tier_sides(t, path, w.x.side, &keep);
	r = ask_all(&w, ret, ret_resolved);
	t->needs_verify |= r > 0;
	json_decref(keep);
	json_decref(w.rejected);
	return r;
}
