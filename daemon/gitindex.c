/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Git's index (Documentation/gitformat-index, versions 2 to 4), big-endian:
 *
 *   "DIRC", u32 version, u32 entries
 *   entry:  ctime s, ns, mtime s, ns, dev, ino, mode, uid, gid, size: ten u32; 20 bytes id; u16 flags
 *           (0x4000: two more bytes of flags follow; 0x3000: side of a conflict; 0xfff: length of the
 *           path, or more); path; NULs to a multiple of 8. In version 4 instead of the path: how many
 *           bytes to drop from the end of the path before, as a varint, what to append, NUL
 *   extensions: four letters, u32 length, content
 *   SHA-1 of all before (not checked, as git does not: every read is bounded instead)
 *
 * Extensions in what is written:
 *   TREE   kept; folders on the way to what was edited are marked as unknown
 *   REUC   kept as it is
 *   FSMN, UNTR  kept where no entry came or went: the first counts entries, the second lists what has
 *          none. What is edited in place they describe as before: git asks the view since the same
 *          token, and sees the new stat data
 *   EOIE, IEOT  dropped: places in a file that is another now
 *   others with a capital dropped; others (link, sdir) mean that entries stand elsewhere: refused
 */
#include "gitindex.h"

#include <errno.h>
#include <nettle/sha1.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "sys.h"

enum {
	HEAD = 12,
	FIXED = 62, /* of an entry, in front of the path */
	FLAG_EXTENDED = 0x4000,
	FLAG_STAGE = 0x3000,
	FLAG2_SKIP = 0x40, /* in the first of the two further bytes */
	FLAG_NAME = 0xfff,
	DEPTH_MAX = 4096,
};

struct entry {
	const char *name; /* in the bytes, or (version 4) in names */
	uint32_t len;
	uint32_t off; /* of its begin */
	uint32_t end; /* behind its padding */
	uint16_t flags;
};

struct gitindex {
	struct buf bytes;
	struct buf names; /* version 4 */
	struct entry *v;
	size_t n;
	size_t end; /* of the entries */
	unsigned version;
	bool conflicts;
};

static uint32_t get32(const void *p)
{
	const uint8_t *b = p;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void put32(void *p, uint32_t v)
{
	uint8_t *b = p;

	b[0] = (uint8_t)(v >> 24);
	b[1] = (uint8_t)(v >> 16);
	b[2] = (uint8_t)(v >> 8);
	b[3] = (uint8_t)v;
}

/* --- reading -----------------------------------------------------------------------------------
 */

/* The name of a version 4 entry at `at`; its place in x->names, as they may move. */
static int read_suffix(struct gitindex *x, size_t *at, size_t end, size_t *ret_place,
		       size_t *ret_len)
{
	const uint8_t *p = (const uint8_t *)x->bytes.data;
	size_t last = x->n ? (size_t)(uintptr_t)x->v[x->n - 1].name : 0, drop = 0;
	size_t have = x->n ? x->v[x->n - 1].len : 0, len, place = x->names.len;
	const void *nul;
	int r;

	for (unsigned i = 0;; i++) {
		if (*at >= end || i > 4)
			return -EBADMSG;
		drop = (drop + (i ? 1 : 0)) << (i ? 7 : 0) | (p[*at] & 0x7f);
		if (!(p[(*at)++] & 0x80))
			break;
	}
	nul = memchr(p + *at, 0, end - *at);
	if (!nul || drop > have)
		return -EBADMSG;
	len = (size_t)((const uint8_t *)nul - (p + *at));
	r = buf_reserve(&x->names, have - drop + len + 1);
	if (r == 0 && have - drop)
		r = buf_add(&x->names, x->names.data + last, have - drop);
	if (r == 0)
		r = buf_add(&x->names, p + *at, len + 1);
	*at += len + 1;
	*ret_place = place;
	*ret_len = have - drop + len;
	return r;
}

static int read_entry(struct gitindex *x, size_t *at, size_t end)
{
	const char *p = x->bytes.data;
	struct entry e = {.off = (uint32_t)*at};
	size_t name = *at + FIXED, len;
	const char *nul;
	int r;

	if (end - *at < FIXED + 1)
		return -EBADMSG;
	e.flags = (uint16_t)((uint8_t)p[*at + 60] << 8 | (uint8_t)p[*at + 61]);
	if (e.flags & FLAG_EXTENDED)
		name += 2;
	if (x->version == 4) {
		size_t place;

		r = read_suffix(x, &name, end, &place, &len);
		if (r < 0)
			return r;
		e.name = (const char *)(uintptr_t)place; /* becomes a pointer at the end */
		*at = name;
	} else {
		nul = name < end ? memchr(p + name, 0, end - name) : NULL;
		if (!nul)
			return -EBADMSG;
		len = (size_t)(nul - (p + name));
		e.name = p + name;
		*at += (name - *at + len + 8) & ~(size_t)7;
		if (*at > end)
			return -EBADMSG;
	}
	if (len == 0) /* a split index says so: the name stands elsewhere */
		return -EPROTONOSUPPORT;
	e.len = (uint32_t)len;
	e.end = (uint32_t)*at;
	x->conflicts |= (e.flags & FLAG_STAGE) != 0;
	x->v[x->n++] = e;
	return 0;
}

static int read_entries(struct gitindex *x, size_t end)
{
	size_t count = get32(x->bytes.data + 8), at = HEAD;
	int r = 0;

	if (count > (end - HEAD) / (FIXED + 1))
		return -EBADMSG;
	x->v = sys_calloc(count + 1, sizeof(*x->v));
	if (!x->v)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < count; i++)
		r = read_entry(x, &at, end);
	if (x->version == 4)
		for (size_t i = 0; i < x->n; i++)
			x->v[i].name = x->names.data + (uintptr_t)x->v[i].name;
	x->end = at;
	return r;
}

/* One extension at `at`: its content's length; its name is in front. */
static int extension(const struct gitindex *x, size_t at, size_t *ret_len)
{
	size_t end = x->bytes.len - SHA1_DIGEST_SIZE;

	if (end - at < 8 || get32(x->bytes.data + at + 4) > end - at - 8)
		return -EBADMSG;
	*ret_len = get32(x->bytes.data + at + 4);
	return 0;
}

static int check_extensions(const struct gitindex *x)
{
	size_t len;

	for (size_t at = x->end; at < x->bytes.len - SHA1_DIGEST_SIZE; at += 8 + len) {
		int r = extension(x, at, &len);

		if (r < 0)
			return r;
		if (memcmp(x->bytes.data + at, "sdir", 4) == 0)
			return -EOPNOTSUPP;
		if (memcmp(x->bytes.data + at, "link", 4) == 0)
			return -EPROTONOSUPPORT;
		if (x->bytes.data[at] < 'A' || x->bytes.data[at] > 'Z')
			return -EBADMSG;
	}
	return 0;
}

static int parse(struct gitindex *x)
{
	int r;

	if (x->bytes.len < HEAD + SHA1_DIGEST_SIZE || x->bytes.len > UINT32_MAX ||
	    memcmp(x->bytes.data, "DIRC", 4) != 0)
		return -EBADMSG;
	x->version = get32(x->bytes.data + 4);
	if (x->version < 2 || x->version > 4)
		return -EBADMSG;
	r = read_entries(x, x->bytes.len - SHA1_DIGEST_SIZE);
	return r == 0 ? check_extensions(x) : r;
}

int gitindex_parse(struct buf *bytes, struct gitindex **ret, struct err *reterr)
{
	struct gitindex *x = sys_calloc(1, sizeof(*x));
	int r = x ? 0 : -ENOMEM;

	if (r == 0) {
		x->bytes = *bytes;
		*bytes = BUF_INIT;
		r = parse(x);
	} else {
		buf_release(bytes);
	}
	if (r < 0) {
		gitindex_free(x);
		return err_set(reterr, r, "reading the view's index: %s",
			       r == -ENOMEM ? strerror(-r)
					    : "it is damaged, or in a form not known here");
	}
	*ret = x;
	return 0;
}

void gitindex_free(struct gitindex *x)
{
	if (!x)
		return;
	buf_release(&x->bytes);
	buf_release(&x->names);
	free(x->v);
	free(x);
}

bool gitindex_has_conflicts(const struct gitindex *x)
{
	return x->conflicts;
}

/* Place of the first entry that is not before `name`. */
static size_t lower_bound(const struct gitindex *x, const char *name, size_t len)
{
	size_t low = 0, high = x->n;

	while (low < high) {
		size_t mid = (low + high) / 2;
		const struct entry *e = &x->v[mid];
		int c = memcmp(e->name, name, e->len < len ? e->len : len);

		if (c < 0 || (c == 0 && e->len < len))
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool is_named(const struct gitindex *x, size_t i, const char *name, size_t len)
{
	return i < x->n && x->v[i].len == len && memcmp(x->v[i].name, name, len) == 0;
}

bool gitindex_find(const struct gitindex *x, const char *path, struct gitindex_entry *ret)
{
	size_t len = strlen(path), i = lower_bound(x, path, len);
	const char *p;

	if (!is_named(x, i, path, len) || (x->v[i].flags & FLAG_STAGE))
		return false;
	p = x->bytes.data + x->v[i].off;
	*ret = (struct gitindex_entry){get32(p),      get32(p + 4),  get32(p + 8),  get32(p + 12),
				       get32(p + 16), get32(p + 20), get32(p + 24), get32(p + 28),
				       get32(p + 32), get32(p + 36), {{0}},	    false};
	memcpy(ret->oid.id, p + 40, GIT_OID_RAWSZ);
	ret->skip_worktree = (x->v[i].flags & FLAG_EXTENDED) && (p[62] & FLAG2_SKIP);
	return true;
}

/* --- editing -----------------------------------------------------------------------------------
 */

int gitindex_edit_order(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct edit {
	const struct gitindex *x;
	const struct gitindex_edit *edits;
	size_t n;
	struct buf *out;
	size_t begin;	  /* of the index in out */
	bool *gone;	  /* per entry: it makes room */
	size_t count;	  /* entries written */
	bool in_place;	  /* no entry comes or goes */
	const char *last; /* version 4: the name before */
	size_t last_len;
};

/* What cannot stand beside a path that is put in: its folders as files, files below it. */
static void make_room(struct edit *d, const char *path)
{
	const struct gitindex *x = d->x;
	size_t len = strlen(path);

	for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
		size_t n = (size_t)(slash - path), i = lower_bound(x, path, n);

		for (; is_named(x, i, path, n); i++)
			d->gone[i] = true;
	}
	for (size_t i = lower_bound(x, path, len); i < x->n; i++) {
		const struct entry *e = &x->v[i];

		if (e->len < len || memcmp(e->name, path, len) != 0)
			break;
		if (e->len > len && e->name[len] == '/')
			d->gone[i] = true;
		else if (e->len > len && e->name[len] > '/')
			break;
	}
}

static int plan(struct edit *d)
{
	d->in_place = true;
	for (size_t i = 0; i < d->n; i++) {
		const char *path = d->edits[i].path;
		size_t len = strlen(path), at = lower_bound(d->x, path, len);
		bool there = is_named(d->x, at, path, len);

		if (there && d->edits[i].e.mode && !(d->x->v[at].flags & FLAG_STAGE))
			continue;
		if (!there && !d->edits[i].e.mode && !d->edits[i].sides)
			continue;
		d->in_place = false;
		if (!there && !d->edits[i].sides)
			make_room(d, path);
	}
	return 0;
}

static void fixed_part(const struct gitindex_entry *e, char *p)
{
	const uint32_t v[] = {e->ctime_s, e->ctime_ns, e->mtime_s, e->mtime_ns, e->dev,
			      e->ino,	  e->mode,     e->uid,	   e->gid,	e->size};

	for (size_t i = 0; i < ARRAY_SIZE(v); i++)
		put32(p + 4 * i, v[i]);
	memcpy(p + 40, e->oid.id, GIT_OID_RAWSZ);
}

static int add_varint(struct buf *b, size_t v)
{
	uint8_t room[10], *p = room + sizeof(room) - 1;

	*p = v & 0x7f;
	while (v >>= 7)
		*--p = 0x80 | (--v & 0x7f);
	return buf_add(b, p, (size_t)(room + sizeof(room) - p));
}

/* Path and padding behind `fixed` bytes that are there already. */
static int add_name(struct edit *d, const char *name, size_t len, size_t fixed)
{
	static const char zeros[8];
	size_t same = 0;
	int r;

	if (d->x->version != 4) {
		r = buf_add(d->out, name, len);
		return r == 0 ? buf_add(d->out, zeros, 8 - (fixed + len) % 8) : r;
	}
	while (same < len && same < d->last_len && name[same] == d->last[same])
		same++;
	r = add_varint(d->out, d->last_len - same);
	if (r == 0)
		r = buf_add(d->out, name + same, len - same);
	d->last = name;
	d->last_len = len;
	return r == 0 ? buf_addc(d->out, '\0') : r;
}

static int add_old(struct edit *d, const struct entry *e)
{
	size_t fixed = FIXED + (e->flags & FLAG_EXTENDED ? 2 : 0);
	int r;

	d->count++;
	if (d->x->version != 4)
		return buf_add(d->out, d->x->bytes.data + e->off, e->end - e->off);
	r = buf_add(d->out, d->x->bytes.data + e->off, fixed);
	return r == 0 ? add_name(d, e->name, e->len, fixed) : r;
}

static int add_side(struct edit *d, const char *path, const struct gitindex_entry *e, size_t stage)
{
	size_t len = strlen(path), flags = (len < FLAG_NAME ? len : FLAG_NAME) | stage << 12;
	char fixed[FIXED];
	int r;

	if (!e->mode)
		return 0;
	d->count++;
	fixed_part(e, fixed);
	fixed[60] = (char)(flags >> 8);
	fixed[61] = (char)flags;
	r = buf_add(d->out, fixed, sizeof(fixed));
	return r == 0 ? add_name(d, path, len, FIXED) : r;
}

static int add_new(struct edit *d, const struct gitindex_edit *edit)
{
	int r = 0;

	if (!edit->sides)
		return add_side(d, edit->path, &edit->e, 0);
	for (size_t i = 0; r == 0 && i < 3; i++)
		r = add_side(d, edit->path, &edit->sides[i], i + 1);
	return r;
}

static int order(const struct entry *e, const char *path, size_t len)
{
	int c = memcmp(e->name, path, e->len < len ? e->len : len);

	return c ? c : e->len < len ? -1 : e->len > len;
}

/* Entries and edits merged; an edit stands for every side of its path. */
static int add_entries(struct edit *d)
{
	size_t at = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < d->n; i++) {
		const char *path = d->edits[i].path;
		size_t len = strlen(path);
		int c = -1;

		for (; r == 0 && at < d->x->n; at++) {
			c = order(&d->x->v[at], path, len);
			if (c > 0)
				break;
			if (c < 0 && !d->gone[at])
				r = add_old(d, &d->x->v[at]);
		}
		if (r == 0)
			r = add_new(d, &d->edits[i]);
	}
	for (; r == 0 && at < d->x->n; at++)
		if (!d->gone[at])
			r = add_old(d, &d->x->v[at]);
	return r;
}

/* --- extensions --------------------------------------------------------------------------------
 */

/* Is anything edited in or below this folder ("" or with its slash)? */
static bool is_touched(const struct edit *d, const struct buf *folder)
{
	size_t low = 0, high = d->n;

	if (!folder->len)
		return d->n > 0;
	while (low < high) {
		size_t mid = (low + high) / 2;

		if (strcmp(d->edits[mid].path, folder->data) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low < d->n && strncmp(d->edits[low].path, folder->data, folder->len) == 0;
}

/* One folder of TREE: name NUL, entries ' ' subfolders '\n', its id unless entries is negative; then
 * the subfolders. */
static int copy_tree(struct edit *d, const char **at, const char *end, struct buf *folder,
		     unsigned depth)
{
	const char *name = *at, *nul = memchr(name, 0, (size_t)(end - name)), *nl;
	size_t before = folder->len;
	char *stop;
	long entries, subs;
	int r;

	nl = nul ? memchr(nul, '\n', (size_t)(end - nul)) : NULL;
	if (!nl || depth > DEPTH_MAX)
		return -EBADMSG;
	entries = strtol(nul + 1, &stop, 10);
	subs = *stop == ' ' ? strtol(stop + 1, &stop, 10) : -1;
	if (stop != nl || subs < 0 || (entries >= 0 && end - nl - 1 < GIT_OID_RAWSZ))
		return -EBADMSG;
	*at = nl + 1 + (entries >= 0 ? GIT_OID_RAWSZ : 0);
	r = buf_add(folder, name, (size_t)(nul - name));
	if (r == 0 && depth)
		r = buf_addc(folder, '/');
	if (r == 0 && entries >= 0 && is_touched(d, folder)) {
		r = buf_add(d->out, name, (size_t)(nul - name) + 1);
		if (r == 0)
			r = buf_addf(d->out, "-1 %ld\n", subs);
	} else if (r == 0) {
		r = buf_add(d->out, name, (size_t)(*at - name));
	}
	for (; r == 0 && subs > 0; subs--)
		r = copy_tree(d, at, end, folder, depth + 1);
	folder->len = before;
	folder->data[before] = '\0';
	return r;
}

static int add_tree(struct edit *d, const char *p, size_t len)
{
	_cleanup_buf_ struct buf folder = BUF_INIT;
	size_t head = d->out->len;
	const char *at = p;
	int r = buf_add(d->out, "TREE\0\0\0", 8);

	if (r == 0)
		r = buf_add(&folder, "", 0);
	if (r == 0)
		r = copy_tree(d, &at, p + len, &folder, 0);
	if (r == -EBADMSG) { /* git does without it */
		d->out->len = head;
		return 0;
	}
	if (r == 0)
		put32(d->out->data + head + 4, (uint32_t)(d->out->len - head - 8));
	return r;
}

static int add_extensions(struct edit *d)
{
	const struct gitindex *x = d->x;
	size_t len;
	int r = 0;

	for (size_t at = x->end; r == 0 && at < x->bytes.len - SHA1_DIGEST_SIZE; at += 8 + len) {
		const char *p = x->bytes.data + at;

		r = extension(x, at, &len);
		if (r == 0 && memcmp(p, "TREE", 4) == 0 && len)
			r = add_tree(d, p + 8, len);
		else if (r == 0 && (memcmp(p, "REUC", 4) == 0 ||
				    (d->in_place &&
				     (memcmp(p, "FSMN", 4) == 0 || memcmp(p, "UNTR", 4) == 0))))
			r = buf_add(d->out, p, 8 + len);
	}
	return r;
}

static int add_sum(struct edit *d)
{
	uint8_t sum[SHA1_DIGEST_SIZE];
	struct sha1_ctx sha;

	put32(d->out->data + d->begin + 8, (uint32_t)d->count);
	sha1_init(&sha);
	sha1_update(&sha, d->out->len - d->begin, (const uint8_t *)d->out->data + d->begin);
	sha1_digest(&sha, sizeof(sum), sum);
	return buf_add(d->out, sum, sizeof(sum));
}

int gitindex_edit(const struct gitindex *x, const struct gitindex_edit *edits, size_t n,
		  struct buf *ret)
{
	_cleanup_free_ bool *gone = sys_calloc(x->n + 1, sizeof(*gone));
	struct edit d = {.x = x, .edits = edits, .n = n, .out = ret, .begin = ret->len};
	int r;

	if (!gone)
		return -ENOMEM;
	d.gone = gone;
	r = plan(&d);
	if (r == 0)
		r = buf_reserve(ret, x->bytes.len + n * 128);
	if (r == 0)
		r = buf_add(ret, x->bytes.data, HEAD);
	if (r == 0)
		r = add_entries(&d);
	if (r == 0)
		r = add_extensions(&d);
	return r == 0 ? add_sum(&d) : r;
}
