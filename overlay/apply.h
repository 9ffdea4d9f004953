/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "record.h"
#include "tree.h"

/*
 * Record → change of the tree, no I/O; the same code live and in recovery. An operation is prepared
 * (may fail, leaves the tree as it was to every reader), then appended to the journal, then applied.
 */

/* Checks that the record fits the tree and allocates whatever applying it needs. Records that change
 * no tree (denials, notes) pass. Errors: -ENOMEM; -EBADMSG the record contradicts the tree (only
 * a damaged or foreign journal does that). */
int apply_prepare(struct tree *t, const struct record *rec);

/* Applies a prepared record. Cannot fail. Sets t->seq. */
void apply_record(struct tree *t, const struct record *rec);

/* Both, for recovery. */
int apply_replay(struct tree *t, const struct record *rec);

/* The change of an attribute that an OP_REDIRECT is; its value is put into text[0..n). */
void apply_redirect_as_xattr(struct record *rec, char *text, size_t n);

/* The kernel forgot an unlinked node, or a new connection begins: it goes. */
void apply_drop_orphan(struct tree *t, uint64_t id);
