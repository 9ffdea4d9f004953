/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names in folders: those of the base from the image, changed ones from one hash table over
 * (folder, name), and per folder a list by cookie for listings.
 *
 * Invariants: (1) an entry hides the base's name of the same spelling; (2) a whiteout stands only over
 * a name that the base has there; (3) a folder's list holds its non-whiteout entries in the order of
 * their cookies, which only grow; (4) cookies: base child k is k + 3, entries are COOKIE_UPPER + n, so
 * a listing that goes on after changes neither repeats nor skips what stayed.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "sys.h"
#include "tree.h"

#define COOKIE_BASE UINT64_C(3)

enum { NAME_LEN_MAX = 255 };

static uint32_t name_hash(uint64_t dir, const char *name, size_t len)
{
	return (uint32_t)XXH3_64bits_withSeed(name, len, dir);
}

int tree_names_reserve(struct tree *t, size_t n)
{
	size_t want = t->nbuckets ? t->nbuckets : 64;
	struct entry **b;

	while (t->nentries + n > want)
		want *= 2;
	if (want == t->nbuckets)
		return 0;
	b = sys_calloc(want, sizeof(struct entry *));
	if (!b)
		return -ENOMEM;
	for (size_t i = 0; i < t->nbuckets; i++)
		for (struct entry *e = t->buckets[i], *next; e; e = next) {
			next = e->hash_next;
			e->hash_next = b[e->hash & (want - 1)];
			b[e->hash & (want - 1)] = e;
		}
	free(t->buckets);
	t->buckets = b;
	t->nbuckets = want;
	return 0;
}

struct entry *entry_new(uint64_t dir, const char *name, size_t len)
{
	struct entry *e = sys_calloc(1, sizeof(*e) + len + 1);

	if (!e)
		return NULL;
	e->dir = dir;
	e->len = (uint16_t)len;
	e->hash = name_hash(dir, name, len);
	memcpy(e->name, name, len);
	return e;
}

struct entry *tree_entry(const struct tree *t, uint64_t dir, const char *name, size_t len)
{
	uint32_t h = name_hash(dir, name, len);

	for (struct entry *e = t->buckets[h & (t->nbuckets - 1)]; e; e = e->hash_next)
		if (e->hash == h && e->dir == dir && e->len == len &&
		    memcmp(e->name, name, len) == 0)
			return e;
	return NULL;
}

void tree_entry_insert(struct tree *t, struct entry *e)
{
	struct entry **b = &t->buckets[e->hash & (t->nbuckets - 1)];

	e->hash_next = *b;
	*b = e;
	t->nentries++;
}

void tree_entry_unhash(struct tree *t, struct entry *e)
{
	struct entry **p = &t->buckets[e->hash & (t->nbuckets - 1)];

	while (*p != e)
		p = &(*p)->hash_next;
	*p = e->hash_next;
	t->nentries--;
}

bool tree_name_ok(const char *name, size_t len)
{
	return len > 0 && len <= NAME_LEN_MAX && !memchr(name, '/', len) &&
	       !memchr(name, '\0', len) && !(len == 1 && name[0] == '.') &&
	       !(len == 2 && name[0] == '.' && name[1] == '.');
}

bool tree_base_has(const struct tree *t, uint64_t dir, const char *name, size_t len, uint64_t *ret)
{
	const struct image_node *b;
	uint32_t at;
	int64_t place;

	if (!tree_place(t, dir, &at))
		return false;
	b = image_node(t->image, at);
	if (!b || !b->children)
		return false;
	place = image_lookup(t->image, at, name, len);
	if (place < 0)
		return false;
	*ret = tree_number(t, (uint32_t)place);
	return true;
}

int tree_lookup(const struct tree *t, uint64_t dir, const char *name, size_t len, uint64_t *ret)
{
	const struct node *d = tree_node(t, dir);

	if (len > NAME_LEN_MAX)
		return -ENAMETOOLONG;
	if (!tree_is_dir(t, dir))
		return d || tree_base(t, dir) ? -ENOTDIR : -ENOENT;
	if (d && d->dir.entries) {
		const struct entry *e = tree_entry(t, dir, name, len);

		if (e) {
			*ret = e->child;
			return e->child ? 0 : -ENOENT;
		}
	}
	return tree_base_has(t, dir, name, len, ret) ? 0 : -ENOENT;
}

int dir_reserve(struct node *dir, uint32_t n)
{
	uint32_t cap = dir->dir.cap ? dir->dir.cap : 4;
	struct entry **list;

	if (dir->dir.n + n <= dir->dir.cap)
		return 0;
	while (cap < dir->dir.n + n)
		cap *= 2;
	list = sys.realloc(dir->dir.list, cap * sizeof(*list));
	if (!list)
		return -ENOMEM;
	dir->dir.list = list;
	dir->dir.cap = cap;
	return 0;
}

/* Closes the gaps once most of the list is gone. */
static void list_compact(struct node *dir)
{
	uint32_t n = 0;

	if (dir->dir.n < 16 || dir->dir.live * 2 > dir->dir.n)
		return;
	for (uint32_t i = 0; i < dir->dir.n; i++)
		if (dir->dir.list[i])
			dir->dir.list[n++] = dir->dir.list[i];
	dir->dir.n = n;
	dir->dir.first = 0;
}

void dir_list_add(struct node *dir, struct entry *e)
{
	assert(dir->dir.n < dir->dir.cap);
	if (!e->cookie)
		e->cookie = COOKIE_UPPER + ++dir->dir.next_cookie;
	else if (e->cookie - COOKIE_UPPER > dir->dir.next_cookie)
		dir->dir.next_cookie = e->cookie - COOKIE_UPPER;
	dir->dir.list[dir->dir.n++] = e;
	dir->dir.live++;
}

/* Index of the first entry whose cookie is above `cookie`, gaps being passed over. Who empties a folder
 * does it from one end: gaps there cost nothing. */
static uint32_t list_after(const struct node *dir, uint64_t cookie)
{
	uint32_t lo = dir->dir.first, hi = dir->dir.n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2, probe = mid;

		while (probe < hi && !dir->dir.list[probe])
			probe++;
		if (probe == hi || dir->dir.list[probe]->cookie > cookie)
			hi = mid;
		else
			lo = probe + 1;
	}
	while (lo < dir->dir.n && !dir->dir.list[lo])
		lo++;
	return lo;
}

void dir_list_remove(struct node *dir, struct entry *e)
{
	uint32_t i = list_after(dir, e->cookie - 1);

	assert(i < dir->dir.n && dir->dir.list[i] == e);
	dir->dir.list[i] = NULL;
	dir->dir.live--;
	e->cookie = 0;
	while (dir->dir.n > 0 && !dir->dir.list[dir->dir.n - 1])
		dir->dir.n--;
	while (dir->dir.first < dir->dir.n && !dir->dir.list[dir->dir.first])
		dir->dir.first++;
	if (dir->dir.first > dir->dir.n)
		dir->dir.first = dir->dir.n;
	list_compact(dir);
}

int tree_readdir(const struct tree *t, uint64_t dir, uint64_t cookie, uint64_t *ret_cookie,
		 uint64_t *ret_id, const char **ret_name, size_t *ret_len)
{
	const struct node *d = tree_node(t, dir);
	const struct image_node *b = tree_base(t, dir);
	uint32_t children = b ? b->children : 0, i;

	if (cookie < COOKIE_UPPER) {
		uint64_t k = cookie < COOKIE_BASE ? 0 : cookie - COOKIE_BASE + 1;

		for (; k < children; k++) {
			const struct image_node *c =
				image_node(t->image, b->first_child + (uint32_t)k);

			*ret_name = image_name(t->image, c, ret_len);
			if (d && d->dir.entries && tree_entry(t, dir, *ret_name, *ret_len))
				continue;
			*ret_id = tree_number(t, b->first_child + (uint32_t)k);
			*ret_cookie = COOKIE_BASE + k;
			return 1;
		}
		cookie = COOKIE_UPPER;
	}
	if (!d)
		return 0;
	i = list_after(d, cookie);
	if (i == d->dir.n)
		return 0;
	*ret_cookie = d->dir.list[i]->cookie;
	*ret_id = d->dir.list[i]->child;
	*ret_name = d->dir.list[i]->name;
	*ret_len = d->dir.list[i]->len;
	return 1;
}

bool tree_dir_empty(const struct tree *t, uint64_t dir)
{
	uint64_t cookie, id;
	const char *name;
	size_t len;

	return tree_readdir(t, dir, 0, &cookie, &id, &name, &len) == 0;
}
