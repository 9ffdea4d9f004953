/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "err.h"

/* The functions behind the ops of worker.h; their contract is struct worker_op's. */
struct worker;

int op_repository(struct worker *w, json_t *ret, struct err *reterr);
