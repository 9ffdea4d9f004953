/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* `agentfs --helper-redirect WHAT MOUNT PATH NODE`, with the plain folder as descriptor 3: mount puts it on
 * folder PATH of the view at MOUNT, which must be NODE, and new does so without a walk where the kernel
 * holds NODE (else -ENODATA) and it is not mounted; unmount takes it off unless it is in use
 * (-EBUSY), detach also then. Done already is done. Errors: -errno. */
int redirect_helper(const char *what, char *const words[3]);

/* Runs it as a process of its own. `started` hears its pid, perhaps after it has begun to walk; `slow` hears
 * now and then that it has taken so long, and may end it (true). Errors: as above, -ETIMEDOUT. */
int redirect_run(const char *what, const char *mount, const char *path, uint64_t node, int plain,
		 void (*started)(pid_t pid, void *user), bool (*slow)(int ms, void *user),
		 void *user);

/* Bytes on disk below a folder; a file of several names counts in parts. */
uint64_t redirect_disk_use(int plain);
