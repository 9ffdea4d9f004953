/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes git's index of a whole image.
 *
 * Guarantees:
 *  1. The bytes depend on the image and the owner alone, so one file serves every view on both.
 *  2. Names and order are git's: by the bytes of the whole path. Within a folder that is the order
 *     of names with '/' behind those of folders, so children are sorted again here.
 *  3. The TREE extension is complete: `git write-tree` and `git diff-index --cached` read no tree.
 *  4. A damaged image ends with -EBADMSG, not with a crash or an endless walk: children must name
 *     their folder as parent, and paths have at most 4,095 bytes.
 *
 * The file (git's Documentation/technical/index-format.txt), big-endian:
 *
 *   "DIRC", u32 version 2, u32 entries
 *   entry:  ctime s, ns, mtime s, ns (the image's time), dev 0, ino (low 32 bits of image_ino()),
 *           mode, uid, gid, size (low 32 bits): ten u32; 20 bytes id; u16 flags: the path's length,
 *           at most 0xfff; path; 1 to 8 NUL, to a multiple of 8 from the entry's begin
 *   "TREE", u32 length, then per folder, from the root down: name NUL, entries below in decimal,
 *           ' ', subfolders in decimal, '\n', 20 bytes tree id. Subfolders in the order that git
 *           keeps them in memory: shorter names first, then bytewise (read in any order, but git
 *           itself writes this one, so equal trees give equal bytes)
 *   "FSMN", u32 length, u32 version 2, token NUL, u32 length of an EWAH bitmap of what is dirty: none
 *   "UNTR": image_untracked.c
 *   "EOIE", u32 24, u32 where the entries end, SHA-1 of letters and length of each extension before: where a view
 *           finds the one that it completes, and git the extensions while other threads read entries
 *   SHA-1 of all before
 *
 * dev is 0 because git does not compare it (USE_STDEV is off in every distribution), and a mount's
 * device number is not known before it is mounted.
 */
#include <nettle/sha1.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "image_build.h"
#include "image_untracked.h"
#include "io.h"
#include "sys.h"

enum {
	OID_SIZE = 20,
	PATH_LEN_MAX = 4095,
	FLUSH = 1 << 18,
	NAME_IN_FLAGS = 0xfff,
};

struct out {
	int fd;
	struct buf b; /* not written yet */
	uint64_t off;
	struct sha1_ctx sha;
};

struct writer {
	const struct image *img;
	uint32_t uid;
	uint32_t gid;
	struct out out;
	struct buf path;
	struct buf tree;   /* the TREE extension's content */
	uint32_t *entries; /* per place: how many index entries stand below */
	uint64_t entries_end;
	struct sha1_ctx extensions; /* for EOIE */
};

/* --- output ------------------------------------------------------------------------------------
 */

static int out_flush(struct out *o)
{
	int r;

	sha1_update(&o->sha, o->b.len, (const uint8_t *)o->b.data);
	r = io_pwrite_full(o->fd, o->b.data, o->b.len, o->off);
	if (r < 0)
		return r;
	o->off += o->b.len;
	buf_clear(&o->b);
	return 0;
}

static int out_add(struct out *o, const void *p, size_t n)
{
	int r = buf_add(&o->b, p, n);

	return r == 0 && o->b.len >= FLUSH ? out_flush(o) : r;
}

static void put32(uint8_t *p, uint64_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

/* --- entries -----------------------------------------------------------------------------------
 */

static int write_entry(struct writer *w, uint32_t place, const struct image_node *n)
{
	static const uint8_t zeros[8];
	uint64_t time = image_time_ns(w->img);
	uint8_t e[62];
	size_t len = w->path.len, flags = len < NAME_IN_FLAGS ? len : NAME_IN_FLAGS;
	int r;

	put32(e, time / 1000000000);
	put32(e + 4, time % 1000000000);
	memcpy(e + 8, e, 8);
	put32(e + 16, 0);
	put32(e + 20, image_ino(place));
	put32(e + 24, n->mode);
	put32(e + 28, w->uid);
	put32(e + 32, w->gid);
	put32(e + 36, n->size);
	memcpy(e + 40, n->oid, OID_SIZE);
	e[60] = (uint8_t)(flags >> 8);
	e[61] = (uint8_t)flags;
	r = out_add(&w->out, e, sizeof(e));
	if (r == 0)
		r = out_add(&w->out, w->path.data, len);
	if (r == 0)
		r = out_add(&w->out, zeros, 8 - (sizeof(e) + len) % 8);
	return r;
}

/* A child with its name, to be sorted. */
struct child {
	const char *name;
	size_t len;
	uint32_t place;
	bool dir;
};

static int compare_bytes(const struct child *a, const struct child *b)
{
	return memcmp(a->name, b->name, a->len < b->len ? a->len : b->len);
}

/* As if the names of folders ended in '/'. No two are equal: the image holds each name once. */
static int compare_git(const void *pa, const void *pb)
{
	const struct child *a = pa, *b = pb;
	int c = compare_bytes(a, b);
	unsigned char x, y;

	if (c != 0)
		return c;
	if (a->len == b->len)
		return 0;
	x = a->len > b->len ? (unsigned char)a->name[b->len] : a->dir ? '/' : '\0';
	y = b->len > a->len ? (unsigned char)b->name[a->len] : b->dir ? '/' : '\0';
	return x - y;
}

static int compare_subtrees(const void *pa, const void *pb)
{
	const struct child *a = pa, *b = pb;

	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return compare_bytes(a, b);
}

/* The children of a folder, or the folders among them; caller frees. */
static int list_children(struct writer *w, uint32_t dir, bool dirs_only, struct child **ret,
			 size_t *ret_n)
{
	const struct image_node *d = image_node(w->img, dir);
	_cleanup_free_ struct child *v = d ? sys_calloc(d->children, sizeof(*v)) : NULL;
	size_t count = 0;

	if (!d)
		return -EBADMSG;
	if (!v)
		return -ENOMEM;
	for (uint32_t i = 0; i < d->children; i++) {
		const struct image_node *n = image_node(w->img, d->first_child + i);
		struct child *c = &v[count];

		if (!n || n->parent != dir)
			return -EBADMSG;
		c->place = d->first_child + i;
		c->dir = n->mode == 0040000;
		c->name = image_name(w->img, n, &c->len);
		count += !dirs_only || c->dir;
	}
	*ret = TAKE_PTR(v);
	*ret_n = count;
	return 0;
}

static int write_folder(struct writer *w, uint32_t dir);

static int write_child(struct writer *w, const struct child *c)
{
	const struct image_node *n = image_node(w->img, c->place);
	size_t before = w->path.len;
	int r = before > 0 ? buf_addc(&w->path, '/') : 0;

	if (r == 0)
		r = buf_add(&w->path, c->name, c->len);
	if (r == 0 && w->path.len > PATH_LEN_MAX)
		r = -EBADMSG;
	if (r == 0 && c->dir)
		r = write_folder(w, c->place);
	else if (r == 0)
		r = write_entry(w, c->place, n);
	w->path.len = before;
	return r;
}

/* Recursion is bounded by the path: names have at least one byte. */
static int write_folder(struct writer *w, uint32_t dir)
{
	_cleanup_free_ struct child *v = NULL;
	size_t n;
	int r = list_children(w, dir, false, &v, &n);

	if (r < 0)
		return r;
	qsort(v, n, sizeof(*v), compare_git);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = write_child(w, &v[i]);
	return r;
}

/* --- TREE extension ----------------------------------------------------------------------------
 */

/* Level order makes it one pass from the end: children stand after their folder. */
static int count_entries(struct writer *w)
{
	uint32_t count = image_count(w->img);

	w->entries = sys_calloc(count, sizeof(*w->entries));
	if (!w->entries)
		return -ENOMEM;
	for (uint32_t i = count; i-- > 0;) {
		const struct image_node *n = image_node(w->img, i);

		if (!n)
			return -EBADMSG;
		if (n->mode != 0040000)
			w->entries[i] = 1;
		if (i > 0)
			w->entries[n->parent] += w->entries[i];
	}
	return 0;
}

static int add_tree(struct writer *w, uint32_t dir)
{
	const struct image_node *d = image_node(w->img, dir);
	_cleanup_free_ struct child *v = NULL;
	size_t n, len;
	const char *name;
	int r = list_children(w, dir, true, &v, &n);

	if (r < 0)
		return r;
	name = image_name(w->img, d, &len);
	r = buf_add(&w->tree, name, len);
	if (r == 0)
		r = buf_addc(&w->tree, '\0');
	if (r == 0)
		r = buf_addf(&w->tree, "%u %zu\n", w->entries[dir], n);
	if (r == 0)
		r = buf_add(&w->tree, d->oid, OID_SIZE);
	qsort(v, n, sizeof(*v), compare_subtrees);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = add_tree(w, v[i].place);
	return r;
}

/* Begins an extension of n bytes. */
static int write_extension_head(struct writer *w, const char *letters, size_t n)
{
	uint8_t head[8];

	memcpy(head, letters, 4);
	put32(head + 4, n);
	sha1_update(&w->extensions, sizeof(head), head);
	return out_add(&w->out, head, sizeof(head));
}

static int write_tree_extension(struct writer *w)
{
	int r = add_tree(w, 0);

	if (r == 0 && w->tree.len > UINT32_MAX)
		r = -EFBIG;
	if (r < 0)
		return r;
	r = write_extension_head(w, "TREE", w->tree.len);
	return r < 0 ? r : out_add(&w->out, w->tree.data, w->tree.len);
}

/* --- FSMN extension ----------------------------------------------------------------------------
 * As of the base image nothing is dirty: an empty EWAH bitmap (0 bits, one word of 0, its running
 * length word at 0), so that git asks the view what changed since, and looks at nothing else. */

static int write_fsmonitor_extension(struct writer *w)
{
	static const char token[] = IMAGE_INDEX_TOKEN;
	uint8_t version[4], ewah[4 + 20] = {0};
	int r;

	put32(version, 2);
	put32(ewah, sizeof(ewah) - 4); /* its size, then: bits 0, words 1, the word, position 0 */
	put32(ewah + 8, 1);
	r = write_extension_head(w, "FSMN", sizeof(version) + sizeof(token) + sizeof(ewah));
	if (r == 0)
		r = out_add(&w->out, version, sizeof(version));
	if (r == 0)
		r = out_add(&w->out, token, sizeof(token));
	return r < 0 ? r : out_add(&w->out, ewah, sizeof(ewah));
}

/* --- UNTR and EOIE --- */

static int write_untracked_extension(struct writer *w)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = out_flush(&w->out); /* the checksum is that of all before */

	if (r == 0)
		r = image_add_untracked(w->img, w->entries, &w->out.sha, &b);
	if (r < 0)
		return r == -ENODATA ? 0 : r; /* git does without it */
	r = write_extension_head(w, "UNTR", b.len - 8);
	return r < 0 ? r : out_add(&w->out, b.data + 8, b.len - 8);
}

static int write_end_extension(struct writer *w)
{
	uint8_t body[4 + SHA1_DIGEST_SIZE];
	int r;

	if (w->entries_end > UINT32_MAX)
		return 0;
	put32(body, w->entries_end);
	sha1_digest(&w->extensions, SHA1_DIGEST_SIZE, body + 4);
	r = write_extension_head(w, "EOIE", sizeof(body));
	return r < 0 ? r : out_add(&w->out, body, sizeof(body));
}

/* --- whole -------------------------------------------------------------------------------------
 */

static int write_trailer(struct out *o)
{
	uint8_t sum[SHA1_DIGEST_SIZE];
	int r = out_flush(o);

	if (r < 0)
		return r;
	sha1_digest(&o->sha, sizeof(sum), sum);
	return io_pwrite_full(o->fd, sum, sizeof(sum), o->off);
}

static int write_index(struct writer *w)
{
	uint8_t head[12] = {'D', 'I', 'R', 'C', 0, 0, 0, 2};
	int r = count_entries(w);

	if (r < 0)
		return r;
	put32(head + 8, w->entries[0]);
	r = out_add(&w->out, head, sizeof(head));
	if (r == 0)
		r = write_folder(w, 0);
	w->entries_end = w->out.off + w->out.b.len;
	if (r == 0)
		r = write_tree_extension(w);
	if (r == 0)
		r = write_fsmonitor_extension(w);
	if (r == 0)
		r = write_untracked_extension(w);
	if (r == 0)
		r = write_end_extension(w);
	return r < 0 ? r : write_trailer(&w->out);
}

int image_write_index(const struct image *img, uint32_t uid, uint32_t gid, int fd,
		      struct err *reterr)
{
	struct writer w = {.img = img, .uid = uid, .gid = gid, .out.fd = fd};
	int r;

	sha1_init(&w.out.sha);
	sha1_init(&w.extensions);
	r = write_index(&w);
	buf_release(&w.out.b);
	buf_release(&w.path);
	buf_release(&w.tree);
	free(w.entries);
	if (r == -EBADMSG)
		return err_set(reterr, r, "write index: the image is damaged; remove it");
	if (r < 0)
		return err_set(reterr, r, "write index: %s", strerror(-r));
	return 0;
}
