/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One side's change is part of the other's: each word that it deleted the other deleted, too, and what it added stands in
 * what the other added there, in that order. So the other side's text has both changes. Two resolvers, by
 * which side has more, since their records differ: `ahead`, ours has; `behind`, theirs has. The same, but that where one
 * side put a version the other put a greater one, or deleted what has the version: `ahead-version` and `behind-version`; a
 * tuple of numbers is a version in a line that says so.
 *
 * Words and signs are compared (token.h); where white space means something, so is each line's indentation. Declined: both
 * are part of each other (alike but for white space), and a side that changed white space alone, which would be lost.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "resolver.h"
#include "token.h"

enum { WORDS_MAX = 20000 };

/* A text as words, one a line, for lines_diff(). */
struct words {
	struct buf text;
	struct lines l;
	struct edits edits; /* from the base's words */
};

static void release(struct words w[SIDES])
{
	for (int s = BASE; s < SIDES; s++) {
		buf_release(&w[s].text);
		free(w[s].l.v);
		free(w[s].edits.v);
	}
}

static int put_word(struct buf *out, struct text word)
{
	int r = buf_add(out, word.p, word.n);

	return r < 0 ? r : buf_addc(out, '\n');
}

/* "(3, 1, 0, 'rc1')" where the line is about a version: its length, or 0. */
static size_t tuple_at(struct text line, size_t at)
{
	const char *end = line.p[at] == '(' ? memchr(line.p + at, ')', line.n - at) : NULL;
	size_t commas = 0;

	if (!end || (!memmem(line.p, line.n, "VERSION", 7) && !memmem(line.p, line.n, "ersion", 6)))
		return 0;
	for (const char *p = line.p + at + 1; p < end; p++) {
		if (!isalnum((unsigned char)*p) && !strchr(", '\"", *p))
			return 0;
		commas += *p == ',';
	}
	return commas ? (size_t)(end - line.p) + 1 - at : 0;
}

/* The next word, a version being one. */
static bool next_word(struct text line, size_t *at, struct text *ret)
{
	enum token_kind kind;
	size_t n, v;

	while (*at < line.n && isspace((unsigned char)line.p[*at]))
		++*at;
	if (*at == line.n)
		return false;
	v = line.p[*at] == 'v' && *at + 1 < line.n && version_at(line, *at + 1) ? 1 : 0;
	n = version_at(line, *at + v);
	if (!n)
		n = tuple_at(line, *at);
	if (!n)
		return token_next(line, at, ret, &kind);
	*ret = (struct text){line.p + *at, n + v};
	*at += n + v;
	return true;
}

static int read_words(const struct conflict *c, enum side side, struct words *w)
{
	const struct lines *l = &c->lines[side];
	int r = 0;

	for (size_t i = 0; i < l->n && r == 0; i++) {
		struct text word;
		size_t at = 0;

		if (text_blank(l->v[i]))
			continue;
		if (c->lang->space_matters) {
			size_t n = (size_t)(text_trim(l->v[i]).p - l->v[i].p);

			r = buf_addc(&w->text, '>');
			if (r == 0)
				r = put_word(&w->text, (struct text){l->v[i].p, n});
		}
		while (r == 0 && next_word(l->v[i], &at, &word))
			r = put_word(&w->text, word);
	}
	if (r == 0)
		r = lines_split((struct text){w->text.len ? w->text.data : "", w->text.len}, &w->l);
	return r;
}

static int read_all(const struct conflict *c, struct words w[SIDES])
{
	int r = 0;

	for (int s = BASE; s < SIDES && r == 0; s++)
		r = read_words(c, (enum side)s, &w[s]);
	for (int s = OURS; s < SIDES && r == 0; s++) {
		if (w[BASE].l.n + w[s].l.n > WORDS_MAX)
			return 0;
		r = lines_diff(
			(struct text){w[BASE].text.len ? w[BASE].text.data : "", w[BASE].text.len},
			(struct text){w[s].text.len ? w[s].text.data : "", w[s].text.len},
			&w[s].edits);
	}
	return r < 0 ? r : 1;
}

/* The numbers of two tuples, one by one. */
static bool tuple_greater(struct text a, struct text b)
{
	const char *p = a.p, *q = b.p, *pe = a.p + a.n, *qe = b.p + b.n;

	for (;;) {
		unsigned long x = 0, y = 0;

		while (p < pe && !isalnum((unsigned char)*p))
			p++;
		while (q < qe && !isalnum((unsigned char)*q))
			q++;
		if (p == pe || q == qe || !isdigit((unsigned char)*p) ||
		    !isdigit((unsigned char)*q))
			return false;
		for (; p < pe && isdigit((unsigned char)*p); p++)
			x = x * 10 + (unsigned long)(*p - '0');
		for (; q < qe && isdigit((unsigned char)*q); q++)
			y = y * 10 + (unsigned long)(*q - '0');
		if (x != y)
			return x > y;
	}
}

/* Two words (lines of a struct words): both are versions, and a is the greater. */
static bool greater(struct text a, struct text b)
{
	a = text_trim(a);
	b = text_trim(b);
	if (a.n < 2 || b.n < 2 || (a.p[0] == '(') != (b.p[0] == '('))
		return false;
	if (a.p[0] == '(')
		return tuple_greater(a, b);
	if (a.p[0] == 'v')
		a = (struct text){a.p + 1, a.n - 1};
	if (b.p[0] == 'v')
		b = (struct text){b.p + 1, b.n - 1};
	return version_at(a, 0) == a.n && version_at(b, 0) == b.n && version_compare(a, b) == 1;
}

static bool is_version(struct text word)
{
	word = text_trim(word);
	if (word.n > 1 && word.p[0] == 'v')
		word = (struct text){word.p + 1, word.n - 1};
	return word.n > 1 && (word.p[0] == '(' || version_at(word, 0) == word.n);
}

/* Put the edit versions in the place of versions, and nothing else, and has the other nothing there that is a version? */
static bool gone(const struct words *base, const struct words *w, const struct edit *e,
		 const struct words *whole, const struct edit *in)
{
	bool all = e->b1 > e->b0 && e->b1 - e->b0 == e->s1 - e->s0;

	for (size_t i = e->b0; all && i < e->b1; i++)
		all = is_version(base->l.v[i]) && is_version(w->l.v[e->s0 + i - e->b0]);
	for (size_t i = in->s0; all && i < in->s1; i++)
		all = !is_version(whole->l.v[i]);
	return all;
}

/* How one change is part of another; PART_VERSION: but for versions that are greater there, or are gone with what has them. */
enum part { PART_NOT, PART_ALL, PART_VERSION };

/* Finds the words of the one edit in those of the other from *at on, in order. */
static enum part find_words(const struct words *part, const struct edit *e,
			    const struct words *whole, const struct edit *in, size_t *at)
{
	enum part found = PART_ALL;

	for (size_t i = e->s0; i < e->s1; i++, ++*at) {
		struct text word = part->l.v[i];

		while (*at < in->s1 && !text_equal(whole->l.v[*at], word) &&
		       !greater(whole->l.v[*at], word))
			++*at;
		if (*at == in->s1)
			return PART_NOT;
		if (!text_equal(whole->l.v[*at], word))
			found = PART_VERSION;
	}
	return found;
}

/* Is each edit of `part` within one of `whole`? */
static enum part contained(const struct words *base, const struct words *part,
			   const struct words *whole)
{
	enum part found = PART_ALL;
	size_t k = 0, at = 0;

	for (size_t i = 0; i < part->edits.n; i++) {
		const struct edit *e = &part->edits.v[i], *in;
		enum part one;
		size_t before;

		while (k < whole->edits.n && whole->edits.v[k].b1 < e->b1) {
			k++;
			at = 0;
		}
		if (k == whole->edits.n || whole->edits.v[k].b0 > e->b0)
			return PART_NOT;
		in = &whole->edits.v[k];
		if (at < in->s0)
			at = in->s0;
		before = at;
		one = find_words(part, e, whole, in, &at);
		if (one == PART_NOT && gone(base, part, e, whole, in)) {
			one = PART_VERSION;
			at = before;
		}
		if (one != PART_ALL)
			found = one;
		if (found == PART_NOT)
			return found;
	}
	return found;
}

/* The lines but for blank ones. */
static bool same_lines(const struct lines *a, const struct lines *b)
{
	size_t i = 0, k = 0;

	for (;; i++, k++) {
		while (i < a->n && text_blank(a->v[i]))
			i++;
		while (k < b->n && text_blank(b->v[k]))
			k++;
		if (i == a->n || k == b->n)
			return i == a->n && k == b->n;
		if (!text_equal(a->v[i], b->v[k]))
			return false;
	}
}

static int resolve_contained(const struct conflict *c, enum side part, enum side whole,
			     enum part how, struct buf *out)
{
	struct words w[SIDES] = {0};
	int r;

	if (c->class == PATH_LOCK || c->class == PATH_GENERATED)
		return 0;
	r = read_all(c, w);
	if (r > 0)
		r = contained(&w[BASE], &w[part], &w[whole]) == how &&
		    contained(&w[BASE], &w[whole], &w[part]) == PART_NOT;
	if (r > 0 && !w[part].edits.n)
		r = same_lines(&c->lines[BASE], &c->lines[part]);
	if (r > 0 && buf_add(out, c->text[whole].p, c->text[whole].n) < 0)
		r = -ENOMEM;
	release(w);
	return r;
}

int resolve_ahead(const struct conflict *c, struct buf *out)
{
	return resolve_contained(c, THEIRS, OURS, PART_ALL, out);
}

int resolve_behind(const struct conflict *c, struct buf *out)
{
	return resolve_contained(c, OURS, THEIRS, PART_ALL, out);
}

int resolve_ahead_version(const struct conflict *c, struct buf *out)
{
	return resolve_contained(c, THEIRS, OURS, PART_VERSION, out);
}

int resolve_behind_version(const struct conflict *c, struct buf *out)
{
	return resolve_contained(c, OURS, THEIRS, PART_VERSION, out);
}
