/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "parser.h"

/* The need of every test here; without it the test is skipped and says what it needs. */
static inline bool grammars_are_there(void)
{
	const char *folder = getenv("AGENTFS_GRAMMARS");
	char path[4096];

	(void)snprintf(path, sizeof(path), "%s/.lock", folder ? folder : "");
	if (access(path, R_OK) == 0)
		return true;
	(void)printf("needs the grammars: run tools/grammars %s\n", folder ? folder : "DIR");
	return false;
}

static inline struct parser *grammar_parser(void)
{
	const struct parser_options o = {.program = getenv("AGENTFS_PARSER"),
					 .grammars = getenv("AGENTFS_GRAMMARS"),
					 .timeout_ms = 20000};

	return parser_new(&o, NULL);
}
