/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations on names: lookup, making, linking, removing, listing; renaming is in view_rename.c.
 *
 * Each changing one: lock → exists? (errno in the order of POSIX) → policy → reserve → append → apply →
 * unlock. Mode bits are the kernel's business (default_permissions); here only policy and structure.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "apply.h"
#include "cleanup.h"
#include "journal.h"
#include "view_internal.h"
#include "view_seed.h"

enum { NAME_BYTES_MAX = 255, RECORD_ROOM = 2048 };

/* --- lookup counts --- */

/* Where the kernel's lookups of a base node are counted, NULL where the node counts its own. */
static uint16_t *base_count(struct view *v, uint64_t id)
{
	uint32_t place;

	return tree_place(&v->rec.tree, id, &place) ? &v->rec.tree.base_lookups[place] : NULL;
}

void view_count_lookup(struct view *v, uint64_t id)
{
	uint16_t *c = base_count(v, id);
	struct node *n = c ? NULL : tree_node(&v->rec.tree, id);

	if (c && *c < BASE_LOOKUPS_STICKY)
		(*c)++;
	else if (n)
		n->lookups++;
}

/* A node without names lives as long as the kernel holds it, and no longer: what the server itself
 * replaced may never have been looked up. */
void view_drop_if_unheld(struct view *v, uint64_t id)
{
	const struct node *n = tree_node(&v->rec.tree, id);
	const uint16_t *c = base_count(v, id);

	if (!n || n->nlink)
		return;
	if (c ? *c : n->lookups)
		return;
	(void)table_remove(&v->written, id);
	apply_drop_orphan(&v->rec.tree, id);
}

static bool forget_base(uint16_t *c, uint64_t n)
{
	if (*c == BASE_LOOKUPS_STICKY)
		return false;
	*c = n > *c ? 0 : (uint16_t)(*c - n);
	return *c == 0;
}

void view_forget(struct view *v, uint64_t id, uint64_t n)
{
	struct node *node;
	bool gone = false;
	uint16_t *c;

	if (id == NODE_ROOT)
		return;
	pthread_mutex_lock(&v->lock);
	c = base_count(v, id);
	node = c ? NULL : tree_node(&v->rec.tree, id);
	if (c) {
		gone = forget_base(c, n);
	} else if (node) {
		node->lookups = n > node->lookups ? 0 : node->lookups - n;
		gone = !node->lookups;
	}
	if (gone)
		(void)table_remove(&v->stale, id);
	if (gone)
		view_drop_if_unheld(v, id);
	pthread_mutex_unlock(&v->lock);
}

/* --- helpers, lock held --- */

static int attr_of(struct view *v, uint64_t id, const struct place *at, struct node_attr *ret)
{
	int r = tree_attr(&v->rec.tree, id, ret);

	if (r == 0)
		view_mask_attr(v, ret, at);
	ret->redirected = r == 0 && view_redirected(v, id);
	return r;
}

static int check_new_name(const char *name, size_t *ret_len)
{
	*ret_len = strlen(name);
	return *ret_len > NAME_BYTES_MAX ? -ENAMETOOLONG : 0;
}

/* The folder must be there and still have a name to make something in it. */
int view_check_dir(struct view *v, uint64_t dir)
{
	struct node_attr a;
	int r = tree_attr(&v->rec.tree, dir, &a);

	if (r < 0)
		return r;
	if (!S_ISDIR(a.mode))
		return -ENOTDIR;
	return a.nlink ? view_redirect_inside(v, dir) : -ENOENT;
}

/* /.agentfs is shown even where nobody made it; the first thing made in it makes it real. */
int view_make_real(struct view *v, const struct view_ctx *ctx, uint64_t dir)
{
	struct record rec;
	struct check c = {
		.op = POLICY_MKDIR, .rop = OP_MKDIR, .at = {NODE_ROOT, ".agentfs", 8}, .dir = true};
	uint64_t there;
	int r;

	if (dir != NODE_AGENTFS || tree_node(&v->rec.tree, NODE_AGENTFS) ||
	    tree_lookup(&v->rec.tree, NODE_ROOT, ".agentfs", 8, &there) == 0)
		return 0;
	r = view_check(v, ctx, &c);
	if (r < 0)
		return r;
	view_record(v, ctx, &rec, OP_MKDIR);
	RECORD_SET(&rec, parent, F_PARENT, NODE_ROOT);
	RECORD_SET(&rec, name, F_NAME, ((struct bytes){".agentfs", 8}));
	RECORD_SET(&rec, node, F_NODE, NODE_AGENTFS);
	RECORD_SET(&rec, mode, F_MODE, 0755);
	RECORD_SET(&rec, owner, F_OWNER, v->conf.uid);
	RECORD_SET(&rec, group, F_GROUP, v->conf.gid);
	r = journal_reserve(v->rec.journal, RECORD_ROOM);
	return r < 0 ? r : view_commit(v, &rec);
}

/* --- lookup and listing --- */

int view_lookup(struct view *v, const struct view_ctx *ctx, uint64_t parent, const char *name,
		struct node_attr *ret)
{
	struct place at = {parent, name, strlen(name)};
	uint64_t id;
	int r = view_seed_ready(v, ctx, parent);

	if (origin_is(parent))
		return view_origin_lookup(v, ctx, parent, name, ret);
	if (r < 0)
		return r;
	pthread_mutex_lock(&v->lock);
	r = control_lookup(v, parent, name, ret);
	if (r != -ENODATA)
		goto out;
	r = view_redirect_inside(v, parent);
	if (r == 0)
		r = tree_lookup(&v->rec.tree, parent, name, at.len, &id);
	if (r == 0)
		r = attr_of(v, id, &at, ret);
	if (r == 0 && view_hidden(v, &at, S_ISDIR(ret->mode)))
		r = -ENOENT;
	if (r == 0)
		view_count_lookup(v, id);
out:
	pthread_mutex_unlock(&v->lock);
	return r;
}

static int list_dots(struct view *v, uint64_t id, uint64_t cookie, view_dir_fn fn, void *user)
{
	struct node_attr a;
	uint64_t parent = NODE_ROOT;
	const char *name;
	size_t len;
	int r;

	if (cookie < 1) {
		r = tree_attr(&v->rec.tree, id, &a);
		if (r < 0)
			return r;
		r = fn(".", 1, &a, user);
		if (r)
			return r;
	}
	if (cookie < 2) {
		if (tree_parent(&v->rec.tree, id, &parent, &name, &len) < 0)
			parent = NODE_ROOT;
		r = tree_attr(&v->rec.tree, parent, &a);
		return r < 0 ? r : fn("..", 2, &a, user);
	}
	return 0;
}

static int list_names(struct view *v, uint64_t id, uint64_t cookie, bool count, view_dir_fn fn,
		      void *user)
{
	struct node_attr a;
	char name[NAME_BYTES_MAX + 1];
	const char *p;
	uint64_t child;
	size_t len;
	int r;

	if (cookie <= 2)
		cookie = 0;
	while (tree_readdir(&v->rec.tree, id, cookie, &cookie, &child, &p, &len) > 0) {
		struct place at = {id, name, len};

		memcpy(name, p, len);
		name[len] = '\0';
		r = attr_of(v, child, &at, &a);
		if (r < 0)
			return r;
		if (view_hidden(v, &at, S_ISDIR(a.mode)))
			continue;
		r = fn(name, cookie, &a, user);
		if (r)
			return r;
		if (count && !a.redirected) /* nothing is told of it but its name */
			view_count_lookup(v, child);
	}
	return 0;
}

int view_readdir(struct view *v, const struct view_ctx *ctx, uint64_t id, uint64_t cookie,
		 bool count, view_dir_fn fn, void *user)
{
	int r = view_seed_ready(v, ctx, id);

	if (origin_is(id))
		return view_origin_readdir(v, id, cookie, fn, user);
	if (r < 0)
		return r;
	pthread_mutex_lock(&v->lock);
	if (control_is(v, id)) {
		r = control_readdir(v, id, cookie, fn, user);
	} else if (!tree_is_dir(&v->rec.tree, id)) {
		r = -ENOTDIR;
	} else if (view_redirected(v, id)) {
		r = view_redirect_inside(v, id);
	} else {
		view_mark_stale(v, id); /* reading it touches atime: the kernel drops its copy */
		r = list_dots(v, id, cookie, fn, user);
		if (r == 0)
			r = list_names(v, id, cookie, count, fn, user);
	}
	pthread_mutex_unlock(&v->lock);
	return r;
}

/* --- making --- */

/* A name that is there cannot be made, and one that is hidden is not told from one that is not there and
 * may not be made: the policy answers. */
static int name_taken(struct view *v, const struct view_ctx *ctx, const struct check *c,
		      uint64_t there)
{
	struct check hidden = *c;
	int r;

	hidden.dir = tree_is_dir(&v->rec.tree, there);
	if (ctx->internal || !view_hidden(v, &c->at, hidden.dir))
		return -EEXIST;
	r = view_check(v, ctx, &hidden);
	return r < 0 ? r : -EACCES;
}

static int make(struct view *v, const struct view_ctx *ctx, uint64_t parent, const char *name,
		struct record *rec, struct node_attr *ret)
{
	struct check c = {
		.op = rec->op == OP_MKDIR ? POLICY_MKDIR : POLICY_CREATE,
		.rop = (enum record_op)rec->op,
		.at = {parent, name, 0},
		.dir = rec->op == OP_MKDIR,
	};
	struct node_attr dir;
	uint64_t there;
	int r;

	r = check_new_name(name, &c.at.len);
	if (r == 0)
		r = control_is(v, parent) && parent != NODE_AGENTFS ? -EACCES : 0;
	if (r == 0)
		r = control_reserved(v, parent, name) ? -EEXIST : 0;
	if (r == 0)
		r = view_make_real(v, ctx, parent);
	if (r == 0)
		r = view_check_dir(v, parent);
	if (r == 0 && tree_lookup(&v->rec.tree, parent, name, c.at.len, &there) == 0)
		r = name_taken(v, ctx, &c, there);
	if (r == 0)
		r = view_check(v, ctx, &c);
	if (r == 0)
		r = view_quota_node(v, ctx, c.rop, &c.at);
	if (r == 0)
		r = journal_reserve(v->rec.journal, RECORD_ROOM + c.at.len + rec->value.n);
	if (r < 0)
		return r;
	(void)tree_attr(&v->rec.tree, parent, &dir);
	if (dir.mode & S_ISGID) {
		RECORD_SET(rec, group, F_GROUP, dir.gid);
		if (rec->op == OP_MKDIR)
			rec->mode |= S_ISGID;
	}
	RECORD_SET(rec, parent, F_PARENT, parent);
	RECORD_SET(rec, name, F_NAME, ((struct bytes){name, c.at.len}));
	RECORD_SET(rec, node, F_NODE, v->rec.tree.next_upper);
	rec->flags |= c.scratch ? RECORD_F_SCRATCH : 0;
	rec->flags |= view_in_git(v, parent, name, c.at.len) ? RECORD_F_GIT : 0;
	r = view_commit(v, rec);
	if (r == 0)
		r = attr_of(v, rec->node, &c.at, ret);
	if (r == 0 && rec->op == OP_MKDIR)
		view_redirect_make(v, ctx, &c.at, ret);
	if (r == 0 && !ctx->internal)
		view_count_lookup(v, rec->node);
	return r;
}

static int make_locked(struct view *v, const struct view_ctx *ctx, uint64_t parent,
		       const char *name, struct record *rec, struct node_attr *ret)
{
	int r;

	RECORD_SET(rec, owner, F_OWNER, ctx->uid);
	RECORD_SET(rec, group, F_GROUP, ctx->gid);
	r = make(v, ctx, parent, name, rec, ret);
	pthread_mutex_unlock(&v->lock);
	return r;
}

/* A device node is refused for everyone, and that is worth knowing. */
static int refuse_device(struct view *v, const struct view_ctx *ctx, uint64_t parent,
			 const char *name, uint32_t mode, uint32_t rdev)
{
	struct record rec;

	view_record(v, ctx, &rec, OP_MKNOD);
	rec.type = RECORD_FAILED;
	RECORD_SET(&rec, result, F_RESULT, -EPERM);
	RECORD_SET(&rec, parent, F_PARENT, parent);
	RECORD_SET(&rec, name, F_NAME, ((struct bytes){name, strlen(name)}));
	RECORD_SET(&rec, mode, F_MODE, mode);
	RECORD_SET(&rec, rdev, F_RDEV, rdev);
	(void)view_commit(v, &rec);
	return -EPERM;
}

int view_mknod(struct view *v, const struct view_ctx *ctx, uint64_t parent, const char *name,
	       uint32_t mode, uint32_t rdev, struct node_attr *ret)
{
	struct record rec;
	int r = view_seed_ready(v, ctx, parent);

	if (r < 0)
		return r;
	pthread_mutex_lock(&v->lock);
	if (S_ISBLK(mode) || (S_ISCHR(mode) && rdev != 0)) { /* 0/0 is an overlayfs whiteout */
		r = refuse_device(v, ctx, parent, name, mode, rdev);
		pthread_mutex_unlock(&v->lock);
		return r;
	}
	view_record(v, ctx, &rec, OP_MKNOD);
	if (!(mode & S_IFMT))
		mode |= S_IFREG;
	RECORD_SET(&rec, mode, F_MODE, mode);
	return make_locked(v, ctx, parent, name, &rec, ret);
}

int view_mkdir(struct view *v, const struct view_ctx *ctx, uint64_t parent, const char *name,
	       uint32_t mode, struct node_attr *ret)
{
	struct record rec;
	int r = view_seed_ready(v, ctx, parent);

	if (r < 0)
		return r;
	pthread_mutex_lock(&v->lock);
	view_record(v, ctx, &rec, OP_MKDIR);
	RECORD_SET(&rec, mode, F_MODE, mode & 07777);
	return make_locked(v, ctx, parent, name, &rec, ret);
}

int view_symlink(struct view *v, const struct view_ctx *ctx, uint64_t parent, const char *name,
		 const char *target, struct node_attr *ret)
{
	size_t len = strlen(target);
	struct record rec;
	int r;

	if (!len)
		return -ENOENT;
	if (len > 4095)
		return -ENAMETOOLONG;
	r = view_seed_ready(v, ctx, parent);
	if (r < 0)
		return r;
	pthread_mutex_lock(&v->lock);
	view_record(v, ctx, &rec, OP_SYMLINK);
	RECORD_SET(&rec, value, F_VALUE, ((struct bytes){target, len}));
	return make_locked(v, ctx, parent, name, &rec, ret);
}

static int do_link(struct view *v, const struct view_ctx *ctx, uint64_t id, uint64_t parent,
		   const char *name, struct node_attr *ret)
{
	struct check c = {.op = POLICY_LINK, .rop = OP_LINK, .at = {parent, name, 0}, .node = 0};
	struct node_attr a;
	struct record rec;
	uint64_t there;
	int r;

	r = check_new_name(name, &c.at.len);
	if (r == 0 && (control_is(v, id) || control_reserved(v, parent, name)))
		r = -EPERM;
	if (r == 0)
		r = tree_attr(&v->rec.tree, id, &a);
	if (r == 0)
		r = S_ISDIR(a.mode) ? -EPERM : a.nlink ? 0 : -ENOENT;
	if (r == 0)
		r = view_make_real(v, ctx, parent);
	if (r == 0)
		r = view_check_dir(v, parent);
	if (r == 0 && tree_lookup(&v->rec.tree, parent, name, c.at.len, &there) == 0)
		r = name_taken(v, ctx, &c, there);
	if (r == 0) /* a second name is a way to write: both ends are judged */
		r = view_check_node(v, ctx, id, POLICY_WRITE, OP_LINK);
	if (r == 0)
		r = view_check(v, ctx, &c);
	if (r == 0)
		r = journal_reserve(v->rec.journal, RECORD_ROOM);
	if (r < 0)
		return r;
	view_record(v, ctx, &rec, OP_LINK);
	RECORD_SET(&rec, node, F_NODE, id);
	RECORD_SET(&rec, parent2, F_PARENT2, parent);
	RECORD_SET(&rec, name2, F_NAME2, ((struct bytes){name, c.at.len}));
	rec.flags |= c.scratch ? RECORD_F_SCRATCH : 0;
	rec.flags |= view_in_git(v, parent, name, c.at.len) ? RECORD_F_GIT : 0;
	r = view_commit(v, &rec);
	if (r == 0)
		r = attr_of(v, id, &c.at, ret);
	if (r == 0 && !ctx->internal)
		view_count_lookup(v, id);
	return r;
}

int view_link(struct view *v, const struct view_ctx *ctx, uint64_t id, uint64_t parent,
	      const char *name, struct node_attr *ret)
{
	int r = view_seed_ready(v, ctx, parent);

	if (r == 0)
		r = view_seed_own(v, ctx, id);
	if (r < 0)
		return r;
	pthread_mutex_lock(&v->lock);
	r = do_link(v, ctx, id, parent, name, ret);
	pthread_mutex_unlock(&v->lock);
	return r;
}

/* --- removing --- */

static int do_remove(struct view *v, const struct view_ctx *ctx, uint64_t parent, const char *name,
		     bool dir)
{
	struct check c = {
		.op = dir ? POLICY_RMDIR : POLICY_UNLINK,
		.rop = dir ? OP_RMDIR : OP_UNLINK,
		.at = {parent, name, strlen(name)},
		.dir = dir,
	};
	struct record rec;
	int r;

	if (control_is(v, parent))
		return -EACCES;
	if (control_reserved(v, parent, name))
		return dir ? -ENOTEMPTY : -EPERM;
	r = tree_lookup(&v->rec.tree, parent, name, c.at.len, &c.node);
	if (r < 0)
		return r;
	if (tree_is_dir(&v->rec.tree, c.node) != dir)
		return dir ? -ENOTDIR : -EISDIR;
	if (dir && !tree_dir_empty(&v->rec.tree, c.node))
		return -ENOTEMPTY;
	r = view_check(v, ctx, &c);
	if (r == 0)
		r = journal_reserve_vital(v->rec.journal, RECORD_ROOM); /* also on a full disk */
	if (r == 0 && dir)
		r = view_redirect_before_rmdir(v, c.node);
	if (r < 0)
		return r;
	view_record(v, ctx, &rec, c.rop);
	RECORD_SET(&rec, parent, F_PARENT, parent);
	RECORD_SET(&rec, name, F_NAME, ((struct bytes){name, c.at.len}));
	RECORD_SET(&rec, node, F_NODE, c.node);
	rec.flags |= view_in_git(v, parent, name, c.at.len) ? RECORD_F_GIT : 0;
	r = view_commit(v, &rec);
	if (r < 0)
		return r;
	if (!(rec.flags & RECORD_F_GIT))
		v->last_write = (int64_t)rec.time;
	view_redirect_forget(v, c.node);
	view_drop_if_unheld(v, c.node);
	return 0;
}

int view_unlink(struct view *v, const struct view_ctx *ctx, uint64_t parent, const char *name)
{
	int r = view_seed_ready(v, ctx, parent);

	if (r < 0)
		return r;
	pthread_mutex_lock(&v->lock);
	r = do_remove(v, ctx, parent, name, false);
	pthread_mutex_unlock(&v->lock);
	return r;
}

int view_rmdir(struct view *v, const struct view_ctx *ctx, uint64_t parent, const char *name)
{
	int r = view_seed_ready_at(v, ctx, parent, name); /* is it empty? */

	if (r < 0)
		return r;
	pthread_mutex_lock(&v->lock);
	r = do_remove(v, ctx, parent, name, true);
	pthread_mutex_unlock(&v->lock);
	return r;
}
