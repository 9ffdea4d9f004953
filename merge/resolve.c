/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guarantees: (1) lines outside the conflicts are those of the line-wise merge; (2) of several answers
 * that may act, all have to say the same, but for order and white space; (3) files that programs write (lock files, generated
 * code) are left alone: to be written anew, not merged; (4) resolvers have a time limit for a file, over
 * which its conflicts stay as the line-wise merge left them.
 */
#include "resolve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "invariant.h"

static bool uses_crlf(const struct lines *l)
{
	return l->n && l->v[0].n >= 2 && l->v[0].p[l->v[0].n - 2] == '\r' &&
	       l->v[0].p[l->v[0].n - 1] == '\n';
}

int conflict_of(const char *path, const struct diff3 *d, const struct chunk *c,
		struct conflict *ret)
{
	const struct chunk *head, *tail;

	*ret = (struct conflict){.path = path,
				 .lang = language_of(path),
				 .class = path_class_of(path),
				 .trimmed = c->trimmed,
				 .crlf = uses_crlf(&d->lines[OURS])};
	diff3_trimmed(d, c, &head, &tail);
	ret->head = head ? diff3_text(d, head, OURS) : (struct text){"", 0};
	ret->tail = tail ? diff3_text(d, tail, OURS) : (struct text){"", 0};
	for (int s = BASE; s < SIDES; s++) {
		ret->text[s] = diff3_text(d, c, (enum side)s);
		ret->lines[s] = (struct lines){d->lines[s].v + c->from[s], c->to[s] - c->from[s]};
	}
	for (int s = OURS; s < SIDES; s++) {
		size_t n = c->edit_to[s] - c->edit_from[s];
		struct edit *v = calloc(n + 1, sizeof(*v));

		if (!v)
			return -ENOMEM;
		ret->edits[s] = (struct edits){v, n};
		for (size_t i = 0; i < n; i++) {
			v[i] = d->edits[s].v[c->edit_from[s] + i];
			v[i].b0 -= c->from[BASE];
			v[i].b1 -= c->from[BASE];
			v[i].s0 -= c->from[s];
			v[i].s1 -= c->from[s];
		}
	}
	return 0;
}

void conflict_release(struct conflict *c)
{
	free(c->edits[OURS].v);
	free(c->edits[THEIRS].v);
	*c = (struct conflict){0};
}

static struct text answer_text(const struct answer *a)
{
	return (struct text){a->len ? a->text : "", a->len};
}

/* Which answer is believed: all that may act have to say the same, but for order and white space, in which the first in the
 * table's order is meant: so that swapping the sides, which may change these, changes nothing else. Errors: -ENOMEM. */
static int take(struct resolved_conflict *c)
{
	int error = 0;

	for (size_t i = 0; i < c->n && error == 0; i++) {
		const struct answer *a = &c->answers[i];

		if (!a->acts)
			continue;
		if (c->taken &&
		    !invariant_same_words(answer_text(c->taken), answer_text(a), &error)) {
			c->taken = NULL;
			return error;
		}
		if (!c->taken)
			c->taken = a;
	}
	return error;
}

/* The file's last conflict, resolved to nothing, where neither side ends in a newline: the line before it has one. */
static bool end_is_lost(const struct diff3 *d, const struct resolved_conflict *c)
{
	const struct lines *o = &d->lines[OURS], *t = &d->lines[THEIRS];

	if (c->taken->len || c->chunk.to[OURS] < o->n || c->chunk.to[THEIRS] < t->n)
		return false;
	return d->text[OURS].n && d->text[OURS].p[d->text[OURS].n - 1] != '\n' &&
	       d->text[THEIRS].n && d->text[THEIRS].p[d->text[THEIRS].n - 1] != '\n';
}

/* A resolver that the shipped records do not know goes by what its line in the table says. */
static struct evidence evidence_for(const struct resolver *by, const struct conflict *x,
				    const struct resolve_options *o)
{
	const struct records *shipped = o->shipped ? o->shipped : &records_shipped;
	struct evidence e =
		evidence_of(by->name, x->lang->name, x->class, o->own, shipped, o->cost_of_wrong);

	if (!o->shipped && !records_sum(shipped, by->name, "", PATH_PLAIN, RECORD_ALL).fired &&
	    e.fired < EVIDENCE_ENOUGH) {
		e.fired += by->fired;
		e.right += by->right;
	}
	return e;
}

static const struct resolver *table(const struct resolve_options *o, size_t *ret_n)
{
	*ret_n = o->table ? o->ntable : resolvers_n;
	return o->table ? o->table : resolvers;
}

static bool is_left_out(const struct resolver *by, const char *path,
			const struct resolve_options *o)
{
	return o->without && strcmp(o->without, by->name) == 0 &&
	       (!o->without_path || strcmp(o->without_path, path) == 0);
}

/* Keeps an answer (its text is taken over). */
static int keep(struct resolved_conflict *c, const struct conflict *x,
		const struct resolve_options *o, const struct resolver *by, struct buf *text)
{
	struct answer *a = &c->answers[c->n];

	a->by = by;
	a->len = text->len;
	a->text = buf_take(text);
	if (!a->text)
		return -ENOMEM;
	a->evidence = evidence_for(a->by, x, o);
	a->acts = !o->generated && x->class != PATH_LOCK && x->class != PATH_GENERATED &&
		  evidence_suffices(a->evidence, o->cost_of_wrong) &&
		  !is_left_out(a->by, x->path, o);
	c->n++;
	return 0;
}

/* One resolver that reads the file, about all its conflicts. */
static int ask_file(const struct resolve *r, const struct conflict *x,
		    const struct resolve_options *o, const struct resolver *by)
{
	struct conflict_file f = {.path = x->path,
				  .lang = x->lang,
				  .class = x->class,
				  .d = &r->d,
				  .crlf = x->crlf,
				  .parser = o->parser};
	struct file_answer *v = calloc(r->n + 1, sizeof(*v));
	int k = v ? resolver_ask_file(by, &f, x, v) : -ENOMEM;

	for (size_t i = 0; i < r->n && k == 0; i++)
		if (v[i].has)
			k = keep(&r->v[i], &x[i], o, by, &v[i].text);
	file_answers_free(v, r->n);
	return k;
}

/* What a person made of the same conflicts before. */
static int ask_memory(const struct resolve *r, const struct conflict *x,
		      const struct resolve_options *o, const struct resolver *by)
{
	int k = 0;

	for (size_t i = 0; i < r->n && k >= 0; i++) {
		_cleanup_buf_ struct buf out = BUF_INIT;
		struct text kept;

		if (!memory_find(o->memory, &x[i], &kept))
			continue;
		k = buf_add(&out, kept.p, kept.n);
		if (k == 0)
			k = resolver_accept(by, &x[i], &out);
		if (k > 0)
			k = keep(&r->v[i], &x[i], o, by, &out);
	}
	return k < 0 ? k : 0;
}

static uint64_t now_ms(void)
{
	struct timespec t = {0};

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void drop_answers(struct resolved_conflict *c)
{
	for (size_t i = 0; i < c->n; i++)
		free(c->answers[i].text);
	c->n = 0;
}

/* Every resolver about every conflict. Over the time limit it is as if none had been asked. */
static int ask_all(const struct resolve *r, const struct conflict *x,
		   const struct resolve_options *o)
{
	uint64_t end = now_ms() + (o->limit_ms ? o->limit_ms : RESOLVE_LIMIT_MS);
	size_t n_by;
	const struct resolver *by = table(o, &n_by);
	int k = 0;

	for (size_t i = 0; i < n_by && k == 0; i++, by++) {
		if (now_ms() > end) {
			for (size_t n = 0; n < r->n; n++)
				drop_answers(&r->v[n]);
			return 0;
		}
		if (by->file_fn)
			k = ask_file(r, x, o, by);
		else if (!by->fn)
			k = ask_memory(r, x, o, by);
		for (size_t n = 0; n < r->n && k == 0 && by->fn; n++) {
			_cleanup_buf_ struct buf out = BUF_INIT;

			k = resolver_ask(by, &x[n], &out);
			if (k > 0)
				k = keep(&r->v[n], &x[n], o, by, &out);
		}
	}
	return k;
}

/* The conflicts as resolvers see them (the caller frees them with their edits), each with room for answers. */
static int conflicts_of(const char *path, const struct resolve_options *o, struct resolve *r,
			struct conflict *x)
{
	size_t n_by;
	int k = 0;

	(void)table(o, &n_by);

	for (size_t i = 0; k == 0 && i < r->d.n; i++) {
		if (r->d.v[i].kind != CHUNK_CONFLICT)
			continue;
		r->v[r->n].chunk = r->d.v[i];
		r->v[r->n].answers = calloc(n_by + 1, sizeof(*r->v->answers));
		k = r->v[r->n].answers ? conflict_of(path, &r->d, &r->d.v[i], &x[r->n]) : -ENOMEM;
		r->n++;
	}
	return k;
}

int resolve_file(const char *path, struct text base, struct text ours, struct text theirs,
		 const struct resolve_options *o, struct resolve *ret)
{
	struct conflict *x = NULL;
	struct resolve r = {0};
	int k = diff3(base, ours, theirs, &r.d);

	if (k == 0) {
		r.v = calloc(r.d.conflicts + 1, sizeof(*r.v));
		x = calloc(r.d.conflicts + 1, sizeof(*x));
		k = r.v && x ? conflicts_of(path, o, &r, x) : -ENOMEM;
	}
	if (k == 0 && r.n)
		k = ask_all(&r, x, o);
	for (size_t i = 0; i < r.n; i++) {
		if (k == 0)
			k = take(&r.v[i]);
		if (r.v[i].taken && end_is_lost(&r.d, &r.v[i]))
			r.v[i].taken = NULL;
		r.left += !r.v[i].taken;
		conflict_release(&x[i]);
	}
	free(x);
	if (k < 0)
		resolve_release(&r);
	else
		*ret = r;
	return k;
}

int resolve_text(const struct resolve *r, struct buf *ret)
{
	size_t next = 0;
	int k = 0;

	for (size_t i = 0; i < r->d.n && k == 0; i++) {
		const struct chunk *c = &r->d.v[i];
		struct text t;

		if (c->kind == CHUNK_CONFLICT) {
			const struct answer *a = r->v[next++].taken;

			k = buf_add(ret, a->text, a->len);
			continue;
		}
		t = diff3_text(&r->d, c, c->kind == CHUNK_THEIRS ? THEIRS : OURS);
		k = buf_add(ret, t.p, t.n);
	}
	return k;
}

void resolve_release(struct resolve *r)
{
	for (size_t i = 0; i < r->n; i++) {
		for (size_t k = 0; k < r->v[i].n; k++)
			free(r->v[i].answers[k].text);
		free(r->v[i].answers);
	}
	free(r->v);
	diff3_release(&r->d);
	*r = (struct resolve){0};
}
