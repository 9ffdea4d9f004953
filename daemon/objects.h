/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>

#include "err.h"

/*
 * The new objects of one operation, gathered and put into the repository together. While a batch is
 * there, everything that libgit2 writes through the repository's handle lands in it, and is read from
 * it like any other object. How and when it is on the disk: head of objects.c.
 */
struct objects;

/* Begins a batch in the object database of `git`, which owns it (it goes with the repository's
 * handle). `folder`: the objects folder that objects_flush() writes to, or NULL for a batch that is
 * only ever read. Errors: -errno. */
int objects_begin(git_repository *git, const char *folder, struct objects **ret,
		  struct err *reterr);

/* Stores an object, as git_odb_write() would: in the batch where one was begun. Thread-safe with a
 * batch. Errors: -errno. */
int objects_put(git_repository *git, git_object_t type, const void *p, size_t n, git_oid *ret);

/* Makes all objects so far part of the repository, durably. What is put afterwards needs another.
 * Errors: -errno; nothing refers to what was written then. */
int objects_flush(struct objects *o, struct err *reterr);

/* The refs have moved, or will not: what guards the new objects against a repack may go. */
void objects_release(struct objects *o);

/* Content of at most so many bytes is held in memory as a whole. */
enum { OBJECTS_WHOLE_MAX = 16 << 20 };

/* A stream for a blob larger than that. It goes straight to the repository's loose objects, synced.
 * Without a folder or a batch: as libgit2 does. Not thread-safe. Caller frees with git_odb_stream_free(). Errors: -errno. */
int objects_stream(git_repository *git, uint64_t size, git_odb_stream **ret);
