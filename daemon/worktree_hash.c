/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File content → blob. Large plain content is streamed; the rest is held whole, bounded, and hashed and
 * deflated by as many threads as there are processors.
 */
#include "worktree_hash.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "objects.h"
#include "odb.h"
#include "snapshot.h"
#include "worker_run.h"

enum { CHUNK = 1 << 20, THREADS_MAX = 4, PER_THREAD = 256 << 10, PROGRESS_STEP = 500 };
static const uint64_t convert_max = UINT64_C(512) << 20;

static int unreadable(const char *path, ssize_t r, struct err *reterr)
{
	int code = r < 0 ? (int)r : -EIO;

	if (code == -EIO)
		return err_set_id(
			reterr, code, "Damaged",
			"'%s' of the view cannot be read: the repository's object is missing or "
			"damaged, the view's log names it",
			path);
	return err_set(reterr, code, "reading '%s' of the view: %s", path, strerror(-code));
}

static int read_whole(struct worktree_hash *h, const struct worktree_item *it, struct buf *b,
		      struct err *reterr)
{
	int r = buf_reserve(b, it->st.size + 1);

	while (r == 0 && b->len < it->st.size) {
		ssize_t k = snapshot_read(h->snapshot, it->st.node, b->len, b->data + b->len,
					  it->st.size - b->len);

		if (k <= 0)
			return unreadable(it->path, k, reterr);
		b->len += (size_t)k;
	}
	return r;
}

static int store(struct worktree_hash *h, struct worktree_item *it, const struct buf *b,
		 struct err *reterr)
{
	int r = objects_put(h->git, GIT_OBJECT_BLOB, b->data ? b->data : "", b->len, &it->to.oid);

	return r < 0 ? err_set(reterr, r, "storing '%s': %s", it->path, strerror(-r)) : 0;
}

static int store_stream(struct worktree_hash *h, struct worktree_item *it, struct err *reterr)
{
	_cleanup_free_ char *chunk = malloc(CHUNK);
	git_odb_stream *stream = NULL;
	uint64_t off = 0;
	int r = chunk ? objects_stream(h->git, it->st.size, &stream) : -ENOMEM;

	if (r < 0)
		return err_set(reterr, r, "storing '%s': %s", it->path, strerror(-r));
	while (r == 0 && off < it->st.size) {
		ssize_t k = snapshot_read(h->snapshot, it->st.node, off, chunk, CHUNK);

		if (k <= 0) {
			git_odb_stream_free(stream);
			return unreadable(it->path, k, reterr);
		}
		r = git_odb_stream_write(stream, chunk, (size_t)k);
		off += (uint64_t)k;
	}
	if (r == 0)
		r = git_odb_stream_finalize_write(&it->to.oid, stream);
	git_odb_stream_free(stream);
	return r < 0 ? git_errno(r, reterr, "storing '%s'", it->path) : 0;
}

static int store_raw(struct worktree_hash *h, struct worktree_item *it, struct err *reterr)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r;

	if (it->st.size > OBJECTS_WHOLE_MAX)
		return store_stream(h, it, reterr);
	r = read_whole(h, it, &b, reterr);
	return r < 0 ? r : store(h, it, &b, reterr);
}

static bool stored_has_crlf(struct worktree_hash *h, const struct worktree_item *it)
{
	git_blob *blob = NULL;
	bool found;

	if (!it->was.mode || git_blob_lookup(&blob, h->git, &it->was.oid) < 0)
		return false;
	found = memmem(git_blob_rawcontent(blob), (size_t)git_blob_rawsize(blob), "\r\n", 2) !=
		NULL;
	git_blob_free(blob);
	return found;
}

static int store_converted(struct worktree_hash *h, struct worktree_item *it, struct err *reterr)
{
	_cleanup_buf_ struct buf in = BUF_INIT, out = BUF_INIT;
	int r;

	if (it->st.size > convert_max)
		return err_set_id(
			reterr, -EFBIG, "TooLarge",
			"'%s' is too large for the conversion that .gitattributes asks for",
			it->path);
	r = read_whole(h, it, &in, reterr);
	if (r == 0)
		r = cleaner_convert(h->cleaner, it->path, &in, stored_has_crlf(h, it), &out,
				    reterr);
	return r < 0 ? r : store(h, it, &out, reterr);
}

static int store_lfs(struct worktree_hash *h, struct worktree_item *it, struct err *reterr)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = 0;

	if (it->st.size < 1024)
		r = read_whole(h, it, &b, reterr);
	if (r < 0)
		return r;
	if (b.len == it->st.size && (b.len == 0 || cleaner_is_lfs_pointer(b.data, b.len)))
		return store(h, it, &b, reterr);
	return err_set_id(
		reterr, -EOPNOTSUPP, "Unsupported",
		"'%s' is kept by Git LFS, which is not run here: commit it in the view with git "
		"lfs, or restore its pointer",
		it->path);
}

/* 1: the content is stored as it is, which is left to be done. */
static int hash_converted(struct worktree_hash *h, struct worktree_item *it, struct err *reterr)
{
	enum clean_kind kind = CLEAN_RAW;
	const char *filter = "";
	int r;

	if (it->to.mode == GIT_FILEMODE_LINK)
		return 1;
	r = cleaner_kind(h->cleaner, it->path, &kind, &filter, reterr);
	if (r < 0)
		return r;
	switch (kind) {
	case CLEAN_RAW:
		break;
	case CLEAN_CONVERT:
		return store_converted(h, it, reterr);
	case CLEAN_LFS:
		if (h->strict)
			return store_lfs(h, it, reterr);
		break;
	case CLEAN_FILTER:
		if (h->strict)
			return err_set_id(
				reterr, -EOPNOTSUPP, "Unsupported",
				"'%s' would have to go through '%s' (.gitattributes), which is not "
				"run here: commit it in the view",
				it->path, filter);
		break;
	}
	return it->st.size > OBJECTS_WHOLE_MAX ? store_stream(h, it, reterr) : 1;
}

/* --- several at once ---------------------------------------------------------------------------
 * What is left after the questions to libgit2, which are one thread's: reading, hashing, deflating.
 */

struct crowd {
	struct worktree_hash *h;
	struct worktree_item **items;
	size_t n;
	_Atomic size_t next, done;
	pthread_mutex_t lock; /* guards the rest */
	int failed;
	struct err err;
};

static void crowd_failed(struct crowd *c, int r, struct err *e)
{
	pthread_mutex_lock(&c->lock);
	if (!c->failed) {
		c->failed = r;
		c->err = *e;
		*e = ERR_INIT;
	}
	pthread_mutex_unlock(&c->lock);
	err_release(e);
}

static void crowd_work(struct crowd *c, bool tell)
{
	struct err e = ERR_INIT;
	size_t i, told = 0;
	int r = 0;

	while (r == 0 && (i = atomic_fetch_add(&c->next, 1)) < c->n) {
		r = store_raw(c->h, c->items[i], &e);
		if (r < 0)
			crowd_failed(c, r, &e);
		if (atomic_fetch_add(&c->done, 1) - told >= PROGRESS_STEP && tell) {
			told = atomic_load(&c->done);
			worker_progress("storing changed files", told, c->n);
		}
	}
	if (r < 0)
		atomic_store(&c->next, c->n);
}

static void *crowd_thread(void *user)
{
	crowd_work(user, false);
	return NULL;
}

/* One thread per PER_THREAD bytes, and no more than there are processors. */
static unsigned helpers_for(const struct crowd *c)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	uint64_t bytes = 0,
		 most = cpus < THREADS_MAX ? (uint64_t)(cpus > 0 ? cpus : 1) : THREADS_MAX;

	for (size_t i = 0; i < c->n; i++)
		bytes += c->items[i]->st.size;
	bytes = bytes / PER_THREAD + 1;
	return (unsigned)(bytes < most ? bytes : most) - 1;
}

static int store_all(struct crowd *c, struct err *reterr)
{
	pthread_t threads[THREADS_MAX];
	unsigned wanted = helpers_for(c), n = 0;

	(void)pthread_mutex_init(&c->lock, NULL);
	while (n < wanted && pthread_create(&threads[n], NULL, crowd_thread, c) == 0)
		n++;
	crowd_work(c, true);
	while (n)
		(void)pthread_join(threads[--n], NULL);
	(void)pthread_mutex_destroy(&c->lock);
	if (c->failed && reterr)
		*reterr = c->err;
	else
		err_release(&c->err);
	return c->failed;
}

int worktree_hash(struct worktree_hash *h, struct worktree_item *items, size_t n,
		  struct err *reterr)
{
	_cleanup_free_ struct worktree_item **raw =
		calloc(n ? n : 1, sizeof(struct worktree_item *));
	struct crowd c = {.h = h, .items = raw, .err = ERR_INIT};

	if (!raw)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct worktree_item *it = &items[i];
		int r = it->take && it->to.mode && !it->same_as_base ? hash_converted(h, it, reterr)
								     : 0;

		if (r < 0)
			return r;
		if (r > 0)
			raw[c.n++] = it;
	}
	return store_all(&c, reterr);
}
