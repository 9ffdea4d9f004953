/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers for attributes, extended attributes and the file system's figures. */
#include <errno.h>
#include <sys/statvfs.h>

#include "ops.h"
#include "reply.h"

static struct fs *fs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct view_ctx ctx = reply_ctx(req);
	struct node_attr a;

	(void)fi;
	reply_attr(req, view_getattr(fs_of(req)->view, &ctx, ino, &a), &a);
}

/* Times beyond what 64 bits of nanoseconds hold (1677 to 2262) become the nearest that they do. */
static int64_t to_ns(struct timespec ts)
{
	int64_t ns;

	if (__builtin_mul_overflow((int64_t)ts.tv_sec, INT64_C(1000000000), &ns) ||
	    __builtin_add_overflow(ns, (int64_t)ts.tv_nsec, &ns) || ns == VIEW_TIME_NOW)
		return ts.tv_sec < 0 ? INT64_MIN + 1 : INT64_MAX;
	return ns;
}

void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
		struct fuse_file_info *fi)
{
	struct view_ctx ctx = reply_ctx(req);
	struct view_setattr set = {
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.size = (uint64_t)st->st_size,
		.atime = to_set & FUSE_SET_ATTR_ATIME_NOW ? VIEW_TIME_NOW : to_ns(st->st_atim),
		.mtime = to_set & FUSE_SET_ATTR_MTIME_NOW ? VIEW_TIME_NOW : to_ns(st->st_mtim),
	};
	struct node_attr a;

	(void)fi;
	set.set = (to_set & FUSE_SET_ATTR_MODE ? VIEW_SET_MODE : 0) |
		  (to_set & FUSE_SET_ATTR_UID ? VIEW_SET_UID : 0) |
		  (to_set & FUSE_SET_ATTR_GID ? VIEW_SET_GID : 0) |
		  (to_set & FUSE_SET_ATTR_SIZE ? VIEW_SET_SIZE : 0) |
		  (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW) ? VIEW_SET_ATIME : 0) |
		  (to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW) ? VIEW_SET_MTIME : 0);
	reply_attr(req, view_setattr(fs_of(req)->view, &ctx, ino, &set, &a), &a);
}

void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size,
		 int flags)
{
	struct view_ctx ctx = reply_ctx(req);

	reply_result(req, view_setxattr(fs_of(req)->view, &ctx, ino, name, value, size, flags));
}

void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct view_ctx ctx = reply_ctx(req);

	reply_result(req, view_removexattr(fs_of(req)->view, &ctx, ino, name));
}

/* size 0 asks how much there is. */
static void reply_xattr(fuse_req_t req, int r, const struct buf *b, size_t size)
{
	if (r < 0)
		reply_result(req, r);
	else if (!size)
		(void)fuse_reply_xattr(req, b->len);
	else if (b->len > size)
		reply_result(req, -ERANGE);
	else
		(void)fuse_reply_buf(req, b->data, b->len);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	reply_xattr(req, view_getxattr(fs_of(req)->view, ino, name, &b), &b, size);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct view_ctx ctx = reply_ctx(req);

	reply_xattr(req, view_listxattr(fs_of(req)->view, &ctx, ino, &b), &b, size);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st;
	int r = view_statfs(fs_of(req)->view, &st);

	(void)ino;
	if (r < 0)
		reply_result(req, r);
	else
		(void)fuse_reply_statfs(req, &st);
}
