/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers for names. */
#include <string.h>

#include "ops.h"
#include "redirect.h"
#include "reply.h"

static struct fs *fs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct view_ctx ctx = reply_ctx(req);
	struct fs *fs = fs_of(req);
	struct node_attr a;
	int r = view_lookup(fs->view, &ctx, parent, name, &a);

	if (r == 0 && a.redirected)
		redirect_lookup(fs, req, &a);
	else
		reply_lookup(req, fs, parent, r, &a);
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	view_forget(fs_of(req)->view, ino, n);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		view_forget(fs_of(req)->view, forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

/* Making calls answer an error as such: -ENOENT (the folder is gone) is no negative entry. */
static void reply_made(fuse_req_t req, struct fs *fs, int r, const struct node_attr *a)
{
	if (r < 0)
		reply_result(req, r);
	else
		reply_entry(req, fs, r, a);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct view_ctx ctx = reply_ctx(req);
	struct fs *fs = fs_of(req);
	struct node_attr a;

	reply_made(req, fs, view_mknod(fs->view, &ctx, parent, name, mode, (uint32_t)rdev, &a), &a);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct view_ctx ctx = reply_ctx(req);
	struct fs *fs = fs_of(req);
	struct node_attr a;
	int r = view_mkdir(fs->view, &ctx, parent, name, mode, &a);

	reply_made(req, fs, r, &a);
	if (r == 0 && a.redirected)
		redirect_made(fs, a.id);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct view_ctx ctx = reply_ctx(req);
	struct fs *fs = fs_of(req);
	struct node_attr a;

	reply_made(req, fs, view_symlink(fs->view, &ctx, parent, name, target, &a), &a);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
	struct view_ctx ctx = reply_ctx(req);
	struct fs *fs = fs_of(req);
	struct node_attr a;

	reply_made(req, fs, view_link(fs->view, &ctx, ino, newparent, newname, &a), &a);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct view_ctx ctx = reply_ctx(req);

	reply_result(req, view_unlink(fs_of(req)->view, &ctx, parent, name));
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct view_ctx ctx = reply_ctx(req);

	reply_result(req, view_rmdir(fs_of(req)->view, &ctx, parent, name));
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
	       const char *newname, unsigned int flags)
{
	struct view_ctx ctx = reply_ctx(req);

	reply_result(req,
		     view_rename(fs_of(req)->view, &ctx, parent, name, newparent, newname, flags));
}
