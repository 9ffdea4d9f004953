/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving the view to another base, and holding it still.
 *
 * Invariants: (1) one record does it, so a crash at any step leaves the old base or the new one, with
 * everything that belongs to it (merged files, the view's own git's refs and index); its bytes are in
 * the data segments before; (2) whoever prepared it saw the view as it is: an operation that came after
 * the snapshot refuses it; (3) requests wait while the tree is built and swapped, no longer; (4) the
 * kernel is told of exactly the names that lead elsewhere and the nodes that show something else.
 */
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "io.h"
#include "journal.h"
#include "sys.h"
#include "tree_sync.h"
#include "view_internal.h"

enum { RECORD_ROOM = 4096 };
#define PUT_MAX (UINT64_C(200) << 20)

/* The bytes of SYNC_PUTs, moved from the caller's file to the data segments. */
struct staging {
	struct view *v;
	int fd;
	struct buf out;
	struct sync_path last;
	struct buf ranges; /* {uint64_t address, int64_t length}: in use until they are told back */
};

static int stage(const char *path, const struct sync_action *a, void *user)
{
	struct staging *s = user;
	_cleanup_free_ char *p = NULL;
	struct sync_action to = *a;
	int r = 0;

	if (a->kind == SYNC_PUT && a->size) {
		if (a->size > PUT_MAX)
			return -EFBIG;
		p = sys.malloc(a->size);
		r = p ? io_pread_full(s->fd, p, a->size, a->place) : -ENOMEM;
		if (r == 0)
			r = buf_reserve(&s->ranges, 16);
		if (r == 0)
			r = data_append(s->v->rec.data,
					strncmp(path, ".git/", 5) == 0 ? DATA_GIT : DATA_FILES, p,
					a->size, &to.place);
		if (r == 0) {
			(void)buf_add(&s->ranges, &to.place, 8);
			(void)buf_add(&s->ranges, &a->size, 8);
		}
	}
	return r < 0 ? r : sync_action_add(&s->out, &s->last, path, &to);
}

static void give_back(struct staging *s)
{
	for (size_t at = 0; at < s->ranges.len; at += 16) {
		uint64_t v[2];

		memcpy(v, s->ranges.data + at, sizeof(v));
		data_live(s->v->rec.data, v[0], -(int64_t)v[1]);
	}
	buf_release(&s->ranges);
}

/* What was held only by its name in the old base, and is held by nobody. */
static void drop_unheld(struct view *v)
{
	_cleanup_buf_ struct buf ids = BUF_INIT;
	const struct node *n;
	size_t pos = 0;

	while ((n = table_next(&v->rec.tree.nodes, &pos)))
		if (!n->nlink && buf_add(&ids, &n->id, sizeof(n->id)) < 0)
			break; /* kept until the next connection */
	for (size_t at = 0; at < ids.len; at += sizeof(uint64_t)) {
		uint64_t id;

		memcpy(&id, ids.data + at, sizeof(id));
		view_drop_if_unheld(v, id);
	}
}

/* Watchers hear of folders whose names changed, and of names that lead to something else. */
static void note_pokes(struct view *v, const struct told *t)
{
	const struct tree *tree = &v->rec.tree;
	uint64_t id, dir;
	uint16_t n;

	for (size_t at = 0; at < t->nodes.len; at += sizeof(id)) {
		memcpy(&id, t->nodes.data + at, sizeof(id));
		if (tree_is_dir(tree, id))
			view_note_poke(v, id, VIEW_POKE_ATTR);
	}
	for (size_t at = 0; at < t->names.len; at += n) {
		memcpy(&dir, t->names.data + at, sizeof(dir));
		memcpy(&n, t->names.data + at + sizeof(dir), sizeof(n));
		at += sizeof(dir) + sizeof(n);
		if (tree_lookup(tree, dir, t->names.data + at, n, &id) == 0)
			view_note_poke(v, id, VIEW_POKE_DATA);
	}
}

/* git's fsmonitor is told of the names, too. From then on the lists hold plain lengths. */
static void note_names(struct view *v, struct told *t, uint64_t seq)
{
	uint64_t dir;
	uint16_t n, len;

	for (size_t at = 0; at < t->names.len; at += sizeof(dir) + sizeof(n) + len) {
		char *p = t->names.data + at;

		memcpy(&dir, p, sizeof(dir));
		memcpy(&n, p + sizeof(dir), sizeof(n));
		len = n & TOLD_LEN;
		memcpy(p + sizeof(dir), &len, sizeof(len));
		recent_add(&v->recent, seq, dir, p + sizeof(dir) + sizeof(n), len, n & TOLD_FOLDER);
	}
}

static int commit_move(struct view *v, const struct view_move *m, struct bytes actions,
		       struct told *ret)
{
	struct record rec = {.type = RECORD_SYNC};
	int r;

	if (v->last_op > m->seq)
		return -EAGAIN;
	RECORD_SET(&rec, name, F_NAME, ((struct bytes){m->image, strlen(m->image)}));
	RECORD_SET(&rec, name2, F_NAME2, ((struct bytes){m->commit, strlen(m->commit)}));
	RECORD_SET(&rec, count, F_COUNT, v->rec.tree.layer + 1);
	RECORD_SET(&rec, mtime, F_MTIME, m->time);
	RECORD_SET(&rec, value, F_VALUE, actions);
	r = journal_reserve(v->rec.journal, RECORD_ROOM + actions.n);
	if (r == 0)
		r = view_commit(v, &rec);
	if (r < 0)
		return r;
	ret->nodes = v->rec.tree.next->nodes;
	ret->names = v->rec.tree.next->names;
	v->rec.tree.next->nodes = v->rec.tree.next->names = BUF_INIT;
	note_names(v, ret, rec.seq);
	for (size_t at = 0; at < ret->nodes.len; at += sizeof(uint64_t)) {
		uint64_t id;

		memcpy(&id, ret->nodes.data + at, sizeof(id));
		view_mark_stale(v, id);
	}
	note_pokes(v, ret);
	drop_unheld(v);
	(void)tree_sweep_kept(&v->rec.tree); /* without memory the next sync does */
	return 0;
}

int view_move_base(struct view *v, const struct view_move *m, int fd, struct bytes actions,
		   uint64_t *ret_kept)
{
	struct staging s = {.v = v, .fd = fd};
	struct told told = {BUF_INIT, BUF_INIT};
	int r = sync_actions_each(actions, stage, &s);

	if (r == 0) {
		pthread_mutex_lock(
			&v->checkpoint_lock); /* no checkpoint is half-way on the old base */
		pthread_mutex_lock(&v->lock);
		r = commit_move(v, m, (struct bytes){s.out.data ? s.out.data : "", s.out.len},
				&told);
		*ret_kept = v->rec.tree.kept.used;
		pthread_mutex_unlock(&v->lock);
		pthread_mutex_unlock(&v->checkpoint_lock);
	}
	give_back(&s);
	if (r == 0)
		view_tell(v, &told);
	buf_release(&told.nodes);
	buf_release(&told.names);
	buf_release(&s.out);
	buf_release(&s.last.path);
	return r;
}

void view_base(struct view *v, struct buf *ret_image, struct buf *ret_commit)
{
	const struct tree *t = &v->rec.tree;

	pthread_mutex_lock(&v->lock);
	(void)buf_adds(ret_image, t->image_name ? t->image_name : v->conf.image);
	(void)buf_adds(ret_commit, t->base_commit ? t->base_commit : v->conf.base_commit);
	pthread_mutex_unlock(&v->lock);
}

void view_freeze(struct view *v, bool frozen)
{
	pthread_mutex_lock(&v->lock);
	v->frozen = frozen;
	pthread_mutex_unlock(&v->lock);
}
