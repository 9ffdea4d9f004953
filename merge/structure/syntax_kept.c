/* SPDX-License-Identifier: Apache-2.0 */
/* Guarantee: a tree is given again only for the same bytes in the same language. The one that was not asked for the longest
 * gives way. */
#include "syntax_kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct kept_text *find(struct syntax_kept *k, const struct profile *p, struct text t)
{
	for (int i = 0; i < SYNTAX_KEPT; i++) {
		struct kept_text *e = &k->v[i];

		if (e->used && e->s.profile == p && text_equal(e->s.text, t))
			return e;
	}
	return NULL;
}

static struct kept_text *oldest(struct syntax_kept *k)
{
	struct kept_text *e = &k->v[0];

	for (int i = 1; i < SYNTAX_KEPT; i++)
		if (k->v[i].used < e->used)
			e = &k->v[i];
	return e;
}

static void drop(struct kept_text *e)
{
	syntax_release(&e->s);
	free(e->text);
	*e = (struct kept_text){0};
}

int syntax_kept_parse(struct syntax_kept *k, const struct ts_api *ts, const struct profile *p,
		      struct text t, const struct syntax *like, struct syntax *ret)
{
	struct kept_text *e = find(k, p, t);
	int r = 0;

	if (!e) {
		e = oldest(k);
		drop(e);
		e->text = malloc(t.n + 1);
		if (!e->text)
			return -ENOMEM;
		if (t.n)
			memcpy(e->text, t.p, t.n);
		r = syntax_parse(ts, p, (struct text){e->text, t.n}, like, &e->s);
		if (r < 0) {
			drop(e);
			return r;
		}
	}
	e->used = ++k->clock;
	*ret = e->s;
	return 0;
}

void syntax_kept_release(struct syntax_kept *k)
{
	for (int i = 0; i < SYNTAX_KEPT; i++)
		drop(&k->v[i]);
}
