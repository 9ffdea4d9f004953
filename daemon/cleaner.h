/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>
#include <stdbool.h>

#include "buf.h"
#include "err.h"
#include "viewgit.h"

/*
 * What git would ask of a working folder when adding a file: is it ignored, and is its content to
 * be converted? Answered by libgit2 over a scratch working folder that holds the view's .gitignore
 * and .gitattributes and nothing else, so that none of the repository's own configuration has a
 * say.
 */
struct worker;

struct cleaner {
	git_repository *git; /* NULL until it is needed */
	struct snapshot *snapshot;
	const char *common; /* where the view's git is a worktree: the repository's git folder */
	char *root;	    /* the scratch working folder */
	struct buf seen;    /* last folder that was read */
	struct buf rules;   /* the files of rules that matter, each with its NUL */
	bool attributes, ignores; /* there are such */
};

int cleaner_open(struct cleaner *c, struct viewgit_objects *o, struct worker *w,
		 struct err *reterr);
void cleaner_close(struct cleaner *c);

/* Brings in what the folders above `path` say; to be called for all paths before the first
 * question, in tree_path_order(). Errors: -ENOMEM, -errno. */
int cleaner_add(struct cleaner *c, const char *path, struct err *reterr);

/* Would git leave this untracked file out? */
int cleaner_ignored(struct cleaner *c, const char *path, bool *ret, struct err *reterr);

enum clean_kind {
	CLEAN_RAW,     /* stored as it is */
	CLEAN_CONVERT, /* line ends or $Id$: cleaner_convert() */
	CLEAN_LFS,     /* only a pointer can be stored */
	CLEAN_FILTER,  /* a filter that we do not have: *ret_name */
};

/* What the attributes ask for. *ret_name is borrowed until the next call. */
int cleaner_kind(struct cleaner *c, const char *path, enum clean_kind *ret, const char **ret_name,
		 struct err *reterr);

/* Converts as git add does; `had_crlf`: the stored version has CRLF already, which text=auto then
 * leaves alone. Appends to `out`. */
int cleaner_convert(struct cleaner *c, const char *path, const struct buf *in, bool had_crlf,
		    struct buf *out, struct err *reterr);

/* Is this the text of a Git LFS pointer? */
bool cleaner_is_lfs_pointer(const char *p, size_t n);
