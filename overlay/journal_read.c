/* SPDX-License-Identifier: Apache-2.0 */
/* The journal's bytes, read: headers, batches, and the search for a durable point behind damage. */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "cleanup.h"
#include "io.h"
#include "journal_impl.h"
#include "sys.h"

enum {
	VERSION = 1,
	HASH_XXH3_64 = 1,
	COMPAT_KNOWN = 0,
	INCOMPAT_KNOWN = 0,
	READ_AHEAD = 256 << 10,
	BATCH_MAGIC = 0x4342544a, /* "JTBC" */
};

static const char head_magic[8] = {'A', 'F', 'S', 'J', 'R', 'N', 'L', '\n'};

/* As on disk; see journal.c. */
struct disk_head {
	char magic[8];
	uint16_t version;
	uint16_t hash;
	uint32_t header_size;
	uint32_t compat;
	uint32_t incompat;
	uint64_t number;
	uint64_t first_seq;
	uint8_t owner_id[16];
	uint64_t prev_number;
	uint64_t prev_chain;
	uint8_t prev_seal[32];
	uint64_t created;
	uint64_t salt;
	uint64_t durable;
	uint8_t reserved[56];
	uint64_t checksum;
};
_Static_assert(sizeof(struct disk_head) == JOURNAL_HEADER_SIZE, "no padding");

struct disk_batch {
	uint32_t magic;
	uint32_t length;
	uint64_t durable;
	uint64_t first_seq;
	uint32_t nrecords;
	uint32_t reserved;
	uint64_t chain;
	uint64_t checksum;
};
_Static_assert(sizeof(struct disk_batch) == JOURNAL_BATCH_HEADER, "no padding");

uint64_t journal_seed(uint64_t salt, uint64_t number)
{
	return salt ^ (number * UINT64_C(0x9e3779b97f4a7c15));
}

void journal_head_write(uint8_t p[JOURNAL_HEADER_SIZE], const struct journal_head *h)
{
	struct disk_head d = {
		.version = htole16(VERSION),
		.hash = htole16(HASH_XXH3_64),
		.header_size = htole32(JOURNAL_HEADER_SIZE),
		.number = htole64(h->number),
		.first_seq = htole64(h->first_seq),
		.prev_number = htole64(h->number - 1),
		.prev_chain = htole64(h->chain),
		.created = htole64(h->created),
		.salt = htole64(h->salt),
		.durable = htole64(h->durable),
	};

	memcpy(d.magic, head_magic, sizeof(d.magic));
	memcpy(d.owner_id, h->owner_id, sizeof(d.owner_id));
	d.checksum = htole64(XXH3_64bits(&d, offsetof(struct disk_head, checksum)));
	memcpy(p, &d, sizeof(d));
}

int journal_head_read(const uint8_t p[JOURNAL_HEADER_SIZE], struct journal_head *ret)
{
	struct disk_head d;

	memcpy(&d, p, sizeof(d));
	if (memcmp(d.magic, head_magic, sizeof(d.magic)) != 0 ||
	    le64toh(d.checksum) != XXH3_64bits(&d, offsetof(struct disk_head, checksum)))
		return -EBADMSG;
	if (le16toh(d.version) != VERSION || le16toh(d.hash) != HASH_XXH3_64 ||
	    le32toh(d.header_size) != JOURNAL_HEADER_SIZE ||
	    (le32toh(d.incompat) & ~(uint32_t)INCOMPAT_KNOWN))
		return -EPROTONOSUPPORT;
	if (d.number == 0 || d.first_seq == 0 || le64toh(d.prev_number) != le64toh(d.number) - 1)
		return -EBADMSG;
	*ret = (struct journal_head){
		.number = le64toh(d.number),
		.first_seq = le64toh(d.first_seq),
		.chain = le64toh(d.prev_chain),
		.created = le64toh(d.created),
		.salt = le64toh(d.salt),
		.durable = le64toh(d.durable),
	};
	memcpy(ret->owner_id, d.owner_id, sizeof(ret->owner_id));
	return 0;
}

void journal_batch_write(uint8_t p[JOURNAL_BATCH_HEADER], const struct journal_batch_head *h,
			 uint64_t seed)
{
	struct disk_batch d = {
		.magic = htole32(BATCH_MAGIC),
		.length = htole32(h->length),
		.durable = htole64(h->durable),
		.first_seq = htole64(h->first_seq),
		.nrecords = htole32(h->nrecords),
		.chain = htole64(h->chain),
	};

	d.checksum = htole64(XXH3_64bits_withSeed(&d, offsetof(struct disk_batch, checksum), seed));
	memcpy(p, &d, sizeof(d));
}

int journal_batch_read(const uint8_t p[JOURNAL_BATCH_HEADER], uint64_t seed,
		       struct journal_batch_head *ret)
{
	static const struct disk_batch empty;
	struct disk_batch d;
	uint32_t length;

	memcpy(&d, p, sizeof(d));
	if (memcmp(&d, &empty, sizeof(d)) == 0)
		return -ENODATA;
	if (le32toh(d.magic) != BATCH_MAGIC ||
	    le64toh(d.checksum) !=
		    XXH3_64bits_withSeed(&d, offsetof(struct disk_batch, checksum), seed))
		return -EBADMSG;
	length = le32toh(d.length);
	if (length < JOURNAL_BATCH_HEADER || length > JOURNAL_BATCH_MAX || length % 8 != 0 ||
	    d.reserved != 0)
		return -EBADMSG;
	*ret = (struct journal_batch_head){
		.length = length,
		.nrecords = le32toh(d.nrecords),
		.durable = le64toh(d.durable),
		.first_seq = le64toh(d.first_seq),
		.chain = le64toh(d.chain),
	};
	return 0;
}

/* Borrowed bytes [off, off + n) of the segment; the caller knows that they lie inside. */
static int window(struct journal_walk *w, uint64_t off, size_t n, const uint8_t **ret)
{
	size_t want;
	int r;

	assert(off + n <= w->size);
	if (off < w->win_off || off + n > w->win_off + w->win.len) {
		want = n < READ_AHEAD ? READ_AHEAD : n;
		if (want > w->size - off)
			want = (size_t)(w->size - off);
		buf_clear(&w->win);
		r = buf_reserve(&w->win, want);
		if (r < 0)
			return r;
		r = io_pread_full(w->fd, w->win.data, want, off);
		if (r < 0)
			return r;
		w->win_off = off;
		w->win.len = want;
	}
	*ret = (const uint8_t *)w->win.data + (off - w->win_off);
	return 0;
}

void journal_walk_refresh(struct journal_walk *w)
{
	buf_clear(&w->win);
}

int journal_batch_next(struct journal_batch *b, struct record *ret)
{
	size_t len;
	int r;

	if (b->left == 0)
		return 0;
	r = record_decode(b->p, b->n, &b->chain, ret, &len);
	if (r < 0)
		return -EBADMSG;
	b->p += len;
	b->n -= len;
	b->left--;
	return 1;
}

/* All records whole, in sequence, and nothing but padding behind them. */
static int check_batch(const struct journal_batch *batch, uint64_t *ret_chain)
{
	struct journal_batch b = *batch;
	uint64_t seq = b.head.first_seq;
	struct record rec;
	int r;

	while ((r = journal_batch_next(&b, &rec)) > 0)
		if (rec.seq != seq++)
			return -EBADMSG;
	if (r < 0 || b.n >= 8)
		return -EBADMSG;
	for (size_t i = 0; i < b.n; i++)
		if (b.p[i] != 0)
			return -EBADMSG;
	*ret_chain = b.chain;
	return 0;
}

int journal_walk_next(struct journal_walk *w, struct journal_batch *ret)
{
	struct journal_batch b = {.off = w->pos};
	const uint8_t *p;
	uint64_t chain;
	int r;

	if (w->pos + JOURNAL_BATCH_HEADER > w->size)
		return 0;
	r = window(w, w->pos, JOURNAL_BATCH_HEADER, &p);
	if (r < 0)
		return r;
	r = journal_batch_read(p, w->seed, &b.head);
	if (r < 0)
		return r == -ENODATA ? 0 : r;
	if (b.head.length > w->size - w->pos || b.head.chain != w->chain ||
	    b.head.first_seq != w->seq + 1)
		return -EBADMSG;
	r = window(w, w->pos, b.head.length, &p);
	if (r < 0)
		return r;
	b.p = p + JOURNAL_BATCH_HEADER;
	b.n = b.head.length - JOURNAL_BATCH_HEADER;
	b.chain = b.head.chain;
	b.left = b.head.nrecords;
	r = check_batch(&b, &chain);
	if (r < 0)
		return r;

	w->pos += b.head.length;
	w->chain = chain;
	w->seq += b.head.nrecords;
	if (b.head.durable > w->durable)
		w->durable = b.head.durable;
	*ret = b;
	return 1;
}

int journal_head_load(int fd, uint64_t number, const uint8_t *owner_id, struct journal_head *ret)
{
	uint8_t p[JOURNAL_HEADER_SIZE];
	struct journal_head h;
	uint64_t size;
	int r;

	r = segfile_size(fd, &size);
	if (r < 0)
		return r;
	if (size < sizeof(p))
		return -EBADMSG;
	r = io_pread_full(fd, p, sizeof(p), 0);
	if (r < 0)
		return r;
	r = journal_head_read(p, &h);
	if (r < 0)
		return r;
	if (h.number != number ||
	    (owner_id && memcmp(h.owner_id, owner_id, sizeof(h.owner_id)) != 0))
		return -EUCLEAN;
	*ret = h;
	return 0;
}

static int load_head(int dir, const uint8_t *owner_id, struct journal_list *l, size_t i,
		     struct err *reterr)
{
	_cleanup_close_ int fd = segfile_open(dir, l->numbers[i], JOURNAL_SUFFIX, O_RDONLY);
	char name[SEGFILE_NAME_SIZE];
	int r;

	segfile_name(name, l->numbers[i], JOURNAL_SUFFIX);
	if (fd < 0)
		return err_set(reterr, fd, "open journal segment %s: %s", name, strerror(-fd));
	r = journal_head_load(fd, l->numbers[i], owner_id, &l->heads[i]);
	if (r == -EUCLEAN)
		return err_set_id(reterr, -EBADMSG, "Damaged",
				  "journal segment %s belongs to another place or another view; "
				  "put the right file back",
				  name);
	if (r == -EPROTONOSUPPORT)
		return err_set_id(reterr, r, "Unsupported",
				  "journal segment %s was written by a newer agentfs; use that one",
				  name);
	if (r < 0 && r != -EBADMSG)
		return err_set(reterr, r, "read journal segment %s: %s", name, strerror(-r));
	l->states[i] = r;
	return 0;
}

/* Segments are never begun before the name of the one before is on disk, so a gap is no crash. */
static int check_gaps(const struct journal_list *l, struct err *reterr)
{
	char name[SEGFILE_NAME_SIZE];

	for (size_t i = 1; i < l->n; i++) {
		if (l->numbers[i] == l->numbers[i - 1] + 1)
			continue;
		segfile_name(name, l->numbers[i - 1] + 1, JOURNAL_SUFFIX);
		return err_set_id(reterr, -EBADMSG, "Damaged",
				  "journal segment %s is missing; restore it from a backup", name);
	}
	return 0;
}

static int find_start(struct journal_list *l, uint64_t after, struct err *reterr)
{
	size_t start = SIZE_MAX;

	for (size_t i = 0; i < l->n; i++)
		if (l->states[i] == 0 && l->heads[i].first_seq <= after + 1)
			start = i;
	if (start == SIZE_MAX)
		return err_set_id(reterr, -EBADMSG, "Damaged",
				  "no journal segment holds record %" PRIu64
				  "; the first one is damaged or missing, restore it from a backup",
				  after + 1);
	for (size_t i = start; i < l->n; i++)
		if (l->states[i] == 0 && l->heads[i].salt != l->heads[start].salt)
			return err_set_id(reterr, -EBADMSG, "Damaged",
					  "journal segment %" PRIu64
					  " belongs to another journal; put the right file back",
					  l->numbers[i]);
	l->start = start;
	return 0;
}

int journal_list_load(int dir, const uint8_t *owner_id, uint64_t after, struct journal_list *ret,
		      struct err *reterr)
{
	struct journal_list l = {0};
	int r;

	r = segfile_list(dir, JOURNAL_SUFFIX, &l.numbers, &l.n);
	if (r < 0)
		return err_set(reterr, r, "list the journal's segments: %s", strerror(-r));
	if (l.n == 0) {
		journal_list_release(&l);
		*ret = (struct journal_list){0};
		return 0;
	}
	l.heads = sys_calloc(l.n, sizeof(*l.heads));
	l.states = sys_calloc(l.n, sizeof(*l.states));
	r = l.heads && l.states ? check_gaps(&l, reterr) : -ENOMEM;
	for (size_t i = 0; i < l.n && r == 0; i++)
		r = load_head(dir, owner_id, &l, i, reterr);
	if (r == 0)
		r = find_start(&l, after, reterr);
	if (r < 0) {
		journal_list_release(&l);
		return r;
	}
	*ret = l;
	return 0;
}

void journal_list_release(struct journal_list *l)
{
	free(l->numbers);
	free(l->heads);
	free(l->states);
	*l = (struct journal_list){0};
}

/* Raises *durable to what any batch header in [from, size) tells of records behind `seq`. */
static int scan(int fd, uint64_t from, uint64_t size, uint64_t seed, uint64_t seq,
		uint64_t *durable)
{
	const uint32_t magic = htole32(BATCH_MAGIC);
	_cleanup_free_ uint8_t *p = NULL;
	struct journal_batch_head h;
	uint64_t end;
	int r;

	r = segfile_used_end(fd, from, size, &end);
	if (r < 0 || end - from < 8)
		return r;
	/* A header whose last byte is 0 ends behind `end`. */
	p = sys_calloc(1, (size_t)(end - from) + JOURNAL_BATCH_HEADER);
	if (!p)
		return -ENOMEM;
	r = io_pread_full(fd, p, (size_t)(end - from), from);
	if (r < 0)
		return r;
	for (uint64_t i = 0; i < end - from; i += 8) {
		if (memcmp(p + i, &magic, sizeof(magic)) != 0)
			continue;
		if (journal_batch_read(p + i, seed, &h) < 0 || h.first_seq <= seq)
			continue;
		if (h.durable > *durable)
			*durable = h.durable;
	}
	return 0;
}

int journal_evidence(int dir, const struct journal_walk *w, uint64_t salt, uint64_t *ret)
{
	uint64_t durable = w->durable;
	int r;

	r = scan(w->fd, w->pos, w->size, w->seed, w->seq, &durable);
	for (uint64_t n = w->number + 1; r == 0; n++) {
		_cleanup_close_ int fd = segfile_open(dir, n, JOURNAL_SUFFIX, O_RDONLY);
		struct journal_head h;
		uint64_t size = 0;

		if (fd == -ENOENT)
			break;
		if (fd < 0)
			return fd;
		r = journal_head_load(fd, n, NULL, &h);
		if (r == 0 && h.durable > durable)
			durable = h.durable;
		/* A header that means nothing is no evidence; one that cannot be read may be. */
		if (r == 0 || r == -EBADMSG || r == -EUCLEAN || r == -EPROTONOSUPPORT)
			r = segfile_size(fd, &size);
		if (r == 0 && size > JOURNAL_HEADER_SIZE)
			r = scan(fd, JOURNAL_HEADER_SIZE, size, journal_seed(salt, n), w->seq,
				 &durable);
	}
	if (r == 0)
		*ret = durable;
	return r;
}
