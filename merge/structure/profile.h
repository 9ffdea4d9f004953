/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "lines.h"
#include "ts.h"

/*
 * A language profile: what the kinds of a grammar's nodes mean. One file for each language, NAME.profile; a
 * line is a keyword and words, from '#' at its beginning on a comment:
 *
 *   grammar NAME              the object NAME.so, its function tree_sitter_NAME
 *   files PATTERN...          names of files (fnmatch), without their folders
 *   comment KIND...           comments: they belong to the node that they precede
 *   prefix KIND...            nodes that belong to the one that they precede (attributes)
 *   identifier KIND...        names that code uses
 *   import KIND...            imports: left to those who know what they mean
 *   declare KIND LABEL name=PATH [params=PATH]
 *                             a declaration; LABEL "-" wraps one (decorators, export)
 *   commute KIND: KIND...     in the first, declarations of the others may stand in any order
 *   block KIND...             children are statements or declarations, one after the other
 *
 * A PATH is steps joined by '/': a field, a field with '*' (again and again), #KIND (the first child of that
 * kind), or '.' (the node itself); several paths joined by '|' are tried in order. params gives the types that
 * distinguish overloads.
 */
enum kind_flags {
	KIND_COMMENT = 1 << 0,
	KIND_PREFIX = 1 << 1,
	KIND_IDENTIFIER = 1 << 2,
	KIND_COMMUTE = 1 << 3,
	KIND_BLOCK = 1 << 4,
	KIND_IMPORT = 1 << 5,
};

/* A step of a path, or the end of one. */
enum step_what { STEP_END, STEP_SELF, STEP_FIELD, STEP_FIELDS, STEP_KIND };
struct step {
	enum step_what what;
	uint16_t id; /* of the field or kind */
};

enum { STEPS_MAX = 6, PATHS_MAX = 5 };
struct path {
	struct step v[PATHS_MAX][STEPS_MAX + 1];
	unsigned int n;
};

struct declare {
	uint16_t kind;
	char *label; /* NULL: wraps one */
	struct path name, params;
};

struct kind {
	uint8_t flags;
	uint16_t declare;  /* index + 1 into profile.declares */
	uint64_t commutes; /* KIND_COMMUTE: bits of the declarations (by index) that do */
};

struct profile {
	char *name, *grammar;
	struct buf files;	    /* patterns, each with a NUL behind it */
	struct buf rest;	    /* the lines that need the grammar, read when it is loaded */
	const TSLanguage *language; /* NULL until profile_open() */
	struct kind *kinds;	    /* by symbol */
	uint32_t nkinds;
	uint16_t type_field; /* named "type", or 0 */
	struct declare *declares;
	unsigned int ndeclares;
};

struct profiles {
	struct profile *v;
	size_t n;
};

/* Reads FOLDER/NAME.profile for all of them. Errors: -errno, with a sentence. */
int profiles_read(const char *folder, struct profiles *ret, struct err *reterr);
void profiles_release(struct profiles *p);

/* Whose the path is, or NULL. */
struct profile *profiles_find(const struct profiles *p, struct text path);

/* Loads the grammar once. Errors: -ENOENT, -EINVAL (what the profile says does not fit the grammar), with a
 * sentence. */
int profile_open(struct profile *p, const struct ts_api *ts, const char *grammars,
		 struct err *reterr);

static inline const struct kind *profile_kind(const struct profile *p, uint16_t symbol)
{
	static const struct kind none;

	return symbol < p->nkinds ? &p->kinds[symbol] : &none;
}
