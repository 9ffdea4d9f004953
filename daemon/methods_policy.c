/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an agent may write: PolicyCheck, Why, Brief. Decided here from the text that the view's server
 * was given, so that it also works while that is away; what exists is judged by the base image, and a
 * path that is not in it counts as the view's own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "image.h"
#include "methods.h"
#include "mountpoint.h"
#include "op.h"
#include "policy.h"
#include "viewconf.h"

enum { DENIALS = 10 };

struct judge {
	struct policy *policy;
	struct image *image; /* NULL: not known */
};

static void judge_close(struct judge *j)
{
	policy_free(j->policy);
	image_close(j->image);
}

static int judge_open(struct daemon *d, const struct view *v, struct judge *ret, struct fault *f)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	_cleanup_close_ int dir = -1, images = -1;
	struct viewconf conf = {0};
	char path[4096];
	int r = view_dir_path(v, path, sizeof(path));

	*ret = (struct judge){0};
	if (r == 0) {
		dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		r = dir < 0 ? -errno : viewconf_read(dir, &conf, &e);
	}
	if (r == 0)
		r = policy_parse(conf.policy, &ret->policy, &e);
	viewconf_release(&conf);
	if (r < 0) {
		if (!e.code)
			(void)err_set(&e, r, "cannot read the policy of agent '%s'", v->row.agent);
		return fault_from_err(f, &e, NULL);
	}
	images = openat(d->state_fd, "images", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (images < 0 || image_open(images, v->row.image, &ret->image, NULL) < 0)
		ret->image = NULL;
	return 0;
}

/* Is the path in the base, and is it a folder there? */
static bool in_base(const struct judge *j, const char *path, bool *ret_dir)
{
	const struct image_node *n;
	int64_t at = 0;

	*ret_dir = false;
	while (j->image && *path && at >= 0) {
		size_t len = strcspn(path, "/");

		if (len > 0)
			at = image_lookup(j->image, (uint32_t)at, path, len);
		path += len + (path[len] == '/');
	}
	if (!j->image || at < 0)
		return false;
	n = image_node(j->image, (uint32_t)at);
	*ret_dir = n && (n->mode & 0170000) == 0040000;
	return true;
}

/* "/agents/a/src/x", "src/x", "./src/" → "src/x". NULL: outside the view. */
static char *path_in_view(const struct view *v, const char *path)
{
	_cleanup_free_ char *full = NULL, *clean = NULL;
	size_t n = strlen(v->row.mount);

	if (*path != '/' && asprintf(&full, "%s/%s", v->row.mount, path) < 0)
		full = NULL;
	clean = mountpoint_clean(*path == '/' ? path : full ? full : "");
	if (!clean || !path_is_below(clean, v->row.mount))
		return NULL;
	return strdup(clean[n] ? clean + n + 1 : "");
}

/* What the agent, or whoever started it, does about a refusal: the rule's text begins with its kind. */
static const char *remedy(enum policy_result result, const char *rule)
{
	if (result == POLICY_DENY_RO)
		return "report what should change there; a view with a role that writes is made by: "
		       "agentfsctl create NAME --role builder";
	if (strncmp(rule, "iron ", 5) == 0)
		return "no agent may: a person changes it in the repository itself";
	if (strstr(rule, "outside the scope"))
		return "leave it, or ask for a task whose scope has it: agentfsctl create NAME --scope PATTERN";
	if (strncmp(rule, "built in: ", 10) == 0)
		return "nothing: this holds for every agent";
	return "leave it to a role that may, or change the rule in agentfs.yaml, then: "
	       "agentfsctl policy reload";
}

static json_t *decide(const struct judge *j, const struct view *v, int op, const char *path)
{
	struct policy_query q = {.op = (enum policy_op)op, .path = path};
	struct policy_verdict verdict;
	bool allowed;
	const char *rule;

	q.in_base = in_base(j, path, &q.dir);
	q.dir = q.dir || op == POLICY_MKDIR || op == POLICY_RMDIR;
	q.ours = !q.in_base && op != POLICY_CREATE && op != POLICY_MKDIR;
	verdict = policy_decide(j->policy, &q);
	rule = policy_rule_text(j->policy, verdict.rule);
	allowed = verdict.result == POLICY_ALLOW || verdict.result == POLICY_SCRATCH;
	return json_pack("{s:s,s:b,s:s,s:s,s:s,s:o,s:s*}", "op", policy_op_name(q.op), "allowed",
			 allowed, "result", policy_result_name(verdict.result), "rule", rule,
			 "role", policy_role(j->policy), "text",
			 json_sprintf("%s %s %s '%s'%s: %s", v->row.agent,
				      allowed ? "may" : "may not", policy_op_name(q.op), path,
				      verdict.result == POLICY_SCRATCH
					      ? " as scratch, which is not merged"
					      : "",
				      rule),
			 "remedy", allowed ? NULL : remedy(verdict.result, rule));
}

/* View, judge and path of a call; else the call has been answered. */
static int prepare(struct daemon *d, struct call *c, struct view **ret_v, struct judge *ret_j,
		   char **ret_path)
{
	const char *path = arg_str(c, "path");
	struct fault f = FAULT_INIT;
	int r = find_view(d, c, arg_str(c, "agent"), ret_v, &f);

	*ret_path = NULL;
	if (r == 0 && path) {
		*ret_path = path_in_view(*ret_v, path);
		if (!*ret_path)
			r = fault_set(&f, "Invalid", "'%s' is not in the view of agent '%s' ('%s')",
				      path, (*ret_v)->row.agent, (*ret_v)->row.mount);
	}
	if (r == 0)
		r = judge_open(d, *ret_v, ret_j, &f);
	if (r < 0)
		call_fault(c, &f);
	return r;
}

void method_policy_check(struct daemon *d, struct call *c)
{
	int op = policy_op_parse(arg_str(c, "op"));
	_cleanup_free_ char *path = NULL;
	struct fault f = FAULT_INIT;
	struct judge j;
	struct view *v;

	if (op < 0) {
		(void)fault_set(&f, "Invalid",
				"'%s' is no operation: create, mkdir, write, chmod, unlink, "
				"rmdir, rename-from, rename-to or link",
				arg_str(c, "op"));
		call_fault(c, &f);
		return;
	}
	if (prepare(d, c, &v, &j, &path) < 0)
		return;
	call_reply(c, json_pack("{s:o}", "decision", decide(&j, v, op, path)));
	judge_close(&j);
}

void method_policy_reload(struct daemon *d, struct call *c)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct fault f = FAULT_INIT;

	if (d->system && c->uid != 0)
		(void)fault_set(&f, "Denied",
				"only root may have the system daemon read its configuration");
	else if (daemon_reload(d, &e) < 0)
		(void)fault_from_err(&f, &e, NULL);
	if (f.id)
		call_fault(c, &f);
	else
		call_reply(c, json_pack("{s:I}", "views", (json_int_t)views_count(d->views)));
}

/* ---- Why ---- */

struct why {
	struct call *call;
	json_t *reply, *denials;
};

static void why_records(json_t *records, void *user)
{
	struct why *w = user;

	(void)json_array_extend(w->denials, records);
}

static void why_done(json_t *ok, struct fault *f, void *user)
{
	struct why *w = user;

	(void)json_object_set_new(w->reply, "denials", w->denials);
	call_reply(w->call, w->reply);
	free(w);
}

static json_t *scope_of(const struct view *v)
{
	json_t *view = view_json(v), *scope = json_incref(json_object_get(view, "scope"));

	json_decref(view);
	return scope;
}

static json_t *why_decisions(const struct judge *j, const struct view *v, const char *path)
{
	static const int on_file[] = {POLICY_WRITE, POLICY_CREATE, POLICY_UNLINK};
	json_t *a = json_array();

	for (size_t i = 0; path && i < ARRAY_SIZE(on_file); i++)
		(void)json_array_append_new(a, decide(j, v, on_file[i], path));
	return a;
}

static json_t *why_text(const struct judge *j, const struct view *v)
{
	bool scoped = *v->row.scope != '\0';

	if (policy_read_only(j->policy))
		return json_sprintf("%s is a %s, a role that writes nothing (EROFS)", v->row.agent,
				    v->row.role);
	return json_sprintf(
		"%s is a %s%s%.*s; what its role, its scope or an iron rule refuses is EACCES, "
		"whatever program tries it",
		v->row.agent, v->row.role, scoped ? " whose task is limited to " : "",
		(int)strcspn(v->row.scope, "\n"), v->row.scope);
}

static json_t *why_request(struct daemon *d, struct call *c, const struct view *v, const char *path)
{
	const struct op who = {.d = d, .uid = c->uid, .gid = c->gid};
	json_t *q = op_request(&who, "audit");
	char dir[4096];

	(void)view_dir_path(v, dir, sizeof(dir)); /* judge_open() has used it */
	(void)json_object_update_new(q, json_pack("{s:[{s:s,s:s,s:s}],s:n,s:s,s:i,s:b}", "views",
						  "agent", v->row.agent, "view_id", v->row.id,
						  "dir", dir, "control_dir", "result", "denied",
						  "last", DENIALS, "git", 1));
	if (path && *path)
		(void)json_object_set_new(q, "path", json_string(path));
	return q;
}

void method_why(struct daemon *d, struct call *c)
{
	static const struct task_callbacks cb = {.records = why_records, .done = why_done};
	struct why *w = calloc(1, sizeof(*w));
	_cleanup_free_ char *path = NULL;
	struct fault f = FAULT_INIT;
	struct judge j;
	struct view *v;

	if (!w) {
		call_fault(c, &f);
		return;
	}
	if (prepare(d, c, &v, &j, &path) < 0) {
		free(w);
		return;
	}
	w->call = c;
	w->denials = json_array();
	w->reply = json_pack("{s:s,s:o,s:o,s:o}", "role", v->row.role, "scope", scope_of(v),
			     "decisions", why_decisions(&j, v, path), "text", why_text(&j, v));
	judge_close(&j);
	if (task_start(d->tasks, why_request(d, c, v, path), &cb, w, 0, NULL) < 0)
		why_done(NULL, NULL, w);
}

/* ---- Brief ---- */

/* The patterns of one kind, as "A, B, C"; false: there are none. */
static bool brief_rules(struct buf *b, const struct judge *j, const char *kind, const char *before)
{
	const char *p = policy_text(j->policy);
	size_t n = strlen(kind);
	bool any = false;

	for (; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		if (strncmp(p, kind, n) != 0)
			continue;
		(void)buf_addf(b, "%s%.*s", any ? ", " : before, (int)strcspn(p + n, "\t\n"),
			       p + n);
		any = true;
	}
	if (any)
		(void)buf_adds(b, ". ");
	return any;
}

static void brief_scope(struct buf *b, const struct judge *j, const struct view *v)
{
	const char *p = v->row.scope;

	if (policy_read_only(j->policy)) {
		(void)buf_adds(
			b, "You may read everything and write nothing (writes fail with EROFS). ");
		return;
	}
	if (!brief_rules(b, j, "write ",
			 "Your role's rules for what you may write (gitignore patterns, the last "
			 "that matches decides): "))
		(void)buf_adds(b, "Your role may change no file of the repository. ");
	(void)brief_rules(b, j, "iron ", "No agent may change: ");
	if (!*p)
		return;
	(void)buf_adds(b, "Within that your task may write only ");
	for (bool first = true; *p; first = false) {
		size_t n = strcspn(p, "\n");

		(void)buf_addf(b, "%s%.*s", first ? "" : ", ", (int)n, p);
		p += n + (p[n] == '\n');
	}
	(void)buf_adds(b, ". ");
}

void method_brief(struct daemon *d, struct call *c)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_free_ char *path = NULL;
	const struct view_row *r;
	struct judge j;
	struct view *v;

	if (prepare(d, c, &v, &j, &path) < 0)
		return;
	r = &v->row;
	(void)buf_addf(
		&b,
		"You are agent %s, a %s, working on task %s. Work in %s: it is your own "
		"copy-on-write view of the repository %s; nobody else sees your changes until they "
		"are merged, and you see nobody's. ",
		r->agent, r->role, r->task, r->mount, *r->worktree ? r->worktree : r->repository);
	brief_scope(&b, &j, v);
	(void)buf_addf(
		&b,
		"Writes that are refused fail with EACCES, whatever program makes them: do not "
		"work around them, read .agentfs/control/denied or ask with `agentfsctl why %s PATH`. "
		"Your branch is %s%s%s; plain git works here, and you need not commit: your changes "
		"are collected from the files. .agentfs/control/README says what else there is.",
		r->agent, r->branch, *r->target ? ", to be merged into " : "", r->target);
	call_reply(c, json_pack("{s:s}", "text", b.data ? b.data : ""));
	judge_close(&j);
}
