/* SPDX-License-Identifier: Apache-2.0 */
/* A hash of keys that are held, each with its line of waiters. */
#include "keylock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "sys.h"

struct waiter {
	void (*fn)(void *user);
	void *user;
	struct waiter *prev, *next;
};

struct lock {
	char *key;
	struct waiter *waiting;
	UT_hash_handle hh;
};

struct keylocks {
	struct lock *held;
};

struct keylocks *keylocks_new(void)
{
	return sys_calloc(1, sizeof(struct keylocks));
}

static void lock_free(struct keylocks *k, struct lock *l)
{
	struct waiter *w, *tmp;

	DL_FOREACH_SAFE (l->waiting, w, tmp)
		free(w);
	HASH_DEL(k->held, l);
	free(l->key);
	free(l);
}

void keylocks_free(struct keylocks *k)
{
	struct lock *l, *tmp;

	if (!k)
		return;
	HASH_ITER (hh, k->held, l, tmp)
		lock_free(k, l);
	free(k);
}

static int wait_in_line(struct lock *l, void (*fn)(void *user), void *user)
{
	struct waiter *w = sys_calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->fn = fn;
	w->user = user;
	DL_APPEND(l->waiting, w);
	return 0;
}

int keylock_take(struct keylocks *k, const char *key, void (*fn)(void *user), void *user)
{
	struct lock *l;

	HASH_FIND_STR(k->held, key, l);
	if (l)
		return wait_in_line(l, fn, user);
	l = sys_calloc(1, sizeof(*l));
	if (l)
		l->key = sys_strdup(key);
	if (!l || !l->key) {
		free(l);
		return -ENOMEM;
	}
	HASH_ADD_KEYPTR(hh, k->held, l->key, strlen(l->key), l);
	fn(user);
	return 0;
}

void keylock_drop(struct keylocks *k, const char *key)
{
	struct lock *l;
	struct waiter *w;

	HASH_FIND_STR(k->held, key, l);
	assert(l);
	w = l->waiting;
	if (!w) {
		lock_free(k, l);
		return;
	}
	DL_DELETE(l->waiting, w);
	w->fn(w->user);
	free(w);
}
