/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A view in a private STATE folder, opened in-process: no mount, no daemon. */
#include "store_fixture.h"

#include <sys/stat.h>

#include "policy.h"
#include "view.h"
#include "view_internal.h"
#include "viewconf.h"

struct view_fixture {
	struct store store;
	int state, dir;
	struct view *view;
};

#define OWNER_UID 4711u
static const struct view_ctx OWNER = {.pid = 0, .uid = OWNER_UID, .gid = OWNER_UID, .unique = 2};

static inline void view_fixture_open(struct view_fixture *f)
{
	struct err e = ERR_INIT;

	if (view_open(f->dir, f->state, NULL, &f->view, &e) < 0)
		fail_msg("view_open: %s", err_text(&e));
}

static inline void view_fixture_init_with(struct view_fixture *f, const char *policy,
					  const char *readme)
{
	char image[] = "sample.img", none[] = "", agent[] = "a1", word[] = "work";
	char oid[] = "0123456789012345678901234567890123456789", mount[] = "/nowhere";
	struct viewconf conf = {
		.view_id = {1, 2, 3},
		.agent = agent,
		.task = word,
		.role = word,
		.department = none,
		.branch = word,
		.target = word,
		.base_commit = oid,
		.tree = oid,
		.image = image,
		.index = none,
		.mount = mount,
		.policy = (char *)policy,
		.uid = OWNER_UID,
		.gid = OWNER_UID,
		.created = 1,
	};
	git_oid tree;

	store_init(&f->store);
	f->state = f->store.dir;
	assert_int_equal(io_mkdir(f->state, "images", 0700), 0);
	assert_int_equal(io_mkdir(f->state, "view", 0700), 0);
	tree = store_sample_tree(&f->store, readme);
	image_close(store_image(&f->store, tree, NULL, "images/sample.img"));
	f->dir = openat(f->state, "view", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	conf.objects = conf.repository = f->store.objects;
	assert_int_equal(viewconf_write(f->dir, &conf), 0);
	view_fixture_open(f);
}

static inline void view_fixture_init(struct view_fixture *f, const char *policy)
{
	view_fixture_init_with(f, policy, "read me\n");
}

static inline void view_fixture_release(struct view_fixture *f)
{
	view_close(f->view);
	(void)close(f->dir);
	store_release(&f->store);
}

/* As after kill -9: nothing is flushed, no checkpoint is written. */
static inline void view_fixture_crash(struct view_fixture *f)
{
	f->view->last_checkpoint = UINT64_MAX - CHECKPOINT_EVERY; /* none is due */
	view_close(f->view);
	view_fixture_open(f);
}

/* --- the tree as text, to be compared --- */

struct picture_dir {
	struct view_fixture *f;
	struct buf *out;
	char names[512][256];
	size_t n;
};

static inline int picture_name(const char *name, uint64_t cookie, const struct node_attr *a,
			       void *user)
{
	struct picture_dir *d = user;

	(void)cookie;
	(void)a;
	if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && d->n < 512)
		(void)strcpy(d->names[d->n++], name);
	return 0;
}

static inline int picture_cmp(const void *a, const void *b)
{
	return strcmp(a, b);
}

static inline void picture_content(struct view_fixture *f, uint64_t id, struct buf *out)
{
	char p[512];
	uint64_t off = 0, hash = 14695981039346656037u;
	ssize_t k;

	while ((k = view_read(f->view, &OWNER, id, off, p, sizeof(p))) > 0) {
		for (ssize_t i = 0; i < k; i++)
			hash = (hash ^ (uint8_t)p[i]) * 1099511628211u;
		off += (uint64_t)k;
	}
	assert_true(k >= 0);
	assert_int_equal(buf_addf(out, " %lu:%016lx", (unsigned long)off, (unsigned long)hash), 0);
}

static inline void picture(struct view_fixture *f, uint64_t dir, const char *path, struct buf *out)
{
	struct picture_dir *d = calloc(1, sizeof(*d));
	struct node_attr a;

	assert_non_null(d);
	assert_int_equal(view_readdir(f->view, &OWNER, dir, 0, false, picture_name, d), 0);
	qsort(d->names, d->n, sizeof(d->names[0]), picture_cmp);
	for (size_t i = 0; i < d->n; i++) {
		char sub[4096];
		struct buf xattrs = BUF_INIT, target = BUF_INIT;

		assert_int_equal(view_lookup(f->view, &OWNER, dir, d->names[i], &a), 0);
		view_forget(f->view, a.id, 1);
		(void)snprintf(sub, sizeof(sub), "%.3800s/%.255s", path, d->names[i]);
		assert_int_equal(buf_addf(out, "%s %lx %o %u %u %u %ld %ld", sub,
					  (unsigned long)a.id, a.mode, a.nlink, a.uid, a.gid,
					  (long)a.mtime, (long)a.ctime),
				 0);
		assert_int_equal(view_listxattr(f->view, &OWNER, a.id, &xattrs), 0);
		assert_int_equal(buf_addf(out, " x%zu", xattrs.len), 0);
		if (S_ISREG(a.mode))
			picture_content(f, a.id, out);
		if (S_ISLNK(a.mode)) {
			assert_int_equal(view_readlink(f->view, a.id, &target), 0);
			assert_int_equal(buf_addf(out, " -> %s", target.data), 0);
		}
		assert_int_equal(buf_addc(out, '\n'), 0);
		buf_release(&xattrs);
		buf_release(&target);
		if (S_ISDIR(a.mode))
			picture(f, a.id, sub, out);
	}
	free(d);
}

static inline char *view_picture(struct view_fixture *f)
{
	struct buf out = BUF_INIT;

	picture(f, NODE_ROOT, "", &out);
	return buf_take(&out);
}
