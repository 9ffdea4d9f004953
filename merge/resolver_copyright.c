/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copyright lines that are equal but for their years: the one that ends later ("present" is later than any
 * year). Years that begin differently are declined unless one line spans both, and so is every line that
 * does not speak of a copyright.
 */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "resolver.h"

enum { YEAR_MIN = 1900, YEAR_MAX = 2199, PRESENT = 9999 };

/* From one year to another; of one year alone both are it. */
struct years {
	int from, to;
};

static bool digit(struct text t, size_t at)
{
	return at < t.n && isdigit((unsigned char)t.p[at]);
}

/* Length of the year at `at`, or 0. */
static size_t year_at(struct text t, size_t at, int *ret)
{
	int y = 0;

	if (at && digit(t, at - 1))
		return 0;
	for (size_t i = at; i < at + 4; i++) {
		if (!digit(t, i))
			return 0;
		y = y * 10 + (t.p[i] - '0');
	}
	if (digit(t, at + 4) || y < YEAR_MIN || y > YEAR_MAX)
		return 0;
	*ret = y;
	return 4;
}

/* Between two years: a hyphen or dash, perhaps with spaces around it. */
static size_t dash_at(struct text t, size_t at)
{
	static const char *const dashes[] = {"-", "\xe2\x80\x93", "\xe2\x80\x94"};
	size_t i = at;

	while (i < t.n && t.p[i] == ' ')
		i++;
	for (size_t k = 0; k < sizeof(dashes) / sizeof(dashes[0]); k++) {
		size_t n = strlen(dashes[k]);

		if (t.n - i < n || memcmp(t.p + i, dashes[k], n) != 0)
			continue;
		for (i += n; i < t.n && t.p[i] == ' '; i++)
			;
		return i - at;
	}
	return 0;
}

/* Length of the years at `at`: "2012", "2012-2020", "2012 - present"; or 0. */
static size_t years_at(struct text t, size_t at, struct years *ret)
{
	static const char present[] = "present";
	size_t n = year_at(t, at, &ret->from), dash, end;

	ret->to = ret->from;
	dash = n ? dash_at(t, at + n) : 0;
	if (!dash)
		return n;
	end = at + n + dash;
	if (t.n - end >= strlen(present) && strncasecmp(t.p + end, present, strlen(present)) == 0) {
		ret->to = PRESENT;
		return end + strlen(present) - at;
	}
	return year_at(t, end, &ret->to) ? end + 4 - at : n;
}

static bool speaks_of_copyright(struct text t)
{
	static const char *const words[] = {"copyright", "(c)", "\xc2\xa9"};

	for (size_t i = 0; i < t.n; i++)
		for (size_t k = 0; k < sizeof(words) / sizeof(words[0]); k++)
			if (t.n - i >= strlen(words[k]) &&
			    strncasecmp(t.p + i, words[k], strlen(words[k])) == 0)
				return true;
	return false;
}

/* 1: ours ends later, -1: theirs, 0: equal lines, 2: not to be compared. */
static int compare_lines(struct text o, struct text t)
{
	size_t i = 0, k = 0;
	int which = 0;

	while (i < o.n && k < t.n) {
		struct years a = {0}, b = {0};
		size_t na = years_at(o, i, &a), nb = years_at(t, k, &b);
		int one;

		if (!na || !nb) {
			if (o.p[i++] != t.p[k++])
				return 2;
			continue;
		}
		one = (a.to > b.to) - (a.to < b.to);
		if ((one > 0 && a.from > b.from) || (one < 0 && b.from > a.from) ||
		    (one && which && one != which) || (!one && a.from != b.from))
			return 2;
		which = one ? one : which;
		i += na;
		k += nb;
	}
	return i == o.n && k == t.n ? which : 2;
}

int resolve_copyright(const struct conflict *c, struct buf *out)
{
	size_t n = c->lines[OURS].n;
	bool any = false;

	if (!n || n != c->lines[THEIRS].n)
		return 0;
	for (size_t i = 0; i < n; i++) {
		struct text o = c->lines[OURS].v[i], t = c->lines[THEIRS].v[i];
		int which = text_equal(o, t) ? 0 : compare_lines(o, t);

		if (which == 2 || (which && !speaks_of_copyright(o)) ||
		    (!which && !text_equal(o, t)))
			return 0;
		any |= which != 0;
		if (put_line(out, c, which < 0 ? t : o) < 0)
			return -ENOMEM;
	}
	return any;
}
