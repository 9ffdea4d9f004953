/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guarantees: (1) nothing that the shared repository's configuration says is in force here but
 * core.autocrlf and core.eol, whose values are checked; (2) the folder is gone after
 * merge_private_close(); one that a kill left behind is removed by the next merge of that user.
 *
 *     TMPDIR/agentfs-merge-XXXXXX/            0700; its descriptor holds flock(LOCK_SH)
 *                                             (no TMPDIR: /dev/shm where it has room, else /tmp)
 *         .gitattributes, sub/.gitattributes  of the trees being merged
 *         .git/{HEAD,config,shallow,info/attributes,refs/,objects/info/alternates}
 *
 * In memory, since making the folder and what git writes there takes longer on a disk than a small merge does. Where that
 * runs full, the merge is made once more on the disk (merge_private_is_full()).
 */
#include "merge_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <uthash.h>

#include "checkout.h"
#include "cleanup.h"
#include "io.h"
#include "odb.h"
#include "treewalk.h"

enum { SMALL_MAX = 64 << 20, STALE_S = 60, MEMORY_MIN = 32 << 20 };
static const char prefix[] = "agentfs-merge-", in_memory[] = "/dev/shm";

struct merge_seen {
	UT_hash_handle hh;
	char folder[];
};

void merge_private_init(struct merge_private *p, git_repository *shared, const git_oid *base,
			const git_oid *ours, const git_oid *theirs)
{
	*p = (struct merge_private){
		.shared = shared, .tree = {base, ours, theirs}, .fd = -1, .plain = true};
}

/* Is there room in memory for the files of a merge? */
static bool has_memory(void)
{
	struct statfs st;

	return statfs(in_memory, &st) == 0 && st.f_type == TMPFS_MAGIC &&
	       (uint64_t)st.f_bavail * (uint64_t)st.f_bsize >= MEMORY_MIN &&
	       access(in_memory, W_OK | X_OK) == 0;
}

static const char *temp_folder(const struct merge_private *p)
{
	const char *s = getenv("TMPDIR");

	if (s && *s == '/')
		return s;
	return p->on_disk || !has_memory() ? "/tmp" : in_memory;
}

bool merge_private_is_full(const struct merge_private *p, int r)
{
	return r == -ENOSPC && p->in_memory;
}

/* Removes what a killed merge of ours has left. */
static void tidy(const char *where)
{
	DIR *d = opendir(where);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		_cleanup_close_ int fd = -1;
		struct stat st;

		if (strncmp(e->d_name, prefix, sizeof(prefix) - 1) != 0)
			continue;
		fd = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != geteuid())
			continue;
		if (st.st_mtime + STALE_S < time(NULL) && flock(fd, LOCK_EX | LOCK_NB) == 0)
			(void)io_rm_rf(dirfd(d), e->d_name);
	}
	if (d)
		(void)closedir(d);
}

/* Nothing here outlives the merge: not synced. */
static int put_file(int dir, const char *name, const void *p, size_t n)
{
	_cleanup_close_ int fd =
		openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : io_write_full(fd, p, n);
}

static int copy_file(const char *from_dir, const char *name, int to, const char *as)
{
	_cleanup_buf_ struct buf b = BUF_INIT, path = BUF_INIT;
	int r = buf_addf(&path, "%s%s", from_dir, name);

	if (r == 0)
		r = io_read_file(AT_FDCWD, path.data, SMALL_MAX, &b);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return put_file(to, as, b.data ? b.data : "", b.len);
}

/* git unquotes a line that begins with a quote. */
static int add_quoted(struct buf *b, const char *path)
{
	int r = buf_addc(b, '"');

	for (const unsigned char *c = (const unsigned char *)path; r == 0 && *c; c++)
		r = *c < 0x20 || *c == '"' || *c == '\\' ? buf_addf(b, "\\%03o", *c)
							 : buf_addc(b, (char)*c);
	return r == 0 ? buf_adds(b, "\"\n") : r;
}

static int config_line(struct merge_private *p, struct buf *b, const char *name)
{
	static const char *const known[] = {"true", "false", "input", "lf", "crlf", "native",
					    "1",    "0",     "yes",   "no", "on",   "off"};
	git_config *config = NULL;
	const char *value = NULL;
	int r = git_repository_config_snapshot(&config, p->shared), q = 0;

	if (r == 0 && git_config_get_string(&value, config, name) == 0)
		for (size_t i = 0; i < ARRAY_SIZE(known); i++)
			if (strcasecmp(value, known[i]) == 0)
				q = buf_addf(b, "\t%s = %s\n", name + strlen("core."), known[i]);
	git_config_free(config);
	return q;
}

static int fill(struct merge_private *p, const char *objects)
{
	static const char *const folders[] = {".git", ".git/refs", ".git/info", ".git/objects",
					      ".git/objects/info"};
	static const char head[] = "ref: refs/heads/none\n";
	const char *common = git_repository_commondir(p->shared);
	_cleanup_buf_ struct buf config = BUF_INIT, alternates = BUF_INIT;
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(folders); i++)
		r = io_mkdir(p->fd, folders[i], 0700);
	if (r == 0)
		r = buf_adds(&config, "[core]\n\trepositoryformatversion = 0\n\tbare = false\n"
				      "\tlogallrefupdates = false\n\twarnAmbiguousRefs = false\n");
	if (r == 0)
		r = config_line(p, &config, "core.autocrlf");
	if (r == 0)
		r = config_line(p, &config, "core.eol");
	if (r == 0)
		r = buf_adds(&config, "[gc]\n\tauto = 0\n[merge]\n\tdirectoryRenames = conflict\n");
	if (r == 0)
		r = add_quoted(&alternates, objects);
	if (r == 0)
		r = put_file(p->fd, ".git/HEAD", head, strlen(head));
	if (r == 0)
		r = put_file(p->fd, ".git/config", config.data, config.len);
	if (r == 0)
		r = put_file(p->fd, ".git/objects/info/alternates", alternates.data,
			     alternates.len);
	if (r == 0)
		r = copy_file(common, "shallow", p->fd, ".git/shallow");
	if (r == 0)
		r = copy_file(common, "info/attributes", p->fd, ".git/info/attributes");
	return r;
}

int merge_private_make(struct merge_private *p, struct err *reterr)
{
	_cleanup_buf_ struct buf objects = BUF_INIT;
	const char *where;
	int r;

	if (p->dir.len)
		return 0;
	where = temp_folder(p);
	p->in_memory = where == in_memory;
	tidy(where);
	r = buf_addf(&objects, "%sobjects", git_repository_commondir(p->shared));
	if (r == 0)
		r = buf_addf(&p->dir, "%s/%sXXXXXX", where, prefix);
	if (r == 0 && !mkdtemp(p->dir.data)) {
		r = -errno;
		buf_clear(&p->dir);
	}
	if (r == 0) {
		p->fd = open(p->dir.data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = p->fd < 0 || flock(p->fd, LOCK_SH | LOCK_NB) < 0 ? -errno : 0;
	}
	if (r == 0)
		r = fill(p, objects.data);
	return r < 0 ? err_set(reterr, r, "making a private repository in '%s': %s", where,
			       strerror(-r))
		     : 0;
}

int merge_private_open(struct merge_private *p, struct err *reterr)
{
	_cleanup_buf_ struct buf objects = BUF_INIT;
	git_odb *odb = NULL;
	int r;

	if (p->git)
		return 0;
	r = merge_private_make(p, reterr);
	if (r == 0)
		r = buf_addf(&objects, "%sobjects", git_repository_commondir(p->shared));
	if (r < 0)
		return r;
	r = git_repository_open(&p->git, p->dir.data);
	if (r == 0)
		r = git_repository_odb(&odb, p->git);
	if (r == 0)
		r = git_odb_add_disk_alternate(odb, objects.data);
	git_odb_free(odb);
	return r < 0 ? git_errno(r, reterr, "opening a private repository") : 0;
}

/* Which .gitattributes of this folder counts: the side's that changed it. */
static int pick(struct merge_private *p, const char *path, struct tree_entry *ret)
{
	struct tree_entry e[3] = {0};
	int r = 0;

	for (int i = 0; r == 0 && i < 3; i++)
		if (p->tree[i])
			r = tree_get(p->shared, p->tree[i], path, &e[i]);
	*ret = e[1];
	if (p->tree[2] && e[0].mode == e[1].mode && git_oid_equal(&e[0].oid, &e[1].oid))
		*ret = e[2];
	return r;
}

static int put_attributes(struct merge_private *p, const char *path, const git_oid *oid,
			  struct err *reterr)
{
	_cleanup_free_ char *folder = strdup(path);
	git_blob *blob = NULL;
	int r = folder ? merge_private_make(p, reterr) : -ENOMEM;

	if (r < 0)
		return r;
	for (char *s = strchr(folder, '/'); r == 0 && s; s = strchr(s + 1, '/')) {
		*s = 0;
		r = io_mkdir(p->fd, folder, 0700);
		*s = '/';
	}
	if (r < 0)
		return err_set(reterr, r, "making '%s': %s", path, strerror(-r));
	r = git_blob_lookup(&blob, p->shared, oid);
	if (r < 0)
		return git_errno(r, reterr, "reading '%s'", path);
	r = git_blob_rawsize(blob) > SMALL_MAX ? -EFBIG
					       : put_file(p->fd, path, git_blob_rawcontent(blob),
							  (size_t)git_blob_rawsize(blob));
	git_blob_free(blob);
	p->plain = false;
	return r < 0 ? err_set(reterr, r, "reading the attributes '%s': %s", path, strerror(-r))
		     : 0;
}

static int add_folder(struct merge_private *p, const char *folder, size_t n, struct err *reterr)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	struct tree_entry e = {0};
	struct merge_seen *s = NULL;
	int r;

	HASH_FIND(hh, p->seen, folder, n, s);
	if (s)
		return 0;
	s = calloc(1, sizeof(*s) + n + 1);
	if (!s)
		return -ENOMEM;
	memcpy(s->folder, folder, n);
	HASH_ADD_KEYPTR(hh, p->seen, s->folder, n, s);
	r = buf_addf(&path, "%s%s.gitattributes", s->folder, n ? "/" : "");
	if (r == 0)
		r = pick(p, path.data, &e);
	if (r < 0)
		return err_set(reterr, r, "reading the attributes of '%s': %s", s->folder,
			       strerror(-r));
	if ((e.mode & S_IFMT) != S_IFREG)
		return 0;
	return put_attributes(p, path.data, &e.oid, reterr);
}

/* Attributes that stand outside of the trees. */
static int add_outside(struct merge_private *p)
{
	_cleanup_buf_ struct buf path = BUF_INIT, config = BUF_INIT;
	struct stat st;
	int r = buf_addf(&path, "%sinfo/attributes", git_repository_commondir(p->shared));

	if (r == 0)
		r = config_line(p, &config, "core.autocrlf");
	if (r == 0)
		r = config_line(p, &config, "core.eol");
	if (r == 0 && (config.len || stat(path.data, &st) == 0))
		p->plain = false;
	return r;
}

int merge_private_add(struct merge_private *p, const char *path, struct err *reterr)
{
	int r = 0;

	if (!checkout_path_ok(path))
		return err_set_id(reterr, -EBADMSG, "Damaged",
				  "the tree holds '%s', a path that may not be in a worktree",
				  path);
	if (!p->seen)
		r = add_outside(p);
	if (r == 0)
		r = add_folder(p, "", 0, reterr);
	for (const char *s = strchr(path, '/'); r == 0 && s; s = strchr(s + 1, '/'))
		r = add_folder(p, path, (size_t)(s - path), reterr);
	return r;
}

int merge_private_attr(struct merge_private *p, const char *path, const char *name,
		       const char **ret, struct err *reterr)
{
	int r;

	*ret = NULL;
	if (p->plain)
		return 0;
	r = merge_private_open(p, reterr);
	if (r < 0)
		return r;
	r = git_attr_get(ret, p->git, GIT_ATTR_CHECK_FILE_THEN_INDEX | GIT_ATTR_CHECK_NO_SYSTEM,
			 path, name);
	return r < 0 ? git_errno(r, reterr, "reading the attributes of '%s'", path) : 0;
}

void merge_private_close(struct merge_private *p)
{
	struct merge_seen *s, *next;

	HASH_ITER (hh, p->seen, s, next) {
		HASH_DEL(p->seen, s);
		free(s);
	}
	git_repository_free(p->git);
	if (p->dir.len)
		(void)io_rm_rf(AT_FDCWD, p->dir.data);
	p->fd = safe_close(p->fd);
	buf_release(&p->dir);
	p->git = NULL;
}
