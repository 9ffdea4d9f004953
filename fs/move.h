/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "buf.h"
#include "fs.h"
#include "record.h"

/* VIEWCTL_SYNC: moves the view to another base and tells the kernel and its watchers. An error's sentence
 * goes to `text`. Errors: as view_move_base(); -EINVAL. */
int move_base(struct fs *fs, const struct record *msg, int fd, struct record *ret,
	      struct buf *text);
