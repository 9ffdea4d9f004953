/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "fs.h"

/* Redirected folders (overlay/view_redirect.c says what they are): mounting their plain folders, and keeping
 * everybody out meanwhile. Only root's server does; a user's leaves such folders in the overlay. */
struct redirects;

/* Starts the thread and has what the view brings along mounted; `ready` is called once, perhaps from
 * within, when that is done or has failed. Errors: -errno. */
int redirect_new(struct fs *fs, void (*ready)(void *user), void *user, struct redirects **ret);

/* Ends the thread; callers that are kept waiting hear an error. Takes NULL. */
void redirect_free(struct redirects *rs);

/* A lookup found this redirected folder, and counted it: answers, once it is mounted. */
void redirect_lookup(struct fs *fs, fuse_req_t req, const struct node_attr *a);

/* It was just made, and MKDIR has been answered: it is mounted from now on. */
void redirect_made(struct fs *fs, uint64_t node);

/* For view_open(): something was asked of its inside, so perhaps it is not mounted. */
void redirect_inside(uint64_t node, void *user);

/* Takes all of them off, so that the view can be unmounted; callers wait. Errors: -EBUSY one is in use, all
 * are as before. redirect_on() puts them back. Never from a handler. */
int redirect_off(struct redirects *rs);
void redirect_on(struct redirects *rs);

/* Has their disk use measured if that was not done lately, and waits for it a moment. */
void redirect_measure(struct redirects *rs);
