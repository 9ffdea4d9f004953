/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guarantees: (1) lines outside the conflicts are those of the line-wise merge; (2) of several answers
 * that may act, all have to be the same text; (3) files that programs write (lock files, generated
 * code) are left alone: to be written anew, not merged.
 */
#include "resolve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

static bool uses_crlf(const struct lines *l)
{
	return l->n && l->v[0].n >= 2 && l->v[0].p[l->v[0].n - 2] == '\r' &&
	       l->v[0].p[l->v[0].n - 1] == '\n';
}

/* The chunk as a conflict; its edits are copied, counted from its own lines on (caller frees). */
static int conflict_of(const char *path, const struct diff3 *d, const struct chunk *c,
		       struct conflict *ret)
{
	*ret = (struct conflict){.path = path,
				 .lang = language_of(path),
				 .class = path_class_of(path),
				 .trimmed = c->trimmed,
				 .crlf = uses_crlf(&d->lines[OURS])};
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

/* Which answer is believed: all that may act have to say the same. */
static void take(struct resolved_conflict *c)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct answer *a = &c->answers[i];

		if (!a->acts)
			continue;
		if (c->taken &&
		    (c->taken->len != a->len || memcmp(c->taken->text, a->text, a->len))) {
			c->taken = NULL;
			return;
		}
		if (!c->taken)
			c->taken = a;
	}
}

static int ask_all(const struct conflict *x, const struct resolve_options *o,
		   struct resolved_conflict *c)
{
	c->answers = calloc(resolvers_n, sizeof(*c->answers));
	if (!c->answers)
		return -ENOMEM;
	for (size_t i = 0; i < resolvers_n; i++) {
		_cleanup_buf_ struct buf out = BUF_INIT;
		struct answer *a = &c->answers[c->n];
		int k = resolver_ask(&resolvers[i], x, &out);

		if (k < 0)
			return k;
		if (!k)
			continue;
		a->by = &resolvers[i];
		a->len = out.len;
		a->text = buf_take(&out);
		if (!a->text)
			return -ENOMEM;
		a->evidence = evidence_of(a->by, o->own ? o->own[i] : (struct evidence){0});
		a->acts = !o->generated && x->class != PATH_LOCK && x->class != PATH_GENERATED &&
			  evidence_suffices(a->evidence, o->cost_of_wrong);
		c->n++;
	}
	take(c);
	return 0;
}

int resolve_file(const char *path, struct text base, struct text ours, struct text theirs,
		 const struct resolve_options *o, struct resolve *ret)
{
	struct resolve r = {0};
	int k = diff3(base, ours, theirs, &r.d);

	if (k == 0) {
		r.v = calloc(r.d.conflicts + 1, sizeof(*r.v));
		k = r.v ? 0 : -ENOMEM;
	}
	for (size_t i = 0; k == 0 && i < r.d.n; i++) {
		struct conflict x = {0};

		if (r.d.v[i].kind != CHUNK_CONFLICT)
			continue;
		r.v[r.n].chunk = r.d.v[i];
		k = conflict_of(path, &r.d, &r.d.v[i], &x);
		if (k == 0)
			k = ask_all(&x, o, &r.v[r.n++]);
		r.left += k == 0 && !r.v[r.n - 1].taken;
		free(x.edits[OURS].v);
		free(x.edits[THEIRS].v);
	}
	if (k < 0) {
		resolve_release(&r);
		return k;
	}
	*ret = r;
	return 0;
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
