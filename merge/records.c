/* SPDX-License-Identifier: Apache-2.0 */
#include "records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool counts(const struct record_row *one, const char *resolver, const char *language,
		   enum path_class class, enum record_scope scope)
{
	if (strcmp(one->resolver, resolver) != 0)
		return false;
	if (scope == RECORD_ALL)
		return true;
	return strcmp(one->language, language) == 0 &&
	       (scope == RECORD_LANGUAGE || one->class == class);
}

int records_add(struct records *r, const char *resolver, const char *language,
		enum path_class class, struct evidence e)
{
	for (size_t i = 0; i < r->n; i++)
		if (counts(&r->v[i], resolver, language, class, RECORD_CELL)) {
			r->v[i].e.fired += e.fired;
			r->v[i].e.right += e.right;
			return 0;
		}
	if (r->n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 32;
		struct record_row *v = realloc(r->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		r->v = v;
		r->cap = cap;
	}
	r->v[r->n++] = (struct record_row){resolver, language, class, e};
	return 0;
}

void records_release(struct records *r)
{
	free(r->v);
	*r = (struct records){0};
}

struct evidence records_sum(const struct records *r, const char *resolver, const char *language,
			    enum path_class class, enum record_scope scope)
{
	struct evidence e = {0};

	for (size_t i = 0; r && i < r->n; i++)
		if (counts(&r->v[i], resolver, language, class, scope)) {
			e.fired += r->v[i].e.fired;
			e.right += r->v[i].e.right;
		}
	return e;
}
