/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invariants of a resolved conflict. Lines are counted, not placed: with nb, no, nt occurrences in base
 * and sides, an answer has at least what either side wants and no more than both together.
 */
#include "invariant.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

enum { ANSWER = SIDES, COLUMNS };

/* A line and where it comes from. */
struct tagged {
	struct text line;
	int column;
};

static int compare_text(struct text a, struct text b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n ? memcmp(a.p, b.p, n) : 0;

	return c ? c : a.n < b.n ? -1 : a.n > b.n;
}

static int compare(const void *a, const void *b)
{
	return compare_text(((const struct tagged *)a)->line, ((const struct tagged *)b)->line);
}

/* Without its end: whether the last line has one is invariant_form()'s matter. */
static struct text bare(struct text line)
{
	while (line.n && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
		line.n--;
	return line;
}

const char *invariant_count(const size_t n[COLUMNS])
{
	size_t nb = n[BASE], no = n[OURS], nt = n[THEIRS];
	size_t more_o = no > nb ? no - nb : 0, more_t = nt > nb ? nt - nb : 0;
	size_t less_o = nb > no ? nb - no : 0, less_t = nb > nt ? nb - nt : 0;
	size_t low = nb + (more_o > more_t ? more_o : more_t);
	size_t high = nb + more_o + more_t - (less_o > less_t ? less_o : less_t);

	low = low > less_o + less_t ? low - less_o - less_t : 0;
	if (n[ANSWER] < low)
		return more_o || more_t ? "a line that a side added is missing"
					: "a line that no side deleted is missing";
	return n[ANSWER] > high ? "a line that a side deleted is still there, or one is doubled"
				: NULL;
}

const char *invariant_lines(const struct conflict *c, struct text answer, int *ret_error)
{
	_cleanup_free_ struct tagged *v = NULL;
	struct lines l = {0};
	const char *wrong = NULL;
	size_t n = 0, all;

	*ret_error = lines_split(answer, &l);
	if (*ret_error < 0)
		return NULL;
	all = l.n;
	for (int s = BASE; s < SIDES; s++)
		all += c->lines[s].n;
	v = calloc(all + 1, sizeof(*v));
	if (!v)
		*ret_error = -ENOMEM;
	for (int s = BASE; v && s < COLUMNS; s++) {
		const struct lines *from = s == ANSWER ? &l : &c->lines[s];

		for (size_t i = 0; i < from->n; i++)
			if (!text_blank(from->v[i]))
				v[n++] = (struct tagged){bare(from->v[i]), s};
	}
	free(l.v);
	if (!v)
		return NULL;
	qsort(v, n, sizeof(*v), compare);
	for (size_t i = 0, k; i < n && !wrong; i = k) {
		size_t count[COLUMNS] = {0};

		for (k = i; k < n && compare(&v[i], &v[k]) == 0; k++)
			count[v[k].column]++;
		wrong = invariant_count(count);
	}
	return wrong;
}

static bool is_marker(struct text line)
{
	static const char *const marks[] = {"<<<<<<<", "|||||||", "=======", ">>>>>>>"};

	for (size_t i = 0; i < ARRAY_SIZE(marks); i++)
		if (text_starts(line, marks[i]) &&
		    (line.n == 7 || line.p[7] == ' ' || line.p[7] == '\n' || line.p[7] == '\r'))
			return true;
	return false;
}

static bool has_crlf(struct text line)
{
	return line.n >= 2 && line.p[line.n - 2] == '\r' && line.p[line.n - 1] == '\n';
}

static bool any_begins(struct text t, char with)
{
	for (size_t at = 0; at < t.n;) {
		const char *end = memchr(t.p + at, '\n', t.n - at);

		if (t.p[at] == with)
			return true;
		at = end ? (size_t)(end - t.p) + 1 : t.n;
	}
	return false;
}

static bool new_indent(const struct conflict *c, struct text answer)
{
	static const char with[] = {'\t', ' '};

	for (size_t i = 0; i < sizeof(with); i++)
		if (any_begins(answer, with[i]) && !any_begins(c->text[BASE], with[i]) &&
		    !any_begins(c->text[OURS], with[i]) && !any_begins(c->text[THEIRS], with[i]))
			return true;
	return false;
}

static bool ended(struct text t)
{
	return !t.n || t.p[t.n - 1] == '\n';
}

const char *invariant_form(const struct conflict *c, struct text answer)
{
	for (size_t at = 0; at < answer.n;) {
		const char *end = memchr(answer.p + at, '\n', answer.n - at);
		size_t next = end ? (size_t)(end - answer.p) + 1 : answer.n;
		struct text line = {answer.p + at, next - at};

		if (is_marker(line) && !lines_have(&c->lines[OURS], line) &&
		    !lines_have(&c->lines[THEIRS], line))
			return "it has a conflict marker";
		if (end && has_crlf(line) != c->crlf && !lines_have(&c->lines[OURS], line) &&
		    !lines_have(&c->lines[THEIRS], line) && !lines_have(&c->lines[BASE], line))
			return "its line ends are not those of the file";
		at = next;
	}
	if (text_utf8(c->text[OURS]) && text_utf8(c->text[THEIRS]) && !text_utf8(answer))
		return "it is no UTF-8, which both sides are";
	if (new_indent(c, answer))
		return "it is indented as no line of the sides is";
	if (!ended(answer) && ended(c->text[OURS]) && ended(c->text[THEIRS]))
		return "its last line has no end";
	if (answer.n && ended(answer) && !ended(c->text[OURS]) && !ended(c->text[THEIRS]))
		return "its last line has an end where no side has one";
	return NULL;
}

static bool between(char c)
{
	return c == ',' || c == ' ' || (c >= '\t' && c <= '\r');
}

/* The words of a text, sorted. */
static int words(struct text t, struct tagged **ret, size_t *ret_n)
{
	struct tagged *v = calloc(t.n / 2 + 2, sizeof(*v));
	size_t n = 0;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0, from; i < t.n;) {
		while (i < t.n && between(t.p[i]))
			i++;
		for (from = i; i < t.n && !between(t.p[i]); i++)
			;
		if (i > from)
			v[n++] = (struct tagged){{t.p + from, i - from}, 0};
	}
	qsort(v, n, sizeof(*v), compare);
	*ret = v;
	*ret_n = n;
	return 0;
}

bool invariant_same_words(struct text a, struct text b, int *ret_error)
{
	_cleanup_free_ struct tagged *va = NULL, *vb = NULL;
	size_t na = 0, nb = 0;

	*ret_error = words(a, &va, &na);
	if (*ret_error == 0)
		*ret_error = words(b, &vb, &nb);
	if (*ret_error < 0 || na != nb)
		return false;
	for (size_t i = 0; i < na; i++)
		if (compare(&va[i], &vb[i]) != 0)
			return false;
	return true;
}
