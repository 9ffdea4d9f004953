/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "daemon.h"

/*
 * Mail between agents, and from the daemon to them: a type, and a payload whose keys the type says. It is kept until it is
 * asked for; nothing is pushed. A peer reads and sends mail of its own agents, root of all.
 *
 *     merge_ready   {branch, taskId, agentName, filesModified[]}       asks for a merge: it goes into the queue
 *     merged        {branch, taskId, tier}                             answers it
 *     merge_failed  {branch, taskId, conflictFiles[], errorMessage}    answers it
 */
#define MAIL_MERGER "merger" /* whom merge_ready goes to, and who answers */

/* Keeps a mail (payload is borrowed). It belongs to the user of the agent that it goes to or comes from, or
 * to the daemon's. Errors: -ENOMEM, -errno; durable on 0. */
int mail_send(struct daemon *d, const char *type, const char *from, const char *to, json_t *payload,
	      struct err *reterr);

void method_mail_list(struct daemon *d, struct call *c);
void method_mail_send(struct daemon *d, struct call *c);
