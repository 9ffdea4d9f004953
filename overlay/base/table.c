/* SPDX-License-Identifier: Apache-2.0 */
/* Open-addressing table; see table.h. Invariant: at most 3/4 of the slots are used. */
#include "table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "sys.h"

/* The finaliser of splitmix64: node numbers are dense, and this spreads them. */
static size_t slot_of(uint64_t key, size_t cap)
{
	key ^= key >> 30;
	key *= 0xbf58476d1ce4e5b9u;
	key ^= key >> 27;
	key *= 0x94d049bb133111ebu;
	key ^= key >> 31;
	return (size_t)key & (cap - 1);
}

static void insert(struct table_slot *slots, size_t cap, uint64_t key, void *value)
{
	size_t i = slot_of(key, cap);

	while (slots[i].key)
		i = (i + 1) & (cap - 1);
	slots[i] = (struct table_slot){key, value};
}

int table_reserve(struct table *t, size_t n)
{
	struct table_slot *slots;
	size_t cap = t->cap ? t->cap : 16;

	while (t->used + n > cap / 4 * 3)
		cap *= 2;
	if (cap == t->cap)
		return 0;
	slots = sys_calloc(cap, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < t->cap; i++)
		if (t->slots[i].key)
			insert(slots, cap, t->slots[i].key, t->slots[i].value);
	free(t->slots);
	t->slots = slots;
	t->cap = cap;
	return 0;
}

static struct table_slot *find(const struct table *t, uint64_t key)
{
	if (!t->cap)
		return NULL;
	for (size_t i = slot_of(key, t->cap); t->slots[i].key; i = (i + 1) & (t->cap - 1))
		if (t->slots[i].key == key)
			return &t->slots[i];
	return NULL;
}

void *table_get(const struct table *t, uint64_t key)
{
	struct table_slot *s = find(t, key);

	return s ? s->value : NULL;
}

int table_put(struct table *t, uint64_t key, void *value)
{
	struct table_slot *s = find(t, key);
	int r;

	assert(key && value);
	if (s) {
		s->value = value;
		return 0;
	}
	r = table_reserve(t, 1);
	if (r < 0)
		return r;
	insert(t->slots, t->cap, key, value);
	t->used++;
	return 0;
}

void *table_remove(struct table *t, uint64_t key)
{
	struct table_slot *s = find(t, key);
	size_t hole, i;
	void *value;

	if (!s)
		return NULL;
	value = s->value;
	hole = (size_t)(s - t->slots);
	for (i = (hole + 1) & (t->cap - 1); t->slots[i].key; i = (i + 1) & (t->cap - 1)) {
		size_t home = slot_of(t->slots[i].key, t->cap);

		/* Move it back unless its home lies cyclically in (hole, i]. */
		if (((i - home) & (t->cap - 1)) < ((i - hole) & (t->cap - 1)))
			continue;
		t->slots[hole] = t->slots[i];
		hole = i;
	}
	t->slots[hole] = (struct table_slot){0};
	t->used--;
	return value;
}

void *table_next(const struct table *t, size_t *pos)
{
	while (*pos < t->cap) {
		struct table_slot *s = &t->slots[(*pos)++];

		if (s->key)
			return s->value;
	}
	return NULL;
}

void table_release(struct table *t)
{
	free(t->slots);
	*t = (struct table){0};
}
