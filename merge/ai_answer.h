/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"
#include "resolver.h"

/* What an external resolver said (the protocol stands at the head of ai_request.c). */

enum ai_class {
	AI_OURS,   /* the target's lines */
	AI_THEIRS, /* the source's */
	AI_BOTH,   /* both sides' lines */
	AI_BASE,   /* neither's change */
	AI_NEW,	   /* text that none has */
	AI_CLASSES,
};

const char *ai_class_name(enum ai_class c);
const char *ai_class_does(enum ai_class c); /* for people: what was taken */

/* Errors: -EINVAL. */
int ai_class_parse(const char *name);

struct ai_answer {
	bool declined; /* it knows of none; reason may say why */
	enum ai_class class;
	char *text; /* of the conflict, or NULL */
	size_t len;
	char *file; /* instead: the whole file, or NULL */
	size_t file_len;
	double confidence; /* 0 … 1, as the resolver sees it; -1: not said */
	char *reason;	   /* one line, never NULL */
	uint64_t tokens;   /* what it cost; 0: not said */
};

/* Reads an answer: hostile bytes. Errors: -EBADMSG with a sentence that may be told the resolver, -ENOMEM. */
int ai_answer_parse(const char *p, size_t n, struct ai_answer *ret, struct err *reterr);
void ai_answer_release(struct ai_answer *a);

/* The conflict's text that the answer means, with the file's line ends and final newline. A class of one side
 * needs no text, and may have none but that. Returns 1; 0: class new, and the text has to be asked for;
 * -EBADMSG with a sentence (it lies about its class), -ENOMEM. */
int ai_answer_text(const struct conflict *c, const struct ai_answer *a, struct buf *ret,
		   struct err *why);

/* Gives a text the line ends that it should have, and the final newline that its sides have. Errors: -ENOMEM. */
int ai_text_ends(struct text t, bool crlf, bool ended, struct buf *ret);
