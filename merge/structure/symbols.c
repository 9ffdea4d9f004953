/* SPDX-License-Identifier: Apache-2.0 */
/* What a text declares and uses: one pass over its tree in document order. */
#include "symbols.h"

#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "parser_wire.h"

/* The innermost listed declaration around each node is found by the order of the nodes alone. */
struct found {
	uint32_t node, enclosing; /* index + 1 into the list */
};

struct used {
	struct text name;
	uint32_t in, line, order;
};

struct lister {
	const struct syntax *s;
	struct found *v;
	struct used *uses;
	uint32_t n, nuses, at, line; /* line of byte `at` */
};

/* Bytes ascend from call to call, nearly: a name may stand before what was asked for last. */
static uint32_t line_of(struct lister *l, uint32_t byte)
{
	if (byte < l->at) {
		l->at = 0;
		l->line = 1;
	}
	for (; l->at < byte; l->at++)
		l->line += l->s->text.p[l->at] == '\n';
	return l->line;
}

static void collect(struct lister *l)
{
	const struct syntax *s = l->s;
	uint32_t in = 0; /* + 1 */

	for (uint32_t i = 0; i < s->n; i++) {
		const struct declare *d = syn_declare(s, i);

		while (in && i >= s->v[l->v[in - 1].node].end)
			in = l->v[in - 1].enclosing;
		if (d && d->label && syn_name(s, i).n) {
			l->v[l->n] = (struct found){i, in};
			in = ++l->n;
		}
		if (syn_kind(s, i)->flags & KIND_IDENTIFIER) {
			l->uses[l->nuses] = (struct used){syn_text(s, i), in,
							  line_of(l, s->v[i].from), l->nuses};
			l->nuses++;
		}
	}
}

static int compare_use(const void *a, const void *b)
{
	const struct used *x = a, *y = b;
	size_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
	int c = x->in != y->in ? (x->in < y->in ? -1 : 1) : n ? memcmp(x->name.p, y->name.p, n) : 0;

	if (c == 0 && x->name.n != y->name.n)
		c = x->name.n < y->name.n ? -1 : 1;
	return c ? c : x->order < y->order ? -1 : 1;
}

static bool same_use(const struct used *a, const struct used *b)
{
	return a->in == b->in && text_equal(a->name, b->name);
}

static int put_uses(struct lister *l, struct buf *out)
{
	uint32_t n = 0;
	size_t head = out->len;
	struct buf count = BUF_INIT;
	int r = wire_put(out, 0);

	qsort(l->uses, l->nuses, sizeof(*l->uses), compare_use);
	for (uint32_t i = 0; i < l->nuses && r == 0; i++) {
		const struct used *u = &l->uses[i];

		if (i && same_use(u, u - 1))
			continue;
		n++;
		r = wire_put_blob(out, u->name);
		if (r == 0)
			r = wire_put(out, u->in);
		if (r == 0)
			r = wire_put(out, u->line);
	}
	if (r == 0)
		r = wire_put(&count, n);
	if (r == 0)
		memcpy(out->data + head, count.data, count.len);
	buf_release(&count);
	return r;
}

static int put_declaration(struct lister *l, const struct found *f, struct buf *out)
{
	const struct syntax *s = l->s;
	const char *label = syn_declare(s, f->node)->label;
	_cleanup_buf_ struct buf params = BUF_INIT;
	uint32_t to = s->v[f->node].to;
	int r = syn_params(s, f->node, &params);

	if (r == 0)
		r = wire_put_blob(out, (struct text){label, strlen(label)});
	if (r == 0)
		r = wire_put_blob(out, syn_name(s, f->node));
	if (r == 0)
		r = wire_put_blob(out, (struct text){params.data, params.len});
	if (r == 0)
		r = wire_put(out, line_of(l, s->v[f->node].from));
	if (r == 0)
		r = wire_put(out, line_of(l, to > s->v[f->node].from ? to - 1 : to));
	return r < 0 ? r : wire_put(out, f->enclosing);
}

int symbols_put(const struct syntax *s, struct buf *out)
{
	struct lister l = {.s = s, .line = 1};
	int r = -ENOMEM;

	l.v = calloc(s->n + 1, sizeof(*l.v));
	l.uses = calloc(s->n + 1, sizeof(*l.uses));
	if (l.v && l.uses) {
		collect(&l);
		r = wire_put(out, l.n);
		for (uint32_t i = 0; i < l.n && r == 0; i++)
			r = put_declaration(&l, &l.v[i], out);
		if (r == 0)
			r = put_uses(&l, out);
	}
	free(l.v);
	free(l.uses);
	return r;
}
