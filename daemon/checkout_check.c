/* SPDX-License-Identifier: Apache-2.0 */
/*
 * May this path be changed? The rule, per path: what the index and the file hold must be what the
 * change starts from, or already what it leads to; a file that is gone may be written or stay gone.
 * Everything else is somebody's work: refused by name. Ignored files are work, too.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checkout_parts.h"
#include "cleanup.h"
#include "io.h"
#include "odb.h"

static const size_t file_max = (size_t)4 << 30;

static bool same_entry(const struct tree_entry *a, const struct tree_entry *b)
{
	return a->mode == b->mode && (!a->mode || git_oid_equal(&a->oid, &b->oid));
}

static int read_link(struct checkout *c, const char *path, const struct stat *st, struct buf *b)
{
	const char *name = NULL;
	_cleanup_close_ int dir = beneath_parent(c->root, path, &name);
	_cleanup_free_ char *room = malloc((size_t)st->st_size + 2);
	ssize_t n = dir < 0 || !room ? -1 : readlinkat(dir, name, room, (size_t)st->st_size + 2);

	if (n < 0)
		return dir < 0 ? dir : room ? -errno : -ENOMEM;
	return buf_add(b, room, (size_t)n);
}

/* The file's bytes as they would be stored (eol conversions undone), and as they are. */
static int read_file(struct checkout *c, const char *path, git_buf *filtered, struct buf *raw)
{
	_cleanup_close_ int fd = beneath_read(c->root, path);
	git_filter_list *filters = NULL;
	int r = fd < 0 ? fd : io_read_fd(fd, file_max, raw);

	if (r < 0)
		return r;
	r = git_filter_list_load(&filters, c->git, NULL, path, GIT_FILTER_TO_ODB,
				 GIT_FILTER_ALLOW_UNSAFE);
	if (r == 0 && filters)
		r = git_filter_list_apply_to_buffer(filtered, filters, raw->data ? raw->data : "",
						    raw->len);
	git_filter_list_free(filters);
	return r < 0 ? git_errno(r, NULL, "converting '%s'", path) : 0;
}

static int store(struct checkout *c, bool write, const void *p, size_t n, git_oid *ret)
{
	int r = write ? git_blob_create_from_buffer(ret, c->git, p, n)
		      : git_odb_hash(ret, p, n, GIT_OBJECT_BLOB);

	return r < 0 ? git_errno(r, NULL, "hashing") : 0;
}

/* What a file holds; *ret_raw the id of its bytes as they are. */
static int file_entry(struct checkout *c, const char *path, const struct stat *st, bool write,
		      struct tree_entry *ret, git_oid *ret_raw)
{
	_cleanup_buf_ struct buf raw = BUF_INIT;
	git_buf filtered = {0};
	int r;

	if (S_ISLNK(st->st_mode)) {
		ret->mode = GIT_FILEMODE_LINK;
		r = read_link(c, path, st, &raw);
	} else if (S_ISREG(st->st_mode)) {
		ret->mode =
			st->st_mode & S_IXUSR ? GIT_FILEMODE_BLOB_EXECUTABLE : GIT_FILEMODE_BLOB;
		r = read_file(c, path, &filtered, &raw);
	} else {
		return -ENXIO; /* a socket, a device: nothing of git's */
	}
	if (r == 0)
		r = git_odb_hash(ret_raw, raw.data ? raw.data : "", raw.len, GIT_OBJECT_BLOB);
	if (r == 0 && filtered.ptr)
		r = store(c, write, filtered.ptr, filtered.size, &ret->oid);
	else if (r == 0)
		r = store(c, write, raw.data ? raw.data : "", raw.len, &ret->oid);
	git_buf_dispose(&filtered);
	return r;
}

int checkout_look(struct checkout *c, const char *path, bool write, struct tree_entry *ret,
		  struct err *reterr)
{
	struct stat st;
	git_oid raw;
	int r = beneath_stat(c->root, path, &st);

	*ret = (struct tree_entry){0};
	if (r == -ENOENT)
		return 0;
	if (r == -ENOTDIR || r == -ELOOP || (r == 0 && S_ISDIR(st.st_mode))) {
		ret->mode = GIT_FILEMODE_TREE;
		return 0;
	}
	if (r == 0)
		r = file_entry(c, path, &st, write, ret, &raw);
	return r < 0 ? err_set(reterr, r, "reading '%s': %s", path, strerror(-r)) : 0;
}

static bool mode_fits(struct checkout *c, uint32_t file, uint32_t entry)
{
	if (file == entry)
		return true;
	return !c->executable && S_ISREG(file) && S_ISREG(entry);
}

static bool cached(struct checkout *c, const git_index_entry *e, const struct stat *st)
{
	return e && S_ISREG(e->mode) && S_ISREG(st->st_mode) && e->file_size &&
	       e->file_size == (uint32_t)st->st_size && e->ino == (uint32_t)st->st_ino &&
	       e->mtime.seconds == (int32_t)st->st_mtim.tv_sec &&
	       e->mtime.nanoseconds == (uint32_t)st->st_mtim.tv_nsec &&
	       e->ctime.seconds == (int32_t)st->st_ctim.tv_sec &&
	       st->st_mtim.tv_sec < c->index_mtime.tv_sec &&
	       mode_fits(c, st->st_mode & S_IXUSR ? 0100755 : 0100644, e->mode);
}

static const struct checkout_work *find(struct checkout *c, const char *path)
{
	const struct checkout_item key = {.path = (char *)path};
	size_t lo = 0, hi = c->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int cmp = tree_path_order(&key, c->work[mid].item);

		if (cmp == 0)
			return &c->work[mid];
		if (cmp < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

/* Is what is in the way at `path` removed by this same change? */
static bool goes(struct checkout *c, const char *path)
{
	const struct checkout_work *w = find(c, path);

	return w && w->item->from.mode && !w->item->to.mode;
}

static int refuse(struct merge_conflicts *refused, const char *path, const char *kind,
		  const char *what)
{
	return merge_conflict_add(refused, path, kind, "'%s' %s", path, what);
}

/* A folder stands where a file shall be: all that is in it must go with this change. */
static int folder_goes(struct checkout *c, const char *path, struct merge_conflicts *refused)
{
	_cleanup_buf_ struct buf at = BUF_INIT;
	_cleanup_close_ int dir = -1;
	const char *name = NULL;
	struct dirent *e;
	int fd, r = 0;
	DIR *d;

	dir = beneath_parent(c->root, path, &name);
	fd = dir < 0 ? dir : openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return dir < 0 ? dir : -errno;
	while (r == 0 && (e = readdir(d))) {
		struct stat st;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		buf_clear(&at);
		r = buf_addf(&at, "%s/%s", path, e->d_name);
		if (r == 0 && fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			r = -errno;
		if (r < 0)
			break;
		if (S_ISDIR(st.st_mode) && strcmp(e->d_name, ".git") != 0)
			r = folder_goes(c, at.data, refused);
		else if (!goes(c, at.data))
			r = refuse(refused, at.data, "untracked",
				   "is untracked, in a folder that becomes a file");
	}
	(void)closedir(d);
	return r;
}

/* A part of the path above is no folder. Deleting: git leaves what is beyond alone. */
static int blocked(struct checkout *c, struct checkout_work *w, struct merge_conflicts *refused)
{
	_cleanup_free_ char *at = strdup(w->item->path);
	struct stat st;

	if (!at)
		return -ENOMEM;
	if (!w->item->to.mode) {
		w->todo = CHECKOUT_NOTHING;
		return 0;
	}
	for (char *s = strchr(at, '/'); s; s = strchr(s + 1, '/')) {
		*s = 0;
		if (beneath_stat(c->root, at, &st) == 0 && !S_ISDIR(st.st_mode)) {
			if (goes(c, at))
				return 0;
			return refuse(refused, at, "untracked",
				      S_ISLNK(st.st_mode)
					      ? "is a symbolic link where the merge needs a folder"
					      : "is a file where the merge needs a folder");
		}
		*s = '/';
	}
	return 0;
}

static int check_index(struct checkout *c, struct checkout_work *w, struct merge_conflicts *refused)
{
	const struct checkout_item *item = w->item;
	const git_index_entry *e = git_index_get_bypath(c->index, item->path, 0);
	struct tree_entry there = {0};

	if (e) {
		there = (struct tree_entry){e->mode, e->id};
		w->hidden = e->flags_extended & GIT_INDEX_ENTRY_SKIP_WORKTREE;
	}
	if (e && (e->flags_extended & GIT_INDEX_ENTRY_INTENT_TO_ADD))
		return refuse(refused, item->path, "untracked",
			      "is about to be added (git add -N)");
	if (same_entry(&there, &item->from) || same_entry(&there, &item->to))
		return 0;
	return refuse(refused, item->path, "staged", "has staged changes");
}

static const char *in_the_way(struct checkout *c, const struct checkout_item *item)
{
	int ignored = 0;

	if (item->from.mode)
		return "is modified";
	if (git_ignore_path_is_ignored(&ignored, c->git, item->path) == 0 && ignored)
		return "is in the way: an ignored file with other content";
	return "is in the way: an untracked file";
}

static int check_file(struct checkout *c, struct checkout_work *w, struct merge_conflicts *refused,
		      struct err *reterr)
{
	const struct checkout_item *item = w->item;
	const git_index_entry *e = c->index ? git_index_get_bypath(c->index, item->path, 0) : NULL;
	struct tree_entry there = {0};
	git_oid raw;
	int r;

	w->had = true;
	if (e && cached(c, e, &w->was) && git_oid_equal(&e->id, &item->from.oid) &&
	    e->mode == item->from.mode)
		return 0;
	r = file_entry(c, item->path, &w->was, false, &there, &raw);
	if (r == -ENXIO)
		return refuse(refused, item->path, "untracked",
			      "is neither file nor symbolic link");
	if (r < 0)
		return err_set(reterr, r, "reading '%s': %s", item->path, strerror(-r));
	if (item->to.mode && mode_fits(c, there.mode, item->to.mode) &&
	    git_oid_equal(&there.oid, &item->to.oid)) {
		w->todo = CHECKOUT_NOTHING;
		return 0;
	}
	if (item->from.mode && mode_fits(c, there.mode, item->from.mode) &&
	    (git_oid_equal(&there.oid, &item->from.oid) || git_oid_equal(&raw, &item->from.oid)))
		return 0;
	return refuse(refused, item->path, item->from.mode ? "modified" : "untracked",
		      in_the_way(c, item));
}

static int check_link(struct checkout *c, struct checkout_work *w, int r,
		      struct merge_conflicts *refused)
{
	bool is = w->item->to.mode == GIT_FILEMODE_COMMIT;
	bool was = w->item->from.mode == GIT_FILEMODE_COMMIT;

	if (is && r == 0 && !S_ISDIR(w->was.st_mode) && !w->item->from.mode)
		return refuse(refused, w->item->path, "untracked", "is in the way of a submodule");
	if (is && was)
		w->todo = CHECKOUT_NOTHING;
	else if (is && !w->item->from.mode)
		w->todo = r == 0 ? CHECKOUT_NOTHING : CHECKOUT_FOLDER;
	else if (was && !w->item->to.mode)
		w->todo = r == 0 && S_ISDIR(w->was.st_mode) ? CHECKOUT_NO_FOLDER : CHECKOUT_NOTHING;
	else
		return refuse(refused, w->item->path, "modified",
			      "changes between file and submodule: merge it with git");
	return 0;
}

static int check_one(struct checkout *c, struct checkout_work *w, struct merge_conflicts *refused,
		     struct err *reterr)
{
	const struct checkout_item *item = w->item;
	size_t before = refused->n;
	int r = c->index ? check_index(c, w, refused) : 0;

	if (r < 0 || refused->n > before)
		return r;
	r = beneath_stat(c->root, item->path, &w->was);
	w->todo = item->to.mode ? CHECKOUT_WRITE : CHECKOUT_REMOVE;
	if (item->from.mode == GIT_FILEMODE_COMMIT || item->to.mode == GIT_FILEMODE_COMMIT)
		return check_link(c, w, r, refused);
	if (w->hidden || (r == -ENOENT && !item->to.mode)) {
		w->todo = CHECKOUT_NOTHING;
		return w->hidden && r == 0 && !S_ISDIR(w->was.st_mode)
			       ? refuse(refused, item->path, "modified",
					"is there, outside the sparse checkout")
			       : 0;
	}
	if (r == -ENOENT)
		return 0;
	if (r == -ENOTDIR || r == -ELOOP)
		return blocked(c, w, refused);
	if (r < 0)
		return err_set(reterr, r, "reading '%s': %s", item->path, strerror(-r));
	if (!S_ISDIR(w->was.st_mode))
		return check_file(c, w, refused, reterr);
	if (!item->to.mode)
		return refuse(refused, item->path, "modified", "is a folder now");
	r = folder_goes(c, item->path, refused);
	return r < 0 ? err_set(reterr, r, "reading '%s': %s", item->path, strerror(-r)) : 0;
}

int checkout_check(struct checkout *c, struct merge_conflicts *refused, struct err *reterr)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->n; i++) {
		if (!checkout_path_ok(c->work[i].item->path))
			return err_set_id(
				reterr, -EBADMSG, "Damaged",
				"the tree holds '%s', a path that may not be in a worktree",
				c->work[i].item->path);
		r = check_one(c, &c->work[i], refused, reterr);
	}
	return r;
}
