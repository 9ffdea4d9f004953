/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A bare repository, and commits made of named files, to merge. */
#include <git2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "buf.h"
#include "cleanup.h"
#include "io.h"
#include "merge.h"
#include "unit_tmp.h"

enum { FILES_MAX = 64, PATH_ROOM = 64 };

struct file {
	char path[PATH_ROOM];
	uint32_t mode;
	struct buf text;
};

struct files {
	struct file v[FILES_MAX];
	size_t n;
};

static char folder[UNIT_TMP_PATH];
static git_repository *repo;

static inline int setup(void **state)
{
	(void)state;
	(void)git_libgit2_init();
	(void)setenv("GIT_CONFIG_GLOBAL", "/dev/null", 1);
	(void)setenv("GIT_CONFIG_NOSYSTEM", "1", 1);
	unit_tmp(folder);
	return git_repository_init(&repo, folder, 1);
}

static inline int teardown(void **state)
{
	(void)state;
	git_repository_free(repo);
	assert_int_equal(io_rm_rf(-1, folder), 0);
	return git_libgit2_shutdown() < 0;
}

/* ---- trees of named files ---- */

static inline struct file *find(struct files *f, const char *path)
{
	for (size_t i = 0; i < f->n; i++)
		if (strcmp(f->v[i].path, path) == 0)
			return &f->v[i];
	return NULL;
}

static inline void drop(struct files *f, size_t i)
{
	buf_release(&f->v[i].text);
	f->v[i] = f->v[--f->n];
	f->v[f->n] = (struct file){0};
}

/* Gives a path a content; what it cannot stand beside (file and folder of one name) goes. */
static inline void set(struct files *f, const char *path, uint32_t mode, const char *text)
{
	struct file *one = find(f, path);
	size_t n = strlen(path);

	for (size_t i = f->n; !one && i-- > 0;) {
		const char *p = f->v[i].path;
		size_t k = strlen(p);

		if ((k > n && p[n] == '/' && strncmp(p, path, n) == 0) ||
		    (n > k && path[k] == '/' && strncmp(p, path, k) == 0))
			drop(f, i);
	}
	if (!one) {
		if (f->n == FILES_MAX)
			return;
		one = &f->v[f->n++];
		(void)snprintf(one->path, sizeof(one->path), "%s", path);
	}
	one->mode = mode;
	buf_clear(&one->text);
	assert_int_equal(buf_adds(&one->text, text), 0);
}

static inline void copy(struct files *to, const struct files *from)
{
	for (size_t i = 0; i < from->n; i++)
		set(to, from->v[i].path, from->v[i].mode, from->v[i].text.data);
}

static inline void clear(struct files *f)
{
	while (f->n)
		drop(f, f->n - 1);
}

static inline void commit(const struct files *f, const git_oid *a, const git_oid *b, git_oid *ret)
{
	git_commit *parents[2] = {0};
	git_signature *who = NULL;
	git_index *index = NULL;
	git_tree *tree = NULL;
	git_oid id;

	assert_int_equal(git_index_new(&index), 0);
	for (size_t i = 0; i < f->n; i++) {
		git_index_entry e = {.mode = f->v[i].mode, .path = f->v[i].path};

		if (e.mode == GIT_FILEMODE_COMMIT)
			assert_int_equal(git_odb_hash(&e.id, f->v[i].text.data, f->v[i].text.len,
						      GIT_OBJECT_BLOB),
					 0);
		else
			assert_int_equal(git_blob_create_from_buffer(&e.id, repo, f->v[i].text.data,
								     f->v[i].text.len),
					 0);
		assert_int_equal(git_index_add(index, &e), 0);
	}
	assert_int_equal(git_index_write_tree_to(&id, index, repo), 0);
	assert_int_equal(git_tree_lookup(&tree, repo, &id), 0);
	assert_int_equal(git_signature_new(&who, "t", "t@t", 1700000000, 0), 0);
	if (a)
		assert_int_equal(git_commit_lookup(&parents[0], repo, a), 0);
	if (b)
		assert_int_equal(git_commit_lookup(&parents[1], repo, b), 0);
	assert_int_equal(git_commit_create(ret, repo, NULL, who, who, NULL, "c", tree,
					   b   ? 2
					   : a ? 1
					       : 0,
					   (const git_commit **)parents),
			 0);
	git_commit_free(parents[0]);
	git_commit_free(parents[1]);
	git_signature_free(who);
	git_tree_free(tree);
	git_index_free(index);
}

/* ---- named cases ---- */

struct three {
	struct files base, ours, theirs;
};

static inline void three_init(struct three *t)
{
	memset(t, 0, sizeof(*t));
	set(&t->base, "a", 0100644, "1\n2\n3\n4\n5\n6\n7\n8\n9\n");
	set(&t->base, "d/f", 0100644, "one\ntwo\nthree\nfour\nfive\n");
	set(&t->base, "d/g", 0100644, "uno\ndos\ntres\ncuatro\ncinco\n");
	set(&t->base, "e/h", 0100644, "un\ndeux\ntrois\nquatre\ncinq\n");
	copy(&t->ours, &t->base);
	copy(&t->theirs, &t->base);
}

static inline void merge_three(struct three *t, struct merge_out *out)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	git_oid base, ours, theirs;
	int r;

	commit(&t->base, NULL, NULL, &base);
	commit(&t->ours, &base, NULL, &ours);
	commit(&t->theirs, &base, NULL, &theirs);
	memset(out, 0, sizeof(*out));
	r = merge_commits(repo, &ours, &theirs, NULL, out, &e);
	if (r < 0)
		fail_msg("merge: %s", err_text(&e));
	clear(&t->base);
	clear(&t->ours);
	clear(&t->theirs);
}

static inline void expect_tree(struct merge_out *out, struct files *want)
{
	git_commit *c = NULL;
	git_oid id;

	for (size_t i = 0; i < out->conflicts.n; i++)
		print_message("%s\n", out->conflicts.v[i].reason);
	assert_int_equal(out->conflicts.n, 0);
	commit(want, NULL, NULL, &id);
	assert_int_equal(git_commit_lookup(&c, repo, &id), 0);
	assert_true(git_oid_equal(git_commit_tree_id(c), &out->tree));
	git_commit_free(c);
	clear(want);
	merge_out_release(out);
}
