/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "records.h"

/*
 * How far a resolver may be believed: its record in histories of merges that people made. It acts alone
 * where the lower bound of its precision beats k / (k + 1), k being what a wrong merge costs in units
 * of a conflict that is left to a person.
 */
enum { COST_OF_WRONG = 5, COST_VERIFIED = 2, EVIDENCE_ENOUGH = 30 };

/* Lower end of Wilson's 95 % interval for right / fired; 0 where nothing is known. */
double evidence_lower(struct evidence e);

/* The record that counts for a file of that language and class. Records are looked at from the finest on of which enough is
 * known (the class of paths in the language, the language, the resolver's whole record), each in this repository alone if
 * that is enough, else together with the shipped one: the first that suffices at that cost of a wrong merge counts; and
 * before it one whose answers were right no oftener than would be enough: it knows its files better. Where none does, the
 * finest counts. Either may be NULL. */
struct evidence evidence_of(const char *resolver, const char *language, enum path_class class,
			    const struct records *own, const struct records *shipped,
			    unsigned int cost_of_wrong);

bool evidence_suffices(struct evidence e, unsigned int cost_of_wrong);
