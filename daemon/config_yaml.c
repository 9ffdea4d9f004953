/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The strict part of YAML that configuration is written in. Built on libyaml's events, because its
 * documents no longer show what was an alias. Limits: 32 levels, 100,000 nodes.
 */
#include "config_yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "cleanup.h"
#include "sys.h"

enum { DEPTH_MAX = 32, NODES_MAX = 100000 };

struct loader {
	yaml_parser_t parser;
	const char *name;
	unsigned depth, nodes;
	struct err *e;
};

DEFINE_CLEANUP(struct cfgnode *, cfgnode_free);

static int fail(struct loader *l, yaml_mark_t at, const char *what)
{
	return err_set(l->e, -EINVAL, "%s:%zu:%zu: %s", l->name, at.line + 1, at.column + 1, what);
}

int cfgnode_error(const char *name, const struct cfgnode *at, struct err *reterr, const char *fmt,
		  ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	(void)err_set(reterr, -EINVAL, "%s:%u:%u: %s", name, at->line, at->col,
		      text ? text : "an error that there is no memory to tell");
	free(text);
	return -EINVAL;
}

static int next_event(struct loader *l, yaml_event_t *ret)
{
	yaml_parser_t *p = &l->parser;

	if (yaml_parser_parse(p, ret))
		return 0;
	memset(ret, 0, sizeof(*ret));
	if (p->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	if (p->error == YAML_READER_ERROR)
		return err_set(l->e, -EINVAL, "%s: not UTF-8 text at byte %zu", l->name,
			       p->problem_offset);
	return fail(l, p->problem_mark, p->problem ? p->problem : "not valid YAML");
}

/* Anchors and tags; the message or NULL. */
static const char *forbidden(const yaml_event_t *ev)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;

	if (ev->type == YAML_ALIAS_EVENT)
		return "aliases are not supported";
	if (ev->type == YAML_SCALAR_EVENT) {
		anchor = ev->data.scalar.anchor;
		tag = ev->data.scalar.tag;
	} else if (ev->type == YAML_SEQUENCE_START_EVENT) {
		anchor = ev->data.sequence_start.anchor;
		tag = ev->data.sequence_start.tag;
	} else if (ev->type == YAML_MAPPING_START_EVENT) {
		anchor = ev->data.mapping_start.anchor;
		tag = ev->data.mapping_start.tag;
	}
	if (anchor)
		return "anchors are not supported";
	return tag ? "tags are not supported" : NULL;
}

static int set_text(struct loader *l, const yaml_event_t *ev, struct cfgnode *y)
{
	size_t n = ev->data.scalar.length;

	if (memchr(ev->data.scalar.value, 0, n))
		return fail(l, ev->start_mark, "a NUL byte in a text");
	y->text = sys_memdup(ev->data.scalar.value, n + 1);
	y->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	return y->text ? 0 : -ENOMEM;
}

static int add_item(struct cfgnode *y, struct cfgnode *item, size_t *cap)
{
	if (y->n == *cap) {
		size_t more = *cap ? *cap * 2 : 8;
		struct cfgnode **v = sys.realloc(y->items, more * sizeof(*v));

		if (!v)
			return -ENOMEM;
		y->items = v;
		*cap = more;
	}
	y->items[y->n++] = item;
	return 0;
}

/* The key just added must be text, and new. */
static int check_key(struct loader *l, const struct cfgnode *y)
{
	const struct cfgnode *key = y->items[y->n - 1];

	if (key->kind != CFG_TEXT)
		return cfgnode_error(l->name, key, l->e, "a key must be a word");
	for (size_t i = 0; i + 1 < y->n; i += 2)
		if (strcmp(y->items[i]->text, key->text) == 0)
			return cfgnode_error(l->name, key, l->e,
					     "the key '%s' was given already, in line %u",
					     key->text, y->items[i]->line);
	return 0;
}

static int load_node(struct loader *l, yaml_event_t *ev, struct cfgnode **ret);

static int load_items(struct loader *l, yaml_event_type_t end, struct cfgnode *y)
{
	size_t cap = 0;
	int r = 0;

	while (r == 0) {
		_cleanup_(cfgnode_freep) struct cfgnode *item = NULL;
		yaml_event_t ev;

		r = next_event(l, &ev);
		if (r == 0 && ev.type == end) {
			yaml_event_delete(&ev);
			return 0;
		}
		if (r == 0)
			r = load_node(l, &ev, &item);
		yaml_event_delete(&ev);
		if (r == 0)
			r = add_item(y, item, &cap);
		if (r == 0) {
			(void)TAKE_PTR(item);
			if (y->kind == CFG_MAP && y->n % 2 == 1)
				r = check_key(l, y);
		}
	}
	return r;
}

/* The node that begins with event ev, which stays the caller's. */
static int load_node(struct loader *l, yaml_event_t *ev, struct cfgnode **ret)
{
	_cleanup_(cfgnode_freep) struct cfgnode *y = NULL;
	const char *why = forbidden(ev);
	int r;

	if (why)
		return fail(l, ev->start_mark, why);
	if (l->depth >= DEPTH_MAX || ++l->nodes > NODES_MAX)
		return fail(l, ev->start_mark, "too deep or too much");
	y = sys_calloc(1, sizeof(*y));
	if (!y)
		return -ENOMEM;
	y->line = (unsigned)ev->start_mark.line + 1;
	y->col = (unsigned)ev->start_mark.column + 1;
	l->depth++;
	if (ev->type == YAML_SCALAR_EVENT) {
		y->kind = CFG_TEXT;
		r = set_text(l, ev, y);
	} else if (ev->type == YAML_SEQUENCE_START_EVENT) {
		y->kind = CFG_LIST;
		r = load_items(l, YAML_SEQUENCE_END_EVENT, y);
	} else {
		y->kind = CFG_MAP;
		r = load_items(l, YAML_MAPPING_END_EVENT, y);
	}
	l->depth--;
	if (r == 0)
		*ret = TAKE_PTR(y);
	return r;
}

/* Everything between the stream's start and end. */
static int load_stream(struct loader *l, struct cfgnode **ret)
{
	unsigned documents = 0;
	bool end = false;
	int r = 0;

	while (r == 0 && !end) {
		yaml_event_t ev;

		r = next_event(l, &ev);
		if (r < 0)
			return r;
		if (ev.type == YAML_DOCUMENT_START_EVENT) {
			if (documents++)
				r = fail(l, ev.start_mark, "a second document");
			else if (ev.data.document_start.tag_directives.start !=
				 ev.data.document_start.tag_directives.end)
				r = fail(l, ev.start_mark, "tags are not supported");
		} else if (ev.type == YAML_STREAM_END_EVENT) {
			end = true;
		} else if (ev.type != YAML_STREAM_START_EVENT &&
			   ev.type != YAML_DOCUMENT_END_EVENT) {
			r = load_node(l, &ev, ret);
		}
		yaml_event_delete(&ev);
	}
	return r;
}

int cfgnode_load(const char *text, size_t n, const char *name, struct cfgnode **ret,
		 struct err *reterr)
{
	_cleanup_(cfgnode_freep) struct cfgnode *y = NULL;
	struct loader l = {.name = name, .e = reterr};
	int r;

	if (!yaml_parser_initialize(&l.parser))
		return err_set(reterr, -ENOMEM, "no memory to read %s", name);
	yaml_parser_set_input_string(&l.parser, (const unsigned char *)text, n);
	yaml_parser_set_encoding(&l.parser, YAML_UTF8_ENCODING);
	r = load_stream(&l, &y);
	yaml_parser_delete(&l.parser);
	if (r == -ENOMEM)
		return err_set(reterr, r, "no memory to read %s", name);
	if (r == 0)
		*ret = TAKE_PTR(y);
	return r;
}

void cfgnode_free(struct cfgnode *y)
{
	if (!y)
		return;
	for (size_t i = 0; i < y->n; i++)
		cfgnode_free(y->items[i]);
	free(y->items);
	free(y->text);
	free(y);
}
