/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

/* What the programs agentfs-resolve-… share: a request comes in, a model is asked, an answer goes out. */

/* The command line. All borrowed from argv. */
struct resolver_args {
	const char *url, *model, *key_env;
	unsigned int timeout_ms; /* of the whole call */
	unsigned int max_tokens; /* 0: not given */
	char **command;		 /* behind "--", NULL-ended */
};

/* What the model was told and said. */
struct resolver_call {
	const char *system; /* literal */
	struct buf user, said;
	uint64_t tokens; /* 0: unknown */
};

/* Asks. Errors: any, with a sentence that holds no key. */
typedef int (*resolver_ask_fn)(const struct resolver_args *a, struct resolver_call *c,
			       struct err *reterr);

/* The whole program. Returns the exit status: 0 an answer was printed, 1 there is none (why: standard error),
 * 2 usage. */
int resolver_main(int argc, char **argv, const char *name, resolver_ask_fn ask);
