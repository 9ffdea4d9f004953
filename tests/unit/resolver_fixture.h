/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What resolvers say of small files, for tables of cases. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <git2.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "resolve.h"

/* Three versions of a file, and what the resolver makes of all of it; NULL: at least one conflict is left to others. */
struct resolver_case {
	const char *path, *base, *ours, *theirs, *expected;
};

static inline struct text text_cstr(const char *s)
{
	return (struct text){s, strlen(s)};
}

/* The whole file where the resolver has an answer to each conflict (caller frees), else NULL; *ret_conflicts (or
 * NULL): how many there are, *ret_answers: to how many it had one. */
static inline char *resolver_says(const char *resolver, const char *path, struct text b,
				  struct text o, struct text t, size_t *ret_conflicts,
				  size_t *ret_answers)
{
	const struct resolve_options any = {.cost_of_wrong = COST_OF_WRONG};
	struct buf out = BUF_INIT;
	struct resolve r;
	size_t left = 0;

	assert_int_equal(resolve_file(path, b, o, t, &any, &r), 0);
	for (size_t i = 0; i < r.n; i++) {
		r.v[i].taken = NULL;
		for (size_t k = 0; k < r.v[i].n; k++)
			if (strcmp(r.v[i].answers[k].by->name, resolver) == 0)
				r.v[i].taken = &r.v[i].answers[k];
		left += !r.v[i].taken;
	}
	if (ret_conflicts)
		*ret_conflicts = r.n;
	if (ret_answers)
		*ret_answers = r.n - left;
	if (r.n && !left)
		assert_int_equal(resolve_text(&r, &out), 0);
	left += !r.n;
	resolve_release(&r);
	if (left) {
		buf_release(&out);
		return NULL;
	}
	return buf_take(&out);
}

/* Each case as it stands. */
static inline void resolver_check(const char *resolver, const struct resolver_case *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t conflicts = 0;
		char *got = resolver_says(resolver, v[i].path, text_cstr(v[i].base),
					  text_cstr(v[i].ours), text_cstr(v[i].theirs), &conflicts,
					  NULL);

		if (!conflicts)
			fail_msg("case %zu has no conflict:\n%s", i, v[i].ours);
		if (!got != !v[i].expected || (got && strcmp(got, v[i].expected) != 0))
			fail_msg("%s, case %zu, %s: expected\n%s\ngot\n%s", resolver, i, v[i].path,
				 v[i].expected ? v[i].expected : "(declined)",
				 got ? got : "(declined)");
		free(got);
	}
}

/* Each case with the sides swapped: answered or declined as before. */
static inline void resolver_check_swapped(const char *resolver, const struct resolver_case *v,
					  size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *got = resolver_says(resolver, v[i].path, text_cstr(v[i].base),
					  text_cstr(v[i].theirs), text_cstr(v[i].ours), NULL, NULL);

		if (!got != !v[i].expected)
			fail_msg("%s, case %zu swapped, %s: %s", resolver, i, v[i].path,
				 got ? got : "(declined)");
		free(got);
	}
}

static inline int resolver_setup(void **state)
{
	(void)state;
	return git_libgit2_init() < 0;
}

static inline int resolver_teardown(void **state)
{
	(void)state;
	return git_libgit2_shutdown() < 0;
}
