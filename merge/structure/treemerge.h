/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "diff3.h"
#include "parser.h"
#include "syntax_kept.h"

/*
 * The structured merge of one file, of the versions as they are: lines that merged by themselves may have been
 * matched across declarations. So what it makes of the text around the conflicts has to be what the
 * line-wise merge made of it, or nothing is answered.
 */
struct treemerge {
	const struct ts_api *ts;
	const struct profile *profile;
	struct syntax_kept *kept;
	struct text text[SIDES];
	const struct range *conflict[SIDES]; /* of each version, n of them, ascending */
	const struct text *between; /* n + 1: what stands around the conflicts, merged by line */
	size_t n;
};

/* ret: n of them, zero before (class PARSER_NONE: it stays a conflict). Errors: -ENOMEM, -EFBIG. */
int treemerge(const struct treemerge *in, struct parser_answer *ret);

/* --- its parts --- */

/* A stretch of the result, copied from one version. */
struct piece {
	enum side side;
	uint32_t from, to; /* bytes of that version */
	size_t at;	   /* where it stands in the result */
};

struct merging {
	const struct treemerge *in;
	struct syntax s[SIDES];
	enum parser_class *class; /* by conflict: the riskiest decision in it */
	bool *failed;		  /* by conflict: some decision could not be made */
	struct buf out;
	struct piece *pieces;
	size_t n, cap;
	unsigned int depth;
	int error; /* -ENOMEM, -EFBIG: the rest is meaningless */
};

/* Merges the whole trees into m->out. */
void treemerge_run(struct merging *m);

/* Where the conflicts stand in m->out; false where that is not certain. */
bool treemerge_split(const struct merging *m, struct range *at);

/* Do the result's syntax, declarations and words hold against the versions'? at: the conflicts in it. Returns 1, 0, -ENOMEM. */
int treemerge_holds(const struct merging *m, const struct range *at);
