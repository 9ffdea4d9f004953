/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding and opening a repository.
 *
 * Guarantees: (1) repo_find() only stats and reads the two one-line files `.git` and `commondir`;
 * it reads no configuration, so it may run as root on a path of anybody's. (2) Whatever libgit2
 * does happens after repo_setup(): no system, global or XDG configuration, owner validation on;
 * libgit2 itself never runs hooks, filters or other programs of a repository.
 */
#include "repo.h"

#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "objects.h"
#include "odb.h"

enum { POINTER_MAX = 8192 };

/* "dir/name" as malloc'd text, or NULL without memory. */
static char *join(const char *dir, const char *name)
{
	char *s = NULL;

	return asprintf(&s, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, name) < 0 ? NULL : s;
}

static bool has(const char *dir, const char *name, mode_t type)
{
	_cleanup_free_ char *path = join(dir, name);
	struct stat st;

	return path && stat(path, &st) == 0 && (!type || (st.st_mode & S_IFMT) == type);
}

/* What a one-line file such as `.git` ("gitdir: PATH") or `commondir` ("PATH") points to, resolved
 * against `dir`. *ret stays NULL where there is no such file or it says something else. */
static int read_pointer(const char *dir, const char *name, const char *prefix, char **ret)
{
	_cleanup_free_ char *path = join(dir, name), *joined = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct stat st;
	size_t skip = strlen(prefix);
	const char *to;

	if (!path)
		return -ENOMEM;
	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	if (io_read_file(AT_FDCWD, path, POINTER_MAX, &b) < 0 || b.len <= skip ||
	    memcmp(b.data, prefix, skip) != 0)
		return 0;
	while (b.len > 0 && (b.data[b.len - 1] == '\n' || b.data[b.len - 1] == '\r'))
		b.data[--b.len] = 0;
	to = b.data + skip;
	if (!*to)
		return 0;
	joined = *to == '/' ? strdup(to) : join(dir, to);
	if (!joined)
		return -ENOMEM;
	*ret = realpath(joined, NULL);
	return 0;
}

/* Is `dir` itself a git folder (of a repository, or of a linked worktree)? */
static bool is_git_dir(const char *dir)
{
	return has(dir, "HEAD", 0) &&
	       ((has(dir, "objects", S_IFDIR) && has(dir, "refs", S_IFDIR)) ||
		has(dir, "commondir", S_IFREG));
}

/* The git folder that stands for `dir`, or NULL: dir/.git as folder or file, or dir itself. */
static int git_dir_of(const char *dir, char **ret)
{
	_cleanup_free_ char *dot = join(dir, ".git"), *to = NULL;
	int r;

	if (!dot)
		return -ENOMEM;
	if (is_git_dir(dot)) {
		*ret = realpath(dot, NULL);
		return *ret ? 0 : -ENOMEM;
	}
	r = read_pointer(dir, ".git", "gitdir: ", &to);
	if (r < 0)
		return r;
	if (to && is_git_dir(to)) {
		*ret = TAKE_PTR(to);
		return 0;
	}
	if (!is_git_dir(dir))
		return 0;
	*ret = strdup(dir);
	return *ret ? 0 : -ENOMEM;
}

static int set_common(struct repo *r, struct err *reterr)
{
	struct stat st;
	char *slash;
	int q = read_pointer(r->git_dir, "commondir", "", &r->common);

	if (q < 0)
		return q;
	if (!r->common)
		r->common = strdup(r->git_dir);
	if (!r->common)
		return -ENOMEM;
	if (stat(r->common, &st) < 0)
		return err_set(reterr, -errno, "reading '%s': %s", r->common, strerror(errno));
	r->owner = st.st_uid;
	r->group = st.st_gid;
	slash = strrchr(r->common, '/');
	if (slash && strcmp(slash, "/.git") == 0 && slash != r->common)
		r->worktree = strndup(r->common, (size_t)(slash - r->common));
	return 0;
}

int repo_find(const char *path, struct repo *ret, struct err *reterr)
{
	_cleanup_free_ char *at = realpath(path, NULL);
	struct repo found = {0};
	int r = 0;

	if (!at)
		return err_set_id(reterr, -ENOENT, "NotFound", "'%s': %s", path, strerror(errno));
	while (r >= 0 && !found.git_dir) {
		char *slash = strrchr(at, '/');

		r = git_dir_of(at, &found.git_dir);
		if (found.git_dir || strcmp(at, "/") == 0)
			break;
		slash[slash == at ? 1 : 0] = 0;
	}
	if (r >= 0 && !found.git_dir)
		r = err_set_id(reterr, -ENOENT, "NotFound", "'%s' is not in a git repository",
			       path);
	if (r >= 0)
		r = set_common(&found, reterr);
	if (r < 0) {
		repo_release(&found);
		return r;
	}
	*ret = found;
	return 0;
}

int repo_setup(struct err *reterr)
{
	static const int levels[] = {GIT_CONFIG_LEVEL_PROGRAMDATA, GIT_CONFIG_LEVEL_SYSTEM,
				     GIT_CONFIG_LEVEL_XDG, GIT_CONFIG_LEVEL_GLOBAL};
	static const char *extensions[] = {"worktreeconfig", "preciousobjects", "partialclone"};
	int r = git_libgit2_init();

	if (r < 0)
		return git_errno(r, reterr, "starting libgit2");
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
		r = git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "");
		if (r < 0)
			return git_errno(r, reterr, "setting up libgit2");
	}
	/* They change nothing of what is read here: where git looks for more configuration, what it
	 * must not delete, and that objects may be elsewhere (create_check_fetched()). */
	r = git_libgit2_opts(GIT_OPT_SET_EXTENSIONS, extensions, ARRAY_SIZE(extensions));
	if (r < 0)
		return git_errno(r, reterr, "setting up libgit2");
	(void)git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 1);
	(void)git_libgit2_opts(GIT_OPT_ENABLE_STRICT_HASH_VERIFICATION, 1);
	(void)git_libgit2_opts(GIT_OPT_ENABLE_FSYNC_GITDIR, 1);
	return 0;
}

/* libgit2 1.5 reads a SHA-256 repository as a damaged one: its own configuration tells first. */
static int check_format(const struct repo *r, struct err *reterr)
{
	_cleanup_free_ char *path = join(r->common, "config");
	git_config *config = NULL;
	git_buf format = {0};
	int q;

	if (!path)
		return -ENOMEM;
	q = git_config_open_ondisk(&config, path);
	if (q < 0)
		return git_errno(q, reterr, "reading '%s'", path);
	q = git_config_get_string_buf(&format, config, "extensions.objectformat");
	git_config_free(config);
	if (q == 0 && strcasecmp(format.ptr, "sha1") != 0)
		q = err_set_id(
			reterr, -EOPNOTSUPP, "Unsupported",
			"the repository '%s' uses %s object names, which are not supported yet: "
			"only SHA-1 repositories are",
			r->common, format.ptr);
	else
		q = 0;
	git_buf_dispose(&format);
	return q;
}

int repo_open(struct repo *r, struct err *reterr)
{
	const char *workdir;
	const git_error *e;
	int q = check_format(r, reterr);

	if (q < 0)
		return q;
	q = git_repository_open(&r->git, r->git_dir);
	if (q == GIT_EOWNER)
		return err_set_id(
			reterr, -EACCES, "Denied",
			"the repository '%s' and its working folder belong to different users: "
			"they must have one owner",
			r->common);
	e = q < 0 ? git_error_last() : NULL;
	if (e && strstr(e->message, "unsupported extension"))
		return err_set_id(reterr, -EOPNOTSUPP, "Unsupported",
				  "the repository '%s' has an %s", r->common, e->message);
	if (q < 0)
		return git_errno(q, reterr, "opening the repository '%s'", r->git_dir);
	if (strcmp(r->git_dir, r->common) != 0)
		return 0;
	/* core.worktree and core.bare say more than the place of the folder does. */
	free(r->worktree);
	r->worktree = NULL;
	workdir = git_repository_workdir(r->git);
	if (!workdir)
		return 0;
	r->worktree = strdup(workdir);
	if (!r->worktree)
		return -ENOMEM;
	for (size_t n = strlen(r->worktree); n > 1 && r->worktree[n - 1] == '/'; n--)
		r->worktree[n - 1] = 0;
	return 0;
}

mode_t repo_shared_bits(struct repo *r)
{
	static const struct {
		const char *word;
		mode_t bits;
	} words[] = {
		{"group", 0060}, {"true", 0060},  {"yes", 0060},       {"1", 0060},
		{"all", 0064},	 {"world", 0064}, {"everybody", 0064}, {"2", 0064},
	};
	git_config *config = NULL;
	mode_t bits = 0;
	git_buf value = {0};
	int q = git_repository_config_snapshot(&config, r->git);
	char *end = NULL;
	unsigned long mode;

	if (q == 0)
		q = git_config_get_string_buf(&value, config, "core.sharedrepository");
	git_config_free(config);
	if (q < 0)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcasecmp(value.ptr, words[i].word) == 0)
			bits = words[i].bits;
	mode = strtoul(value.ptr, &end, 8);
	if (value.size > 2 && !*end)
		bits = (mode_t)mode & 0066;
	git_buf_dispose(&value);
	return bits;
}

bool repo_peer_owns(const struct repo *r, uid_t peer)
{
	return peer == 0 || peer == r->owner;
}

struct grant {
	uid_t peer;
	bool found;
};

static int grant_entry(const git_config_entry *entry, void *user)
{
	struct grant *g = user;
	char room[4096], *end = NULL;
	struct passwd pw, *found = NULL;
	unsigned long n = strtoul(entry->value, &end, 10);

	if (end != entry->value && !*end)
		g->found |= n == g->peer;
	else if (getpwnam_r(entry->value, &pw, room, sizeof(room), &found) == 0 && found)
		g->found |= found->pw_uid == g->peer;
	return 0;
}

int repo_check_peer(struct repo *r, uid_t peer, struct err *reterr)
{
	struct grant g = {.peer = peer};
	git_config *config = NULL;
	int q;

	if (repo_peer_owns(r, peer))
		return 0;
	q = git_repository_config_snapshot(&config, r->git);
	if (q == 0)
		q = git_config_get_multivar_foreach(config, "agentfs.grant", NULL, grant_entry, &g);
	git_config_free(config);
	if (g.found)
		return 0;
	return err_set_id(
		reterr, -EACCES, "Denied",
		"the repository '%s' belongs to another user (uid %u), who has not granted it: "
		"git config --add agentfs.grant USER",
		r->common, (unsigned)r->owner);
}

void repo_release(struct repo *r)
{
	if (r->objects)
		objects_release(r->objects);
	git_repository_free(r->git);
	free(r->git_dir);
	free(r->common);
	free(r->worktree);
	*r = (struct repo){0};
}

int repo_commit(struct repo *r, const char *rev, git_commit **ret, struct err *reterr)
{
	git_object *o = NULL, *commit = NULL;
	int q = git_revparse_single(&o, r->git, rev);

	if (q == GIT_ENOTFOUND || q == GIT_EINVALIDSPEC)
		return err_set_id(reterr, -ENOENT, "NotFound",
				  "no revision '%s' in the repository '%s'", rev, r->common);
	if (q == GIT_EAMBIGUOUS)
		return err_set_id(reterr, -EINVAL, "Invalid",
				  "the revision '%s' is ambiguous in the repository '%s'", rev,
				  r->common);
	if (q < 0)
		return git_errno(q, reterr, "reading the revision '%s'", rev);
	q = git_object_peel(&commit, o, GIT_OBJECT_COMMIT);
	git_object_free(o);
	if (q < 0)
		return err_set_id(reterr, -EINVAL, "Invalid", "'%s' is no commit", rev);
	*ret = (git_commit *)commit;
	return 0;
}

int repo_begin_objects(struct repo *r, struct err *reterr)
{
	_cleanup_free_ char *path = join(r->common, "objects");

	return path ? objects_begin(r->git, path, &r->objects, reterr) : -ENOMEM;
}

int repo_sync_objects(struct repo *r, struct err *reterr)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_close_ int fd = -1;

	if (r->objects)
		return objects_flush(r->objects, reterr);
	path = join(r->common, "objects");
	fd = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (fd < 0 || syncfs(fd) < 0)
		return err_set(reterr, path ? -errno : -ENOMEM, "writing the objects to disk: %s",
			       strerror(errno));
	return 0;
}
