/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/* Read access to a repository's object store and nothing else of it: no configuration is read, so
 * owner checks do not arise and nothing can be executed. Alternates are followed. Thread-safe. */
struct odb;

/* An object's bytes as libgit2 inflated them. */
struct odb_object;

enum odb_type { ODB_COMMIT = 1, ODB_TREE = 2, ODB_BLOB = 3, ODB_TAG = 4 };

/* Opens the folder `objects_dir`. Errors: -ENOENT, -errno. */
int odb_open(const char *objects_dir, struct odb **ret, struct err *reterr);
void odb_close(struct odb *odb);

/* For a process in which nothing but this module reads objects: libgit2 need not verify them too. */
void odb_verify_once(void);

/* To be called about once a second by who lives long: closes what was not used since the last call.
 * libgit2 keeps packs mapped and up to 16 MiB of bases of deltas for as long as a handle is open. The
 * next reading opens it anew. True: memory was given back. */
bool odb_rest(struct odb *odb);

/* Reads and inflates an object and checks that its content has that id. *ret is malloc'd, caller
 * frees. Errors: -ENOENT, -EBADMSG damaged, -ENOMEM. */
int odb_read(struct odb *odb, const uint8_t *oid, enum odb_type *ret_type, void **ret,
	     size_t *ret_len);

/* The same without a copy, so that a huge blob is in memory once: *ret is borrowed until
 * odb_object_free() of *ret_obj. Errors: as above. */
int odb_get(struct odb *odb, const uint8_t *oid, enum odb_type *ret_type, const void **ret,
	    size_t *ret_len, struct odb_object **ret_obj);
void odb_object_free(struct odb_object *obj);

/* Type and size without the content. Errors: as above. */
int odb_read_header(struct odb *odb, const uint8_t *oid, enum odb_type *ret_type, size_t *ret_len);

/* libgit2's error code and last message → -errno; sets reterr (may be NULL) with `fmt` as what was
 * attempted. */
int git_errno(int git_code, struct err *reterr, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
