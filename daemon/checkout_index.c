/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index of a worktree, under git's own lock.
 *
 * Guarantees: (1) index.lock is held, as git holds it, from the checks to the end, so that no git
 * command changes the index between; (2) the index is replaced by one rename; (3) a lock that a killed
 * merge of ours left is told from git's by its content, and from a living one's by flock, and taken
 * over; (4) an entry that was as new as the old index, so that git would compare its content, still
 * is compared under the new one (its size is set to 0, as git's own "smudging" does).
 *
 *     index.lock          "agentfs merge\n"; git waits for it or says so
 *     index.agentfs       a copy, changed, then renamed over index
 *     index.agentfs-old   the old one, until the ref has moved
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "checkout_parts.h"
#include "cleanup.h"
#include "io.h"
#include "odb.h"

static const char lock_name[] = "index.lock", lock_text[] = "agentfs merge\n";
static const char new_name[] = "index.agentfs", old_name[] = "index.agentfs-old";
static const size_t index_max = (size_t)4 << 30;

/* Is there a lock of ours whose holder is dead? Removes it. */
static bool take_over(struct checkout *c)
{
	_cleanup_close_ int fd = openat(c->git_dir, lock_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct stat held, there;

	if (fd < 0)
		return errno == ENOENT;
	if (io_read_fd(fd, sizeof(lock_text), &b) < 0 || b.len != strlen(lock_text) ||
	    memcmp(b.data, lock_text, b.len) != 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return false;
	if (fstat(fd, &held) < 0 ||
	    fstatat(c->git_dir, lock_name, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
	    held.st_ino != there.st_ino)
		return false;
	return unlinkat(c->git_dir, lock_name, 0) == 0;
}

static int lock(struct checkout *c, struct err *reterr)
{
	int r = 0;

	for (int tries = 0; tries < 2 && c->lock < 0; tries++) {
		c->lock = openat(c->git_dir, lock_name,
				 O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
		r = c->lock < 0 ? -errno : 0;
		if (r < 0 && (r != -EEXIST || !take_over(c)))
			break;
	}
	if (r == -EEXIST)
		return err_set_id(
			reterr, -EBUSY, "Locked",
			"'%sindex.lock' exists: another git command works in '%s', or one was "
			"killed there (then remove that file)",
			git_repository_path(c->git), c->root_path);
	if (r == 0 && flock(c->lock, LOCK_EX | LOCK_NB) < 0)
		r = -errno;
	if (r == 0)
		r = io_pwrite_full(c->lock, lock_text, strlen(lock_text), 0);
	return r < 0 ? err_set(reterr, r, "locking the index of '%s': %s", c->root_path,
			       strerror(-r))
		     : 0;
}

static int copy_index(struct checkout *c)
{
	_cleanup_close_ int from = openat(c->git_dir, "index", O_RDONLY | O_CLOEXEC), to = -1;
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct stat st;
	int r;

	if (from < 0)
		return errno == ENOENT ? 0 : -errno;
	c->index_had = true;
	if (fstat(from, &st) < 0)
		return -errno;
	c->index_mtime = st.st_mtim;
	r = io_read_fd(from, index_max, &b);
	if (r < 0)
		return r;
	to = openat(c->git_dir, new_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	return to < 0 ? -errno : io_write_full(to, b.data ? b.data : "", b.len);
}

int checkout_index_lock(struct checkout *c, struct err *reterr)
{
	int r = lock(c, reterr);

	if (r < 0)
		return r;
	(void)unlinkat(c->git_dir, new_name, 0);
	(void)unlinkat(c->git_dir, "index.agentfs.lock", 0);
	(void)unlinkat(c->git_dir, old_name, 0);
	return 0;
}

int checkout_index_read(struct checkout *c, struct err *reterr)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	int r = copy_index(c);

	if (r == 0)
		r = buf_addf(&path, "%s%s", git_repository_path(c->git), new_name);
	if (r < 0)
		return err_set(reterr, r, "reading the index of '%s': %s", c->root_path,
			       strerror(-r));
	r = git_index_open(&c->index, path.data);
	if (r < 0) {
		const git_error *e = git_error_last();

		if (e && e->message && strstr(e->message, "extension"))
			return err_set_id(
				reterr, -EOPNOTSUPP, "Unsupported",
				"the index of '%s' is split or sparse and cannot be kept up to date "
				"(%s): git update-index --no-split-index or git sparse-checkout "
				"reapply --no-sparse-index there, or git merge yourself",
				c->root_path, e->message);
		return git_errno(r, reterr, "reading the index of '%s'", c->root_path);
	}
	if (git_index_has_conflicts(c->index))
		return err_set_id(reterr, -EBUSY, "Dirty",
				  "'%s' has unmerged paths: finish or abort that merge first",
				  c->root_path);
	return 0;
}

static void smudge(struct checkout *c)
{
	for (size_t i = 0; i < git_index_entrycount(c->index); i++) {
		git_index_entry *e = (git_index_entry *)git_index_get_byindex(c->index, i);

		if (S_ISREG(e->mode) && e->mtime.seconds >= (int32_t)c->index_mtime.tv_sec)
			e->file_size = 0;
	}
}

static int put_entry(struct checkout *c, const struct checkout_work *w)
{
	const git_index_entry *old = git_index_get_bypath(c->index, w->item->path, 0);
	const struct stat *st = w->todo == CHECKOUT_NOTHING ? &w->was : &w->now;
	git_index_entry e = {
		.path = w->item->path, .mode = w->item->to.mode, .id = w->item->to.oid};

	if (!w->item->to.mode)
		return old ? git_index_remove(c->index, w->item->path, 0) : 0;
	if (w->hidden && old) {
		e.flags = old->flags;
		e.flags_extended = old->flags_extended;
	} else if (w->todo == CHECKOUT_WRITE || (w->todo == CHECKOUT_NOTHING && w->had)) {
		e.ctime.seconds = (int32_t)st->st_ctim.tv_sec;
		e.ctime.nanoseconds = (uint32_t)st->st_ctim.tv_nsec;
		e.mtime.seconds = (int32_t)st->st_mtim.tv_sec;
		e.mtime.nanoseconds = (uint32_t)st->st_mtim.tv_nsec;
		e.dev = (uint32_t)st->st_dev;
		e.ino = (uint32_t)st->st_ino;
		e.uid = st->st_uid;
		e.gid = st->st_gid;
		e.file_size = (uint32_t)st->st_size;
	}
	return git_index_add(c->index, &e);
}

/* The old one stays under old_name, for checkout_index_undo(). */
static int replace(struct checkout *c)
{
	int d = c->git_dir;

	if (c->index_had && renameat2(d, new_name, d, "index", RENAME_EXCHANGE) == 0)
		return renameat(d, new_name, d, old_name) < 0 ? -errno : 0;
	if (c->index_had && errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (c->index_had && linkat(d, "index", d, old_name, 0) < 0)
		return -errno;
	return renameat(d, new_name, d, "index") < 0 ? -errno : 0;
}

int checkout_index_put(struct checkout *c, struct err *reterr)
{
	int r = 0;

	smudge(c);
	for (int pass = 0; r == 0 && pass < 2;
	     pass++) /* deletions first: a folder may become a file */
		for (size_t i = 0; r == 0 && i < c->n; i++)
			if ((pass == 0) == (c->work[i].item->to.mode == 0))
				r = put_entry(c, &c->work[i]);
	if (r == 0)
		r = git_index_write(c->index);
	if (r < 0)
		return git_errno(r, reterr, "writing the index of '%s'", c->root_path);
	r = replace(c);
	if (r == 0)
		c->index_put = true;
	return r < 0 ? err_set(reterr, r, "replacing the index of '%s': %s", c->root_path,
			       strerror(-r))
		     : 0;
}

void checkout_index_undo(struct checkout *c)
{
	if (!c->index_put)
		return;
	if (c->index_had)
		(void)renameat(c->git_dir, old_name, c->git_dir, "index");
	else
		(void)unlinkat(c->git_dir, "index", 0);
	c->index_put = false;
}

void checkout_index_close(struct checkout *c)
{
	git_index_free(c->index);
	c->index = NULL;
	if (c->lock < 0)
		return;
	(void)unlinkat(c->git_dir, new_name, 0);
	(void)unlinkat(c->git_dir, old_name, 0);
	(void)unlinkat(c->git_dir, lock_name, 0);
	c->lock = safe_close(c->lock);
}
