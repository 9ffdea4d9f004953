/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "diff3.h"

/*
 * Merges of which it is certain that every way of comparing lines makes the same: no need to ask for a second opinion.
 *
 * Does git's comparison by rarest lines (histogram) merge these texts without a conflict into `merged`, as the shortest script
 * (Myers) did? Returns 1 where that is certain (head of plain_merge.c); 0: it has to be asked; -ENOMEM.
 */
int plain_merge(const struct text t[SIDES], struct text merged);
