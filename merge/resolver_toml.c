/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TOML (Cargo.toml, pyproject.toml …): tables by their dotted name, entries of one line or several (strings in three
 * quotes, lists, inline tables). A table of a list ("[[bin]]") is named by its entry name, module, id, path or
 * url, and declined without one, as are tables below such. One name twice, in whichever spelling, is declined.
 */
#include <ctype.h>
#include <string.h>

#include "cleanup.h"
#include "keyed_lines.h"

enum { LISTS_MAX = 32, NAME_LEN_MAX = 1024 };

struct toml {
	struct keyed_lines l;
	struct text lists[LISTS_MAX]; /* names of tables of lists */
	size_t nlists;
};

/* A dotted name as parts that a NUL divides, quotes taken off. Returns its length; 0: not understood. */
static size_t dotted(struct text t, char *ret)
{
	size_t n = 0, i = 0;

	for (;;) {
		char quote = i < t.n && strchr("\"'", t.p[i]) ? t.p[i++] : '\0';
		size_t from = n;

		while (i < t.n && n < NAME_LEN_MAX - 1 &&
		       (quote ? t.p[i] != quote && t.p[i] != '\\'
			      : isalnum((unsigned char)t.p[i]) || strchr("-_", t.p[i])))
			ret[n++] = t.p[i++];
		if (n == from || (quote && (i == t.n || t.p[i++] != quote)))
			return 0;
		while (i < t.n && strchr(" \t", t.p[i]))
			i++;
		if (i == t.n)
			return n;
		if (t.p[i++] != '.' || n >= NAME_LEN_MAX - 1)
			return 0;
		while (i < t.n && strchr(" \t", t.p[i]))
			i++;
		ret[n++] = '\0';
	}
}

/* Past a string that begins at `at`; false where it does not end, on its line if it has to. */
static bool skip_string(struct text t, size_t *at)
{
	char q = t.p[*at];
	bool three = t.n - *at >= 3 && t.p[*at + 1] == q && t.p[*at + 2] == q;

	for (*at += three ? 3 : 1; *at < t.n; ++*at) {
		if (t.p[*at] == '\\' && q == '"' && *at + 1 < t.n)
			++*at;
		else if (t.p[*at] == '\n' && !three)
			return false;
		else if (t.p[*at] == q &&
			 (!three || (t.n - *at >= 3 && t.p[*at + 1] == q && t.p[*at + 2] == q))) {
			/* Up to two quotes may stand before the three that end it. */
			*at += three ? 3 : 1;
			while (three && *at < t.n && t.p[*at] == q)
				++*at;
			return true;
		}
	}
	return false;
}

/* Where the value that begins at `at` ends: its line's end, with a comment. false: it does not. */
static bool skip_value(struct text t, size_t *at)
{
	size_t depth = 0, from = *at;

	for (; *at < t.n; ++*at) {
		char c = t.p[*at];

		if (c == '"' || c == '\'') {
			if (!skip_string(t, at))
				return false;
			--*at;
		} else if (c == '[' || c == '{') {
			if (++depth > KEYED_DEPTH_MAX)
				return false;
		} else if (c == ']' || c == '}') {
			if (!depth--)
				return false;
		} else if (c == '#') {
			while (*at + 1 < t.n && t.p[*at + 1] != '\n')
				++*at;
		} else if (c == '\n' && !depth) {
			break;
		}
	}
	return !depth && *at > from;
}

/* Where the key ends: at "=" that is in no quotes. */
static size_t equals(struct text t)
{
	char quote = '\0';

	for (size_t i = 0; i < t.n; i++) {
		if (quote ? t.p[i] == quote : strchr("\"'", t.p[i]) != NULL)
			quote = quote ? '\0' : t.p[i];
		else if (!quote && t.p[i] == '=')
			return i;
	}
	return 0;
}

static int add_entry(struct toml *o)
{
	struct keyed_lines *l = &o->l;
	char name[NAME_LEN_MAX];
	size_t eq = equals(l->bare), at, n;
	struct text value;
	int r;

	n = eq ? dotted(text_trim(text_until(l->bare, eq)), name) : 0;
	if (!n)
		return 0;
	at = (size_t)(l->bare.p - l->t.p) + eq + 1;
	while (at < l->t.n && strchr(" \t", l->t.p[at]))
		at++;
	value = (struct text){l->t.p + at, 0};
	if (!skip_value(l->t, &at))
		return 0;
	r = keyed_add_line(l, (struct text){name, n}, KEYED_ENTRY, value);
	while (r > 0 && l->at < at)
		keyed_join_line(l);
	if (r > 0)
		l->k->v[l->k->n - 1].value = text_trim((struct text){
			value.p, (size_t)(l->t.p + l->k->v[l->k->n - 1].end - value.p)});
	return r;
}

/* The value that names the table of a list whose lines begin at l->at; empty: none. */
static struct text list_name(const struct keyed_lines *l)
{
	static const char *const names[] = {"name", "module", "id", "path", "url"};

	for (size_t k = 0; k < ARRAY_SIZE(names); k++)
		for (size_t at = l->at; at < l->t.n;) {
			struct text line = keyed_line(l->t, at), bare = text_trim(line);
			size_t eq = equals(bare);

			at += line.n;
			if (bare.n && bare.p[0] == '[')
				break;
			if (eq && text_is(text_trim(text_until(bare, eq)), names[k]))
				return text_trim(text_from(bare, eq + 1));
		}
	return (struct text){"", 0};
}

/* Is the name that of a table of a list, or below it? */
static bool below_list(const struct toml *o, struct text name, bool list)
{
	for (size_t i = 0; i < o->nlists; i++) {
		struct text l = o->lists[i];

		if (name.n >= l.n && memcmp(name.p, l.p, l.n) == 0 &&
		    (name.n == l.n ? !list : name.p[l.n] == '.'))
			return true;
	}
	return false;
}

static int open_table(struct toml *o)
{
	struct keyed_lines *l = &o->l;
	bool list = l->bare.n > 1 && l->bare.p[1] == '[';
	const char *close = memchr(l->bare.p, ']', l->bare.n);
	size_t from = list ? 2 : 1, to = close ? (size_t)(close - l->bare.p) : 0, n;
	struct text inner, rest = text_trim(text_from(l->bare, to + from)), by;
	char name[2 * NAME_LEN_MAX];

	if (to <= from || (list && (to + 1 >= l->bare.n || close[1] != ']')) ||
	    (rest.n && rest.p[0] != '#'))
		return 0;
	inner = text_trim((struct text){l->bare.p + from, to - from});
	n = dotted(inner, name);
	if (!n || below_list(o, inner, list))
		return 0;
	if (list) {
		by = list_name(l);
		if (!by.n || by.n > NAME_LEN_MAX - 2 || o->nlists == LISTS_MAX)
			return 0;
		o->lists[o->nlists++] = inner;
		name[n++] = '\0';
		name[n++] = '[';
		memcpy(name + n, by.p, by.n);
		n += by.n;
	}
	return keyed_open_line(l, (struct text){name, n});
}

static int read_toml(struct text t, struct keyed *ret)
{
	struct toml o = {.l = keyed_lines(t, ret)};
	int r = 1;

	while (r > 0 && keyed_next_line(&o.l, "#"))
		r = o.l.bare.p[0] == '[' ? open_table(&o) : add_entry(&o);
	return r;
}

int resolve_toml(const struct conflict_file *f, struct file_answer *v)
{
	static const struct keyed_format format = {.read = read_toml, .sections = true};
	size_t n = strlen(f->path);
	bool pipfile = n >= 7 && strcmp(f->path + n - 7, "Pipfile") == 0;

	if (f->class != PATH_PLAIN || (strcmp(f->lang->name, "toml") != 0 && !pipfile))
		return 0;
	return keyed_resolve(&format, f, v);
}
