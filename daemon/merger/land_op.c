/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ops hold and land: many sources merged one on top of the other and kept, and the branch moved to what
 * was kept.
 *
 * Op land may be asked again after a kill, whatever became of the first: where the branch contains the commit
 * already nothing is to be done but to tidy up; where files and index were put in place and the ref was not
 * moved, it goes on from there (checkout.c).
 */
#include <errno.h>
#include <string.h>
#include <uthash.h>

#include "branch.h"
#include "checkout_parts.h"
#include "cleanup.h"
#include "land.h"
#include "worker_ops.h"
#include "worker_run.h"

static int need_commit(struct worker *w, const char *key, git_oid *ret, struct err *reterr)
{
	const char *hex = NULL;
	int r = worker_need_str(w, key, &hex, reterr);

	if (r == 0 && git_oid_fromstr(ret, hex) < 0)
		return err_set_id(reterr, -EINVAL, "Invalid", "'%s' is no commit", hex);
	return r;
}

static int drop_kept(struct worker *w, struct err *reterr)
{
	json_t *names = json_object_get(w->req, "drop"), *name;
	size_t i;
	int r = 0;

	json_array_foreach (names, i, name)
		if (r == 0)
			r = landing_drop(&w->repo, json_string_value(name), reterr);
	return r;
}

int op_land(struct worker *w, json_t *ret, struct err *reterr)
{
	struct landing l = {.w = w, .how = "merged"};
	bool done = false;
	git_oid tip;
	int r = worker_need_str(w, "into", &l.into, reterr);

	if (r == 0)
		r = need_commit(w, "from", &l.from, reterr);
	if (r == 0)
		r = need_commit(w, "commit", &l.to, reterr);
	if (r == 0)
		r = branch_tip(&w->repo, l.into, &tip, reterr);
	if (r == 0)
		r = branch_contains(w->repo.git, &tip, &l.to, &done, reterr);
	if (r < 0)
		return r;
	l.source = worker_str(w, "source") ? worker_str(w, "source") : "a branch";
	if (worker_str(w, "how"))
		l.how = worker_str(w, "how");
	if (done)
		landing_tidy(&w->repo, l.into);
	else
		r = landing_do(&l, reterr);
	if (r == 0)
		r = drop_kept(w, reterr);
	checkout_failpoint("landed");
	return r < 0 ? r : json_object_set_new(ret, "already", json_boolean(done));
}

int op_drop_held(struct worker *w, json_t *ret, struct err *reterr)
{
	(void)ret;
	return drop_kept(w, reterr);
}

/* ---- op hold ---- */

/* A path that the sources taken so far change. */
struct touched {
	UT_hash_handle hh;
	char path[];
};

static bool touches(struct touched *set, const char *path)
{
	struct touched *t = NULL;

	HASH_FIND_STR(set, path, t);
	return t != NULL;
}

static int touch(struct touched **set, const char *path)
{
	size_t n = strlen(path) + 1;
	struct touched *t;

	if (touches(*set, path))
		return 0;
	t = calloc(1, sizeof(*t) + n);
	if (!t)
		return -ENOMEM;
	memcpy(t->path, path, n);
	HASH_ADD_STR(*set, path, t);
	return 0;
}

static void forget(struct touched **set)
{
	struct touched *t, *tmp;

	HASH_ITER (hh, *set, t, tmp) {
		HASH_DEL(*set, t);
		free(t);
	}
}

/* Both names of a rename count. */
static const char *const path_keys[] = {"path", "from"};

static bool overlaps(struct touched *set, const json_t *changes)
{
	json_t *change;
	size_t i;

	json_array_foreach (changes, i, change)
		for (size_t k = 0; k < ARRAY_SIZE(path_keys); k++) {
			const char *p = json_string_value(json_object_get(change, path_keys[k]));

			if (p && touches(set, p))
				return true;
		}
	return false;
}

static int touch_all(struct touched **set, const json_t *changes)
{
	json_t *change;
	size_t i;
	int r = 0;

	json_array_foreach (changes, i, change)
		for (size_t k = 0; r == 0 && k < ARRAY_SIZE(path_keys); k++) {
			const char *p = json_string_value(json_object_get(change, path_keys[k]));

			r = p ? touch(set, p) : 0;
		}
	return r;
}

struct train {
	struct worker *w;
	const char
		*onto; /* commit that the next source comes on top of, or NULL: the target's tip */
	char room[GIT_OID_HEXSZ + 1];
	bool disjoint; /* no two may change one path */
	struct touched *touched;
};

/* One source, by op merge, with what the request says of it laid over what it says of all. */
static json_t *hold_one(struct train *t, json_t *source)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	json_t *all = t->w->req, *ret = json_object();
	int r;

	t->w->req = json_copy(all);
	(void)json_object_update(t->w->req, source);
	(void)json_object_set_new(t->w->req, "hold", json_true());
	if (t->onto)
		(void)json_object_set_new(t->w->req, "target_commit", json_string(t->onto));
	r = op_merge(t->w, ret, &e);
	json_decref(t->w->req);
	t->w->req = all;
	if (r == 0)
		return ret;
	json_decref(ret);
	return worker_error(t->w, r, &e);
}

/* A merge that stands is what the next one comes on top of; one in the way of an earlier one is for later. */
static int take(struct train *t, json_t *source, json_t *one, struct err *reterr)
{
	const char *state = json_string_value(json_object_get(one, "state"));
	const char *commit = json_string_value(json_object_get(one, "commit"));
	json_t *changes = json_object_get(one, "changes");

	if (!state || strcmp(state, "held") != 0 || !commit)
		return 0;
	if (t->disjoint && overlaps(t->touched, changes)) {
		(void)json_object_set_new(one, "state", json_string("later"));
		return landing_drop(&t->w->repo, json_string_value(json_object_get(source, "keep")),
				    reterr);
	}
	(void)snprintf(t->room, sizeof(t->room), "%s", commit);
	t->onto = t->room;
	return touch_all(&t->touched, changes);
}

int op_hold(struct worker *w, json_t *ret, struct err *reterr)
{
	struct train t = {
		.w = w, .onto = worker_str(w, "onto"), .disjoint = worker_bool(w, "disjoint")};
	json_t *sources = json_object_get(w->req, "sources"), *source, *merges = json_array();
	json_t *avoid = json_object_get(w->req, "avoid"), *path;
	size_t i;
	int r = 0;

	json_array_foreach (avoid, i, path)
		if (r == 0 && json_is_string(path))
			r = touch(&t.touched, json_string_value(path));
	json_array_foreach (sources, i, source) {
		json_t *one;

		if (r < 0)
			break;
		worker_progress("merging", i, json_array_size(sources));
		one = hold_one(&t, source);
		r = take(&t, source, one, reterr);
		(void)json_array_append_new(merges, one);
	}
	forget(&t.touched);
	(void)json_object_set_new(ret, "merges", merges);
	return r;
}
