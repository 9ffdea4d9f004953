/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pip's requirements files: an entry is named by its project (case, "-", "_" and "." are alike) and, if it has one, its
 * environment marker; options by the whole line. A backslash at the end of a line joins the next. Two
 * versions of one project: the greater, where nothing else differs.
 */
#include <ctype.h>
#include <string.h>

#include "cleanup.h"
#include "keyed_lines.h"

enum { NAME_MAX_LEN = 512 };

static bool joined(const struct keyed_lines *l)
{
	const struct keyed_item *i = &l->k->v[l->k->n - 1];

	return i->end > i->from && l->t.p[i->end - 1] == '\\' && l->at < l->t.n;
}

/* Without the comment behind it. */
static struct text without_comment(struct text t)
{
	const char *hash = memmem(t.p, t.n, " #", 2);

	return hash ? text_trim(text_until(t, (size_t)(hash - t.p))) : t;
}

static bool of_name(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_' || c == '.';
}

/* The project's name, folded, and what makes another entry of it: the marker. Returns its length, 0: none. */
static size_t name_of(struct text t, char *ret)
{
	const char *marker = memchr(t.p, ';', t.n);
	size_t n = 0, end = 0;

	while (end < t.n && of_name(t.p[end]) && end < NAME_MAX_LEN / 2) {
		char c = t.p[end++];

		ret[n++] = c == '_' || c == '.' ? '-' : (char)tolower((unsigned char)c);
	}
	if (!n || (end < t.n && of_name(t.p[end])) ||
	    (end < t.n && !strchr(" \t[=<>!~;@,(", t.p[end])))
		return 0;
	for (; marker && marker < t.p + t.n; marker++) {
		if (n == NAME_MAX_LEN)
			return 0;
		if (*marker != ' ' && *marker != '\t')
			ret[n++] = *marker;
	}
	return n;
}

static int read_requirements(struct text t, struct keyed *ret)
{
	struct keyed_lines l = keyed_lines(t, ret);
	char name[NAME_MAX_LEN];
	int r = 1;

	while (r > 0 && keyed_next_line(&l, "#")) {
		struct text entry = without_comment(l.bare);
		struct text key = {name, 0};

		if (entry.p[0] == '-')
			key = entry;
		else
			key.n = name_of(entry, name);
		r = key.n ? keyed_add_line(&l, key, KEYED_ENTRY, l.bare) : 0;
		while (r > 0 && joined(&l))
			keyed_join_line(&l);
	}
	return r;
}

static bool is_requirements(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t n = strlen(name);
	bool folder = slash && slash - path >= 12 && memcmp(slash - 12, "requirements", 12) == 0;

	if (n < 4 || strcmp(name + n - 4, ".txt") != 0)
		return false;
	return folder || strstr(name, "requirements") || strstr(name, "constraints");
}

int resolve_requirements(const struct conflict_file *f, struct file_answer *v)
{
	static const struct keyed_format format = {.read = read_requirements};

	return is_requirements(f->path) ? keyed_resolve(&format, f, v) : 0;
}
