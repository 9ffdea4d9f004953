/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "ai_answer.h"
#include "token.h"

/* What an external resolver's text must be before anybody believes it. */

/* A conflict and the file that it stands in. */
struct ai_case {
	const struct conflict *conflict; /* borrowed */
	struct text whole[SIDES];	 /* the versions; borrowed */
	struct token_set hunk[SIDES];	 /* names in the conflict */
	struct token_set file[SIDES];	 /* names in the whole version */
};

/* Errors: -ENOMEM. */
int ai_case_init(struct ai_case *k, const struct conflict *c, const struct text whole[SIDES]);
void ai_case_release(struct ai_case *k);

/* May this be the conflict's text? Errors: -EBADMSG with the sentence why not (which the resolver may be told), -ENOMEM. */
int ai_accept(const struct ai_case *k, enum ai_class class, struct text answer, struct err *why);

/* Tier 4: may this be the file? It has every name that a side added. Errors: as ai_accept(). */
int ai_accept_file(const char *path, const struct text whole[SIDES], struct text answer,
		   struct err *why);
