/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "reply.h"

/*
 * Mount points, without ever touching the inside of a mount: a dead server would hang whoever
 * does. What is mounted where is read from /proc/self/mountinfo.
 */

/* Is something mounted exactly at path (absolute, without symlinks)? *ret_fstype, where not NULL,
 * says what (caller frees). Errors: -errno. */
int mountpoint_is_mounted(const char *path, char **ret_fstype);

/* The innermost mount that contains path: is it one of ours? 1, 0, -errno. */
int mountpoint_in_view(const char *path);

/* Takes away what of ours is mounted at path, in use or not. 0 where nothing is. */
int mountpoint_detach(const char *path, bool system);

/* Turns a path into one without "." and "..", double and final slashes. Absolute paths only; symlinks
 * are the caller's. NULL: not absolute, or no memory. */
char *mountpoint_clean(const char *path);

/* Is path `folder` itself or below it? Both clean. */
bool path_is_below(const char *path, const char *folder);

/* Resolves the symlinks of what exists of path (clean) and makes what is missing; it must be absent or
 * an empty folder. *ret_path is what to mount on (caller frees), *ret_made whether the last folder was made
 * here. The last folder is given to uid and gid where we may. */
int mountpoint_prepare(const char *path, uid_t uid, gid_t gid, char **ret_path, bool *ret_made,
		       struct fault *f);
