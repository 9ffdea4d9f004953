/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon does in a view from outside, by path: taking a lock file, replacing a file, removing
 * one. Journaled like everything else, as the server's own doing; the kernel is told of each name and
 * node that changed behind its back, after the lock is let go.
 *
 * A replacement is written under a name of its own beside the target and renamed over it, so that a
 * reader sees the old content or the new and a crash leaves the old (and a stray ".agentfs-put" name,
 * which the next replacement uses again). That rename is made through the mount by a helper process, so that
 * watchers see it like any other; the server makes it where the helper cannot.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "sys.h"
#include "view_internal.h"
#include "view_seed.h"

enum { CHUNK = 256 * 1024 };

static const char TEMP[] = VIEW_PUT_TEMP;

static struct view_ctx self_ctx(const struct view *v)
{
	return (struct view_ctx){.pid = (uint32_t)getpid(),
				 .uid = v->conf.uid,
				 .gid = v->conf.gid,
				 .internal = true};
}

static void tell_entry(struct view *v, uint64_t dir, const char *name)
{
	if (v->notify && v->notify->entry)
		v->notify->entry(dir, name, strlen(name), v->notify->user);
}

static void tell_inode(struct view *v, uint64_t id)
{
	if (v->notify && v->notify->inode)
		v->notify->inode(id, 0, 0, v->notify->user);
}

/* A name that is made or removed here is not counted as looked up by the kernel. */
static int child(struct view *v, uint64_t dir, const char *name, uint64_t *ret)
{
	const struct view_ctx ctx = self_ctx(v);
	int r = view_seed_ready(v, &ctx, dir);

	if (r < 0)
		return r;
	pthread_mutex_lock(&v->lock);
	r = tree_lookup(&v->rec.tree, dir, name, strlen(name), ret);
	pthread_mutex_unlock(&v->lock);
	return r;
}

/* Walks to the last name's folder, making folders on the way where `make`. */
static int walk(struct view *v, const char *path, bool make, uint64_t *ret_dir, char name[256])
{
	const struct view_ctx ctx = self_ctx(v);
	uint64_t dir = NODE_ROOT;

	for (;;) {
		size_t n = strcspn(path, "/");
		struct node_attr a;
		int r;

		if (!n || n > 255)
			return n ? -ENAMETOOLONG : -EINVAL;
		memcpy(name, path, n);
		name[n] = '\0';
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			return -EINVAL;
		if (!path[n]) {
			*ret_dir = dir;
			return 0;
		}
		r = child(v, dir, name, &a.id);
		if (r == -ENOENT && make) {
			r = view_mkdir(v, &ctx, dir, name, 0755, &a);
			if (r == 0) {
				tell_entry(v, dir, name);
				view_poke(v, a.id, VIEW_POKE_ATTR);
			}
		}
		if (r < 0)
			return r;
		dir = a.id;
		path += n + 1;
	}
}

int view_path_lock(struct view *v, const char *path)
{
	const struct view_ctx ctx = self_ctx(v);
	struct node_attr a;
	char name[256];
	uint64_t dir;
	int r = walk(v, path, true, &dir, name);

	if (r == 0)
		r = view_mknod(v, &ctx, dir, name, S_IFREG | 0644, 0, &a);
	if (r == 0) {
		tell_entry(v, dir, name);
		tell_inode(v, dir);
	}
	return r;
}

int view_path_unlink(struct view *v, const char *path)
{
	const struct view_ctx ctx = self_ctx(v);
	char name[256];
	uint64_t dir;
	int r = walk(v, path, false, &dir, name);

	if (r == 0)
		r = view_unlink(v, &ctx, dir, name);
	if (r == 0) {
		tell_entry(v, dir, name);
		tell_inode(v, dir);
	}
	return r;
}

static int copy_in(struct view *v, const struct view_ctx *ctx, uint64_t id, int fd)
{
	_cleanup_free_ char *p = sys.malloc(CHUNK);
	uint64_t off = 0;

	if (!p)
		return -ENOMEM;
	for (;;) {
		ssize_t k = sys.pread(fd, p, CHUNK, (off_t)off), w;

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			return 0;
		w = view_write(v, ctx, id, off, p, (size_t)k);
		if (w < 0)
			return (int)w;
		off += (uint64_t)w;
	}
}

/* The written file takes its name: through the mount where that can be, else here. */
static int put_in_place(struct view *v, const char *path, uint64_t dir, const char *name,
			uint64_t id, int (*move)(const char *path, void *user), void *user)
{
	const struct view_ctx ctx = self_ctx(v);
	uint64_t old = 0, there;
	int r;

	tell_entry(v, dir, TEMP);
	tell_inode(v, dir);
	if (move && move(path, user) == 0 && child(v, dir, name, &there) == 0 && there == id)
		return 0;
	(void)child(v, dir, name, &old);
	r = view_rename(v, &ctx, dir, TEMP, dir, name, 0);
	if (r == -ENOENT && child(v, dir, name, &there) == 0 && there == id)
		return 0; /* the mover was late, but did it */
	if (r < 0)
		return r;
	tell_entry(v, dir, TEMP);
	tell_entry(v, dir, name);
	tell_inode(v, dir);
	if (old)
		tell_inode(v, old);
	view_poke(v, id, VIEW_POKE_DATA);
	return 0;
}

int view_path_put(struct view *v, const char *path, uint32_t mode, int fd,
		  int (*move)(const char *path, void *user), void *user, struct node_attr *ret)
{
	const struct view_ctx ctx = self_ctx(v);
	char name[256];
	uint64_t dir;
	int r = walk(v, path, true, &dir, name);

	if (r < 0)
		return r;
	(void)view_unlink(v, &ctx, dir, TEMP);
	r = view_mknod(v, &ctx, dir, TEMP, S_IFREG | (mode & 0777), 0, ret);
	if (r == 0)
		r = copy_in(v, &ctx, ret->id, fd);
	if (r == 0)
		r = put_in_place(v, path, dir, name, ret->id, move, user);
	if (r < 0) {
		(void)view_unlink(v, &ctx, dir, TEMP);
		tell_entry(v, dir, TEMP);
		return r;
	}
	pthread_mutex_lock(&v->lock);
	r = tree_attr(&v->rec.tree, ret->id, ret);
	pthread_mutex_unlock(&v->lock);
	return r;
}
