/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers for content. What may wait for a disk or inflate an object lets another thread go on with
 * the next request first (loop_yield()). */
#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "loop.h"
#include "ops.h"
#include "reply.h"

enum {
	COPY_MAX = 1 << 30, /* the reply's count has 32 bits; the caller goes on from there */
	READ_AT_ONCE =
		32 << 10, /* from the page cache this takes less than waking another thread */
};

static struct fs *fs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = view_readlink(fs_of(req)->view, ino, &b);

	if (r < 0 || request.damaged)
		reply_result(req, r);
	else
		(void)fuse_reply_readlink(req, b.data);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	struct view *view = fs_of(req)->view;
	struct view_ctx ctx = reply_ctx(req);
	char *p = loop_buffer(size);
	ssize_t r;

	(void)fi;
	if (!p) {
		reply_result(req, -ENOMEM);
		return;
	}
	ctx.nowait = size <= READ_AT_ONCE;
	if (!ctx.nowait)
		loop_yield();
	r = view_read(view, &ctx, ino, (uint64_t)off, p, size);
	if (r == -EAGAIN) {
		ctx.nowait = false;
		loop_yield();
		r = view_read(view, &ctx, ino, (uint64_t)off, p, size);
	}
	reply_bytes(req, r, p);
}

void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
	      struct fuse_file_info *fi)
{
	struct view_ctx ctx = reply_ctx(req);

	ctx.page = fi->writepage;
	if (ctx.page)
		ctx.pid = 0;
	reply_written(req, view_write(fs_of(req)->view, &ctx, ino, (uint64_t)off, buf, size));
}

void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)ino;
	(void)datasync;
	(void)fi;
	loop_yield();
	reply_result(req, view_sync(fs_of(req)->view));
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len,
		  struct fuse_file_info *fi)
{
	struct view_ctx ctx = reply_ctx(req);

	(void)fi;
	reply_result(req, view_fallocate(fs_of(req)->view, &ctx, ino, mode, (uint64_t)off,
					 (uint64_t)len));
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
	int64_t r = view_lseek(fs_of(req)->view, ino, (uint64_t)off, whence);

	(void)fi;
	if (r < 0)
		reply_result(req, (int)r);
	else
		(void)fuse_reply_lseek(req, r);
}

void op_copy_file_range(fuse_req_t req, fuse_ino_t in, off_t off_in, struct fuse_file_info *fi_in,
			fuse_ino_t out, off_t off_out, struct fuse_file_info *fi_out, size_t len,
			int flags)
{
	struct view_ctx ctx = reply_ctx(req);

	(void)fi_in;
	(void)fi_out;
	if (flags) {
		reply_result(req, -EINVAL);
		return;
	}
	if (len > COPY_MAX)
		len = COPY_MAX;
	reply_written(req, view_copy(fs_of(req)->view, &ctx, in, (uint64_t)off_in, out,
				     (uint64_t)off_out, len));
}
