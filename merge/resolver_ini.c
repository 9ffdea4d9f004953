/* SPDX-License-Identifier: Apache-2.0 */
/*
 * INI (setup.cfg, tox.ini, .editorconfig …), Java's .properties and .env: "key = value" in sections or none.
 * Indented lines belong to the entry before (INI), a backslash at the end joins the next line (.properties).
 * Declined: a line that is no entry, a key or section twice, quotes that are not closed on their line (.env).
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "keyed_lines.h"

static bool indented(const struct keyed_lines *l)
{
	return l->line.p[0] == ' ' || l->line.p[0] == '\t';
}

/* Where the key ends: at "=" or ":". 0: there is none. */
static size_t key_end(struct text t, const char *dividers)
{
	for (size_t i = 0; i < t.n; i++)
		if (t.p[i] && strchr(dividers, t.p[i]))
			return i;
	return 0;
}

static int add_entry(struct keyed_lines *l, const char *dividers)
{
	size_t n = key_end(l->bare, dividers);
	struct text key = text_trim(text_until(l->bare, n));

	if (!key.n)
		return 0;
	return keyed_add_line(l, key, KEYED_ENTRY, text_trim(text_from(l->bare, n + 1)));
}

/* "[name]", perhaps with a comment behind. */
static int add_section(struct keyed_lines *l)
{
	const char *close = memchr(l->bare.p, ']', l->bare.n);
	size_t n = close ? (size_t)(close - l->bare.p) : 0;
	struct text rest = close ? text_trim(text_from(l->bare, n + 1)) : (struct text){"", 0};

	if (!close || indented(l) || (rest.n && rest.p[0] != '#' && rest.p[0] != ';'))
		return 0;
	return keyed_open_line(l, text_until(l->bare, n));
}

/* Lines that go on with the entry: indented ones, also behind blank ones and comments between them. */
static void join_indented(struct keyed_lines *l)
{
	for (size_t ahead = l->at; ahead < l->t.n;) {
		struct text line = keyed_line(l->t, ahead);

		ahead += line.n;
		if (text_blank(line))
			continue;
		if (line.p[0] != ' ' && line.p[0] != '\t')
			return;
		while (l->at < ahead)
			keyed_join_line(l);
	}
}

static int read_ini(struct text t, struct keyed *ret)
{
	struct keyed_lines l = keyed_lines(t, ret);
	int r = 1;

	while (r > 0 && keyed_next_line(&l, "#;")) {
		if (l.bare.p[0] == '[') {
			r = add_section(&l);
			continue;
		}
		r = indented(&l) ? 0 : add_entry(&l, "=:");
		if (r > 0)
			join_indented(&l);
	}
	return r;
}

static bool goes_on(const struct keyed_lines *l)
{
	const struct keyed_item *i = &l->k->v[l->k->n - 1];
	size_t n = 0;

	while (i->end - n > i->from && l->t.p[i->end - n - 1] == '\\')
		n++;
	return n % 2 && l->at < l->t.n;
}

static int read_properties(struct text t, struct keyed *ret)
{
	struct keyed_lines l = keyed_lines(t, ret);
	int r = 1;

	while (r > 0 && keyed_next_line(&l, "#!")) {
		size_t n = key_end(l.bare, "=: \t");

		/* Escapes: two spellings of one key. */
		if (!n || memchr(l.bare.p, '\\', n))
			return 0;
		r = add_entry(&l, "=: \t");
		while (r > 0 && goes_on(&l))
			keyed_join_line(&l);
	}
	return r;
}

static bool quotes_closed(struct text t)
{
	char open = 0;

	for (size_t i = 0; i < t.n; i++) {
		if (t.p[i] == '\\')
			i++;
		else if (open ? t.p[i] == open : (t.p[i] == '"' || t.p[i] == '\''))
			open = open ? 0 : t.p[i];
	}
	return !open;
}

static int read_env(struct text t, struct keyed *ret)
{
	struct keyed_lines l = keyed_lines(t, ret);
	int r = 1;

	while (r > 0 && keyed_next_line(&l, "#")) {
		size_t from = text_starts(l.bare, "export ") ? 7 : 0, n = key_end(l.bare, "=");
		struct text key = text_trim(text_until(text_from(l.bare, from), n - from));

		if (n <= from || !quotes_closed(text_from(l.bare, n)))
			return 0;
		for (size_t i = 0; i < key.n; i++)
			if (!isalnum((unsigned char)key.p[i]) && key.p[i] != '_')
				return 0;
		r = keyed_add_line(&l, key, KEYED_ENTRY, text_from(l.bare, n + 1));
	}
	return r;
}

static const struct keyed_format ini = {.read = read_ini, .sections = true};
static const struct keyed_format properties = {.read = read_properties};
static const struct keyed_format env = {.read = read_env};

static const struct keyed_format *format_of(const char *path)
{
	static const struct {
		const char *end;
		const struct keyed_format *format;
	} ends[] = {{".ini", &ini},
		    {".cfg", &ini},
		    {".editorconfig", &ini},
		    {".flake8", &ini},
		    {".coveragerc", &ini},
		    {".pylintrc", &ini},
		    {".properties", &properties},
		    {".desktop", &ini},
		    {".env", &env},
		    {".env.example", &env},
		    {".env.sample", &env}};
	size_t n = strlen(path);

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		size_t k = strlen(ends[i].end);

		if (n >= k && strcmp(path + n - k, ends[i].end) == 0)
			return ends[i].format;
	}
	return NULL;
}

int resolve_ini(const struct conflict_file *f, struct file_answer *v)
{
	const struct keyed_format *format = format_of(f->path);

	return format ? keyed_resolve(format, f, v) : 0;
}
