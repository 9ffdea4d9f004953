/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "ai_answer.h"
#include "resolve.h"

/* What an external resolver is asked. The protocol is at the head of ai_request.c. */

enum { AI_PROTOCOL = 1, AI_SIMILAR_MAX = 5 };

enum ai_ask {
	AI_ASK_CLASS, /* which of the classes; text only if it is known already */
	AI_ASK_TEXT,  /* the class is "new": the text */
	AI_ASK_FILE,  /* tier 4: the whole file */
};

/* Who made a side, and what for. All borrowed, NULL where unknown. */
struct ai_side {
	const char *branch, *agent, *role, *task;
	const json_t *messages; /* array of commit messages, newest first */
};

/* What is the same for all conflicts of a file; all borrowed. */
struct ai_context {
	const char *path;
	struct text whole[SIDES];
	struct ai_side side[SIDES]; /* OURS, THEIRS */
	const json_t *history; /* past conflicts [{path, base, ours, theirs, kept, who}], or NULL */
	const char *verify_output; /* of the last try, or NULL */
};

/* One question. */
struct ai_question {
	enum ai_ask ask;
	int attempt;	      /* 1 or 2 */
	int sample;	      /* from 1 on: the same question again */
	const char *rejected; /* why the first attempt was, or NULL */
};

/* About conflict `at` of r. Returns a new object, NULL without memory. */
json_t *ai_request_conflict(const struct ai_context *x, const struct resolve *r, size_t at,
			    const struct ai_question *q);

/* About the file as a whole (AI_ASK_FILE). */
json_t *ai_request_file(const struct ai_context *x, const struct ai_question *q);

/* The past conflicts that are most like this one, at most AI_SIMILAR_MAX, each with "similarity"; a new array. */
json_t *ai_similar(const json_t *history, const char *path, const struct text t[SIDES]);

/* Can these bytes stand in a request? (UTF-8 without NUL, and not too many.) */
bool ai_askable(const struct text whole[SIDES]);
