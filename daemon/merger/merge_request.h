/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "daemon.h"

/* Adds to a worker's request "merge" (which has its `into` already) what the daemon knows that a merge goes by: what the resolvers' records are in
 * this repository, what a wrong merge costs, what became of earlier conflicts. */
void merge_request_knows(struct daemon *d, const char *repository, json_t *request);

/* Writes down a merge that was tried (answer of the worker; methods_history.c reads it), and adds its number as `merge`. */
void merge_write_down(struct daemon *d, uid_t uid, json_t *result);

/* Takes out of a worker's answer to such a request (of its error's details; NULL is nothing) what was for the daemon alone.
 * To be called with every one, before anything else is done with it. */
void merge_request_done(struct daemon *d, json_t *answer);

/* The repository of branches that method Merge names as sources: as given, or that of the first view among them; NULL. */
struct op;
const char *merge_request_repository(const struct op *op);
