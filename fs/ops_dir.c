/* SPDX-License-Identifier: Apache-2.0 */
/* Handlers for listings. */
#include <errno.h>
#include <string.h>

#include "loop.h"
#include "ops.h"
#include "reply.h"

struct listing {
	fuse_req_t req;
	char *p;
	size_t size, used;
	bool plus;
};

static bool is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* 1 ends the listing: no room, so the lookup of this name is not counted. */
static int add_name(const char *name, uint64_t cookie, const struct node_attr *a, void *user)
{
	struct listing *l = user;
	struct fuse_entry_param e;
	size_t n;

	reply_fill_entry(&e, a);
	if (is_dot(name) || a->redirected)
		e.ino = 0; /* the kernel takes the name alone, and asks when it needs more */
	if (l->plus)
		n = fuse_add_direntry_plus(l->req, l->p + l->used, l->size - l->used, name, &e,
					   (off_t)cookie);
	else
		n = fuse_add_direntry(l->req, l->p + l->used, l->size - l->used, name, &e.attr,
				      (off_t)cookie);
	if (n > l->size - l->used)
		return 1;
	l->used += n;
	return 0;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, bool plus)
{
	struct listing l = {.req = req, .p = loop_buffer(size), .size = size, .plus = plus};
	struct view_ctx ctx = reply_ctx(req);
	struct fs *fs = fuse_req_userdata(req);
	int r;

	if (!l.p) {
		reply_result(req, -ENOMEM);
		return;
	}
	r = view_readdir(fs->view, &ctx, ino, (uint64_t)off, plus, add_name, &l);
	reply_bytes(req, r < 0 ? r : (ssize_t)l.used, l.p);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, off, true);
}
