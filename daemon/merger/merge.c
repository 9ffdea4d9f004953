/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How two commits are merged.
 *
 * Guarantees: (1) one merge base and none of merge_walk.h's triggers: the walk decides, in proportion
 * to the change; anything else is decided by git's own merge (merge_git.h), and where that cannot be
 * asked, it conflicts; (2) a file changed on both sides is merged line by line twice, by libgit2
 * (Myers) and by git (histogram): alike is taken, one that is clean alone is taken and said, two
 * clean ones that differ are a conflict; what is none of these goes to tier 2 (merge_resolve.h), and
 * then is resolved in all its conflicts or in none; (3) attributes are those of the trees being merged, and a merge
 * driver of the repository's own is never run: its files conflict; (4) no conflict markers ever reach
 * a result.
 */
#include "merge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "merge_file.h"
#include "merge_git.h"
#include "merge_private.h"
#include "merge_second.h"
#include "odb.h"
#include "tier_ai.h"

struct merging {
	git_repository *git;
	git_oid ours, theirs; /* commits */
	git_oid base_tree, our_tree, their_tree;
	const struct resolve_options *tier2; /* or NULL */
	struct merge_walk walk;
	struct merge_file *files; /* beside walk.both */
	struct merge_private private;
	struct merge_git by_git;
	struct merge_second second;
	bool on_disk; /* the private repository has outgrown the memory */
	struct merge_out out;
};

void merge_out_release(struct merge_out *m)
{
	merge_conflicts_release(&m->conflicts);
	for (size_t i = 0; i < m->notes.n; i++)
		free(m->notes.v[i]);
	free(m->notes.v);
	merge_resolved_release(&m->resolved);
	*m = (struct merge_out){0};
}

static int tree_of(git_repository *git, const git_oid *commit, git_oid *ret, struct err *reterr)
{
	git_commit *c = NULL;
	int r = git_commit_lookup(&c, git, commit);

	if (r < 0)
		return git_errno(r, reterr, "reading a commit");
	git_oid_cpy(ret, git_commit_tree_id(c));
	git_commit_free(c);
	return 0;
}

static int driver_of(struct merging *m, const char *path, enum merge_driver *ret,
		     struct err *reterr)
{
	const char *value = NULL;
	int r = merge_private_attr(&m->private, path, "merge", &value, reterr);

	*ret = merge_driver_of(value);
	return r;
}

/* Each file by itself; `second`: git is asked about what is not certain. */
static int merge_files(struct merging *m, bool second, struct err *reterr)
{
	struct merge_walk *w = &m->walk;
	int r = 0;

	if (!w->nboth)
		return 0;
	m->files = calloc(w->nboth, sizeof(*m->files));
	if (!m->files)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < w->nboth; i++)
		r = merge_private_add(&m->private, w->both[i].path, reterr);
	for (size_t i = 0; r == 0 && i < w->nboth; i++) {
		enum merge_driver driver = MERGE_DRIVER_TEXT;

		r = driver_of(m, w->both[i].path, &driver, reterr);
		if (r == 0)
			r = merge_file(m->git, driver, &w->both[i], &m->files[i], reterr);
	}
	if (r == 0 && second)
		merge_second_start(&m->second, &m->private, w->both, m->files, w->nboth);
	return r;
}

/* ---- tier 2 ---- */

/* Asks the resolvers about one file that conflicts by line, whose versions are in `from`. Returns 1: its blob is *ret;
 * 0; -errno. */
static int auto_resolve(struct merging *m, git_repository *from, const struct merge_both *file,
			git_oid *ret, bool *ret_generated, struct err *reterr)
{
	enum merge_driver driver = MERGE_DRIVER_TEXT;
	struct resolve_options o;
	const char *generated = NULL;
	int r;

	if (!m->tier2 || !file->base.mode)
		return 0;
	o = *m->tier2;
	r = driver_of(m, file->path, &driver, reterr);
	if (r == 0)
		r = merge_private_attr(&m->private, file->path, "linguist-generated", &generated,
				       reterr);
	if (r < 0 || driver != MERGE_DRIVER_TEXT)
		return r;
	o.generated = git_attr_value(generated) == GIT_ATTR_VALUE_TRUE ||
		      git_attr_value(generated) == GIT_ATTR_VALUE_STRING ||
		      (o.written && o.written(o.written_user, file->path));
	*ret_generated = o.generated;
	return merge_resolve(m->git, from, file, &o, &m->out.resolved, ret, reterr);
}

/* Where one file conflicts whatever is made of the others, nobody outside is asked about any. */
static void look_ahead(struct merging *m)
{
	for (size_t i = 0; m->tier2 && m->tier2->ai && i < m->walk.nboth; i++)
		if (!m->files[i].to.mode && (!m->files[i].by_line || !m->walk.both[i].base.mode))
			tier_ai_hopeless(m->tier2->ai, m->walk.both[i].path);
}

static int resolve_walked(struct merging *m, struct err *reterr)
{
	int r = 0;

	look_ahead(m);

	for (size_t i = 0; r >= 0 && i < m->walk.nboth; i++) {
		const struct merge_both *both = &m->walk.both[i];
		struct merge_file *f = &m->files[i];
		git_oid id;

		if (f->to.mode || !f->by_line)
			continue;
		r = auto_resolve(m, m->git, both, &id, &f->generated, reterr);
		if (r > 0)
			f->to = (struct tree_entry){both->ours.mode == both->base.mode
							    ? both->theirs.mode
							    : both->ours.mode,
						    id};
	}
	return r < 0 ? r : 0;
}

/* ---- the two ways ---- */

static int file_conflicts(struct merging *m)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->walk.nboth; i++)
		if (!m->files[i].to.mode)
			r = merge_conflict_add(&m->out.conflicts, m->walk.both[i].path,
					       m->files[i].kind, "'%s' %s", m->walk.both[i].path,
					       m->files[i].why);
	for (size_t i = 0; r == 0 && i < m->walk.nboth; i++)
		if (m->files[i].generated)
			merge_conflicts_generated(&m->out.conflicts, m->walk.both[i].path);
	return r;
}

static int apply(struct merging *m, struct tree_edit *edits, size_t n, git_oid *ret,
		 struct err *reterr)
{
	int r = 0;

	git_oid_cpy(ret, &m->walk.tree);
	if (n) {
		qsort(edits, n, sizeof(*edits), tree_path_order);
		r = tree_apply(m->git, NULL, &m->walk.tree, edits, n, ret);
	}
	return r < 0 ? err_set(reterr, r, "writing the merged tree: %s", strerror(-r)) : 0;
}

static int finish_walk(struct merging *m, struct err *reterr)
{
	struct merge_walk *w = &m->walk;
	_cleanup_free_ struct tree_edit *edits = calloc(w->nboth ? w->nboth : 1, sizeof(*edits));
	int r = edits ? file_conflicts(m) : -ENOMEM;
	size_t n = 0;

	if (r < 0)
		return r;
	for (size_t i = 0; i < w->nboth; i++)
		if (m->files[i].to.mode)
			edits[n++] = (struct tree_edit){w->both[i].path, m->files[i].to};
	m->out.has_partial = m->tier2 && m->out.conflicts.n > 0;
	if (m->out.conflicts.n && !m->out.has_partial)
		return 0;
	return apply(m, edits, n, m->out.has_partial ? &m->out.partial : &m->out.tree, reterr);
}

struct gather {
	struct merging *m;
	struct err *reterr;
};

static int gather_one(const struct tree_delta *d, void *user)
{
	struct gather *g = user;

	return merge_private_add(&g->m->private, d->path, g->reterr);
}

/* The three versions of a path where each side has it as a file, under that name or another. */
static bool versions_of(struct merging *m, const char *path, struct merge_both *ret)
{
	const struct merge_stages *s = merge_git_stages(&m->by_git, path);
	struct tree_entry *e[] = {&ret->base, &ret->ours, &ret->theirs};
	bool files = s;

	ret->path = (char *)path;
	for (size_t i = 0; s && i < ARRAY_SIZE(e); i++) {
		*e[i] = s->v[i];
		files = files && (e[i]->mode == 0100644 || e[i]->mode == 0100755);
	}
	return files;
}

/* Is the path's only conflict one of content? */
static bool content_only(const struct merge_conflicts *c, size_t at)
{
	for (size_t i = 0; i < c->n; i++)
		if (strcmp(c->v[i].path, c->v[at].path) == 0 &&
		    strcmp(c->v[i].kind, "content") != 0)
			return false;
	return true;
}

static void look_ahead_by_git(struct merging *m)
{
	const struct merge_conflicts *c = &m->by_git.conflicts;

	for (size_t i = 0; m->tier2 && m->tier2->ai && i < c->n; i++)
		if (!content_only(c, i))
			tier_ai_hopeless(m->tier2->ai, c->v[i].path);
}

/* Git's conflicts: what tier 2 resolves becomes an edit of its tree, the rest ours to tell. */
static int resolve_by_git(struct merging *m, struct tree_edit *edits, size_t *ret_n,
			  struct err *reterr)
{
	const struct merge_conflicts *c = &m->by_git.conflicts;
	int r = 0;

	look_ahead_by_git(m);
	for (size_t i = 0; r >= 0 && i < c->n; i++) {
		struct merge_both both = {0};
		bool generated = false;
		git_oid id;

		r = 0;
		if (content_only(c, i) && versions_of(m, c->v[i].path, &both))
			r = auto_resolve(m, m->private.git, &both, &id, &generated, reterr);
		if (r > 0)
			edits[(*ret_n)++] = (struct tree_edit){c->v[i].path,
							       {both.ours.mode == both.base.mode
									? both.theirs.mode
									: both.ours.mode,
								id}};
		else if (r == 0)
			r = merge_conflict_add(&m->out.conflicts, c->v[i].path, c->v[i].kind, "%s",
					       c->v[i].reason);
		if (generated)
			merge_conflicts_generated(&m->out.conflicts, c->v[i].path);
	}
	return r < 0 ? r : 0;
}

static int driver_conflicts(struct merging *m, struct err *reterr)
{
	struct merge_git *g = &m->by_git;
	int r = 0;

	for (size_t i = 0; r == 0 && i < g->nmerged; i++) {
		enum merge_driver driver = MERGE_DRIVER_TEXT;

		r = driver_of(m, g->merged[i], &driver, reterr);
		if (r == 0 && driver == MERGE_DRIVER_CUSTOM)
			r = merge_conflict_add(
				&m->out.conflicts, g->merged[i], "content",
				"'%s' has a merge driver of its own (attribute merge), which is never run",
				g->merged[i]);
	}
	return r;
}

/* Takes git's result, but for files that a driver of the repository's own should have merged. */
static int take_git(struct merging *m, struct err *reterr)
{
	struct merge_git *g = &m->by_git;
	_cleanup_free_ struct tree_edit *edits = calloc(g->conflicts.n + 1, sizeof(*edits));
	size_t n = 0;
	int r = edits ? resolve_by_git(m, edits, &n, reterr) : -ENOMEM;

	m->out.by_git = true;
	if (r == 0)
		r = driver_conflicts(m, reterr);
	if (r < 0 || m->out.conflicts.n)
		return r;
	r = merge_git_copy(&m->private, &g->tree, reterr);
	if (r < 0 || !n) {
		git_oid_cpy(&m->out.tree, &g->tree);
		return r;
	}
	qsort(edits, n, sizeof(*edits), tree_path_order);
	r = tree_apply(m->git, NULL, &g->tree, edits, n, &m->out.tree);
	return r < 0 ? err_set(reterr, r, "writing the merged tree: %s", strerror(-r)) : 0;
}

static int ask_git(struct merging *m, struct err *reterr)
{
	struct gather g = {m, reterr};
	int r = tree_diff(m->git, &m->base_tree, &m->our_tree, gather_one, &g);

	if (r == 0)
		r = tree_diff(m->git, &m->base_tree, &m->their_tree, gather_one, &g);
	if (r < 0)
		return r;
	r = merge_git(&m->private, &m->ours, &m->theirs, &m->by_git, reterr);
	return r < 0 ? r : take_git(m, reterr);
}

/* git cannot be asked: every trigger is a conflict that says so. */
static int without_git(struct merging *m, const char *why, struct err *reterr)
{
	int r = merge_files(m, false, reterr);

	for (size_t i = 0; r == 0 && i < m->walk.triggers.n; i++) {
		const struct merge_conflict *t = &m->walk.triggers.v[i];

		r = merge_conflict_add(&m->out.conflicts, t->path, t->kind, "%s; %s", t->reason,
				       why);
	}
	return r < 0 ? r : file_conflicts(m);
}

static int one_base(struct merging *m, struct err *reterr)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	int r = merge_walk(m->git, &m->base_tree, &m->our_tree, &m->their_tree, &m->walk, reterr);

	if (r < 0)
		return r;
	if (m->walk.triggers.n) {
		r = ask_git(m, &why);
		if (r == -ENOSYS)
			return without_git(m, err_text(&why), reterr);
		if (r < 0 && why.id)
			return err_set_id(reterr, r, why.id, "%s", err_text(&why));
		return r < 0 ? err_set(reterr, r, "%s", err_text(&why)) : 0;
	}
	r = merge_files(m, true, reterr);
	m->out.by_line = m->walk.nboth;
	if (r == 0)
		r = merge_second_finish(&m->second, &m->private, m->walk.both, m->files,
					m->walk.nboth, &m->out.notes, reterr);
	if (r == 0)
		r = resolve_walked(m, reterr);
	return r < 0 ? r : finish_walk(m, reterr);
}

static int find_bases(struct merging *m, git_oidarray *ret, struct err *reterr)
{
	int r = git_merge_bases(ret, m->git, &m->ours, &m->theirs);

	if (r < 0 && git_repository_is_shallow(m->git) == 1)
		return 0;
	if (r == GIT_ENOTFOUND)
		return err_set_id(reterr, -EINVAL, "Invalid",
				  "the two branches have no common history: they cannot be merged");
	return r < 0 ? git_errno(r, reterr, "looking for the merge base") : 0;
}

static uint64_t now_ns(void)
{
	struct timespec t = {0};

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static int merge_all(struct merging *m, struct err *reterr)
{
	git_oidarray bases = {0};
	uint64_t start = now_ns();
	size_t n = 0;
	int r = find_bases(m, &bases, reterr);

	m->out.bases_ns = now_ns() - start;
	if (r == 0)
		r = tree_of(m->git, &m->ours, &m->our_tree, reterr);
	if (r == 0)
		r = tree_of(m->git, &m->theirs, &m->their_tree, reterr);
	if (r == 0) {
		/* Cut-off history: git, which knows where it is cut, looks for the base. */
		n = bases.count;
		if (n)
			r = tree_of(m->git, &bases.ids[0], &m->base_tree, reterr);
		else
			git_oid_cpy(&m->base_tree, &m->our_tree);
	}
	git_oidarray_dispose(&bases);
	if (r < 0)
		return r;
	merge_private_init(&m->private, m->git, &m->base_tree, &m->our_tree, &m->their_tree);
	m->private.on_disk = m->on_disk;
	if (n == 1)
		return one_base(m, reterr);
	r = ask_git(m, reterr);
	if (r == -ENOSYS)
		(void)err_wrap(reterr, "the branches have several merge bases or cut-off history");
	return r;
}

static void merging_release(struct merging *m)
{
	merge_second_release(&m->second);
	if (m->private.shared)
		merge_private_close(&m->private);
	merge_walk_release(&m->walk);
	merge_git_release(&m->by_git);
	free(m->files);
}

int merge_commits(git_repository *git, const git_oid *ours, const git_oid *theirs,
		  const struct resolve_options *tier2, struct merge_out *ret, struct err *reterr)
{
	struct merging m = {.git = git, .ours = *ours, .theirs = *theirs, .tier2 = tier2};
	int r = merge_all(&m, reterr);

	if (m.private.shared && merge_private_is_full(&m.private, r)) {
		merging_release(&m);
		merge_out_release(&m.out);
		err_release(reterr);
		m = (struct merging){.git = git,
				     .ours = *ours,
				     .theirs = *theirs,
				     .tier2 = tier2,
				     .on_disk = true};
		r = merge_all(&m, reterr);
	}
	merging_release(&m);
	if (r < 0) {
		merge_out_release(&m.out);
		if (reterr && !reterr->code)
			(void)err_set(reterr, r, "merging: %s", strerror(-r));
		return r;
	}
	*ret = m.out;
	return 0;
}
