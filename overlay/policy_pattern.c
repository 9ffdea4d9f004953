/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gitignore patterns as automata over path components.
 *
 * A pattern is cut at its slashes into segments: a literal, a glob of one component, ANY (a lone
 * "*") or DEEP ("**" between slashes: no component or more). A pattern without a slash, but for one
 * at its end, may stand at any depth: DEEP goes before it. "**" at the end means something inside:
 * ANY. A set of states is a bit mask: bit i = "segment i comes next", bit n = matched. So:
 *
 *     src/lib/ + "**"  →  "src" "lib" ANY      node_modules/  →  DEEP "node_modules", folders only
 *     *.c              →  DEEP glob(*.c)       /a/b           →  "a" "b"
 *
 * Invariants: (1) no two DEEP are neighbours and none is last, so that the closure of a state is at
 * most one further bit; (2) a glob was checked when it was compiled: matching cannot meet a broken
 * class; (3) every segment matches some name, so that a live state can always be matched to the
 * end.
 *
 * One component is matched as git's wildmatch does: bytes, case-sensitive, classes with "!" or "^",
 * ranges, [:names:] and "\" inside; a class never matches "/".
 */
#include "policy_pattern.h"

#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "sys.h"

DEFINE_CLEANUP(struct pattern *, pattern_free);

enum { SEGMENTS_MAX = 60 };

enum segment_kind { LITERAL, GLOB, ANY, DEEP };

struct segment {
	enum segment_kind kind;
	const char *p; /* LITERAL: the name; GLOB: its text */
	size_t n;
};

struct pattern {
	bool negated;
	bool dir_only;
	unsigned n;
	char *bytes; /* what the segments point into */
	struct segment seg[SEGMENTS_MAX];
};

static const struct {
	const char *name;
	int (*is)(int c);
} classes[] = {
	{"alnum", isalnum}, {"alpha", isalpha}, {"blank", isblank}, {"cntrl", iscntrl},
	{"digit", isdigit}, {"graph", isgraph}, {"lower", islower}, {"print", isprint},
	{"punct", ispunct}, {"space", isspace}, {"upper", isupper}, {"xdigit", isxdigit},
};

/* p is behind "[:"; up to ":]". Returns where it ends, NULL where it is no class name after all;
 * *ok is false for a name that nobody knows. */
static const char *class_name(const char *p, const char *end, unsigned char c, bool *matched,
			      bool *ok)
{
	const char *q = memchr(p, ']', (size_t)(end - p));

	*ok = q != NULL;
	if (!q || q == p || q[-1] != ':')
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
		size_t n = strlen(classes[i].name);

		if (n != (size_t)(q - p) - 1 || memcmp(p, classes[i].name, n) != 0)
			continue;
		*matched |= c < 128 && classes[i].is(c);
		return q + 1;
	}
	*ok = false;
	return NULL;
}

/* One byte of a class, perhaps escaped; NULL where it is cut short. */
static const char *class_byte(const char *p, const char *end, unsigned char *ret)
{
	if (p < end && *p == '\\')
		p++;
	if (p >= end)
		return NULL;
	*ret = (unsigned char)*p;
	return p + 1;
}

/* A class whose "[" is before p. Returns what is behind its "]", NULL where it is broken. */
static const char *class_match(const char *p, const char *end, unsigned char c, bool *ret)
{
	bool negated = p < end && (*p == '!' || *p == '^'), matched = false, first = true, ok;
	unsigned char low = 0, b;
	bool ranged = false; /* low may begin a range */

	if (negated)
		p++;
	for (; p < end && (first || *p != ']'); first = false) {
		if (*p == '-' && ranged && end - p > 1 && p[1] != ']') {
			p = class_byte(p + 1, end, &b);
			matched |= c >= low && c <= b;
			ranged = false;
		} else if (*p == '[' && end - p > 1 && p[1] == ':') {
			const char *q = class_name(p + 2, end, c, &matched, &ok);

			if (!ok)
				return NULL;
			matched |= !q && c == '[';
			low = '[';
			ranged = !q;
			p = q ? q : p + 1;
		} else {
			p = class_byte(p, end, &low);
			matched |= c == low;
			ranged = true;
		}
		if (!p)
			return NULL;
	}
	if (p >= end)
		return NULL;
	*ret = matched != negated && c != '/';
	return p + 1;
}

/* One character of the glob against c. Returns what is behind it, NULL where it does not match. */
static const char *glob_one(const char *g, const char *end, unsigned char c)
{
	bool matched = false;

	switch (*g) {
	case '?':
		return g + 1;
	case '[':
		g = class_match(g + 1, end, c, &matched);
		return matched ? g : NULL;
	case '\\':
		g++;
		return (unsigned char)*g == c ? g + 1 : NULL;
	default:
		return (unsigned char)*g == c ? g + 1 : NULL;
	}
}

static bool glob_match(const char *g, size_t gn, const char *s, size_t sn)
{
	const char *gend = g + gn, *send = s + sn, *star = NULL, *retry = NULL;

	while (s < send) {
		const char *next;

		if (g < gend && *g == '*') {
			star = ++g;
			retry = s;
			continue;
		}
		next = g < gend ? glob_one(g, gend, (unsigned char)*s) : NULL;
		if (next) {
			g = next;
			s++;
		} else if (star) {
			g = star;
			s = ++retry;
		} else {
			return false;
		}
	}
	while (g < gend && *g == '*')
		g++;
	return g == gend;
}

static bool segment_match(const struct segment *seg, const char *s, size_t n)
{
	switch (seg->kind) {
	case LITERAL:
		return seg->n == n && memcmp(seg->p, s, n) == 0;
	case GLOB:
		return glob_match(seg->p, seg->n, s, n);
	case ANY:
	case DEEP:
		return true;
	}
	return false;
}

static uint64_t closure(const struct pattern *p, unsigned i)
{
	uint64_t bit = UINT64_C(1) << i;

	return i < p->n && p->seg[i].kind == DEEP ? bit | bit << 1 : bit;
}

static uint64_t step(const struct pattern *p, uint64_t states, const char *s, size_t n)
{
	uint64_t next = 0;

	for (; states; states &= states - 1) {
		unsigned i = (unsigned)__builtin_ctzll(states);

		if (p->seg[i].kind == DEEP)
			next |= closure(p, i);
		else if (segment_match(&p->seg[i], s, n))
			next |= closure(p, i + 1);
	}
	return next;
}

/* Takes one component off the path; false at its end. */
static bool next_component(struct pattern_path *at, const char **ret, size_t *ret_n)
{
	const char *slash;

	if (at->n == 0) {
		*ret = at->leaf;
		*ret_n = at->leaf_n;
		at->leaf = NULL;
		return *ret != NULL;
	}
	slash = memchr(at->p, '/', at->n);
	*ret = at->p;
	*ret_n = slash ? (size_t)(slash - at->p) : at->n;
	at->p += *ret_n + (slash != NULL);
	at->n -= *ret_n + (slash != NULL);
	return true;
}

/* The states behind the path; the bit of `p->n` alone: covered. */
static uint64_t run(const struct pattern *p, const struct pattern_path *path)
{
	struct pattern_path at = *path;
	uint64_t states = closure(p, 0), covered = UINT64_C(1) << p->n;
	const char *s;
	size_t n;

	while (states && next_component(&at, &s, &n)) {
		bool folder = at.n || at.leaf || at.dir;

		states = step(p, states, s, n);
		if (states & covered) {
			if (!p->dir_only || folder)
				return covered;
			states &= ~covered;
		}
	}
	return states;
}

static bool is_covered(const struct pattern *p, uint64_t states)
{
	return states >> p->n & 1;
}

bool pattern_covers(const struct pattern *p, const struct pattern_path *at)
{
	return is_covered(p, run(p, at));
}

static uint64_t run_folder(const struct pattern *p, const struct pattern_path *dir)
{
	struct pattern_path at = *dir;

	at.dir = true;
	return run(p, &at);
}

/* The segment that would match a name as the last one, or NULL: at most one is. */
static const struct segment *last_segment(const struct pattern *p, uint64_t states)
{
	return states >> (p->n - 1) & 1 ? &p->seg[p->n - 1] : NULL;
}

enum pattern_span pattern_below(const struct pattern *p, const struct pattern_path *dir)
{
	uint64_t states = run_folder(p, dir);
	const struct segment *last;

	if (is_covered(p, states))
		return PATTERN_ALL;
	last = last_segment(p, states);
	if (last && last->kind == ANY && !p->dir_only)
		return PATTERN_ALL;
	return states ? PATTERN_SOME : PATTERN_NONE;
}

enum pattern_span pattern_fresh_child(const struct pattern *p, const struct pattern_path *dir)
{
	uint64_t states = run_folder(p, dir);
	const struct segment *last;

	if (is_covered(p, states))
		return PATTERN_ALL;
	last = last_segment(p, states);
	if (!last || p->dir_only || last->kind == LITERAL)
		return PATTERN_NONE;
	return last->kind == ANY ? PATTERN_ALL : PATTERN_SOME;
}

bool pattern_next_name(const struct pattern *p, const struct pattern_path *dir, unsigned *pos,
		       const char **ret, size_t *ret_n)
{
	uint64_t states = run_folder(p, dir);
	const struct segment *last;

	if ((*pos)++ || is_covered(p, states) || p->dir_only)
		return false;
	last = last_segment(p, states);
	if (!last || last->kind != LITERAL)
		return false;
	*ret = last->p;
	*ret_n = last->n;
	return true;
}

/* May one name match both? Two globs: assumed. */
static bool segments_meet(const struct segment *a, const struct segment *b)
{
	if (a->kind == LITERAL)
		return segment_match(b, a->p, a->n);
	if (b->kind == LITERAL)
		return segment_match(a, b->p, b->n);
	return true;
}

struct meeting {
	const struct pattern *a, *b;
	uint64_t todo[SEGMENTS_MAX], done[SEGMENTS_MAX]; /* [state of a] = states of b */
};

/* Goes on from one pair of states by one name; true where either pattern is through, since the
 * other can then always be brought to its end below (invariant 3). */
static bool meet_step(struct meeting *m, unsigned i, unsigned j)
{
	uint64_t as, bs, a_end = UINT64_C(1) << m->a->n, b_end = UINT64_C(1) << m->b->n;

	if (!segments_meet(&m->a->seg[i], &m->b->seg[j]))
		return false;
	as = closure(m->a, m->a->seg[i].kind == DEEP ? i : i + 1);
	bs = closure(m->b, m->b->seg[j].kind == DEEP ? j : j + 1);
	if ((as & a_end) || (bs & b_end))
		return true;
	for (; as; as &= as - 1)
		m->todo[__builtin_ctzll(as)] |= bs;
	return false;
}

bool pattern_meet_below(const struct pattern *a, const struct pattern *b,
			const struct pattern_path *dir)
{
	uint64_t as = run_folder(a, dir), bs = run_folder(b, dir);
	struct meeting m = {.a = a, .b = b};
	bool more = true;

	if (!as || !bs || is_covered(a, as) || is_covered(b, bs))
		return as && bs;
	for (; as; as &= as - 1)
		m.todo[__builtin_ctzll(as)] = bs;
	while (more) {
		more = false;
		for (unsigned i = 0; i < a->n; i++) {
			uint64_t now = m.todo[i] & ~m.done[i];

			m.done[i] |= now;
			more |= now != 0;
			for (; now; now &= now - 1)
				if (meet_step(&m, i, (unsigned)__builtin_ctzll(now)))
					return true;
		}
	}
	return false;
}

/* Unescaped spaces at the end do not count. */
static size_t trimmed_length(const char *s)
{
	size_t end = 0;

	for (size_t i = 0; s[i]; i++) {
		if (s[i] == ' ')
			continue;
		if (s[i] == '\\' && s[i + 1])
			i++;
		end = i + 1;
	}
	return end;
}

/* The end of the segment at s: a slash outside a class, or `end`. NULL with *why: broken. *literal:
 * nothing in it is special but backslashes; *stars: nothing but stars. */
static const char *segment_end(const char *s, const char *end, bool *literal, bool *stars,
			       const char **why)
{
	bool matched;

	*literal = *stars = true;
	for (; s < end && *s != '/'; s++) {
		*stars &= *s == '*';
		*literal &= *s != '*' && *s != '?' && *s != '[';
		if (*s == '[') {
			s = class_match(s + 1, end, 'x', &matched);
			*why = "a '[' is not closed, or names an unknown class";
			if (!s)
				return NULL;
			s--;
		} else if (*s == '\\') {
			*why = "it ends in a backslash";
			if (s + 1 == end)
				return NULL;
			if (s[1] != '/')
				s++;
		}
	}
	return s;
}

/* Copies a segment to q without the backslashes of a literal, or before a slash. */
static size_t copy_segment(char *q, const char *s, size_t n, bool literal)
{
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\\' && i + 1 == n)
			break;
		if (s[i] == '\\' && literal)
			i++;
		else if (s[i] == '\\')
			q[len++] = s[i++];
		q[len++] = s[i];
	}
	return len;
}

static const char *check_segment(const struct segment *g)
{
	if (g->kind == LITERAL && g->n == 0)
		return "it has an empty part between slashes, which never matches";
	if (g->kind == LITERAL && memcmp("..", g->p, g->n < 2 ? g->n : 2) == 0 && g->n <= 2)
		return "a part '.' or '..' never matches";
	return NULL;
}

static void add_deep(struct pattern *p)
{
	if (p->n == 0 || p->seg[p->n - 1].kind != DEEP)
		p->seg[p->n++] = (struct segment){.kind = DEEP};
}

/* The segments of text[0..n), which has no "!" in front and no slash at either end. */
static const char *compile_segments(struct pattern *p, const char *s, const char *end,
				    bool anywhere)
{
	char *q = p->bytes;
	const char *why = NULL;

	if (anywhere)
		add_deep(p);
	for (;; s++) {
		struct segment *g = &p->seg[p->n];
		bool literal, stars;
		const char *stop = segment_end(s, end, &literal, &stars, &why);

		if (!stop)
			return why;
		if (p->n + 1 >= SEGMENTS_MAX)
			return "it has more than 58 parts";
		if (stars && stop - s >= 2 && !anywhere) {
			add_deep(p);
		} else {
			*g = (struct segment){.kind = literal ? LITERAL
						      : stars ? ANY
							      : GLOB,
					      .p = q};
			g->n = copy_segment(q, s, (size_t)(stop - s), literal);
			q += g->n;
			p->n++;
			why = check_segment(g);
			if (why)
				return why;
		}
		s = stop;
		if (s == end)
			break;
	}
	if (p->seg[p->n - 1].kind == DEEP)
		p->seg[p->n - 1].kind = ANY;
	return NULL;
}

static const char *compile(struct pattern *p, const char *s, const char *end)
{
	bool anywhere;

	if (s < end && *s == '#')
		return "'#' in front makes it a comment; write '\\#'";
	p->negated = s < end && *s == '!';
	s += p->negated;
	p->dir_only = s < end && end[-1] == '/';
	end -= p->dir_only;
	if (s >= end)
		return "it is empty";
	anywhere = !memchr(s, '/', (size_t)(end - s));
	s += *s == '/';
	return compile_segments(p, s, end, anywhere);
}

int pattern_compile(const char *text, struct pattern **ret, const char **ret_why)
{
	_cleanup_(pattern_freep) struct pattern *p = sys_calloc(1, sizeof(*p));
	size_t n = trimmed_length(text);
	const char *why;

	if (!p)
		return -ENOMEM;
	p->bytes = sys.malloc(n + 1);
	if (!p->bytes)
		return -ENOMEM;
	why = compile(p, text, text + n);
	if (why) {
		*ret_why = why;
		return -EINVAL;
	}
	*ret = TAKE_PTR(p);
	return 0;
}

void pattern_free(struct pattern *p)
{
	if (!p)
		return;
	free(p->bytes);
	free(p);
}

bool pattern_negated(const struct pattern *p)
{
	return p->negated;
}
