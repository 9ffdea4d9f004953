/* SPDX-License-Identifier: Apache-2.0 */
#include "syntax.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 4 << 20, NODES_MAX = 2 << 20 };

struct walk {
	const struct ts_api *ts;
	struct syntax *s;
	struct ts_cursor cursor;
	uint32_t cap, parent; /* of the node at the cursor */
};

/* Appends the node at the cursor. */
static int visit(struct walk *w)
{
	struct syntax *s = w->s;
	struct ts_node n = w->ts->tree_cursor_current_node(&w->cursor);
	struct syn_node *x;

	if (s->n == NODES_MAX)
		return -EFBIG;
	if (s->n == w->cap) {
		uint32_t cap = w->cap ? 2 * w->cap : 1024;
		struct syn_node *v = realloc(s->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		s->v = v;
		w->cap = cap;
	}
	x = &s->v[s->n];
	*x = (struct syn_node){.kind = w->ts->node_symbol(n),
			       .field = w->ts->tree_cursor_current_field_id(&w->cursor),
			       .from = w->ts->node_start_byte(n),
			       .to = w->ts->node_end_byte(n),
			       .end = s->n + 1,
			       .parent = w->parent};
	if (w->ts->node_is_named(n))
		x->flags |= SYN_NAMED;
	if (w->ts->node_is_extra(n))
		x->flags |= SYN_EXTRA;
	if (x->kind == TS_ERROR || w->ts->node_is_missing(n))
		x->flags |= SYN_ERROR | SYN_BROKEN;
	s->errors += (x->flags & SYN_ERROR) != 0;
	s->n++;
	return 0;
}

/* Up to the next node that has a sibling; false at the end. */
static bool climb(struct walk *w)
{
	struct syn_node *v = w->s->v;

	while (!w->ts->tree_cursor_goto_next_sibling(&w->cursor)) {
		if (w->parent == SYN_NONE || !w->ts->tree_cursor_goto_parent(&w->cursor))
			return false;
		v[w->parent].end = w->s->n;
		w->parent = v[w->parent].parent;
	}
	return true;
}

static int walk_tree(struct walk *w)
{
	int r = visit(w);

	while (r == 0) {
		uint32_t here = w->s->n - 1;

		if (w->ts->tree_cursor_goto_first_child(&w->cursor))
			w->parent = here;
		else if (!climb(w))
			break;
		r = visit(w);
	}
	return r;
}

/* Ends of subtrees, and what is broken, from the leaves up. */
static void finish(struct syntax *s)
{
	for (uint32_t i = s->n; i-- > 1;) {
		struct syn_node *up = &s->v[s->v[i].parent];

		if (s->v[i].end > up->end)
			up->end = s->v[i].end;
		if (s->v[i].flags & SYN_BROKEN)
			up->flags |= SYN_BROKEN;
	}
}

static struct ts_point point_at(struct text t, size_t byte)
{
	struct ts_point p = {0};
	const char *line = t.p, *end;

	while ((end = memchr(line, '\n', (size_t)(t.p + byte - line)))) {
		p.row++;
		line = end + 1;
	}
	p.column = (uint32_t)(t.p + byte - line);
	return p;
}

/* The tree of a similar text, told what differs: all between the first and the last byte that does. The caller
 * deletes it. */
static TSTree *edited(const struct ts_api *ts, const struct syntax *like, struct text t)
{
	struct text o = like->text;
	size_t less = o.n < t.n ? o.n : t.n, head = 0, tail = 0;
	struct ts_edit e;
	TSTree *tree = ts->tree_copy(like->tree);

	if (!tree)
		return NULL;
	while (head < less && o.p[head] == t.p[head])
		head++;
	while (tail < less - head && o.p[o.n - 1 - tail] == t.p[t.n - 1 - tail])
		tail++;
	e = (struct ts_edit){.from = (uint32_t)head,
			     .old_to = (uint32_t)(o.n - tail),
			     .new_to = (uint32_t)(t.n - tail),
			     .from_point = point_at(o, head),
			     .old_point = point_at(o, o.n - tail),
			     .new_point = point_at(t, t.n - tail)};
	ts->tree_edit(tree, &e);
	return tree;
}

static int parse(struct syntax *s, const struct syntax *like)
{
	const struct ts_api *ts = s->ts;
	TSParser *parser = ts->parser_new();
	TSTree *old = NULL;
	int r = -ENOMEM;

	if (parser && !ts->parser_set_language(parser, s->profile->language)) {
		r = -EINVAL;
	} else if (parser) {
		old = like ? edited(ts, like, s->text) : NULL;
		s->tree = ts->parser_parse_string(parser, old, s->text.p, (uint32_t)s->text.n);
		r = s->tree ? 0 : -ENOMEM;
	}
	if (old)
		ts->tree_delete(old);
	if (parser)
		ts->parser_delete(parser);
	return r;
}

int syntax_parse(const struct ts_api *ts, const struct profile *p, struct text t,
		 const struct syntax *like, struct syntax *ret)
{
	struct syntax s = {.text = t, .profile = p, .ts = ts};
	struct walk w = {.ts = ts, .s = &s, .parent = SYN_NONE};
	int r = t.n > TEXT_MAX ? -EFBIG : parse(&s, like);

	if (r == 0) {
		w.cursor = ts->tree_cursor_new(ts->tree_root_node(s.tree));
		r = walk_tree(&w);
		ts->tree_cursor_delete(&w.cursor);
	}
	if (r < 0) {
		syntax_release(&s);
		return r;
	}
	finish(&s);
	*ret = s;
	return 0;
}

void syntax_release(struct syntax *s)
{
	free(s->v);
	if (s->tree)
		s->ts->tree_delete(s->tree);
	*s = (struct syntax){0};
}

static uint32_t child_where(const struct syntax *s, uint32_t i, enum step_what what, uint16_t id)
{
	for (uint32_t c = i + 1; c < s->v[i].end; c = s->v[c].end)
		if ((what == STEP_KIND ? s->v[c].kind : s->v[c].field) == id)
			return c;
	return SYN_NONE;
}

/* Paths are short, but '*' goes as deep as the tree, which a text decides. */
enum { FOLLOW_MAX = 64 };

static uint32_t follow(const struct syntax *s, uint32_t i, const struct step *p, unsigned int depth)
{
	uint32_t c, r;

	switch (p->what) {
	case STEP_END:
		return i;
	case STEP_SELF:
		return follow(s, i, p + 1, depth);
	case STEP_FIELD:
	case STEP_KIND:
		c = child_where(s, i, p->what, p->id);
		return c == SYN_NONE ? SYN_NONE : follow(s, c, p + 1, depth);
	case STEP_FIELDS:
		c = depth < FOLLOW_MAX ? child_where(s, i, p->what, p->id) : SYN_NONE;
		r = c == SYN_NONE ? SYN_NONE : follow(s, c, p, depth + 1);
		return r == SYN_NONE ? follow(s, i, p + 1, depth) : r;
	}
	return SYN_NONE;
}

uint32_t syn_follow(const struct syntax *s, uint32_t i, const struct path *p)
{
	uint32_t r = SYN_NONE;

	for (unsigned int k = 0; k < p->n && r == SYN_NONE; k++)
		r = follow(s, i, p->v[k], 0);
	return r;
}

struct text syn_name(const struct syntax *s, uint32_t i)
{
	const struct declare *d = syn_declare(s, i);
	uint32_t n = d ? syn_follow(s, i, &d->name) : SYN_NONE;

	return n == SYN_NONE ? (struct text){"", 0} : syn_text(s, n);
}

/* A text with one space for each run of white space. */
static int add_collapsed(struct buf *out, struct text t)
{
	bool space = false;
	int r = 0;

	for (size_t i = 0; i < t.n && r == 0; i++) {
		bool is = t.p[i] == ' ' || (t.p[i] >= '\t' && t.p[i] <= '\r');

		if (!is || !space)
			r = buf_addc(out, is ? ' ' : t.p[i]);
		space = is;
	}
	return r;
}

/* Of a parameter its type, where it says one. */
static uint32_t type_of(const struct syntax *s, uint32_t i, uint16_t type_field)
{
	uint32_t c = type_field ? child_where(s, i, STEP_FIELD, type_field) : SYN_NONE;

	return c == SYN_NONE ? i : c;
}

int syn_params(const struct syntax *s, uint32_t i, struct buf *out)
{
	const struct declare *d = syn_declare(s, i);
	uint32_t n = d ? syn_follow(s, i, &d->params) : SYN_NONE;
	int r = 0;

	if (n == SYN_NONE)
		return 0;
	if (s->v[n].end == n + 1)
		return add_collapsed(out, syn_text(s, n));
	for (uint32_t c = n + 1; c < s->v[n].end && r == 0; c = s->v[c].end) {
		if (!(s->v[c].flags & SYN_NAMED) || syn_kind(s, c)->flags & KIND_COMMENT)
			continue;
		r = add_collapsed(out, syn_text(s, type_of(s, c, s->profile->type_field)));
		if (r == 0)
			r = buf_addc(out, ',');
	}
	return r;
}
