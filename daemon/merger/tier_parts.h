/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "ai_request.h"
#include "tier_ai.h"
#include "worker_run.h"

/* What the files of tiers 3 and 4 share; nobody else includes this. */

struct tier_resolver {
	const char *name; /* as configured; borrowed */
	char *label;	  /* "ai:NAME", as results have it */
	const json_t *settings;
	struct evidence record;	  /* in this repository */
	bool failed;		  /* by itself, not by its answers: asked no more */
	bool without;		  /* what it says broke the verification of the last try */
	const char *without_path; /* of the file that broke it; NULL: not known */
};

struct tier_cost {
	int64_t calls, ms, tokens;
};

struct tier_ai {
	struct worker *w;
	json_t *settings; /* "ai" of the request; shared by all merges of it */
	git_oid ours, theirs;
	const char *source, *into;
	const json_t *history;
	struct tier_resolver *v;
	size_t n;
	bool ask;	/* false: only said that there would be somebody to ask */
	bool reimagine; /* configured */
	bool verify;	/* what is taken is verified before it lands */
	bool by_day;	/* the budget is what a day left */
	bool gave_up, needs_verify, exhausted;
	unsigned int cost_of_wrong;
	struct tier_cost left, spent, before; /* before: what earlier merges of the request spent */
	size_t unasked;			      /* conflicts that nobody was asked about */
	json_t *asked;			      /* array of type Asked */
	json_t *notes;			      /* array of sentences */
};

/* Appends a sentence, once. */
void tier_note(struct tier_ai *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* May it be asked about the path? */
bool tier_applies(const struct tier_resolver *v, const char *path);

/* Asks one: a process in a sandbox. `line` is for the record of calls. Errors: -EBADMSG what came is no answer (why may be
 * told the resolver), -EDQUOT the budget is used up (noted), -ENOMEM, and anything else: it failed (noted). */
int tier_call(struct tier_ai *t, struct tier_resolver *v, const char *path, int64_t line,
	      const json_t *request, const struct ai_question *q, struct ai_answer *ret,
	      struct err *why);

/* Who made the two sides of a path: fills side, whose texts `keep` (a new array, to be released after it) owns. */
void tier_sides(const struct tier_ai *t, const char *path, struct ai_side side[SIDES],
		json_t **keep);

/* Can the file be asked about at all? Says why not. */
bool tier_askable(struct tier_ai *t, const char *path, const struct text whole[SIDES],
		  bool generated);

/* At most 8 KiB of it. */
json_t *tier_text(struct text t);

/* What names a conflict among answers that were believed before; "" without memory. */
void tier_memo_key(const char *path, const struct conflict *c, char ret[GIT_OID_HEXSZ + 1]);

/* {resolver (label), class, text, basis, reason, confidence}, borrowed, or NULL. */
const json_t *tier_memo_find(const struct tier_ai *t, const char *key);

/* Keeps one (consumed) for later merges of this request, and for the daemon. */
void tier_memo_keep(struct tier_ai *t, const char *key, json_t *answer);
