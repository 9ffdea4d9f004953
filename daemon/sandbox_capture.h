/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buf.h"

/* What is kept of a stream: its beginning and its end, at most `max` bytes of both together. */
struct capture {
	struct buf head, tail;
	size_t max;
	uint64_t drain, total;
};

/* At most max bytes are kept, max + drain are read. */
void capture_init(struct capture *c, size_t max, uint64_t drain);

/* Reads what a non-blocking descriptor has. Returns 1 there may be more later, 0 it has ended. Errors:
 * -EFBIG more came than max + drain (what was kept stays), -ENOMEM, -errno. */
int capture_read(struct capture *c, int fd);

/* Was anything left out? */
bool capture_truncated(const struct capture *c);

/* What was kept, with a line in the middle where something was left out. Errors: -ENOMEM. */
int capture_take(struct capture *c, struct buf *ret);

void capture_release(struct capture *c);
