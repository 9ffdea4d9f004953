/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resolvers by syntax tree: what agentfs-parser makes of the file, told apart by the riskiest decision that a conflict
 * needed, since these have records of their own. They replace lines by their rule; that every word of
 * both sides is in the result is checked where the whole file is known (structure/treemerge_check.c).
 */
#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "parser.h"
#include "resolver.h"

static int resolve_class(const struct conflict_file *f, enum parser_class class,
			 struct file_answer *v)
{
	size_t n = f->d->conflicts;
	struct parser_answer *a;
	int r;

	if (!f->parser)
		return 0;
	a = calloc(n + 1, sizeof(*a));
	if (!a)
		return -ENOMEM;
	r = parser_merge(f->parser, f->path, f->d, a, NULL);
	for (size_t i = 0; i < n; i++) {
		if (r == 0 && a[i].class == class) {
			v[i].has = true;
			v[i].text = a[i].text;
		} else {
			buf_release(&a[i].text);
		}
	}
	free(a);
	/* A language nobody knows, a parser that died: no answer. */
	return r == -ENOMEM ? r : 0;
}

int resolve_structured(const struct conflict_file *f, struct file_answer *v)
{
	return resolve_class(f, PARSER_DECL, v);
}

int resolve_structured_add(const struct conflict_file *f, struct file_answer *v)
{
	return resolve_class(f, PARSER_ADD, v);
}

int resolve_structured_block(const struct conflict_file *f, struct file_answer *v)
{
	return resolve_class(f, PARSER_BLOCK, v);
}

int resolve_structured_token(const struct conflict_file *f, struct file_answer *v)
{
	return resolve_class(f, PARSER_TOKEN, v);
}
