/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One side's change is part of the other's: each word that it deleted the other deleted, too, and what it added stands in
 * what the other added there, in that order. So the other side's text has both changes. Two resolvers, by
 * which side has more, since their records differ: `ahead`, ours has; `behind`, theirs has.
 *
 * Words and signs are compared (token.h); where white space means something, so is each line's indentation. Declined: both
 * are part of each other (alike but for white space), and a side that changed white space alone, which would be lost.
 */
#include <errno.h>
#include <stdlib.h>

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

static int read_words(const struct conflict *c, enum side side, struct words *w)
{
	const struct lines *l = &c->lines[side];
	int r = 0;

	for (size_t i = 0; i < l->n && r == 0; i++) {
		enum token_kind kind;
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
		while (r == 0 && token_next(l->v[i], &at, &word, &kind))
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

/* Finds the words of the one edit in those of the other from *at on, in order. */
static bool find_words(const struct words *part, const struct edit *e, const struct words *whole,
		       const struct edit *in, size_t *at)
{
	for (size_t i = e->s0; i < e->s1; i++, ++*at) {
		while (*at < in->s1 && !text_equal(whole->l.v[*at], part->l.v[i]))
			++*at;
		if (*at == in->s1)
			return false;
	}
	return true;
}

/* Is each edit of `part` within one of `whole`? */
static bool contained(const struct words *part, const struct words *whole)
{
	size_t k = 0, at = 0;

	for (size_t i = 0; i < part->edits.n; i++) {
		const struct edit *e = &part->edits.v[i], *in;

		while (k < whole->edits.n && whole->edits.v[k].b1 < e->b1) {
			k++;
			at = 0;
		}
		if (k == whole->edits.n || whole->edits.v[k].b0 > e->b0)
			return false;
		in = &whole->edits.v[k];
		if (at < in->s0)
			at = in->s0;
		if (!find_words(part, e, whole, in, &at))
			return false;
	}
	return true;
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
			     struct buf *out)
{
	struct words w[SIDES] = {0};
	int r;

	if (c->class == PATH_LOCK || c->class == PATH_GENERATED)
		return 0;
	r = read_all(c, w);
	if (r > 0)
		r = contained(&w[part], &w[whole]) && !contained(&w[whole], &w[part]);
	if (r > 0 && !w[part].edits.n)
		r = same_lines(&c->lines[BASE], &c->lines[part]);
	if (r > 0 && buf_add(out, c->text[whole].p, c->text[whole].n) < 0)
		r = -ENOMEM;
	release(w);
	return r;
}

int resolve_ahead(const struct conflict *c, struct buf *out)
{
	return resolve_contained(c, THEIRS, OURS, out);
}

int resolve_behind(const struct conflict *c, struct buf *out)
{
	return resolve_contained(c, OURS, THEIRS, out);
}
