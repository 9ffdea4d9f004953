/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <git2.h>

/* Adds a reader of loose objects to an open database, asked after the packs of the same folder and
 * before libgit2's own; why: head of odb_loose.c. It covers `objects_dir` and its alternates, and
 * is freed with the database. Returns libgit2's codes. */
int odb_loose_add(git_odb *odb, const char *objects_dir);
