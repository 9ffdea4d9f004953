/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a view. The steps, and what a crash after each leaves:
 *
 *   1. the row says creating                              → undone at the next start
 *   2. worker "create": image, refs, branch               → undone
 *   3. mount point; STATE/views/<agent>/{view.conf,view.json}  → undone
 *   4. the server runs and answers                        → undone
 *   5. the row says live                                  → it is made
 *
 * A failure on the way is undone the same way before the caller hears of it. To undo: stop the
 * server, remove files and mount point, worker "uncreate", forget the row.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "cleanup.h"
#include "image.h"
#include "io.h"
#include "log.h"
#include "methods.h"
#include "mountpoint.h"
#include "op.h"
#include "sys.h"

struct creation {
	struct view_row row;
	struct view *v;
	json_t *made;     /* the worker's answer */
	struct fault why; /* while it is undone */
};

static void creation_free(void *p)
{
	struct creation *c = p;

	if (!c)
		return;
	view_row_release(&c->row);
	json_decref(c->made);
	fault_release(&c->why);
	free(c);
}

/* ---- undoing ---- */

static void on_uncreated(struct op *op, json_t *ok, struct fault *f)
{
	struct creation *c = op->data;
	_cleanup_(err_release) struct err e = ERR_INIT;

	if (!ok && c->made)
		log_warning(0, "what was made for view '%s' in its repository stays: %s", op->key,
			    f->message ? f->message : "?");
	if (state_view_delete(op->d->db, c->v->row.id, &e) < 0)
		log_warning(0, "%s, ignoring", err_text(&e));
	view_drop(c->v);
	if (!c->why.id)
		op_end(op, json_object(), NULL);
	else
		op_end(op, NULL, &c->why);
}

static void remove_files(struct op *op, const struct view *v)
{
	char name[512];
	int r;

	(void)snprintf(name, sizeof(name), "views/%s", v->row.agent);
	r = io_rm_rf(op->d->state_fd, name);
	if (r < 0)
		log_warning(r, "the files of '%s' stay, ignoring", v->row.agent);
	if (v->row.mount_made && rmdir(v->row.mount) < 0 && errno != ENOENT)
		log_warning(-errno, "the mount point '%s' stays, ignoring", v->row.mount);
}

static void on_undo_stopped(struct view *v, int r, const char *why, void *user)
{
	struct op *op = user;
	struct creation *c = op->data;
	json_t *q = op_request(op, "uncreate");
	const char *was = json_string_value(json_object_get(c->made, "branch_was"));

	remove_files(op, v);
	(void)json_object_set_new(q, "repo", json_string(*v->row.repository ? v->row.repository
							: v->row.asked_repository));
	(void)json_object_set_new(q, "view_id", json_string(v->row.id));
	(void)json_object_set_new(q, "branch", json_string(v->row.branch));
	(void)json_object_set_new(q, "branch_made", json_boolean(v->row.branch_made));
	(void)json_object_set_new(q, "base_commit", json_string(*v->row.base ? v->row.base
				: "0000000000000000000000000000000000000000"));
	if (was)
		(void)json_object_set_new(q, "branch_was", json_string(was));
	op_task(op, q, on_uncreated);
}

static void undo(struct op *op, struct fault *f)
{
	struct creation *c = op->data;

	fault_move(&c->why, f);
	view_stop(c->v, true, on_undo_stopped, op);
}

void uncreate_start(struct op *op)
{
	struct creation *c = sys_calloc(1, sizeof(*c));
	struct view *v = op->data;

	if (!c) {
		op_fail(op, "Internal", "the daemon has no memory for this");
		return;
	}
	c->v = v;
	op->data = c;
	op->data_free = creation_free;
	view_stop(v, true, on_undo_stopped, op);
}

/* ---- making ---- */

static void on_started(struct view *v, int r, const char *why, void *user)
{
	struct op *op = user;
	struct creation *c = op->data;
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct fault f = FAULT_INIT;
	json_t *notes;

	if (r == 0) {
		v->row.state = VIEW_LIVE;
		r = view_save(v, &e);
		if (r < 0)
			(void)fault_from_err(&f, &e, NULL);
	} else {
		(void)fault_set(&f, "Internal", "%s", why);
	}
	if (r < 0) {
		v->row.state = VIEW_CREATING;
		undo(op, &f);
		return;
	}
	events_emit(op->d->events, "created", v->row.agent, v->row.id, v->row.uid,
		    "agent %s works in %s", v->row.agent, v->row.mount);
	notes = json_object_get(c->made, "notes");
	if (strcmp(arg_str(op->call, "repository"), v->row.asked_repository) != 0)
		(void)json_array_append_new(notes, json_sprintf("'%s' is in a view: this one is of its "
			"repository '%s'", arg_str(op->call, "repository"), v->row.asked_repository));
	op_end(op, json_pack("{s:o,s:b,s:O}", "view", view_json(v), "created", 1, "notes", notes),
	       NULL);
}

static void start_it(struct op *op)
{
	struct creation *c = op->data;
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct fault f = FAULT_INIT;
	_cleanup_free_ char *mount = NULL;
	int r = mountpoint_prepare(c->v->row.mount, c->v->row.uid, c->v->row.gid, &mount,
				   &c->v->row.mount_made, &f);

	if (r == 0)
		r = view_row_set(&c->v->row.mount, mount);
	if (r == 0 && view_save(c->v, &e) < 0)
		r = fault_from_err(&f, &e, NULL);
	if (r == 0)
		r = view_files_write(op->d, c->v, c->made, &f);
	if (r < 0) {
		undo(op, &f);
		return;
	}
	view_start(c->v, on_started, op);
}

static void on_ignored(struct op *op, json_t *ok, struct fault *f)
{
	struct creation *c = op->data;
	struct fault g = FAULT_INIT;

	if (ok && json_is_true(json_object_get(ok, "ignored"))) {
		start_it(op);
		return;
	}
	if (ok) {
		(void)fault_set(&g, "Invalid", "the mount point '%s' lies inside the repository, where "
				"git does not ignore it", c->v->row.mount);
		(void)fault_remedy(&g, "add it to .gitignore, or choose another with --mount");
	}
	undo(op, ok ? &g : f);
}

/* Does the base have the path (relative to its root), or a file on the way to it? */
static bool base_has(struct daemon *d, const char *image, const char *path)
{
	_cleanup_close_ int dir = openat(d->state_fd, "images", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct image *img = NULL;
	int64_t at = 0;

	if (dir < 0 || image_open(dir, image, &img, NULL) < 0)
		return true; /* not known: the careful answer */
	while (*path && at >= 0) {
		size_t n = strcspn(path, "/");

		if (n > 0)
			at = image_lookup(img, (uint32_t)at, path, n);
		path += n + (path[n] == '/');
	}
	image_close(img);
	return at >= 0 || at == -ENOTDIR;
}

static void check_mount(struct op *op)
{
	struct creation *c = op->data;
	const struct view_row *row = &c->v->row;
	struct fault f = FAULT_INIT;
	json_t *q;

	if (path_is_below(row->mount, row->repository)) {
		(void)fault_set(&f, "Invalid", "the mount point '%s' lies in the git folder of the "
				"repository: choose another with --mount", row->mount);
		undo(op, &f);
		return;
	}
	if (!*row->worktree || !path_is_below(row->mount, row->worktree)) {
		start_it(op);
		return;
	}
	if (base_has(op->d, row->image, row->mount + strlen(row->worktree))) {
		(void)fault_set(&f, "Invalid", "the mount point '%s' is a path of the base commit: choose "
				"another with --mount", row->mount);
		undo(op, &f);
		return;
	}
	q = op_request(op, "ignored");
	(void)json_object_set_new(q, "repo", json_string(row->worktree));
	(void)json_object_set_new(q, "path", json_string(row->mount));
	op_task(op, q, on_ignored);
}

static int take_text(json_t *o, const char *key, char **field)
{
	const char *s = json_string_value(json_object_get(o, key));

	return view_row_set(field, s ? s : "");
}

static int take_facts(json_t *ok, struct view_row *row)
{
	int r = take_text(ok, "repository", &row->repository);

	r = r ? r : take_text(ok, "worktree", &row->worktree);
	r = r ? r : take_text(ok, "base_commit", &row->base);
	r = r ? r : take_text(ok, "tree", &row->tree);
	r = r ? r : take_text(ok, "branch", &row->branch);
	r = r ? r : take_text(ok, "target", &row->target);
	r = r ? r : take_text(ok, "image", &row->image);
	r = r ? r : take_text(ok, "index", &row->index);
	row->owner_uid = (uint32_t)json_integer_value(json_object_get(ok, "owner_uid"));
	row->branch_made = json_is_true(json_object_get(ok, "branch_made"));
	return r;
}

static void on_created(struct op *op, json_t *ok, struct fault *f)
{
	struct creation *c = op->data;
	struct fault g = FAULT_INIT;

	if (!ok) {
		undo(op, f);
		return;
	}
	c->made = json_incref(ok);
	if (!json_is_array(json_object_get(ok, "notes")))
		(void)json_object_set_new(ok, "notes", json_array());
	if (take_facts(ok, &c->v->row) < 0) {
		(void)fault_set(&g, "Internal", "the daemon has no memory for this");
		undo(op, &g);
		return;
	}
	check_mount(op);
}

/* ---- checking what was asked ---- */

static int check_user(const struct call *call, struct view_row *row, struct fault *f)
{
	const char *name = arg_str(call, "user");
	const struct passwd *pw = name ? getpwnam(name) : getpwuid(call->uid);
	char number[32];

	if (name && call->uid != 0 && (!pw || pw->pw_uid != call->uid))
		return fault_set(f, "Denied", "only root may make a view for another user ('%s')", name);
	if (name && !pw)
		return fault_set(f, "NotFound", "there is no user '%s'", name);
	row->uid = pw ? pw->pw_uid : call->uid;
	row->gid = name && pw ? pw->pw_gid : call->gid;
	(void)snprintf(number, sizeof(number), "%u", (unsigned)row->uid);
	return view_row_set(&row->user, pw ? pw->pw_name : number);
}

static int check_mount_arg(struct daemon *d, const struct call *call, struct view_row *row,
			   struct fault *f)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	const char *asked = arg_str(call, "mount");
	_cleanup_free_ char *path = NULL, *clean = NULL;
	struct view *v;
	int r = 0;

	if (!asked)
		r = config_mount_path(config_mount(&d->config, row->asked_repository), d->paths.mounts,
				      row->agent, &path, &e);
	if (r < 0)
		return fault_from_err(f, &e, NULL);
	clean = mountpoint_clean(asked ? asked : path);
	if (!clean)
		return fault_set(f, "Invalid", "the mount point '%s' is no absolute path",
				 asked ? asked : path);
	/* Root would mount for him wherever he can swap a folder for a symlink. */
	if (d->system && call->uid != 0 && !path_is_below(clean, d->paths.mounts)) {
		(void)fault_set(f, "Denied", "the system daemon mounts views of users only below '%s'",
				d->paths.mounts);
		return fault_remedy(f, "leave --mount out, or use a daemon of your own");
	}
	for (v = views_next(d->views, NULL); v; v = views_next(d->views, v))
		if (path_is_below(clean, v->row.mount) || path_is_below(v->row.mount, clean))
			return fault_set(f, "Invalid", "the mount point '%s' overlaps the view of agent "
					 "'%s': choose another with --mount", clean, v->row.agent);
	return view_row_set(&row->mount, clean);
}

static int take_scope(const struct call *call, struct view_row *row, struct fault *f)
{
	json_t *a = json_object_get(call->in.parameters, "scope"), *s;
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t i;

	json_array_foreach(a, i, s) {
		if (strchr(json_string_value(s), '\n') || !*json_string_value(s))
			return fault_set(f, "Invalid", "a scope pattern is empty or has a line's end");
		if (buf_addf(&b, "%s%s", i ? "\n" : "", json_string_value(s)) < 0)
			return -ENOMEM;
	}
	return view_row_set(&row->scope, b.data ? b.data : "");
}

static int new_id(struct view_row *row)
{
	unsigned char id[16];
	char hex[33];

	if (getrandom(id, sizeof(id), 0) != sizeof(id))
		return -EIO;
	for (size_t i = 0; i < sizeof(id); i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", id[i]);
	return view_row_set(&row->id, hex);
}

/* In a view one stands in its repository, not in its private .git. */
static const char *asked_repository(struct daemon *d, const struct call *call)
{
	const char *asked = arg_str(call, "repository");
	_cleanup_free_ char *clean = mountpoint_clean(asked);
	struct view *v;

	for (v = clean ? views_next(d->views, NULL) : NULL; v; v = views_next(d->views, v))
		if (may_use(v, call->uid) && *v->row.repository && path_is_below(clean, v->row.mount))
			return *v->row.worktree ? v->row.worktree : v->row.repository;
	return asked;
}

/* What needs no view and no repository, from the arguments to a row. */
static int check_names(struct daemon *d, const struct call *call, struct view_row *row,
		       struct fault *f)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	const char *task = arg_str(call, "task"), *role = arg_str(call, "role");
	const char *repo = asked_repository(d, call), *git = arg_str(call, "git");
	const char *base = arg_str(call, "base");
	_cleanup_free_ char *branch = NULL;

	if (config_check_name("agent", arg_str(call, "agent"), &e) < 0 ||
	    config_check_name("task", task ? task : "work", &e) < 0)
		return fault_from_err(f, &e, NULL);
	if (*repo != '/')
		return fault_set(f, "Invalid", "the repository '%s' is no absolute path", repo);
	if (git && strcmp(git, "private") != 0)
		return fault_set(f, strcmp(git, "worktree") == 0 ? "Unsupported" : "Invalid",
				 "a view's git is 'private', not '%s'", git);
	if (config_branch_name(config_branch(&d->config, repo), arg_str(call, "agent"),
			       task ? task : "work", &branch, &e) < 0)
		return fault_from_err(f, &e, NULL);
	if (view_row_set(&row->agent, arg_str(call, "agent")) ||
	    view_row_set(&row->task, task ? task : "work") ||
	    view_row_set(&row->role, role ? role : "builder") ||
	    view_row_set(&row->asked_repository, repo) ||
	    view_row_set(&row->asked_base, base ? base : "") || view_row_set(&row->branch, branch) ||
	    view_row_set(&row->git, "private") || new_id(row) < 0)
		return fault_set(f, "Internal", "the daemon has no memory for this");
	return 0;
}

static void begin_making(struct op *op)
{
	struct creation *c = op->data;
	_cleanup_(err_release) struct err e = ERR_INIT;
	_cleanup_free_ char *policy = NULL;
	struct fault f = FAULT_INIT;
	const char *name = config_user_name(&op->d->config, c->row.asked_repository);
	const char *email = config_user_email(&op->d->config, c->row.asked_repository);
	json_t *q;
	int r = check_mount_arg(op->d, op->call, &c->row, &f);

	if (r == 0)
		r = make_policy(op->d, &c->row, &policy, &f);
	c->row.created = sys_now_ns();
	c->row.state = VIEW_CREATING;
	if (r == 0 && views_add(op->d->views, &c->row, false, &c->v, &e) < 0)
		r = fault_from_err(&f, &e, NULL);
	if (r < 0) {
		op_end(op, NULL, &f);
		return;
	}
	q = op_request(op, "create");
	(void)json_object_update_new(q, json_pack(
		"{s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:s*,s:s*,s:s*}", "repo", c->row.asked_repository,
		"agent", c->row.agent, "task", c->row.task, "view_id", c->row.id, "branch",
		c->row.branch, "uid", (json_int_t)c->row.uid, "gid", (json_int_t)c->row.gid, "base",
		*c->row.asked_base ? c->row.asked_base : NULL, "user_name", name, "user_email", email));
	op_task(op, q, on_created);
}

static void taken(struct op *op, const struct view *v, bool other_repository)
{
	struct fault f = FAULT_INIT;

	if (!may_use(v, op->uid))
		(void)fault_set(&f, "NameTaken", "another user has an agent '%s'", op->key);
	else
		(void)fault_set(&f, "NameTaken", "the agent '%s' has a view already: task '%s'%s%s%s",
				op->key, v->row.task, *v->row.asked_base ? " from " : "",
				v->row.asked_base, other_repository ? " in another repository" : "");
	(void)fault_remedy(&f, "choose another name, or see: agentfsctl next %s --task TASK, "
			   "agentfsctl destroy %s", op->key, op->key);
	op_end(op, NULL, &f);
}

static int differs(struct fault *f, const struct view *v, const char *what, const char *has,
		   const char *asked)
{
	(void)fault_set(f, "NameTaken", "the agent '%s' has a view already, with %s '%s' and not '%s'",
			v->row.agent, what, *has ? has : "none", asked);
	return fault_remedy(f, "a view keeps its %s: leave the option out, choose another name, or first: "
			    "agentfsctl destroy %s", what, v->row.agent);
}

/* Patterns are kept one a line, and a message is one line. */
static int differs_in_scope(struct fault *f, const struct view *v, const char *asked)
{
	_cleanup_free_ char *a = sys_strdup(v->row.scope), *b = sys_strdup(asked);

	if (!a || !b)
		return fault_set(f, "Internal", "the daemon has no memory for this");
	for (char *p = a; *p; p++)
		*p = *p == '\n' ? ' ' : *p;
	for (char *p = b; *p; p++)
		*p = *p == '\n' ? ' ' : *p;
	return differs(f, v, "scope", a, b);
}

/* What is asked for in words must be what the view has; what was left out is not compared. */
static int same_options(const struct op *op, const struct creation *c, const struct view *v,
			struct fault *f)
{
	const struct view_row *has = &v->row, *asked = &c->row;
	_cleanup_free_ char *mount = NULL;
	const char *words = arg_str(op->call, "mount");

	if (arg_str(op->call, "role") && strcmp(has->role, asked->role) != 0)
		return differs(f, v, "role", has->role, asked->role);
	if (*asked->scope && strcmp(has->scope, asked->scope) != 0)
		return differs_in_scope(f, v, asked->scope);
	if (arg_str(op->call, "user") && has->uid != asked->uid)
		return differs(f, v, "user", has->user, asked->user);
	mount = words ? mountpoint_clean(words) : NULL;
	if (words && (!mount || strcmp(mount, has->mount) != 0))
		return differs(f, v, "mount", has->mount, words);
	return 0;
}

static void again(struct op *op, struct view *v)
{
	struct fault f = FAULT_INIT;

	if (same_options(op, op->data, v, &f) < 0) {
		op_end(op, NULL, &f);
		return;
	}
	op_end(op, json_pack("{s:o,s:b,s:[s]}", "view", view_json(v), "created", 0, "notes",
			     "it was there already"), NULL);
}

static void on_repository(struct op *op, json_t *ok, struct fault *f)
{
	struct view *v = views_get(op->d->views, op->key);
	const char *common = json_string_value(json_object_get(ok, "repository"));

	if (!ok)
		op_end(op, NULL, f);
	else if (v && common && strcmp(common, v->row.repository) == 0)
		again(op, v);
	else
		taken(op, v, true);
}

/* The agent has a view: is it the one that is asked for? */
static void existing(struct op *op, struct view *v)
{
	const struct creation *c = op->data;
	json_t *q;

	if (!may_use(v, op->uid) || strcmp(v->row.task, c->row.task) != 0 ||
	    strcmp(v->row.asked_base, c->row.asked_base) != 0 || v->row.state != VIEW_LIVE) {
		taken(op, v, false);
		return;
	}
	if (strcmp(v->row.worktree, c->row.asked_repository) == 0 ||
	    strcmp(v->row.repository, c->row.asked_repository) == 0) {
		again(op, v);
		return;
	}
	q = op_request(op, "repository");
	(void)json_object_set_new(q, "repo", json_string(c->row.asked_repository));
	op_task(op, q, on_repository);
}

static void create_begin(struct op *op)
{
	struct view *v = views_get(op->d->views, op->key);

	if (v)
		existing(op, v);
	else
		begin_making(op);
}

void method_create(struct daemon *d, struct call *call)
{
	struct creation *c = sys_calloc(1, sizeof(*c));
	struct fault f = FAULT_INIT;
	struct op *op;
	int r = c ? view_row_init(&c->row) : -ENOMEM;

	if (r == 0)
		r = check_names(d, call, &c->row, &f);
	if (r == 0)
		r = take_scope(call, &c->row, &f);
	if (r == 0)
		r = check_user(call, &c->row, &f);
	if (r < 0) {
		call_fault(call, &f);
		creation_free(c);
		return;
	}
	op = op_new(d, call, c->row.agent, "create");
	if (!op) {
		creation_free(c);
		return;
	}
	op->data = c;
	op->data_free = creation_free;
	op_begin(op, create_begin);
}
