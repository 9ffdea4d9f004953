/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "err.h"

/* An error as the interface tells it: its name, a sentence, what to do about it. */
struct fault {
	char *id; /* "NotFound" */
	char *message;
	char *remedy;	 /* or NULL */
	json_t *details; /* or NULL */
};
#define FAULT_INIT ((struct fault){0})

/* The interface's name for -errno. */
const char *fault_id(int r);

/* Sets id and message, replacing; returns a negative number, so that `return fault_set(…)` reads
 * well. `f` may be NULL. */
int fault_set(struct fault *f, const char *id, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* What to do; returns as fault_set() does. */
int fault_remedy(struct fault *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Takes over an error of a lower layer, "prefix: " before its text where given; releases e. */
int fault_from_err(struct fault *f, struct err *e, const char *prefix);

/* Reads {"id", "message", "remedy", "details"} as a worker answers. */
int fault_from_json(struct fault *f, json_t *o);

/* Moves; `from` is empty afterwards. */
void fault_move(struct fault *to, struct fault *from);
void fault_release(struct fault *f);
