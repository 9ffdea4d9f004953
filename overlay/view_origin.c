/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /.agentfs/control/origin.git: the shared repository as the view's git sees it, its remote "origin"
 * and, by its objects, its alternate. A bare repository of virtual files, for the view's owner alone:
 *
 *     HEAD, config, packed-refs, shallow   texts, made when they are looked up (origin_refs.c)
 *     refs                                 an empty folder: all refs are in packed-refs
 *     objects                              a symlink to the repository's own folder for a process that
 *                                          can read it there (native speed, one page cache for all),
 *                                          else a folder whose files are read through us
 *
 * So history, fetch and pull work in a sandbox that has nothing but the view, and for a user who may
 * not enter the repository; whoever has the view can read the whole history, as its base was given to
 * him. Nothing below can be written.
 *
 * Numbers: NODE_CONTROL_LAYER | payload << 8 | enum origin_node; the payload is the lookup's count for
 * texts (a new number for a new text, so that no page of an older one is shown), the first byte of the
 * ids for a folder of loose objects, the key for object files. They mean the same after a restart, but
 * for texts, which are then made anew. Names and attributes are not cached (reply.c).
 *
 * Lock: view->lock is taken for the texts alone, never while a file is read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "origin.h"
#include "sys.h"
#include "view_internal.h"

#define TEXT_IDLE_NS (UINT64_C(60) * 1000000000)

enum origin_node {
	NODE_ORIGIN = 0x80,
	NODE_REFS,
	NODE_OBJECTS,
	NODE_LINK,
	NODE_PACKS,
	NODE_FANOUT,
	NODE_TEXT = 0x90, /* + enum origin_text */
	NODE_FILE = 0xa0, /* + the low bits of the key */
};

static const struct {
	const char *name;
	enum origin_text text;
} texts[] = {
	{"HEAD", ORIGIN_HEAD},
	{"config", ORIGIN_CONFIG},
	{"packed-refs", ORIGIN_PACKED_REFS},
	{"shallow", ORIGIN_SHALLOW},
};

static unsigned kind_of(uint64_t id)
{
	return (unsigned)(id & 0xff);
}

static uint64_t payload_of(uint64_t id)
{
	return (id & ~NODE_CONTROL_LAYER) >> 8;
}

static uint64_t number(unsigned kind, uint64_t payload)
{
	return NODE_CONTROL_LAYER | payload << 8 | kind;
}

static bool is_text(uint64_t id)
{
	return (kind_of(id) & 0xf0) == NODE_TEXT;
}

static bool is_object(uint64_t id)
{
	return (kind_of(id) & 0xf0) == NODE_FILE;
}

static uint64_t object_number(uint64_t key)
{
	return number(NODE_FILE + (unsigned)(key & 3), key >> 2);
}

static uint64_t key_of(uint64_t id)
{
	return payload_of(id) << 2 | (kind_of(id) & 3);
}

bool origin_is(uint64_t id)
{
	return (id & NODE_CONTROL_LAYER) == NODE_CONTROL_LAYER && kind_of(id) >= NODE_ORIGIN;
}

/* The folder of object files that a number stands for, NULL: none. */
static const char *object_folder(uint64_t id, char room[8])
{
	if (kind_of(id) == NODE_PACKS)
		return "pack";
	if (kind_of(id) != NODE_FANOUT)
		return NULL;
	(void)snprintf(room, 8, "%02x", (unsigned)(payload_of(id) & 0xff));
	return room;
}

/* --- texts --- */

/* The slot that holds just this text, for that file; NULL: none does. Lock held. */
static struct origin_slot *find_text(struct view *v, enum origin_text what, const struct buf *b)
{
	for (size_t i = 0; i < ORIGIN_SLOTS; i++) {
		struct origin_slot *s = &v->origin_texts[i];

		if (s->id && kind_of(s->id) == (unsigned)NODE_TEXT + what &&
		    s->text.len == b->len && (!b->len || !memcmp(s->text.data, b->data, b->len)))
			return s;
	}
	return NULL;
}

static int make_text(struct view *v, enum origin_text what, uint64_t *ret_id, size_t *ret_len)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct origin_slot *slot;
	int r = origin_text(v->origin, what, &b);

	if (r < 0)
		return r;
	*ret_len = b.len;
	pthread_mutex_lock(&v->lock);
	slot = find_text(v, what, &b);
	if (!slot) {
		slot = &v->origin_texts[++v->control_lookups % ORIGIN_SLOTS];
		buf_release(&slot->text);
		slot->id = number(NODE_TEXT + what, v->control_lookups);
		slot->text = b;
		b = BUF_INIT;
	}
	slot->used = sys_now_ns();
	*ret_id = slot->id;
	pthread_mutex_unlock(&v->lock);
	return 0;
}

void view_origin_trim(struct view *v)
{
	uint64_t now = sys_now_ns();

	origin_trim(v->origin);
	pthread_mutex_lock(&v->lock);
	for (size_t i = 0; i < ORIGIN_SLOTS; i++) {
		struct origin_slot *s = &v->origin_texts[i];

		if (!s->id || now - s->used < TEXT_IDLE_NS)
			continue;
		buf_release(&s->text);
		s->id = 0;
	}
	pthread_mutex_unlock(&v->lock);
}

/* Appends at most n bytes from off on of a text that was looked up; one that has left its slot since
 * is made anew. *ret_len is its whole length. */
static int text_part(struct view *v, uint64_t id, uint64_t off, size_t n, struct buf *ret,
		     uint64_t *ret_len)
{
	const struct origin_slot *slot = &v->origin_texts[payload_of(id) % ORIGIN_SLOTS];
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = -ENOENT;

	pthread_mutex_lock(&v->lock);
	if (slot->id == id) {
		*ret_len = slot->text.len;
		r = off < *ret_len ? buf_add(ret, slot->text.data + off,
					     *ret_len - off < n ? *ret_len - off : n)
				   : 0;
	}
	pthread_mutex_unlock(&v->lock);
	if (r != -ENOENT)
		return r;
	r = origin_text(v->origin, (enum origin_text)(kind_of(id) - NODE_TEXT), &b);
	*ret_len = b.len;
	if (r == 0 && off < b.len)
		r = buf_add(ret, b.data + off, b.len - off < n ? b.len - off : n);
	return r;
}

/* --- attributes --- */

static void fill(const struct view *v, uint64_t id, uint32_t mode, struct node_attr *ret)
{
	*ret = (struct node_attr){
		.id = id,
		.ino = node_ino(id),
		.uid = v->conf.uid,
		.gid = v->conf.gid,
		.mode = mode,
		.nlink = S_ISDIR(mode) ? 2 : 1,
		.atime = v->started,
		.mtime = v->started,
		.ctime = v->started,
		.btime = v->started,
	};
}

static int object_attr(struct view *v, uint64_t id, const char *name, struct node_attr *ret)
{
	_cleanup_close_ int fd = origin_file(v->origin, key_of(id), name);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	fill(v, id, S_IFREG | 0400, ret);
	ret->size = (uint64_t)st.st_size;
	ret->blocks = (uint64_t)st.st_blocks;
	ret->mtime = ret->ctime = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	return 0;
}

/* A folder's time is its own: the kernel keeps a listing as long as that stays. */
static int folder_attr(struct view *v, uint64_t id, struct node_attr *ret)
{
	char room[8];
	const char *folder = object_folder(id, room);

	fill(v, id, S_IFDIR | 0500, ret);
	ret->size = 4096;
	if (folder) {
		ret->mtime = ret->ctime = origin_changed(v->origin, folder);
		if (!ret->mtime)
			return -ENOENT;
	}
	return 0;
}

int view_origin_attr(struct view *v, uint64_t id, struct node_attr *ret)
{
	_cleanup_buf_ struct buf none = BUF_INIT;
	int r;

	if (is_object(id))
		return object_attr(v, id, NULL, ret);
	if (is_text(id)) {
		fill(v, id, S_IFREG | 0400, ret);
		r = text_part(v, id, 0, 0, &none, &ret->size);
		return r;
	}
	if (kind_of(id) == NODE_LINK) {
		fill(v, id, S_IFLNK | 0777, ret);
		ret->size = strlen(origin_objects(v->origin));
		return 0;
	}
	return folder_attr(v, id, ret);
}

void view_origin_root(struct view *v, struct node_attr *ret)
{
	(void)folder_attr(v, number(NODE_ORIGIN, 0), ret);
}

/* --- names --- */

static int lookup_top(struct view *v, const struct view_ctx *ctx, const char *name,
		      struct node_attr *ret)
{
	uint64_t id;
	size_t len;
	int r;

	if (strcmp(name, "refs") == 0)
		return folder_attr(v, number(NODE_REFS, 0), ret);
	if (strcmp(name, "objects") == 0)
		return view_origin_attr(
			v,
			number(origin_reachable(v->origin, ctx->pid) ? NODE_LINK : NODE_OBJECTS, 0),
			ret);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (strcmp(name, texts[i].name) != 0)
			continue;
		r = make_text(v, texts[i].text, &id, &len);
		if (r < 0)
			return r;
		fill(v, id, S_IFREG | 0400, ret);
		ret->size = len;
		return 0;
	}
	return -ENOENT;
}

static int lookup_object(struct view *v, uint64_t parent, const char *name, struct node_attr *ret)
{
	char room[8], path[512];
	const char *folder = object_folder(parent, room);
	uint64_t key;
	int r = folder ? origin_key(folder, name, &key) : -ENOTDIR;

	if (r < 0)
		return r;
	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	return object_attr(v, object_number(key), path, ret);
}

static int lookup_objects(struct view *v, const char *name, struct node_attr *ret)
{
	unsigned first;
	int end = 0;

	if (strcmp(name, "pack") == 0)
		return folder_attr(v, number(NODE_PACKS, 0), ret);
	if (strlen(name) == 2 && strspn(name, "0123456789abcdef") == 2 &&
	    sscanf(name, "%2x%n", &first, &end) == 1 && end == 2)
		return folder_attr(v, number(NODE_FANOUT, first), ret);
	return -ENOENT;
}

int view_origin_lookup(struct view *v, const struct view_ctx *ctx, uint64_t parent,
		       const char *name, struct node_attr *ret)
{
	switch (kind_of(parent)) {
	case NODE_ORIGIN:
		return lookup_top(v, ctx, name, ret);
	case NODE_OBJECTS:
		return lookup_objects(v, name, ret);
	case NODE_REFS:
		return -ENOENT;
	default:
		return lookup_object(v, parent, name, ret);
	}
}

int view_origin_readlink(struct view *v, uint64_t id, struct buf *ret)
{
	return kind_of(id) == NODE_LINK ? buf_adds(ret, origin_objects(v->origin)) : -EINVAL;
}

/* --- content --- */

ssize_t view_origin_read(struct view *v, uint64_t id, uint64_t off, void *p, size_t n)
{
	_cleanup_close_ int fd = -1;
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t done = 0;
	uint64_t len;
	int r;

	if (is_text(id)) {
		r = text_part(v, id, off, n, &b, &len);
		if (r < 0)
			return r;
		memcpy(p, b.data ? b.data : "", b.len);
		return (ssize_t)b.len;
	}
	if (!is_object(id))
		return -EISDIR;
	fd = origin_file(v->origin, key_of(id), NULL);
	if (fd < 0)
		return fd == -ENOENT ? -EIO : fd;
	while (done < n) {
		ssize_t k = pread(fd, (char *)p + done, n - done, (off_t)(off + done));

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (k == 0)
			break;
		done += (size_t)k;
	}
	return (ssize_t)done;
}

/* --- listing --- */

struct listing {
	struct view *v;
	view_dir_fn fn;
	void *user;
};

/* Told without a number, so that the kernel looks up only what somebody opens. */
static int tell(const struct listing *l, const char *name, uint64_t cookie, uint64_t id,
		uint32_t mode)
{
	struct node_attr a;

	fill(l->v, id, mode, &a);
	a.id = 0;
	return l->fn(name, cookie, &a, l->user);
}

static int list_object(const char *name, uint64_t key, void *user)
{
	return tell(user, name, key + 3, object_number(key), S_IFREG | 0400);
}

static int list_top(const struct listing *l, uint64_t cookie)
{
	static const struct {
		const char *name;
		unsigned kind;
		uint32_t mode;
	} names[] = {
		{"HEAD", NODE_TEXT + ORIGIN_HEAD, S_IFREG | 0400},
		{"config", NODE_TEXT + ORIGIN_CONFIG, S_IFREG | 0400},
		{"packed-refs", NODE_TEXT + ORIGIN_PACKED_REFS, S_IFREG | 0400},
		{"refs", NODE_REFS, S_IFDIR | 0500},
		{"objects", NODE_OBJECTS, S_IFDIR | 0500},
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names) && r == 0; i++)
		if (cookie < i + 3)
			r = tell(l, names[i].name, i + 3, number(names[i].kind, 0), names[i].mode);
	return r;
}

static int list_objects(const struct listing *l, uint64_t cookie)
{
	char name[8];
	int r = cookie < 3 ? tell(l, "pack", 3, number(NODE_PACKS, 0), S_IFDIR | 0500) : 0;

	for (unsigned i = 0; i < 256 && r == 0; i++) {
		(void)snprintf(name, sizeof(name), "%02x", i);
		if (cookie < i + 4 && origin_changed(l->v->origin, name))
			r = tell(l, name, i + 4, number(NODE_FANOUT, i), S_IFDIR | 0500);
	}
	return r;
}

int view_origin_readdir(struct view *v, uint64_t id, uint64_t cookie, view_dir_fn fn, void *user)
{
	const struct listing l = {v, fn, user};
	char room[8];
	const char *folder = object_folder(id, room);
	int r = 0;

	if (cookie < 1)
		r = tell(&l, ".", 1, id, S_IFDIR | 0500);
	if (r == 0 && cookie < 2)
		r = tell(&l, "..", 2, number(NODE_ORIGIN, 0), S_IFDIR | 0500);
	if (r)
		return r;
	if (folder)
		return origin_list(v->origin, folder, cookie > 2 ? cookie - 2 : 0, list_object,
				   (void *)&l);
	switch (kind_of(id)) {
	case NODE_ORIGIN:
		return list_top(&l, cookie);
	case NODE_OBJECTS:
		return list_objects(&l, cookie);
	case NODE_REFS:
		return 0;
	default:
		return -ENOTDIR;
	}
}
