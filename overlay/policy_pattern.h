/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * One gitignore pattern, compiled. A pattern *covers* a path when it matches the path itself or one
 * of the folders above it, as everything in an ignored folder is ignored. What may lie below a
 * folder is answered without knowing the names: conservatively, and exactly where no name is a
 * glob.
 */
struct pattern;

/* A path relative to the root, no leading slash, not NUL-terminated; and one more name in it where
 * leaf is not NULL. n = 0 is the root. Borrowed. */
struct pattern_path {
	const char *p;
	size_t n;
	const char *leaf;
	size_t leaf_n;
	bool dir; /* the path (with its leaf) is a folder */
};

/* How a pattern stands to the names below a folder. */
enum pattern_span {
	PATTERN_NONE, /* covers none that exists or could */
	PATTERN_SOME, /* may cover some */
	PATTERN_ALL,  /* covers every one */
};

/* Compiles; "!" in front negates, unescaped spaces at the end are dropped. Patterns that git would
 * read as a comment or that can never match are refused. *ret is freed with pattern_free(); on
 * -EINVAL *ret_why is a static phrase. Errors: -EINVAL, -ENOMEM. */
int pattern_compile(const char *text, struct pattern **ret, const char **ret_why);
void pattern_free(struct pattern *p);

bool pattern_negated(const struct pattern *p);

/* Does it match the path or a folder above it? */
bool pattern_covers(const struct pattern *p, const struct pattern_path *at);

/* The names at any depth below folder `dir`. */
enum pattern_span pattern_below(const struct pattern *p, const struct pattern_path *dir);

/* Files directly in `dir` whose name is none that a pattern spells out. */
enum pattern_span pattern_fresh_child(const struct pattern *p, const struct pattern_path *dir);

/* The names spelt out that it would match as files directly in `dir`: start with *pos = 0; false at
 * the end. *ret is borrowed from the pattern. */
bool pattern_next_name(const struct pattern *p, const struct pattern_path *dir, unsigned *pos,
		       const char **ret, size_t *ret_n);

/* Could one path below `dir` be covered by both? False is certain. */
bool pattern_meet_below(const struct pattern *a, const struct pattern *b,
			const struct pattern_path *dir);
