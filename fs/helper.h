/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

/*
 * What must be done through the mount, from outside the server: a process that serves a mount must never
 * wait for it (a thread in such a wait cannot be killed, and keeps /dev/fuse open). So the server
 * forks a child for one of these, waits a bounded time and kills it.
 */
enum helper { HELPER_SYNCFS, HELPER_POKE };

/* HELPER_SYNCFS: dirty pages of shared mappings are written out (trap 7). */
int helper_syncfs(const char *path);

/* HELPER_POKE: the file is truncated to its own size, which wakes inotify watchers as
 * an invalidation does not (trap 10). */
int helper_poke(const char *path);

/* Runs one of them, at most timeout_ms. Errors: -ETIMEDOUT, -EIO. */
int helper_run(enum helper what, const char *path, int timeout_ms);

/* Is one at work in the mount? Until it is done requests must be answered. */
bool helper_running(void);
