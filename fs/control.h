/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "err.h"
#include "fs.h"

/* The server's end of RUN/views/<agent>.sock (viewctl.h): a thread of its own, which may call into the
 * kernel (invalidations, unmounting) since it serves no requests. */
struct control;

/* Binds `path` and starts. Errors: -EADDRINUSE, -errno with a sentence. */
int control_new(struct fs *fs, const char *path, struct control **ret, struct err *reterr);

/* Whoever watches (inotify) is told of what the server changed, after the kernel was. Late or not at all is no
 * failure. Only from that thread. */
void control_poke(struct fs *fs);

/* Ends the thread, removes the socket. Takes NULL. */
void control_free(struct control *c);
