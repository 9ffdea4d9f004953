/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

/* A request of the resolvers' protocol (merge/ai_request.c) as text for a language model, and its words as an
 * answer. */

/* What a model is told once, whatever the conflict. Literal. */
const char *prompt_system(const json_t *request);

/* The conflict. Appends. Errors: -ENOMEM. */
int prompt_user(const json_t *request, struct buf *ret);

/* What the model said, as an answer of the protocol; a code fence around the object is taken off. tokens: what it
 * cost, 0 where unknown. Errors: -EBADMSG with a sentence (it is no object), -ENOMEM. */
int prompt_answer(const char *said, size_t n, uint64_t tokens, json_t **ret, struct err *reterr);
