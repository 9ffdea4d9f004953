/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The compactor: disk space of bytes that nothing refers to any more.
 *
 * Written bytes are never written over (data.c), so a file that is rewritten leaves dead bytes in
 * segments that are sealed. A segment goes in three steps, each of which a crash may cut short:
 *   1. its live bytes are appended to the newest segment of its class, and a RECORD_COMPACT for each
 *      range makes the file refer to the copy;
 *   2. nothing in it is live: it is noted as retired at the sequence number of that moment;
 *   3. once every checkpoint that recovery could begin with is no older than that, so that neither it
 *      nor a record behind it names the segment, the file is removed.
 *
 * Invariants: (1) a segment is removed only when no chain of checkpoints that is kept, and no record
 * behind the oldest of them, names a byte of it: bytes on their way count as live; (2) what is compacted stays the same file: no time, size
 * or content changes; (3) no copy runs under the lock, and one that lost the race with a write is not used.
 *
 * Which ones: sealed segments more than half dead. Those of the view's own .git at once (git writes
 * its whole index for each add); those of files oldest first, and only what the view has beyond
 * `history` dead bytes: the budget for looking back in time.
 */
#include "view_compact.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "journal.h"
#include "sys.h"
#include "view_internal.h"

enum { RANGES = 256, COPY_MAX = 1 << 20, RECORD_ROOM = 1024 };

/* A range of a file whose bytes lie in the segment. */
struct range {
	uint64_t node, off, len, place;
};

/* At most RANGES of them, none longer than COPY_MAX. Lock held. */
static size_t find_ranges(const struct view *v, uint64_t segment, struct range *ret)
{
	const struct node *n;
	size_t pos = 0, found = 0;

	while ((n = table_next(&v->rec.tree.nodes, &pos)))
		for (uint32_t i = 0; S_ISREG(n->mode) && i < n->extents.n; i++) {
			struct extent e = n->extents.v[i];

			if (e.node != EXTENT_DATA || e.place >> 32 != segment)
				continue;
			for (uint64_t at = 0; at < e.len; at += COPY_MAX) {
				uint64_t len = e.len - at < COPY_MAX ? e.len - at : COPY_MAX;

				ret[found++] = (struct range){n->id, e.off + at, len, e.place + at};
				if (found == RANGES)
					return found;
			}
		}
	return found;
}

/* Does the file still have these bytes from there? Lock held. */
static bool still_there(const struct view *v, const struct range *g)
{
	const struct node *n = tree_node(&v->rec.tree, g->node);
	const struct extent *e;
	uint32_t i;

	if (!n || !S_ISREG(n->mode))
		return false;
	i = extent_find(&n->extents, g->off);
	if (i == n->extents.n)
		return false;
	e = &n->extents.v[i];
	return e->node == EXTENT_DATA && e->off <= g->off && e->off + e->len >= g->off + g->len &&
	       e->place + (g->off - e->off) == g->place;
}

static int move_range(struct view *v, enum data_class class, const struct range *g, char *bytes)
{
	struct record rec = {.type = RECORD_COMPACT};
	uint64_t place;
	int r;

	r = data_pread(v->rec.data, g->place, bytes, g->len);
	if (r == 0)
		r = data_append(v->rec.data, class, bytes, g->len, &place);
	if (r < 0)
		return r;
	RECORD_SET(&rec, node, F_NODE, g->node);
	RECORD_SET(&rec, offset, F_OFFSET, g->off);
	RECORD_SET(&rec, length, F_LENGTH, g->len);
	RECORD_SET(&rec, place, F_PLACE, place);
	pthread_mutex_lock(&v->lock);
	if (still_there(v, g)) {
		r = journal_reserve(v->rec.journal, RECORD_ROOM);
		if (r == 0)
			r = view_commit(v, &rec);
	}
	data_live(v->rec.data, place, -(int64_t)g->len);
	pthread_mutex_unlock(&v->lock);
	return r;
}

/* Copies live bytes out of the segment, as long as *budget lasts. */
static int empty_segment(struct view *v, const struct data_sealed *s, uint64_t *budget)
{
	_cleanup_free_ struct range *ranges = sys_calloc(RANGES, sizeof(*ranges));
	_cleanup_free_ char *bytes = sys.malloc(COPY_MAX);
	size_t n = RANGES;

	if (!ranges || !bytes)
		return -ENOMEM;
	while (n == RANGES && *budget) {
		pthread_mutex_lock(&v->lock);
		n = find_ranges(v, s->number, ranges);
		pthread_mutex_unlock(&v->lock);
		for (size_t i = 0; i < n && *budget; i++) {
			int r = move_range(v, s->class, &ranges[i], bytes);

			if (r < 0)
				return r;
			*budget -= ranges[i].len < *budget ? ranges[i].len : *budget;
		}
	}
	return 0;
}

static struct retired *find_retired(struct view *v, uint64_t number)
{
	struct retired *t = (struct retired *)(void *)v->retired.data;

	for (size_t i = 0; i < v->retired.len / sizeof(*t); i++)
		if (t[i].number == number)
			return &t[i];
	return NULL;
}

/* Nothing of it is live: noted, or removed where that is long enough ago. Returns the bytes that
 * wait for an older checkpoint to go. */
static int retire(struct view *v, const struct data_sealed *s, uint64_t *ret_waiting)
{
	struct retired *t = find_retired(v, s->number);
	struct retired fresh = {.number = s->number};
	int r;

	if (t && v->kept_full >= t->seq) {
		struct retired *last;

		r = data_remove(v->rec.data, s->number);
		if (r < 0)
			return r == -EBUSY ? 0 : r;
		last = (struct retired *)(void *)(v->retired.data + v->retired.len) - 1;
		*t = *last;
		v->retired.len -= sizeof(*t);
		return 0;
	}
	*ret_waiting += s->size;
	if (t)
		return 0;
	pthread_mutex_lock(&v->lock);
	fresh.seq = v->rec.tree.seq;
	pthread_mutex_unlock(&v->lock);
	return buf_add(&v->retired, &fresh, sizeof(fresh));
}

static uint64_t dead_of_files(const struct data_sealed *s, size_t n)
{
	uint64_t dead = 0;

	for (size_t i = 0; i < n; i++)
		if (s[i].class == DATA_FILES && s[i].used > s[i].live)
			dead += s[i].used - s[i].live;
	return dead;
}

/* One pass over the sealed segments; *ret_waiting: bytes of those that only checkpoints still name. */
static int pass(struct view *v, const struct compact_limits *limits, uint64_t *ret_waiting)
{
	_cleanup_free_ struct data_sealed *s = NULL;
	uint64_t budget = limits->copy, dead;
	size_t n;
	int r;

	r = data_sealed(v->rec.data, &s, &n);
	if (r < 0)
		return r;
	dead = dead_of_files(s, n);
	for (size_t i = 0; i < n && r == 0; i++) {
		uint64_t gone = s[i].used > s[i].live ? s[i].used - s[i].live : 0;

		if (s[i].class == DATA_FILES) {
			if (dead <= limits->history)
				continue;
			if (gone * 2 > s[i].used)
				dead -= gone;
		}
		if (!s[i].live)
			r = retire(v, &s[i], ret_waiting);
		else if (gone * 2 > s[i].used && budget)
			r = empty_segment(v, &s[i], &budget);
	}
	return r;
}

int view_compact(struct view *v, const struct compact_limits *limits)
{
	int64_t now = (int64_t)sys_now_ns();
	uint64_t waiting = 0;
	int r;

	pthread_mutex_lock(&v->checkpoint_lock);
	r = pass(v, limits, &waiting);
	/* Checkpoints come with changes; where there are none, these bytes would wait for ever. */
	if (r == 0 && waiting >= limits->worth && now - v->compacted >= limits->full_every) {
		v->compacted = now;
		r = view_checkpoint_write(v, true);
	}
	pthread_mutex_unlock(&v->checkpoint_lock);
	return r;
}
