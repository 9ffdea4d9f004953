/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both sides added lines at one place and changed nothing: ours, then theirs. Whether their order means something is not
 * known here, nor whether they say the same thing twice: its record by language tells. Declined: a line that both added (what
 * was added twice is seldom wanted twice), and imports, changelogs and lists of names, which have resolvers of their own.
 */
#include <errno.h>

#include "cleanup.h"
#include "resolver.h"

static bool share_a_line(const struct conflict *c)
{
	const struct lines *o = &c->lines[OURS], *t = &c->lines[THEIRS];

	for (size_t i = 0; i < o->n; i++)
		for (size_t k = 0; k < t->n && !text_blank(o->v[i]); k++)
			if (text_equal(text_trim(o->v[i]), text_trim(t->v[k])))
				return true;
	return false;
}

int resolve_append(const struct conflict *c, struct buf *out)
{
	const struct lines *o = &c->lines[OURS], *t = &c->lines[THEIRS];
	_cleanup_buf_ struct buf imports = BUF_INIT;
	int r;

	if (c->class != PATH_PLAIN || c->trimmed || c->lines[BASE].n || text_blank(c->text[OURS]) ||
	    text_blank(c->text[THEIRS]) || share_a_line(c))
		return 0;
	r = resolve_import(c, &imports);
	if (r)
		return r < 0 ? r : 0;
	return put_lines(out, c, o->v, o->n) < 0 || put_lines(out, c, t->v, t->n) < 0 ? -ENOMEM : 1;
}
