/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "op.h"

/*
 * Verifying a candidate commit before it lands: the `verify` command of the target branch runs in the sandbox,
 * in a scratch view of the commit (verify_scratch.h). Several may run side by side.
 *
 * next hears, once: {"ok": bool, "skipped": bool, "command": text, "reason": sentence where not ok, "output":
 * its last lines, "log": path of what was kept of it, "status": exit status, "ms": time}. skipped: no command is
 * configured, ok is true then. A fault says that it could not be run: Denied (the repository's own command is
 * not approved), Unsupported (no sandbox here), Cancelled, NotFound, NoSpace … The caller's op must not have
 * anything else under way.
 */
void verify_start(struct op *op, const char *repository, const char *target, const char *commit,
		  op_step next);

/* methods_approve.c: the verify commands of a repository's own `.agentfs.yaml` as the text that is approved (caller
 * frees, "" where there are none). Errors: set in f. */
struct config;
int verify_own_text(const char *yaml, struct config *ret_config, char **ret, struct fault *f);
