/* SPDX-License-Identifier: Apache-2.0 */
/* Merges that were tried: what became of each, and why. A peer sees its own, root all. */
#include <string.h>

#include "cleanup.h"
#include "methods.h"
#include "op.h"
#include "sys.h"

enum { HISTORY_DEFAULT = 50 };

struct history {
	uid_t uid;
	const char *repository, *path; /* NULL: any */
	int64_t last;
	json_t *merges;
	json_t *result; /* MergeExplain: type Merged */
};

/* The paths that a rule resolved, or that conflict. */
static json_t *paths_of(const json_t *result)
{
	static const char *const keys[] = {"resolved", "conflicts"};
	json_t *paths = json_array(), *o;
	size_t i;

	for (size_t k = 0; k < ARRAY_SIZE(keys); k++)
		json_array_foreach (json_object_get(result, keys[k]), i, o)
			(void)json_array_append(paths, json_object_get(o, "path"));
	return paths;
}

static bool has_path(const json_t *paths, const char *path)
{
	json_t *o;
	size_t i;

	json_array_foreach (paths, i, o)
		if (json_is_string(o) && strcmp(json_string_value(o), path) == 0)
			return true;
	return false;
}

/* "" is nothing. */
static json_t *text_or_null(const char *s)
{
	return *s ? json_string(s) : json_null();
}

/* A repository is named by its common git folder, or by the worktree that this is the .git of. */
static bool same_repository(const char *asked, const char *is)
{
	size_t n = strlen(asked);

	while (n > 1 && asked[n - 1] == '/')
		n--;
	if (strncmp(asked, is, n) != 0)
		return false;
	return is[n] == '\0' || strcmp(is + n, "/.git") == 0;
}

static int one(const struct state_merge *m, void *user)
{
	struct history *h = user;
	json_t *result, *paths;

	if ((h->uid != 0 && h->uid != m->uid) ||
	    (h->repository && !same_repository(h->repository, m->repository)))
		return 0;
	result = json_loads(m->result, 0, NULL);
	paths = paths_of(result);
	if (!h->path || has_path(paths, h->path)) {
		(void)json_array_append_new(
			h->merges,
			json_pack("{s:I,s:o,s:s,s:s,s:s,s:s,s:o,s:o,s:O}", "merge",
				  (json_int_t)m->id, "time", json_time(m->time), "repository",
				  m->repository, "source", m->source, "into", m->into, "state",
				  m->state, "tier", text_or_null(m->tier), "commit",
				  text_or_null(m->commit), "paths", paths));
		h->last--;
		if (!h->result) {
			(void)json_object_del(result, "repository");
			h->result = json_incref(result);
		}
	}
	json_decref(paths);
	json_decref(result);
	return h->last > 0 ? 0 : 1;
}

void method_merge_history(struct daemon *d, struct call *c)
{
	struct history h = {.uid = c->uid,
			    .repository = arg_str(c, "repository"),
			    .path = arg_str(c, "path"),
			    .last = arg_int(c, "last", HISTORY_DEFAULT),
			    .merges = json_array()};
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct fault f = FAULT_INIT;

	if (h.last < 1)
		(void)fault_set(&f, "Invalid", "the number of merges to show is 1 or more");
	else if (state_merges(d->db, 0, one, &h, &e) < 0)
		(void)fault_set(&f, "Internal", "%s", err_text(&e));
	if (f.message) {
		json_decref(h.merges);
		call_fault(c, &f);
	} else {
		call_reply(c, json_pack("{s:o}", "merges", h.merges));
	}
	json_decref(h.result);
}

void method_merge_explain(struct daemon *d, struct call *c)
{
	int64_t id = arg_int(c, "merge", 0);
	struct history h = {.uid = c->uid, .last = 1, .merges = json_array()};
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct fault f = FAULT_INIT;

	if (id > 0 && state_merges(d->db, id, one, &h, &e) < 0)
		(void)fault_set(&f, "Internal", "%s", err_text(&e));
	else if (!json_array_size(h.merges))
		(void)fault_set(&f, "NotFound",
				"there is no merge %lld: agentfsctl merge history lists them",
				(long long)id);
	if (f.message)
		call_fault(c, &f);
	else
		call_reply(c, json_pack("{s:O,s:O}", "record", json_array_get(h.merges, 0),
					"result", h.result));
	json_decref(h.merges);
	json_decref(h.result);
}
