/* SPDX-License-Identifier: Apache-2.0 */
/* The end of Doctor, what workers have to look at: can commands be run in a sandbox, and what have views that
 * are gone left in repositories, one after the other; one that cannot be looked at is a warning of its own. */
#include <string.h>

#include "cleanup.h"
#include "methods.h"
#include "op.h"
#include "sys.h"

struct leftovers {
	json_t *checks, *repositories;
	size_t at;
};

static void leftovers_free(void *p)
{
	struct leftovers *l = p;

	if (!l)
		return;
	json_decref(l->checks);
	json_decref(l->repositories);
	free(l);
}

struct gather {
	json_t *set;
	uid_t uid;
};

static int add_repository(const struct view_row *row, void *user)
{
	struct gather *g = user;

	if (*row->repository && (g->uid == 0 || g->uid == row->uid))
		(void)json_object_set_new(g->set, row->repository, json_true());
	return 0;
}

static bool is_open(struct daemon *d, const char *view_id)
{
	for (struct view *v = views_next(d->views, NULL); v; v = views_next(d->views, v))
		if (strcmp(v->row.id, view_id) == 0)
			return true;
	return false;
}

static void look_next(struct op *op);

static void on_looked(struct op *op, json_t *ok, struct fault *f)
{
	struct leftovers *l = op->data;
	json_t *o;
	size_t i;

	if (!ok)
		(void)json_array_append_new(
			l->checks, json_pack("{s:s,s:s,s:s}", "name", "repository", "state",
					     "warning", "text", f->message ? f->message : "?"));
	json_array_foreach (json_object_get(ok, "worktrees"), i, o) {
		const char *path = json_string_value(json_object_get(o, "path"));
		const char *agent = json_string_value(json_object_get(o, "agent"));
		const char *id = json_string_value(json_object_get(o, "view_id"));

		if (!path || !agent || !id || is_open(op->d, id))
			continue;
		(void)json_array_append_new(
			l->checks,
			json_pack("{s:s,s:s,s:o,s:o}", "name", "leftover", "state", "warning",
				  "text",
				  json_sprintf("'%s' is a worktree of agent '%s', whose view this "
					       "daemon does not have",
					       path, agent),
				  "remedy",
				  json_sprintf("if no other daemon has it: rm -r '%s'", path)));
	}
	l->at++;
	look_next(op);
}

static void look_next(struct op *op)
{
	struct leftovers *l = op->data;
	const char *repository = json_string_value(json_array_get(l->repositories, l->at));
	json_t *q;

	if (!repository) {
		op_end(op, json_pack("{s:O}", "checks", l->checks), NULL);
		return;
	}
	q = op_request(op, "leftovers");
	(void)json_object_set_new(q, "repo", json_string(repository));
	op_task(op, q, on_looked);
}

static void on_sandbox(struct op *op, json_t *ok, struct fault *f)
{
	struct leftovers *l = op->data;
	const char *state = "ok",
		   *text = "commands run in a sandbox (bubblewrap, refused system calls)";
	const char *remedy = NULL;
	json_t *o;

	if (!ok) {
		state = "warning";
		text = f->message ? f->message : "?";
		remedy =
			"apt-get install bubblewrap, and let users have namespaces; until then nothing is "
			"verified before it is merged";
	} else if (!json_is_true(json_object_get(ok, "seccomp"))) {
		state = "warning";
		text = "commands run in a sandbox, but it refuses no system calls";
		remedy = "build with libseccomp-dev";
	}
	o = json_pack("{s:s,s:s,s:s}", "name", "sandbox", "state", state, "text", text);
	if (remedy)
		(void)json_object_set_new(o, "remedy", json_string(remedy));
	(void)json_array_append_new(l->checks, o);
	look_next(op);
}

static void look_first(struct op *op)
{
	op_task(op, op_request(op, "sandbox"), on_sandbox);
}

void doctor_leftovers(struct daemon *d, struct call *c, json_t *checks)
{
	struct op *op = op_new(d, c, NULL, "doctor");
	struct leftovers *l = op ? sys_calloc(1, sizeof(*l)) : NULL;
	struct gather g = {json_object(), c->uid};
	const char *key;
	json_t *value;

	if (!op) {
		json_decref(checks);
		json_decref(g.set);
		return;
	}
	op->data = l;
	op->data_free = leftovers_free;
	if (!l) {
		json_decref(checks);
		json_decref(g.set);
		op_fail(op, "Internal", "the daemon has no memory for this");
		return;
	}
	*l = (struct leftovers){checks, json_array(), 0};
	(void)state_views(d->db, true, add_repository, &g, NULL);
	json_object_foreach (g.set, key, value)
		(void)json_array_append_new(l->repositories, json_string(key));
	json_decref(g.set);
	op_begin(op, look_first);
}
