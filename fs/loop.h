/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include <stddef.h>

#include "fs.h"

/* The transport: reads requests, hands them to libfuse, writes replies. loop_dev.c is the one over
 * /dev/fuse, on which a successor can take over a connection (RELIABILITY). */

/* The kernel frees the caller of a request that is not answered within this time. */
enum { REQUEST_TIMEOUT_S = 20 };

/* Ties the session to the mounted descriptor fs->dev. Errors: -errno. */
int loop_attach(struct fs *fs);

/* Serves until the view is unmounted or loop_stop(). Returns 0, or -errno when reading failed. */
int loop_run(struct fs *fs);

/* Ends loop_run() soon. Async-signal-safe. */
void loop_stop(void);

/* Has it been asked to? What would ask the kernel for something should no longer begin. */
bool loop_stopping(void);

/* Called by a handler before work that may take long: the next request is read by another thread. */
void loop_yield(void);

/* This thread's buffer for a reply, at least n bytes; valid until its next request. NULL: no memory. */
char *loop_buffer(size_t n);

/* Waits until no request is being read, waiting or served, at most timeout_ms. Whether it came. */
bool loop_wait_idle(struct fs *fs, int timeout_ms);
