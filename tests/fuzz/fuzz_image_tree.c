/* SPDX-License-Identifier: Apache-2.0 */
/* A tree object of any bytes: refused, or entries that git would check out, sorted, none twice. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fuzz.h"
#include "image_tree.h"

static void check(const struct tree_entry *e, const uint8_t *data, size_t size)
{
	const uint8_t *name = (const uint8_t *)e->name;

	if (name < data || name + e->len + 1 + TREE_OID_SIZE > data + size)
		abort();
	if (e->len < 1 || e->len > TREE_NAME_MAX || memchr(name, '/', e->len) ||
	    memchr(name, '\0', e->len))
		abort();
	if (e->len == 4 && strncasecmp(e->name, ".git", 4) == 0)
		abort();
}

static int in_order(const struct tree_entry *a, const struct tree_entry *b)
{
	int c = memcmp(a->name, b->name, a->len < b->len ? a->len : b->len);

	return c < 0 || (c == 0 && a->len < b->len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t id[TREE_OID_SIZE];
	struct tree_entries es = {0};
	struct err e = ERR_INIT;

	if (tree_parse(id, data, size, &es, &e) == 0)
		for (size_t i = 0; i < es.n; i++) {
			check(&es.v[i], data, size);
			if (i > 0 && !in_order(&es.v[i - 1], &es.v[i]))
				abort();
		}
	else if (!e.text)
		abort();
	tree_entries_release(&es);
	err_release(&e);
	return 0;
}
