/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "err.h"

/* Mounts at `path` (a folder) and returns the /dev/fuse descriptor: as root by mount(2) with
 * allow_other, else through fusermount3. A dead mount of ours there is taken off first. Errors:
 * -ENOENT, -ENOTDIR, -ENODEV no /dev/fuse, -EPERM, … each with a sentence. */
int mount_view(const char *path, const char *agent, struct err *reterr);

/* Takes the mount off, lazily where files are still in use. Errors: -errno. */
int unmount_view(const char *path);

/* Is there a mount of ours at path? Reads /proc/self/mountinfo, never the mount. */
bool mount_is_ours(const char *path);

/* Is anything mounted at path, by the text of a mountinfo? */
bool mount_in_list(const char *list, const char *path);

/* Are files in use below it? Tries to unmount without force: 1 in use, 0 it is unmounted now. */
int mount_try_unmount(const char *path);
