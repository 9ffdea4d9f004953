/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "fs.h"

/* Invalidations of the kernel's caches, sent from a thread of their own: sent from a handler they
 * could wait for a lock that the caller of that handler holds. */

/* Starts the thread. Errors: -ENOMEM, -EAGAIN. */
int notify_new(struct notify **ret);

/* From here on they go to that session. What is queued before is dropped: the kernel has not asked
 * anything of this view yet, so it has nothing cached. */
void notify_attach(struct notify *n, struct fuse_session *se);

/* Lets nothing wait for the kernel any more: what is queued is dropped, and so is what comes. False
 * while one is being sent: the kernel may then be waiting for an answer of ours (it has dirty pages
 * written out first), so the session must be served until this says true. Never waits. */
bool notify_stop(struct notify *n);

/* Ends the thread; what was queued is sent first, unless it was stopped. Takes NULL. */
void notify_free(struct notify *n);

/* The callbacks for view_open(); `user` is the struct notify. */
void notify_entry(uint64_t parent, const char *name, size_t len, void *user);
void notify_inode(uint64_t node, uint64_t off, int64_t len, void *user);

/* Attributes alone, at once. From a handler too: the kernel marks them as old and waits for nothing. */
void notify_attr(uint64_t node, void *user);

/* Returns when everything queued before the call was sent, or it was stopped. Never from a handler. */
void notify_flush(struct notify *n);
