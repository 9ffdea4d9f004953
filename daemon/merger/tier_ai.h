/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <jansson.h>

#include "resolve.h"

/*
 * Tiers 3 and 4 in the worker: external resolvers are asked about conflicts that no rule resolved, and at last
 * to write a file anew. Nobody is asked unless the request has "ai" (worker.h).
 */
struct tier_ai;
struct worker;

/* *ret is NULL where the request names no resolver. Errors: -ENOMEM. */
int tier_ai_new(struct worker *w, struct tier_ai **ret);
void tier_ai_free(struct tier_ai *t);

/* A merge of `theirs` into `ours` begins (or begins again): the branches' names are borrowed. */
void tier_ai_begin(struct tier_ai *t, const git_oid *ours, const git_oid *theirs,
		   const char *source, const char *into);

/* No resolver could help this merge: it has a conflict (the sentence's end) that is none of lines. */
void tier_ai_hopeless(struct tier_ai *t, const char *path);

/* What became of one conflict. */
struct ai_outcome {
	struct resolver by;   /* what answer.by is */
	struct answer answer; /* its text is owned */
	bool has_answer;
	json_t *told;	  /* further members of type Resolution, or NULL */
	json_t *rejected; /* array of type Rejected, or NULL */
};

/* Of a file; as many as it has conflicts. */
struct ai_file {
	struct ai_outcome *v;
	size_t n;
};
void ai_file_release(struct ai_file *f);

/* Asks about every conflict of r that has no answer yet. Where all get one, they are taken (r->left is 0; *ret must
 * outlive r's use); else none is, and *ret tells what was said. generated: marked so by an attribute. Errors: -ENOMEM;
 * a resolver that fails is none. */
int tier_ai_resolve(struct tier_ai *t, const char *path, const struct text whole[SIDES],
		    bool generated, struct resolve *r, struct ai_file *ret);

/* What was taken of this file is not believed after all: it is not said again for the same conflict. */
void tier_ai_refused(struct tier_ai *t, const char *path, const struct resolve *r);

/* Tier 4: the whole file anew. Returns 1 with its text and a member of type Resolved, 0 with none. Errors: -ENOMEM. */
int tier_reimagine(struct tier_ai *t, const char *path, const struct text whole[SIDES],
		   bool generated, struct buf *ret, json_t **ret_resolved);

/* The last file asked about stays a conflict: the rest of this merge is not asked about. */
void tier_ai_give_up(struct tier_ai *t);

/* Does what was taken have to pass verification before it lands? */
bool tier_ai_needs_verify(const struct tier_ai *t);

/* Adds `asked`, `cost`, `needs_verify` to an answer of type Merged (borrowed), and notes to `notes`. */
int tier_ai_tell(struct tier_ai *t, json_t *merged, json_t *notes);

/* {reservation, calls, ms, tokens, said {key: answer that was believed}}, for the daemon's books, with what earlier merges of the same request spent; a new
 * object. */
json_t *tier_ai_spent(const struct tier_ai *t);
