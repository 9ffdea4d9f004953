/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "syntax.h"

/* Appends the declarations of a text and the names it uses, as parser_wire.h has them. Errors: -ENOMEM. */
int symbols_put(const struct syntax *s, struct buf *out);
