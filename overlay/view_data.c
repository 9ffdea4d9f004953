/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File content.
 *
 * Invariants: (1) bytes are in the data segment before the record that names them is appended; (2) a
 * read takes the extents under the lock and the bytes outside it: base content and data segments are
 * never written over, so they are those of one moment; (3) a read never copies anything up, but for a
 * file of the main worktree, whose bytes it takes over (view_seed_file.c).
 *
 * A write of 4 KiB takes 12.5 µs where a round trip takes 7.1 (fs/loop_dev.c): 2.5 µs for the bytes and 1 µs
 * for the record, each one pwrite() into preallocated space, 0.1 µs for the digest, the rest is the
 * kernel's: its page cache and a second copy. Into a shared mapping it were 0.2 µs a record and 1 µs a
 * KiB (64 KiB are dearer than with pwrite(): a page fault each 4 KiB); not done, since a full or failing disk
 * then is a SIGBUS and no -ENOSPC, and a kill in the midst of an append leaves half a record.
 *
 * Reading what is in FUSE's page cache makes no request, and yet large reads take 2 to 3 times as long as
 * on ext4: a 6.18 kernel gives a FUSE file single pages scattered in memory (of 4096 pages of a file none
 * was part of a large folio, of ext4's all were), so the processor cannot read ahead. Only the kernel can
 * change that. Reading 20,000 small files for the first time, their content cached, takes 0.3 times as long
 * as on ext4, all caches cold: the content lies in few files, in the order of its first reading.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "hash.h"
#include "io.h"
#include "journal.h"
#include "log.h"
#include "sys.h"
#include "view_internal.h"
#include "view_seed.h"

enum { PIECES = 64, RECORD_ROOM = 1024, READ_TRIES = 3 };

/* --- reading --- */

/* Damaged or missing content is EIO for the reader and one line, with the object's id, in the log. */
static void tell_damage(struct view *v, uint64_t node, const struct base_content *b, int r)
{
	char hex[2 * IMAGE_OID_MAX + 1];
	size_t n = image_oid_size(v->rec.image);
	_cleanup_buf_ struct buf path = BUF_INIT;
	bool told = false;

	pthread_mutex_lock(&v->lock);
	for (size_t i = 0; i < ARRAY_SIZE(v->damage_told); i++)
		told |= v->damage_told[i] == node;
	v->damage_told[v->ndamage++ % ARRAY_SIZE(v->damage_told)] = node;
	if (tree_path(&v->rec.tree, node, &path) < 0)
		(void)buf_adds(&path, "?");
	pthread_mutex_unlock(&v->lock);
	if (told)
		return;
	for (size_t i = 0; i < n; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", b->oid[i]);
	(void)log_error(r, "read '%s': object %s is missing or damaged in the repository",
			path.data, hex);
}

static ssize_t read_base(struct view *v, uint64_t node, const struct base_content *b, uint64_t off,
			 void *buf, size_t n)
{
	ssize_t r = content_read(v->content, b->oid, b->size, off, buf, n);

	if (r == -ENOMEM || r >= 0)
		return r;
	tell_damage(v, node, b, (int)r);
	return -EIO;
}

/* A part of a file: the content of a base is looked up under the lock, as a sync may take the base away
 * while the bytes are read. */
struct piece {
	struct extent e;
	struct base_content base;
};

static int read_piece(struct view *v, const struct piece *pc, char *p)
{
	const struct extent *e = &pc->e;
	ssize_t k;

	if (e->node == EXTENT_DATA)
		return data_pread(v->rec.data, e->place, p, e->len);
	if (e->node == EXTENT_INDEX)
		return v->index_fd < 0 ? -EIO : io_pread_full(v->index_fd, p, e->len, e->place);
	k = read_base(v, e->node, &pc->base, e->place, p, e->len);
	if (k < 0)
		return (int)k;
	return (size_t)k == e->len ? 0 : -EIO;
}

/* The same without waiting: -EAGAIN where it would have to. */
static int read_piece_cached(struct view *v, const struct piece *pc, char *p)
{
	const struct extent *e = &pc->e;
	ssize_t k;

	if (e->node == EXTENT_DATA)
		return data_pread_cached(v->rec.data, e->place, p, e->len);
	if (e->node == EXTENT_INDEX)
		return v->index_fd < 0 ? -EIO : io_pread_cached(v->index_fd, p, e->len, e->place);
	k = content_read_cached(v->content, pc->base.oid, pc->base.size, e->place, p, e->len);
	return k == (ssize_t)e->len ? 0 : -EAGAIN;
}

static int set_piece(struct view *v, struct piece *pc, struct extent e)
{
	pc->e = e;
	if (e.node == EXTENT_DATA || e.node == EXTENT_INDEX)
		return 0;
	return tree_content(&v->rec.tree, e.node, &pc->base) < 0 ? -EIO : 0;
}

/* The parts of the node's extents that lie in [off, off + n), at most PIECES; *ret_n becomes shorter
 * where there are more. */
static int gather(struct view *v, uint64_t id, uint64_t off, size_t *ret_n, struct piece *pieces)
{
	const struct node *n = tree_node(&v->rec.tree, id);
	uint64_t end;
	int k = 0, r = 0;

	if (!n) {
		const struct image_node *b = tree_base(&v->rec.tree, id);

		if (!b)
			return -ENOENT;
		if (!S_ISREG(b->mode))
			return S_ISDIR(b->mode) ? -EISDIR : -EINVAL;
		if (off >= b->size)
			*ret_n = 0;
		else if (*ret_n > b->size - off)
			*ret_n = b->size - off;
		r = set_piece(v, &pieces[0], (struct extent){off, *ret_n, id, off});
		return r < 0 ? r : *ret_n ? 1 : 0;
	}
	if (!S_ISREG(n->mode))
		return S_ISDIR(n->mode) ? -EISDIR : -EINVAL;
	if (off >= n->size)
		*ret_n = 0;
	else if (*ret_n > n->size - off)
		*ret_n = n->size - off;
	end = off + *ret_n;
	for (uint32_t i = extent_find(&n->extents, off);
	     *ret_n && i < n->extents.n && n->extents.v[i].off < end; i++) {
		struct extent e = n->extents.v[i];
		uint64_t skip = e.off < off ? off - e.off : 0;

		if (k == PIECES) {
			*ret_n = e.off - off;
			break;
		}
		e.off += skip;
		e.place += skip;
		e.len -= skip;
		if (e.off + e.len > end)
			e.len = end - e.off;
		r = set_piece(v, &pieces[k++], e);
		if (r < 0)
			return r;
	}
	return k;
}

static ssize_t read_once(struct view *v, const struct view_ctx *ctx, uint64_t id, uint64_t off,
			 char *buf, size_t n)
{
	struct piece pieces[PIECES];
	uint64_t at = off;
	int k, r;

	pthread_mutex_lock(&v->lock);
	k = gather(v, id, off, &n, pieces);
	view_mark_stale(
		v, id); /* reading touches atime: the kernel drops its copy of the attributes */
	pthread_mutex_unlock(&v->lock);
	if (k < 0)
		return k;
	for (int i = 0; i < k; i++) {
		memset(buf + (at - off), 0, pieces[i].e.off - at);
		r = (ctx->nowait ? read_piece_cached : read_piece)(v, &pieces[i],
								   buf + (pieces[i].e.off - off));
		if (r < 0)
			return r;
		at = pieces[i].e.off + pieces[i].e.len;
	}
	memset(buf + (at - off), 0, off + n - at);
	return (ssize_t)n;
}

ssize_t view_read(struct view *v, const struct view_ctx *ctx, uint64_t id, uint64_t off, void *buf,
		  size_t n)
{
	unsigned int tries = 0;
	size_t done = 0;

	if (origin_is(id))
		return view_origin_read(v, id, off, buf, n);
	if (control_is(v, id)) {
		ssize_t r;

		pthread_mutex_lock(&v->lock);
		r = control_read(v, id, off, buf, n);
		pthread_mutex_unlock(&v->lock);
		return r;
	}
	while (done < n) {
		ssize_t r = -EAGAIN;

		if (v->conf.nseed_paths && ctx->nowait && view_seed_waits(v, id))
			return -EAGAIN;
		if (v->conf.nseed_paths && !ctx->nowait)
			r = view_seed_read(v, ctx, id, off + done, (char *)buf + done, n - done);
		if (r == -EAGAIN)
			r = read_once(v, ctx, id, off + done, (char *)buf + done, n - done);

		if (r == -EBADMSG && tries++ < READ_TRIES)
			continue; /* the compactor moved the bytes meanwhile */
		if (r < 0)
			return done && r != -EAGAIN ? (ssize_t)done : r;
		if (r == 0)
			break;
		done += (size_t)r;
	}
	return (ssize_t)done;
}

int view_readlink(struct view *v, uint64_t id, struct buf *ret)
{
	struct base_content from = {.size = 0};
	const struct node *n;
	struct node_attr a;
	ssize_t k;
	int r;

	if (origin_is(id))
		return view_origin_readlink(v, id, ret);
	pthread_mutex_lock(&v->lock);
	n = tree_node(&v->rec.tree, id);
	r = tree_attr(&v->rec.tree, id, &a);
	if (r < 0 || !S_ISLNK(a.mode))
		r = -EINVAL;
	else if (n && n->target)
		r = buf_add(ret, n->target, n->size);
	else if (tree_content(&v->rec.tree, id, &from) < 0)
		r = -EIO;
	pthread_mutex_unlock(&v->lock);
	if (r < 0 || ret->len)
		return r;
	if (from.size > 65535)
		return -EIO;
	r = buf_reserve(ret, from.size + 1);
	if (r < 0)
		return r;
	k = read_base(v, id, &from, 0, ret->data, from.size);
	if (k < 0)
		return (int)k;
	ret->len = (size_t)k;
	ret->data[k] = '\0';
	return 0;
}

/* --- writing --- */

/* May the node be written to now? Lock held. */
static int writable(struct view *v, const struct view_ctx *ctx, uint64_t id, enum record_op op)
{
	struct node_attr a;
	int r;

	if (control_is(v, id))
		return -EACCES;
	r = tree_attr(&v->rec.tree, id, &a);
	if (r < 0)
		return r;
	if (!S_ISREG(a.mode))
		return S_ISDIR(a.mode) ? -EISDIR : -EINVAL;
	return view_check_node(v, ctx, id, POLICY_WRITE, op);
}

/* The bytes are in the tree now, or will not come. Lock held. */
static void give_back(struct view *v, uint64_t *held)
{
	v->quota.held -= *held;
	*held = 0;
}

static int begin_write(struct view *v, const struct view_ctx *ctx, uint64_t id, enum record_op op,
		       const struct quota_range *range, uint64_t *ret_held,
		       enum data_class *ret_class)
{
	int r = view_seed_own(v, ctx, id);

	*ret_held = 0;
	if (r < 0)
		return r;
	pthread_mutex_lock(&v->lock);
	r = writable(v, ctx, id, op);
	*ret_class = r == 0 && view_is_git_node(v, id) ? DATA_GIT : DATA_FILES;
	if (r == 0)
		r = view_quota_bytes(v, ctx, id, op, range, ret_held);
	if (r == 0)
		r = journal_reserve(v->rec.journal, RECORD_ROOM);
	if (r < 0)
		give_back(v, ret_held);
	pthread_mutex_unlock(&v->lock);
	if ((r == -EACCES || r == -EROFS || r == -EDQUOT) && ctx->page && v->notify &&
	    v->notify->inode)
		v->notify->inode(id, 0, 0, v->notify->user); /* the refused page must not stay */
	return r;
}

/* Of a write the kernel says whether suid and sgid go; of the others it says nothing and leaves them to us:
 * they go unless it is root, who may keep them. */
static bool kills_priv(const struct view_ctx *ctx, const struct record *rec)
{
	return ctx->kill_priv || (rec->op != OP_WRITE && ctx->uid != 0 && !ctx->internal);
}

static int commit_data(struct view *v, const struct view_ctx *ctx, uint64_t id, struct record *rec)
{
	struct node_attr a;
	int r = tree_attr(&v->rec.tree, id, &a);

	if (r < 0)
		return r;
	RECORD_SET(rec, node, F_NODE, id);
	if (kills_priv(ctx, rec) && view_killed_mode(a.mode & 07777) != (a.mode & 07777))
		RECORD_SET(rec, mode, F_MODE, view_killed_mode(a.mode & 07777));
	rec->flags |= view_is_git_node(v, id) ? RECORD_F_GIT : 0;
	r = view_commit(v, rec);
	if (r < 0)
		return r;
	if (!(rec->flags & RECORD_F_GIT))
		v->last_write = (int64_t)rec->time;
	(void)table_put(&v->written, id, v);
	return 0;
}

ssize_t view_write(struct view *v, const struct view_ctx *ctx, uint64_t id, uint64_t off,
		   const void *buf, size_t n)
{
	XXH128_canonical_t digest;
	enum data_class class;
	struct record rec;
	uint64_t place, held;
	int r;

	if (off > INT64_MAX || n > INT64_MAX - off)
		return -EFBIG;
	r = begin_write(v, ctx, id, OP_WRITE, &(struct quota_range){off, n, 0, 0}, &held, &class);
	if (r < 0 || !n)
		return r;
	r = data_append(v->rec.data, class, buf, n, &place);
	if (r < 0) {
		pthread_mutex_lock(&v->lock);
		give_back(v, &held);
		pthread_mutex_unlock(&v->lock);
		return r;
	}
	XXH128_canonicalFromHash(&digest, XXH3_128bits(buf, n));
	pthread_mutex_lock(&v->lock);
	view_record(v, ctx, &rec, OP_WRITE);
	RECORD_SET(&rec, offset, F_OFFSET, off);
	RECORD_SET(&rec, length, F_LENGTH, n);
	RECORD_SET(&rec, place, F_PLACE, place);
	RECORD_SET(&rec, digest, F_DIGEST,
		   ((struct bytes){(const char *)digest.digest, sizeof(digest.digest)}));
	r = commit_data(v, ctx, id, &rec);
	data_live(v->rec.data, place, -(int64_t)n);
	give_back(v, &held);
	pthread_mutex_unlock(&v->lock);
	return r < 0 ? r : (ssize_t)n;
}

int view_fallocate(struct view *v, const struct view_ctx *ctx, uint64_t id, int mode, uint64_t off,
		   uint64_t len)
{
	enum data_class class;
	bool frees = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
	struct record rec;
	uint64_t held;
	int r;

	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		return -EOPNOTSUPP;
	if (off > INT64_MAX || len > INT64_MAX - off)
		return -EFBIG;
	r = begin_write(v, ctx, id, OP_FALLOCATE, &(struct quota_range){off, frees ? 0 : len, 0, 0},
			&held, &class);
	if (r < 0)
		return r;
	pthread_mutex_lock(&v->lock);
	give_back(v, &held); /* room is promised by none: only what could never fit is refused */
	view_record(v, ctx, &rec, OP_FALLOCATE);
	RECORD_SET(&rec, mask, F_MASK, (uint32_t)mode);
	RECORD_SET(&rec, offset, F_OFFSET, off);
	RECORD_SET(&rec, length, F_LENGTH, len);
	r = commit_data(v, ctx, id, &rec);
	pthread_mutex_unlock(&v->lock);
	return r;
}

ssize_t view_copy(struct view *v, const struct view_ctx *ctx, uint64_t src, uint64_t src_off,
		  uint64_t dst, uint64_t dst_off, size_t len)
{
	enum data_class class;
	struct node_attr a;
	struct record rec;
	uint64_t held;
	int r;

	if (control_is(v, src))
		return -EXDEV;
	r = view_seed_own(v, ctx, src);
	if (r < 0)
		return r;
	if (dst_off > INT64_MAX || len > INT64_MAX - dst_off || len > UINT64_MAX - src_off)
		return -EFBIG;
	r = begin_write(v, ctx, dst, OP_COPY, &(struct quota_range){dst_off, len, src, src_off},
			&held, &class);
	if (r < 0)
		return r;
	pthread_mutex_lock(&v->lock);
	r = tree_attr(&v->rec.tree, src, &a);
	if (r == 0 && !S_ISREG(a.mode))
		r = S_ISDIR(a.mode) ? -EISDIR : -EINVAL;
	if (r == 0) {
		len = src_off >= a.size ? 0 : len < a.size - src_off ? len : a.size - src_off;
		if (src == dst && src_off < dst_off + len && dst_off < src_off + len)
			r = -EINVAL;
	}
	if (r == 0 && len) {
		view_record(v, ctx, &rec, OP_COPY);
		RECORD_SET(&rec, node2, F_NODE2, src);
		RECORD_SET(&rec, offset2, F_OFFSET2, src_off);
		RECORD_SET(&rec, offset, F_OFFSET, dst_off);
		RECORD_SET(&rec, length, F_LENGTH, len);
		r = commit_data(v, ctx, dst, &rec);
	}
	give_back(v, &held);
	pthread_mutex_unlock(&v->lock);
	return r < 0 ? r : (ssize_t)len;
}

/* --- holes and space --- */

static int64_t seek(const struct node *n, uint64_t off, int whence)
{
	uint32_t i = extent_find(&n->extents, off);

	if (whence == SEEK_DATA) {
		if (i == n->extents.n)
			return -ENXIO;
		return (int64_t)(n->extents.v[i].off > off ? n->extents.v[i].off : off);
	}
	for (; i < n->extents.n && n->extents.v[i].off <= off; i++)
		off = n->extents.v[i].off + n->extents.v[i].len;
	return (int64_t)(off < n->size ? off : n->size);
}

int64_t view_lseek(struct view *v, uint64_t id, uint64_t off, int whence)
{
	const struct node *n;
	struct node_attr a;
	int64_t r;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	if (origin_is(id)) {
		r = view_origin_attr(v, id, &a);
		return r < 0	       ? r
		       : off >= a.size ? -ENXIO
				       : (int64_t)(whence == SEEK_DATA ? off : a.size);
	}
	pthread_mutex_lock(&v->lock);
	r = control_is(v, id) ? control_attr(v, id, &a) : tree_attr(&v->rec.tree, id, &a);
	n = tree_node(&v->rec.tree, id);
	if (r == 0) {
		if (off >= a.size)
			r = -ENXIO;
		else if (n && S_ISREG(n->mode))
			r = seek(n, off, whence);
		else
			r = (int64_t)(whence == SEEK_DATA ? off : a.size);
	}
	pthread_mutex_unlock(&v->lock);
	return r;
}
