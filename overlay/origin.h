/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/*
 * The shared repository as a view's git may read it: its branches and tags as they are now, and the
 * files of its objects. Thread-safe; nothing is kept open but a few object files.
 */
struct origin;

/* `repository`: its git folder; `objects`: its object folder; uid, gid: whose view it is. Nothing
 * need be there yet. Errors: -ENOMEM. */
int origin_new(const char *repository, const char *objects, uint32_t uid, uint32_t gid,
	       struct origin **ret);
void origin_free(struct origin *o);

/* Can the process read the object folder and its alternates under their own paths: it sees our
 * mounts, and the view's owner may? False where that is not sure. */
bool origin_reachable(struct origin *o, uint32_t pid);
const char *origin_objects(const struct origin *o);

/* The text of a file of a bare repository with those refs, appended to `ret`. */
enum origin_text {
	ORIGIN_HEAD,
	ORIGIN_CONFIG,
	ORIGIN_PACKED_REFS,
	ORIGIN_SHALLOW, /* -ENOENT where the repository is none */
};
int origin_text(struct origin *o, enum origin_text what, struct buf *ret);

/* --- object files; a folder is "pack" or two hex digits --- */

/* The key of a file by its name, the same for ever. Errors: -ENOENT no name of an object file. */
int origin_key(const char *folder, const char *name, uint64_t *ret);

/* Opens one; name is "folder/name", or NULL: looked for by its key. Returns a descriptor, the
 * caller's. Errors: -ENOENT, -errno. */
int origin_file(struct origin *o, uint64_t key, const char *name);

/* Closes what nobody has read for a minute. */
void origin_trim(struct origin *o);

/* When the folder was last changed, ns; 0: it is not there. */
int64_t origin_changed(struct origin *o, const char *folder);

/* Tells the files of a folder with keys of `from` and above, ascending. A non-zero return ends it. */
typedef int (*origin_name_fn)(const char *name, uint64_t key, void *user);
int origin_list(struct origin *o, const char *folder, uint64_t from, origin_name_fn fn, void *user);
