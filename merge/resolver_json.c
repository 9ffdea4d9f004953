/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON (RFC 8259, nothing beside it). An object is a table where it is written with a line for each entry, its braces at
 * the end of a line and on one of their own; any other object, and every list, is a value as a whole. Declined:
 * what does not parse, keys with escapes (two spellings of one key), a document that is no such object.
 */
#include <string.h>

#include "cleanup.h"
#include "keyed.h"

struct json {
	struct text t;
	size_t at;
	unsigned int depth;
	struct keyed *k;
};

static char peek(const struct json *j)
{
	return j->at < j->t.n ? j->t.p[j->at] : '\0';
}

static void space(struct json *j)
{
	while (j->at < j->t.n && strchr(" \t\r\n", j->t.p[j->at]))
		j->at++;
}

/* White space up to the end of the line, and past it; false where something else stands there. */
static bool line_end(struct json *j)
{
	while (peek(j) == ' ' || peek(j) == '\t' || peek(j) == '\r')
		j->at++;
	if (j->at < j->t.n && peek(j) != '\n')
		return false;
	j->at += j->at < j->t.n;
	return true;
}

static size_t line_start(const struct json *j, size_t at)
{
	while (at && (j->t.p[at - 1] == ' ' || j->t.p[at - 1] == '\t'))
		at--;
	return at;
}

/* Does nothing but white space stand before `at` on its line? */
static bool first_on_line(const struct json *j, size_t at)
{
	at = line_start(j, at);
	return at == 0 || j->t.p[at - 1] == '\n';
}

static bool hex(const struct json *j, size_t n)
{
	if (j->t.n - j->at < n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!strchr("0123456789abcdefABCDEF", j->t.p[j->at + i]) || !j->t.p[j->at + i])
			return false;
	return true;
}

static bool string(struct json *j, bool *ret_escapes)
{
	if (peek(j) != '"')
		return false;
	for (j->at++; j->at < j->t.n; j->at++) {
		unsigned char c = (unsigned char)peek(j);

		if (c < 0x20)
			return false;
		if (c == '"') {
			j->at++;
			return true;
		}
		if (c != '\\')
			continue;
		*ret_escapes = true;
		j->at++;
		if (!peek(j) || !strchr("\"\\/bfnrtu", peek(j)))
			return false;
		if (peek(j) == 'u') {
			j->at++;
			if (!hex(j, 4))
				return false;
			j->at += 3;
		}
	}
	return false;
}

static bool digits(struct json *j)
{
	size_t from = j->at;

	while (peek(j) >= '0' && peek(j) <= '9')
		j->at++;
	return j->at > from;
}

static bool number(struct json *j)
{
	bool zero;

	if (peek(j) == '-')
		j->at++;
	zero = peek(j) == '0';
	if (!zero && !digits(j))
		return false;
	j->at += zero;
	if (peek(j) == '.') {
		j->at++;
		if (!digits(j))
			return false;
	}
	if (peek(j) == 'e' || peek(j) == 'E') {
		j->at++;
		if (peek(j) == '+' || peek(j) == '-')
			j->at++;
		if (!digits(j))
			return false;
	}
	return true;
}

static bool word(struct json *j)
{
	static const char *const words[] = {"true", "false", "null"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		size_t n = strlen(words[i]);

		if (j->t.n - j->at >= n && memcmp(j->t.p + j->at, words[i], n) == 0) {
			j->at += n;
			return true;
		}
	}
	return number(j);
}

static bool skip(struct json *j);

/* An object or list that is a value as a whole. */
static bool skip_all(struct json *j)
{
	char close = peek(j) == '{' ? '}' : ']';
	bool escapes = false;

	if (++j->depth > KEYED_DEPTH_MAX)
		return false;
	j->at++;
	space(j);
	while (peek(j) != close) {
		if (close == '}') {
			if (!string(j, &escapes))
				return false;
			space(j);
			if (peek(j) != ':')
				return false;
			j->at++;
		}
		if (!skip(j))
			return false;
		if (peek(j) != ',')
			break;
		j->at++;
		space(j);
		if (peek(j) == close)
			return false;
	}
	j->depth--;
	return peek(j) == close && ++j->at;
}

/* A value and the white space around it. */
static bool skip(struct json *j)
{
	bool ok, escapes;

	space(j);
	if (peek(j) == '{' || peek(j) == '[')
		ok = skip_all(j);
	else
		ok = peek(j) == '"' ? string(j, &escapes) : word(j);
	if (ok)
		space(j);
	return ok;
}

static int table(struct json *j, size_t item);

/* What stands behind a value: a comma where another entry follows, then the end of the line. */
static bool behind_value(struct json *j, bool *ret_more)
{
	size_t at = j->at;

	space(j);
	*ret_more = peek(j) == ',';
	if (*ret_more) {
		j->at++;
		return line_end(j);
	}
	j->at = at;
	return line_end(j);
}

/* One entry of the table v[parent], on lines of its own. Returns 1, 0 (not so) or -ENOMEM. */
static int entry(struct json *j, size_t parent, bool *ret_more)
{
	size_t from = j->at, start, item = j->k->n;
	struct keyed_item *i;
	bool escapes = false;
	int r;

	if (!first_on_line(j, from) || !string(j, &escapes) || escapes)
		return 0;
	r = keyed_add(j->k, &j->k->v[parent], (struct text){j->t.p + from + 1, j->at - from - 2},
		      KEYED_ENTRY, line_start(j, from), j->at);
	if (r <= 0)
		return r;
	space(j);
	if (peek(j) != ':')
		return 0;
	j->at++;
	space(j);
	start = j->at;
	if (peek(j) == '{') {
		r = table(j, item);
		if (r < 0)
			return r;
	}
	if (j->k->v[item].role == KEYED_ENTRY) {
		j->at = start;
		j->k->n = item + 1;
		if (!skip(j))
			return 0;
		while (strchr(" \t\r\n", j->t.p[j->at - 1]))
			j->at--;
		j->k->v[item].end = j->at;
		j->k->v[item].value = (struct text){j->t.p + start, j->at - start};
	}
	if (!behind_value(j, ret_more))
		return 0;
	i = &j->k->v[item];
	if (i->role == KEYED_OPEN)
		i = &j->k->v[j->k->n - 1];
	i->to = j->at;
	return 1;
}

static int close_table(struct json *j, size_t item)
{
	size_t from = j->at;
	int r;

	if (peek(j) != '}' || !first_on_line(j, from))
		return 0;
	r = keyed_add(j->k, NULL, (struct text){NULL, 0}, KEYED_CLOSE, line_start(j, from),
		      from + 1);
	if (r <= 0)
		return r;
	j->k->v[j->k->n - 1].id = j->k->v[item].id;
	j->k->v[j->k->n - 1].id_len = j->k->v[item].id_len;
	j->k->v[j->k->n - 1].parent_len = j->k->v[item].parent_len;
	j->at++;
	return 1;
}

/* The object that begins here, as a table: v[item] becomes its first line. Returns 1; 0 where it is not written as
 * one (what was read of it is to be forgotten); -ENOMEM. */
static int table(struct json *j, size_t item)
{
	bool more = false;
	int r;

	if (j->depth >= KEYED_DEPTH_MAX)
		return 0;
	j->depth++;
	j->at++;
	j->k->v[item].end = j->at;
	r = line_end(j);
	j->k->v[item].to = j->at;
	if (r > 0)
		space(j);
	if (r > 0 && peek(j) != '}')
		do {
			r = entry(j, item, &more);
			space(j);
		} while (r > 0 && more);
	if (r > 0)
		r = close_table(j, item);
	if (r > 0)
		j->k->v[item].role = KEYED_OPEN;
	j->depth--;
	return r;
}

static int read_json(struct text t, struct keyed *ret)
{
	struct json j = {.t = t, .k = ret};
	int r;

	space(&j);
	if (peek(&j) != '{' || !first_on_line(&j, j.at))
		return 0;
	r = keyed_add(ret, NULL, (struct text){NULL, 0}, KEYED_ENTRY, line_start(&j, j.at), j.at);
	if (r > 0)
		r = table(&j, 0);
	if (r <= 0)
		return r;
	if (!line_end(&j))
		return 0;
	ret->v[ret->n - 1].to = j.at;
	space(&j);
	return j.at == t.n;
}

static bool is_json(const struct conflict_file *f)
{
	return strcmp(f->lang->name, "json") == 0 && f->class == PATH_PLAIN;
}

int resolve_json(const struct conflict_file *f, struct file_answer *v)
{
	static const struct keyed_format format = {.read = read_json, .commas = true};

	return is_json(f) ? keyed_resolve(&format, f, v) : 0;
}
