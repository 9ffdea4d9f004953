/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "resolver.h"

/* What holds for every answer, whoever gave it. Each returns NULL, or the sentence that says what is
 * wrong. */

/* Each line that a side added is there, each that one deleted is gone. Blank lines do not count. -ENOMEM is told by
 * *ret_error. */
const char *invariant_lines(const struct conflict *c, struct text answer, int *ret_error);

/* The same of one line (or word), which stands n[BASE], n[OURS], n[THEIRS] times in the versions and n[SIDES] times in the
 * answer. */
const char *invariant_count(const size_t n[SIDES + 1]);

/* No conflict markers that no side had, the same line ends, the same final newline; UTF-8 where both sides are; no line
 * indented by tabs (or by spaces) where no line of the sides is. */
const char *invariant_form(const struct conflict *c, struct text answer);

/* The same words, whatever their order: what swapping the sides may change. */
bool invariant_same_words(struct text a, struct text b, int *ret_error);
