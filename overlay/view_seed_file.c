/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes of seeds: taken over from the main worktree at the first read or before the first change, or
 * read through where a file is too large for that. (5) and (6) at the head of seed.c say what holds.
 *
 * The main worktree and the data segments are read and written without view->lock; seed_lock makes it
 * one file at a time, so that two readers of a file do not both copy it.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "journal.h"
#include "log.h"
#include "seed.h"
#include "sys.h"
#include "view_seed.h"

enum { CHUNK = 1 << 20, CHUNK_SMALL = 64 << 10, TRIES = 6, RECORD_ROOM = 2048 };

#define SEED_OWN_MAX (UINT64_C(64) << 20)

/* More could not be copied within the time that the kernel gives a request. */
#define SEED_COPY_MAX (UINT64_C(1) << 30)

/* Changes within one tick of the file system's clock leave the same times. */
#define FRESH_NS INT64_C(20000000)

/* What the view believes of a file in the main worktree. */
struct origin {
	struct buf path;
	uint64_t size, ino;
	int64_t mtime, ctime;
	bool served;
};

/* 1, or 0 where the bytes are the view's own. */
static int get_origin(struct view *v, uint64_t id, struct origin *ret)
{
	const struct node *n;
	int r = 0;

	pthread_mutex_lock(&v->lock);
	n = tree_node(&v->rec.tree, id);
	if (seed_is_file(n)) {
		buf_clear(&ret->path);
		r = seed_path(n->seed, &ret->path);
		ret->size = n->size;
		ret->ino = n->seed->ino;
		ret->mtime = n->seed->mtime;
		ret->ctime = n->seed->ctime;
		ret->served = n->seed->served;
		r = r < 0 ? r : 1;
	}
	pthread_mutex_unlock(&v->lock);
	return r;
}

static bool same(const struct seed_stat *a, const struct seed_stat *b)
{
	return a->size == b->size && a->ino == b->ino && a->mtime == b->mtime &&
	       a->ctime == b->ctime;
}

static struct seed_stat believed(const struct origin *o)
{
	return (struct seed_stat){
		.size = o->size, .ino = o->ino, .mtime = o->mtime, .ctime = o->ctime};
}

static int open_file(struct view *v, const struct origin *o, int *ret_fd)
{
	struct seed_source src;
	int r = seed_source_open(v->conf.seed_from, v->conf.uid, v->conf.gid, &src);

	if (r < 0)
		return r;
	r = seed_source_file(&src, o->path.data, ret_fd);
	seed_source_close(&src);
	return r;
}

static void pause_ns(int64_t ns)
{
	struct timespec t = {.tv_nsec = ns};

	(void)nanosleep(&t, NULL);
}

/* The file as it is, once it has stood still long enough for its times to tell the next change. */
static int settled(int fd, struct seed_stat *ret)
{
	int r = seed_source_stat(fd, ret);
	int64_t age;

	if (r < 0)
		return r;
	age = (int64_t)sys_now_ns() - (ret->ctime > ret->mtime ? ret->ctime : ret->mtime);
	if (age < 0 || age >= FRESH_NS)
		return 0;
	pause_ns(FRESH_NS);
	return seed_source_stat(fd, ret);
}

/* Before the read is answered: who reads to the end of the file then asks how long it is now. */
static void correct_attrs(struct view *v, uint64_t id)
{
	if (v->notify && v->notify->attr)
		v->notify->attr(id, v->notify->user);
}

/* --- taking over --- */

/* All bytes into the data segments. -EAGAIN: it changed meanwhile. */
static int copy(struct view *v, int fd, char *chunk, size_t size, struct seed_stat *ret,
		struct buf *pieces)
{
	struct seed_stat after;
	int r = settled(fd, ret);

	for (uint64_t off = 0; r == 0 && off < ret->size;) {
		uint64_t left = ret->size - off;
		struct seed_piece p = {.off = off, .len = left < size ? left : size};

		r = buf_reserve(pieces, sizeof(p));
		if (r == 0)
			r = io_pread_full(fd, chunk, p.len, off);
		if (r == -EIO) /* shorter than it was, or a disk that fails: the next try tells */
			return -EAGAIN;
		if (r == 0 && p.len == left) { /* before the last bytes are kept */
			r = seed_source_stat(fd, &after);
			if (r == 0 && !same(ret, &after))
				return -EAGAIN;
		}
		if (r == 0)
			r = data_append(v->rec.data, DATA_FILES, chunk, p.len, &p.place);
		if (r == 0) /* there is room: nothing is appended that is not in the list */
			(void)seed_encode_piece(pieces, &p);
		off += p.len;
	}
	return r;
}

/* What was appended is the tree's by now, or nobody's. */
static void let_go(struct view *v, struct buf *pieces)
{
	struct bytes left = {pieces->data, pieces->len};
	struct seed_piece p;

	while (seed_decode_piece(&left, &p) > 0)
		data_live(v->rec.data, p.place, -(int64_t)p.len);
	buf_clear(pieces);
}

static int commit_bytes(struct view *v, const struct view_ctx *ctx, uint64_t id,
			const struct seed_stat *st, const struct buf *pieces, bool *ret_changed)
{
	const struct node *n;
	struct record rec;
	int r = 0;

	pthread_mutex_lock(&v->lock);
	n = tree_node(&v->rec.tree, id);
	if (seed_is_file(n)) {
		*ret_changed = n->size != st->size || n->seed->mtime != st->mtime;
		view_record(v, ctx, &rec, OP_SEED);
		RECORD_SET(&rec, mask, F_MASK, (uint32_t)SEED_BYTES);
		RECORD_SET(&rec, node, F_NODE, id);
		RECORD_SET(&rec, size, F_SIZE, st->size);
		RECORD_SET(&rec, mtime, F_MTIME, st->mtime);
		RECORD_SET(&rec, value, F_VALUE, ((struct bytes){pieces->data, pieces->len}));
		r = journal_reserve(v->rec.journal, RECORD_ROOM + pieces->len);
		if (r == 0)
			r = view_commit(v, &rec);
	}
	pthread_mutex_unlock(&v->lock);
	return r;
}

static int take_over(struct view *v, const struct view_ctx *ctx, uint64_t id,
		     const struct origin *o)
{
	_cleanup_buf_ struct buf pieces = BUF_INIT;
	size_t size = o->size < CHUNK_SMALL ? CHUNK_SMALL : CHUNK;
	_cleanup_free_ char *chunk = sys.malloc(size);
	struct seed_stat st;
	bool changed = false;
	int r = -EAGAIN;

	if (!chunk)
		return -ENOMEM;
	if (o->size > SEED_COPY_MAX)
		return -EFBIG;
	for (int i = 0; r == -EAGAIN && i < TRIES; i++) {
		_cleanup_close_ int fd = -1;

		let_go(v, &pieces);
		if (i)
			pause_ns(INT64_C(1000000) << (2 * i));
		r = open_file(v, o, &fd);
		if (r == 0)
			r = copy(v, fd, chunk, size, &st, &pieces);
	}
	if (r == 0)
		r = commit_bytes(v, ctx, id, &st, &pieces, &changed);
	let_go(v, &pieces);
	if (changed)
		correct_attrs(v, id);
	return r;
}

/* What a reader or writer hears, and one line for the log. */
static int explain(struct view *v, uint64_t id, const struct origin *o, int r)
{
	bool told = false;

	if (r >= 0 || r == -ENOMEM || r == -ENOSPC || r == -EDQUOT || r == -EROFS)
		return r;
	pthread_mutex_lock(&v->lock);
	for (size_t i = 0; i < ARRAY_SIZE(v->damage_told); i++)
		told |= v->damage_told[i] == id;
	v->damage_told[v->ndamage++ % ARRAY_SIZE(v->damage_told)] = id;
	pthread_mutex_unlock(&v->lock);
	if (!told)
		(void)log_warning(
			0, "read '%s': %s the main worktree '%s'", o->path.data,
			r == -ENOENT   ? "it is gone from"
			: r == -EAGAIN ? "it is being changed all the time in"
			: r == -EFBIG
				? "it is larger than 1 GiB, so a write must go to a copy of it; it is in"
			: r == -EACCES ? "this view's user may not read it in"
				       : "there was an error in",
			v->conf.seed_from);
	return r == -EACCES || r == -EFBIG ? r : -EIO;
}

int view_seed_own(struct view *v, const struct view_ctx *ctx, uint64_t id)
{
	struct origin o = {.path = BUF_INIT};
	int r;

	if (!v->conf.nseed_paths)
		return 0;
	r = get_origin(v, id, &o);
	if (r > 0) {
		view_seed_slow(v);
		pthread_mutex_lock(&v->seed_lock);
		r = get_origin(v, id, &o); /* somebody else may have been first */
		if (r > 0)
			r = explain(v, id, &o, take_over(v, ctx, id, &o));
		pthread_mutex_unlock(&v->seed_lock);
	}
	buf_release(&o.path);
	return r;
}

int view_seed_own_at(struct view *v, const struct view_ctx *ctx, uint64_t dir, const char *name)
{
	uint64_t id;
	int r;

	if (!v->conf.nseed_paths)
		return 0;
	pthread_mutex_lock(&v->lock);
	r = tree_lookup(&v->rec.tree, dir, name, strlen(name), &id);
	pthread_mutex_unlock(&v->lock);
	return r < 0 ? 0 : view_seed_own(v, ctx, id);
}

/* --- reading through --- */

/* The file is another one than the view believes: from here on it believes this. */
static int believe(struct view *v, const struct view_ctx *ctx, uint64_t id,
		   const struct seed_stat *st)
{
	struct record rec;
	int r = -EAGAIN;

	pthread_mutex_lock(&v->lock);
	if (seed_is_file(tree_node(&v->rec.tree, id))) {
		view_record(v, ctx, &rec, OP_SEED);
		RECORD_SET(&rec, mask, F_MASK, (uint32_t)SEED_ATTRS);
		RECORD_SET(&rec, node, F_NODE, id);
		RECORD_SET(&rec, size, F_SIZE, st->size);
		RECORD_SET(&rec, mtime, F_MTIME, st->mtime);
		RECORD_SET(&rec, offset, F_OFFSET, (uint64_t)st->ctime);
		RECORD_SET(&rec, count, F_COUNT, st->ino);
		r = journal_reserve(v->rec.journal, RECORD_ROOM);
		if (r == 0)
			r = view_commit(v, &rec);
	}
	pthread_mutex_unlock(&v->lock);
	return r;
}

static void mark_served(struct view *v, uint64_t id)
{
	struct node *n;

	pthread_mutex_lock(&v->lock);
	n = tree_node(&v->rec.tree, id);
	if (seed_is_file(n))
		n->seed->served = true;
	pthread_mutex_unlock(&v->lock);
}

/* Tells the kernel what is new, and whoever may have old bytes that they are old. */
static int changed(struct view *v, const struct view_ctx *ctx, uint64_t id, const struct origin *o,
		   const struct seed_stat *st)
{
	int r = st->size ? believe(v, ctx, id, st) : view_seed_own(v, ctx, id);

	if (r < 0)
		return r;
	correct_attrs(v, id);
	if (!o->served)
		return 1; /* nobody has seen it otherwise: once more */
	if (v->notify && v->notify->inode)
		v->notify->inode(id, 0, 0, v->notify->user);
	(void)log_warning(0,
			  "read '%s': it changed in the main worktree '%s' while it was being read",
			  o->path.data, v->conf.seed_from);
	return -EIO;
}

/* Bytes of a file as it is believed to be; 1: that was corrected. */
static ssize_t read_through(struct view *v, const struct view_ctx *ctx, uint64_t id,
			    const struct origin *o, uint64_t off, void *buf, size_t *n)
{
	struct seed_stat want = believed(o), st;
	_cleanup_close_ int fd = -1;
	int r = open_file(v, o, &fd);

	if (r == 0)
		r = settled(fd, &st);
	if (r < 0)
		return explain(v, id, o, r);
	if (!same(&want, &st))
		return changed(v, ctx, id, o, &st);
	*n = off >= st.size ? 0 : *n < st.size - off ? *n : st.size - off;
	r = *n ? io_pread_full(fd, buf, *n, off) : 0;
	if (seed_source_stat(fd, &st) == 0 && !same(&want, &st))
		return changed(v, ctx, id, o, &st);
	if (r == 0)
		mark_served(v, id);
	return r < 0 ? explain(v, id, o, r) : 0;
}

bool view_seed_waits(struct view *v, uint64_t id)
{
	bool waits;

	pthread_mutex_lock(&v->lock);
	waits = seed_is_file(tree_node(&v->rec.tree, id));
	pthread_mutex_unlock(&v->lock);
	return waits;
}

ssize_t view_seed_read(struct view *v, const struct view_ctx *ctx, uint64_t id, uint64_t off,
		       void *buf, size_t n)
{
	struct origin o = {.path = BUF_INIT};
	ssize_t r = 0;

	for (int i = 0; i < TRIES; i++) {
		size_t k = n;

		r = get_origin(v, id, &o);
		if (r > 0 && o.size <= SEED_OWN_MAX)
			r = view_seed_own(v, ctx, id);
		if (r == 0)
			r = -EAGAIN;
		if (r > 0 || r == -ENOSPC || r == -EDQUOT || r == -EROFS) {
			r = read_through(v, ctx, id, &o, off, buf, &k);
			if (r > 0) {
				r = -EIO; /* should it never stand still */
				continue;
			}
			if (r == 0)
				r = (ssize_t)k;
		}
		break;
	}
	buf_release(&o.path);
	return r;
}

/* --- before a snapshot --- */

/* Those that must be the agent's own now: below a folder that it moved. Lock held. */
static int find_moved(struct view *v, struct buf *ret)
{
	const struct tree *t = &v->rec.tree;
	const struct node *n;
	size_t pos = 0;
	int r = 0;

	buf_clear(ret);
	while (r == 0 && (n = table_next(&t->nodes, &pos)))
		if (n->seed && n->nlink && !seed_is_intact(t, n))
			r = buf_add(ret, &n->id, sizeof(n->id));
	return r;
}

int view_seed_settle(struct view *v)
{
	const struct view_ctx self = {.pid = (uint32_t)getpid(),
				      .uid = v->conf.uid,
				      .gid = v->conf.gid,
				      .internal = true};
	_cleanup_buf_ struct buf ids = BUF_INIT;
	size_t done = 1;
	int r = 0;

	while (v->conf.nseed_paths && done && r == 0) {
		done = 0;
		pthread_mutex_lock(&v->lock);
		r = find_moved(v, &ids);
		pthread_mutex_unlock(&v->lock);
		for (size_t at = 0; r == 0 && at < ids.len; at += sizeof(uint64_t)) {
			uint64_t id;
			int q;

			memcpy(&id, ids.data + at, sizeof(id));
			q = view_seed_ready(v, &self, id);
			if (q == 0)
				q = view_seed_own(v, &self, id);
			done += q == 0;
			if (q == -ENOMEM || q == -ENOSPC || q == -EDQUOT || q == -EROFS)
				r = q;
		}
	}
	return r;
}
