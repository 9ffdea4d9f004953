/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies. Timeouts are a day: the server is the only writer and tells the kernel what it changes
 * behind its back. The virtual files of /.agentfs/control are never cached, nor that one is not there.
 */
#include "reply.h"

#include <errno.h>
#include <string.h>

#define CACHED_S 86400.0

static bool is_control(uint64_t id)
{
	return (id >= NODE_AGENTFS && id < NODE_UPPER_FIRST) ||
	       (id & NODE_CONTROL_LAYER) == NODE_CONTROL_LAYER;
}

struct view_ctx reply_ctx(fuse_req_t req)
{
	const struct fuse_ctx *c = fuse_req_ctx(req);

	return (struct view_ctx){
		.pid = (uint32_t)c->pid,
		.uid = c->uid,
		.gid = c->gid,
		.unique = request.unique,
		.kill_priv = request.kill_priv,
	};
}

void reply_result(fuse_req_t req, int r)
{
	if (r > 0)
		r = 0;
	if (r == -ENOSYS)
		r = -EOPNOTSUPP;
	if (request.damaged)
		r = -EIO;
	(void)fuse_reply_err(req, -r);
}

void reply_unsupported(fuse_req_t req)
{
	(void)fuse_reply_err(req, ENOSYS);
}

static struct timespec to_timespec(int64_t ns)
{
	int64_t s = ns / 1000000000, rest = ns % 1000000000;

	if (rest < 0) {
		s--;
		rest += 1000000000;
	}
	return (struct timespec){.tv_sec = s, .tv_nsec = rest};
}

void reply_fill_stat(struct stat *st, const struct node_attr *a)
{
	*st = (struct stat){
		.st_ino = a->ino,
		.st_mode = a->mode,
		.st_nlink = a->nlink,
		.st_uid = a->uid,
		.st_gid = a->gid,
		.st_rdev = a->rdev,
		.st_size = (off_t)a->size,
		.st_blksize = 4096,
		.st_blocks = (blkcnt_t)a->blocks,
		.st_atim = to_timespec(a->atime),
		.st_mtim = to_timespec(a->mtime),
		.st_ctim = to_timespec(a->ctime),
	};
}

void reply_fill_entry(struct fuse_entry_param *e, const struct node_attr *a)
{
	memset(e, 0, sizeof(*e));
	e->ino = a->id;
	e->entry_timeout = e->attr_timeout = is_control(a->id) ? 0 : CACHED_S;
	if (a->redirected) /* redirect.c says how long */
		e->entry_timeout = 0;
	reply_fill_stat(&e->attr, a);
}

void reply_entry(fuse_req_t req, struct fs *fs, int r, const struct node_attr *a)
{
	struct fuse_entry_param e;

	if (r == -ENOENT && !request.damaged) {
		memset(&e, 0, sizeof(e));
		e.entry_timeout = CACHED_S;
		(void)fuse_reply_entry(req, &e);
		return;
	}
	if (r < 0 || request.damaged) {
		reply_result(req, r);
		return;
	}
	reply_fill_entry(&e, a);
	if (fuse_reply_entry(req, &e) == -ENOENT) /* the caller was interrupted */
		view_forget(fs->view, a->id, 1);
}

void reply_lookup(fuse_req_t req, struct fs *fs, uint64_t parent, int r, const struct node_attr *a)
{
	if (r == -ENOENT && (parent & NODE_CONTROL_LAYER) == NODE_CONTROL_LAYER)
		reply_result(req, r);
	else
		reply_entry(req, fs, r, a);
}

void reply_attr(fuse_req_t req, int r, const struct node_attr *a)
{
	struct stat st;

	if (r < 0 || request.damaged) {
		reply_result(req, r);
		return;
	}
	reply_fill_stat(&st, a);
	(void)fuse_reply_attr(req, &st, is_control(a->id) ? 0 : CACHED_S);
}

void reply_bytes(fuse_req_t req, ssize_t r, const void *p)
{
	if (r < 0 || request.damaged)
		reply_result(req, (int)r);
	else
		(void)fuse_reply_buf(req, p, (size_t)r);
}

void reply_written(fuse_req_t req, ssize_t r)
{
	if (r < 0)
		reply_result(req, (int)r);
	else
		(void)fuse_reply_write(req, (size_t)r);
}
