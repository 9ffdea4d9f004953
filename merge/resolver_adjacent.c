/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sides changed neighbouring lines, each its own: every edit replaces or deletes lines of the base
 * that the other side left alone. Touching insertions have no order and are declined, and so is what
 * has blank lines between (git would have merged it) and files that are written by programs.
 */
#include <errno.h>

#include "resolver.h"

/* The edits of both sides in the base's order, or false where two overlap or one only inserts. */
static bool next_edit(const struct conflict *c, size_t at[SIDES], size_t pos, enum side *ret_side,
		      const struct edit **ret)
{
	const struct edit *best = NULL;

	for (int s = OURS; s < SIDES; s++) {
		const struct edit *e = at[s] < c->edits[s].n ? &c->edits[s].v[at[s]] : NULL;

		if (e && (!best || e->b0 < best->b0)) {
			best = e;
			*ret_side = (enum side)s;
		}
	}
	*ret = best;
	if (best)
		at[*ret_side]++;
	return !best || (best->b0 >= pos && best->b1 > best->b0);
}

int resolve_adjacent(const struct conflict *c, struct buf *out)
{
	const struct text *base = c->lines[BASE].v;
	size_t at[SIDES] = {0}, pos = 0;

	if (c->trimmed || c->class == PATH_LOCK || c->class == PATH_GENERATED)
		return 0;
	for (;;) {
		enum side side = OURS;
		const struct edit *e;

		if (!next_edit(c, at, pos, &side, &e))
			return 0;
		if (!e)
			break;
		if (put_lines(out, c, base + pos, e->b0 - pos) < 0 ||
		    put_lines(out, c, c->lines[side].v + e->s0, e->s1 - e->s0) < 0)
			return -ENOMEM;
		pos = e->b1;
	}
	return put_lines(out, c, base + pos, c->lines[BASE].n - pos) < 0 ? -ENOMEM : 1;
}
