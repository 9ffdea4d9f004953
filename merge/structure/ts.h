/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

/*
 * The part of libtree-sitter 0.25 (language ABI 13 to 15) that is used here. The library and the grammars are
 * built by tools/grammars and loaded at run time, so nothing of them is needed to compile this.
 */

typedef struct TSLanguage TSLanguage;
typedef struct TSParser TSParser;
typedef struct TSTree TSTree;

/* As in the library's tree_sitter/api.h, passed by value. */
struct ts_node {
	uint32_t context[4];
	const void *id;
	const TSTree *tree;
};

struct ts_cursor {
	const void *tree;
	const void *id;
	uint32_t context[3];
};

struct ts_point {
	uint32_t row, column;
};

struct ts_edit {
	uint32_t from, old_to, new_to;
	struct ts_point from_point, old_point, new_point;
};

struct ts_api {
	TSParser *(*parser_new)(void);
	void (*parser_delete)(TSParser *p);
	bool (*parser_set_language)(TSParser *p, const TSLanguage *l);
	TSTree *(*parser_parse_string)(TSParser *p, const TSTree *old, const char *s, uint32_t n);
	void (*tree_delete)(TSTree *t);
	TSTree *(*tree_copy)(const TSTree *t);
	void (*tree_edit)(TSTree *t, const struct ts_edit *e);
	struct ts_node (*tree_root_node)(const TSTree *t);
	uint16_t (*node_symbol)(struct ts_node n);
	uint32_t (*node_start_byte)(struct ts_node n);
	uint32_t (*node_end_byte)(struct ts_node n);
	bool (*node_is_named)(struct ts_node n);
	bool (*node_is_missing)(struct ts_node n);
	bool (*node_is_extra)(struct ts_node n);
	bool (*node_has_error)(struct ts_node n);
	struct ts_cursor (*tree_cursor_new)(struct ts_node n);
	void (*tree_cursor_delete)(struct ts_cursor *c);
	bool (*tree_cursor_goto_first_child)(struct ts_cursor *c);
	bool (*tree_cursor_goto_next_sibling)(struct ts_cursor *c);
	bool (*tree_cursor_goto_parent)(struct ts_cursor *c);
	struct ts_node (*tree_cursor_current_node)(const struct ts_cursor *c);
	uint16_t (*tree_cursor_current_field_id)(const struct ts_cursor *c);
	uint32_t (*language_symbol_count)(const TSLanguage *l);
	uint16_t (*language_symbol_for_name)(const TSLanguage *l, const char *s, uint32_t n,
					     bool named);
	uint16_t (*language_field_id_for_name)(const TSLanguage *l, const char *s, uint32_t n);
};

enum { TS_ERROR = 65535 }; /* the symbol of an error node */

/* Loads FOLDER/libtree-sitter.so. Errors: -ENOENT, with a sentence. */
int ts_load(const char *folder, struct ts_api *ret, struct err *reterr);

/* Loads FOLDER/<grammar>.so, which stays. Errors: -ENOENT, with a sentence. */
int ts_grammar(const char *folder, const char *grammar, const TSLanguage **ret, struct err *reterr);
