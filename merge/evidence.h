/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "resolver.h"

/*
 * How far a resolver may be believed: its record in histories of merges that people made. It acts alone
 * where the lower bound of its precision beats k / (k + 1), k being what a wrong merge costs in units
 * of a conflict that is left to a person.
 */
struct evidence {
	unsigned int fired, right;
};

enum { COST_OF_WRONG = 5, COST_VERIFIED = 2 };

/* Lower end of Wilson's 95 % interval for right / fired; 0 where nothing is known. */
double evidence_lower(struct evidence e);

/* The record that counts: this repository's own once it is long enough, else together with the shipped one. */
struct evidence evidence_of(const struct resolver *r, struct evidence own);

bool evidence_suffices(struct evidence e, unsigned int cost_of_wrong);
