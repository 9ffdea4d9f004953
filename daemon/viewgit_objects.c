/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The view's objects. Guarantees: (1) copying costs what the agent made, as what the shared store
 * has is skipped; (2) an object reaches the shared store only under the hash of its bytes, computed
 * here, and a tree only with legal names, modes and order; (3) the temporary folder is private and
 * goes with viewgit_close().
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "gitindex.h"
#include "gitname.h"
#include "io.h"
#include "odb.h"
#include "snapshot.h"
#include "viewgit.h"
#include "worker_run.h"

static const uint64_t import_max = UINT64_C(4) << 30;
enum { COPY_DEPTH_MAX = 1024, CHUNK = 1 << 20, INDEX_MAX = 1 << 30 };

int viewgit_open(struct viewgit_objects *o, struct repo *r, struct err *reterr)
{
	_cleanup_free_ char *shared = NULL;
	char own[sizeof(o->dir) + 16], pack[sizeof(own) + 16];
	int q = 0;

	*o = (struct viewgit_objects){.dir = "/tmp/agentfs-worker-XXXXXX"};
	if (!mkdtemp(o->dir)) {
		q = -errno;
		o->dir[0] = 0;
		return err_set(reterr, q, "making a temporary folder in /tmp: %s", strerror(-q));
	}
	(void)snprintf(own, sizeof(own), "%s/objects", o->dir);
	/* libgit2 looks for packs only where the folder was there at first. */
	(void)snprintf(pack, sizeof(pack), "%s/pack", own);
	if (mkdir(own, 0700) < 0 || mkdir(pack, 0700) < 0)
		return err_set(reterr, -errno, "making '%s': %s", own, strerror(errno));
	if (asprintf(&shared, "%s/objects", r->common) < 0) {
		shared = NULL;
		return -ENOMEM;
	}
	q = git_odb_open(&o->odb, own);
	if (q == 0)
		q = git_odb_add_disk_alternate(o->odb, shared);
	if (q == 0)
		q = git_repository_wrap_odb(&o->git, o->odb);
	return q < 0 ? git_errno(q, reterr, "opening the view's objects") : 0;
}

void viewgit_close(struct viewgit_objects *o)
{
	git_repository_free(o->git);
	git_odb_free(o->odb);
	if (o->dir[0])
		(void)io_rm_rf(AT_FDCWD, o->dir);
	*o = (struct viewgit_objects){0};
}

struct import {
	struct viewgit_objects *o;
	struct snapshot *s;
	git_odb *shared;
	const char *folder; /* "ab" or "pack" */
	int dir;	    /* the temporary objects/<folder>, or -1 until needed */
	uint64_t bytes;
};

static int copy_bytes(struct snapshot *s, const struct snapshot_stat *st, int fd)
{
	_cleanup_free_ char *chunk = malloc(CHUNK);

	if (!chunk)
		return -ENOMEM;
	for (uint64_t off = 0; off < st->size;) {
		ssize_t k = snapshot_read(s, st->node, off, chunk, CHUNK);
		int r;

		if (k <= 0)
			return k < 0 ? (int)k : -EIO;
		r = io_write_full(fd, chunk, (size_t)k);
		if (r < 0)
			return r;
		off += (uint64_t)k;
	}
	return 0;
}

static int copy_file(struct import *im, const char *name, const struct snapshot_stat *st)
{
	_cleanup_close_ int fd = -1;
	char path[128];

	if (st->size > import_max - im->bytes)
		return -EFBIG;
	im->bytes += st->size;
	if (im->dir < 0) {
		(void)snprintf(path, sizeof(path), "%s/objects/%s", im->o->dir, im->folder);
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return -errno;
		im->dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (im->dir < 0)
			return -errno;
	}
	fd = openat(im->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : copy_bytes(im->s, st, fd);
}

static bool is_hex(const char *p, size_t n)
{
	return strspn(p, "0123456789abcdef") >= n;
}

static int import_loose(const char *name, const struct snapshot_stat *st, void *user)
{
	struct import *im = user;
	char hex[GIT_OID_HEXSZ + 1];
	git_oid oid;

	if (!S_ISREG(st->mode) || strlen(name) != GIT_OID_HEXSZ - 2 ||
	    !is_hex(name, GIT_OID_HEXSZ - 2))
		return 0;
	(void)snprintf(hex, sizeof(hex), "%s%s", im->folder, name);
	if (git_oid_fromstr(&oid, hex) < 0 ||
	    git_odb_exists_ext(im->shared, &oid, GIT_ODB_LOOKUP_NO_REFRESH))
		return 0;
	return copy_file(im, name, st);
}

static int import_pack(const char *name, const struct snapshot_stat *st, void *user)
{
	const char *dot = strrchr(name, '.');

	if (!S_ISREG(st->mode) || strncmp(name, "pack-", 5) != 0 || !dot ||
	    dot != name + 5 + GIT_OID_HEXSZ || !is_hex(name + 5, GIT_OID_HEXSZ) ||
	    (strcmp(dot, ".pack") != 0 && strcmp(dot, ".idx") != 0))
		return 0;
	return copy_file(user, name, st);
}

static int import_folder(const char *name, const struct snapshot_stat *st, void *user)
{
	struct import *im = user;
	bool pack = strcmp(name, "pack") == 0;
	char path[64];
	int r;

	if (!S_ISDIR(st->mode) || (!pack && (strlen(name) != 2 || !is_hex(name, 2))))
		return 0;
	im->folder = name;
	(void)snprintf(path, sizeof(path), ".git/objects/%s", name);
	r = snapshot_readdir(im->s, path, pack ? import_pack : import_loose, im);
	im->dir = safe_close(im->dir);
	return r;
}

int viewgit_import(struct viewgit_objects *o, struct worker *w, struct err *reterr)
{
	struct import im = {.o = o, .s = w->snapshot, .dir = -1};
	int q;

	if (o->imported || w->worktree)
		return 0;
	q = git_repository_odb(&im.shared, w->repo.git);
	if (q < 0)
		return git_errno(q, reterr, "opening the objects of '%s'", w->repo.common);
	q = snapshot_readdir(im.s, ".git/objects", import_folder, &im);
	git_odb_free(im.shared);
	if (q == -EFBIG)
		return err_set_id(
			reterr, q, "TooLarge",
			"the view's own repository has more than 4 GiB of objects: git gc "
			"--prune=now there first");
	if (q < 0 && q != -ENOENT)
		return err_set(reterr, q, "reading the view's objects: %s", strerror(-q));
	o->imported = true;
	(void)git_odb_refresh(o->odb);
	return 0;
}

static int damaged(const git_oid *oid, struct err *reterr, const char *what)
{
	return err_set_id(reterr, -EBADMSG, "Damaged", "object %s of the view's repository %s",
			  git_oid_tostr_s(oid), what);
}

static bool mode_is_legal(uint32_t mode)
{
	return mode == 040000 || mode == 0100644 || mode == 0100755 || mode == 0100664 ||
	       mode == 0120000 || mode == 0160000;
}

/* git's order: a folder compares as if its name ended in a slash. */
static int entry_order(const git_tree_entry *a, const git_tree_entry *b)
{
	const char *x = git_tree_entry_name(a), *y = git_tree_entry_name(b);
	size_t nx = strlen(x), ny = strlen(y), n = nx < ny ? nx : ny;
	int c = memcmp(x, y, n), cx, cy;

	if (c)
		return c;
	cx = nx > n ? (unsigned char)x[n] : git_tree_entry_filemode_raw(a) == 040000 ? '/' : 0;
	cy = ny > n ? (unsigned char)y[n] : git_tree_entry_filemode_raw(b) == 040000 ? '/' : 0;
	return cx - cy;
}

static int check_tree(git_tree *tree, const git_oid *oid, struct err *reterr)
{
	for (size_t i = 0; i < git_tree_entrycount(tree); i++) {
		const git_tree_entry *e = git_tree_entry_byindex(tree, i);
		const char *name = git_tree_entry_name(e);

		if (!mode_is_legal((uint32_t)git_tree_entry_filemode_raw(e)) || !*name ||
		    strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			return damaged(oid, reterr, "is no legal tree");
		if (gitname_is_git(name, strlen(name)))
			return err_set_id(
				reterr, -EACCES, "Denied",
				"tree %s of the view's repository holds '%s', a name that git "
				"itself uses: take it out of the commit",
				git_oid_tostr_s(oid), name);
		if (i &&
		    (entry_order(git_tree_entry_byindex(tree, i - 1), e) >= 0 ||
		     strcmp(git_tree_entry_name(git_tree_entry_byindex(tree, i - 1)), name) == 0))
			return damaged(oid, reterr, "is a tree whose names are not in order");
	}
	return 0;
}

static int copy_deep(struct viewgit_objects *o, git_odb *to, const git_oid *oid, unsigned depth,
		     struct err *reterr);

static int copy_children(struct viewgit_objects *o, git_odb *to, const git_oid *oid, unsigned depth,
			 struct err *reterr)
{
	git_tree *tree = NULL;
	int r = git_tree_lookup(&tree, o->git, oid);

	if (r < 0)
		return damaged(oid, reterr, "is no readable tree");
	r = check_tree(tree, oid, reterr);
	for (size_t i = 0; r == 0 && i < git_tree_entrycount(tree); i++) {
		const git_tree_entry *e = git_tree_entry_byindex(tree, i);

		if (git_tree_entry_filemode_raw(e) != 0160000)
			r = copy_deep(o, to, git_tree_entry_id(e), depth + 1, reterr);
	}
	git_tree_free(tree);
	return r;
}

static int copy_deep(struct viewgit_objects *o, git_odb *to, const git_oid *oid, unsigned depth,
		     struct err *reterr)
{
	git_odb_object *obj = NULL;
	git_oid written;
	int r;

	if (git_odb_exists_ext(to, oid, GIT_ODB_LOOKUP_NO_REFRESH))
		return 0;
	if (depth > COPY_DEPTH_MAX)
		return damaged(oid, reterr, "is nested too deeply");
	r = git_odb_read(&obj, o->odb, oid);
	if (r < 0)
		return damaged(oid, reterr, r == GIT_ENOTFOUND ? "is missing" : "is damaged");
	r = 0;
	if (git_odb_object_type(obj) == GIT_OBJECT_TREE) {
		r = copy_children(o, to, oid, depth, reterr);
	} else if (git_odb_object_type(obj) == GIT_OBJECT_COMMIT) {
		git_commit *c = NULL;

		if (git_commit_lookup(&c, o->git, oid) < 0)
			r = damaged(oid, reterr, "is no readable commit");
		else
			r = copy_deep(o, to, git_commit_tree_id(c), depth + 1, reterr);
		git_commit_free(c);
	}
	if (r == 0) {
		r = git_odb_write(&written, to, git_odb_object_data(obj), git_odb_object_size(obj),
				  git_odb_object_type(obj));
		r = r < 0 ? git_errno(r, reterr, "copying object %s", git_oid_tostr_s(oid))
		    : git_oid_equal(&written, oid) ? 0
						   : damaged(oid, reterr, "has another content");
	}
	git_odb_object_free(obj);
	return r;
}

int viewgit_copy(struct viewgit_objects *o, git_odb *to, const git_oid *oid, struct err *reterr)
{
	return copy_deep(o, to, oid, 0, reterr);
}

/* Kinds of index whose entries stand elsewhere. */
static int other_index(int r, struct err *reterr)
{
	if (r == -EOPNOTSUPP)
		return err_set_id(
			reterr, r, "Unsupported",
			"the view's git has a sparse index, which cannot be read here: run "
			"git sparse-checkout reapply --no-sparse-index there first");
	return err_set_id(reterr, r, "Unsupported",
			  "the view's git has a split index, which cannot be read here: run "
			  "git update-index --no-split-index there first");
}

int viewgit_index(struct worker *w, struct gitindex **ret, struct err *reterr)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = viewgit_read(w, "index", INDEX_MAX, &b);

	*ret = NULL;
	if (r == -ENOENT || (r == 0 && b.len == 0))
		return 0;
	if (r < 0)
		return err_set(reterr, r, "reading the view's index: %s", strerror(-r));
	r = gitindex_parse(&b, ret, reterr);
	if (r == -EOPNOTSUPP || r == -EPROTONOSUPPORT) {
		err_release(reterr);
		return other_index(r, reterr);
	}
	if (r < 0)
		return err_wrap(reterr, w->worktree ? "git read-tree HEAD there makes a plain one"
						    : "rm .git/index and git reset there makes a "
						      "new one");
	return 0;
}
