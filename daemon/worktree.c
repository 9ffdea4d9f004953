/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps: gather (what differs from the base image, and what the tree below has otherwise than the
 * base), choose (ignored, nested, scratch, policy), hash, build. Nothing is written before all is
 * chosen. suid and sgid bits have no place in a tree and fall away.
 */
#include "worktree.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleaner.h"
#include "cleanup.h"
#include "gitname.h"
#include "image.h"
#include "odb.h"
#include "policy.h"
#include "worker_run.h"
#include "worker_view.h"
#include "worktree_hash.h"

enum { HEAVY_FILES = 2000, HEAVY_KINDS_MAX = 64, NOTES_MAX = 50 };
static const uint64_t heavy_bytes = UINT64_C(50) << 20;

struct heavy {
	char *folder;
	size_t files;
	uint64_t bytes;
};

struct build {
	struct worker *w;
	struct viewgit_objects *o;
	const struct worktree_options *opt;
	struct worktree *t;
	struct cleaner cleaner;
	struct err *err;
	struct heavy heavy[HEAVY_KINDS_MAX];
	size_t nheavy, notes;
	struct buf folder; /* the last folder asked about, and what stands in the way there */
	struct tree_reader reader; /* of the tree below, path after path */
	enum { OPEN, NESTED, GITLINK } state;
	bool known;
	struct buf told; /* the nested repository that was told last */
};

static int add_item(struct worktree *t, const char *path, struct worktree_item **ret)
{
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 64;
		struct worktree_item *v = realloc(t->items, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		t->items = v;
		t->cap = cap;
	}
	*ret = &t->items[t->n];
	**ret = (struct worktree_item){.path = strdup(path)};
	if (!(*ret)->path)
		return -ENOMEM;
	t->n++;
	return 0;
}

void worktree_release(struct worktree *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->items[i].path);
	free(t->items);
	*t = (struct worktree){0};
}

static void note(struct build *b, const char *path, const char *what)
{
	if (b->notes++ < NOTES_MAX)
		worker_note(b->opt->ret, "'%s': %s", path, what);
}

static int gather_change(const struct snapshot_change *c, void *user)
{
	struct build *b = user;
	struct worktree_item *it;
	int r = add_item(b->t, c->path, &it);

	if (r < 0)
		return r;
	it->changed = c->status != 'D';
	if (!it->changed)
		return 0;
	it->st = c->st;
	it->st.scratch |= c->scratch;
	it->to.mode = S_ISLNK(c->st.mode)    ? GIT_FILEMODE_LINK
		      : !S_ISREG(c->st.mode) ? 0
		      : (c->st.mode & 0100)  ? GIT_FILEMODE_BLOB_EXECUTABLE
					     : GIT_FILEMODE_BLOB;
	if (!it->to.mode) {
		note(b, c->path, "is no file or symlink, git does not keep it");
		it->changed = false;
		b->t->n--;
		free(it->path);
		return 0;
	}
	if (c->st.base) {
		memcpy(it->to.oid.id, c->st.base->oid, sizeof(it->to.oid.id));
		it->same_as_base = true;
	}
	return 0;
}

/* The tree below differs from the base here; where the view does not, it shows the base's. */
static int gather_onto(const struct tree_delta *d, void *user)
{
	struct build *b = user;
	struct worktree_item *it;
	int r = add_item(b->t, d->path, &it);

	if (r < 0)
		return r;
	it->to = d->from;
	it->same_as_base = true;
	return 0;
}

/* Sorts, and drops what the second source says of a path that the first has. */
static void unite(struct worktree *t, size_t first)
{
	size_t kept = 0;

	for (size_t i = 0; i < first; i++)
		t->items[i].take = true;
	if (t->n > 1) /* none: no list either */
		qsort(t->items, t->n, sizeof(*t->items), tree_path_order);
	for (size_t i = 0; i < t->n; i++) {
		struct worktree_item *last = kept ? &t->items[kept - 1] : NULL;

		if (last && strcmp(last->path, t->items[i].path) == 0) {
			if (!last->take) {
				free(last->path);
				*last = t->items[i];
			} else {
				free(t->items[i].path);
			}
			continue;
		}
		t->items[kept++] = t->items[i];
	}
	t->n = kept;
}

static bool in_index(const struct build *b, const char *path, struct gitindex_entry *ret)
{
	return b->opt->index && gitindex_find(b->opt->index, path, ret);
}

/* Not there because git sparse-checkout left it out: it is what the index says. */
static void use_sparse(struct worktree_item *it, const struct gitindex_entry *e)
{
	if (it->to.mode || !e->skip_worktree)
		return;
	it->to = (struct tree_entry){.mode = e->mode, .oid = e->oid};
	it->indexed = it->same_as_base = true;
}

static int gather(struct build *b)
{
	size_t first;
	git_oid base;
	int r = snapshot_changes(b->w->snapshot, gather_change, b);

	first = b->t->n;
	memcpy(base.id, image_tree_oid(snapshot_image(b->w->snapshot)), sizeof(base.id));
	if (r == 0)
		r = tree_diff(b->opt->git, &base, &b->opt->onto, gather_onto, b);
	if (r < 0)
		return err_set(b->err, r, "reading what the view has changed: %s", strerror(-r));
	unite(b->t, first);
	for (size_t i = 0; r == 0 && i < b->t->n; i++) {
		struct worktree_item *it = &b->t->items[i];
		struct gitindex_entry e;

		bool indexed = in_index(b, it->path, &e);

		r = tree_reader_get(&b->reader, it->path, &it->was);
		it->tracked = it->was.mode != 0 || indexed;
		if (indexed)
			use_sparse(it, &e);
		/* A gitlink is an empty folder in a view: neither changed nor gone. */
		it->take =
			it->was.mode != GIT_FILEMODE_COMMIT && it->to.mode != GIT_FILEMODE_COMMIT;
		if (r == 0 && it->take)
			r = cleaner_add(&b->cleaner, it->path, b->err);
	}
	return r;
}

/* Once for each folder in a row. */
static int tell_folder(struct build *b, const char *path, size_t n, const char *what)
{
	if (!what || (b->told.len == n && memcmp(b->told.data, path, n) == 0))
		return 0;
	buf_clear(&b->told);
	if (buf_add(&b->told, path, n) < 0)
		return -ENOMEM;
	note(b, b->told.data, what);
	return 0;
}

/* What stands in the way in the folders above `path`: a repository of its own, or a submodule. */
static int folder_state(struct build *b, const char *path)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;
	_cleanup_buf_ struct buf at = BUF_INIT;
	int r;

	if (b->known && b->folder.len == n && (!n || memcmp(b->folder.data, path, n) == 0))
		return 0;
	b->state = OPEN;
	for (size_t i = 1; i <= n && b->state == OPEN; i++) {
		struct tree_entry e;
		struct snapshot_stat st;

		if (i < n && path[i] != '/')
			continue;
		buf_clear(&at);
		if (buf_add(&at, path, i) < 0)
			return -ENOMEM;
		if (tree_reader_get(&b->reader, at.data, &e) == 0 &&
		    e.mode == GIT_FILEMODE_COMMIT) {
			b->state = b->opt->nested ? NESTED : GITLINK;
			r = tell_folder(b, path, i,
					b->opt->nested ? "is a submodule: its files are kept, its "
							 "history is not"
						       : NULL);
			if (r < 0)
				return r;
		}
		if (buf_adds(&at, "/.git") < 0)
			return -ENOMEM;
		if (b->state == OPEN && snapshot_lookup(b->w->snapshot, at.data, &st) == 0) {
			b->state = NESTED;
			r = tell_folder(b, path, i,
					b->opt->nested
						? "is a git repository of its own: its files "
						  "are kept, its history is not"
						: "is a git repository of its own: left out");
			if (r < 0)
				return r;
		}
	}
	buf_clear(&b->folder);
	b->known = true;
	return buf_add(&b->folder, path, n);
}

static bool looks_ignored(const char *name, size_t n)
{
	static const char *const names[] = {
		"node_modules",	 "target",
		".venv",	 "venv",
		"dist",		 "build",
		"__pycache__",	 "out",
		".cache",	 ".tox",
		".mypy_cache",	 ".pytest_cache",
		".gradle",	 ".next",
		"vendor",	 "coverage",
		"obj",		 "bower_components",
		".terraform",	 "cmake-build-debug",
		"site-packages",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strlen(names[i]) == n && memcmp(names[i], name, n) == 0)
			return true;
	return false;
}

static int count_heavy(struct build *b, const struct worktree_item *it)
{
	struct heavy *h = NULL;
	size_t len = 0;

	for (const char *p = it->path; !len;) {
		size_t n = strcspn(p, "/");

		if (!p[n])
			return 0;
		if (looks_ignored(p, n))
			len = (size_t)(p - it->path) + n;
		p += n + 1;
	}
	for (size_t i = 0; i < b->nheavy && !h; i++)
		if (strlen(b->heavy[i].folder) == len &&
		    memcmp(b->heavy[i].folder, it->path, len) == 0)
			h = &b->heavy[i];
	if (!h) {
		if (b->nheavy == HEAVY_KINDS_MAX)
			return 0;
		h = &b->heavy[b->nheavy++];
		h->folder = strndup(it->path, len);
		if (!h->folder)
			return -ENOMEM;
	}
	h->files++;
	h->bytes += it->st.size;
	if (h->files <= HEAVY_FILES && h->bytes <= heavy_bytes)
		return 0;
	worker_remedy(b->w, "list '%s/' in .gitignore, or say --force", h->folder);
	return err_set_id(
		b->err, -EFBIG, "TooLarge",
		"'%s' has more than %d new files or 50 MiB and looks like something that is not "
		"committed: list it in .gitignore, or say --force",
		h->folder, HEAVY_FILES);
}

static int judge(struct build *b, struct worktree_item *it)
{
	const struct policy *p = snapshot_policy(b->w->snapshot);
	struct policy_query q = {
		.op = !it->was.mode ? POLICY_CREATE
		      : it->to.mode ? POLICY_WRITE
				    : POLICY_UNLINK,
		.path = it->path,
		.in_base = view_base_has(b->w, it->path),
	};
	struct policy_verdict v;

	q.ours = !q.in_base;
	v = policy_decide(p, &q);
	if (v.result == POLICY_ALLOW)
		return 0;
	it->take = false;
	if (v.result != POLICY_SCRATCH) {
		_cleanup_free_ char *why = NULL;

		if (asprintf(&why, "%s: left as the branch has it", policy_rule_text(p, v.rule)) <
		    0) {
			why = NULL;
			return -ENOMEM;
		}
		note(b, it->path, why);
	}
	return 0;
}

static bool same_entry(const struct tree_entry *a, const struct tree_entry *b)
{
	return a->mode == b->mode && git_oid_equal(&a->oid, &b->oid);
}

/* An untracked file: is it one that git add -A would take? */
static int choose_new(struct build *b, struct worktree_item *it)
{
	bool ignored = false;
	int r;

	if (!it->to.mode || (it->st.scratch && !b->opt->scratch)) {
		it->take = false;
		return 0;
	}
	r = folder_state(b, it->path);
	if (r < 0)
		return r;
	if (b->state == GITLINK || (b->state == NESTED && !b->opt->nested)) {
		it->take = false;
		return 0;
	}
	if (!it->tracked) {
		r = cleaner_ignored(&b->cleaner, it->path, &ignored, b->err);
		it->take = r == 0 && !ignored;
	}
	return r == 0 && it->take && b->opt->limit ? count_heavy(b, it) : r;
}

/*
 * Does the agent's own index say what this file's content is stored as? Exact times prove it: a view
 * stamps every change of a file with a ctime of its own, to the nanosecond, that nobody can set; and git
 * looks at a file's times before it reads it. Sizes of 0 are how git and materialize_index.c make a
 * reader that knows seconds only look again.
 */
static bool index_knows(struct build *b, struct worktree_item *it)
{
	const int64_t second = 1000000000;
	struct gitindex_entry e;

	if (!it->changed || !in_index(b, it->path, &e) || e.mode != it->to.mode ||
	    e.mtime_s != (uint32_t)(it->st.mtime / second) ||
	    e.mtime_ns != (uint32_t)(it->st.mtime % second) ||
	    e.ctime_s != (uint32_t)(it->st.ctime / second) ||
	    e.ctime_ns != (uint32_t)(it->st.ctime % second) || e.ino != (uint32_t)it->st.ino ||
	    (e.size && e.size != (uint32_t)it->st.size))
		return false;
	it->to.oid = e.oid;
	return true;
}

/* Its blob may be among the view's own objects only. */
static int use_index(struct build *b, struct worktree_item *it)
{
	git_odb *odb = NULL;
	int r = 0;

	if (!it->indexed && (it->same_as_base || !index_knows(b, it)))
		return 0;
	it->same_as_base = true;
	if (same_entry(&it->to, &it->was))
		return 0;
	r = git_repository_odb(&odb, b->opt->git);
	if (r < 0)
		return git_errno(r, b->err, "opening the objects");
	if (!git_odb_exists_ext(odb, &it->to.oid, GIT_ODB_LOOKUP_NO_REFRESH)) {
		r = viewgit_import(b->o, b->w, b->err);
		if (r == 0)
			r = viewgit_copy(b->o, odb, &it->to.oid, b->err);
	}
	git_odb_free(odb);
	return r;
}

static int choose(struct build *b, struct worktree_item *it)
{
	int r = 0;

	it->take &= it->to.mode || !b->opt->additive;
	if (!it->take)
		return 0;
	if (it->to.mode && gitname_in_path(it->path, NULL)) {
		size_t at = 0;

		it->take = false;
		(void)gitname_in_path(it->path, &at);
		if (strncmp(it->path + at, ".git", 4) != 0 ||
		    (it->path[at + 4] && it->path[at + 4] != '/'))
			note(b, it->path,
			     "has a name that some systems take for git's own: left out");
		else /* told once, by the folder */
			r = folder_state(b, it->path);
		return r;
	}
	r = use_index(b, it);
	if (r < 0)
		return r;
	if (it->same_as_base && same_entry(&it->to, &it->was)) {
		it->take = false;
		return 0;
	}
	if (!it->was.mode) {
		r = choose_new(b, it);
		if (r < 0 || !it->take)
			return r;
	}
	return b->opt->judge ? judge(b, it) : 0;
}

static int hash_all(struct build *b)
{
	struct worktree_hash h = {b->w->snapshot, b->opt->git, &b->cleaner, b->opt->strict};
	int r;

	snapshot_use_cache(b->w->snapshot, b->w->state_fd);
	r = worktree_hash(&h, b->t->items, b->t->n, b->err);
	for (size_t i = 0; r == 0 && i < b->t->n; i++) {
		struct worktree_item *it = &b->t->items[i];

		it->take = it->take && !same_entry(&it->to, &it->was);
		b->t->taken += it->take;
	}
	return r;
}

static int build_tree(struct build *b)
{
	_cleanup_free_ struct tree_edit *edits =
		calloc(b->t->taken ? b->t->taken : 1, sizeof(*edits));
	size_t n = 0;
	int r;

	if (!edits)
		return -ENOMEM;
	for (size_t i = 0; i < b->t->n; i++)
		if (b->t->items[i].take)
			edits[n++] = (struct tree_edit){b->t->items[i].path, b->t->items[i].to};
	if (!n) {
		b->t->tree = b->opt->onto;
		return 0;
	}
	r = tree_apply(b->opt->git, snapshot_image(b->w->snapshot), &b->opt->onto, edits, n,
		       &b->t->tree);
	return r < 0 ? err_set(b->err, r, "writing the view's tree: %s", strerror(-r)) : 0;
}

int worktree_build(struct worker *w, struct viewgit_objects *o, const struct worktree_options *opt,
		   struct worktree *ret, struct err *reterr)
{
	struct build b = {.w = w, .o = o, .opt = opt, .t = ret, .err = reterr};
	int r = cleaner_open(&b.cleaner, o, w, reterr);

	*ret = (struct worktree){0};
	if (r == 0)
		r = tree_reader_init(&b.reader, opt->git, snapshot_image(w->snapshot), &opt->onto);
	if (r == 0)
		r = gather(&b);
	for (size_t i = 0; r == 0 && i < ret->n; i++)
		r = choose(&b, &ret->items[i]);
	if (r == 0)
		r = hash_all(&b);
	if (r == 0)
		r = build_tree(&b);
	if (b.notes > NOTES_MAX)
		worker_note(opt->ret, "… and %zu more of this kind", b.notes - NOTES_MAX);
	cleaner_close(&b.cleaner);
	tree_reader_release(&b.reader);
	for (size_t i = 0; i < b.nheavy; i++)
		free(b.heavy[i].folder);
	buf_release(&b.folder);
	buf_release(&b.told);
	if (r < 0)
		worktree_release(ret);
	return r;
}
