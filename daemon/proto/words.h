/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Every command and subcommand word: no agent and no task may be called so, since AGENT may be left
 * out or follow the word. Sorted, so that it can be searched; the command table is tested against
 * it. */
static const char *const command_words[] = {
	"add",	     "adopt",	    "advise",  "agents",   "apply",	"approve",    "assign",
	"audit",     "blame",	    "break",   "brief",	   "cancel",	"check",      "completion",
	"cooldown",  "create",	    "daemon",  "destroy",  "diff",	"disk-usage", "doctor",
	"du",	     "events",	    "explain", "file",	   "fold",	"freeze",     "gate",
	"gc",	     "head",	    "help",    "history",  "hook",	"html",	      "import",
	"integrate", "key",	    "learn",   "lease",	   "list",	"log",	      "mail",
	"man",	     "materialize", "mcp",     "merge",	   "next",	"note",	      "op",
	"path",	     "pause",	    "policy",  "predict",  "queue",	"radar",      "release",
	"reload",    "remove",	    "renew",   "reorder",  "report",	"resolve",    "restore",
	"resume",    "rollback",    "run",     "schedule", "scope",	"session",    "set",
	"shell",     "shim",	    "show",    "snapshot", "snapshots", "start",      "status",
	"stop",	     "sync",	    "take",    "test",	   "thaw",	"top",	      "undo",
	"upgrade",   "vacuum",	    "verify",  "version",  "wait",	"why",
};
