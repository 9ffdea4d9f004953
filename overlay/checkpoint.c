/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints: STATE/views/<agent>/checkpoint/<seq, 20 digits>.ckp, little-endian:
 *
 *     0   8  magic "AFSCKPT\0"
 *     8   2  version (1)            10  2  header size (96)
 *    12   4  compatible feature bits (ignored where unknown)
 *    16   4  incompatible feature bits (refused where unknown): 1 = the view was synced to another base,
 *           2 = there are seeds (CKPT_SEED)
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
 * After a sync (tree_sync.h) a full one begins with the base: image, numbers of its places, content of
 * older bases that is still used. The deltas behind it are on that base; a sync makes the next one full.
 *
 * A file is written beside, synced, renamed into place and its folder synced, so that it is whole or
 * not there; a crash at any step leaves the older chain. A delta is applied onto the one before it:
 * a node or name that stands in it replaces, one that is gone is named as gone. Reading is in
 * checkpoint_load.c.
 */
#include "checkpoint.h"

#include <dirent.h>
#include <endian.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "checkpoint_impl.h"
#include "cleanup.h"
#include "io.h"
#include "record.h"
#include "seed.h"
#include "sys.h"

enum { EXTENTS_PER_RECORD = 1024, RUNS_PER_RECORD = 1024, NODE_FLAGS_KEPT = ~NODE_F_DIRTY };

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
	struct ckpt_extent disk[EXTENTS_PER_RECORD];

	for (uint32_t i = 0; i < n->extents.n; i += EXTENTS_PER_RECORD) {
		uint32_t k = n->extents.n - i;
		struct record rec = {0};
		int r;

		if (k > EXTENTS_PER_RECORD)
			k = EXTENTS_PER_RECORD;
		for (uint32_t j = 0; j < k; j++) {
			const struct extent *e = &n->extents.v[i + j];

			disk[j] = (struct ckpt_extent){htole64(e->off), htole64(e->len),
						       htole64(e->node), htole64(e->place)};
		}
		RECORD_SET(&rec, node, F_NODE, n->id);
		RECORD_SET(&rec, value, F_VALUE,
			   ((struct bytes){(const char *)disk, k * sizeof(*disk)}));
		r = put(w, &rec, CKPT_EXTENTS);
		if (r < 0)
			return r;
	}
	return 0;
}

static int put_seed(struct writer *w, const struct node *n)
{
	const struct seed *s = n->seed;
	struct record rec = {0};

	RECORD_SET(&rec, node, F_NODE, n->id);
	RECORD_SET(&rec, path, F_PATH, ((struct bytes){s->dir->path, s->dir->len}));
	RECORD_SET(&rec, name, F_NAME, ((struct bytes){s->name, strlen(s->name)}));
	RECORD_SET(&rec, count, F_COUNT, s->ino);
	RECORD_SET(&rec, mtime, F_MTIME, s->mtime);
	RECORD_SET(&rec, offset, F_OFFSET, (uint64_t)s->ctime);
	return put(w, &rec, CKPT_SEED);
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
	if (r == 0 && n->seed)
		r = put_seed(w, n);
	else if (r == 0 && S_ISREG(n->mode))
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

static int put_runs(struct writer *w, const struct tree *t)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < t->base.n; i++) {
		const struct base_run *run = &t->base.runs[i];
		const uint64_t v[3] = {htole64((uint64_t)run->len << 32 | run->place),
				       htole64(run->id), htole64((uint64_t)run->time)};
		struct record rec = {0};

		r = buf_add(&b, v, sizeof(v));
		if (r < 0 || ((i + 1) % RUNS_PER_RECORD && i + 1 < t->base.n))
			continue;
		RECORD_SET(&rec, value, F_VALUE, ((struct bytes){b.data, b.len}));
		r = put(w, &rec, CKPT_RUNS);
		buf_clear(&b);
	}
	return r;
}

static int put_base(struct writer *w, const struct tree *t)
{
	struct record rec = {0};
	const struct kept *k;
	size_t pos = 0;
	int r;

	if (!t->image_name)
		return 0;
	RECORD_SET(&rec, name, F_NAME, ((struct bytes){t->image_name, strlen(t->image_name)}));
	RECORD_SET(&rec, name2, F_NAME2, ((struct bytes){t->base_commit, strlen(t->base_commit)}));
	RECORD_SET(&rec, count, F_COUNT, t->layer);
	r = put(w, &rec, CKPT_BASE);
	if (r == 0)
		r = put_runs(w, t);
	while (r == 0 && (k = table_next(&t->kept, &pos))) {
		struct record kr = {0};

		RECORD_SET(&kr, node, F_NODE, k->id);
		RECORD_SET(&kr, size, F_SIZE, k->size);
		RECORD_SET(&kr, value, F_VALUE,
			   ((struct bytes){(const char *)k->oid, sizeof(k->oid)}));
		r = put(w, &kr, CKPT_KEPT);
	}
	return r;
}

static int put_all(struct writer *w, const struct tree *t)
{
	const struct node *n;
	size_t pos = 0;
	int r = put_base(w, t);

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

static uint64_t features(const struct tree *t)
{
	return (t->image_name ? CKPT_INCOMPAT_SYNCED : 0u) |
	       (t->seeded || t->seed_dirs ? CKPT_INCOMPAT_SEEDS : 0u);
}

static void put_header(char *h, const struct tree *t, const uint8_t view_id[16], uint64_t prev,
		       const struct writer *w)
{
	memcpy(h, CKPT_MAGIC, sizeof(CKPT_MAGIC));
	store(h + 8, 1, 2);
	store(h + 10, CKPT_HEADER_SIZE, 2);
	store(h + 12, 0, 4);
	store(h + 16, features(t), 4);
	store(h + 20, 1, 4);
	memcpy(h + 24, view_id, 16);
	store(h + 40, t->seq, 8);
	store(h + 48, prev, 8);
	store(h + 56, t->next_upper, 8);
	store(h + 64, w->b->len - CKPT_HEADER_SIZE, 8);
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
	static const char zeros[CKPT_HEADER_SIZE];
	struct writer w = {.b = ret};
	int r;

	buf_clear(ret);
	r = buf_add(ret, zeros, CKPT_HEADER_SIZE);
	if (r == 0 && full)
		r = put_all(&w, t);
	else if (r == 0)
		r = put_changed_nodes(&w, t);
	if (r == 0 && !full)
		r = put_changed_names(&w, t);
	if (r == 0 && t->seeded) {
		struct record rec = {0};

		r = put(&w, &rec, CKPT_SEEDED);
	}
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

int checkpoint_write(int dir, uint64_t seq, const struct buf *b)
{
	char name[32];

	checkpoint_file_name(name, seq);
	return io_replace_file(dir, name, b->data, b->len, 0600);
}

struct checkpoint_mark checkpoint_mark(const struct tree *t)
{
	return (struct checkpoint_mark){t->dirty_nodes.len, t->dirty_names.len, t->notes_lost};
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
	t->notes_lost -= mark.lost;
}

uint64_t checkpoint_disk_bytes(size_t n)
{
	return ((uint64_t)n + 4095) & ~UINT64_C(4095);
}

/* What a crash left half-written; only the one process that writes here calls this. */
static void remove_leftovers(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	if (!d) {
		(void)safe_close(fd);
		return;
	}
	while ((de = readdir(d))) {
		size_t n = strlen(de->d_name);

		if (n > 4 && strcmp(de->d_name + n - 4, ".tmp") == 0)
			(void)sys.unlinkat(dir, de->d_name, 0);
	}
	(void)closedir(d);
}

void checkpoint_prune(int dir, uint64_t keep_from)
{
	_cleanup_free_ uint64_t *seqs = NULL;
	size_t n = 0;

	remove_leftovers(dir);
	if (checkpoint_list(dir, &seqs, &n) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		char name[32];

		if (seqs[i] >= keep_from)
			continue;
		checkpoint_file_name(name, seqs[i]);
		(void)sys.unlinkat(dir, name, 0);
	}
}
