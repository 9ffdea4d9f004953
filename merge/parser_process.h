/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/types.h>

#include "buf.h"

/* agentfs-parser as a process: see parser.h. */
struct parser_process {
	char *program, *grammars; /* owned by whoever made it */
	unsigned int timeout_ms;
	pid_t pid; /* 0: none runs */
	int to, from;
};

/* Where they are: beside the running program, as in a build folder, or where they are installed; caller frees. NULL:
 * nowhere, or no memory. */
char *parser_process_program(void);
char *parser_process_grammars(void);

/* Sends a frame and receives one (without its length), in timeout_ms; starts the process where none runs. Errors:
 * -ETIMEDOUT, -EPIPE it is gone, -EBADMSG, -ENOMEM, -errno; then it has to be stopped. */
int parser_process_ask(struct parser_process *p, const struct buf *question, struct buf *answer);

/* Ends it, if it runs. */
void parser_process_stop(struct parser_process *p);
