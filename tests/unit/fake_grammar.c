/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree-sitter library and a grammar that do harm: what, says the text that is to be parsed. It answers with no tree
 * (the parser then says so and lives on) where it was kept from it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct node {
	uint32_t context[4];
	const void *id;
	const void *tree;
};
struct cursor {
	const void *tree;
	const void *id;
	uint32_t context[3];
};

#define FAKE(type, name, ...) type ts_##name(__VA_ARGS__)
void *tree_sitter_json(void);
FAKE(void *, parser_new, void);
FAKE(void, parser_delete, void *p);
FAKE(bool, parser_set_language, void *p, const void *l);
FAKE(void *, parser_parse_string, void *p, const void *old, const char *s, uint32_t n);
FAKE(void, tree_delete, void *t);
FAKE(void *, tree_copy, const void *t);
FAKE(void, tree_edit, void *t, const void *e);
FAKE(struct node, tree_root_node, const void *t);
FAKE(uint16_t, node_symbol, struct node n);
FAKE(uint32_t, node_start_byte, struct node n);
FAKE(uint32_t, node_end_byte, struct node n);
FAKE(bool, node_is_named, struct node n);
FAKE(bool, node_is_missing, struct node n);
FAKE(bool, node_is_extra, struct node n);
FAKE(bool, node_has_error, struct node n);
FAKE(struct cursor, tree_cursor_new, struct node n);
FAKE(void, tree_cursor_delete, struct cursor *c);
FAKE(bool, tree_cursor_goto_first_child, struct cursor *c);
FAKE(bool, tree_cursor_goto_next_sibling, struct cursor *c);
FAKE(bool, tree_cursor_goto_parent, struct cursor *c);
FAKE(struct node, tree_cursor_current_node, const struct cursor *c);
FAKE(uint16_t, tree_cursor_current_field_id, const struct cursor *c);
FAKE(uint32_t, language_symbol_count, const void *l);
FAKE(uint16_t, language_symbol_for_name, const void *l, const char *s, uint32_t n, bool named);
FAKE(uint16_t, language_field_id_for_name, const void *l, const char *s, uint32_t n);

static char thing;

void *tree_sitter_json(void)
{
	return &thing;
}

FAKE(void *, parser_new, void)
{
	return &thing;
}

FAKE(void, parser_delete, void *p)
{
}

FAKE(bool, parser_set_language, void *p, const void *l)
{
	return true;
}

static void harm_by_memory(void)
{
	for (size_t i = 0; i < 8192; i++) {
		char *p = malloc(1 << 20);

		if (!p)
			_exit(9);
		memset(p, 1, 1 << 20);
	}
}

/* Whatever of these succeeds ends the process, which the test sees. */
static void harm_by_calls(void)
{
	const char *name = "/tmp/agentfs-fake-grammar";
	char *argv[] = {(char *)"/bin/true", NULL};

	if (open(name, O_WRONLY | O_CREAT, 0600) >= 0 || open(name, O_RDWR) >= 0)
		abort();
	if (socket(AF_UNIX, SOCK_STREAM, 0) >= 0 || socket(AF_INET, SOCK_STREAM, 0) >= 0)
		abort();
	if (kill(getppid(), 0) == 0 || fork() >= 0 || execv(argv[0], argv) == 0)
		abort();
	if (unlink("/tmp/agentfs-fake-grammar-there") == 0 || errno != EPERM)
		abort();
}

FAKE(void *, parser_parse_string, void *p, const void *old, const char *s, uint32_t n)
{
	const char *word = strndupa(s, n);

	if (strcmp(word, "crash") == 0)
		raise(SIGSEGV);
	if (strcmp(word, "hang") == 0)
		for (volatile int i = 0;;)
			i = i + 1;
	if (strcmp(word, "memory") == 0)
		harm_by_memory();
	if (strcmp(word, "calls") == 0)
		harm_by_calls();
	if (strcmp(word, "read") == 0 && open("/etc/passwd", O_RDONLY) >= 0)
		abort();
	/* Words of its own on the channel of answers. */
	if (strcmp(word, "lie") == 0 && write(STDOUT_FILENO, "\xff\xff\xff\x7f....", 8) != 8)
		abort();
	return NULL;
}

FAKE(void, tree_delete, void *t)
{
}

FAKE(void *, tree_copy, const void *t)
{
	return NULL;
}

FAKE(void, tree_edit, void *t, const void *e)
{
}

FAKE(struct node, tree_root_node, const void *t)
{
	return (struct node){.tree = t};
}

FAKE(uint16_t, node_symbol, struct node n)
{
	return 0;
}

FAKE(uint32_t, node_start_byte, struct node n)
{
	return 0;
}

FAKE(uint32_t, node_end_byte, struct node n)
{
	return 0;
}

FAKE(bool, node_is_named, struct node n)
{
	return false;
}

FAKE(bool, node_is_missing, struct node n)
{
	return false;
}

FAKE(bool, node_is_extra, struct node n)
{
	return false;
}

FAKE(bool, node_has_error, struct node n)
{
	return false;
}

FAKE(struct cursor, tree_cursor_new, struct node n)
{
	return (struct cursor){.tree = n.tree};
}

FAKE(void, tree_cursor_delete, struct cursor *c)
{
}

FAKE(bool, tree_cursor_goto_first_child, struct cursor *c)
{
	return false;
}

FAKE(bool, tree_cursor_goto_next_sibling, struct cursor *c)
{
	return false;
}

FAKE(bool, tree_cursor_goto_parent, struct cursor *c)
{
	return false;
}

FAKE(struct node, tree_cursor_current_node, const struct cursor *c)
{
	return (struct node){.tree = c->tree};
}

FAKE(uint16_t, tree_cursor_current_field_id, const struct cursor *c)
{
	return 0;
}

FAKE(uint32_t, language_symbol_count, const void *l)
{
	return 8;
}

FAKE(uint16_t, language_symbol_for_name, const void *l, const char *s, uint32_t n, bool named)
{
	return 1;
}

FAKE(uint16_t, language_field_id_for_name, const void *l, const char *s, uint32_t n)
{
	return 1;
}
