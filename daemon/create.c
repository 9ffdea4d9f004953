/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ops create and uncreate. Order, and what an end at each step leaves:
 *   1. refs/agentfs/base/<view-id>: a ref without a view, removed by uncreate or the daemon's
 * sweep;
 *   2. the image and index, if they are not there yet: files that any later view uses;
 *   3. the branch at the base commit;
 *   4. with git "worktree" the administrative folder, which has the branch checked out.
 * A failure takes 4, 3 and 1 back. Everything is on disk before the answer.
 */
#include "create.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "branch.h"
#include "cleanup.h"
#include "gitdir.h"
#include "image.h"
#include "image_build.h"
#include "log.h"
#include "odb.h"
#include "publish.h"
#include "sys.h"
#include "worker_ops.h"
#include "worker_run.h"

enum {
	IMAGE_AGE_S = 3
}; /* whole seconds that an image's time lies back: its index is later by 2 s */

struct create {
	struct publish pub;
	const char *agent, *view_id, *branch;
	bool worktree; /* the view's git is to be a worktree of the repository */
	struct gitdir_plan plan;
	git_commit *base;
	char base_hex[GIT_OID_HEXSZ + 1], tree_hex[GIT_OID_HEXSZ + 1];
	struct image *img;
};

int create_prepare(struct worker *w, struct err *reterr)
{
	struct create *c = sys_calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->pub = (struct publish){-1, -1, -1, -1, -1, -1, 0, 0};
	w->create = c;
	r = worker_need_str(w, "view_id", &c->view_id, reterr);
	if (r >= 0)
		r = worker_need_str(w, "agent", &c->agent, reterr);
	if (r >= 0)
		r = worker_need_str(w, "branch", &c->branch, reterr);
	if (r >= 0 && (strspn(c->view_id, "0123456789abcdef") != strlen(c->view_id) ||
		       strlen(c->view_id) != 32))
		r = err_set_id(reterr, -EINVAL, "Invalid", "'%s' is no view id", c->view_id);
	if (r < 0)
		return r;
	return publish_open(w->state_fd, c->view_id, (uint32_t)worker_int(w, "uid", w->peer_uid),
			    (uint32_t)worker_int(w, "gid", w->peer_gid), &c->pub, reterr);
}

int create_open_image(struct worker *w, const char *view_id, uint32_t uid, uint32_t gid,
		      struct err *reterr)
{
	struct create *c = sys_calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->pub = (struct publish){-1, -1, -1, -1, -1, -1, 0, 0};
	w->create = c;
	return publish_open(w->state_fd, view_id, uid, gid, &c->pub, reterr);
}

void create_finish(struct worker *w)
{
	struct create *c = w->create;

	if (!c)
		return;
	publish_close(&c->pub);
	image_close(c->img);
	git_commit_free(c->base);
	free(c);
	w->create = NULL;
}

/* The branch that a base was taken from, "" where it is no branch. */
static const char *target_of(git_repository *git, const char *base, char *room, size_t n)
{
	git_reference *ref = NULL;
	const char *name = base ? base : "HEAD";

	room[0] = 0;
	if (strncmp(name, "refs/heads/", 11) == 0)
		name += 11;
	if (strcmp(name, "HEAD") == 0) {
		if (git_repository_head(&ref, git) == 0 && git_reference_is_branch(ref))
			(void)snprintf(room, n, "%s", git_reference_shorthand(ref));
	} else if (git_branch_lookup(&ref, git, name, GIT_BRANCH_LOCAL) == 0) {
		(void)snprintf(room, n, "%s", name);
	}
	git_reference_free(ref);
	return room;
}

static int resolve_base(struct worker *w, const char *rev, struct err *reterr)
{
	struct create *c = w->create;
	int r;

	if ((!rev || strcmp(rev, "HEAD") == 0) && git_repository_head_unborn(w->repo.git) == 1)
		return err_set_id(reterr, -EOPNOTSUPP, "Unsupported",
				  "the repository '%s' has no commit yet: make one first",
				  w->repo.common);
	r = repo_commit(&w->repo, rev ? rev : "HEAD", &c->base, reterr);
	if (r < 0)
		return r;
	git_oid_tostr(c->base_hex, sizeof(c->base_hex), git_commit_id(c->base));
	git_oid_tostr(c->tree_hex, sizeof(c->tree_hex), git_commit_tree_id(c->base));
	return 0;
}

/* The newest image there, as a start: equal subtrees are then copied. NULL where none fits. */
static struct image *previous_image(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct timespec newest = {0};
	struct image *img = NULL;
	char name[256] = "";
	struct dirent *e;

	if (!d) {
		(void)safe_close(fd);
		return NULL;
	}
	while ((e = readdir(d))) {
		const char *dot = strrchr(e->d_name, '.');
		struct stat st;

		if (!dot || strcmp(dot, ".img") != 0 || fstatat(fd, e->d_name, &st, 0) < 0)
			continue;
		if (st.st_mtim.tv_sec > newest.tv_sec ||
		    (st.st_mtim.tv_sec == newest.tv_sec && st.st_mtim.tv_nsec > newest.tv_nsec)) {
			newest = st.st_mtim;
			(void)snprintf(name, sizeof(name), "%s", e->d_name);
		}
	}
	(void)closedir(d);
	if (!name[0] || image_open(dir, name, &img, NULL) < 0)
		return NULL;
	return img;
}

static void build_progress(uint64_t done, void *user)
{
	(void)user;
	worker_progress("reading the base", done, 0);
}

static int build_image(struct worker *w, struct err *reterr)
{
	struct create *c = w->create;
	struct image *prev = previous_image(c->pub.dir);
	struct image_build_options opt = {
		.time_ns = (sys_now_ns() / 1000000000 - IMAGE_AGE_S) * 1000000000,
		.prev = prev,
		.progress = build_progress,
	};
	_cleanup_free_ char *objects = NULL;
	struct odb *odb = NULL;
	int r;

	if (asprintf(&objects, "%s/objects", w->repo.common) < 0) {
		objects = NULL;
		r = -ENOMEM;
	} else {
		r = odb_open(objects, &odb, reterr);
	}
	if (r >= 0) {
		r = image_build(odb, git_commit_tree_id(c->base)->id, &opt, c->pub.image, reterr);
		if (r == -ENOENT && reterr) {
			_cleanup_free_ char *why = strdup(err_text(reterr));

			r = err_set_id(
				reterr, r, "NotFetched",
				"%s: the repository '%s' lacks a part of the base (a partial clone?)",
				why ? why : "reading the base", w->repo.common);
		}
	}
	odb_close(odb);
	image_close(prev);
	return r < 0 ? r : publish_put(&c->pub, PUBLISH_IMAGE, c->tree_hex, reterr);
}

static int build_index(struct create *c, struct err *reterr)
{
	int r = image_write_index(c->img, c->pub.uid, c->pub.gid, c->pub.index, reterr);

	if (r < 0)
		return r;
	if (fsync(c->pub.index) < 0)
		return err_set(reterr, -errno, "writing the prepared index: %s", strerror(errno));
	return publish_put(&c->pub, PUBLISH_INDEX, c->tree_hex, reterr);
}

/* Under the lock a second builder finds what the first has made. */
static int need_image(struct worker *w, const char *image, const char *index, struct err *reterr)
{
	struct create *c = w->create;
	int r = image_open(c->pub.dir, image, &c->img, reterr);

	if (r == -ENOENT) {
		err_release(reterr);
		r = build_image(w, reterr);
		if (r >= 0)
			r = image_open(c->pub.dir, image, &c->img, reterr);
	}
	if (r >= 0 && faccessat(c->pub.dir, index, F_OK, 0) < 0)
		r = build_index(c, reterr);
	return r;
}

static int ensure_image(struct worker *w, json_t *ret, struct err *reterr)
{
	struct create *c = w->create;
	char image[PUBLISH_NAME_MAX], index[PUBLISH_NAME_MAX];
	int r;

	publish_name(&c->pub, PUBLISH_IMAGE, c->tree_hex, image);
	publish_name(&c->pub, PUBLISH_INDEX, c->tree_hex, index);
	if (faccessat(c->pub.dir, index, F_OK, 0) < 0 ||
	    faccessat(c->pub.dir, image, F_OK, 0) < 0) {
		if (flock(c->pub.lock, LOCK_EX) < 0)
			return err_set(reterr, -errno, "waiting for another image: %s",
				       strerror(errno));
		r = need_image(w, image, index, reterr);
		(void)flock(c->pub.lock, LOCK_UN);
	} else {
		r = image_open(c->pub.dir, image, &c->img, reterr);
	}
	if (r < 0)
		return r;
	r = create_check_fetched(&w->repo, c->img, ret, reterr);
	if (r < 0)
		return r;
	(void)json_object_update_new(ret, json_pack("{s:s,s:n,s:s,s:n}", "image", image,
						    "image_tmp", "index", index, "index_tmp"));
	return create_notes(&w->repo, c->img, ret);
}

int create_image_of(struct worker *w, git_commit *commit, char **ret_name, struct err *reterr)
{
	struct create *c = w->create;
	char image[PUBLISH_NAME_MAX];
	int r;

	r = git_commit_dup(&c->base, commit);
	if (r < 0)
		return git_errno(r, reterr, "reading the new base");
	git_oid_tostr(c->tree_hex, sizeof(c->tree_hex), git_commit_tree_id(commit));
	publish_name(&c->pub, PUBLISH_IMAGE, c->tree_hex, image);
	if (flock(c->pub.lock, LOCK_EX) < 0)
		return err_set(reterr, -errno, "waiting for another image: %s", strerror(errno));
	r = image_open(c->pub.dir, image, &c->img, reterr);
	if (r == -ENOENT) {
		err_release(reterr);
		r = build_image(w, reterr);
		if (r >= 0)
			r = image_open(c->pub.dir, image, &c->img, reterr);
	}
	(void)flock(c->pub.lock, LOCK_UN);
	if (r < 0)
		return r;
	*ret_name = strdup(image);
	return *ret_name ? 0 : -ENOMEM;
}

static int describe(struct worker *w, json_t *ret, const struct branch_made *made)
{
	struct create *c = w->create;
	const struct repo *r = &w->repo;
	char target[1024];
	_cleanup_free_ char *objects = NULL;

	if (asprintf(&objects, "%s/objects", r->common) < 0) {
		objects = NULL;
		return -ENOMEM;
	}
	(void)target_of(r->git, worker_str(w, "base"), target, sizeof(target));
	return json_object_update_new(
		       ret, json_pack("{s:o,s:o,s:o,s:s,s:s,s:s,s:s,s:I,s:b,s:o}", "repository",
				      worker_text(r->common, strlen(r->common)), "worktree",
				      r->worktree ? worker_text(r->worktree, strlen(r->worktree))
						  : json_null(),
				      "objects", worker_text(objects, strlen(objects)),
				      "base_commit", c->base_hex, "tree", c->tree_hex, "branch",
				      c->branch, "target", target, "owner_uid",
				      (json_int_t)r->owner, "branch_made", made->made, "branch_was",
				      made->moved ? json_string(git_oid_tostr_s(&made->was))
						  : json_null())) < 0
		       ? -ENOMEM
		       : 0;
}

/* The view's .git, either way: `seeds` of the answer. */
static int make_git(struct worker *w, const struct create_seeds_options *opt, json_t *ret,
		    struct err *reterr)
{
	struct create *c = w->create;
	char index[PUBLISH_NAME_MAX];
	_cleanup_buf_ struct buf monitor = BUF_INIT;
	_cleanup_free_ char *path = NULL;
	int r;

	if (!c->worktree)
		return create_seeds(&w->repo, opt, ret);
	publish_name(&c->pub, PUBLISH_INDEX, c->tree_hex, index);
	c->plan.images = c->pub.dir;
	c->plan.index = index;
	if (create_has_worktree_config(&w->repo) && create_fsmonitor(&monitor))
		c->plan.fsmonitor = monitor.data;
	r = gitdir_make(&w->repo, &c->plan, &path, reterr);
	if (r < 0)
		return r;
	(void)json_object_set_new(ret, "index", json_string(""));
	worker_note(
		ret,
		"git is shared with the repository: the agent's commits are judged when they are "
		"materialized, not before they stand on the branch; hooks of the repository run "
		"in the view; it can move any branch");
	return create_seed_link(path, ret);
}

static void remove_git(struct worker *w, const char *agent, const char *view_id)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	char name[GITDIR_NAME_MAX];

	gitdir_name(agent, view_id, name);
	if (gitdir_remove(&w->repo, name, &e) < 0)
		log_warning(0, "%s, ignoring", err_text(&e));
}

static int check_git(struct worker *w, struct err *reterr)
{
	struct create *c = w->create;
	const char *git = worker_str(w, "git");

	c->worktree = git && strcmp(git, "worktree") == 0;
	if (!c->worktree)
		return 0;
	c->plan.agent = c->agent;
	c->plan.view_id = c->view_id;
	c->plan.branch = c->branch;
	c->plan.mount = worker_str(w, "mount");
	if (!c->plan.mount || *c->plan.mount != '/' || strchr(c->plan.mount, '\n'))
		return err_set_id(reterr, -EINVAL, "Invalid",
				  "a worktree cannot be at the mount point '%s'",
				  c->plan.mount ? c->plan.mount : "");
	return gitdir_check_user(&w->repo, c->pub.uid, c->pub.gid, &c->plan.share, reterr);
}

static void set_identity(struct worker *w)
{
	const char *name = worker_str(w, "user_name"), *email = worker_str(w, "user_email");

	(void)git_repository_set_ident(w->repo.git, name && *name ? name : "agentfs",
				       email && *email ? email : "agentfs@agentfs.invalid");
}

int op_create(struct worker *w, json_t *ret, struct err *reterr)
{
	struct create *c = w->create;
	char target[1024];
	struct create_seeds_options opt = {
		.mount = worker_str(w, "mount"),
		.plain = worker_bool(w, "scratch"),
		.target = target_of(w->repo.git, worker_str(w, "base"), target, sizeof(target)),
	};
	const git_oid *at;
	struct branch_made made = {0};
	int r = resolve_base(w, worker_str(w, "base"), reterr);

	if (r == 0)
		r = check_git(w, reterr);
	if (r < 0)
		return r;
	set_identity(w);
	(void)json_object_set_new(ret, "notes", json_array());
	at = git_commit_id(c->base);
	r = branch_keep_base(&w->repo, c->view_id, at, reterr);
	if (r < 0)
		return r;
	r = ensure_image(w, ret, reterr);
	if (r >= 0 && !worker_bool(w, "scratch"))
		r = branch_claim(&w->repo, c->branch, at, &made, reterr);
	if (r < 0)
		goto undo_base;
	opt.base = at;
	opt.agent = c->agent;
	opt.branch = c->branch;
	r = make_git(w, &opt, ret, reterr);
	if (r >= 0 && !worker_bool(w, "scratch"))
		r = create_untracked(&w->repo, c->img, json_object_get(w->req, "seed"), ret);
	if (r >= 0)
		r = describe(w, ret, &made);
	if (r < 0)
		goto undo_branch;
	return 0;

undo_branch:
	if (c->worktree)
		remove_git(w, c->agent, c->view_id);
	branch_unclaim(&w->repo, c->branch, at, &made);
undo_base:
	branch_drop_base(&w->repo, c->view_id);
	return r;
}

/*
 * The daemon ended before it heard of what was made: the branch is ours where it was made but never
 * moved, and stands at the base that the view's ref has. (A repository without reflogs keeps it.)
 */
static void find_unknown(struct worker *w, const char *view_id, const char *branch,
			 git_oid *ret_base, struct branch_made *made)
{
	_cleanup_free_ char *base = NULL, *name = NULL;
	const git_reflog_entry *e;
	git_reflog *log = NULL;

	if (asprintf(&base, "refs/agentfs/base/%s", view_id) < 0)
		base = NULL;
	if (asprintf(&name, "refs/heads/%s", branch) < 0)
		name = NULL;
	if (!base || !name || git_reference_name_to_id(ret_base, w->repo.git, base) < 0 ||
	    git_reflog_read(&log, w->repo.git, name) < 0)
		return;
	e = git_reflog_entrycount(log) == 1 ? git_reflog_entry_byindex(log, 0) : NULL;
	made->made = e && git_reflog_entry_message(e) &&
		     strcmp(git_reflog_entry_message(e), BRANCH_CREATED) == 0;
	git_reflog_free(log);
}

int op_uncreate(struct worker *w, json_t *ret, struct err *reterr)
{
	const char *view_id, *branch, *base, *was = worker_str(w, "branch_was");
	const char *git = worker_str(w, "git"), *agent = worker_str(w, "agent");
	struct branch_made made = {.made = worker_bool(w, "branch_made")};
	git_oid at;
	int r = worker_need_str(w, "view_id", &view_id, reterr);

	(void)ret;
	if (r >= 0)
		r = worker_need_str(w, "branch", &branch, reterr);
	if (r >= 0)
		r = worker_need_str(w, "base_commit", &base, reterr);
	if (r < 0)
		return r;
	if (git_oid_fromstr(&at, base) < 0)
		return err_set_id(reterr, -EINVAL, "Invalid", "'%s' is no commit", base);
	set_identity(w);
	if (git && agent && strcmp(git, "worktree") == 0)
		remove_git(w, agent, view_id);
	if (git_oid_is_zero(&at))
		find_unknown(w, view_id, branch, &at, &made);
	made.moved = was && git_oid_fromstr(&made.was, was) == 0;
	branch_unclaim(&w->repo, branch, &at, &made);
	branch_drop_base(&w->repo, view_id);
	return 0;
}
