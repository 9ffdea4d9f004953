/* SPDX-License-Identifier: Apache-2.0 */
/* The actions of a RECORD_SYNC (tree_sync.c has the format): written, read, done. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "sys.h"
#include "tree_sync.h"

enum { HEAD_SIZE = 6, PUT_SIZE = 20 };

/* --- bytes --- */

static int put(struct buf *b, uint64_t v, size_t n)
{
	v = htole64(v);
	return buf_add(b, &v, n);
}

static uint64_t get(const char *p, size_t n)
{
	uint64_t v = 0;

	memcpy(&v, p, n);
	return le64toh(v);
}

static bool path_ok(const char *path, size_t len)
{
	if (!len || len > TREE_PATH_MAX || memchr(path, '\0', len))
		return false;
	for (const char *p = path, *end = path + len;; p++) {
		const char *slash = memchr(p, '/', (size_t)(end - p));
		size_t n = (size_t)((slash ? slash : end) - p);

		if (!tree_name_ok(p, n))
			return false;
		if (!slash)
			return true;
		p = slash;
	}
}

int sync_action_add(struct buf *b, struct sync_path *last, const char *path,
		    const struct sync_action *a)
{
	size_t len = strlen(path), shared = 0, room = HEAD_SIZE + PUT_SIZE + len;
	int r;

	if (!path_ok(path, len))
		return -EINVAL;
	while (shared < last->path.len && shared < len && last->path.data[shared] == path[shared])
		shared++;
	if (b->len + room > SYNC_ACTIONS_MAX)
		return -E2BIG;
	r = buf_reserve(b, room);
	if (r == 0)
		r = buf_reserve(&last->path, len);
	if (r < 0)
		return r;
	(void)put(b, a->kind, 1);
	(void)put(b, 0, 1);
	(void)put(b, shared, 2);
	(void)put(b, len - shared, 2);
	if (a->kind == SYNC_PUT) {
		(void)put(b, a->mode, 4);
		(void)put(b, a->size, 8);
		(void)put(b, a->place, 8);
	}
	buf_clear(&last->path);
	(void)buf_add(&last->path, path, len);
	return buf_add(b, path + shared, len - shared);
}

/* One action from p[0..n); its path into *path. Returns its length. */
static int64_t read_action(const char *p, size_t n, struct buf *path, struct sync_action *ret)
{
	size_t shared, rest, head = HEAD_SIZE;
	int r;

	if (n < HEAD_SIZE)
		return -EBADMSG;
	*ret = (struct sync_action){.kind = (enum sync_kind)(uint8_t)p[0]};
	shared = get(p + 2, 2);
	rest = get(p + 4, 2);
	if (ret->kind < SYNC_SAME || ret->kind > SYNC_PUT || p[1] || shared > path->len)
		return -EBADMSG;
	if (ret->kind == SYNC_PUT) {
		head += PUT_SIZE;
		if (n < head)
			return -EBADMSG;
		ret->mode = (uint32_t)get(p + 6, 4);
		ret->size = get(p + 10, 8);
		ret->place = get(p + 18, 8);
	}
	if (n < head + rest || ret->mode & ~07777u || ret->size > INT64_MAX)
		return -EBADMSG;
	path->len = shared;
	r = buf_add(path, p + head, rest);
	if (r < 0)
		return r;
	return path_ok(path->data, path->len) ? (int64_t)(head + rest) : -EBADMSG;
}

int sync_actions_each(struct bytes value, sync_action_fn fn, void *user)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	int r = 0;

	for (size_t at = 0; r == 0 && at < value.n;) {
		struct sync_action a;
		int64_t k = read_action(value.p + at, value.n - at, &path, &a);

		if (k < 0)
			return (int)k;
		at += (size_t)k;
		r = fn(path.data, &a, user);
	}
	return r;
}

/* --- deeds --- */

struct deeds {
	struct tree_next *next;
	struct tree *t;
	int64_t time;
};

static int told(struct deeds *d, uint64_t dir, const char *name, size_t len, bool folder)
{
	struct buf *b = &d->next->names;
	uint16_t n = (uint16_t)(len | (folder ? TOLD_FOLDER : 0));
	int r = buf_reserve(b, sizeof(dir) + sizeof(n) + len);

	if (r < 0)
		return r;
	(void)buf_add(b, &dir, sizeof(dir));
	(void)buf_add(b, &n, sizeof(n));
	return buf_add(b, name, len);
}

static void stamp(struct deeds *d, struct node *dir)
{
	dir->mtime = dir->ctime = d->time;
}

/* The file or symlink `id` loses the name (dir, name). A base's name is covered by nothing: it must have
 * been given away before. */
static int remove_own(struct deeds *d, struct node *dir, const char *name, size_t len)
{
	struct entry *e = tree_entry(d->t, dir->id, name, len);
	struct node *n = e ? tree_node(d->t, e->child) : NULL;
	uint64_t base;
	int r;

	if (!n)
		return !e || !e->child ? 0 : -EBADMSG;
	if (S_ISDIR(n->mode))
		return -EBADMSG;
	r = told(d, dir->id, name, len,
		 tree_base_has(d->t, dir->id, name, len, &base) && tree_is_dir(d->t, base));
	if (r == 0)
		r = buf_add(&d->next->nodes, &n->id, sizeof(n->id));
	if (r < 0)
		return r;
	tree_unhang(d->t, dir, e);
	if (tree_base_has(d->t, dir->id, name, len, &base) && tree_is_dir(d->t, base))
		dir->nlink++;
	n->nlink--;
	n->ctime = d->time;
	stamp(d, dir);
	return 0;
}

static struct node *new_node(struct deeds *d, uint32_t mode)
{
	struct node *n = sys_calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	*n = (struct node){.id = d->t->next_upper,
			   .mode = mode,
			   .uid = d->t->uid,
			   .gid = d->t->gid,
			   .nlink = S_ISDIR(mode) ? 2 : 1,
			   .atime = d->time,
			   .mtime = d->time,
			   .ctime = d->time,
			   .btime = d->time};
	if (table_put(&d->t->nodes, n->id, n) < 0) {
		free(n);
		return NULL;
	}
	d->t->next_upper++;
	if (!S_ISDIR(mode))
		d->t->nchanged++;
	return n;
}

static int make(struct deeds *d, struct node *dir, const char *name, size_t len, uint32_t mode,
		struct node **ret)
{
	struct node *n = new_node(d, mode);
	int r = n ? tree_hang(d->t, dir, name, len, n) : -ENOMEM;

	if (r == 0)
		r = told(d, dir->id, name, len, S_ISDIR(mode));
	if (r < 0)
		return r;
	stamp(d, dir);
	*ret = n;
	return 0;
}

/* The changed node of the path's folder; folders are made where `mk`. 0 and *ret NULL: there is none. */
static int walk_to(struct deeds *d, const char *path, bool mk, struct node **ret,
		   const char **ret_name)
{
	uint64_t id = NODE_ROOT, next;
	struct node *dir;
	const char *slash;
	int r;

	*ret = NULL;
	r = tree_copy_up(d->t, id, &dir);
	for (; r == 0 && (slash = strchr(path, '/')); path = slash + 1) {
		size_t n = (size_t)(slash - path);

		r = tree_lookup(d->t, id, path, n, &next);
		if (r == -ENOENT && mk) {
			r = make(d, dir, path, n, S_IFDIR | 0755, &dir);
			if (r == 0)
				tree_node(d->t, id)->nlink++;
			id = r == 0 ? dir->id : 0;
			continue;
		}
		if (r < 0)
			return r == -ENOENT && !mk ? 0 : r == -ENOTDIR ? -EBADMSG : r;
		if (!tree_is_dir(d->t, next))
			return mk ? -EBADMSG : 0;
		id = next;
		r = tree_copy_up(d->t, id, &dir);
	}
	*ret = r == 0 ? dir : NULL;
	*ret_name = path;
	return r;
}

/* What stands at the name and is the base's, gets its name as the view's own, to be removed. */
static int own_name(struct deeds *d, struct node *dir, const char *name, size_t len)
{
	struct node *n;
	uint64_t id;
	int r;

	if (tree_lookup(d->t, dir->id, name, len, &id) < 0)
		return 0;
	if (tree_is_dir(d->t, id))
		return -EBADMSG;
	if (tree_entry(d->t, dir->id, name, len)) {
		uint32_t links = dir->nlink;

		r = remove_own(d, dir, name, len);
		dir->nlink = links; /* the new file covers what it covered */
		return r;
	}
	r = tree_copy_up(d->t, id, &n);
	if (r < 0)
		return r;
	n->flags &= ~(uint32_t)NODE_F_BASE_NAME;
	n->nlink--;
	n->ctime = d->time;
	return buf_add(&d->next->nodes, &n->id, sizeof(n->id));
}

static int do_put(struct deeds *d, const char *path, const struct sync_action *a)
{
	struct node *dir, *n;
	const char *name;
	int r = walk_to(d, path, true, &dir, &name);

	if (r == 0)
		r = own_name(d, dir, name, strlen(name));
	if (r == 0)
		r = make(d, dir, name, strlen(name), S_IFREG | a->mode, &n);
	if (r == 0 && a->size)
		r = extent_reserve(&n->extents, 2);
	if (r < 0)
		return r;
	n->size = a->size;
	if (a->size)
		extent_set(&n->extents, 0, a->size, EXTENT_DATA, a->place, NULL);
	return 0;
}

/* Folders of the view's own that are empty then go too, as git removes them. */
static int drop_empty(struct deeds *d, struct node *dir)
{
	int r = 0;

	while (r == 0 && dir->id != NODE_ROOT && !tree_base(d->t, dir->id) && dir->names &&
	       tree_dir_empty(d->t, dir->id)) {
		struct entry *e = dir->names;
		struct node *up = tree_node(d->t, e->dir);

		r = told(d, e->dir, e->name, e->len, true);
		if (r == 0)
			r = buf_add(&d->next->nodes, &dir->id, sizeof(dir->id));
		if (r < 0)
			return r;
		dir->nlink = 0;
		dir->ctime = d->time;
		up->nlink--;
		stamp(d, up);
		tree_unhang(d->t, up, e);
		dir = up;
	}
	return r;
}

static int do_drop(struct deeds *d, const char *path)
{
	struct node *dir;
	const char *name;
	struct entry *e;
	uint64_t base;
	int r = walk_to(d, path, false, &dir, &name);

	if (r < 0 || !dir)
		return r;
	e = tree_entry(d->t, dir->id, name, strlen(name));
	if (e && e->child) {
		r = remove_own(d, dir, name, strlen(name));
	} else if (e && tree_base_has(d->t, dir->id, name, strlen(name), &base)) {
		struct node *n = tree_node(d->t, base);

		if (n || tree_is_dir(d->t, base)) /* it lives on under another name */
			return 0;
		r = told(d, dir->id, name, strlen(name), false);
		tree_unhang(d->t, dir, e);
		stamp(d, dir);
	}
	return r < 0 ? r : drop_empty(d, dir);
}

static int act(const char *path, const struct sync_action *a, void *user)
{
	struct deeds *d = user;

	switch (a->kind) {
	case SYNC_SAME: /* done while the bases were compared */
		return 0;
	case SYNC_DROP:
		return do_drop(d, path);
	case SYNC_PUT:
		return do_put(d, path, a);
	}
	return -EBADMSG;
}

int sync_actions_apply(struct tree_next *n, const struct record *rec)
{
	struct deeds d = {.next = n, .t = &n->tree, .time = rec->mtime};

	return sync_actions_each(rec->value, act, &d);
}
