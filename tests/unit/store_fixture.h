/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A private object store in a temporary folder, filled object by object, so that a test can have
 * trees that git would not make. For cmocka tests of the overlay library.
 */
#include <fcntl.h>
#include <git2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "buf.h"
#include "image.h"
#include "image_build.h"
#include "io.h"
#include "odb.h"
#include "unit_tmp.h"

#define FIXTURE_TIME_NS UINT64_C(1700000000000000000)

struct store {
	char path[UNIT_TMP_PATH];
	char objects[80];
	int dir;
	git_odb *git;
	struct odb *odb;
};

static inline void store_init(struct store *s)
{
	struct err e = ERR_INIT;

	(void)git_libgit2_init();
	unit_tmp(s->path);
	(void)snprintf(s->objects, sizeof(s->objects), "%s/objects", s->path);
	s->dir = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(s->dir >= 0);
	assert_int_equal(io_mkdir(s->dir, "objects", 0700), 0);
	assert_int_equal(git_odb_open(&s->git, s->objects), 0);
	assert_int_equal(odb_open(s->objects, &s->odb, &e), 0);
}

static inline void store_release(struct store *s)
{
	odb_close(s->odb);
	git_odb_free(s->git);
	assert_int_equal(io_rm_rf(AT_FDCWD, s->path), 0);
	(void)close(s->dir);
	(void)git_libgit2_shutdown();
}

static inline git_oid store_add(struct store *s, git_object_t type, const void *p, size_t n)
{
	git_oid id = {0};

	assert_int_equal(git_odb_write(&id, s->git, p, n, type), 0);
	return id;
}

static inline git_oid store_blob(struct store *s, const char *text)
{
	return store_add(s, GIT_OBJECT_BLOB, text, strlen(text));
}

/* Appends an entry to a raw tree; the caller keeps git's order. */
static inline void tree_add(struct buf *t, const char *mode, const char *name, size_t len,
			    git_oid id)
{
	assert_int_equal(buf_add(t, mode, strlen(mode)), 0);
	assert_int_equal(buf_addc(t, ' '), 0);
	assert_int_equal(buf_add(t, name, len), 0);
	assert_int_equal(buf_addc(t, '\0'), 0);
	assert_int_equal(buf_add(t, id.id, GIT_OID_RAWSZ), 0);
}

static inline void tree_adds(struct buf *t, const char *mode, const char *name, git_oid id)
{
	tree_add(t, mode, name, strlen(name), id);
}

static inline git_oid store_tree(struct store *s, struct buf *t)
{
	git_oid id = store_add(s, GIT_OBJECT_TREE, t->data ? t->data : "", t->len);

	buf_release(t);
	return id;
}

/* A tree of one entry. */
static inline git_oid store_tree1(struct store *s, const char *mode, const char *name, git_oid id)
{
	struct buf t = BUF_INIT;

	tree_adds(&t, mode, name, id);
	return store_tree(s, &t);
}

/* The file of a loose object, relative to the store's folder. */
static inline void store_object_file(git_oid id, char out[64])
{
	char hexes[GIT_OID_HEXSZ + 1];

	(void)git_oid_tostr(hexes, sizeof(hexes), &id);
	(void)snprintf(out, 64, "objects/%.2s/%s", hexes, hexes + 2);
}

/* Builds into the store's file `name`. */
static inline int store_build(struct store *s, git_oid tree, const struct image *prev,
			      const char *name, struct err *e)
{
	struct image_build_options opt = {.time_ns = FIXTURE_TIME_NS, .prev = prev};
	int fd = openat(s->dir, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int r;

	assert_true(fd >= 0);
	r = image_build(s->odb, tree.id, &opt, fd, e);
	(void)close(fd);
	return r;
}

/* Builds and opens; fails the test on an error. */
static inline struct image *store_image(struct store *s, git_oid tree, const struct image *prev,
					const char *name)
{
	struct image *img = NULL;
	struct err e = ERR_INIT;
	int r = store_build(s, tree, prev, name, &e);

	if (r == 0)
		r = image_open(s->dir, name, &img, &e);
	if (r < 0)
		fail_msg("image: %s", err_text(&e));
	assert_int_equal(image_verify(img), 0);
	return img;
}

/* Every mode; a folder "a" beside "a.c" and "a0", where git's order and ours differ. */
static inline git_oid store_sample_tree(struct store *s, const char *readme)
{
	git_oid blob = store_blob(s, "int main;\n"), commit = {.id = {9, 9, 9}};
	struct buf t = BUF_INIT;
	git_oid sub = store_tree1(s, "100755", "run", store_blob(s, "#!/bin/sh\n"));
	git_oid deep = store_tree1(s, "40000", "x", sub);

	tree_adds(&t, "100644", "README", store_blob(s, readme));
	tree_adds(&t, "100644", "a.c", blob);
	tree_adds(&t, "40000", "a", sub);
	tree_adds(&t, "100644", "a0", blob);
	tree_adds(&t, "40000", "deep", deep);
	tree_adds(&t, "120000", "link", store_blob(s, "a.c"));
	tree_adds(&t, "160000", "module", commit);
	return store_tree(s, &t);
}
