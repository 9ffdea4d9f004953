/* SPDX-License-Identifier: Apache-2.0 */
#include "ts.h"

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"

static void *load(const char *folder, const char *name, struct err *reterr)
{
	_cleanup_free_ char *path = NULL;
	void *so;

	if (asprintf(&path, "%s/%s.so", folder, name) < 0) {
		path = NULL;
		(void)err_set(reterr, -ENOMEM, "cannot load '%s'", name);
		return NULL;
	}
	so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!so)
		(void)err_set(reterr, -ENOENT, "cannot load '%s': run tools/grammars", path);
	return so;
}

#define SYMBOL(name)                                                                               \
	{                                                                                          \
		"ts_" #name, offsetof(struct ts_api, name)                                         \
	}

static const struct {
	const char *name;
	size_t at;
} symbols[] = {
	SYMBOL(parser_new),
	SYMBOL(parser_delete),
	SYMBOL(parser_set_language),
	SYMBOL(parser_parse_string),
	SYMBOL(tree_delete),
	SYMBOL(tree_copy),
	SYMBOL(tree_edit),
	SYMBOL(tree_root_node),
	SYMBOL(node_symbol),
	SYMBOL(node_start_byte),
	SYMBOL(node_end_byte),
	SYMBOL(node_is_named),
	SYMBOL(node_is_missing),
	SYMBOL(node_is_extra),
	SYMBOL(node_has_error),
	SYMBOL(tree_cursor_new),
	SYMBOL(tree_cursor_delete),
	SYMBOL(tree_cursor_goto_first_child),
	SYMBOL(tree_cursor_goto_next_sibling),
	SYMBOL(tree_cursor_goto_parent),
	SYMBOL(tree_cursor_current_node),
	SYMBOL(tree_cursor_current_field_id),
	SYMBOL(language_symbol_count),
	SYMBOL(language_symbol_for_name),
	SYMBOL(language_field_id_for_name),
};

int ts_load(const char *folder, struct ts_api *ret, struct err *reterr)
{
	void *so = load(folder, "libtree-sitter", reterr);

	if (!so)
		return -ENOENT;
	for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
		void *p = dlsym(so, symbols[i].name);

		if (!p)
			return err_set(reterr, -ENOENT,
				       "the tree-sitter library in '%s' has no '%s': run "
				       "tools/grammars again",
				       folder, symbols[i].name);
		memcpy((char *)ret + symbols[i].at, &p, sizeof(p));
	}
	return 0;
}

int ts_grammar(const char *folder, const char *grammar, const TSLanguage **ret, struct err *reterr)
{
	_cleanup_free_ char *name = NULL;
	const TSLanguage *(*language)(void);
	void *so, *p;

	/* The name comes from a profile: no way out of the folder. */
	if (strchr(grammar, '/') || asprintf(&name, "tree_sitter_%s", grammar) < 0) {
		name = NULL;
		return err_set(reterr, -ENOENT, "'%s' is no name of a grammar", grammar);
	}
	so = load(folder, grammar, reterr);
	if (!so)
		return -ENOENT;
	p = dlsym(so, name);
	if (!p)
		return err_set(reterr, -ENOENT, "the grammar '%s' in '%s' has no '%s'", grammar,
			       folder, name);
	memcpy(&language, &p, sizeof(p));
	*ret = language();
	return *ret ? 0 : -ENOENT;
}
