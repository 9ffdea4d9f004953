/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tier 3, ai-resolve: who is asked about a conflict, how often, and when an answer is believed.
 *
 * The same conflict that got an answer before (tier_memo.c): that. Else, for each resolver that is configured for the
 * path, in order:
 *     ask for the class, and for a text where the class is new → fit (ai_accept.h)? → believed? → taken
 *         not fit: once more, with the reason; then the next resolver
 *         fit, but not believed: the same question once more; then the next resolver
 *
 * An answer is believed where (1) it equals what a rule of tier 2 would say, or (2) the resolver's own record
 * in this repository is long enough and good enough, or (3) it is verified before it lands, or (4) it was given
 * twice, by one resolver or two; not (4) where the resolver has a long record that is bad. How sure a
 * resolver says it is counts for nothing.
 *
 * Guarantees: a file gets answers to all its conflicts or to none; nothing is taken that ai_accept() rejects.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ai_accept.h"
#include "cleanup.h"
#include "tier_parts.h"

enum { TRIES = 2, SAMPLES = 2, RECORD_ENOUGH = 30, KEPT_MAX = 16 };

/* A text that is fit. */
struct proposal {
	const struct tier_resolver *by;
	enum ai_class class;
	struct buf text;
	double confidence;
	char *reason; /* owned */
	const char *basis;
};

/* Work on one file. */
struct asking {
	struct tier_ai *t;
	struct ai_context x;
	struct resolve *r;
	struct ai_file *file;
	/* A whole file that a resolver gave for one conflict, cut into the texts of all; NULL: none. */
	char *offered;
	struct range *cuts;
	const struct tier_resolver *offered_by;
};

/* Work on one conflict of it. */
struct one {
	struct asking *a;
	size_t at;
	int64_t line;
	struct conflict c;
	struct ai_case k;
	struct ai_outcome *out;
	struct proposal kept[KEPT_MAX]; /* fit, and not believed (yet) */
	size_t nkept;
	struct tier_cost before; /* what was spent before it */
	char key[GIT_OID_HEXSZ + 1];
};

static void proposal_release(struct proposal *p)
{
	buf_release(&p->text);
	free(p->reason);
	*p = (struct proposal){0};
}

void ai_file_release(struct ai_file *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].answer.text);
		json_decref(f->v[i].told);
		json_decref(f->v[i].rejected);
	}
	free(f->v);
	*f = (struct ai_file){0};
}

static struct text bytes(const struct buf *b)
{
	return (struct text){b->len ? b->data : "", b->len};
}

static void note_rejected(struct one *o, const struct tier_resolver *v, const struct buf *text,
			  const char *why)
{
	json_t *j =
		json_pack("{s:s,s:o}", "resolver", v->label, "why", worker_text(why, strlen(why)));

	if (text && text->len)
		(void)json_object_set_new(j, "text", tier_text(bytes(text)));
	if (!o->out->rejected)
		o->out->rejected = json_array();
	(void)json_array_append_new(o->out->rejected, j);
}

/* ---- an answer that gives the whole file ---- */

/* Cuts it into the conflicts' texts. Errors: -EBADMSG, -ENOMEM. */
static int take_file(struct one *o, const struct tier_resolver *v, const struct ai_answer *a,
		     struct err *why)
{
	struct asking *k = o->a;
	struct text ours = k->x.whole[OURS];
	_cleanup_buf_ struct buf whole = BUF_INIT;
	int r = ai_text_ends((struct text){a->file, a->file_len}, o->c.crlf,
			     !ours.n || ours.p[ours.n - 1] == '\n', &whole);

	if (r < 0)
		return r;
	if (!k->cuts)
		k->cuts = calloc(k->r->d.conflicts + 1, sizeof(*k->cuts));
	if (!k->cuts)
		return -ENOMEM;
	r = diff3_split(&k->r->d, bytes(&whole), k->cuts);
	free(k->offered);
	k->offered = r > 0 ? buf_take(&whole) : NULL;
	k->offered_by = v;
	if (r == 0)
		return err_set(why, -EBADMSG,
			       "its file differs from what merged where there was no conflict");
	return r < 0 ? r : k->offered ? 0 : -ENOMEM;
}

/* The text of this conflict in it, as an answer whose class is what it is. */
static int from_offered(struct one *o, struct proposal *p)
{
	static const struct {
		enum ai_class class;
		enum side side;
	} plain[] = {{AI_OURS, OURS}, {AI_THEIRS, THEIRS}, {AI_BASE, BASE}};
	const struct range *cut = &o->a->cuts[o->at];
	struct text t = {o->a->offered + cut->from, cut->to - cut->from};

	p->class = AI_NEW;
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++)
		if (text_equal(t, o->c.text[plain[i].side])) {
			p->class = plain[i].class;
			break;
		}
	return buf_add(&p->text, t.p, t.n);
}

/* ---- one try ---- */

static int call(struct one *o, struct tier_resolver *v, const struct ai_question *q,
		struct ai_answer *ret, struct err *why)
{
	json_t *request = ai_request_conflict(&o->a->x, o->a->r, o->at, q);
	int r = request ? tier_call(o->a->t, v, o->a->x.path, o->line, request, q, ret, why)
			: -ENOMEM;

	json_decref(request);
	return r;
}

/* The text that an answer means. Returns 1, 0: its class is new, and it has none, -errno. */
static int mean(struct one *o, const struct tier_resolver *v, struct ai_answer *a,
		struct proposal *p, struct err *why)
{
	int r;

	p->by = v;
	p->class = a->class;
	p->confidence = a->confidence;
	free(p->reason);
	p->reason = TAKE_PTR(a->reason);
	if (!a->file)
		return ai_answer_text(&o->c, a, &p->text, why);
	r = take_file(o, v, a, why);
	if (r == 0)
		r = from_offered(o, p);
	return r < 0 ? r : 1;
}

/* Asks for the class, and for the text where that is needed. Returns 1 and a text, 0: it has no answer, -errno. */
static int ask(struct one *o, struct tier_resolver *v, struct ai_question *q, struct proposal *p,
	       struct err *why)
{
	struct ai_answer a = {0};
	int r;

	if (o->a->offered && o->a->offered_by == v && q->attempt == 1 && q->sample == 1) {
		p->by = v;
		p->confidence = -1;
		r = from_offered(o, p);
		return r < 0 ? r : 1;
	}
	q->ask = AI_ASK_CLASS;
	r = call(o, v, q, &a, why);
	if (r == 0 && !a.declined)
		r = mean(o, v, &a, p, why);
	else if (r == 0)
		goto declined;
	ai_answer_release(&a);
	if (r != 0)
		return r;
	q->ask = AI_ASK_TEXT;
	r = call(o, v, q, &a, why);
	if (r < 0)
		return r;
	if (a.declined)
		goto declined;
	r = a.class == AI_NEW ? mean(o, v, &a, p, why)
			      : err_set(why, -EBADMSG, "a text was asked for, not another class");
	if (r == 0)
		r = err_set(why, -EBADMSG, "it is empty");
	ai_answer_release(&a);
	return r;
declined:
	note_rejected(o, v, NULL, *a.reason ? a.reason : "it does not say why");
	(void)json_object_set_new(
		json_array_get(o->out->rejected, json_array_size(o->out->rejected) - 1), "declined",
		json_true());
	ai_answer_release(&a);
	return 0;
}

/* Two tries, the second with the reason of the first's rejection. Returns 1 and a fit text, 0, -errno. */
static int get_fit(struct one *o, struct tier_resolver *v, int sample, struct proposal *p)
{
	_cleanup_(err_release) struct err first = ERR_INIT;

	for (int attempt = 1; attempt <= TRIES; attempt++) {
		_cleanup_(err_release) struct err why = ERR_INIT;
		struct ai_question q = {.attempt = attempt,
					.sample = sample,
					.rejected = first.code ? err_text(&first) : NULL};
		int r;

		proposal_release(p);
		r = ask(o, v, &q, p, &why);
		if (r > 0)
			r = ai_accept(&o->k, p->class, bytes(&p->text), &why);
		else if (r == 0)
			return 0;
		if (r == 0)
			return 1;
		if (r == -ENOMEM || r == -EDQUOT)
			return r;
		note_rejected(o, v, &p->text, err_text(&why));
		if (r != -EBADMSG)
			return 0;
		err_release(&first);
		(void)err_set(&first, r, "%s", err_text(&why));
	}
	return 0;
}

/* ---- is it believed? ---- */

static bool is_candidate(const struct one *o, const struct buf *text)
{
	const struct resolved_conflict *c = &o->a->r->v[o->at];

	for (size_t i = 0; i < c->n; i++)
		if (text_equal((struct text){c->answers[i].text, c->answers[i].len}, bytes(text)))
			return true;
	return false;
}

static bool said_before(const struct one *o, const struct buf *text)
{
	for (size_t i = 0; i < o->nkept; i++)
		if (text_equal(bytes(&o->kept[i].text), bytes(text)))
			return true;
	return false;
}

/* What the answer is believed for, or NULL. */
static const char *believed(const struct one *o, const struct tier_resolver *v,
			    const struct proposal *p)
{
	const struct tier_ai *t = o->a->t;
	bool known = v->record.fired >= RECORD_ENOUGH,
	     good = known && evidence_suffices(v->record, t->cost_of_wrong);

	if (is_candidate(o, &p->text))
		return "candidate";
	if (good)
		return "record";
	if (t->verify)
		return "verify";
	return !known && said_before(o, &p->text) ? "samples" : NULL;
}

static json_t *told_of(const struct one *o, const struct proposal *p)
{
	const struct tier_cost *now = &o->a->t->spent, *was = &o->before;
	json_t *j = json_pack("{s:s,s:s,s:o,s:{s:I,s:I,s:I}}", "tier", "ai-resolve", "basis",
			      p->basis, "reason", json_string(p->reason ? p->reason : ""), "cost",
			      "calls", (json_int_t)(now->calls - was->calls), "ms",
			      (json_int_t)(now->ms - was->ms), "tokens",
			      (json_int_t)(now->tokens - was->tokens));

	(void)json_object_set_new(j, "who", json_string("ai"));
	(void)json_object_set_new(j, "class", json_string(ai_class_name(p->class)));
	if (p->confidence >= 0)
		(void)json_object_set_new(j, "confidence", json_real(p->confidence));
	if (strcmp(p->basis, "verify") == 0)
		(void)json_object_set_new(j, "needs_verify", json_true());
	return j;
}

/* Makes it the conflict's answer; the resolver's state and the file's hold it together. */
static int take(struct one *o, const struct tier_resolver *v, struct proposal *p)
{
	struct ai_outcome *out = o->out;

	out->by = (struct resolver){.name = v->label, .does = ai_class_does(p->class)};
	out->answer = (struct answer){
		.by = &out->by, .len = p->text.len, .evidence = v->record, .acts = true};
	out->told = told_of(o, p);
	out->answer.text = buf_take(&p->text);
	out->has_answer = out->answer.text;
	return out->has_answer ? 1 : -ENOMEM;
}

static json_t *memo_of(const struct tier_resolver *v, const struct proposal *p)
{
	json_t *o = json_pack("{s:s,s:s,s:o,s:s,s:s}", "resolver", v->label, "class",
			      ai_class_name(p->class), "text",
			      json_stringn(p->text.len ? p->text.data : "", p->text.len), "basis",
			      p->basis, "reason", p->reason ? p->reason : "");

	if (o && p->confidence >= 0)
		(void)json_object_set_new(o, "confidence", json_real(p->confidence));
	return o;
}

/* Which of the words of believed() it is, or NULL. */
static const char *basis_named(const char *name)
{
	static const char *const names[] = {"candidate", "record", "verify", "samples"};

	for (size_t i = 0; name && i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i], name) == 0)
			return names[i];
	return NULL;
}

static const char *member(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

/* An answer that was believed before: returns 1 it is taken again, 0, -errno. */
static int replay(struct one *o)
{
	struct tier_ai *t = o->a->t;
	const json_t *m = tier_memo_find(t, o->key), *sure = json_object_get(m, "confidence");
	const struct tier_resolver *v = NULL;
	struct proposal p = {.basis = basis_named(member(m, "basis")),
			     .confidence = json_is_number(sure) ? json_number_value(sure) : -1};
	int class = member(m, "class") ? ai_class_parse(member(m, "class")) : -EINVAL, r;

	for (size_t i = 0; m && i < t->n; i++)
		if (member(m, "resolver") && strcmp(t->v[i].label, member(m, "resolver")) == 0)
			v = &t->v[i];
	if (!v || !p.basis || class < 0 || !member(m, "text") ||
	    (strcmp(p.basis, "verify") == 0 && !t->verify))
		return 0;
	p.class = (enum ai_class) class;
	p.reason = strdup(member(m, "reason") ? member(m, "reason") : "");
	r = p.reason ? buf_adds(&p.text, member(m, "text")) : -ENOMEM;
	if (r == 0)
		r = ai_accept(&o->k, p.class, bytes(&p.text), NULL);
	if (r == 0)
		r = take(o, v, &p);
	if (r > 0)
		(void)json_object_set_new(o->out->told, "replayed", json_true());
	proposal_release(&p);
	return r == -EBADMSG ? 0 : r;
}

/* One resolver: returns 1 its answer was taken, 0, -errno. */
static int ask_resolver(struct one *o, struct tier_resolver *v)
{
	for (int sample = 1; sample <= SAMPLES; sample++) {
		struct proposal p = {0};
		int r = get_fit(o, v, sample, &p);

		if (r > 0) {
			p.basis = believed(o, v, &p);
			if (p.basis)
				tier_memo_keep(o->a->t, o->key, memo_of(v, &p));
			r = p.basis ? take(o, v, &p) : 0;
			if (r == 0 && o->nkept < KEPT_MAX) {
				o->kept[o->nkept++] = p;
				continue;
			}
		}
		proposal_release(&p);
		return r;
	}
	return 0;
}

static int ask_all(struct one *o)
{
	struct tier_ai *t = o->a->t;
	int r = 0;

	for (size_t i = 0; i < t->n && r == 0; i++)
		if (tier_applies(&t->v[i], o->a->x.path))
			r = ask_resolver(o, &t->v[i]);
	for (size_t i = 0; i < o->nkept; i++) {
		if (r <= 0)
			note_rejected(
				o, o->kept[i].by, &o->kept[i].text,
				"nothing confirms it: no rule says the same, and it was not said "
				"twice");
		proposal_release(&o->kept[i]);
	}
	return r == -EDQUOT ? 0 : r;
}

static int ask_conflict(struct asking *a, size_t at)
{
	const struct chunk *chunk = &a->r->v[at].chunk;
	struct one o = {.a = a,
			.at = at,
			.line = (int64_t)chunk->from[OURS] + 1,
			.out = &a->file->v[at],
			.before = a->t->spent};
	int r = conflict_of(a->x.path, &a->r->d, chunk, &o.c);

	if (r == 0)
		r = ai_case_init(&o.k, &o.c, a->x.whole);
	if (r == 0) {
		tier_memo_key(a->x.path, &o.c, o.key);
		r = replay(&o);
		r = r == 0 ? ask_all(&o) : r;
		ai_case_release(&o.k);
	}
	conflict_release(&o.c);
	return r;
}

/* ---- a file ---- */

static int ask_file(struct asking *a)
{
	int r = 1;

	for (size_t i = 0; i < a->r->n && r > 0; i++)
		if (!a->r->v[i].taken)
			r = ask_conflict(a, i);
	if (r <= 0)
		return r;
	for (size_t i = 0; i < a->r->n; i++)
		if (!a->r->v[i].taken) {
			a->r->v[i].taken = &a->file->v[i].answer;
			a->t->needs_verify |=
				json_is_true(json_object_get(a->file->v[i].told, "needs_verify"));
		}
	a->r->left = 0;
	return 0;
}

int tier_ai_resolve(struct tier_ai *t, const char *path, const struct text whole[SIDES],
		    bool generated, struct resolve *r, struct ai_file *ret)
{
	struct asking a = {.t = t, .r = r, .file = ret};
	json_t *keep = NULL;
	bool any = false;
	int k;

	*ret = (struct ai_file){0};
	for (size_t i = 0; i < t->n; i++)
		any |= tier_applies(&t->v[i], path);
	if (!any || !tier_askable(t, path, whole, generated))
		return 0;
	if (!t->ask) {
		t->unasked += r->left;
		return 0;
	}
	ret->v = calloc(r->n + 1, sizeof(*ret->v));
	if (!ret->v)
		return -ENOMEM;
	ret->n = r->n;
	a.x = (struct ai_context){.path = path,
				  .whole = {whole[BASE], whole[OURS], whole[THEIRS]},
				  .history = t->history,
				  .verify_output = worker_str(t->w, "verify_output")};
	tier_sides(t, path, a.x.side, &keep);
	k = ask_file(&a);
	json_decref(keep);
	free(a.offered);
	free(a.cuts);
	return k < 0 ? k : 0;
}
