/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <stdbool.h>
#include <stdint.h>

#include "buf.h"
#include "err.h"

/*
 * A view's git index, as bytes: looked up and edited in proportion to what is asked, and hostile until
 * proved otherwise. What it understands, and what becomes of extensions: head of gitindex.c.
 */
struct gitindex;

/* An entry, in the units of the file. */
struct gitindex_entry {
	uint32_t ctime_s, ctime_ns, mtime_s, mtime_ns;
	uint32_t dev, ino, mode, uid, gid, size;
	git_oid oid;
	bool skip_worktree; /* git sparse-checkout left it out */
};

/* Takes the bytes over, also on error. Errors: -EOPNOTSUPP a sparse index, -EPROTONOSUPPORT a
 * split one, -EBADMSG, -ENOMEM. */
int gitindex_parse(struct buf *bytes, struct gitindex **ret, struct err *reterr);
void gitindex_free(struct gitindex *x);

/* Are there entries of a merge that is not resolved? */
bool gitindex_has_conflicts(const struct gitindex *x);

/* The entry at `path` that is no side of a conflict. False where there is none. */
bool gitindex_find(const struct gitindex *x, const char *path, struct gitindex_entry *ret);

struct gitindex_edit {
	const char *path;	 /* first, for qsort() by gitindex_edit_order() */
	struct gitindex_entry e; /* mode 0: it goes */
	const struct gitindex_entry
		*sides; /* of a conflict: base, ours, theirs, each with mode 0 where
					       it is not there; NULL: none. Then `e` is not looked at */
};
int gitindex_edit_order(const void *a, const void *b);

/* Appends the index with these edits, in gitindex_edit_order(), to `ret`. A file that is put in takes
 * the place of a folder of that name, and the other way round. Errors: -ENOMEM. */
int gitindex_edit(const struct gitindex *x, const struct gitindex_edit *edits, size_t n,
		  struct buf *ret);
