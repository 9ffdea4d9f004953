/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files from chunks, and back: for resolvers that read more than a conflict's lines. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "diff3.h"

static struct text merged(const struct diff3 *d, const struct chunk *c)
{
	return diff3_text(d, c, c->kind == CHUNK_THEIRS ? THEIRS : OURS);
}

int diff3_assemble(const struct diff3 *d, enum side side, struct buf *ret, struct range *at)
{
	size_t k = 0, start = ret->len;
	int r = 0;

	for (size_t i = 0; i < d->n && r == 0; i++) {
		const struct chunk *c = &d->v[i];
		bool conflict = c->kind == CHUNK_CONFLICT;
		struct text t = conflict ? diff3_text(d, c, side) : merged(d, c);
		size_t from = ret->len - start;

		r = buf_add(ret, t.p, t.n);
		if (conflict && at)
			at[k++] = (struct range){from, from + t.n};
	}
	return r;
}

/* What stands between two conflicts (or before the first, behind the last), merged. */
static int between(const struct diff3 *d, size_t *next, struct buf *ret)
{
	int r = 0;

	ret->len = 0;
	for (; *next < d->n && d->v[*next].kind != CHUNK_CONFLICT && r == 0; (*next)++) {
		struct text t = merged(d, &d->v[*next]);

		r = buf_add(ret, t.p, t.n);
	}
	(*next)++;
	return r;
}

/* Where b stands in a from `at` on, if it does at the beginning of a line, and nowhere else. */
static bool only_place(struct text a, size_t at, const struct buf *b, size_t *ret)
{
	const char *end = a.p + a.n, *first = NULL;

	for (const char *p = a.p + at; b->len && p <= end; p++) {
		p = memmem(p, (size_t)(end - p), b->data, b->len);
		if (!p)
			break;
		if (p != a.p && p[-1] != '\n')
			continue;
		if (first)
			return false;
		first = p;
	}
	if (first)
		*ret = (size_t)(first - a.p);
	return first;
}

int diff3_split(const struct diff3 *d, struct text whole, struct range *at)
{
	_cleanup_buf_ struct buf piece = BUF_INIT;
	size_t next = 0, pos = 0, place;
	int r = between(d, &next, &piece);

	if (r < 0)
		return r;
	if (piece.len > whole.n || (piece.len && memcmp(whole.p, piece.data, piece.len)))
		return 0;
	pos = piece.len;
	for (size_t k = 0; k < d->conflicts; k++) {
		at[k].from = pos;
		r = between(d, &next, &piece);
		if (r < 0)
			return r;
		if (k + 1 < d->conflicts) {
			if (!only_place(whole, pos, &piece, &place))
				return 0;
		} else {
			if (piece.len > whole.n - pos)
				return 0;
			place = whole.n - piece.len;
			if (piece.len && memcmp(whole.p + place, piece.data, piece.len))
				return 0;
		}
		at[k].to = place;
		pos = place + piece.len;
	}
	return pos == whole.n;
}

static void swap(size_t v[SIDES])
{
	size_t ours = v[OURS];

	v[OURS] = v[THEIRS];
	v[THEIRS] = ours;
}

int diff3_swapped(const struct diff3 *d, struct diff3 *ret)
{
	*ret = *d;
	ret->v = calloc(d->n + 1, sizeof(*ret->v));
	if (!ret->v)
		return -ENOMEM;
	ret->cap = d->n + 1;
	ret->text[OURS] = d->text[THEIRS];
	ret->text[THEIRS] = d->text[OURS];
	ret->lines[OURS] = d->lines[THEIRS];
	ret->lines[THEIRS] = d->lines[OURS];
	ret->edits[OURS] = d->edits[THEIRS];
	ret->edits[THEIRS] = d->edits[OURS];
	for (size_t i = 0; i < d->n; i++) {
		struct chunk *c = &ret->v[i];

		*c = d->v[i];
		if (c->kind == CHUNK_OURS || c->kind == CHUNK_THEIRS)
			c->kind = c->kind == CHUNK_OURS ? CHUNK_THEIRS : CHUNK_OURS;
		swap(c->from);
		swap(c->to);
		swap(c->edit_from);
		swap(c->edit_to);
	}
	return 0;
}

void diff3_swapped_release(struct diff3 *d)
{
	free(d->v);
	d->v = NULL;
}
