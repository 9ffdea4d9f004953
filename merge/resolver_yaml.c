/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML, read by libyaml: block mappings are tables, everything else (lists, flow collections, block scalars) is a value
 * as a whole. Declined: anchors, aliases, tags, merge keys, several documents, keys that are no scalar of one line.
 *
 * libyaml tells lines; where a block scalar ends, its indentation tells, since what looks like a comment there is
 * its text.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "cleanup.h"
#include "keyed.h"

enum { YAML_MAX = 1 << 20 };

struct reader {
	yaml_parser_t parser;
	yaml_event_t event;
	bool have;
	struct text t;
	struct lines lines;
	struct keyed *k;
	unsigned int depth;
};

/* The next event; false: the text does not parse. */
static bool next(struct reader *y)
{
	if (y->have)
		yaml_event_delete(&y->event);
	y->have = yaml_parser_parse(&y->parser, &y->event);
	return y->have;
}

static size_t line_at(const struct reader *y, size_t line)
{
	return line < y->lines.n ? (size_t)(y->lines.v[line].p - y->t.p) : y->t.n;
}

static size_t indent_of(struct text line)
{
	size_t n = 0;

	while (n < line.n && line.p[n] == ' ')
		n++;
	return n;
}

/* The line behind a block scalar whose key (or dash) stands at `indent`. */
static size_t block_end(const struct reader *y, size_t line, size_t indent)
{
	size_t end = line + 1;

	for (size_t i = end; i < y->lines.n; i++) {
		if (text_blank(y->lines.v[i]))
			continue;
		if (indent_of(y->lines.v[i]) <= indent)
			break;
		end = i + 1;
	}
	return end;
}

/* The line behind a mark. */
static size_t behind(yaml_mark_t m)
{
	return m.line + (m.column > 0);
}

static bool plain(const struct reader *y)
{
	const yaml_event_t *e = &y->event;

	switch (e->type) {
	case YAML_SCALAR_EVENT:
		return !e->data.scalar.anchor && !e->data.scalar.tag;
	case YAML_SEQUENCE_START_EVENT:
		return !e->data.sequence_start.anchor && !e->data.sequence_start.tag;
	case YAML_MAPPING_START_EVENT:
		return !e->data.mapping_start.anchor && !e->data.mapping_start.tag;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return true;
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
	case YAML_DOCUMENT_START_EVENT:
	case YAML_DOCUMENT_END_EVENT:
	case YAML_ALIAS_EVENT:
		break;
	}
	return false;
}

static bool is_block_scalar(const yaml_event_t *e)
{
	return e->type == YAML_SCALAR_EVENT && (e->data.scalar.style == YAML_LITERAL_SCALAR_STYLE ||
						e->data.scalar.style == YAML_FOLDED_SCALAR_STYLE);
}

/* Past the value whose first event is at hand; *end: the line behind it. The indentation of its key bounds a block
 * scalar in it: one that stands deeper ends with that, at the latest. */
static bool skip(struct reader *y, size_t indent, size_t *end)
{
	unsigned int open = 0;

	do {
		const yaml_event_t *e = &y->event;
		size_t last = 0;

		if (!plain(y))
			return false;
		if (e->type == YAML_SEQUENCE_START_EVENT || e->type == YAML_MAPPING_START_EVENT)
			open++;
		if (e->type == YAML_SEQUENCE_END_EVENT || e->type == YAML_MAPPING_END_EVENT) {
			open--;
			/* Of a flow collection: its bracket. Of a block's it is where the next begins. */
			last = e->end_mark.index > e->start_mark.index ? behind(e->end_mark) : 0;
		}
		if (is_block_scalar(e))
			last = block_end(y, e->start_mark.line,
					 open ? indent_of(y->lines.v[e->start_mark.line]) : indent);
		else if (e->type == YAML_SCALAR_EVENT)
			last = e->end_mark.index > e->start_mark.index ? behind(e->end_mark) : 0;
		if (last > *end)
			*end = last;
		if (!next(y))
			return false;
	} while (open);
	return true;
}

static int table(struct reader *y, size_t parent, bool root);

/* The key at hand and its value. Returns 1, 0 or -ENOMEM; the next event is at hand. */
static int entry(struct reader *y, size_t parent, bool root)
{
	const yaml_event_t *e = &y->event;
	size_t line = e->start_mark.line, indent = e->start_mark.column, item = y->k->n, end;
	struct text key = {(const char *)e->data.scalar.value, e->data.scalar.length};
	int r;

	if (e->type != YAML_SCALAR_EVENT || !plain(y) || e->end_mark.line != line ||
	    line >= y->lines.n || indent_of(y->lines.v[line]) != indent ||
	    memchr(key.p, '\0', key.n) || text_is(key, "<<"))
		return 0;
	r = keyed_add(y->k, root ? NULL : &y->k->v[parent], key, KEYED_ENTRY, line_at(y, line),
		      line_at(y, line + 1));
	if (r <= 0)
		return r;
	if (!next(y) || !plain(y))
		return 0;
	if (y->event.type == YAML_MAPPING_START_EVENT &&
	    y->event.data.mapping_start.style == YAML_BLOCK_MAPPING_STYLE) {
		y->k->v[item].role = KEYED_OPEN;
		return y->event.start_mark.line > line ? table(y, item, false) : 0;
	}
	end = line + 1;
	if (!skip(y, indent, &end))
		return 0;
	y->k->v[item].to = line_at(y, end);
	for (end = y->k->v[item].to; strchr("\r\n", y->t.p[end - 1]);)
		end--;
	y->k->v[item].end = end;
	y->k->v[item].value = (struct text){y->t.p + y->k->v[item].from, end - y->k->v[item].from};
	return 1;
}

/* The block mapping whose start is at hand. */
static int table(struct reader *y, size_t parent, bool root)
{
	int r = y->depth < KEYED_DEPTH_MAX && next(y);

	y->depth++;
	while (r > 0 && y->event.type != YAML_MAPPING_END_EVENT)
		r = entry(y, parent, root);
	y->depth--;
	return r > 0 ? next(y) : r;
}

static int document(struct reader *y)
{
	int r;

	if (!next(y) || !next(y) || y->event.type != YAML_DOCUMENT_START_EVENT ||
	    y->event.data.document_start.version_directive ||
	    y->event.data.document_start.tag_directives.start !=
		    y->event.data.document_start.tag_directives.end)
		return 0;
	if (!next(y) || !plain(y) || y->event.type != YAML_MAPPING_START_EVENT ||
	    y->event.data.mapping_start.style != YAML_BLOCK_MAPPING_STYLE)
		return 0;
	r = table(y, 0, true);
	if (r <= 0)
		return r;
	if (y->event.type != YAML_DOCUMENT_END_EVENT || !y->event.data.document_end.implicit)
		return 0;
	return next(y) && y->event.type == YAML_STREAM_END_EVENT;
}

static int read_yaml(struct text t, struct keyed *ret)
{
	struct reader y = {.t = t, .k = ret};
	int r;

	if (t.n > YAML_MAX || memchr(t.p, '\t', t.n))
		return 0;
	if (!yaml_parser_initialize(&y.parser))
		return -ENOMEM;
	yaml_parser_set_encoding(&y.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&y.parser, (const unsigned char *)t.p, t.n);
	r = lines_split(t, &y.lines);
	if (r == 0)
		r = document(&y);
	if (y.have)
		yaml_event_delete(&y.event);
	yaml_parser_delete(&y.parser);
	free(y.lines.v);
	return r;
}

int resolve_yaml(const struct conflict_file *f, struct file_answer *v)
{
	static const struct keyed_format format = {.read = read_yaml};

	return strcmp(f->lang->name, "yaml") == 0 && f->class == PATH_PLAIN
		       ? keyed_resolve(&format, f, v)
		       : 0;
}
