/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attributes and extended attributes.
 *
 * suid and sgid: HANDLE_KILLPRIV_V2 makes clearing them the server's duty: on chown always, on write
 * and truncate where the kernel asks (view_ctx.kill_priv). A chown that gives neither owner nor group
 * arrives as a SETATTR that sets nothing.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "cleanup.h"
#include "journal.h"
#include "sys.h"
#include "view_internal.h"
#include "view_seed.h"

enum { XATTR_VALUE_MAX = 65536, XATTR_NAME_BYTES_MAX = 255, RECORD_ROOM = 1024 };
enum { XATTR_NODE_MAX = XATTR_VALUE_MAX + 1024 }; /* names and values of one node */

static const char TRUSTED[] = "trusted.";

/* Mode without suid, and without sgid where it means "run as group". */
uint32_t view_killed_mode(uint32_t mode)
{
	mode &= ~(uint32_t)S_ISUID;
	if (mode & S_IXGRP)
		mode &= ~(uint32_t)S_ISGID;
	return mode;
}

int view_getattr(struct view *v, const struct view_ctx *ctx, uint64_t id, struct node_attr *ret)
{
	int r;

	if (origin_is(id))
		return view_origin_attr(v, id, ret);
	pthread_mutex_lock(&v->lock);
	if (control_is(v, id)) {
		r = control_attr(v, id, ret);
	} else {
		r = tree_attr(&v->rec.tree, id, ret);
		if (r == 0) {
			view_mask_attr(v, ret, NULL);
			view_infer_denial(v, ctx, id);
		}
	}
	pthread_mutex_unlock(&v->lock);
	return r;
}

static void set_fields(struct record *rec, const struct view_ctx *ctx,
		       const struct view_setattr *set, const struct node_attr *now)
{
	uint32_t mode = now->mode & 07777, kept;

	if (set->set & VIEW_SET_MODE)
		mode = set->mode & 07777;
	kept = mode;
	if (!S_ISDIR(now->mode) && !(set->set & VIEW_SET_MODE) &&
	    (!set->set || (set->set & (VIEW_SET_UID | VIEW_SET_GID)) || ctx->kill_priv))
		kept = view_killed_mode(mode);
	if ((set->set & VIEW_SET_MODE) || kept != mode)
		RECORD_SET(rec, mode, F_MODE, kept);
	if (set->set & VIEW_SET_UID)
		RECORD_SET(rec, owner, F_OWNER, set->uid);
	if (set->set & VIEW_SET_GID)
		RECORD_SET(rec, group, F_GROUP, set->gid);
	if (set->set & VIEW_SET_ATIME)
		RECORD_SET(rec, atime, F_ATIME,
			   set->atime == VIEW_TIME_NOW ? (int64_t)rec->time : set->atime);
	if (set->set & VIEW_SET_MTIME)
		RECORD_SET(rec, mtime, F_MTIME,
			   set->mtime == VIEW_TIME_NOW ? (int64_t)rec->time : set->mtime);
}

static int do_setattr(struct view *v, const struct view_ctx *ctx, uint64_t id,
		      const struct view_setattr *set, struct node_attr *ret)
{
	bool size = set->set & VIEW_SET_SIZE;
	struct node_attr now;
	struct record rec;
	int r = tree_attr(&v->rec.tree, id, &now);

	if (r < 0)
		return r;
	if (size && !S_ISREG(now.mode))
		return S_ISDIR(now.mode) ? -EISDIR : -EINVAL;
	if (size && set->size > INT64_MAX)
		return -EFBIG;
	r = view_check_node(v, ctx, id, size ? POLICY_WRITE : POLICY_ATTR,
			    size ? OP_TRUNCATE : OP_SETATTR);
	if (r == 0)
		r = journal_reserve(v->rec.journal, RECORD_ROOM);
	if (r < 0)
		return r;
	view_record(v, ctx, &rec, size ? OP_TRUNCATE : OP_SETATTR);
	rec.time = sys_now_ns();
	RECORD_SET(&rec, node, F_NODE, id);
	if (size)
		RECORD_SET(&rec, size, F_SIZE, set->size);
	set_fields(&rec, ctx, set, &now);
	rec.flags |= view_is_git_node(v, id) ? RECORD_F_GIT : 0;
	r = view_commit(v, &rec);
	if (r < 0)
		return r;
	if (size && !(rec.flags & RECORD_F_GIT))
		v->last_write = (int64_t)rec.time;
	(void)tree_attr(&v->rec.tree, id, ret);
	view_mask_attr(v, ret, NULL);
	return 0;
}

int view_setattr(struct view *v, const struct view_ctx *ctx, uint64_t id,
		 const struct view_setattr *set, struct node_attr *ret)
{
	int r = 0;

	/* Another mode or length makes a seed the agent's own; cut to nothing it needs no bytes. */
	if (set->set & VIEW_SET_SIZE ? set->size : set->set & VIEW_SET_MODE)
		r = view_seed_own(v, ctx, id);
	if (r < 0)
		return r;
	pthread_mutex_lock(&v->lock);
	if (view_is_poker(v, ctx)) /* it wakes watchers, and changes nothing */
		r = tree_attr(&v->rec.tree, id, ret);
	else
		r = control_is(v, id) ? -EACCES : do_setattr(v, ctx, id, set, ret);
	if (r == 0 && view_is_poker(v, ctx))
		view_mask_attr(v, ret, NULL);
	pthread_mutex_unlock(&v->lock);
	return r;
}

/* --- extended attributes --- */

/* user.* and trusted.* (whose reader the kernel checks) are kept; the rest is not ours to grant. */
static int check_xattr_name(const char *name)
{
	if (strlen(name) > XATTR_NAME_BYTES_MAX)
		return -ERANGE;
	if (strncmp(name, "user.", 5) == 0)
		return name[5] ? 0 : -EINVAL;
	if (strncmp(name, TRUSTED, sizeof(TRUSTED) - 1) == 0)
		return name[sizeof(TRUSTED) - 1] ? 0 : -EINVAL;
	return strncmp(name, "security.", 9) == 0 ? -EPERM : -EOPNOTSUPP;
}

int view_getxattr(struct view *v, uint64_t id, const char *name, struct buf *ret)
{
	const struct xattr *x;
	struct node_attr a;
	int r;

	pthread_mutex_lock(&v->lock);
	r = control_is(v, id) ? 0 : tree_attr(&v->rec.tree, id, &a);
	x = strcmp(name, TREE_REDIRECT) == 0 ? NULL
					     : tree_xattr(&v->rec.tree, id, name, strlen(name));
	if (r == 0)
		r = x					    ? buf_add(ret, x->value, x->len)
		    : check_xattr_name(name) == -EOPNOTSUPP ? -EOPNOTSUPP
							    : -ENODATA;
	pthread_mutex_unlock(&v->lock);
	return r;
}

/* The kernel checks who reads and writes trusted.*, but not to whom their names are shown. */
int view_listxattr(struct view *v, const struct view_ctx *ctx, uint64_t id, struct buf *ret)
{
	const struct node *n;
	int r = 0;

	pthread_mutex_lock(&v->lock);
	n = tree_node(&v->rec.tree, id);
	for (const struct xattr *x = n ? n->xattrs : NULL; x && r == 0; x = x->next)
		if (strcmp(x->name, TREE_REDIRECT) != 0 &&
		    (ctx->uid == 0 || strncmp(x->name, TRUSTED, sizeof(TRUSTED) - 1) != 0))
			r = buf_add(ret, x->name, strlen(x->name) + 1);
	pthread_mutex_unlock(&v->lock);
	return r;
}

/* May it be set so? All of a node's are kept in memory, and their names have to fit into one list. */
static int check_xattr_change(struct view *v, uint64_t id, const char *name, size_t len, int flags)
{
	const struct node *n = tree_node(&v->rec.tree, id);
	const struct xattr *there = tree_xattr(&v->rec.tree, id, name, strlen(name));
	size_t all = strlen(name) + 1 + len;

	if (there && (flags & XATTR_CREATE))
		return -EEXIST;
	if (!there && (flags & XATTR_REPLACE))
		return -ENODATA;
	for (const struct xattr *x = n ? n->xattrs : NULL; x; x = x->next)
		all += x == there ? 0 : strlen(x->name) + 1 + x->len;
	return all > XATTR_NODE_MAX ? -ENOSPC : 0;
}

static int change_xattr(struct view *v, const struct view_ctx *ctx, uint64_t id, const char *name,
			struct bytes value, int flags, enum record_op op)
{
	struct node_attr a;
	struct record rec;
	int r;

	if (control_is(v, id))
		return -EACCES;
	r = check_xattr_name(name);
	if (r == 0)
		r = tree_attr(&v->rec.tree, id, &a);
	if (r == 0)
		r = check_xattr_change(v, id, name, value.n, flags);
	if (r == 0)
		r = view_check_node(v, ctx, id, POLICY_ATTR, op);
	if (r == 0)
		r = journal_reserve(v->rec.journal, RECORD_ROOM + value.n);
	if (r < 0)
		return r;
	view_record(v, ctx, &rec, op);
	RECORD_SET(&rec, node, F_NODE, id);
	RECORD_SET(&rec, name, F_NAME, ((struct bytes){name, strlen(name)}));
	if (op == OP_SETXATTR)
		RECORD_SET(&rec, value, F_VALUE, value);
	return view_commit(v, &rec);
}

int view_setxattr(struct view *v, const struct view_ctx *ctx, uint64_t id, const char *name,
		  const void *value, size_t n, int flags)
{
	int r;

	if (n > XATTR_VALUE_MAX)
		return -E2BIG;
	pthread_mutex_lock(&v->lock);
	r = change_xattr(v, ctx, id, name, (struct bytes){value, n}, flags, OP_SETXATTR);
	pthread_mutex_unlock(&v->lock);
	return r;
}

int view_removexattr(struct view *v, const struct view_ctx *ctx, uint64_t id, const char *name)
{
	int r;

	pthread_mutex_lock(&v->lock);
	r = change_xattr(v, ctx, id, name, (struct bytes){0}, XATTR_REPLACE, OP_REMOVEXATTR);
	pthread_mutex_unlock(&v->lock);
	return r;
}
