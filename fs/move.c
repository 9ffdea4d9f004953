/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's part in moving a view's base. Nothing may fail once the record is written: the kernel is
 * told of each name and node, and a watcher that is told late or not at all is no failure.
 */
#include "move.h"

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "control.h"
#include "io.h"
#include "notify.h"
#include "tree_sync.h"

static char *text_of(struct bytes b)
{
	if (!b.n || memchr(b.p, '\0', b.n))
		return NULL;
	return strndup(b.p, b.n);
}

static int read_actions(const struct record *msg, int fd, struct buf *ret)
{
	int r;

	if (msg->length > SYNC_ACTIONS_MAX)
		return -E2BIG;
	r = buf_reserve(ret, msg->length + 1);
	if (r == 0)
		r = io_pread_full(fd, ret->data, msg->length, 0);
	if (r == 0)
		ret->len = msg->length;
	return r;
}

static const char *reason(int r)
{
	switch (r) {
	case -EAGAIN:
		return "the view was changed meanwhile";
	case -ENOENT:
		return "the image of the new base is not there";
	case -EMLINK:
		return "the view's base was moved 65,533 times: make a new view";
	case -ENOSPC:
		return "the disk is full";
	default:
		return strerror(-r);
	}
}

int move_base(struct fs *fs, const struct record *msg, int fd, struct record *ret, struct buf *text)
{
	_cleanup_free_ char *image = text_of(msg->name), *commit = text_of(msg->name2);
	_cleanup_buf_ struct buf actions = BUF_INIT;
	struct view_move m = {image, commit, msg->mtime, msg->offset};
	uint64_t kept = 0;
	int r;

	if (fd < 0 || !image || !commit || !RECORD_HAS(msg, F_MTIME) || !RECORD_HAS(msg, F_OFFSET))
		return -EINVAL;
	r = read_actions(msg, fd, &actions);
	if (r == 0)
		r = view_move_base(fs->view, &m, fd, (struct bytes){actions.data, actions.len},
				   &kept);
	notify_flush(fs->notify);
	control_poke(fs);
	if (r < 0) {
		(void)buf_adds(text, reason(r));
		return r;
	}
	RECORD_SET(ret, count, F_COUNT, kept);
	return 0;
}
