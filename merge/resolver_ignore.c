/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of patterns (.gitignore and the like): a pattern is an entry, named by itself. Declined where a pattern takes
 * back others ("!name"): order means something there.
 */
#include <string.h>

#include "keyed_lines.h"

static int read_ignore(struct text t, struct keyed *ret)
{
	struct keyed_lines l = keyed_lines(t, ret);
	int r = 1;

	while (r > 0 && keyed_next_line(&l, "#"))
		r = l.bare.p[0] == '!'
			    ? 0
			    : keyed_add_line(&l, l.bare, KEYED_ENTRY, (struct text){"", 0});
	return r;
}

int resolve_ignore(const struct conflict_file *f, struct file_answer *v)
{
	static const struct keyed_format format = {.read = read_ignore};

	return f->class == PATH_IGNORE ? keyed_resolve(&format, f, v) : 0;
}
