/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * The one hot table: 64-bit keys (never 0) to pointers, open addressing with linear probing and
 * backward-shift deletion, so that no tombstones slow it down. Not locked. Zero-initialised is empty.
 */
struct table_slot {
	uint64_t key;
	void *value;
};

struct table {
	struct table_slot *slots;
	size_t cap; /* 0 or a power of two */
	size_t used;
};

/* Makes room so that the next n table_put() cannot fail. Errors: -ENOMEM (unchanged). */
int table_reserve(struct table *t, size_t n);

/* The value of key, or NULL. */
void *table_get(const struct table *t, uint64_t key);

/* Sets key (non-zero) to value (non-NULL), replacing. Errors: -ENOMEM unless reserved. */
int table_put(struct table *t, uint64_t key, void *value);

/* Takes key out and returns its value, or NULL. */
void *table_remove(struct table *t, uint64_t key);

/* Iterates: start with *pos = 0; NULL at the end. Nothing may be added or removed meanwhile. */
void *table_next(const struct table *t, size_t *pos);

/* Frees the slots, not the values. */
void table_release(struct table *t);
