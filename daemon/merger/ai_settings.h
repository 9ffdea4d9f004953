/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "daemon.h"

/* Tiers 3 and 4 on the daemon's side: who may be asked, with which key, and for how much. */

/* Adds "ai" to a worker's request "merge" (worker.h says what is in it) where resolvers are configured, and
 * reserves what the merge may spend. Reads dry_run and ask_models of the request. */
void ai_settings_add(struct daemon *d, const char *repository, json_t *request);

/* Writes down what a worker spent, by its answer (or the details of its error, or NULL), and takes the members "ai_spent"
 * out of it. */
void ai_settings_settle(struct daemon *d, json_t *answer);

/* What is wrong with a resolver of the configuration ("resolver 'gpt': …"), or NULL; caller frees. */
char *ai_settings_wrong(const struct daemon *d);
