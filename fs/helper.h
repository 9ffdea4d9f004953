/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "buf.h"
#include "view.h"

/*
 * What must be done through the mount, from outside the server: a process that serves a mount must never
 * wait for it (a thread in such a wait cannot be killed, and keeps /dev/fuse open). So the server
 * forks a child for one of these, waits a bounded time and kills it.
 */

/* Dirty pages of shared mappings are written out (trap 7). Errors: -ETIMEDOUT, -EIO. */
int helper_syncfs(const char *path, int timeout_ms);

/* Touches what the list names (view_pokes_take(), VIEW_POKE_MOVE), which wakes inotify watchers as an invalidation
 * does not (trap 10). Follows no symlink and leaves the mount nowhere. Errors: -ETIMEDOUT, -EIO where
 * something on the list could not be done. */
int helper_poke(struct view *v, const char *mount, struct buf *list, int timeout_ms);

/* Is one at work in the mount? Until it is done requests must be answered. */
bool helper_running(void);
