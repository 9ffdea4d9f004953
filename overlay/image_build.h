/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "err.h"
#include "image.h"

struct odb;

struct image_build_options {
	uint64_t time_ns; /* what base nodes show as mtime and ctime; whole seconds */
	const struct image
		*prev; /* an image of a similar tree whose equal subtrees are copied, or NULL */
	void (*progress)(uint64_t done, void *user); /* nodes so far, or NULL */
	void *user;
};

/* Compiles tree `tree_oid` into fd (empty, read-write), synced. Errors: -ENOENT a missing object
 * (err names it: a partial clone), -EBADMSG a damaged one, -ENAMETOOLONG, -EFBIG over 2^32 - 16
 * nodes, -ENOSPC, -errno. */
int image_build(struct odb *odb, const uint8_t *tree_oid, const struct image_build_options *opt,
		int fd, struct err *reterr);

/* The fsmonitor token that a prepared index carries: the state of the base image. */
#define IMAGE_INDEX_TOKEN "agentfs1:base"

/* Writes a git index (version 2, with TREE, FSMN and UNTR extensions) of the whole image to fd, as `git read-tree`
 * plus `git update-index --refresh` would leave it in a view of that owner: stat data are those
 * that the view reports, so that git's first status reads no file. Entries' times are the image's;
 * the caller must see to it that the file's own mtime is later. Errors: -ENOSPC, -errno. */
int image_write_index(const struct image *img, uint32_t uid, uint32_t gid, int fd,
		      struct err *reterr);
