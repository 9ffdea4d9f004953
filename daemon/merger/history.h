/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "daemon.h"

/* The history of conflicts between its tables (state_history.h) and what workers are told and tell. What cannot be read
 * or written is logged, and the merge goes on without. */

/* Keeps the conflicts of a merge that was tried (type Merged, with `repository`), under its number. */
void history_write(struct daemon *d, const json_t *merged, int64_t merge);

/* Adds to a worker's request what is known of a repository (any path in it that its worker was asked by): `pending`,
 * `remembered`, `history`; and to `records` what came of resolvers' answers here. */
void history_knows(struct daemon *d, const char *repository, json_t *request);

/* Keeps what a worker's answer tells of earlier merges, and takes it out of the answer. */
void history_recalled(struct daemon *d, json_t *answer);

/* Keeps what op learn tells of conflicts in merges that were not ours, and takes it out of the answer. */
void history_learned(struct daemon *d, json_t *answer);

/* Repositories (array of strings) with merges of which something may still be learned. */
json_t *history_pending(struct daemon *d);
