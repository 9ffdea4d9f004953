/* SPDX-License-Identifier: Apache-2.0 */
/*
 * go.mod: a directive and what it is about make an entry's name, wherever it stands, in a block or on a line of its
 * own. Two versions of one module: the greater, as Go itself selects. Declined: what is no directive that is known
 * here, quoted strings, block comments.
 */
#include <string.h>

#include "cleanup.h"
#include "keyed_lines.h"

struct gomod {
	struct keyed_lines l;
	struct text block; /* the directive whose block is open, or empty */
	unsigned int blocks;
};

static struct text first_word(struct text t)
{
	size_t n = 0;

	while (n < t.n && !strchr(" \t(", t.p[n]))
		n++;
	return text_until(t, n);
}

static bool known(struct text word)
{
	static const char *const words[] = {"module",  "go",	  "toolchain", "require", "replace",
					    "exclude", "retract", "tool",      "godebug", "ignore"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (text_is(word, words[i]))
			return true;
	return false;
}

/* What names an entry: the module of a require, the left side of a replace, all of the others. */
static struct text subject(struct text directive, struct text rest)
{
	const char *arrow = memmem(rest.p, rest.n, "=>", 2);

	if (text_is(directive, "require"))
		return first_word(rest);
	if (text_is(directive, "replace") && arrow)
		return text_trim(text_until(rest, (size_t)(arrow - rest.p)));
	if (text_is(directive, "module") || text_is(directive, "go") ||
	    text_is(directive, "toolchain"))
		return (struct text){"", 0};
	return rest;
}

/* One name for the directive and its subject, which stand apart in a block. */
static int add(struct gomod *g, struct text directive, struct text rest)
{
	char name[KEYED_ID_MAX];
	struct text about = subject(directive, rest);

	if (directive.n + about.n + 1 > sizeof(name))
		return 0;
	memcpy(name, directive.p, directive.n);
	name[directive.n] = ' ';
	memcpy(name + directive.n + 1, about.n ? about.p : "", about.n);
	return keyed_add_line(&g->l, (struct text){name, directive.n + 1 + about.n}, KEYED_ENTRY,
			      rest);
}

/* "require (": named by what stands in it and its number. */
static int open_block(struct gomod *g, struct text directive)
{
	char name[32] = "block ";
	size_t n = strlen(name);

	if (++g->blocks > 99)
		return 0;
	name[n++] = (char)('0' + g->blocks / 10);
	name[n++] = (char)('0' + g->blocks % 10);
	g->block = directive;
	return keyed_add_line(&g->l, (struct text){name, n}, KEYED_OPEN, (struct text){"", 0});
}

static int close_block(struct gomod *g)
{
	struct keyed *k = g->l.k;
	size_t open = k->n;
	int r;

	while (open && k->v[open - 1].role != KEYED_OPEN)
		open--;
	r = keyed_add_line(&g->l, (struct text){"", 0}, KEYED_CLOSE, (struct text){"", 0});
	if (r > 0) {
		k->v[k->n - 1].id = k->v[open - 1].id;
		k->v[k->n - 1].id_len = k->v[open - 1].id_len;
		k->v[k->n - 1].parent_len = k->v[open - 1].parent_len;
	}
	g->block = (struct text){"", 0};
	return r;
}

static int read_line(struct gomod *g)
{
	struct text line = g->l.bare, word = first_word(line), rest;

	if (memmem(line.p, line.n, "/*", 2) || memchr(line.p, '"', line.n) ||
	    memchr(line.p, '`', line.n))
		return 0;
	if (g->block.n)
		return text_is(line, ")") ? close_block(g) : add(g, g->block, line);
	rest = text_trim(text_from(line, word.n));
	if (!known(word) || !rest.n)
		return 0;
	if (text_is(rest, "("))
		return open_block(g, word);
	return rest.p[0] == '(' ? 0 : add(g, word, rest);
}

static bool is_comment(struct text line)
{
	return line.n > 1 && line.p[0] == '/' && line.p[1] == '/';
}

static int read_gomod(struct text t, struct keyed *ret)
{
	struct gomod g = {.l = keyed_lines(t, ret)};
	int r = 1;

	while (r > 0 && keyed_next_line(&g.l, ""))
		r = is_comment(g.l.bare) ? 1 : read_line(&g);
	return r > 0 ? !g.block.n : r;
}

int resolve_gomod(const struct conflict_file *f, struct file_answer *v)
{
	static const struct keyed_format format = {.read = read_gomod};
	const char *slash = strrchr(f->path, '/');

	return strcmp(slash ? slash + 1 : f->path, "go.mod") == 0 ? keyed_resolve(&format, f, v)
								  : 0;
}
