/* SPDX-License-Identifier: Apache-2.0 */
/* Files and refs of the view's git. Anything unexpected is refused, never guessed at. */
#include "viewgit.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "gitdir.h"
#include "snapshot.h"
#include "worker_run.h"

enum { REF_MAX = 4096, PACKED_MAX = 64 << 20, REFS_DEPTH_MAX = 64 };

static int git_path(const char *path, char **ret)
{
	if (asprintf(ret, ".git/%s", path) < 0) {
		*ret = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int read_own(struct snapshot *s, const char *path, size_t max, struct buf *b)
{
	_cleanup_free_ char *full = NULL;
	struct snapshot_stat st;
	int r = git_path(path, &full);

	if (r == 0)
		r = snapshot_lookup(s, full, &st);
	if (r < 0)
		return r;
	if (!S_ISREG(st.mode))
		return -EINVAL;
	if (st.size > max)
		return -EFBIG;
	r = buf_reserve(b, st.size + 1);
	for (uint64_t off = 0; r == 0 && off < st.size;) {
		size_t want = st.size - off < (1 << 20) ? (size_t)(st.size - off) : 1 << 20;
		ssize_t k;

		k = snapshot_read(s, st.node, off, b->data + b->len, want);
		if (k <= 0)
			return k < 0 ? (int)k : -EIO;
		b->len += (size_t)k;
		off += (uint64_t)k;
	}
	if (r == 0)
		b->data[b->len] = 0;
	return r;
}

int viewgit_read(struct worker *w, const char *path, size_t max, struct buf *b)
{
	if (!w->worktree)
		return read_own(w->snapshot, path, max, b);
	return w->gitdir < 0 ? -ENOENT : gitdir_read(w->gitdir, path, max, b);
}

static int parse_oid(const char *p, size_t n, git_oid *ret)
{
	while (n > 0 && isspace((unsigned char)p[n - 1]))
		n--;
	if (n != GIT_OID_HEXSZ || git_oid_fromstrn(ret, p, n) < 0)
		return -EBADMSG;
	return 0;
}

/* Walks packed-refs; fn as viewgit_refs(). */
static int packed_refs(struct snapshot *s, viewgit_ref_fn fn, void *user)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = read_own(s, "packed-refs", PACKED_MAX, &b);
	char *line, *next;

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (line = b.data; r == 0 && line && *line; line = next) {
		git_oid oid;

		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		if (*line == '#' || *line == '^')
			continue;
		if (strlen(line) < GIT_OID_HEXSZ + 2 || line[GIT_OID_HEXSZ] != ' ' ||
		    git_oid_fromstrn(&oid, line, GIT_OID_HEXSZ) < 0)
			return -EBADMSG;
		r = fn(line + GIT_OID_HEXSZ + 1, &oid, user);
	}
	return r;
}

struct find_ref {
	const char *name;
	git_oid *ret;
};

static int find_ref(const char *name, const git_oid *tip, void *user)
{
	struct find_ref *f = user;

	if (strcmp(name, f->name) != 0)
		return 0;
	*f->ret = *tip;
	return 1;
}

static int own_ref(struct snapshot *s, const char *name, git_oid *ret)
{
	struct find_ref f = {.name = name, .ret = ret};
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = read_own(s, name, REF_MAX, &b);

	if (r == 0)
		return parse_oid(b.data, b.len, ret);
	if (r != -ENOENT && r != -ENOTDIR && r != -EINVAL)
		return r;
	r = packed_refs(s, find_ref, &f);
	return r < 0 ? r : r == 0 ? -ENOENT : 0;
}

int viewgit_ref(struct worker *w, const char *name, git_oid *ret)
{
	int r;

	if (!w->worktree)
		return own_ref(w->snapshot, name, ret);
	r = git_reference_name_to_id(ret, w->repo.git, name);
	return r == GIT_ENOTFOUND ? -ENOENT : r < 0 ? -EBADMSG : 0;
}

static bool is_there(struct snapshot *s, const char *path)
{
	_cleanup_free_ char *full = NULL;
	struct snapshot_stat st;

	return git_path(path, &full) == 0 && snapshot_lookup(s, full, &st) == 0;
}

static bool has_file(struct worker *w, const char *path)
{
	if (!w->worktree)
		return is_there(w->snapshot, path);
	return w->gitdir >= 0 && faccessat(w->gitdir, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Errors: BranchElsewhere where something is under way. */
static int check_idle(struct worker *w, struct err *reterr)
{
	static const struct {
		const char *path, *what;
	} states[] = {
		{"rebase-merge", "a rebase"},
		{"rebase-apply/applying", "git am"},
		{"rebase-apply", "a rebase"},
		{"MERGE_HEAD", "a merge"},
		{"CHERRY_PICK_HEAD", "a cherry-pick"},
		{"REVERT_HEAD", "a revert"},
		{"sequencer", "a cherry-pick or revert"},
		{"BISECT_LOG", "a bisection"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		if (has_file(w, states[i].path))
			return err_set_id(
				reterr, -EBUSY, "BranchElsewhere",
				"%s is under way in the view of %s: finish or abort it first",
				states[i].what, w->conf.agent);
	return 0;
}

int viewgit_head(struct worker *w, git_oid *ret, struct err *reterr)
{
	const char *agent = w->conf.agent, *branch = w->conf.branch;
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_free_ char *ref = NULL;
	int r = viewgit_read(w, "HEAD", REF_MAX, &b);

	if (r < 0)
		return err_set_id(
			reterr, -EINVAL, "BranchElsewhere",
			"the view of %s has no readable HEAD (%s): bring its git folder back first",
			agent, strerror(-r));
	r = check_idle(w, reterr);
	if (r < 0)
		return r;
	while (b.len > 0 && isspace((unsigned char)b.data[b.len - 1]))
		b.data[--b.len] = 0;
	if (!b.len || strncmp(b.data, "ref: ", 5) != 0)
		return err_set_id(reterr, -EINVAL, "BranchElsewhere",
				  "HEAD is detached in the view of %s: git switch %s there first",
				  agent, branch);
	if (asprintf(&ref, "refs/heads/%s", branch) < 0) {
		ref = NULL;
		return -ENOMEM;
	}
	if (strcmp(b.data + 5 + strspn(b.data + 5, " "), ref) != 0)
		return err_set_id(
			reterr, -EINVAL, "BranchElsewhere",
			"the view of %s is on another branch (%s): git switch %s there first",
			agent, b.data + 5, branch);
	r = viewgit_ref(w, ref, ret);
	if (r < 0)
		return err_set_id(
			reterr, -EINVAL, "BranchElsewhere",
			"the view of %s has no readable branch %s (%s): git branch %s COMMIT there "
			"brings it back",
			agent, branch, strerror(-r), branch);
	return 0;
}

/* Loose refs below a folder; a name that both has is told once, by the loose one. */
struct refs_walk {
	struct snapshot *s;
	viewgit_ref_fn fn;
	void *user;
	struct buf path; /* such as ".git/refs/heads/agents" */
	unsigned depth;
};

static int loose_entry(const char *name, const struct snapshot_stat *st, void *user)
{
	struct refs_walk *w = user;
	size_t old = w->path.len;
	git_oid oid;
	int r = 0;

	if (buf_addc(&w->path, '/') < 0 || buf_adds(&w->path, name) < 0)
		return -ENOMEM;
	if (S_ISDIR(st->mode) && w->depth < REFS_DEPTH_MAX) {
		w->depth++;
		r = snapshot_readdir(w->s, w->path.data, loose_entry, w);
		w->depth--;
	} else if (S_ISREG(st->mode) && own_ref(w->s, w->path.data + 5, &oid) == 0) {
		r = w->fn(w->path.data + 5, &oid, w->user);
	}
	w->path.len = old;
	w->path.data[old] = 0;
	return r;
}

static int packed_only(const char *name, const git_oid *tip, void *user)
{
	struct refs_walk *w = user;

	if (strncmp(name, "refs/heads/", 11) != 0 && strcmp(name, "refs/stash") != 0)
		return 0;
	return is_there(w->s, name) ? 0 : w->fn(name, tip, w->user);
}

int viewgit_refs(struct worker *w, viewgit_ref_fn fn, void *user)
{
	struct refs_walk k = {.s = w->snapshot, .fn = fn, .user = user};
	git_oid stash;
	int r;

	if (w->worktree)
		return 0;
	r = buf_adds(&k.path, ".git/refs/heads");
	if (r == 0)
		r = snapshot_readdir(k.s, k.path.data, loose_entry, &k);
	if (r == -ENOENT || r == -ENOTDIR)
		r = 0;
	if (r == 0 && is_there(k.s, "refs/stash") && own_ref(k.s, "refs/stash", &stash) == 0)
		r = fn("refs/stash", &stash, user);
	if (r == 0)
		r = packed_refs(k.s, packed_only, &k);
	buf_release(&k.path);
	return r;
}
