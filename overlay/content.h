/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"
#include "odb.h"

/* The content of base files, inflated once for all views of this machine. Format, sharing between
 * processes and crash behaviour: head of content.c. */
struct content;

/* `dir` (borrowed) is the shared cache folder, or -1 for no cache (every read inflates); `odb`
 * (borrowed) is where misses are read. Errors: -EPROTONOSUPPORT, -errno. A damaged cache is set
 * aside and begun anew. */
int content_open(int dir, struct odb *odb, struct content **ret, struct err *reterr);
void content_close(struct content *c);

/* Reads [off, off + n) of the blob `oid`, whose size is `size`; short at its end. Thread-safe.
 * Errors: -EIO the object is missing, damaged or has another size (it is logged once, with its id,
 * by the caller), -ENOMEM, -errno. A full disk is no error: the bytes are just not cached. */
ssize_t content_read(struct content *c, const uint8_t oid[32], uint64_t size, uint64_t off,
		     void *buf, size_t n);

/* The same without waiting for a disk, for git or for another thread. Errors: also -EAGAIN, it would
 * have to. */
ssize_t content_read_cached(struct content *c, const uint8_t oid[32], uint64_t size, uint64_t off,
			    void *buf, size_t n);
