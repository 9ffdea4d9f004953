/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "parser.h"

/* What became of a file's names between two versions: what nobody else can see who only compares lines. */

/* A declaration of the first version that the second has no more, or has with other parameters. */
struct symbol_gone {
	const struct symbol *was; /* borrowed from the first version */
	bool changed;		  /* the name is still there */
};

/* Declarations outside functions only; names of one or two letters are left out. The caller frees *ret. Errors: -ENOMEM. */
int symbols_gone(const struct symbols *before, const struct symbols *now, struct symbol_gone **ret,
		 size_t *ret_n);

/* Names that the second version uses, the first did not, and the second does not declare; borrowed from it, each once, by
 * name. The caller frees *ret. Errors: -ENOMEM. */
int symbols_newly_used(const struct symbols *before, const struct symbols *now,
		       const struct symbol_use ***ret, size_t *ret_n);
