/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "op.h"

/* Making and taking away views that nobody asked for by name (merger/verify_scratch.h), as a part of `parent`; done
 * hears how it ended, in an op of its own whose parent it is. */

/* The row is consumed on success. The view is mounted then; its row stays "creating". Errors: -ENOMEM. */
int view_make(struct op *parent, struct view_row *row, op_done done);

/* Stops it, whoever uses it, and removes it with all that it has. Errors: -ENOMEM. */
int view_unmake(struct op *parent, struct view *v, op_done done);
