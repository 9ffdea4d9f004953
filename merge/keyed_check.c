/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The second look at a merged file: read anew and compared, name by name, with the three-way merge of the values.
 * Guarantees: (1) every entry has the value that one side gave it, or both did not touch; (2) nothing is
 * there that should be gone, and no table is there without those that hold it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "keyed.h"

bool keyed_choose(const struct keyed_format *format, struct text b, struct text o, struct text t,
		  struct text *ret)
{
	int which = 0;

	if (!o.p == !t.p && (!o.p || text_equal(o, t)))
		which = 1;
	else if (!o.p == !b.p && (!o.p || text_equal(o, b)))
		which = -1;
	else if (!t.p == !b.p && (!t.p || text_equal(t, b)))
		which = 1;
	else if (o.p && t.p)
		which = format->choose ? format->choose(o, t) : version_compare_lines(o, t);
	if (which != 1 && which != -1)
		return false;
	*ret = which > 0 ? o : t;
	return true;
}

enum { MERGED = SIDES, ALL };

struct check {
	struct keyed k[ALL];
	struct keyed_index x[ALL];
};

static const struct text absent = {NULL, 0};

/* What two versions have to have alike: a table's line is there or not. */
static struct text value(const struct keyed_item *i)
{
	if (!i)
		return absent;
	return i->role == KEYED_ENTRY ? i->value : (struct text){"", 0};
}

/* Every item of the one version, as all have it. */
static bool agree(const struct keyed_format *format, const struct check *c, int of)
{
	for (size_t i = 0; i < c->k[of].n; i++) {
		const struct keyed_item *item = &c->k[of].v[i];
		struct text v[ALL], want;

		for (int s = BASE; s < ALL; s++)
			v[s] = value(s == of ? item : keyed_find(&c->x[s], &c->k[of], item));
		if (!keyed_choose(format, v[BASE], v[OURS], v[THEIRS], &want) ||
		    !want.p != !v[MERGED].p || (want.p && !text_equal(want, v[MERGED])))
			return false;
	}
	return true;
}

int keyed_agrees(const struct keyed_format *format, const struct text version[SIDES],
		 struct text merged)
{
	struct check c = {0};
	int r = 1;

	for (int s = BASE; s < ALL && r > 0; s++) {
		c.k[s].text = s == MERGED ? merged : version[s];
		r = keyed_is_text(c.k[s].text) ? format->read(c.k[s].text, &c.k[s]) : 0;
		if (r > 0)
			r = keyed_index(&c.k[s], &c.x[s]);
	}
	for (int s = BASE; s < ALL && r > 0; s++)
		r = agree(format, &c, s);
	for (int s = BASE; s < ALL; s++) {
		free(c.x[s].v);
		keyed_release(&c.k[s]);
	}
	return r;
}
