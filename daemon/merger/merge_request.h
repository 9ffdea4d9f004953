/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "daemon.h"

/* Adds to a worker's request "merge" what the daemon knows that a merge goes by: what the resolvers' records are in
 * this repository, what a wrong merge costs, what became of earlier conflicts. */
void merge_request_knows(struct daemon *d, const char *repository, json_t *request);
