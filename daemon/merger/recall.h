/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "memory.h"

struct worker;

/*
 * What people made of earlier merges: of conflicts that were left to them, and of what rules resolved. Looks at
 * the request's `pending`, puts what it finds into ret as `recalled` (worker.h has both), and adds what they
 * kept to `memory`. What cannot be read is told as "gone". Errors: -ENOMEM.
 */
int recall(struct worker *w, struct memory *memory, json_t *ret);

/* What people kept of conflicts, of the request's `remembered`; the caller frees it, after errors too. Errors: -ENOMEM. */
int recall_remembered(const struct worker *w, struct memory **memory);
