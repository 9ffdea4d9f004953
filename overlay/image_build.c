/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compiles a tree into an image file (bytes: head of image.c).
 *
 * Guarantees:
 *  1. The same tree and time give the same bytes, with or without a previous image.
 *  2. Nothing that git itself would refuse to check out gets in (image_tree.c).
 *  3. Blobs are never read, only their headers; of equal subtrees of `prev` nothing is read at all.
 *  4. Names have at most 255 bytes and paths at most 4,095, which also bounds the depth.
 *
 * How: the nodes array is its own queue. For place 0, 1, 2, … a folder's tree is read and its
 * children are appended, which is level order. Each node remembers which node of `prev` stands at
 * the same path (`twin`): a folder with the same tree id has its children copied from there; in a
 * changed folder an entry with an equal id takes over its size.
 * Sizes of the blobs that are left are asked afterwards, by several threads, since that is all the
 * time there is to save.
 *
 * A crash leaves a file without a valid header or none; the caller renames after success.
 */
#include "image_build.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "buf.h"
#include "cleanup.h"
#include "image_format.h"
#include "image_tree.h"
#include "io.h"
#include "odb.h"
#include "sys.h"

enum {
	PATH_LEN_MAX = 4095,
	PROGRESS_STEP = 4096,
	THREADS_MAX = 4,
	PER_THREAD_MIN = 2048, /* fewer lookups than this are not worth a thread */
	LOOKUP_STEP = 256,
	NO_TWIN = 0xffffffff,
};

/* What is known of a node only while building. */
struct aside {
	uint32_t twin; /* place in `prev`, or NO_TWIN */
	uint16_t path_len;
	bool sized;
};

struct build {
	struct odb *odb;
	const struct image_build_options *opt;
	struct err *reterr;
	struct image_node *nodes;
	struct aside *aside;
	size_t count;
	size_t cap;
	struct buf names;
};

static void build_release(struct build *b)
{
	free(b->nodes);
	free(b->aside);
	buf_release(&b->names);
}

static int no_memory(struct build *b)
{
	return err_set(b->reterr, -ENOMEM, "build image: out of memory at %zu nodes", b->count);
}

/* Says which object could not be read. */
static int object_error(struct err *reterr, int r, const uint8_t *oid)
{
	if (r == -ENOENT)
		return err_set(
			reterr, r,
			"object %s is missing from the repository (a partial clone? fetch it "
			"with 'git fetch --refetch')",
			oid_hex(oid).s);
	if (r == -EBADMSG)
		return err_set(reterr, r, "object %s is damaged; 'git fsck' tells more",
			       oid_hex(oid).s);
	return err_set(reterr, r, "read object %s: %s", oid_hex(oid).s, strerror(-r));
}

static int grow(struct build *b, size_t more)
{
	size_t cap = b->cap ? b->cap : 1024;
	void *p;

	if (b->count + more > IMAGE_COUNT_MAX)
		return err_set(b->reterr, -EFBIG, "build image: the tree has over 2^32 - 16 nodes");
	while (cap < b->count + more)
		cap *= 2;
	if (cap == b->cap)
		return 0;
	p = sys.realloc(b->nodes, cap * sizeof(*b->nodes));
	if (!p)
		return no_memory(b);
	b->nodes = p;
	p = sys.realloc(b->aside, cap * sizeof(*b->aside));
	if (!p)
		return no_memory(b);
	b->aside = p;
	b->cap = cap;
	return 0;
}

/* Appends a node; room was made with grow(). */
static int add_node(struct build *b, uint32_t parent, const struct tree_entry *e, uint32_t twin)
{
	struct image_node *n = &b->nodes[b->count];
	size_t path_len = b->count == 0 ? 0 : b->aside[parent].path_len + (parent > 0) + e->len;

	if (path_len > PATH_LEN_MAX)
		return err_set(b->reterr, -ENAMETOOLONG,
			       "build image: '%s' in tree %s is deeper than a path of %d bytes",
			       quote_name(e->name, e->len).s, oid_hex(b->nodes[parent].oid).s,
			       PATH_LEN_MAX);
	if (b->names.len + e->len > IMAGE_NAMES_MAX)
		return err_set(b->reterr, -EFBIG, "build image: names of over 4 GiB");
	*n = (struct image_node){
		.parent = parent,
		.name = (uint32_t)b->names.len,
		.name_len = (uint16_t)e->len,
		.mode = e->mode,
	};
	memcpy(n->oid, e->oid, TREE_OID_SIZE);
	b->aside[b->count] = (struct aside){
		.twin = twin,
		.path_len = (uint16_t)path_len,
		.sized = e->mode == 0040000 || e->mode == 0160000,
	};
	if (e->len > 0 && buf_add(&b->names, e->name, e->len) < 0)
		return no_memory(b);
	b->count++;
	if (b->opt->progress && b->count % PROGRESS_STEP == 0)
		b->opt->progress(b->count, b->opt->user);
	return 0;
}

/* --- folders -----------------------------------------------------------------------------------
 */

static bool is_subdir(uint16_t mode)
{
	return mode == 0040000 || mode == 0160000;
}

/* The node of `prev` at the same path as entry `e` of a folder whose twin is `dir`. */
static const struct image_node *find_twin(struct build *b, uint32_t dir, const struct tree_entry *e,
					  uint32_t *ret)
{
	const struct image_node *t;
	int64_t place;

	*ret = NO_TWIN;
	if (dir == NO_TWIN)
		return NULL;
	place = image_lookup(b->opt->prev, dir, e->name, e->len);
	t = place < 0 ? NULL : image_node(b->opt->prev, (uint32_t)place);
	if (!t || t->mode == 0160000 || is_subdir(t->mode) != is_subdir(e->mode))
		return NULL;
	*ret = (uint32_t)place;
	return t;
}

static int add_child(struct build *b, uint32_t parent, const struct tree_entry *e)
{
	uint32_t twin = NO_TWIN;
	const struct image_node *t = NULL;
	int r;

	if (e->mode != 0160000)
		t = find_twin(b, b->aside[parent].twin, e, &twin);
	r = add_node(b, parent, e, twin);
	if (r < 0)
		return r;
	if (t && !b->aside[b->count - 1].sized && memcmp(t->oid, e->oid, TREE_OID_SIZE) == 0) {
		b->nodes[b->count - 1].size = t->size;
		b->aside[b->count - 1].sized = true;
	}
	if (is_subdir(e->mode))
		b->nodes[parent].subdirs++;
	return 0;
}

static int add_children(struct build *b, uint32_t parent, const struct tree_entries *es)
{
	int r = grow(b, es->n);

	if (r < 0)
		return r;
	if (es->n > 0)
		b->nodes[parent].first_child = (uint32_t)b->count;
	b->nodes[parent].children = (uint32_t)es->n;
	for (size_t i = 0; i < es->n; i++) {
		r = add_child(b, parent, &es->v[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

static int expand_from_git(struct build *b, uint32_t place)
{
	_cleanup_(tree_entries_release) struct tree_entries es = {0};
	struct odb_object *obj;
	enum odb_type type;
	const void *bytes;
	uint8_t tree[TREE_OID_SIZE];
	size_t len;
	int r;

	memcpy(tree, b->nodes[place].oid, TREE_OID_SIZE);
	r = odb_get(b->odb, tree, &type, &bytes, &len, &obj);
	if (r < 0)
		return object_error(b->reterr, r, tree);
	if (type != ODB_TREE)
		r = err_set(b->reterr, -EBADMSG, "object %s is used as a tree and is none",
			    oid_hex(tree).s);
	if (r == 0)
		r = tree_parse(tree, bytes, len, &es, b->reterr);
	if (r == 0)
		r = add_children(b, place, &es);
	odb_object_free(obj);
	return r;
}

static int bad_prev(struct build *b)
{
	return err_set(b->reterr, -EBADMSG,
		       "build image: the previous image is damaged; remove it");
}

/* Guarantee 3: an equal subtree. `prev` is checked by image_node() as it is read. */
static int expand_from_prev(struct build *b, uint32_t place, const struct image_node *twin)
{
	const struct image *prev = b->opt->prev;
	int r = grow(b, twin->children);

	if (r < 0)
		return r;
	if (twin->children > 0)
		b->nodes[place].first_child = (uint32_t)b->count;
	b->nodes[place].children = twin->children;
	b->nodes[place].subdirs = twin->subdirs;
	for (uint32_t i = 0; i < twin->children; i++) {
		const struct image_node *t = image_node(prev, twin->first_child + i);
		struct tree_entry e;

		if (!t || t->parent != b->aside[place].twin)
			return bad_prev(b);
		e = (struct tree_entry){.oid = t->oid, .mode = t->mode};
		e.name = image_name(prev, t, &e.len);
		r = add_node(b, place, &e, twin->first_child + i);
		if (r < 0)
			return r;
		b->nodes[b->count - 1].size = t->size;
		b->aside[b->count - 1].sized = true;
	}
	return 0;
}

static int expand(struct build *b, uint32_t place)
{
	uint32_t twin = b->aside[place].twin;
	const struct image_node *t = NULL;

	if (b->nodes[place].mode != 0040000)
		return 0;
	if (twin != NO_TWIN)
		t = image_node(b->opt->prev, twin);
	if (t && memcmp(t->oid, b->nodes[place].oid, TREE_OID_SIZE) == 0)
		return expand_from_prev(b, place, t);
	return expand_from_git(b, place);
}

/* --- sizes -------------------------------------------------------------------------------------
 */

struct sizing {
	struct build *b;
	_Atomic size_t next; /* threads take LOOKUP_STEP places at a time */
	_Atomic int failed;  /* the first -errno */
	_Atomic uint32_t failed_place;
};

static void size_failed(struct sizing *s, int r, size_t place)
{
	int none = 0;

	if (atomic_compare_exchange_strong(&s->failed, &none, r))
		atomic_store(&s->failed_place, (uint32_t)place);
}

static void size_node(struct sizing *s, size_t place)
{
	struct image_node *n = &s->b->nodes[place];
	enum odb_type type;
	size_t len;
	int r;

	if (s->b->aside[place].sized)
		return;
	r = odb_read_header(s->b->odb, n->oid, &type, &len);
	if (r == 0 && type != ODB_BLOB)
		r = -EBADMSG;
	if (r < 0)
		size_failed(s, r, place);
	else
		n->size = len;
}

static void *size_thread(void *arg)
{
	struct sizing *s = arg;

	while (atomic_load(&s->failed) == 0) {
		size_t from = atomic_fetch_add(&s->next, LOOKUP_STEP);

		if (from >= s->b->count)
			break;
		for (size_t i = from; i < from + LOOKUP_STEP && i < s->b->count; i++)
			size_node(s, i);
	}
	return NULL;
}

static int threads_for(size_t lookups)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t n = lookups / PER_THREAD_MIN;

	if (n > THREADS_MAX)
		n = THREADS_MAX;
	if (cpus > 0 && n > (size_t)cpus)
		n = (size_t)cpus;
	return (int)n;
}

static int find_sizes(struct build *b)
{
	struct sizing s = {.b = b};
	pthread_t threads[THREADS_MAX];
	size_t lookups = 0;
	int n, started = 0;

	for (size_t i = 0; i < b->count; i++)
		lookups += !b->aside[i].sized;
	/* The caller's thread works too; a thread that cannot be started is just not there. */
	for (n = threads_for(lookups); started < n - 1; started++)
		if (pthread_create(&threads[started], NULL, size_thread, &s) != 0)
			break;
	(void)size_thread(&s);
	for (int i = 0; i < started; i++)
		(void)pthread_join(threads[i], NULL);
	if (s.failed)
		return object_error(b->reterr, s.failed, b->nodes[s.failed_place].oid);
	return 0;
}

/* --- writing -----------------------------------------------------------------------------------
 */

static int body_sum(const struct build *b, uint64_t *ret)
{
	XXH3_state_t *x = XXH3_createState();

	if (!x)
		return -ENOMEM;
	(void)XXH3_64bits_reset(x);
	(void)XXH3_64bits_update(x, b->nodes, b->count * sizeof(*b->nodes));
	(void)XXH3_64bits_update(x, b->names.data, b->names.len);
	*ret = XXH3_64bits_digest(x);
	(void)XXH3_freeState(x);
	return 0;
}

static int write_image(const struct build *b, int fd)
{
	uint64_t nodes_size = b->count * sizeof(*b->nodes);
	struct image_header h = {
		.version = IMAGE_VERSION,
		.header_size = sizeof(h),
		.hash = IMAGE_HASH_SHA1,
		.node_size = sizeof(struct image_node),
		.count = b->count,
		.nodes_off = sizeof(h),
		.names_off = sizeof(h) + nodes_size,
		.names_size = b->names.len,
		.time_ns = b->opt->time_ns,
	};
	int r = body_sum(b, &h.body_sum);

	if (r < 0)
		return r;
	memcpy(h.magic, IMAGE_MAGIC, sizeof(h.magic));
	memcpy(h.tree, b->nodes[0].oid, TREE_OID_SIZE);
	h.header_sum = XXH3_64bits(&h, offsetof(struct image_header, header_sum));
	struct iovec iov[] = {
		{.iov_base = &h, .iov_len = sizeof(h)},
		{.iov_base = b->nodes, .iov_len = nodes_size},
		{.iov_base = b->names.data, .iov_len = b->names.len},
	};
	r = io_pwritev_full(fd, iov, ARRAY_SIZE(iov), 0);
	if (r == 0 && sys.fsync(fd) < 0)
		r = -errno;
	return r;
}

static int add_root(struct build *b, const uint8_t *tree_oid)
{
	struct tree_entry root = {.name = "", .oid = tree_oid, .mode = 0040000};
	int r = grow(b, 1);

	return r < 0 ? r : add_node(b, 0, &root, b->opt->prev ? 0 : NO_TWIN);
}

int image_build(struct odb *odb, const uint8_t *tree_oid, const struct image_build_options *opt,
		int fd, struct err *reterr)
{
	_cleanup_(build_release) struct build b = {.odb = odb, .opt = opt, .reterr = reterr};
	int r = 0;

	/* Its damage must not live on in a new image with a right checksum. */
	if (opt->prev && image_verify(opt->prev) < 0)
		r = bad_prev(&b);
	if (r == 0)
		r = add_root(&b, tree_oid);
	for (size_t i = 0; r == 0 && i < b.count; i++)
		r = expand(&b, (uint32_t)i);
	if (r == 0)
		r = find_sizes(&b);
	if (r < 0)
		return r;
	if (opt->progress)
		opt->progress(b.count, opt->user);
	r = write_image(&b, fd);
	if (r < 0)
		return err_set(reterr, r, "write image: %s", strerror(-r));
	return 0;
}
