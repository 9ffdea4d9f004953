/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints: STATE/views/<agent>/checkpoint/<seq, 20 digits>.ckp, little-endian:
 *
 *     0   8  magic "AFSCKPT\0"
 *     8   2  version (1)            10  2  header size (96)
 *    12   4  compatible feature bits (ignored where unknown)
 *    16   4  incompatible feature bits (refused where unknown)
 *    20   4  hash algorithm (1 = XXH3-64)
 *    24  16  view id
 *    40   8  seq: the last journal record whose effect is in here
 *    48   8  prev: seq of the checkpoint this one continues, 0 = full
 *    56   8  next node number of the upper layer
 *    64   8  bytes of records behind the header
 *    72   8  number of records
 *    80   8  chain: checksum of the last record (seeded with 0)
 *    88   8  XXH3-64 of bytes 0..87
 *    96      records in the encoding of record.c, their `type` one of enum ckpt_type
 *
 * A file is written beside, synced, renamed into place and its folder synced, so that it is whole or
 * not there; a crash at any step leaves the older chain. A delta is applied onto the one before it:
 * a node or name that stands in it replaces, one that is gone is named as gone.
 */
#include "checkpoint.h"

#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "apply.h"
#include "cleanup.h"
#include "io.h"
#include "record.h"
#include "sys.h"

enum ckpt_type {
	CKPT_NODE = 64,      /* node, mode, owner, group, rdev, count = nlink, mask = flags, size,
				atime, mtime, offset = ctime, offset2 = btime, length = next cookie,
				value = symlink target */
	CKPT_EXTENTS = 65,   /* node, value = struct extent[], little-endian; several go on */
	CKPT_XATTR = 66,     /* node, name, value */
	CKPT_NAME = 67,      /* parent, name, node (0 = whiteout), offset = cookie, mask 1 = scratch */
	CKPT_NODE_GONE = 68, /* node */
	CKPT_NAME_GONE = 69, /* parent, name */
	CKPT_POLICY = 70,    /* value */
};

enum { HEADER_SIZE = 96, EXTENTS_PER_RECORD = 1024, NODE_FLAGS_KEPT = ~NODE_F_DIRTY };

static const char MAGIC[8] = "AFSCKPT";

struct writer {
	struct buf *b;
	uint64_t chain, count;
};

static int put(struct writer *w, struct record *rec, enum ckpt_type type)
{
	rec->type = (uint16_t)type;
	rec->seq = ++w->count;
	return record_encode(rec, &w->chain, w->b);
}

static int put_extents(struct writer *w, const struct node *n)
{
	for (uint32_t i = 0; i < n->extents.n; i += EXTENTS_PER_RECORD) {
		uint32_t k = n->extents.n - i;
		struct record rec = {0};
		int r;

		if (k > EXTENTS_PER_RECORD)
			k = EXTENTS_PER_RECORD;
		RECORD_SET(&rec, node, F_NODE, n->id);
		RECORD_SET(&rec, value, F_VALUE,
			   ((struct bytes){(const char *)&n->extents.v[i],
					   k * sizeof(struct extent)}));
		r = put(w, &rec, CKPT_EXTENTS);
		if (r < 0)
			return r;
	}
	return 0;
}

static int put_node(struct writer *w, const struct node *n)
{
	struct record rec = {0};
	int r;

	RECORD_SET(&rec, node, F_NODE, n->id);
	RECORD_SET(&rec, mode, F_MODE, n->mode);
	RECORD_SET(&rec, owner, F_OWNER, n->uid);
	RECORD_SET(&rec, group, F_GROUP, n->gid);
	RECORD_SET(&rec, rdev, F_RDEV, n->rdev);
	RECORD_SET(&rec, count, F_COUNT, n->nlink);
	RECORD_SET(&rec, mask, F_MASK, n->flags & (uint32_t)NODE_FLAGS_KEPT);
	RECORD_SET(&rec, size, F_SIZE, n->size);
	RECORD_SET(&rec, atime, F_ATIME, n->atime);
	RECORD_SET(&rec, mtime, F_MTIME, n->mtime);
	RECORD_SET(&rec, offset, F_OFFSET, (uint64_t)n->ctime);
	RECORD_SET(&rec, offset2, F_OFFSET2, (uint64_t)n->btime);
	if (S_ISDIR(n->mode))
		RECORD_SET(&rec, length, F_LENGTH, n->dir.next_cookie);
	if (S_ISLNK(n->mode) && n->target)
		RECORD_SET(&rec, value, F_VALUE, ((struct bytes){n->target, n->size}));
	r = put(w, &rec, CKPT_NODE);
	if (r == 0 && S_ISREG(n->mode))
		r = put_extents(w, n);
	for (const struct xattr *x = n->xattrs; x && r == 0; x = x->next) {
		struct record xr = {0};

		RECORD_SET(&xr, node, F_NODE, n->id);
		RECORD_SET(&xr, name, F_NAME, ((struct bytes){x->name, strlen(x->name)}));
		RECORD_SET(&xr, value, F_VALUE, ((struct bytes){x->value, x->len}));
		r = put(w, &xr, CKPT_XATTR);
	}
	return r;
}

static int put_name(struct writer *w, uint64_t dir, struct bytes name, const struct entry *e)
{
	struct record rec = {0};

	RECORD_SET(&rec, parent, F_PARENT, dir);
	RECORD_SET(&rec, name, F_NAME, name);
	if (!e)
		return put(w, &rec, CKPT_NAME_GONE);
	RECORD_SET(&rec, node, F_NODE, e->child);
	RECORD_SET(&rec, offset, F_OFFSET, e->cookie);
	RECORD_SET(&rec, mask, F_MASK, e->scratch ? 1u : 0u);
	return put(w, &rec, CKPT_NAME);
}

static int put_all(struct writer *w, const struct tree *t)
{
	const struct node *n;
	size_t pos = 0;
	int r = 0;

	while (r == 0 && (n = table_next(&t->nodes, &pos)))
		r = put_node(w, n);
	for (size_t i = 0; i < t->nbuckets; i++)
		for (const struct entry *e = t->buckets[i]; e && r == 0; e = e->hash_next)
			r = put_name(w, e->dir, (struct bytes){e->name, e->len}, e);
	return r;
}

static int put_changed_nodes(struct writer *w, const struct tree *t)
{
	int r = 0;

	for (size_t at = 0; r == 0 && at < t->dirty_nodes.len; at += sizeof(uint64_t)) {
		const struct node *n;
		uint64_t id;

		memcpy(&id, t->dirty_nodes.data + at, sizeof(id));
		n = tree_node(t, id);
		if (n) {
			r = put_node(w, n);
		} else {
			struct record rec = {0};

			RECORD_SET(&rec, node, F_NODE, id);
			r = put(w, &rec, CKPT_NODE_GONE);
		}
	}
	return r;
}

static int put_changed_names(struct writer *w, const struct tree *t)
{
	size_t at = 0;
	int r = 0;

	while (r == 0 && at < t->dirty_names.len) {
		struct bytes name;
		uint64_t dir;
		uint16_t len;

		memcpy(&dir, t->dirty_names.data + at, sizeof(dir));
		memcpy(&len, t->dirty_names.data + at + 8, sizeof(len));
		name = (struct bytes){t->dirty_names.data + at + 10, len};
		at += 10u + len;
		r = put_name(w, dir, name, tree_entry(t, dir, name.p, name.n));
	}
	return r;
}

static void store(char *p, uint64_t v, size_t n)
{
	v = htole64(v);
	memcpy(p, &v, n);
}

static uint64_t fetch(const char *p, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, p, n);
	return le64toh(v);
}

static void put_header(char *h, const struct tree *t, const uint8_t view_id[16], uint64_t prev,
		       const struct writer *w)
{
	memcpy(h, MAGIC, sizeof(MAGIC));
	store(h + 8, 1, 2);
	store(h + 10, HEADER_SIZE, 2);
	store(h + 12, 0, 4);
	store(h + 16, 0, 4);
	store(h + 20, 1, 4);
	memcpy(h + 24, view_id, 16);
	store(h + 40, t->seq, 8);
	store(h + 48, prev, 8);
	store(h + 56, t->next_upper, 8);
	store(h + 64, w->b->len - HEADER_SIZE, 8);
	store(h + 72, w->count, 8);
	store(h + 80, w->chain, 8);
	store(h + 88, XXH3_64bits(h, 88), 8);
}

/* From here on a change notes its node anew, even while the bytes are still being written. */
static void clear_marks(struct tree *t)
{
	for (size_t at = 0; at < t->dirty_nodes.len; at += sizeof(uint64_t)) {
		struct node *n;
		uint64_t id;

		memcpy(&id, t->dirty_nodes.data + at, sizeof(id));
		n = tree_node(t, id);
		if (n)
			n->flags &= ~(uint32_t)NODE_F_DIRTY;
	}
}

int checkpoint_collect(struct tree *t, const uint8_t view_id[16], uint64_t prev_seq, bool full,
		       struct buf *ret)
{
	static const char zeros[HEADER_SIZE];
	struct writer w = {.b = ret};
	int r;

	buf_clear(ret);
	r = buf_add(ret, zeros, HEADER_SIZE);
	if (r == 0 && full)
		r = put_all(&w, t);
	else if (r == 0)
		r = put_changed_nodes(&w, t);
	if (r == 0 && !full)
		r = put_changed_names(&w, t);
	if (r == 0 && t->policy) {
		struct record rec = {0};

		RECORD_SET(&rec, value, F_VALUE, ((struct bytes){t->policy, strlen(t->policy)}));
		r = put(&w, &rec, CKPT_POLICY);
	}
	if (r < 0)
		return r;
	put_header(ret->data, t, view_id, full ? 0 : prev_seq, &w);
	clear_marks(t);
	return 0;
}

static void file_name(char out[32], uint64_t seq)
{
	(void)snprintf(out, 32, "%020" PRIu64 ".ckp", seq);
}

int checkpoint_write(int dir, uint64_t seq, const struct buf *b)
{
	char name[32];

	file_name(name, seq);
	return io_replace_file(dir, name, b->data, b->len, 0600);
}

struct checkpoint_mark checkpoint_mark(const struct tree *t)
{
	return (struct checkpoint_mark){t->dirty_nodes.len, t->dirty_names.len};
}

static void forget_front(struct buf *b, size_t n)
{
	if (!n)
		return;
	memmove(b->data, b->data + n, b->len - n);
	b->len -= n;
}

void checkpoint_done(struct tree *t, struct checkpoint_mark mark)
{
	forget_front(&t->dirty_nodes, mark.nodes);
	forget_front(&t->dirty_names, mark.names);
}

/* --- loading --- */

struct header {
	uint64_t seq, prev, next_upper, bytes, count, chain;
};

static int parse_header(const struct buf *b, const uint8_t view_id[16], struct header *ret)
{
	const char *h = b->data;

	if (b->len < HEADER_SIZE || memcmp(h, MAGIC, sizeof(MAGIC)) != 0)
		return -EBADMSG;
	if (fetch(h + 88, 8) != XXH3_64bits(h, 88))
		return -EBADMSG;
	if (fetch(h + 8, 2) != 1 || fetch(h + 16, 4) != 0 || fetch(h + 20, 4) != 1)
		return -EPROTONOSUPPORT;
	if (memcmp(h + 24, view_id, 16) != 0)
		return -EBADMSG;
	*ret = (struct header){fetch(h + 40, 8), fetch(h + 48, 8), fetch(h + 56, 8),
			       fetch(h + 64, 8), fetch(h + 72, 8), fetch(h + 80, 8)};
	return ret->bytes == b->len - HEADER_SIZE ? 0 : -EBADMSG;
}

static int load_node(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node);
	int r;

	if (!rec->node)
		return -EBADMSG;
	if (n) { /* keeps what hangs on it: its names are told by CKPT_NAME alone */
		if ((n->mode & S_IFMT) != (rec->mode & S_IFMT))
			return -EBADMSG;
		if (S_ISREG(n->mode))
			extent_release(&n->extents, &t->live);
		while (n->xattrs) {
			struct xattr *x = n->xattrs;

			n->xattrs = x->next;
			free(x->name);
			free(x->value);
			free(x);
		}
	} else {
		n = sys_calloc(1, sizeof(*n));
		if (!n)
			return -ENOMEM;
		n->id = rec->node;
		r = table_put(&t->nodes, n->id, n);
		if (r < 0) {
			free(n);
			return r;
		}
		if (!S_ISDIR(rec->mode))
			t->nchanged++;
	}
	n->mode = rec->mode;
	n->uid = rec->owner;
	n->gid = rec->group;
	n->rdev = rec->rdev;
	n->nlink = (uint32_t)rec->count;
	n->flags = rec->mask;
	n->size = rec->size;
	n->atime = rec->atime;
	n->mtime = rec->mtime;
	n->ctime = (int64_t)rec->offset;
	n->btime = (int64_t)rec->offset2;
	if (S_ISDIR(n->mode) && rec->length > n->dir.next_cookie)
		n->dir.next_cookie = rec->length;
	if (S_ISLNK(n->mode) && RECORD_HAS(rec, F_VALUE)) {
		free(n->target);
		n->target = sys_calloc(1, rec->value.n + 1);
		if (!n->target)
			return -ENOMEM;
		memcpy(n->target, rec->value.p, rec->value.n);
	}
	return 0;
}

static int load_extents(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node);
	uint64_t end = 0;
	int r;

	if (!n || !S_ISREG(n->mode) || rec->value.n % sizeof(struct extent))
		return -EBADMSG;
	r = extent_reserve(&n->extents, (uint32_t)(rec->value.n / sizeof(struct extent)) + 2);
	if (r < 0)
		return r;
	if (n->extents.n)
		end = n->extents.v[n->extents.n - 1].off + n->extents.v[n->extents.n - 1].len;
	for (size_t at = 0; at < rec->value.n; at += sizeof(struct extent)) {
		struct extent e;

		memcpy(&e, rec->value.p + at, sizeof(e));
		if (!e.len || e.off < end || e.len > INT64_MAX - e.off || e.off > INT64_MAX)
			return -EBADMSG;
		end = e.off + e.len;
		extent_set(&n->extents, e.off, e.len, e.node, e.place, &t->live);
	}
	return 0;
}

static int load_xattr(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node);
	struct xattr *x;

	if (!n || !rec->name.n)
		return -EBADMSG;
	x = sys_calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	x->next = n->xattrs;
	n->xattrs = x;
	x->len = rec->value.n;
	x->name = sys_calloc(1, rec->name.n + 1);
	x->value = sys_memdup(rec->value.p, rec->value.n);
	if (!x->name || !x->value)
		return -ENOMEM;
	memcpy(x->name, rec->name.p, rec->name.n);
	return 0;
}

/* Names are only hashed here; load_links() hangs them on folders and children at the end. */
static int load_name(struct tree *t, const struct record *rec, bool gone)
{
	struct entry *e = tree_entry(t, rec->parent, rec->name.p, rec->name.n);
	int r;

	if (!rec->name.n || rec->name.n > 255)
		return -EBADMSG;
	if (gone) {
		if (e) {
			tree_entry_unhash(t, e);
			free(e);
		}
		return 0;
	}
	if (!e) {
		r = tree_names_reserve(t, 1);
		if (r < 0)
			return r;
		e = entry_new(rec->parent, rec->name.p, rec->name.n);
		if (!e)
			return -ENOMEM;
		tree_entry_insert(t, e);
	}
	e->child = rec->node;
	e->cookie = rec->offset;
	e->scratch = rec->mask & 1;
	return 0;
}

static int load_record(struct tree *t, const struct record *rec)
{
	struct node *n;

	switch ((enum ckpt_type)rec->type) {
	case CKPT_NODE:
		return load_node(t, rec);
	case CKPT_EXTENTS:
		return load_extents(t, rec);
	case CKPT_XATTR:
		return load_xattr(t, rec);
	case CKPT_NAME:
		return load_name(t, rec, false);
	case CKPT_NAME_GONE:
		return load_name(t, rec, true);
	case CKPT_NODE_GONE:
		n = tree_node(t, rec->node);
		if (n)
			tree_node_drop(t, n);
		return 0;
	case CKPT_POLICY:
		free(t->policy);
		t->policy = sys_calloc(1, rec->value.n + 1);
		if (!t->policy)
			return -ENOMEM;
		memcpy(t->policy, rec->value.p, rec->value.n);
		return 0;
	}
	return 0; /* a record that a later compatible version adds */
}

static int load_file(struct tree *t, const struct buf *b, const struct header *h)
{
	const char *p = b->data + HEADER_SIZE;
	size_t left = h->bytes, used;
	uint64_t chain = 0;
	struct record rec;
	int r;

	for (uint64_t i = 0; i < h->count; i++) {
		r = record_decode(p, left, &chain, &rec, &used);
		if (r < 0)
			return r == -ENOMEM ? r : -EBADMSG;
		r = load_record(t, &rec);
		if (r < 0)
			return r;
		p += used;
		left -= used;
	}
	if (left || chain != h->chain)
		return -EBADMSG;
	t->seq = h->seq;
	t->next_upper = h->next_upper;
	return 0;
}

static int by_cookie(const void *a, const void *b)
{
	const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;

	return x->cookie < y->cookie ? -1 : x->cookie > y->cookie;
}

/* Hangs every name on its folder and its child, and checks what the records cannot say one by one. */
static int load_links(struct tree *t)
{
	struct node *d, *n;
	size_t pos = 0;
	int r;

	for (size_t i = 0; i < t->nbuckets; i++)
		for (struct entry *e = t->buckets[i]; e; e = e->hash_next) {
			d = tree_node(t, e->dir);
			if (!d || !S_ISDIR(d->mode))
				return -EBADMSG;
			d->dir.entries++;
			if (!e->child)
				continue;
			n = tree_node(t, e->child);
			if (!n || !e->cookie)
				return -EBADMSG;
			e->link_next = n->names;
			n->names = e;
			r = dir_reserve(d, 1);
			if (r < 0)
				return r;
			d->dir.list[d->dir.n++] = e;
			d->dir.live++;
		}
	while ((n = table_next(&t->nodes, &pos)))
		if (S_ISDIR(n->mode) && n->dir.n)
			qsort(n->dir.list, n->dir.n, sizeof(struct entry *), by_cookie);
	return 0;
}

static int seq_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x > y ? -1 : x < y; /* newest first */
}

static int list_seqs(int dir, uint64_t **ret, size_t *ret_n)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct dirent *de;
	DIR *d;
	int r = 0;

	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		r = -errno;
		(void)safe_close(fd);
		return r;
	}
	while (r == 0 && (de = readdir(d))) {
		uint64_t seq;
		int end = 0;

		if (sscanf(de->d_name, "%20" SCNu64 ".ckp%n", &seq, &end) == 1 && end == 24 &&
		    !de->d_name[24])
			r = buf_add(&b, &seq, sizeof(seq));
	}
	(void)closedir(d);
	if (r < 0)
		return r;
	*ret_n = b.len / sizeof(uint64_t);
	*ret = (uint64_t *)(void *)buf_take(&b);
	if (!*ret)
		return -ENOMEM;
	qsort(*ret, *ret_n, sizeof(uint64_t), seq_cmp);
	return 0;
}

static int load_chain(int dir, const uint8_t view_id[16], uint64_t seq, struct tree *t, int depth,
		      struct checkpoint_info *info)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct header h;
	char name[32];
	int r;

	if (depth > 10000)
		return -EBADMSG;
	file_name(name, seq);
	r = io_read_file(dir, name, SIZE_MAX / 2, &b);
	if (r < 0)
		return r == -ENOENT ? -EBADMSG : r;
	r = parse_header(&b, view_id, &h);
	if (r < 0)
		return r;
	if (h.seq != seq || h.prev >= h.seq)
		return -EBADMSG;
	if (h.prev) {
		r = load_chain(dir, view_id, h.prev, t, depth + 1, info);
		if (r < 0)
			return r;
		info->delta_bytes += b.len;
	} else {
		info->full_bytes = b.len;
		info->full_seq = h.seq;
	}
	return load_file(t, &b, &h);
}

int checkpoint_load(int dir, const uint8_t view_id[16], uint64_t max_seq, struct tree *t,
		    struct checkpoint_info *ret, struct err *reterr)
{
	_cleanup_free_ uint64_t *seqs = NULL;
	const struct image *img = t->image;
	struct extent_live live = t->live;
	uint32_t uid = t->uid, gid = t->gid;
	bool track = t->track;
	size_t n = 0;
	int r = list_seqs(dir, &seqs, &n);

	*ret = (struct checkpoint_info){0};
	if (r < 0)
		return err_set(reterr, r, "list checkpoints");
	for (size_t i = 0; i < n; i++) {
		if (max_seq && seqs[i] > max_seq)
			continue;
		ret->full_bytes = ret->delta_bytes = 0;
		r = load_chain(dir, view_id, seqs[i], t, 0, ret);
		if (r == 0)
			r = load_links(t);
		if (r == 0)
			return 0;
		if (r == -EPROTONOSUPPORT)
			return err_set(reterr, r, "checkpoint %" PRIu64
				       " has a newer format than this version reads", seqs[i]);
		if (r != -EBADMSG && r != -EIO)
			return err_set(reterr, r, "load checkpoint %" PRIu64, seqs[i]);
		ret->bad++;
		tree_release(t);
		r = tree_init(t, img, uid, gid);
		t->live = live;
		t->track = track;
		if (r < 0)
			return r;
	}
	return 0;
}

void checkpoint_prune(int dir, uint64_t keep_from)
{
	_cleanup_free_ uint64_t *seqs = NULL;
	size_t n = 0;

	if (list_seqs(dir, &seqs, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		char name[32];

		if (seqs[i] >= keep_from)
			continue;
		file_name(name, seqs[i]);
		(void)sys.unlinkat(dir, name, 0);
	}
}
