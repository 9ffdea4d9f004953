/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view's tree as of one record, from its files alone.
 *
 * Invariants: (1) nothing of the view is changed; (2) snapshot_changes() costs what changed: it walks
 * the changed nodes' folders and whiteouts, and whole base folders only where one was moved or
 * covered; (3) the view's own .git and .agentfs/control are never among the changes, nor is what came
 * from the main worktree and is unchanged (seed.h).
 */
#include "snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "content.h"
#include "io.h"
#include "recover.h"
#include "seed.h"
#include "sys.h"
#include "tree_sync.h"

struct snapshot {
	struct viewconf conf;
	struct recovered rec;
	struct odb *odb;
	struct content *content;
	struct policy *policy;
	struct tree_next *next; /* snapshot_preview() */
	int index_fd, content_dir;
};

void snapshot_close(struct snapshot *s)
{
	if (!s)
		return;
	tree_next_free(s->next);
	recovered_release(&s->rec);
	content_close(s->content);
	odb_close(s->odb);
	policy_free(s->policy);
	viewconf_release(&s->conf);
	(void)safe_close(s->index_fd);
	(void)safe_close(s->content_dir);
	free(s);
}

DEFINE_CLEANUP(struct snapshot *, snapshot_close);

int snapshot_open(int view_dir, int state_dir, uint64_t seq, struct snapshot **ret,
		  struct err *reterr)
{
	_cleanup_(snapshot_closep) struct snapshot *s = sys_calloc(1, sizeof(*s));
	_cleanup_close_ int images = -1;
	int r;

	if (!s)
		return err_set(reterr, -ENOMEM, "open a snapshot");
	s->index_fd = s->content_dir = -1;
	s->rec.journal_dir = s->rec.data_dir = s->rec.checkpoint_dir = s->rec.images_dir = -1;
	r = viewconf_read(view_dir, &s->conf, reterr);
	if (r < 0)
		return r;
	images = openat(state_dir, "images", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (images < 0)
		return err_set(reterr, -errno, "open the folder of base images: %s",
			       strerror(errno));
	if (s->conf.index && *s->conf.index)
		s->index_fd = openat(images, s->conf.index, O_RDONLY | O_CLOEXEC);
	r = odb_open(s->conf.objects, &s->odb, reterr);
	if (r == 0)
		r = content_open(-1, s->odb, &s->content, reterr);
	if (r == 0)
		r = recover_read(view_dir, images, &s->conf, seq, &s->rec, reterr);
	if (r == 0)
		r = policy_parse(s->rec.tree.policy ? s->rec.tree.policy : s->conf.policy,
				 &s->policy, reterr);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(s);
	return 0;
}

void snapshot_use_cache(struct snapshot *s, int state_dir)
{
	struct content *c = NULL;

	if (s->content_dir >= 0)
		return;
	s->content_dir = openat(state_dir, "content", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->content_dir < 0 || content_open(s->content_dir, s->odb, &c, NULL) < 0)
		return;
	content_close(s->content);
	s->content = c;
}

uint64_t snapshot_seq(const struct snapshot *s)
{
	return s->rec.tree.seq;
}

const struct image *snapshot_image(const struct snapshot *s)
{
	return s->rec.tree.image;
}

const struct policy *snapshot_policy(const struct snapshot *s)
{
	return s->policy;
}

/* The base file whose content and kind this node still has, or NULL. */
static const struct image_node *same_as(const struct tree *t, uint64_t id)
{
	const struct node *n = tree_node(t, id);
	const struct image_node *b;
	uint64_t base;

	if (!n)
		return tree_base(t, id);
	if (S_ISLNK(n->mode))
		return n->target || table_get(&t->kept, id) ? NULL : tree_base(t, id);
	if (!S_ISREG(n->mode))
		return NULL;
	if (tree_has_base_content(t, n))
		return tree_base(t, id);
	if (!n->size) /* nothing says where nothing came from */
		base = id;
	else if (!extent_is_base(&n->extents, n->size, &base))
		return NULL;
	b = table_get(&t->kept, base) ? NULL : tree_base(t, base);
	return b && S_ISREG(b->mode) && b->size == n->size ? b : NULL;
}

static int fill(const struct tree *t, uint64_t id, const struct entry *e, struct snapshot_stat *ret)
{
	struct node_attr a;
	const struct node *n = tree_node(t, id);
	int r = tree_attr(t, id, &a);

	if (r < 0)
		return r;
	*ret = (struct snapshot_stat){
		.node = id,
		.ino = a.ino,
		.mode = a.mode,
		.uid = a.uid,
		.gid = a.gid,
		.nlink = a.nlink,
		.size = a.size,
		.mtime = a.mtime,
		.ctime = a.ctime,
		.base = S_ISDIR(a.mode) ? NULL : same_as(t, id),
		.scratch = e && e->scratch,
		.seed = n && seed_is_intact(t, n),
	};
	return 0;
}

static int lookup(const struct tree *t, const char *path, struct snapshot_stat *ret)
{
	const struct entry *e = NULL;
	uint64_t id = NODE_ROOT;

	while (*path) {
		size_t n = strcspn(path, "/");
		uint64_t next;
		int r = tree_lookup(t, id, path, n, &next);

		if (r < 0)
			return r;
		e = tree_entry(t, id, path, n);
		id = next;
		path += n;
		if (*path == '/')
			path++;
	}
	return fill(t, id, e, ret);
}

int snapshot_lookup(struct snapshot *s, const char *path, struct snapshot_stat *ret)
{
	return lookup(&s->rec.tree, path, ret);
}

const char *snapshot_base_commit(const struct snapshot *s)
{
	return s->rec.tree.base_commit ? s->rec.tree.base_commit : s->conf.base_commit;
}

int snapshot_preview(struct snapshot *s, const struct snapshot_move *m)
{
	struct record rec = {.type = RECORD_SYNC};

	tree_next_free(s->next);
	s->next = NULL;
	RECORD_SET(&rec, name, F_NAME, ((struct bytes){m->image, strlen(m->image)}));
	RECORD_SET(&rec, name2, F_NAME2, ((struct bytes){m->commit, strlen(m->commit)}));
	RECORD_SET(&rec, count, F_COUNT, s->rec.tree.layer + 1);
	RECORD_SET(&rec, mtime, F_MTIME, m->time);
	RECORD_SET(&rec, value, F_VALUE, m->actions);
	return tree_next_build(&s->rec.tree, &rec, &s->next);
}

int snapshot_preview_lookup(struct snapshot *s, const char *path, struct snapshot_stat *ret)
{
	return s->next ? lookup(&s->next->tree, path, ret) : -EINVAL;
}

static int read_extent(struct snapshot *s, const struct extent *e, uint64_t skip, char *p, size_t n)
{
	struct base_content c;
	ssize_t k;

	if (e->node == EXTENT_DATA)
		return data_pread(s->rec.data, e->place + skip, p, n);
	if (e->node == EXTENT_INDEX)
		return s->index_fd < 0 ? -EIO : io_pread_full(s->index_fd, p, n, e->place + skip);
	if (tree_content(&s->rec.tree, e->node, &c) < 0)
		return -EIO;
	k = content_read(s->content, c.oid, c.size, e->place + skip, p, n);
	return k < 0 ? (int)k : (size_t)k == n ? 0 : -EIO;
}

static ssize_t read_changed(struct snapshot *s, const struct node *n, uint64_t off, char *p,
			    size_t len)
{
	if (off >= n->size)
		return 0;
	if (len > n->size - off)
		len = n->size - off;
	memset(p, 0, len);
	for (uint32_t i = extent_find(&n->extents, off);
	     i < n->extents.n && n->extents.v[i].off < off + len; i++) {
		const struct extent *e = &n->extents.v[i];
		uint64_t from = e->off > off ? e->off : off;
		uint64_t to = e->off + e->len < off + len ? e->off + e->len : off + len;
		int r = read_extent(s, e, from - e->off, p + (from - off), to - from);

		if (r < 0)
			return r;
	}
	return (ssize_t)len;
}

ssize_t snapshot_read(struct snapshot *s, uint64_t node, uint64_t off, void *buf, size_t n)
{
	const struct node *c = tree_node(&s->rec.tree, node);
	const struct image_node *b = tree_base(&s->rec.tree, node);
	struct base_content from;

	if (c && S_ISLNK(c->mode) && c->target) {
		if (off >= c->size)
			return 0;
		if (n > c->size - off)
			n = c->size - off;
		memcpy(buf, c->target + off, n);
		return (ssize_t)n;
	}
	if (c && S_ISREG(c->mode))
		return read_changed(s, c, off, buf, n);
	if ((!b && !c) || (b && S_ISDIR(b->mode)) || (c && !S_ISLNK(c->mode)))
		return c && !S_ISDIR(c->mode) ? -EINVAL : -EISDIR;
	if (tree_content(&s->rec.tree, node, &from) < 0)
		return -EIO;
	return content_read(s->content, from.oid, from.size, off, buf, n);
}

/* --- names in order --- */

struct name {
	char *name;
	uint64_t id; /* 0: gone */
	bool scratch, changed;
};

struct names {
	struct name *v;
	size_t n, cap;
};

static void names_release(struct names *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].name);
	free(l->v);
}

static int names_add(struct names *l, const char *name, size_t len, uint64_t id,
		     const struct entry *e)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 16;
		struct name *v = sys.realloc(l->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		l->v = v;
		l->cap = cap;
	}
	l->v[l->n] = (struct name){.name = strndup(name, len),
				   .id = id,
				   .scratch = e && e->scratch,
				   .changed = e != NULL};
	return l->v[l->n++].name ? 0 : -ENOMEM;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->name, ((const struct name *)b)->name);
}

static int list(const struct snapshot *s, uint64_t dir, struct names *ret)
{
	uint64_t cookie = 0, id;
	const char *name;
	size_t len;
	int r = 0;

	while (r == 0 && tree_readdir(&s->rec.tree, dir, cookie, &cookie, &id, &name, &len) > 0)
		r = names_add(ret, name, len, id, tree_entry(&s->rec.tree, dir, name, len));
	if (ret->n)
		qsort(ret->v, ret->n, sizeof(*ret->v), by_name);
	return r;
}

int snapshot_readdir(struct snapshot *s, const char *path, snapshot_dir_fn fn, void *user)
{
	_cleanup_(names_release) struct names l = {0};
	struct snapshot_stat st;
	int r = snapshot_lookup(s, path, &st);

	if (r < 0)
		return r;
	if (!S_ISDIR(st.mode))
		return -ENOTDIR;
	r = list(s, st.node, &l);
	for (size_t i = 0; i < l.n && r == 0; i++) {
		r = fill(&s->rec.tree, l.v[i].id,
			 tree_entry(&s->rec.tree, st.node, l.v[i].name, strlen(l.v[i].name)), &st);
		if (r == 0)
			r = fn(l.v[i].name, &st, user);
	}
	return r;
}

/* --- changes --- */

struct changes {
	struct snapshot *s;
	snapshot_change_fn fn;
	void *user;
	struct buf path;
	unsigned int depth;
	bool moved;		  /* below a folder of seeds that the agent moved */
	struct table interesting; /* folders with something changed in or below them */
};

/* What git would see differently: type, executable bit. */
static bool same_kind(uint32_t mode, const struct image_node *b)
{
	switch (b->mode & S_IFMT) {
	case S_IFREG:
		return S_ISREG(mode) && !(mode & 0100) == !(b->mode & 0100);
	case S_IFLNK:
		return S_ISLNK(mode);
	default:
		return false;
	}
}

static bool same_content(const struct snapshot_stat *st, const struct image_node *b)
{
	if (st->base)
		return memcmp(st->base->oid, b->oid, sizeof(b->oid)) == 0;
	return S_ISREG(st->mode) && !st->size && !b->size;
}

static int emit(struct changes *c, char status, const struct snapshot_stat *st,
		const struct image_node *base)
{
	struct snapshot_change ch = {.path = c->path.data, .status = status, .base = base};

	if (st) {
		ch.st = *st;
		ch.scratch = st->scratch;
	}
	return c->fn(&ch, c->user);
}

static int push(struct changes *c, const char *name, size_t len, size_t *ret_old)
{
	int r = 0;

	*ret_old = c->path.len;
	if (c->path.len)
		r = buf_addc(&c->path, '/');
	return r < 0 ? r : buf_add(&c->path, name, len);
}

static void pop(struct changes *c, size_t old)
{
	c->path.len = old;
	c->path.data[old] = '\0';
}

/* Everything of the base below `place` is gone from here. */
static int emit_deleted(struct changes *c, const struct image_node *b)
{
	const struct image *img = c->s->rec.tree.image;
	int r = 0;

	if (!S_ISDIR(b->mode))
		return (b->mode & S_IFMT) == 0160000 ? 0 : emit(c, 'D', NULL, b);
	for (uint32_t i = 0; i < b->children && r == 0; i++) {
		const struct image_node *k = image_node(img, b->first_child + i);
		size_t len, old;
		const char *name = image_name(img, k, &len);

		r = push(c, name, len, &old);
		if (r == 0)
			r = emit_deleted(c, k);
		pop(c, old);
	}
	return r;
}

/* Unchanged since it came from the main worktree, and where it was put. */
static bool is_seed(const struct changes *c, uint64_t id)
{
	const struct node *n = tree_node(&c->s->rec.tree, id);

	return n && !c->moved && (n->flags & NODE_F_SEED);
}

static int compare_dir(struct changes *c, uint64_t dir, const struct image_node *b);

/* What stands at the path now (id, may be 0) against what the base has there (b, may be NULL). */
static int compare(struct changes *c, uint64_t id, bool scratch, const struct image_node *b)
{
	struct snapshot_stat st;
	int r;

	if (!id)
		return b ? emit_deleted(c, b) : 0;
	r = fill(&c->s->rec.tree, id, NULL, &st);
	if (r < 0)
		return r;
	st.scratch = scratch;
	if (is_seed(c, id) && !S_ISDIR(st.mode))
		return 0;
	if (S_ISDIR(st.mode)) {
		if (b && !S_ISDIR(b->mode)) {
			if ((b->mode & S_IFMT) != 0160000)
				r = emit(c, 'D', NULL, b);
			b = NULL;
		}
		return r < 0 || r > 0 ? r : compare_dir(c, id, b);
	}
	if (b && (S_ISDIR(b->mode) || (b->mode & S_IFMT) == 0160000)) {
		r = emit_deleted(c, b);
		if (r)
			return r;
		b = NULL;
	}
	if (!S_ISREG(st.mode) && !S_ISLNK(st.mode)) /* fifo, socket: git has no such thing */
		return b ? emit(c, 'D', NULL, b) : 0;
	if (b && same_kind(st.mode, b) && same_content(&st, b))
		return 0;
	return emit(c, b ? 'M' : 'A', &st, b);
}

static bool is_own_git(uint64_t dir, const char *name)
{
	return dir == NODE_ROOT && strcmp(name, ".git") == 0;
}

/* Names of folder `dir` now, and of base folder b, merged in order. A folder of the base that nothing
 * in or below it changed is passed over whole. */
static int compare_dir(struct changes *c, uint64_t dir, const struct image_node *b)
{
	const struct image *img = c->s->rec.tree.image;
	bool in_place = b && tree_base(&c->s->rec.tree, dir) == b, moved = c->moved;
	_cleanup_(names_release) struct names l = {0};
	uint32_t k = 0;
	int r;

	if ((in_place || is_seed(c, dir)) && !table_get(&c->interesting, dir))
		return 0;
	if (c->depth == TREE_DEPTH_MAX || c->path.len > TREE_PATH_MAX)
		return -ENAMETOOLONG;
	c->depth++;
	if (!is_seed(c, dir)) /* what came with a folder of the base stays with it */
		c->moved = !seed_is_ground(&c->s->rec.tree, dir);
	r = list(c->s, dir, &l);
	for (size_t i = 0; r == 0 && (i < l.n || (b && k < b->children));) {
		const struct image_node *kb = NULL;
		const char *name = i < l.n ? l.v[i].name : NULL;
		size_t len = name ? strlen(name) : 0, old;
		int cmp = -1;

		if (b && k < b->children) {
			size_t blen;
			const char *bname;

			kb = image_node(img, b->first_child + k);
			bname = image_name(img, kb, &blen);
			cmp = name ? memcmp(name, bname, len < blen ? len : blen) : 1;
			if (name && cmp == 0)
				cmp = len < blen ? -1 : len > blen;
			if (cmp > 0) {
				name = bname;
				len = blen;
			}
		}
		if (cmp < 0)
			kb = NULL;
		r = push(c, name, len, &old);
		if (r == 0 && !(cmp <= 0 && is_own_git(dir, name)))
			r = compare(c, cmp <= 0 ? l.v[i].id : 0, cmp <= 0 && l.v[i].scratch, kb);
		pop(c, old);
		i += cmp <= 0;
		k += cmp >= 0;
	}
	c->moved = moved;
	c->depth--;
	return r;
}

static int mark_up(struct changes *c, uint64_t id)
{
	const char *name;
	size_t len;

	for (;;) {
		int r;

		if (table_get(&c->interesting, id))
			return 0;
		r = table_put(&c->interesting, id, c);
		if (r < 0)
			return r;
		if (id == NODE_ROOT || tree_parent(&c->s->rec.tree, id, &id, &name, &len) < 0)
			return 0;
	}
}

static int mark_name(uint64_t dir, const char *name, size_t len, void *user)
{
	return mark_up(user, dir);
}

/* Every folder that holds a changed name or a changed node, with all above it. */
static int mark_interesting(struct changes *c)
{
	const struct tree *t = &c->s->rec.tree;
	const struct node *n;
	size_t pos = 0;
	int r = 0;

	while (r == 0 && (n = table_next(&t->nodes, &pos))) {
		if (n->flags & NODE_F_SEED)
			continue;
		if (S_ISDIR(n->mode) && n->nlink)
			r = mark_up(c, n->id);
		else
			r = tree_each_name(t, n->id, mark_name, c);
	}
	return r;
}

int snapshot_changes(struct snapshot *s, snapshot_change_fn fn, void *user)
{
	struct changes c = {.s = s, .fn = fn, .user = user};
	int r = mark_interesting(&c);

	if (r == 0)
		r = buf_add(&c.path, "", 0);
	if (r == 0)
		r = compare_dir(&c, NODE_ROOT, image_node(s->rec.tree.image, 0));
	table_release(&c.interesting);
	buf_release(&c.path);
	return r;
}
