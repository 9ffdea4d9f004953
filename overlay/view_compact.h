/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "view.h"

/* What the compactor may leave and take. */
struct compact_limits {
	uint64_t
		history; /* bytes of files that were overwritten or deleted and are kept all the same */
	uint64_t copy;	/* bytes copied in one call */
	uint64_t worth; /* fewer bytes that wait for a checkpoint are not worth one of their own */
	int64_t full_every; /* ns between two checkpoints that only the compactor wants */
};

/* Gives back disk space of dead bytes; called again and again, each call does a bounded part. Thread-safe.
 * Errors: -ENOSPC nothing could be copied, -ENOMEM, -EIO, -errno; nothing is lost by one. */
int view_compact(struct view *v, const struct compact_limits *limits);
