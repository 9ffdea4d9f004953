/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both sides changed the lines to the same but for white space. Each line is taken from the side whose
 * white space differs from the base's; where both do, or indentation means something, or the text is
 * prose (re-wrapped lines), it declines.
 */
#include <errno.h>

#include "resolver.h"

static int pick(const struct conflict *c, size_t i, struct text *ret)
{
	const struct text o = c->lines[OURS].v[i], t = c->lines[THEIRS].v[i];
	bool in_base_o = lines_have(&c->lines[BASE], o), in_base_t = lines_have(&c->lines[BASE], t);

	if (!text_equal_but_space(o, t))
		return 0;
	if (!text_equal(o, t) && in_base_o == in_base_t)
		return 0;
	*ret = in_base_o ? t : o;
	return 1;
}

int resolve_space(const struct conflict *c, struct buf *out)
{
	if (c->lang->prose || c->lang->space_matters || !c->lines[OURS].n ||
	    c->lines[OURS].n != c->lines[THEIRS].n)
		return 0;
	for (size_t i = 0; i < c->lines[OURS].n; i++) {
		struct text line;

		if (!pick(c, i, &line))
			return 0;
		if (put_line(out, c, line) < 0)
			return -ENOMEM;
	}
	return 1;
}
