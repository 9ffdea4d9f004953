/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "tree.h"

/* What the files that apply records share; nobody else includes this. */

/* Notes the node (the name) for the next checkpoint. */
void apply_mark_node(struct tree *t, struct node *n);
void apply_mark_name(struct tree *t, uint64_t dir, const char *name, size_t len);

/* Room for so many of these notes. Errors: -ENOMEM. */
int apply_need_marks(struct tree *t, size_t nodes, size_t name_bytes);

/* A changed folder that has a name. Errors: -ENOMEM, -EBADMSG. */
int apply_need_dir(struct tree *t, uint64_t id, struct node **ret);
