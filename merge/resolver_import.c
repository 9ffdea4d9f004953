/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Imports, united by what they import: one that a side added is added, one that a side removed is gone
 * (and so not resurrected), and where both changed the names taken from one module, the names are
 * united. New ones stand in order where ours are ordered, else behind ours. Declined: anything that
 * is no import of one line, and one name from two modules.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "resolver.h"

enum { NAMES_MAX = 64, STATEMENTS_MAX = 256 };

/* An import: `head` names what it imports from; the names taken, where they stand in a list, are apart. */
struct statement {
	struct text line, head, tail; /* tail: behind the names */
	struct text names[NAMES_MAX];
	size_t n;
	bool gone, fresh; /* fresh: names differ from the line's */
};

struct statements {
	struct statement *v;
	size_t n;
};

static bool word_is(struct text t, const char *word)
{
	size_t n = strlen(word);

	return t.n > n && memcmp(t.p, word, n) == 0 && !isalnum((unsigned char)t.p[n]);
}

static bool ends(struct text t, char c)
{
	return t.n && t.p[t.n - 1] == c;
}

static bool quoted(struct text t)
{
	return t.n > 2 && strchr("\"'", t.p[0]) &&
	       memchr(t.p + 1, t.p[0], t.n - 1) == t.p + t.n - 1;
}

/* Is it a whole import, on one line? */
static bool is_import(enum import_style style, struct text t)
{
	switch (style) {
	case IMPORT_C:
		return t.n > 10 && t.p[0] == '#' &&
		       word_is(text_trim((struct text){t.p + 1, t.n - 1}), "include") &&
		       (ends(t, '>') || ends(t, '"'));
	case IMPORT_JAVA:
		return word_is(t, "import") && (ends(t, ';') || !memchr(t.p, ';', t.n));
	case IMPORT_CSHARP:
		return word_is(t, "using") && ends(t, ';') && !memchr(t.p, '(', t.n);
	case IMPORT_GO:
		return word_is(t, "import") ? ends(t, '"') : quoted(t);
	case IMPORT_PYTHON:
		return (word_is(t, "import") || word_is(t, "from")) && !memchr(t.p, '(', t.n) &&
		       !memchr(t.p, '\\', t.n) && !memchr(t.p, '#', t.n) && !memchr(t.p, ';', t.n);
	case IMPORT_JS:
		return word_is(t, "import") && !memchr(t.p, '(', t.n) &&
		       (ends(t, ';') || ends(t, '\'') || ends(t, '"'));
	case IMPORT_RUST:
		return word_is(t, "use") && ends(t, ';');
	case IMPORT_PHP:
		return word_is(t, "use") && ends(t, ';') && !memchr(t.p, '(', t.n);
	case IMPORT_RUBY:
		return word_is(t, "require") || word_is(t, "require_relative");
	case IMPORT_NONE:
		break;
	}
	return false;
}

/* Where the list of names stands; false: there is none. */
static bool find_names(enum import_style style, struct text t, size_t *ret_from, size_t *ret_to)
{
	const char *open, *close;

	if (style == IMPORT_PYTHON && word_is(t, "from")) {
		open = memmem(t.p, t.n, " import ", 8);
		if (!open)
			return false;
		*ret_from = (size_t)(open - t.p) + 8;
		*ret_to = t.n;
		return true;
	}
	if (style != IMPORT_JS && style != IMPORT_RUST && style != IMPORT_PHP)
		return false;
	open = memchr(t.p, '{', t.n);
	close = open ? memchr(open, '}', t.n - (size_t)(open - t.p)) : NULL;
	if (!close || memchr(open + 1, '{', (size_t)(close - open - 1)))
		return false;
	*ret_from = (size_t)(open - t.p) + 1;
	*ret_to = (size_t)(close - t.p);
	return true;
}

static bool parse(enum import_style style, struct text line, struct statement *ret)
{
	struct text t = text_trim(line);
	size_t from, to;

	*ret = (struct statement){.line = line, .head = t};
	if (!is_import(style, t))
		return false;
	if (!find_names(style, t, &from, &to))
		return true;
	ret->head.n = from;
	ret->tail = (struct text){t.p + to, t.n - to};
	while (from < to) {
		const char *comma = memchr(t.p + from, ',', to - from);
		size_t end = comma ? (size_t)(comma - t.p) : to;
		struct text name = text_trim((struct text){t.p + from, end - from});

		if (name.n && ret->n == NAMES_MAX)
			return false;
		if (name.n)
			ret->names[ret->n++] = name;
		from = end + 1;
	}
	return ret->n > 0;
}

/* Statement by statement; blank lines are left out. 0: something else stands there. */
static int parse_all(const struct conflict *c, enum side side, struct statements *ret)
{
	const struct lines *l = &c->lines[side];

	*ret = (struct statements){calloc(l->n + 1, sizeof(struct statement)), 0};
	if (!ret->v)
		return -ENOMEM;
	if (l->n > STATEMENTS_MAX)
		return 0;
	for (size_t i = 0; i < l->n; i++) {
		if (text_blank(l->v[i]))
			return 0; /* groups: where one belongs is not known */
		if (!parse(c->lang->imports, l->v[i], &ret->v[ret->n++]))
			return 0;
	}
	return 1;
}

static struct statement *find(const struct statements *s, const struct statement *like)
{
	for (size_t i = 0; i < s->n; i++)
		if (text_equal(s->v[i].head, like->head) &&
		    text_equal(text_trim(s->v[i].tail), text_trim(like->tail)))
			return &s->v[i];
	return NULL;
}

static bool has_name(const struct statement *s, struct text name)
{
	for (size_t i = 0; s && i < s->n; i++)
		if (text_equal(s->names[i], name))
			return true;
	return false;
}

static int compare(struct text a, struct text b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int d = n ? memcmp(a.p, b.p, n) : 0;

	return d ? d : a.n < b.n ? -1 : a.n > b.n;
}

static bool names_sorted(const struct statement *s)
{
	for (size_t i = 1; i < s->n; i++)
		if (compare(s->names[i - 1], s->names[i]) > 0)
			return false;
	return true;
}

static void add_name(struct statement *s, struct text name, bool sorted)
{
	size_t i = s->n++;

	while (sorted && i > 0 && compare(s->names[i - 1], name) > 0) {
		s->names[i] = s->names[i - 1];
		i--;
	}
	s->names[i] = name;
	s->fresh = true;
}

/* Both sides have it: the names of both, less those that one of them removed. */
static bool unite_names(struct statement *o, const struct statement *t, const struct statement *b)
{
	bool sorted = names_sorted(o) && names_sorted(t);
	size_t kept = 0;

	for (size_t i = 0; i < o->n; i++)
		if (!has_name(b, o->names[i]) || has_name(t, o->names[i]))
			o->names[kept++] = o->names[i];
	o->fresh |= kept != o->n;
	o->n = kept;
	for (size_t i = 0; i < t->n; i++) {
		if (has_name(o, t->names[i]) || has_name(b, t->names[i]))
			continue;
		if (o->n == NAMES_MAX)
			return false;
		add_name(o, t->names[i], sorted);
	}
	return o->n > 0;
}

static bool statements_sorted(const struct statements *s)
{
	for (size_t i = 1; i < s->n; i++)
		if (compare(text_trim(s->v[i - 1].line), text_trim(s->v[i].line)) > 0)
			return false;
	return s->n > 1;
}

/* The name that stands for it in the file, where an import takes just one. */
static struct text local_name(enum import_style style, const struct statement *s)
{
	struct text t = s->head;
	size_t i;

	if (style != IMPORT_JAVA && style != IMPORT_PHP && style != IMPORT_RUST)
		return (struct text){NULL, 0};
	while (t.n && strchr("; \t", t.p[t.n - 1]))
		t.n--;
	for (i = t.n; i > 0 && (isalnum((unsigned char)t.p[i - 1]) || t.p[i - 1] == '_'); i--)
		;
	return (struct text){t.p + i, t.n - i};
}

/* One name taken from two places would not compile, or hide one of them. */
static bool clashes(enum import_style style, const struct statements *s)
{
	for (size_t i = 0; i < s->n; i++)
		for (size_t k = 0; k < i && !s->v[i].gone; k++) {
			struct text a = local_name(style, &s->v[i]);

			if (s->v[k].gone)
				continue;
			if (!s->v[i].n && !s->v[k].n && a.n &&
			    text_equal(a, local_name(style, &s->v[k])))
				return true;
			for (size_t j = 0; j < s->v[i].n; j++)
				if (has_name(&s->v[k], s->v[i].names[j]))
					return true;
		}
	return false;
}

/* Ours becomes the result. */
static int unite(struct statements *o, const struct statements *t, const struct statements *b)
{
	bool sorted = statements_sorted(o) && (statements_sorted(t) || t->n < 2);
	struct statement *v = calloc(o->n + t->n + 1, sizeof(*v));

	if (!v)
		return -ENOMEM;
	memcpy(v, o->v, o->n * sizeof(*v));
	free(o->v);
	o->v = v;
	for (size_t i = 0; i < o->n; i++) {
		const struct statement *theirs = find(t, &v[i]), *base = find(b, &v[i]);

		v[i].gone = base && !theirs;
		if (theirs && v[i].n && !unite_names(&v[i], theirs, base))
			return 0;
	}
	for (size_t i = 0; i < t->n; i++) {
		size_t at = o->n;

		if (find(o, &t->v[i]) || find(b, &t->v[i]))
			continue;
		while (sorted && at > 0 &&
		       compare(text_trim(v[at - 1].line), text_trim(t->v[i].line)) > 0)
			at--;
		memmove(v + at + 1, v + at, (o->n++ - at) * sizeof(*v));
		v[at] = t->v[i];
	}
	return 1;
}

static int put_statement(const struct conflict *c, struct buf *out, const struct statement *s)
{
	const char *comma = c->lang->imports == IMPORT_PYTHON ? "" : " ";
	size_t indent = (size_t)(s->head.p - s->line.p);
	bool padded = s->head.n && memchr(s->line.p, '{', s->line.n) &&
		      isspace((unsigned char)s->head.p[s->head.n]);
	int r;

	if (!s->fresh)
		return put_line(out, c, s->line);
	r = buf_add(out, s->line.p, indent);
	if (r == 0)
		r = buf_add(out, s->head.p, s->head.n);
	if (r == 0 && padded)
		r = buf_adds(out, comma);
	for (size_t i = 0; i < s->n && r == 0; i++) {
		r = i ? buf_adds(out, ", ") : 0;
		if (r == 0)
			r = buf_add(out, s->names[i].p, s->names[i].n);
	}
	if (r == 0 && padded)
		r = buf_adds(out, comma);
	if (r == 0)
		r = buf_add(out, s->tail.p, s->tail.n);
	return r < 0 ? r : buf_adds(out, c->crlf ? "\r\n" : "\n");
}

int resolve_import(const struct conflict *c, struct buf *out)
{
	struct statements s[SIDES] = {0};
	int r = c->lang->imports != IMPORT_NONE && c->lines[OURS].n && c->lines[THEIRS].n;

	for (int i = BASE; i < SIDES && r > 0; i++)
		r = parse_all(c, (enum side)i, &s[i]);
	if (r > 0)
		r = unite(&s[OURS], &s[THEIRS], &s[BASE]);
	if (r > 0 && clashes(c->lang->imports, &s[OURS]))
		r = 0;
	for (size_t i = 0; r > 0 && i < s[OURS].n; i++)
		if (!s[OURS].v[i].gone && put_statement(c, out, &s[OURS].v[i]) < 0)
			r = -ENOMEM;
	for (int i = BASE; i < SIDES; i++)
		free(s[i].v);
	return r;
}
