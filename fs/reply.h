/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "fs.h"

/* The one place where results become replies. Each answers the request, exactly once. */

/* r is 0 or -errno. Never lets ENOSYS out by accident: the kernel would stop asking for good. */
void reply_result(fuse_req_t req, int r);

/* ENOSYS on purpose: the kernel does the operation by itself from now on. */
void reply_unsupported(fuse_req_t req);

/* An entry, a cached "there is none" for -ENOENT, or the error. Takes back the lookup when the kernel
 * is gone. */
void reply_entry(fuse_req_t req, struct fs *fs, int r, const struct node_attr *a);

/* The same for a name looked up in `parent`: what is not among the virtual files now may be soon. */
void reply_lookup(fuse_req_t req, struct fs *fs, uint64_t parent, int r, const struct node_attr *a);
void reply_attr(fuse_req_t req, int r, const struct node_attr *a);
void reply_bytes(fuse_req_t req, ssize_t r, const void *p);
void reply_written(fuse_req_t req, ssize_t r);

/* Who asks. */
struct view_ctx reply_ctx(fuse_req_t req);

void reply_fill_stat(struct stat *st, const struct node_attr *a);
void reply_fill_entry(struct fuse_entry_param *e, const struct node_attr *a);
