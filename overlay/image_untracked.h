/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <nettle/sha1.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"
#include "image.h"

/* The part of a prepared index that says that nothing is untracked; see image_untracked.c. */

enum { UNTRACKED_IDENT = 512, UNTRACKED_HEAD = UNTRACKED_IDENT + 72 + 4 + 40 };

/* Appends the whole UNTR extension. `entries`: how many index entries are below each place. `sha`: the checksum of
 * all bytes of the index before it. Errors: -ENODATA none can be said of this image, -EBADMSG, -ENOMEM. */
int image_add_untracked(const struct image *img, const uint32_t *entries,
			const struct sha1_ctx *sha, struct buf *b);

/* What a view writes over its own copy of a prepared index, so that git believes the extension there. */
struct untracked_patch {
	uint64_t head_at, sum_at;
	uint8_t head[UNTRACKED_HEAD];
	uint8_t sum[SHA1_DIGEST_SIZE];
};

/* fd: the prepared index. worktree: where git finds the view. exclude: what its info/exclude holds, NULL where there is
 * none. Errors: -ENODATA the index has no such part, or the path is too long for it; -EBADMSG, -ENOMEM,
 * -errno. */
int untracked_patch(int fd, const char *worktree, const void *exclude, size_t exclude_len,
		    struct untracked_patch *ret);
