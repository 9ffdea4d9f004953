/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guarantees: (1) every file stands in the trees under its path, so that the same attributes count for it; (2) the
 * commits say nothing of anybody, and the same files give the same commits. Nothing is synced: it goes with the merge.
 */
#include "merge_reduced.h"

#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <string.h>

#include "cleanup.h"
#include "io.h"
#include "odb.h"

enum { BASE, OURS, THEIRS, SIDES, DEPTH_MAX = 1024 };

struct reduced {
	struct merge_private *p;
	struct libdeflate_compressor *deflate;
	int side;
	unsigned depth;
};

static int put_file(int dir, const char *name, const struct buf *b)
{
	_cleanup_close_ int fd =
		openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : io_write_full(fd, b->data, b->len);
}

/* A loose object. */
static int put_object(struct reduced *x, git_object_t type, const struct buf *content, git_oid *ret)
{
	_cleanup_buf_ struct buf plain = BUF_INIT, file = BUF_INIT, path = BUF_INIT;
	char hex[GIT_OID_HEXSZ + 1];
	int r = git_odb_hash(ret, content->data, content->len, type);

	if (r < 0)
		return git_errno(r, NULL, "hashing an object");
	(void)git_oid_tostr(hex, sizeof(hex), ret);
	r = buf_addf(&plain, "%s %zu", git_object_type2string(type), content->len);
	if (r == 0)
		r = buf_addc(&plain, '\0');
	if (r == 0)
		r = buf_add(&plain, content->data, content->len);
	if (r == 0)
		r = buf_reserve(&file, libdeflate_zlib_compress_bound(x->deflate, plain.len));
	if (r == 0) {
		file.len = libdeflate_zlib_compress(x->deflate, plain.data, plain.len, file.data,
						    file.cap);
		r = buf_addf(&path, ".git/objects/%.2s", hex);
	}
	if (r == 0)
		r = io_mkdir(x->p->fd, path.data, 0700);
	if (r == 0)
		r = buf_addf(&path, "/%s", hex + 2);
	return r < 0 ? r : put_file(x->p->fd, path.data, &file);
}

static int add_entry(struct buf *b, uint32_t mode, const char *name, size_t n, const git_oid *id)
{
	int r = buf_addf(b, "%o %.*s", mode, (int)n, name);

	if (r == 0)
		r = buf_addc(b, '\0');
	return r < 0 ? r : buf_add(b, id->id, sizeof(id->id));
}

static const struct tree_entry *version(const struct merge_both *file, int side)
{
	return side == BASE ? &file->base : side == OURS ? &file->ours : &file->theirs;
}

/* The folder whose paths, all of `files`, begin with the same `skip` bytes. They stand in git's order already. */
static int put_tree(struct reduced *x, const struct merge_both *files, size_t n, size_t skip,
		    git_oid *ret)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = ++x->depth > DEPTH_MAX ? -ELOOP : 0;

	for (size_t i = 0, k; i < n && r == 0; i = k) {
		const char *name = files[i].path + skip;
		size_t len = strcspn(name, "/");
		git_oid id;

		k = i + 1;
		if (!name[len]) {
			const struct tree_entry *e = version(&files[i], x->side);

			r = add_entry(&b, e->mode, name, len, &e->oid);
			continue;
		}
		while (k < n && strncmp(files[k].path + skip, name, len + 1) == 0)
			k++;
		r = put_tree(x, files + i, k - i, skip + len + 1, &id);
		if (r == 0)
			r = add_entry(&b, GIT_FILEMODE_TREE, name, len, &id);
	}
	x->depth--;
	return r < 0 ? r : put_object(x, GIT_OBJECT_TREE, &b, ret);
}

static int put_commit(struct reduced *x, const git_oid *tree, const git_oid *parent, git_oid *ret)
{
	static const char who[] = "agentfs <agentfs@agentfs.invalid> 0 +0000";
	_cleanup_buf_ struct buf b = BUF_INIT;
	char hex[GIT_OID_HEXSZ + 1];
	int r = buf_addf(&b, "tree %s\n", git_oid_tostr(hex, sizeof(hex), tree));

	if (r == 0 && parent)
		r = buf_addf(&b, "parent %s\n", git_oid_tostr(hex, sizeof(hex), parent));
	if (r == 0)
		r = buf_addf(&b, "author %s\ncommitter %s\n\n", who, who);
	return r < 0 ? r : put_object(x, GIT_OBJECT_COMMIT, &b, ret);
}

int merge_reduced(struct merge_private *p, const struct merge_both *files, size_t n,
		  git_oid *ret_ours, git_oid *ret_theirs, struct err *reterr)
{
	struct reduced x = {.p = p};
	git_oid tree, commit[SIDES];
	int r = merge_private_make(p, reterr);

	if (r < 0)
		return r;
	x.deflate = libdeflate_alloc_compressor(0);
	r = x.deflate ? 0 : -ENOMEM;
	for (int s = BASE; s < SIDES && r == 0; s++) {
		x.side = s;
		r = put_tree(&x, files, n, 0, &tree);
		if (r == 0)
			r = put_commit(&x, &tree, s == BASE ? NULL : &commit[BASE], &commit[s]);
	}
	libdeflate_free_compressor(x.deflate);
	if (r < 0)
		return err_set(reterr, r, "writing the files to be merged: %s", strerror(-r));
	*ret_ours = commit[OURS];
	*ret_theirs = commit[THEIRS];
	return 0;
}
