/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "lines.h"

/* What a conflict is called, so that the same one is known again. */

enum { HUNK_KEY_SIZE = 41 };

/* The key of a conflict, in hex: the same whatever white space its lines have, wherever blank ones stand, and with the
 * sides swapped. Errors: -ENOMEM. */
int hunk_key(struct text base, struct text ours, struct text theirs, char ret[HUNK_KEY_SIZE]);

/* Texts of equal keys: do their lines begin with the same white space as well? */
bool hunk_same_indent(struct text a, struct text b);

/* What a text is to a conflict: "ours", "theirs", "base", "none" (nothing), "both" (one side behind the other), "mix"
 * (lines of the three, no other), "new". White space around lines does not count. NULL: no memory. */
const char *hunk_class(struct text base, struct text ours, struct text theirs, struct text text);
