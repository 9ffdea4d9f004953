/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdio.h>

#include "cmd.h"

/* What `agentfsctl --help` and `agentfsctl COMMAND --help` print. */
void usage_all(FILE *f);
void usage_command(FILE *f, const struct command *cmd);

/* "create AGENT [--repo PATH] [--scope PATTERN]...": name, words and options. */
void usage_synopsis(FILE *f, const struct command *cmd);

/* Writes one of man, bash, zsh, fish, commands, errors, options to stdout. Errors: -EINVAL. */
int generate(const char *kind);

/* The pieces of generate(), see gen_*.c. */
void generate_man(void);
void generate_bash(void);
void generate_zsh(void);
void generate_fish(void);
void generate_commands(void);
void generate_errors(void);

/* The environment variables and files that people may want to know: {name, what} pairs, NULL ends.
 */
extern const char *const usage_environment[][2];
extern const char *const usage_files[][2];
extern const char *const usage_exits[][2];
extern const char usage_socket_rule[];
