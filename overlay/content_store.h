/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The files of the shared content cache: a table of object ids and the bytes they stand for.
 * Format, sharing between processes and crash behaviour: head of content_store.c. Thread-safe. */
struct content_store;

/* Where a blob's bytes stand; a copy of the table's entry. */
struct content_entry {
	uint8_t oid[32];
	uint64_t place; /* number of the data file << 48 | offset in it */
	uint64_t size;
	uint64_t sum;	/* XXH3-64 of the bytes */
	uint64_t check; /* XXH3-64 of the fields before; 0: the slot is free */
};

/* Opens or begins the cache in folder `dir` (borrowed). A damaged one is set aside.
 * Errors: -EPROTONOSUPPORT a newer format, -errno. */
int content_store_open(int dir, struct content_store **ret);
void content_store_close(struct content_store *s);

/* Reads [off, off + n), which is inside, of a blob that has `size` bytes. A process checks the bytes of a
 * blob the first time it reads any of them; damaged ones count as missing. With `cached` nothing is
 * waited for. Errors: -ENOENT missing or of another size, -EAGAIN the disk would have to be waited for,
 * -ENOMEM, -errno. */
int content_store_get(struct content_store *s, const uint8_t oid[32], uint64_t size, uint64_t off,
		      void *buf, size_t n, bool cached);

/* Adds a blob (already verified against its id), or replaces a damaged one. Nothing happens when
 * another process has added it meanwhile. Errors: -ENOSPC (also: the cache's limit), -errno; the
 * cache is whole after any of them. */
int content_store_add(struct content_store *s, const uint8_t oid[32], const void *p, size_t n);
