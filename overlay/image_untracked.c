/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Git's untracked cache for a whole image: no folder holds an untracked file.
 *
 * With it the first `git status` of a view opens no folder: git asks the view what changed since the base (FSMN)
 * and looks at those folders alone. Without it, it reads every folder once, which is most of its time.
 *
 * Invariants: (1) git believes it only where it names the view's own path, which a prepared index, shared by all views
 * on a base, cannot do: it has room for one, and a name that is no path; each view writes its own over that in its
 * copy. (2) It says nothing that is wrong without fsmonitor: folders carry no stat data, so that git
 * looks at each. (3) A folder with a .gitignore carries its id; where that is no file nothing is said at all.
 *
 * The extension (git's gitformat-index), numbers as git's varints where not said otherwise:
 *
 *   "UNTR", u32 length
 *   512, the ident: "Location <path>, system <name>" NUL, and NULs. Here instead: NUL "AFSMID1", u64 n, five u32:
 *   the state of SHA-1 after the n bytes before, n a multiple of 64, so that a view need not hash the entries
 *   36 + 36 bytes of stat data, of info/exclude and the user's excludes file: zeros, not looked at
 *   u32 6: folders are listed as one name, empty ones not at all
 *   20 + 20 bytes: ids of these two files; zeros: there is none
 *   ".gitignore" NUL
 *   folders; then of each, depth first, names in bytewise order: untracked names 0, subfolders, name NUL
 *   three EWAH bitmaps: the folders that are valid (all); that were only checked (none); that have an id
 *   36 bytes of stat data for each folder: zeros; 20 bytes of id for each of the third; NUL
 *
 * An EWAH bitmap, big-endian: u32 bits, u32 words, u64 words, u32 place of the last marker. A marker: bit 0, the bit
 * that 32 bits' worth of words (bits 1 to 32) repeat; from bit 33 on, how many words as they are follow.
 */
#include "image_untracked.h"

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "cleanup.h"
#include "io.h"
#include "sys.h"

enum { STAT = 36, OID = 20, EXTENSIONS = 16, FLAGS = 6, UNTR_MAX = 256 << 20, EOIE = 8 + 4 + OID };

static const char mark[8] = "\0AFSMID1";

struct folders {
	const struct image *img;
	const uint32_t *entries;
	struct buf blocks, ids;
	uint64_t *has_id; /* a bit for each, in order */
	uint32_t n;
};

static int add_varint(struct buf *b, uint64_t v)
{
	uint8_t bytes[10];
	size_t at = sizeof(bytes) - 1;

	bytes[at] = v & 127;
	while (v >>= 7)
		bytes[--at] = (uint8_t)(128 | (--v & 127));
	return buf_add(b, bytes + at, sizeof(bytes) - at);
}

static int add_u32(struct buf *b, uint32_t v)
{
	v = htobe32(v);
	return buf_add(b, &v, sizeof(v));
}

static int add_zeros(struct buf *b, uint64_t n)
{
	int r = buf_reserve(b, b->len + n + 1);

	if (r < 0)
		return r;
	memset(b->data + b->len, 0, n + 1);
	b->len += n;
	return 0;
}

static bool is_folder(const struct folders *f, uint32_t place, const struct image_node *n)
{
	return n->mode == 0040000 && f->entries[place];
}

/* The id of the folder's .gitignore, if there is one. */
static int add_ignore(struct folders *f, uint32_t dir)
{
	int64_t place = image_lookup(f->img, dir, ".gitignore", 10);
	const struct image_node *n = place < 0 ? NULL : image_node(f->img, (uint32_t)place);

	if (!n)
		return place == -ENOENT ? 0 : -EBADMSG;
	if (!S_ISREG(n->mode))
		return -ENODATA;
	f->has_id[f->n / 64] |= UINT64_C(1) << f->n % 64;
	return buf_add(&f->ids, n->oid, OID);
}

/* The index's writer has bounded depth and checked parents. */
static int add_folder(struct folders *f, uint32_t dir)
{
	const struct image_node *d = image_node(f->img, dir), *n;
	uint32_t subs = 0;
	const char *name;
	size_t len;
	int r = add_ignore(f, dir);

	f->n++;
	for (uint32_t i = 0; i < d->children && r == 0; i++) {
		n = image_node(f->img, d->first_child + i);
		subs += n && is_folder(f, d->first_child + i, n);
	}
	if (r == 0)
		r = add_varint(&f->blocks, 0);
	if (r == 0)
		r = add_varint(&f->blocks, subs);
	name = image_name(f->img, d, &len);
	if (r == 0)
		r = buf_add(&f->blocks, name, len);
	if (r == 0)
		r = buf_addc(&f->blocks, '\0');
	for (uint32_t i = 0; i < d->children && r == 0; i++) {
		n = image_node(f->img, d->first_child + i);
		if (n && is_folder(f, d->first_child + i, n))
			r = add_folder(f, d->first_child + i);
	}
	return r;
}

/* --- bitmaps --- */

static int add_word(struct buf *b, uint64_t v)
{
	v = htobe64(v);
	return buf_add(b, &v, sizeof(v));
}

/* How many words from i on are all `same`. */
static size_t run_of(const uint64_t *w, size_t i, size_t n, uint64_t same)
{
	size_t k = 0;

	while (i + k < n && w[i + k] == same)
		k++;
	return k;
}

static int add_bitmap(struct buf *b, const uint64_t *w, uint32_t bits)
{
	size_t n = (bits + 63u) / 64, head = b->len, last = 0, words = 0;
	int r = add_u32(b, bits);
	uint32_t be;

	if (r == 0)
		r = add_u32(b, 0);
	for (size_t i = 0; r == 0 && (i < n || !words);) {
		uint64_t same = i < n && w[i] == UINT64_MAX ? UINT64_MAX : 0;
		size_t run = run_of(w, i, n, same), plain = 0;

		while (i + run + plain < n && w[i + run + plain] != 0 &&
		       w[i + run + plain] != UINT64_MAX)
			plain++;
		last = words;
		words += 1 + plain;
		r = add_word(b, (same & 1) | (uint64_t)run << 1 | (uint64_t)plain << 33);
		for (size_t k = 0; k < plain && r == 0; k++)
			r = add_word(b, w[i + run + k]);
		i += run + plain;
	}
	if (r < 0)
		return r;
	be = htobe32((uint32_t)words);
	memcpy(b->data + head + 4, &be, sizeof(be));
	return add_u32(b, (uint32_t)last);
}

static int add_bitmaps(const struct folders *f, struct buf *b)
{
	_cleanup_free_ uint64_t *all = sys_calloc(f->n / 64 + 1, sizeof(*all));
	int r;

	if (!all)
		return -ENOMEM;
	for (uint32_t i = 0; i < f->n; i++)
		all[i / 64] |= UINT64_C(1) << i % 64;
	r = add_bitmap(b, all, f->n);
	if (r == 0)
		r = add_bitmap(b, NULL, 0);
	return r == 0 ? add_bitmap(b, f->has_id, f->n) : r;
}

/* --- the whole --- */

static int add_head(struct buf *b, const struct sha1_ctx *sha)
{
	size_t ident;
	int r = add_varint(b, UNTRACKED_IDENT);

	ident = b->len;
	if (r == 0)
		r = buf_add(b, mark, sizeof(mark));
	if (r == 0)
		r = add_word(b, sha->count * SHA1_BLOCK_SIZE);
	for (size_t i = 0; i < SHA1_DIGEST_SIZE / 4 && r == 0; i++)
		r = add_u32(b, sha->state[i]);
	if (r == 0)
		r = add_zeros(b, UNTRACKED_IDENT - (b->len - ident) + 2 * (uint64_t)STAT);
	if (r == 0)
		r = add_u32(b, FLAGS);
	if (r == 0)
		r = add_zeros(b, 2 * (uint64_t)OID);
	return r == 0 ? buf_add(b, ".gitignore", 11) : r;
}

static int add_all(struct folders *f, const struct sha1_ctx *sha, struct buf *b)
{
	size_t head = b->len;
	uint32_t be;
	int r = buf_add(b, "UNTR\0\0\0", 8);

	if (r == 0)
		r = add_head(b, sha);
	if (r == 0)
		r = add_folder(f, 0);
	if (r == 0)
		r = add_varint(b, f->n);
	if (r == 0)
		r = buf_add(b, f->blocks.data, f->blocks.len);
	if (r == 0)
		r = add_bitmaps(f, b);
	if (r == 0)
		r = add_zeros(b, (uint64_t)f->n * STAT);
	if (r == 0 && f->ids.len)
		r = buf_add(b, f->ids.data, f->ids.len);
	if (r == 0)
		r = buf_addc(b, '\0');
	if (r == 0 && b->len - head > UNTR_MAX)
		r = -ENODATA;
	if (r < 0) {
		b->len = head;
		return r;
	}
	be = htobe32((uint32_t)(b->len - head - 8));
	memcpy(b->data + head + 4, &be, sizeof(be));
	return 0;
}

int image_add_untracked(const struct image *img, const uint32_t *entries,
			const struct sha1_ctx *sha, struct buf *b)
{
	struct folders f = {.img = img, .entries = entries};
	_cleanup_free_ uint64_t *bits = sys_calloc(image_count(img) / 64 + 1, sizeof(*bits));
	int r;

	if (!bits)
		return -ENOMEM;
	f.has_id = bits;
	r = add_all(&f, sha, b);
	buf_release(&f.blocks);
	buf_release(&f.ids);
	return r;
}

/* --- a view's own --- */

static uint32_t get32(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

/* Where UNTR begins, told by EOIE at the end of the file (offset of the first extension). */
static int find(int fd, uint64_t size, uint64_t *ret)
{
	uint8_t h[12];
	uint64_t at;
	int r;

	if (size < EOIE + SHA1_DIGEST_SIZE)
		return -ENODATA;
	r = io_pread_full(fd, h, sizeof(h), size - SHA1_DIGEST_SIZE - EOIE);
	if (r < 0 || memcmp(h, "EOIE", 4) != 0)
		return r < 0 ? r : -ENODATA;
	at = get32(h + 8);
	for (int i = 0; i < EXTENSIONS && at < size - SHA1_DIGEST_SIZE - EOIE; i++) {
		r = io_pread_full(fd, h, 8, at);
		if (r < 0)
			return r;
		if (memcmp(h, "UNTR", 4) == 0) {
			*ret = at;
			return 0;
		}
		at += 8 + (uint64_t)get32(h + 4);
	}
	return -ENODATA;
}

static int set_head(uint8_t *head, const char *worktree, const void *exclude, size_t n)
{
	struct utsname u;
	struct sha1_ctx sha;
	char object[32];
	int k;

	if (uname(&u) < 0)
		return -errno;
	memset(head, 0, UNTRACKED_IDENT);
	k = snprintf((char *)head, UNTRACKED_IDENT, "Location %s, system %s", worktree, u.sysname);
	if (k < 0 || k >= UNTRACKED_IDENT)
		return -ENODATA;
	if (!exclude)
		return 0;
	sha1_init(&sha);
	/* Git adds a line's end to a file that is not empty before it hashes it. */
	k = snprintf(object, sizeof(object), "blob %zu", n + (n > 0));
	sha1_update(&sha, (size_t)k + 1, (const uint8_t *)object);
	sha1_update(&sha, n, exclude);
	sha1_update(&sha, n > 0, (const uint8_t *)"\n");
	sha1_digest(&sha, OID, head + UNTRACKED_IDENT + 2 * (size_t)STAT + 4);
	return 0;
}

/* SHA-1 goes on from the state that is noted in the ident, which stands at *ret_at of the file. */
static int resume(const uint8_t *ident, uint64_t before, struct sha1_ctx *sha, uint64_t *ret_at)
{
	uint64_t n;

	if (memcmp(ident, mark, sizeof(mark)) != 0)
		return -ENODATA;
	memcpy(&n, ident + 8, sizeof(n));
	n = be64toh(n);
	if (n > before || before - n > 2 * SHA1_BLOCK_SIZE || n % SHA1_BLOCK_SIZE)
		return -EBADMSG;
	sha1_init(sha);
	sha->count = n / SHA1_BLOCK_SIZE;
	for (size_t i = 0; i < SHA1_DIGEST_SIZE / 4; i++)
		sha->state[i] = get32(ident + 16 + 4 * i);
	*ret_at = n;
	return 0;
}

int untracked_patch(int fd, const char *worktree, const void *exclude, size_t exclude_len,
		    struct untracked_patch *ret)
{
	_cleanup_free_ uint8_t *rest = NULL;
	struct sha1_ctx sha;
	struct stat st;
	uint64_t untr = 0, at = 0, n;
	int r = fstat(fd, &st) < 0 ? -errno : find(fd, (uint64_t)st.st_size, &untr);

	if (r < 0)
		return r;
	ret->head_at = untr + 8 + 2; /* behind the two bytes of a varint of 512 */
	ret->sum_at = (uint64_t)st.st_size - SHA1_DIGEST_SIZE;
	if (ret->sum_at < ret->head_at + UNTRACKED_HEAD || ret->sum_at - untr > UNTR_MAX + 1024u)
		return -EBADMSG;
	r = io_pread_full(fd, ret->head, UNTRACKED_HEAD, ret->head_at);
	if (r == 0)
		r = resume(ret->head, untr, &sha, &at);
	if (r == 0)
		r = set_head(ret->head, worktree, exclude, exclude_len);
	if (r < 0)
		return r;
	n = ret->sum_at - at;
	rest = sys.malloc(n);
	r = rest ? io_pread_full(fd, rest, n, at) : -ENOMEM;
	if (r < 0)
		return r;
	memcpy(rest + (ret->head_at - at), ret->head, UNTRACKED_HEAD);
	sha1_update(&sha, n, rest);
	sha1_digest(&sha, sizeof(ret->sum), ret->sum);
	return 0;
}
