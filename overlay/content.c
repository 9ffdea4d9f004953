/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content of base files: from memory, from the shared cache, from git, in this order.
 *
 * Guarantees:
 *  1. Bytes are those of the blob: git's content is checked against its id when it is inflated,
 *     the cache's as content_store.c says.
 *  2. Within a process a blob is inflated by one thread at a time; others that want it wait for its
 *     bytes (the kernel's read-ahead sends several requests for one file at once). Processes do
 *     not wait for one another.
 *  3. A cache that cannot take a blob (full disk, limit, failing disk) is no error of the read. The
 *     blob is kept in memory instead, so that sequential reads do not inflate it once each: the
 *     last KEEP_MAX ones, of at most KEEP_BYTES together, and the newest whatever its size.
 *
 * A blob is in memory as a whole while it is inflated (libgit2 cannot do otherwise), once.
 *
 * Lock: `lock` guards the two lists. Not held while inflating, reading or writing files; a blob's
 * bytes are immutable, and refcounted under the lock.
 */
#include "content.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "cleanup.h"
#include "content_store.h"
#include "sys.h"

#define KEEP_BYTES (UINT64_C(64) << 20)

enum { KEEP_MAX = 4 };

/* An inflated blob, or one on its way. */
struct blob {
	struct blob *next; /* in `coming` */
	uint8_t oid[32];
	struct odb_object *obj;
	const void *bytes;
	size_t len;
	unsigned int refs;
	bool done;
	int error; /* valid when done */
};

struct content {
	struct odb *odb;
	struct content_store *store; /* NULL: no cache */
	pthread_mutex_t lock;
	pthread_cond_t arrived;
	struct blob *coming;	     /* being inflated, each by one thread */
	struct blob *kept[KEEP_MAX]; /* newest first */
};

int content_open(int dir, struct odb *odb, struct content **ret, struct err *reterr)
{
	struct content *c = sys_calloc(1, sizeof(*c));
	int r = 0;

	if (!c)
		return err_set(reterr, -ENOMEM, "open content cache: out of memory");
	c->odb = odb;
	if (dir >= 0)
		r = content_store_open(dir, &c->store);
	if (r < 0) {
		free(c);
		if (r == -EPROTONOSUPPORT)
			return err_set(reterr, r,
				       "open content cache: it was written by a newer "
				       "version; remove its folder 'content'");
		return err_set(reterr, r, "open content cache: %s", strerror(-r));
	}
	(void)pthread_mutex_init(&c->lock, NULL);
	(void)pthread_cond_init(&c->arrived, NULL);
	*ret = c;
	return 0;
}

/* Under the lock. */
static void blob_unref(struct blob *b)
{
	if (!b || --b->refs > 0)
		return;
	odb_object_free(b->obj);
	free(b);
}

void content_close(struct content *c)
{
	if (!c)
		return;
	for (int i = 0; i < KEEP_MAX; i++)
		blob_unref(c->kept[i]);
	content_store_close(c->store);
	(void)pthread_cond_destroy(&c->arrived);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

/* --- memory (all under the lock) ---------------------------------------------------------------
 */

static struct blob *kept_find(struct content *c, const uint8_t oid[32])
{
	for (int i = 0; i < KEEP_MAX; i++) {
		struct blob *b = c->kept[i];

		if (!b || memcmp(b->oid, oid, 32) != 0)
			continue;
		memmove(&c->kept[1], &c->kept[0], (size_t)i * sizeof(c->kept[0]));
		c->kept[0] = b;
		return b;
	}
	return NULL;
}

static void kept_add(struct content *c, struct blob *b)
{
	uint64_t bytes = b->len;

	blob_unref(c->kept[KEEP_MAX - 1]);
	memmove(&c->kept[1], &c->kept[0], (KEEP_MAX - 1) * sizeof(c->kept[0]));
	c->kept[0] = b;
	b->refs++;
	for (int i = 1; i < KEEP_MAX; i++) {
		if (!c->kept[i])
			continue;
		bytes += c->kept[i]->len;
		if (bytes > KEEP_BYTES) {
			blob_unref(c->kept[i]);
			c->kept[i] = NULL;
		}
	}
}

static struct blob *coming_find(struct content *c, const uint8_t oid[32])
{
	struct blob *b = c->coming;

	while (b && memcmp(b->oid, oid, 32) != 0)
		b = b->next;
	return b;
}

static void coming_remove(struct content *c, struct blob *b)
{
	struct blob **p = &c->coming;

	while (*p != b)
		p = &(*p)->next;
	*p = b->next;
}

/* --- git ---------------------------------------------------------------------------------------
 */

/* The reasons why a blob of the base cannot be had are one to the reader: EIO. */
static int read_error(int r)
{
	return r == -ENOENT || r == -EBADMSG || r == -EINVAL ? -EIO : r;
}

static int inflate(struct content *c, struct blob *b)
{
	enum odb_type type;
	int r = odb_get(c->odb, b->oid, &type, &b->bytes, &b->len, &b->obj);

	if (r < 0)
		return read_error(r);
	return type == ODB_BLOB ? 0 : -EIO;
}

/* Inflates b, tells those who wait, and puts it into the cache or keeps it. The waiters go on as
 * soon as the bytes are there. */
static void bring(struct content *c, struct blob *b)
{
	int error = inflate(c, b);
	bool keep = false;

	(void)pthread_mutex_lock(&c->lock);
	b->error = error;
	b->done = true;
	(void)pthread_cond_broadcast(&c->arrived);
	(void)pthread_mutex_unlock(&c->lock);
	if (error == 0)
		keep = !c->store || content_store_add(c->store, b->oid, b->bytes, b->len) < 0;
	(void)pthread_mutex_lock(&c->lock);
	coming_remove(c, b);
	if (keep)
		kept_add(c, b);
	(void)pthread_mutex_unlock(&c->lock);
}

static void blob_put(struct content *c, struct blob *b)
{
	(void)pthread_mutex_lock(&c->lock);
	blob_unref(b);
	(void)pthread_mutex_unlock(&c->lock);
}

/* A reference to the blob in memory: kept, coming, or brought now. */
static int blob_get(struct content *c, const uint8_t oid[32], struct blob **ret)
{
	struct blob *b;
	bool mine = false;
	int r;

	(void)pthread_mutex_lock(&c->lock);
	b = kept_find(c, oid);
	if (!b)
		b = coming_find(c, oid);
	if (!b) {
		b = sys_calloc(1, sizeof(*b));
		if (!b) {
			(void)pthread_mutex_unlock(&c->lock);
			return -ENOMEM;
		}
		memcpy(b->oid, oid, 32);
		b->next = c->coming;
		c->coming = b;
		mine = true;
	}
	b->refs++;
	while (!mine && !b->done)
		(void)pthread_cond_wait(&c->arrived, &c->lock);
	(void)pthread_mutex_unlock(&c->lock);
	if (mine)
		bring(c, b);
	r = b->error;
	if (r == 0)
		*ret = b;
	else
		blob_put(c, b);
	return r;
}

static int read_from_git(struct content *c, const uint8_t oid[32], uint64_t size, uint64_t off,
			 void *buf, size_t n)
{
	struct blob *b = NULL;
	int r = blob_get(c, oid, &b);

	if (r < 0)
		return r;
	if (b->len == size)
		memcpy(buf, (const char *)b->bytes + off, n);
	else
		r = -EIO;
	blob_put(c, b);
	return r;
}

/* --- reading -----------------------------------------------------------------------------------
 */

static bool in_memory(struct content *c, const uint8_t oid[32])
{
	bool found;

	(void)pthread_mutex_lock(&c->lock);
	found = kept_find(c, oid) || coming_find(c, oid);
	(void)pthread_mutex_unlock(&c->lock);
	return found;
}

ssize_t content_read(struct content *c, const uint8_t oid[32], uint64_t size, uint64_t off,
		     void *buf, size_t n)
{
	int r;

	if (off >= size || n == 0)
		return 0;
	if (n > size - off)
		n = (size_t)(size - off);
	/* Whatever is wrong with the cache, git has the blob: any error is a miss. */
	if (c->store && !in_memory(c, oid) &&
	    content_store_get(c->store, oid, size, off, buf, n, false) == 0)
		return (ssize_t)n;
	r = read_from_git(c, oid, size, off, buf, n);
	return r < 0 ? r : (ssize_t)n;
}

ssize_t content_read_cached(struct content *c, const uint8_t oid[32], uint64_t size, uint64_t off,
			    void *buf, size_t n)
{
	if (off >= size || n == 0)
		return 0;
	if (n > size - off)
		n = (size_t)(size - off);
	if (!c->store || in_memory(c, oid))
		return -EAGAIN;
	return content_store_get(c->store, oid, size, off, buf, n, true) == 0 ? (ssize_t)n
									      : -EAGAIN;
}
