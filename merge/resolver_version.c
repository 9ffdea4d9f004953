/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines that are equal but for dotted version numbers: the greater. All that differ have to be greater
 * on one and the same side; order as semver's for what looks like it (1.2.0-rc1 before 1.2.0). Not where both
 * sides put one into a list of versions.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "resolver.h"

enum { DIGITS_MAX = 9 };

static bool digit(char c)
{
	return isdigit((unsigned char)c);
}

static bool word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

size_t version_at(struct text t, size_t at)
{
	size_t i = at;
	unsigned int dots = 0;

	if (at && (word(t.p[at - 1]) || t.p[at - 1] == '.') && t.p[at - 1] != 'v' &&
	    t.p[at - 1] != 'V')
		return 0;
	while (i < t.n && digit(t.p[i])) {
		size_t from = i;

		while (i < t.n && digit(t.p[i]))
			i++;
		if (i - from > DIGITS_MAX)
			return 0;
		if (i + 1 >= t.n || t.p[i] != '.' || !digit(t.p[i + 1]))
			break;
		dots++;
		i++;
	}
	if (!dots)
		return 0;
	/* .dev1, -rc.1, rc1, +build */
	while (i < t.n && (word(t.p[i]) || ((t.p[i] == '.' || t.p[i] == '-' || t.p[i] == '+') &&
					    i + 1 < t.n && word(t.p[i + 1]))))
		i++;
	return i - at;
}

static int sign(long long a, long long b)
{
	return a < b ? -1 : a > b;
}

/* Numbers one by one; then a suffix, which is older than none. */
int version_compare(struct text a, struct text b)
{
	size_t i = 0, k = 0;
	bool more_a, more_b;

	for (;;) {
		long long x = 0, y = 0;

		while (i < a.n && digit(a.p[i]))
			x = x * 10 + (a.p[i++] - '0');
		while (k < b.n && digit(b.p[k]))
			y = y * 10 + (b.p[k++] - '0');
		if (x != y)
			return sign(x, y);
		more_a = i + 1 < a.n && a.p[i] == '.' && digit(a.p[i + 1]);
		more_b = k + 1 < b.n && b.p[k] == '.' && digit(b.p[k + 1]);
		if (more_a != more_b)
			return more_a ? 1 : -1;
		if (!more_a)
			break;
		i++;
		k++;
	}
	if ((i == a.n) != (k == b.n))
		return i == a.n ? 1 : -1;
	if (i == a.n)
		return 0;
	/* Two suffixes: their numbers where the words before are alike. */
	while (i < a.n && k < b.n && a.p[i] == b.p[k] && !digit(a.p[i])) {
		i++;
		k++;
	}
	if (i < a.n && k < b.n && digit(a.p[i]) && digit(b.p[k]))
		return sign(atoll(a.p + i), atoll(b.p + k));
	return 2; /* not to be ordered */
}

int version_compare_lines(struct text o, struct text t)
{
	size_t i = 0, k = 0;
	int which = 0;

	while (i < o.n && k < t.n) {
		size_t a = digit(o.p[i]) ? version_at(o, i) : 0;
		size_t b = digit(t.p[k]) ? version_at(t, k) : 0;
		int d;

		if (!a || !b) {
			if (o.p[i++] != t.p[k++])
				return 2;
			continue;
		}
		d = version_compare((struct text){o.p + i, a}, (struct text){t.p + k, b});
		if (d == 0 && !text_equal((struct text){o.p + i, a}, (struct text){t.p + k, b}))
			return 2;
		if (d == 2 || (d && which && d != which))
			return 2;
		which = d ? d : which;
		i += a;
		k += b;
	}
	return i == o.n && k == t.n ? which : 2;
}

/* "- v1.2.3", "1.2.3,": nothing but versions, in a list of them. */
static bool names_nothing(struct text line)
{
	for (size_t i = 0; i < line.n;) {
		size_t v = line.p[i] == 'v' || line.p[i] == 'V' ? 1 : 0;
		size_t n = i + v < line.n && digit(line.p[i + v]) ? version_at(line, i + v) : 0;

		if (!n && word(line.p[i]))
			return false;
		i += n ? n + v : 1;
	}
	return true;
}

/* Each side put another version into a list: neither was raised to the other. */
static bool both_listed(const struct conflict *c)
{
	return !c->lines[BASE].n && names_nothing(c->lines[OURS].v[0]);
}

int resolve_version(const struct conflict *c, struct buf *out)
{
	int which = 0;

	if (c->class == PATH_LOCK || c->class == PATH_GENERATED || !c->lines[OURS].n ||
	    c->lines[OURS].n != c->lines[THEIRS].n || both_listed(c))
		return 0;
	for (size_t i = 0; i < c->lines[OURS].n; i++) {
		int d = version_compare_lines(c->lines[OURS].v[i], c->lines[THEIRS].v[i]);

		if (d == 2 || (d && which && d != which))
			return 0;
		which = d ? d : which;
	}
	if (!which)
		return 0;
	return buf_add(out, c->text[which > 0 ? OURS : THEIRS].p,
		       c->text[which > 0 ? OURS : THEIRS].n) < 0
		       ? -ENOMEM
		       : 1;
}
