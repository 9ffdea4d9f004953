/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of the shared content cache: an open-addressing hash table in a file, read with pread
 * by anyone at any time, written under the flock. Format: head of content_store.c.
 *
 * Guarantee: an entry is found only if it is whole (its checksum is right), and a table stands
 * under its name only if it is whole: a crash leaves the old one, and `table.new` at most, which
 * the next attempt overwrites.
 */
#include "content_table.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "cleanup.h"
#include "content_data.h"
#include "io.h"
#include "sys.h"

#define TABLE_MAGIC "AFSCNT\0\0"
#define SLOTS_OFF   UINT64_C(4096)
#define SLOTS_MAX   (UINT64_C(1) << 32)

enum {
	TABLE_VERSION = 1,
	PROBE = 8,	   /* slots per pread */
	PROBES_MAX = 4096, /* slots; longer runs exist in damaged tables only */
};

_Static_assert(sizeof(struct content_header) == 80, "the header is 80 bytes on disk");
_Static_assert(sizeof(struct content_entry) == 64, "an entry is 64 bytes on disk");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the cache is read as it is");

void content_table_release(struct content_table *t)
{
	t->fd = safe_close(t->fd);
	free((void *)t->checked);
	t->checked = NULL;
}

static uint64_t header_sum(const struct content_header *h)
{
	return XXH3_64bits(h, offsetof(struct content_header, sum));
}

static uint64_t entry_check(const struct content_entry *e)
{
	uint64_t sum = XXH3_64bits(e, offsetof(struct content_entry, check));

	return sum ? sum : 1;
}

int content_header_read(int fd, struct content_header *ret)
{
	struct stat st;
	int r = io_pread_full(fd, ret, sizeof(*ret), 0);

	if (r < 0)
		return r == -EIO ? -EBADMSG : r;
	if (memcmp(ret->magic, TABLE_MAGIC, sizeof(ret->magic)) != 0)
		return -EBADMSG;
	if (ret->version != TABLE_VERSION || ret->incompat)
		return -EPROTONOSUPPORT;
	if (ret->sum != header_sum(ret) || ret->file >= CONTENT_FILES_MAX ||
	    ret->slots < CONTENT_SLOTS_MIN || ret->slots > SLOTS_MAX ||
	    (ret->slots & (ret->slots - 1)) || ret->used > ret->slots)
		return -EBADMSG;
	if (fstat(fd, &st) < 0)
		return -errno;
	if ((uint64_t)st.st_size != SLOTS_OFF + ret->slots * sizeof(struct content_entry))
		return -EBADMSG;
	return 0;
}

int content_header_write(int fd, struct content_header *h)
{
	h->sum = header_sum(h);
	return io_pwrite_full(fd, h, sizeof(*h), 0);
}

int content_table_open(int dir, struct content_table *ret)
{
	struct content_table t = {
		.fd = sys.openat(dir, "table", O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0)};
	struct content_header h;
	struct stat st;
	int r;

	if (t.fd < 0)
		return -errno;
	r = content_header_read(t.fd, &h);
	if (r == 0 && fstat(t.fd, &st) < 0)
		r = -errno;
	if (r == 0) {
		t.ino = st.st_ino;
		t.slots = h.slots;
		t.checked = sys_calloc(h.slots / 8, 1);
		r = t.checked ? 0 : -ENOMEM;
	}
	if (r < 0) {
		content_table_release(&t);
		return r;
	}
	*ret = t;
	return 0;
}

static uint64_t home_slot(const uint8_t oid[32], uint64_t slots)
{
	uint64_t x;

	memcpy(&x, oid, sizeof(x));
	return x & (slots - 1);
}

static bool entry_valid(const struct content_entry *e)
{
	return e->check != 0 && e->check == entry_check(e);
}

/* A slot with a wrong checksum belongs to nobody, but ends no run. */
int content_table_find(const struct content_table *t, const uint8_t oid[32], uint64_t *ret_slot,
		       struct content_entry *ret)
{
	struct content_entry group[PROBE];
	uint64_t slot = home_slot(oid, t->slots);

	for (int done = 0; done < PROBES_MAX;) {
		uint64_t n = t->slots - slot < PROBE ? t->slots - slot : PROBE;
		int r = io_pread_full(t->fd, group, n * sizeof(group[0]),
				      SLOTS_OFF + slot * sizeof(group[0]));

		if (r < 0)
			return r;
		for (uint64_t i = 0; i < n; i++, done++) {
			*ret_slot = slot + i;
			if (group[i].check == 0)
				return -ENOENT;
			if (memcmp(group[i].oid, oid, 32) == 0 && entry_valid(&group[i])) {
				*ret = group[i];
				return 0;
			}
		}
		slot = (slot + n) & (t->slots - 1);
	}
	return -ENOSPC;
}

int content_table_put(const struct content_table *t, uint64_t slot, struct content_entry *e)
{
	e->check = entry_check(e);
	return io_pwrite_full(t->fd, e, sizeof(*e), SLOTS_OFF + slot * sizeof(*e));
}

bool content_table_checked(const struct content_table *t, uint64_t slot)
{
	return atomic_load(&t->checked[slot / 8]) & (1u << slot % 8);
}

void content_table_set_checked(const struct content_table *t, uint64_t slot)
{
	(void)atomic_fetch_or(&t->checked[slot / 8], (uint8_t)(1u << slot % 8));
}

/* Writes a table beside and renames it; `slots` of entries may be NULL for an empty one. */
static int table_replace(int dir, struct content_header *h, const struct content_entry *slots)
{
	_cleanup_close_ int fd = sys.openat(
		dir, "table.new", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	uint64_t size = h->slots * sizeof(struct content_entry);
	int r = 0;

	if (fd < 0)
		return -errno;
	if (slots)
		r = io_pwrite_full(fd, slots, size, SLOTS_OFF);
	else if (sys.ftruncate(fd, (off_t)(SLOTS_OFF + size)) < 0)
		r = -errno;
	if (r == 0)
		r = content_header_write(fd, h);
	if (r == 0 && sys.renameat(dir, "table.new", dir, "table") < 0)
		r = -errno;
	if (r < 0)
		(void)sys.unlinkat(dir, "table.new", 0);
	return r;
}

bool content_table_current(int dir, const struct content_table *t)
{
	struct stat st;

	return fstatat(dir, "table", &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == t->ino;
}

int content_table_begin(int dir, struct content_header *h)
{
	memcpy(h->magic, TABLE_MAGIC, sizeof(h->magic));
	h->version = TABLE_VERSION;
	h->slots = CONTENT_SLOTS_MIN;
	return table_replace(dir, h, NULL);
}

static void rehash(const struct content_entry *from, uint64_t n, struct content_entry *to,
		   uint64_t slots, uint64_t *ret_used)
{
	*ret_used = 0;
	for (uint64_t i = 0; i < n; i++) {
		uint64_t slot = home_slot(from[i].oid, slots);

		if (!entry_valid(&from[i]))
			continue;
		while (to[slot].check)
			slot = (slot + 1) & (slots - 1);
		to[slot] = from[i];
		++*ret_used;
	}
}

int content_table_rebuild(int dir, const struct content_table *t, uint64_t slots,
			  struct content_header *h)
{
	_cleanup_free_ struct content_entry *from = NULL, *to = NULL;
	struct content_header grown = *h;
	int r;

	if (slots > SLOTS_MAX)
		return -ENOSPC;
	from = sys_calloc(h->slots, sizeof(*from));
	to = sys_calloc(slots, sizeof(*to));
	if (!from || !to)
		return -ENOMEM;
	r = io_pread_full(t->fd, from, h->slots * sizeof(*from), SLOTS_OFF);
	if (r < 0)
		return r;
	rehash(from, h->slots, to, slots, &grown.used);
	grown.slots = slots;
	r = table_replace(dir, &grown, to);
	if (r == 0)
		*h = grown;
	return r;
}
