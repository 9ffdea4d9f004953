/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notes of changed names: a hash table and a list by age.
 *
 * Invariants: (1) a name has one note, which moves to the front when it changes again, so a file that is
 * written a million times costs one; (2) the list is ordered by seq, newest first; (3) every change with
 * seq > floor is noted, so an answer "since s" is complete when s >= floor.
 */
#include "recent.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "sys.h"

static int grow(struct recent *r)
{
	size_t want = r->nbuckets ? r->nbuckets * 2 : 64;
	struct recent_note **b = sys_calloc(want, sizeof(*b));

	if (!b)
		return -ENOMEM;
	for (struct recent_note *n = r->newest; n; n = n->older) {
		n->next = b[n->hash & (want - 1)];
		b[n->hash & (want - 1)] = n;
	}
	free(r->buckets);
	r->buckets = b;
	r->nbuckets = want;
	return 0;
}

static struct recent_note *find(const struct recent *r, uint32_t hash, uint64_t dir,
				const char *name, size_t len)
{
	struct recent_note *n = r->nbuckets ? r->buckets[hash & (r->nbuckets - 1)] : NULL;

	while (n && (n->hash != hash || n->dir != dir || n->len != len ||
		     memcmp(n->name, name, len) != 0))
		n = n->next;
	return n;
}

static void list_remove(struct recent *r, struct recent_note *n)
{
	*(n->newer ? &n->newer->older : &r->newest) = n->older;
	*(n->older ? &n->older->newer : &r->oldest) = n->newer;
	n->newer = n->older = NULL;
}

static void list_push(struct recent *r, struct recent_note *n)
{
	n->older = r->newest;
	n->newer = NULL;
	*(r->newest ? &r->newest->newer : &r->oldest) = n;
	r->newest = n;
}

static void drop(struct recent *r, struct recent_note *n)
{
	struct recent_note **p = &r->buckets[n->hash & (r->nbuckets - 1)];

	while (*p != n)
		p = &(*p)->next;
	*p = n->next;
	list_remove(r, n);
	r->n--;
	free(n);
}

static struct recent_note *add_new(struct recent *r, uint32_t hash, uint64_t dir, const char *name,
				   size_t len)
{
	struct recent_note *n;

	if (r->n >= r->nbuckets && grow(r) < 0)
		return NULL;
	n = sys_calloc(1, sizeof(*n) + len + 1);
	if (!n)
		return NULL;
	n->dir = dir;
	n->hash = hash;
	n->len = (uint16_t)len;
	memcpy(n->name, name, len);
	n->next = r->buckets[hash & (r->nbuckets - 1)];
	r->buckets[hash & (r->nbuckets - 1)] = n;
	r->n++;
	return n;
}

void recent_add(struct recent *r, uint64_t seq, uint64_t dir, const char *name, size_t len,
		bool is_dir)
{
	uint32_t hash = (uint32_t)XXH3_64bits_withSeed(name, len, dir);
	struct recent_note *n = find(r, hash, dir, name, len);

	if (n)
		list_remove(r, n);
	else
		n = add_new(r, hash, dir, name, len);
	if (!n) {
		recent_reset(r, seq);
		return;
	}
	n->seq = seq;
	n->is_dir |= is_dir;
	list_push(r, n);
	while (r->n > RECENT_MAX) {
		r->floor = r->oldest->seq;
		drop(r, r->oldest);
	}
}

int recent_each(const struct recent *r, uint64_t since,
		int (*fn)(const struct recent_note *n, void *user), void *user)
{
	int k = 0;

	for (const struct recent_note *n = r->newest; n && n->seq > since && k == 0; n = n->older)
		k = fn(n, user);
	return k;
}

void recent_reset(struct recent *r, uint64_t seq)
{
	while (r->oldest && r->oldest->seq <= seq)
		drop(r, r->oldest);
	if (seq > r->floor)
		r->floor = seq;
}

void recent_release(struct recent *r)
{
	while (r->oldest)
		drop(r, r->oldest);
	free(r->buckets);
	*r = (struct recent){0};
}
