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
#include <errno.h>

#include "cleanup.h"
#include "resolver.h"
#include "hunk_words.h"

/* Put the edit versions in the place of versions, and nothing else, and has the other nothing there that is a version? */
static bool gone(const struct words *base, const struct words *w, const struct edit *e,
		 const struct words *whole, const struct edit *in)
{
	bool all = e->b1 > e->b0 && e->b1 - e->b0 == e->s1 - e->s0;

	for (size_t i = e->b0; all && i < e->b1; i++)
		all = word_is_version(base->v[i]) && word_is_version(w->v[e->s0 + i - e->b0]);
	for (size_t i = in->s0; all && i < in->s1; i++)
		all = !word_is_version(whole->v[i]);
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
		struct text word = part->v[i];

		while (*at < in->s1 && !text_equal(whole->v[*at], word) &&
		       !word_greater(whole->v[*at], word))
			++*at;
		if (*at == in->s1)
			return PART_NOT;
		if (!text_equal(whole->v[*at], word))
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
	r = words_read(c, c->lang->space_matters ? WORDS_INDENT : 0, w);
	if (r > 0)
		r = contained(&w[BASE], &w[part], &w[whole]) == how &&
		    contained(&w[BASE], &w[whole], &w[part]) == PART_NOT;
	if (r > 0 && !w[part].edits.n)
		r = same_lines(&c->lines[BASE], &c->lines[part]);
	if (r > 0 && buf_add(out, c->text[whole].p, c->text[whole].n) < 0)
		r = -ENOMEM;
	words_release(w);
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

/* What `version` answers is its own. */
static int resolve_contained_version(const struct conflict *c, enum side part, enum side whole,
				     struct buf *out)
{
	_cleanup_buf_ struct buf other = BUF_INIT;
	int r = resolve_version(c, &other);

	return r ? (r < 0 ? r : 0) : resolve_contained(c, part, whole, PART_VERSION, out);
}

int resolve_ahead_version(const struct conflict *c, struct buf *out)
{
	return resolve_contained_version(c, THEIRS, OURS, out);
}

int resolve_behind_version(const struct conflict *c, struct buf *out)
{
	return resolve_contained_version(c, OURS, THEIRS, out);
}
