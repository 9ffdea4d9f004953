/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Random operations on a view, over a small set of names so that they meet. */
#include "view_fixture.h"

#include <linux/falloc.h>

#include "cleanup.h"

static inline uint32_t rnd(uint64_t *seed, uint32_t n)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 33) % n;
}

/* Walks at most three folders down; returns the folder and puts a name into `name`. */
static inline uint64_t random_place(struct view_fixture *f, uint64_t *seed, char name[32])
{
	static const char *const names[] = {"README", "src",  "a",    "a.c",  "a0",
					    "link",   "new1", "new2", "dir1", "dir2",
					    "exec",   "deep", "x"};
	uint64_t dir = NODE_ROOT;
	struct node_attr a;

	for (uint32_t depth = rnd(seed, 4); depth > 0; depth--) {
		if (view_lookup(f->view, &OWNER, dir, names[rnd(seed, ARRAY_SIZE(names))], &a) < 0)
			continue;
		view_forget(f->view, a.id, 1);
		if (S_ISDIR(a.mode))
			dir = a.id;
	}
	(void)strcpy(name, names[rnd(seed, ARRAY_SIZE(names))]);
	return dir;
}

static inline int random_change(struct view_fixture *f, uint64_t *seed, uint64_t id)
{
	struct view_setattr set = {
		.mode = rnd(seed, 01000), .size = rnd(seed, 20000), .mtime = rnd(seed, 1000000)};
	char p[5000];
	struct node_attr a;

	memset(p, (int)rnd(seed, 256), sizeof(p));
	switch (rnd(seed, 7)) {
	case 0:
	case 1:
		return (int)view_write(f->view, &OWNER, id, rnd(seed, 15000), p, rnd(seed, 5000));
	case 2:
		set.set = VIEW_SET_SIZE;
		return view_setattr(f->view, &OWNER, id, &set, &a);
	case 3:
		set.set = rnd(seed, 2) ? VIEW_SET_MODE : VIEW_SET_MTIME;
		return view_setattr(f->view, &OWNER, id, &set, &a);
	case 4:
		return view_setxattr(f->view, &OWNER, id, rnd(seed, 2) ? "user.a" : "user.b", p,
				     rnd(seed, 100), 0);
	case 5:
		return view_removexattr(f->view, &OWNER, id, "user.a");
	default:
		return view_fallocate(f->view, &OWNER, id,
				      rnd(seed, 2) ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : 0,
				      rnd(seed, 12000), 1 + rnd(seed, 9000));
	}
}

/* One operation; its result. */
static inline int random_step(struct view_fixture *f, uint64_t *seed)
{
	char n1[32], n2[32];
	uint64_t d1 = random_place(f, seed, n1), d2 = random_place(f, seed, n2);
	struct node_attr a, b;
	bool looked;
	int r;

	switch (rnd(seed, 12)) {
	case 0:
		r = view_mknod(f->view, &OWNER, d1, n1, S_IFREG | 0644, 0, &a);
		if (r == 0)
			view_forget(f->view, a.id, 1);
		return r;
	case 1:
		r = view_mkdir(f->view, &OWNER, d1, n1, 0755, &a);
		if (r == 0)
			view_forget(f->view, a.id, 1);
		return r;
	case 2:
		r = view_symlink(f->view, &OWNER, d1, n1, n2, &a);
		if (r == 0)
			view_forget(f->view, a.id, 1);
		return r;
	case 3:
		return view_unlink(f->view, &OWNER, d1, n1);
	case 4:
		return view_rmdir(f->view, &OWNER, d1, n1);
	case 5:
	case 6:
		return view_rename(f->view, &OWNER, d1, n1, d2, n2, rnd(seed, 3));
	case 7:
		r = view_lookup(f->view, &OWNER, d1, n1, &a);
		if (r == 0) {
			r = view_link(f->view, &OWNER, a.id, d2, n2, &b);
			view_forget(f->view, a.id, r == 0 ? 2 : 1);
		}
		return r;
	case 8:
		r = view_lookup(f->view, &OWNER, d1, n1, &a);
		looked = r == 0;
		if (looked && view_lookup(f->view, &OWNER, d2, n2, &b) == 0) {
			r = (int)view_copy(f->view, &OWNER, a.id, rnd(seed, 9000), b.id,
					   rnd(seed, 9000), rnd(seed, 9000));
			view_forget(f->view, b.id, 1);
		}
		if (looked) /* or what it names stays when it is removed, until the view is reopened */
			view_forget(f->view, a.id, 1);
		return r;
	default:
		r = view_lookup(f->view, &OWNER, d1, n1, &a);
		if (r == 0) {
			r = random_change(f, seed, a.id);
			view_forget(f->view, a.id, 1);
		}
		return r;
	}
}
