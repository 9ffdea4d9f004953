/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

/* What an error means and what to do about it: docs/ERRORS.md and the second line of a failure. */
struct error_info {
	const char *id; /* without "org.agentfs." */
	const char *meaning;
	const char *remedy;
	int status; /* how agentfsctl exits with it */
	bool told;  /* the message itself says what to do: the remedy is for --json and the docs */
};

extern const struct error_info errors[]; /* ends with a zeroed one */

/* The row of an id, with or without its interface; NULL for an unknown one. */
const struct error_info *error_find(const char *id);
