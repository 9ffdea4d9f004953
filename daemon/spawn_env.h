/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "err.h"

enum spawn_flags {
	SPAWN_SESSION = 1 << 0, /* in a session of its own */
};

/* Starts a program with descriptors fds[0..n) as 0, 1, 2 …, no others, default signals, nothing
 * blocked, a small fixed environment and "/" as its folder. Errors: -errno. */
int spawn_program(const char *program, char *const argv[], const int *fds, size_t n, unsigned flags,
		  pid_t *ret);

/* Runs a program to its end with no input and output, at most timeout_ms. Returns its exit status.
 * Errors: -ETIMEDOUT (it was killed), -ECANCELED a signal ended it, -errno. */
int spawn_wait(const char *program, char *const argv[], int timeout_ms);

/* A program of ours: beside the running one, in `sibling` (a folder beside its folder, as in a
 * build tree, may be NULL), else in `installed`. Caller frees. Errors: -ENOENT, with a sentence. */
int spawn_find(const char *name, const char *sibling, const char *installed, char **ret,
	       struct err *reterr);
