/* SPDX-License-Identifier: Apache-2.0 */
#include "resolve_check.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>

#include "cleanup.h"
#include "invariant.h"
#include "parser.h"

const char *invariant_name(enum invariant i)
{
	static const char *const names[INVARIANTS] = {"none", "lines", "parse",
						      "form", "swap",  "limit"};

	return i < INVARIANTS ? names[i] : "none";
}

/* Is it one of those whom resolve_file() asks? */
static bool is_asked(const struct resolver *by, const struct resolve_options *o)
{
	const struct resolver *all = o->table ? o->table : resolvers;
	size_t n = o->table ? o->ntable : resolvers_n;

	for (size_t i = 0; i < n; i++)
		if (by == &all[i])
			return true;
	return false;
}

/* Each conflict that a rule resolved which may not drop lines. */
static int check_lines(const struct resolve *r, const struct resolve_options *o,
		       const char **ret_why)
{
	int error = 0;

	for (size_t i = 0; i < r->n; i++) {
		const struct answer *a = r->v[i].taken;
		struct conflict c = {0};

		if (a->by->replaces || !is_asked(a->by, o))
			continue;
		for (int s = BASE; s < SIDES; s++) {
			c.text[s] = diff3_text(&r->d, &r->v[i].chunk, (enum side)s);
			c.lines[s] = (struct lines){r->d.lines[s].v + r->v[i].chunk.from[s],
						    r->v[i].chunk.to[s] - r->v[i].chunk.from[s]};
		}
		*ret_why = invariant_lines(&c, (struct text){a->text, a->len}, &error);
		if (error < 0)
			return error;
		if (*ret_why)
			return INVARIANT_LINES;
	}
	return INVARIANT_NONE;
}

/* The file as if it were one conflict. */
static int check_form(const struct resolve *r, struct text merged, const char **ret_why)
{
	const struct lines *ours = &r->d.lines[OURS];
	struct conflict c = {0};

	for (int s = BASE; s < SIDES; s++) {
		c.text[s] = r->d.text[s];
		c.lines[s] = r->d.lines[s];
	}
	c.crlf = ours->n && ours->v[0].n >= 2 && ours->v[0].p[ours->v[0].n - 2] == '\r';
	*ret_why = invariant_form(&c, merged);
	return *ret_why ? INVARIANT_FORM : INVARIANT_NONE;
}

/* With the sides swapped, who resolved a conflict has to say the same. Whether its record would suffice there is
 * another matter: which side is which may be a part of it. */
static bool take_counterparts(const struct resolve *r, struct resolve *swapped)
{
	for (size_t i = 0; i < swapped->n; i++) {
		struct resolved_conflict *c = &swapped->v[i];

		c->taken = NULL;
		for (size_t k = 0; k < c->n && i < r->n && !c->taken; k++)
			if (resolver_is_swapped(r->v[i].taken->by, c->answers[k].by))
				c->taken = &c->answers[k];
		if (!c->taken)
			return false;
	}
	return swapped->n == r->n;
}

static int check_swapped(const char *path, const struct resolve *r, const struct resolve_options *o,
			 struct text merged, const char **ret_why)
{
	_cleanup_buf_ struct buf other = BUF_INIT;
	struct resolve_options quiet = *o;
	struct resolve s;
	int error = 0, k;
	bool same = false, all = true;

	for (size_t i = 0; i < r->n; i++)
		all = all && is_asked(r->v[i].taken->by, o);
	if (!all)
		return INVARIANT_NONE;
	quiet.seen = NULL;
	k = resolve_file(path, r->d.text[BASE], r->d.text[THEIRS], r->d.text[OURS], &quiet, &s);
	if (k < 0)
		return k;
	all = take_counterparts(r, &s);
	if (all)
		k = resolve_text(&s, &other);
	if (k == 0 && all)
		same = invariant_same_words(
			merged, (struct text){other.len ? other.data : "", other.len}, &error);
	*ret_why = all ? "with the sides swapped it is another text"
		       : "with the sides swapped it is not resolved";
	resolve_release(&s);
	if (k < 0 || error < 0)
		return k < 0 ? k : error;
	return same ? INVARIANT_NONE : INVARIANT_SWAP;
}

static int check_parse(const char *path, const struct resolve *r, struct text merged,
		       const struct resolve_checker *checker, const char **ret_why)
{
	int now = checker->errors(checker->user, path, merged);
	int ours = now > 0 ? checker->errors(checker->user, path, r->d.text[OURS]) : -1;
	int theirs = ours >= 0 ? checker->errors(checker->user, path, r->d.text[THEIRS]) : -1;

	*ret_why = "it parses worse than both sides";
	return theirs >= 0 && now > ours && now > theirs ? INVARIANT_PARSE : INVARIANT_NONE;
}

int resolve_check(const char *path, const struct resolve *r, const struct resolve_options *o,
		  const struct resolve_checker *checker, const char **ret_why)
{
	_cleanup_buf_ struct buf merged = BUF_INIT;
	struct text t;
	int k = resolve_text(r, &merged);

	if (k < 0)
		return k;
	t = (struct text){merged.len ? merged.data : "", merged.len};
	k = check_lines(r, o, ret_why);
	if (k == INVARIANT_NONE)
		k = check_form(r, t, ret_why);
	if (k == INVARIANT_NONE && checker)
		k = check_parse(path, r, t, checker, ret_why);
	if (k == INVARIANT_NONE)
		k = check_swapped(path, r, o, t, ret_why);
	return k;
}

static int parse_errors(void *user, const char *path, struct text t)
{
	struct parser *p = user;
	unsigned int n = 0;

	return p && parser_check(p, path, t, &n, NULL) == 0 && n <= INT_MAX ? (int)n : -1;
}

struct resolve_checker resolve_checker_of(struct parser *p)
{
	return (struct resolve_checker){parse_errors, p};
}

static uint64_t now_ms(void)
{
	struct timespec t = {0};

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void refuse(struct resolve *r, enum invariant broken, const char *why)
{
	r->broken = invariant_name(broken);
	r->why = why;
	r->left = r->n;
	for (size_t i = 0; i < r->n; i++) {
		r->v[i].refused = r->v[i].taken;
		r->v[i].taken = NULL;
	}
}

int resolve_believe(const char *path, struct resolve *r, const struct resolve_options *o)
{
	struct resolve_checker checker = resolve_checker_of(o->parser);
	uint64_t end = now_ms() + (o->limit_ms ? o->limit_ms : RESOLVE_LIMIT_MS);
	const char *why = NULL;
	int k;

	if (!r->n || r->left)
		return INVARIANT_NONE;
	k = resolve_check(path, r, o, o->parser ? &checker : NULL, &why);
	if (k == INVARIANT_NONE && now_ms() > end) {
		k = INVARIANT_LIMIT;
		why = "looking at it took too long";
	}
	if (k > INVARIANT_NONE)
		refuse(r, (enum invariant)k, why);
	return k;
}
