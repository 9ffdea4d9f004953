/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guarantees: (1) nothing is written; (2) an open attempt is resolved by the first commit found, on the target or the
 * source, whose two parents bring both tips together for the first time; what stands there in place of a conflict is
 * what the person kept; (3) a resolution is wrong where its lines were changed again within FOLLOWERS
 * commits of the target by somebody who had it before them, right where nobody changed them; (4) the work for one attempt is bounded.
 */
#include "recall.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "branch.h"
#include "branch_find.h"
#include "cleanup.h"
#include "recall_file.h"
#include "worker_ops.h"
#include "worker_run.h"

enum { PENDING_MAX = 50, WALK_MAX = 1000, FOLLOWERS = 10 };

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* Is inner equal to outer or an ancestor of it? */
static bool has(git_repository *git, const git_oid *outer, const git_oid *inner)
{
	return git_oid_equal(outer, inner) || git_graph_descendant_of(git, outer, inner) == 1;
}

/* Does the commit bring the two together? sides: its parents, ours first. */
static bool joins(git_repository *git, const git_commit *c, const git_oid *ours,
		  const git_oid *theirs, git_oid sides[2])
{
	const git_oid *a, *b;

	if (git_commit_parentcount(c) != 2)
		return false;
	a = git_commit_parent_id(c, 0);
	b = git_commit_parent_id(c, 1);
	if (!has(git, a, ours)) {
		const git_oid *swap = a;

		a = b;
		b = swap;
	}
	if (!has(git, a, ours) || !has(git, b, theirs) || has(git, a, theirs) || has(git, b, ours))
		return false;
	sides[0] = *a;
	sides[1] = *b;
	return true;
}

static int push_branch(struct worker *w, git_revwalk *walk, const char *name, bool remote)
{
	git_oid tip;
	int r = branch_find(&w->repo, name, remote, &tip, NULL);

	return r < 0 ? r : git_revwalk_push(walk, &tip);
}

/* The commit in which somebody merged the two. Returns 1, 0: not yet, -errno: never. */
static int find_merging(struct worker *w, const json_t *a, const git_oid tips[2],
			struct recall_sides *ret)
{
	git_repository *git = w->repo.git;
	git_revwalk *walk = NULL;
	git_oid id, sides[2];
	int r = git_revwalk_new(&walk, git), found = 0;

	if (r == 0)
		r = push_branch(w, walk, str(a, "into"), false);
	if (r == 0)
		(void)push_branch(w, walk, str(a, "source"), true);
	for (int i = 0; i < 2 && r == 0; i++)
		r = git_revwalk_hide(walk, &tips[i]);
	for (int i = 0; r == 0 && !found && i < WALK_MAX; i++) {
		git_commit *c = NULL;

		if (git_revwalk_next(&id, walk) != 0)
			break;
		r = git_commit_lookup(&c, git, &id);
		found = r == 0 && joins(git, c, &tips[0], &tips[1], sides);
		git_commit_free(c);
	}
	git_revwalk_free(walk);
	if (r == 0 && found)
		r = recall_sides(git, &sides[0], &sides[1], &id, ret);
	return r < 0 ? r : found;
}

static void add_author(git_repository *git, const git_oid *id, json_t *out)
{
	git_commit *c = NULL;

	if (git_commit_lookup(&c, git, id) == 0)
		(void)json_object_set_new(out, "by",
					  worker_text(git_commit_author(c)->name,
						      strlen(git_commit_author(c)->name)));
	git_commit_free(c);
}

/* What the person kept of an open attempt's conflicts. Returns the state it is in now, or NULL: as it was. */
static const char *recall_open(struct worker *w, const json_t *a, const git_oid tips[2],
			       const struct memory *memory, json_t *told, json_t *out)
{
	struct recall_sides sides;
	const char *path;
	json_t *hunks;
	int r = find_merging(w, a, tips, &sides);

	if (r <= 0)
		return r < 0 ? "gone" : NULL;
	json_object_foreach (json_object_get(a, "paths"), path, hunks)
		(void)recall_kept(w->repo.git, &sides, memory, path, hunks, told);
	(void)json_object_set_new(out, "commit", json_string(git_oid_tostr_s(&sides.id[KEPT])));
	add_author(w->repo.git, &sides.id[KEPT], out);
	return json_array_size(told) ? "resolved" : "gone";
}

/* The first FOLLOWERS commits that followed `commit` on the target, by first parents, oldest first. Returns how many,
 * -errno where the commit is none of the target's any more. */
static int find_followers(struct worker *w, const char *into, const git_oid *commit,
			  git_oid ret[FOLLOWERS])
{
	git_oid ring[FOLLOWERS], tip;
	git_revwalk *walk = NULL;
	int n = 0, r = branch_find(&w->repo, into, false, &tip, NULL);

	if (r == 0 && !has(w->repo.git, &tip, commit))
		r = -ENOENT;
	if (r == 0)
		r = git_revwalk_new(&walk, w->repo.git);
	if (r == 0)
		r = git_revwalk_simplify_first_parent(walk);
	if (r == 0)
		r = git_revwalk_push(walk, &tip);
	if (r == 0)
		r = git_revwalk_hide(walk, commit);
	while (r == 0 && n < WALK_MAX && git_revwalk_next(&ring[n % FOLLOWERS], walk) == 0)
		n++;
	git_revwalk_free(walk);
	if (r < 0 || n == WALK_MAX) /* too far away to be looked for */
		return r < 0 ? r : -ENOENT;
	/* Newest first there, and the older ones took the place of the newer. */
	for (int i = 0; i < n && i < FOLLOWERS; i++)
		ret[i] = ring[(n - 1 - i) % FOLLOWERS];
	return n < FOLLOWERS ? n : FOLLOWERS;
}

/* Whether what rules made of a merge still stands. Returns as recall_open() does. */
static const char *recall_watched(struct worker *w, const json_t *a, const git_oid tips[2],
				  json_t *told)
{
	struct recall_sides sides;
	struct recall_later later = {0};
	git_oid commit, followers[FOLLOWERS];
	const char *path;
	json_t *hunks;
	int r = git_oid_fromstr(&commit, str(a, "commit")), n = 0;

	if (r == 0)
		n = r = find_followers(w, str(a, "into"), &commit, followers);
	if (r >= 0)
		r = recall_sides(w->repo.git, &tips[0], &tips[1], &commit, &sides);
	if (r < 0)
		return "gone";
	later = (struct recall_later){.commit = followers,
				      .n = (size_t)n,
				      .final = n == FOLLOWERS ||
					       json_is_true(json_object_get(a, "old"))};
	json_object_foreach (json_object_get(a, "paths"), path, hunks)
		(void)recall_stands(w->repo.git, &sides, &later, path, hunks, told);
	return later.final ? "judged" : NULL;
}

static void recall_one(struct worker *w, const json_t *a, const struct memory *memory, json_t *all)
{
	json_t *told = json_array(), *out = json_object();
	bool open = strcmp(str(a, "state"), "open") == 0;
	const char *state = "gone";
	git_oid tips[2];

	if (git_oid_fromstr(&tips[0], str(a, "ours")) == 0 &&
	    git_oid_fromstr(&tips[1], str(a, "theirs")) == 0)
		state = open ? recall_open(w, a, tips, memory, told, out)
			     : recall_watched(w, a, tips, told);
	if (state || json_array_size(told)) {
		(void)json_object_set(out, "merge", json_object_get(a, "merge"));
		(void)json_object_set_new(out, "state",
					  json_string(state ? state : str(a, "state")));
		(void)json_object_set(out, "hunks", told);
		(void)json_array_append(all, out);
	}
	json_decref(told);
	json_decref(out);
}

static struct text text_of(const json_t *o, const char *key)
{
	const json_t *s = json_object_get(o, key);

	return (struct text){json_is_string(s) ? json_string_value(s) : "", json_string_length(s)};
}

static int remember(struct memory *m, const json_t *hunk)
{
	if (!json_is_string(json_object_get(hunk, "kept")))
		return 0;
	return memory_add(m, str(hunk, "path"), text_of(hunk, "base"), text_of(hunk, "ours"),
			  text_of(hunk, "theirs"), text_of(hunk, "kept"));
}

int recall_remembered(const struct worker *w, struct memory **memory)
{
	json_t *all = json_object_get(w->req, "remembered");
	int r = memory_new(memory);

	for (size_t i = json_array_size(all); i-- > 0 && r == 0;) /* newest first there */
		r = remember(*memory, json_array_get(all, i));
	return r;
}

int recall(struct worker *w, struct memory *memory, json_t *ret)
{
	json_t *pending = json_object_get(w->req, "pending"), *all = json_array(), *a, *hunk;
	size_t i, k;
	int r = 0;

	for (i = 0; i < json_array_size(pending) && i < PENDING_MAX; i++)
		recall_one(w, json_array_get(pending, i), memory, all);
	json_array_foreach (all, i, a)
		json_array_foreach (json_object_get(a, "hunks"), k, hunk)
			r = r < 0 ? r : remember(memory, hunk);
	if (json_array_size(all))
		(void)json_object_set(ret, "recalled", all);
	json_decref(all);
	return r;
}

int op_recall(struct worker *w, json_t *ret, struct err *reterr)
{
	struct memory *memory = NULL;
	int r = recall_remembered(w, &memory);

	if (r == 0)
		r = recall(w, memory, ret);
	memory_free(memory);
	return r;
}
