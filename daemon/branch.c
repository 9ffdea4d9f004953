/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Refs in the shared repository. Guarantees: (1) no ref that we did not make is ever moved off
 * commits that would then be lost: a branch is taken over only where the base contains its tip;
 * (2) every move states the value it expects, so that a push or commit of somebody else in between
 * is refused, not overwritten; (3) refs are on disk when a call returns.
 */
#include "branch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "cleanup.h"
#include "odb.h"
#include "worktrees.h"

enum { PRESERVE_TRIES = 1000 };

struct seen {
	git_oid id;
	UT_hash_handle hh;
};

/* Adds a commit to those that are still to be looked at, once. */
static int add_seen(struct seen **seen, struct seen ***todo, size_t *n, size_t *cap,
		    const git_oid *id)
{
	struct seen *s = NULL;

	HASH_FIND(hh, *seen, id, sizeof(*id), s);
	if (s)
		return 0;
	if (*n == *cap) {
		size_t more = *cap ? *cap * 2 : 64;
		struct seen **v = realloc(*todo, more * sizeof(*v));

		if (!v)
			return -ENOMEM;
		*todo = v;
		*cap = more;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->id = *id;
	HASH_ADD(hh, *seen, id, sizeof(s->id), s);
	(*todo)[(*n)++] = s;
	return 0;
}

/* Walks back from `outer` by hand, skipping parents that are not there. For shallow repositories,
 * whose last commits libgit2's walk ends before. */
static int contains_slowly(git_repository *git, const git_oid *outer, const git_oid *inner,
			   bool *ret)
{
	struct seen *seen = NULL, *s, *next, **todo = NULL;
	size_t n = 0, cap = 0;
	int r = add_seen(&seen, &todo, &n, &cap, outer);

	*ret = false;
	while (r == 0 && n > 0 && !*ret) {
		git_commit *c = NULL;

		s = todo[--n];
		*ret = git_oid_equal(&s->id, inner);
		if (*ret || git_commit_lookup(&c, git, &s->id) < 0)
			continue;
		for (unsigned i = 0; r == 0 && i < git_commit_parentcount(c); i++)
			r = add_seen(&seen, &todo, &n, &cap, git_commit_parent_id(c, i));
		git_commit_free(c);
	}
	HASH_ITER (hh, seen, s, next) {
		HASH_DEL(seen, s);
		free(s);
	}
	free(todo);
	return r;
}

bool branch_is_cut(git_repository *git)
{
	return git_repository_path(git) && git_repository_is_shallow(git) == 1;
}

int branch_contains(git_repository *git, const git_oid *outer, const git_oid *inner, bool *ret,
		    struct err *reterr)
{
	int r;

	if (git_oid_equal(outer, inner)) {
		*ret = true;
		return 0;
	}
	r = git_graph_descendant_of(git, outer, inner);
	if (r < 0 && (r == GIT_ENOTFOUND || !git_repository_path(git) || branch_is_cut(git))) {
		r = contains_slowly(git, outer, inner, ret);
		return r < 0 ? err_set(reterr, r, "comparing commits: %s", strerror(-r)) : 0;
	}
	if (r >= 0)
		*ret = r == 1;
	return r < 0 ? git_errno(r, reterr, "comparing commits") : 0;
}

int branch_distance(git_repository *git, const git_oid *branch, const git_oid *target,
		    size_t *ret_ahead, size_t *ret_behind, struct err *reterr)
{
	int r = git_graph_ahead_behind(ret_ahead, ret_behind, git, branch, target);

	if (r == GIT_ENOTFOUND || (r < 0 && branch_is_cut(git))) {
		*ret_ahead = *ret_behind = 0;
		return 0;
	}
	return r < 0 ? git_errno(r, reterr, "comparing commits") : 0;
}

static int full_name(const char *name, char **ret, struct err *reterr)
{
	int valid = 0;

	if (asprintf(ret, "refs/heads/%s", name) < 0) {
		*ret = NULL;
		return -ENOMEM;
	}
	if (git_reference_name_is_valid(&valid, *ret) < 0 || !valid)
		return err_set_id(reterr, -EINVAL, "Invalid", "'%s' is no valid branch name", name);
	return 0;
}

int branch_tip(struct repo *r, const char *name, git_oid *ret, struct err *reterr)
{
	_cleanup_free_ char *full = NULL;
	int q = full_name(name, &full, reterr);

	if (q < 0)
		return q;
	q = git_reference_name_to_id(ret, r->git, full);
	if (q == GIT_ENOTFOUND)
		return err_set_id(reterr, -ENOENT, "NotFound",
				  "no branch '%s' in the repository '%s'", name, r->common);
	return q < 0 ? git_errno(q, reterr, "reading branch '%s'", name) : 0;
}

static int set_ref(struct repo *r, const char *full, const git_oid *to, const git_oid *from,
		   const char *why)
{
	git_reference *ref = NULL;
	int q;

	if (from)
		q = git_reference_create_matching(&ref, r->git, full, to, 1, from, why);
	else
		q = git_reference_create(&ref, r->git, full, to, 0, why);
	git_reference_free(ref);
	return q;
}

static int take_over(struct repo *r, const char *name, const char *full, const git_oid *at,
		     struct branch_made *made, struct err *reterr)
{
	bool inside = false;
	int q = worktrees_check_free(r, name, NULL, reterr);

	if (q < 0)
		return q;
	q = branch_contains(r->git, at, &made->was, &inside, reterr);
	if (q < 0)
		return q;
	if (!inside)
		return err_set_id(
			reterr, -EEXIST, "NameTaken",
			"the branch '%s' exists and has commits that the base lacks: choose "
			"another --task, or go on from it with --base %s",
			name, name);
	if (git_oid_equal(&made->was, at))
		return 0;
	q = set_ref(r, full, at, &made->was, "agentfs: taken over at the base");
	if (q < 0)
		return git_errno(q, reterr, "moving branch '%s'", name);
	made->moved = true;
	return 0;
}

/* Is a part of the name a branch already, or the whole name a folder of branches? Both cannot be.
 */
static bool clashes(struct repo *r, const char *full)
{
	_cleanup_free_ char *part = strdup(full), *glob = NULL;
	git_reference_iterator *it = NULL;
	const char *name;
	git_oid oid;
	bool found = false;

	if (!part || asprintf(&glob, "%s/*", full) < 0) {
		glob = NULL;
		return false;
	}
	for (char *p = part + strlen("refs/heads/"); !found && (p = strchr(p, '/')); *p++ = '/') {
		*p = 0;
		found = git_reference_name_to_id(&oid, r->git, part) == 0;
	}
	if (!found && git_reference_iterator_glob_new(&it, r->git, glob) == 0)
		found = git_reference_next_name(&name, it) == 0;
	git_reference_iterator_free(it);
	return found;
}

int branch_claim(struct repo *r, const char *name, const git_oid *at, struct branch_made *ret,
		 struct err *reterr)
{
	_cleanup_free_ char *full = NULL;
	struct branch_made made = {0};
	int q = full_name(name, &full, reterr);

	if (q < 0)
		return q;
	q = git_reference_name_to_id(&made.was, r->git, full);
	if (q == 0) {
		q = take_over(r, name, full, at, &made, reterr);
		if (q < 0)
			return q;
	} else {
		if (clashes(r, full))
			q = GIT_EEXISTS;
		else
			q = set_ref(r, full, at, NULL, BRANCH_CREATED);
		if (q == GIT_EEXISTS)
			return err_set_id(
				reterr, -EEXIST, "NameTaken",
				"the branch '%s' cannot be made: one that is a part of its name, "
				"or one below it, exists: choose another --task",
				name);
		if (q < 0)
			return git_errno(q, reterr, "making branch '%s'", name);
		made.made = true;
	}
	*ret = made;
	return 0;
}

void branch_unclaim(struct repo *r, const char *name, const git_oid *at,
		    const struct branch_made *made)
{
	_cleanup_free_ char *full = NULL;
	git_reference *ref = NULL;

	if (full_name(name, &full, NULL) < 0 || git_reference_lookup(&ref, r->git, full) < 0)
		return;
	if (git_reference_target(ref) && git_oid_equal(git_reference_target(ref), at)) {
		if (made->made)
			(void)git_reference_delete(ref);
		else if (made->moved)
			(void)set_ref(r, full, &made->was, at, "agentfs: given back");
	}
	git_reference_free(ref);
}

static char *base_name(const char *view_id)
{
	char *s = NULL;

	return asprintf(&s, "refs/agentfs/base/%s", view_id) < 0 ? NULL : s;
}

int branch_keep_base(struct repo *r, const char *view_id, const git_oid *at, struct err *reterr)
{
	_cleanup_free_ char *full = base_name(view_id);
	int q = full ? set_ref(r, full, at, NULL, "agentfs: base of a view") : -ENOMEM;

	return q < 0 ? git_errno(q, reterr, "keeping the base commit alive") : 0;
}

static char *held_name(const char *view_id, const char *what)
{
	char *s = NULL;

	return asprintf(&s, "refs/agentfs/base/%s-%s", view_id, what) < 0 ? NULL : s;
}

static void drop_held(struct repo *r, const char *view_id)
{
	_cleanup_free_ char *glob = held_name(view_id, "*");
	git_reference_iterator *it = NULL;
	git_strarray names = {0};
	const char *name;

	if (!glob || git_reference_iterator_glob_new(&it, r->git, glob) < 0)
		return;
	while (git_reference_next_name(&name, it) == 0) {
		char **v = realloc(names.strings, (names.count + 1) * sizeof(*v));

		if (!v)
			break;
		names.strings = v;
		v[names.count] = strdup(name);
		names.count += v[names.count] != NULL;
	}
	git_reference_iterator_free(it);
	for (size_t i = 0; i < names.count; i++) {
		(void)git_reference_remove(r->git, names.strings[i]);
		free(names.strings[i]);
	}
	free(names.strings);
}

static int force_ref(struct repo *r, const char *full, const git_oid *to, const char *why)
{
	git_reference *ref = NULL;
	int q = full ? git_reference_create(&ref, r->git, full, to, 1, why) : -ENOMEM;

	git_reference_free(ref);
	return q;
}

int branch_hold_base(struct repo *r, const char *view_id, const git_oid *at, struct err *reterr)
{
	_cleanup_free_ char *full = held_name(view_id, "next");
	int q = force_ref(r, full, at, "agentfs: the next base of a view");

	return q < 0 ? git_errno(q, reterr, "keeping the new base alive") : 0;
}

void branch_move_base(struct repo *r, const char *view_id, const git_oid *from, const git_oid *to,
		      bool keep_old)
{
	_cleanup_free_ char *full = base_name(view_id), *next = held_name(view_id, "next"),
			    *old = held_name(view_id, git_oid_tostr_s(from));
	int q = force_ref(r, full, to, "agentfs: base of a view");

	if (q < 0)
		return; /* the next one still keeps it */
	if (!keep_old)
		drop_held(r, view_id);
	else if (force_ref(r, old, from, "agentfs: a base that the view still reads") == 0 && next)
		(void)git_reference_remove(r->git, next);
}

void branch_drop_base(struct repo *r, const char *view_id)
{
	_cleanup_free_ char *full = base_name(view_id);

	if (full)
		(void)git_reference_remove(r->git, full);
	drop_held(r, view_id);
}

int branch_preserve(struct repo *r, const char *agent, const char *view_id, const char *name,
		    const git_oid *at, char **ret_ref, struct err *reterr)
{
	for (unsigned n = 0; n < PRESERVE_TRIES; n++) {
		_cleanup_free_ char *full = NULL;
		char suffix[16] = "";
		git_oid there;
		int q;

		if (n)
			(void)snprintf(suffix, sizeof(suffix), "-%u", n);
		if (asprintf(&full, "refs/agentfs/preserved/%s/%s/%s%s", agent, view_id, name,
			     suffix) < 0) {
			full = NULL;
			return -ENOMEM;
		}
		q = git_reference_name_to_id(&there, r->git, full);
		if (q == GIT_ENOTFOUND)
			q = set_ref(r, full, at, NULL, "agentfs: preserved");
		else if (q == 0 && !git_oid_equal(&there, at))
			continue;
		if (q == GIT_EEXISTS)
			continue;
		if (q < 0)
			return git_errno(q, reterr, "preserving '%s'", name);
		*ret_ref = TAKE_PTR(full);
		return 0;
	}
	return err_set(reterr, -EEXIST, "preserving '%s': too many are kept already", name);
}

int branch_move(struct repo *r, const char *name, const git_oid *from, const git_oid *to,
		const char *why, struct err *reterr)
{
	_cleanup_free_ char *full = NULL;
	int q = full_name(name, &full, reterr);

	if (q < 0)
		return q;
	q = set_ref(r, full, to, from, why);
	if (q == GIT_EMODIFIED || q == GIT_EEXISTS || q == GIT_ELOCKED || q == GIT_ENOTFOUND)
		return err_set_id(reterr, -EAGAIN, "Busy",
				  "the branch '%s' was moved by somebody else meanwhile: try again",
				  name);
	return q < 0 ? git_errno(q, reterr, "moving branch '%s'", name) : 0;
}
