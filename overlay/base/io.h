/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "buf.h"

/* Reads exactly n bytes at off, retrying short reads and EINTR. Errors: -EIO at the end of the
 * file, -errno. */
int io_pread_full(int fd, void *buf, size_t n, uint64_t off);

/* The same, but only where nothing need be waited for: all of it is in the page cache. Errors: -EAGAIN
 * it is not, or nobody can say; what is in buf then is undefined. */
int io_pread_cached(int fd, void *buf, size_t n, uint64_t off);

/* Writes all n bytes at off, retrying short writes and EINTR. Errors: -errno; part may be there. */
int io_pwrite_full(int fd, const void *buf, size_t n, uint64_t off);

/* The same for vectors, which it may change while it works. */
int io_pwritev_full(int fd, struct iovec *iov, int n, uint64_t off);

/* Writes all n bytes to a pipe, socket or file at its position. Errors: -errno. */
int io_write_full(int fd, const void *buf, size_t n);

/* Appends the whole of a small file to `b`. Errors: -EFBIG over `max` bytes, -errno. */
int io_read_file(int dir, const char *name, size_t max, struct buf *b);

/* Reads to the end of a descriptor. Errors: -EFBIG over `max` bytes, -errno. */
int io_read_fd(int fd, size_t max, struct buf *b);

/* Writes beside, syncs, renames over `name` and syncs the folder: after 0 the new content
 * survives power loss, after an error the old content is whole. */
int io_replace_file(int dir, const char *name, const void *p, size_t n, mode_t mode);

/* Makes a folder unless it exists. Errors: -errno. */
int io_mkdir(int dir, const char *name, mode_t mode);

/* mkdir -p of an absolute or relative path. Errors: -errno. */
int io_mkdir_p(const char *path, mode_t mode);

/* Removes a whole tree below `dir` without following symlinks. -ENOENT is no error. */
int io_rm_rf(int dir, const char *name);

/* fsync of a folder by descriptor. Errors: -errno. */
int io_sync_dir(int dir);
