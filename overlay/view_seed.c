/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of seeds: taken over from the main worktree when a folder is first looked into. What seeds
 * promise is at the head of seed.c; bytes of files are in view_seed_file.c.
 *
 * The main worktree is read without view->lock. seed_lock, taken before view->lock, makes it one
 * import at a time: a folder whose import has begun is waited for, so nobody sees half of one.
 */
#include "view_seed.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "journal.h"
#include "log.h"
#include "seed.h"

enum { RECORD_ROOM = 2048 };

static struct view_ctx self_ctx(const struct view *v)
{
	return (struct view_ctx){.pid = (uint32_t)getpid(),
				 .uid = v->conf.uid,
				 .gid = v->conf.gid,
				 .internal = true};
}

/* --- records, lock held --- */

static int commit_chunk(struct view *v, const struct view_ctx *ctx, uint64_t dir, const char *path,
			const struct buf *names, bool more)
{
	struct record rec;
	int r = journal_reserve(v->rec.journal, RECORD_ROOM + strlen(path) + names->len);

	if (r < 0)
		return r;
	view_record(v, ctx, &rec, OP_SEED);
	RECORD_SET(&rec, mask, F_MASK, SEED_NAMES | (more ? (uint32_t)SEED_MORE : 0));
	RECORD_SET(&rec, node, F_NODE, dir);
	RECORD_SET(&rec, path, F_PATH, ((struct bytes){path, strlen(path)}));
	RECORD_SET(&rec, node2, F_NODE2, v->rec.tree.next_upper);
	RECORD_SET(&rec, value, F_VALUE, ((struct bytes){names->data, names->len}));
	return view_commit(v, &rec);
}

/* Is there, was there, or is in the base: not replaced. */
static bool taken(const struct view *v, uint64_t dir, const struct seed_name *n)
{
	uint64_t there;

	return tree_lookup(&v->rec.tree, dir, n->name.p, n->name.n, &there) != -ENOENT ||
	       tree_entry(&v->rec.tree, dir, n->name.p, n->name.n);
}

/* Encoded names into a folder, in as many records as they need. */
static int commit_names(struct view *v, const struct view_ctx *ctx, uint64_t dir, const char *path,
			const struct buf *all)
{
	struct bytes left = {all->data, all->len};
	_cleanup_buf_ struct buf chunk = BUF_INIT;
	struct seed_name n;
	int r;

	while ((r = seed_decode(&left, &n)) > 0) {
		if (taken(v, dir, &n))
			continue;
		r = seed_encode(&chunk, &n);
		if (r == 0 && chunk.len >= SEED_RECORD_BYTES) {
			r = commit_chunk(v, ctx, dir, path, &chunk, true);
			buf_clear(&chunk);
		}
		if (r < 0)
			return r;
	}
	return r < 0 ? r : commit_chunk(v, ctx, dir, path, &chunk, false);
}

/* --- folders --- */

static int collect(const struct seed_name *n, void *user)
{
	return seed_encode(user, n);
}

static int list_folder(struct view *v, const char *path, struct buf *ret)
{
	struct seed_source src;
	int r = seed_source_open(v->conf.seed_from, v->conf.uid, v->conf.gid, &src);

	if (r == 0) {
		r = seed_source_list(&src, path, collect, ret);
		seed_source_close(&src);
	}
	if (r == -ENOENT) {
		buf_clear(ret);
		(void)log_warning(
			0, "'%s' is gone from the main worktree '%s': it is empty in this view",
			path, v->conf.seed_from);
		r = 0;
	}
	if (r < 0 && r != -ENOMEM && r != -EACCES)
		return log_error(-EIO, "read '%s' in the main worktree '%s': %s", path,
				 v->conf.seed_from, strerror(-r));
	return r;
}

/* With seed_lock held. */
static int import(struct view *v, const struct view_ctx *ctx, uint64_t dir)
{
	_cleanup_buf_ struct buf path = BUF_INIT, names = BUF_INIT;
	bool unread;
	int r = 0;

	pthread_mutex_lock(&v->lock);
	unread = seed_is_unread(&v->rec.tree, dir);
	if (unread)
		r = seed_path(tree_node(&v->rec.tree, dir)->seed, &path);
	pthread_mutex_unlock(&v->lock);
	if (r == 0 && unread)
		r = list_folder(v, path.data, &names);
	if (r < 0 || !unread)
		return r;
	pthread_mutex_lock(&v->lock);
	if (seed_is_unread(&v->rec.tree, dir)) /* not removed meanwhile */
		r = commit_names(v, ctx, dir, path.data, &names);
	pthread_mutex_unlock(&v->lock);
	return r;
}

void view_seed_slow(const struct view *v)
{
	if (v->notify && v->notify->slow)
		v->notify->slow(v->notify->user);
}

int view_seed_ready(struct view *v, const struct view_ctx *ctx, uint64_t dir)
{
	bool unread;
	int r;

	if (!v->conf.nseed_paths)
		return 0;
	pthread_mutex_lock(&v->lock);
	unread = seed_is_unread(&v->rec.tree, dir);
	pthread_mutex_unlock(&v->lock);
	if (!unread)
		return 0;
	view_seed_slow(v);
	pthread_mutex_lock(&v->seed_lock);
	r = import(v, ctx, dir);
	pthread_mutex_unlock(&v->seed_lock);
	return r;
}

int view_seed_ready_at(struct view *v, const struct view_ctx *ctx, uint64_t dir, const char *name)
{
	uint64_t id;
	int r = view_seed_ready(v, ctx, dir);

	if (r < 0 || !v->conf.nseed_paths)
		return r;
	pthread_mutex_lock(&v->lock);
	r = tree_lookup(&v->rec.tree, dir, name, strlen(name), &id);
	pthread_mutex_unlock(&v->lock);
	return r < 0 ? 0 : view_seed_ready(v, ctx, id);
}

bool view_seed_unread(struct view *v, uint64_t dir)
{
	if (!seed_is_unread(&v->rec.tree, dir))
		return false;
	v->seed_wanted = dir;
	return true;
}

/* --- what view.conf names --- */

struct planting {
	struct view *v;
	struct view_ctx ctx;
	struct seed_source src;
};

static int hold(const struct seed_name *n, void *user)
{
	struct seed_name holder = *n;

	holder.holder = true;
	return S_ISDIR(n->mode) ? seed_encode(user, &holder) : -ENOENT;
}

/* One name more on the way to `path`, whose first n bytes it is. */
static int plant_name(struct planting *p, uint64_t dir, const char *path, size_t n, bool last)
{
	_cleanup_free_ char *whole = strndup(path, n);
	_cleanup_buf_ struct buf name = BUF_INIT;
	char *slash;
	int r;

	if (!whole)
		return -ENOMEM;
	r = seed_source_one(&p->src, whole, last ? collect : hold, &name);
	if (r < 0)
		return r;
	slash = strrchr(whole, '/');
	if (slash)
		*slash = '\0';
	pthread_mutex_lock(&p->v->lock);
	r = commit_names(p->v, &p->ctx, dir, slash ? whole : "", &name);
	pthread_mutex_unlock(&p->v->lock);
	return r;
}

static int plant(struct planting *p, const char *path)
{
	const struct tree *t = &p->v->rec.tree;
	uint64_t dir = NODE_ROOT, id;
	size_t at = 0;

	for (;;) {
		size_t n = strcspn(path + at, "/");
		bool last = !path[at + n];
		int r;

		if (strncasecmp(path + at, ".git", n) == 0 && n == 4)
			return 0;
		r = tree_lookup(t, dir, path + at, n, &id);
		if (r == -ENOENT) {
			r = plant_name(p, dir, path, at + n, last);
			if (r == 0)
				r = tree_lookup(t, dir, path + at, n, &id);
		} else if (r == 0 && last) {
			return 0;
		}
		if (r < 0 || last)
			return r;
		if (!tree_is_dir(t, id) || seed_is_unread(t, id))
			return 0; /* a file of the base, or in a folder that is taken whole */
		dir = id;
		at += n + 1;
	}
}

static int plant_all(struct planting *p)
{
	const struct viewconf *c = &p->v->conf;
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->nseed_paths; i++) {
		r = plant(p, c->seed_paths[i]);
		if (r == -ENOENT || r == -EACCES) {
			(void)log_warning(r, "'%s' of the main worktree '%s' cannot be seeded",
					  c->seed_paths[i], c->seed_from);
			r = 0;
		}
	}
	return r;
}

int view_seed_plant(struct view *v, struct err *reterr)
{
	struct planting p = {.v = v, .ctx = self_ctx(v)};
	struct record rec;
	int r;

	if (!v->conf.nseed_paths || v->rec.tree.seeded)
		return 0;
	r = seed_source_open(v->conf.seed_from, v->conf.uid, v->conf.gid, &p.src);
	if (r < 0) {
		(void)log_warning(r, "the main worktree '%s' cannot be read, nothing is seeded",
				  v->conf.seed_from);
	} else {
		r = plant_all(&p);
		seed_source_close(&p.src);
		if (r < 0)
			return err_set(reterr, r, "take over names of the main worktree '%s': %s",
				       v->conf.seed_from, strerror(-r));
	}
	pthread_mutex_lock(&v->lock);
	view_record(v, &p.ctx, &rec, OP_SEED);
	RECORD_SET(&rec, mask, F_MASK, (uint32_t)SEED_DONE);
	RECORD_SET(&rec, node, F_NODE, NODE_ROOT);
	r = journal_reserve(v->rec.journal, RECORD_ROOM);
	if (r == 0)
		r = view_commit(v, &rec);
	pthread_mutex_unlock(&v->lock);
	return r < 0 ? err_set(reterr, r, "journal the seeds: %s", strerror(-r)) : 0;
}
