/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A view that is moved to another base. */
#include "fault.h"
#include "view_random.h"

#include "apply.h"
#include "snapshot.h"
#include "sys.h"
#include "tree_sync.h"

enum { BASES = 6, FILES_MAX = 1000 };

/* --- bases --- */

struct file {
	char path[128];
	uint64_t id;
	uint32_t mode; /* type and the owner's x bit */
	uint64_t hash;
	bool own; /* moved away and back again, it is the view's own name */
};

/* --- moving --- */

static inline int move_to(struct view_fixture *f, const char *image, struct bytes actions, int fd)
{
	static const char commit[] = "89abcdef89abcdef89abcdef89abcdef89abcdef";
	struct view_move m = {
		.image = image, .commit = commit, .time = (int64_t)sys_now_ns(), .seq = UINT64_MAX};
	uint64_t kept;

	return view_move_base(f->view, &m, fd, actions, &kept);
}

static inline int move(struct view_fixture *f, const char *image)
{
	return move_to(f, image, (struct bytes){"", 0}, -1);
}

static inline void check_links(struct view_fixture *f, uint64_t dir)
{
	struct picture_dir *d = calloc(1, sizeof(*d));
	struct node_attr a, self;
	uint32_t subdirs = 0;

	assert_non_null(d);
	assert_int_equal(view_getattr(f->view, &OWNER, dir, &self), 0);
	assert_int_equal(view_readdir(f->view, &OWNER, dir, 0, false, picture_name, d), 0);
	for (size_t i = 0; i < d->n; i++) {
		assert_int_equal(view_lookup(f->view, &OWNER, dir, d->names[i], &a), 0);
		view_forget(f->view, a.id, 1);
		if (S_ISDIR(a.mode)) {
			subdirs++;
			check_links(f, a.id);
		}
	}
	assert_int_equal(self.nlink, 2 + subdirs);
	free(d);
}

/* As after kill -9, from a checkpoint or from the journal: nothing differs. */
static inline void survive(struct view_fixture *f, bool checkpoint)
{
	char *before = view_picture(f), *after;

	if (checkpoint)
		assert_int_equal(view_checkpoint(f->view, 0), 0);
	view_fixture_crash(f);
	after = view_picture(f);
	assert_string_equal(after, before);
	free(before);
	free(after);
}

static inline void reads(struct view_fixture *f, uint64_t id, const char *text)
{
	char p[100];
	ssize_t k = view_read(f->view, &OWNER, id, 0, p, sizeof(p));

	assert_int_equal(k, (ssize_t)strlen(text));
	assert_memory_equal(p, text, (size_t)k);
}
