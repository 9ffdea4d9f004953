/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading checkpoints. The bytes are checked, not believed: a file whose checksums are right may still
 * be one that nobody wrote by intention.
 *
 * What a tree that was loaded must be is checked in checkpoint_check.c; what breaks it is -EBADMSG, and
 * the checkpoint before is taken instead.
 */
#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "apply.h"
#include "checkpoint.h"
#include "checkpoint_impl.h"
#include "cleanup.h"
#include "io.h"
#include "record.h"
#include "seed.h"
#include "sys.h"

enum { CHAIN_MAX = 1000 };
#define COOKIE_MAX (UINT64_C(1) << 62)

static uint64_t fetch(const char *p, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, p, n);
	return le64toh(v);
}

struct header {
	uint64_t seq, prev, next_upper, bytes, count, chain;
};

static int parse_header(const struct buf *b, const uint8_t view_id[16], struct header *ret)
{
	const char *h = b->data;

	if (b->len < CKPT_HEADER_SIZE || memcmp(h, CKPT_MAGIC, sizeof(CKPT_MAGIC)) != 0)
		return -EBADMSG;
	if (fetch(h + 88, 8) != XXH3_64bits(h, 88))
		return -EBADMSG;
	if (fetch(h + 8, 2) != 1 || (fetch(h + 16, 4) & ~(uint64_t)CKPT_INCOMPAT_KNOWN) != 0 ||
	    fetch(h + 20, 4) != 1)
		return -EPROTONOSUPPORT;
	if (memcmp(h + 24, view_id, 16) != 0)
		return -EBADMSG;
	*ret = (struct header){fetch(h + 40, 8), fetch(h + 48, 8), fetch(h + 56, 8),
			       fetch(h + 64, 8), fetch(h + 72, 8), fetch(h + 80, 8)};
	return ret->bytes == b->len - CKPT_HEADER_SIZE ? 0 : -EBADMSG;
}

/* Is it among the changed nodes that are counted? */
static uint64_t counts(const struct node *n)
{
	return !S_ISDIR(n->mode) && !(n->flags & NODE_F_SEED);
}

static int load_node(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node);
	int r;

	if (!rec->node || rec->size > INT64_MAX || rec->length > COOKIE_MAX)
		return -EBADMSG;
	if (S_ISLNK(rec->mode) && RECORD_HAS(rec, F_VALUE) && rec->value.n != rec->size)
		return -EBADMSG;
	if (n) { /* keeps what hangs on it: its names are told by CKPT_NAME alone */
		if ((n->mode & S_IFMT) != (rec->mode & S_IFMT))
			return -EBADMSG;
		if (S_ISREG(n->mode))
			extent_release(&n->extents, &t->live);
		seed_free(n->seed);
		n->seed = NULL;
		t->nchanged -= counts(n);
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
	}
	n->mode = rec->mode;
	n->uid = rec->owner;
	n->gid = rec->group;
	n->rdev = rec->rdev;
	n->nlink = (uint32_t)rec->count;
	n->flags = rec->mask & (NODE_F_BASE_NAME | NODE_F_BASE_TARGET | NODE_F_SEED);
	t->nchanged += counts(n);
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
		if (rec->value.n)
			memcpy(n->target, rec->value.p, rec->value.n);
	}
	return 0;
}

/* Is what the extent comes from there? Data segments are asked by the tree's owner. */
static bool source_ok(const struct tree *t, const struct extent *e)
{
	struct base_content c;

	if (e->node == EXTENT_DATA || e->node == EXTENT_INDEX)
		return e->place <= INT64_MAX;
	return tree_content(t, e->node, &c) == 0 && e->place <= c.size &&
	       e->len <= c.size - e->place;
}

static int load_extents(struct tree *t, const struct record *rec)
{
	struct node *n = tree_node(t, rec->node);
	uint64_t end = 0;
	int r;

	if (!n || !S_ISREG(n->mode) || rec->value.n % sizeof(struct ckpt_extent))
		return -EBADMSG;
	r = extent_reserve(&n->extents, (uint32_t)(rec->value.n / sizeof(struct ckpt_extent)) + 2);
	if (r < 0)
		return r;
	if (n->extents.n)
		end = n->extents.v[n->extents.n - 1].off + n->extents.v[n->extents.n - 1].len;
	for (size_t at = 0; at < rec->value.n; at += sizeof(struct ckpt_extent)) {
		struct ckpt_extent disk;
		struct extent e;

		memcpy(&disk, rec->value.p + at, sizeof(disk));
		e = (struct extent){.off = le64toh(disk.off),
				    .len = le64toh(disk.len),
				    .node = le64toh(disk.node),
				    .place = le64toh(disk.place)};
		if (!e.len || e.off < end || e.off > n->size || e.len > n->size - e.off ||
		    !source_ok(t, &e))
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

	if (!n || !rec->name.n || rec->name.n > 255 || memchr(rec->name.p, '\0', rec->name.n))
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
	struct entry *e;
	int r;

	if (!tree_name_ok(rec->name.p, rec->name.n))
		return -EBADMSG;
	e = tree_entry(t, rec->parent, rec->name.p, rec->name.n);
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
	case CKPT_SEED:
		return seed_load(t, rec);
	case CKPT_SEEDED:
		t->seeded = true;
		return 0;
	case CKPT_POLICY:
		free(t->policy);
		t->policy = sys_calloc(1, rec->value.n + 1);
		if (!t->policy)
			return -ENOMEM;
		if (rec->value.n)
			memcpy(t->policy, rec->value.p, rec->value.n);
		return 0;
	case CKPT_BASE:
		return checkpoint_load_base(t, rec);
	case CKPT_RUNS:
		return checkpoint_load_runs(t, rec);
	case CKPT_KEPT:
		return checkpoint_load_kept(t, rec);
	}
	return 0; /* a record that a later compatible version adds */
}

static int load_file(struct tree *t, const struct buf *b, const struct header *h)
{
	const char *p = b->data + CKPT_HEADER_SIZE;
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
	if (left || chain != h->chain || !t->base.by_id)
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
			if (!n)
				return -EBADMSG;
			e->link_next = n->names;
			n->names = e;
			r = dir_reserve(d, 1);
			if (r < 0)
				return r;
			d->dir.list[d->dir.n++] = e;
			d->dir.live++;
		}
	t->nseeds = t->seed_bytes = 0; /* deltas drop what was never counted */
	while ((n = table_next(&t->nodes, &pos))) {
		seed_count(t, n);
		if (S_ISDIR(n->mode) && n->dir.n)
			qsort(n->dir.list, n->dir.n, sizeof(struct entry *), by_cookie);
	}
	return 0;
}

/* --- files --- */

static int seq_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x > y ? -1 : x < y; /* newest first */
}

int checkpoint_list(int dir, uint64_t **ret, size_t *ret_n)
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

	if (depth > CHAIN_MAX)
		return -EBADMSG;
	checkpoint_file_name(name, seq);
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
		info->delta_bytes += checkpoint_disk_bytes(b.len);
	} else {
		info->full_bytes = b.len;
		info->full_seq = h.seq;
	}
	return load_file(t, &b, &h);
}

/* What a damaged one said to be in use is not. */
static void release_extents(struct tree *t)
{
	struct node *n;
	size_t pos = 0;

	while ((n = table_next(&t->nodes, &pos)))
		if (S_ISREG(n->mode))
			extent_release(&n->extents, &t->live);
}

int checkpoint_load(int dir, const uint8_t view_id[16], uint64_t max_seq, struct tree *t,
		    struct checkpoint_info *ret, struct err *reterr)
{
	_cleanup_free_ uint64_t *seqs = NULL;
	const struct image *img = t->image;
	const struct image_source images = t->images;
	struct extent_live live = t->live;
	uint32_t uid = t->uid, gid = t->gid;
	bool track = t->track;
	size_t n = 0;
	int r = checkpoint_list(dir, &seqs, &n);

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
			r = checkpoint_check(t);
		if (r == 0)
			return 0;
		if (r == -EPROTONOSUPPORT)
			return err_set(reterr, r,
				       "checkpoint %" PRIu64
				       " has a newer format than this version reads",
				       seqs[i]);
		if (r != -EBADMSG && r != -EIO)
			return err_set(reterr, r, "load checkpoint %" PRIu64, seqs[i]);
		ret->bad++;
		release_extents(t);
		tree_release(t);
		r = tree_init(t, img, uid, gid);
		t->live = live;
		t->track = track;
		t->images = images;
		if (r < 0)
			return r;
	}
	return 0;
}
