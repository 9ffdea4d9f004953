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
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "image.h"
#include "io.h"
#include "log.h"
#include "methods.h"
#include "mountpoint.h"
#include "op.h"
#include "queue_run.h"
#include "sys.h"
#include "view_ask.h"
#include "view_make.h"

struct creation {
	struct view_row row;
	struct view *v;
	json_t *made;	  /* the worker's answer */
	bool scratch;	  /* nobody asked for it: view_make() */
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
	char name[512], gone[512];
	int r;

	(void)snprintf(name, sizeof(name), "views/%s/redirect", v->row.agent);
	(void)snprintf(gone, sizeof(gone), "closed/%s", v->row.id);
	if (faccessat(op->d->state_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 &&
	    io_mkdir(op->d->state_fd, gone, 0700) == 0) {
		/* They may be large: a process of its own removes them. */
		(void)strcat(gone, "/redirect");
		if (renameat(op->d->state_fd, name, op->d->state_fd, gone) == 0)
			discard_redirects(op->d, v->row.id);
	}
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
	(void)json_object_set_new(
		q, "repo",
		json_string(*v->row.repository ? v->row.repository : v->row.asked_repository));
	(void)json_object_set_new(q, "view_id", json_string(v->row.id));
	(void)json_object_set_new(q, "agent", json_string(v->row.agent));
	(void)json_object_set_new(q, "git", json_string(v->row.git));
	(void)json_object_set_new(q, "branch", json_string(v->row.branch));
	(void)json_object_set_new(q, "branch_made", json_boolean(v->row.branch_made));
	(void)json_object_set_new(
		q, "base_commit",
		json_string(*v->row.base ? v->row.base
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

	if (r == 0 && c->scratch) {
		op_end(op, json_object(), NULL);
		return;
	}
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
		(void)json_array_append_new(notes,
					    json_sprintf("'%s' is in a view: this one is of its "
							 "repository '%s'",
							 arg_str(op->call, "repository"),
							 v->row.asked_repository));
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
		(void)fault_set(&g, "Invalid",
				"the mount point '%s' lies inside the repository, where "
				"git does not ignore it",
				c->v->row.mount);
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

	if (c->scratch) {
		start_it(op);
		return;
	}
	if (path_is_below(row->mount, row->repository)) {
		(void)fault_set(&f, "Invalid",
				"the mount point '%s' lies in the git folder of the "
				"repository: choose another with --mount",
				row->mount);
		undo(op, &f);
		return;
	}
	if (!*row->worktree || !path_is_below(row->mount, row->worktree)) {
		start_it(op);
		return;
	}
	if (base_has(op->d, row->image, row->mount + strlen(row->worktree))) {
		(void)fault_set(&f, "Invalid",
				"the mount point '%s' is a path of the base commit: choose "
				"another with --mount",
				row->mount);
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

/* `seed:` of the configuration, as it holds in the repository. */
static json_t *seed_patterns(struct daemon *d, const char *repository)
{
	const struct config_list *l = config_seed(&d->config, repository);
	json_t *a = json_array();

	for (size_t i = 0; i < l->n; i++)
		(void)json_array_append_new(a, json_string(l->v[i].text));
	return a;
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
	int r = c->scratch ? 0 : view_ask_mount(op->d, op->call, &c->row, &f);

	if (r == 0)
		r = make_policy(op->d, &c->row, &policy, &f);
	if (r == 0)
		r = queue_order_ask(op->d, op->call, &c->row, &f);
	c->row.created = sys_now_ns();
	c->row.state = VIEW_CREATING;
	if (r == 0 && views_add(op->d->views, &c->row, false, &c->v, &e) < 0)
		r = fault_from_err(&f, &e, NULL);
	if (r < 0) {
		op_end(op, NULL, &f);
		return;
	}
	q = op_request(op, "create");
	(void)json_object_update_new(
		q, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:s*,s:s*,s:s*}", "repo",
			     c->row.asked_repository, "agent", c->row.agent, "task", c->row.task,
			     "view_id", c->row.id, "branch", c->row.branch, "mount", c->row.mount,
			     "git", c->row.git, "uid", (json_int_t)c->row.uid, "gid",
			     (json_int_t)c->row.gid, "base",
			     *c->row.asked_base ? c->row.asked_base : NULL, "user_name", name,
			     "user_email", email));
	(void)json_object_set_new(q, "scratch", json_boolean(c->scratch));
	(void)json_object_set_new(q, "seed", seed_patterns(op->d, c->row.asked_repository));
	op_task(op, q, on_created);
}

static struct op *part_of(struct op *parent, const char *key, const char *what, op_done done)
{
	struct op *op = op_new(parent->d, NULL, key, what);

	if (!op)
		return NULL;
	op->parent = parent;
	op->uid = parent->uid;
	op->gid = parent->gid;
	op->done = done;
	return op;
}

int view_make(struct op *parent, struct view_row *row, op_done done)
{
	struct creation *c = sys_calloc(1, sizeof(*c));
	struct op *op = c ? part_of(parent, row->agent, "make a scratch view", done) : NULL;

	if (!op) {
		free(c);
		return -ENOMEM;
	}
	c->row = *row;
	c->scratch = true;
	op->data = c;
	op->data_free = creation_free;
	op_begin(op, begin_making);
	return 0;
}

int view_unmake(struct op *parent, struct view *v, op_done done)
{
	struct op *op = part_of(parent, v->row.agent, "remove a scratch view", done);

	if (!op)
		return -ENOMEM;
	op->data = v;
	op_begin(op, uncreate_start);
	return 0;
}

static void taken(struct op *op, const struct view *v, bool other_repository)
{
	struct fault f = FAULT_INIT;

	if (!may_use(v, op->uid))
		(void)fault_set(&f, "NameTaken", "another user has an agent '%s'", op->key);
	else
		(void)fault_set(&f, "NameTaken",
				"the agent '%s' has a view already: task '%s'%s%s%s", op->key,
				v->row.task, *v->row.asked_base ? " from " : "", v->row.asked_base,
				other_repository ? " in another repository" : "");
	(void)fault_remedy(&f,
			   "choose another name, or see: agentfsctl next %s --task TASK, "
			   "agentfsctl destroy %s",
			   op->key, op->key);
	op_end(op, NULL, &f);
}

static void again(struct op *op, struct view *v)
{
	const struct creation *c = op->data;
	struct fault f = FAULT_INIT;

	if (view_ask_same(op->call, &c->row, v, &f) < 0) {
		op_end(op, NULL, &f);
		return;
	}
	op_end(op,
	       json_pack("{s:o,s:b,s:[s]}", "view", view_json(v), "created", 0, "notes",
			 "it was there already"),
	       NULL);
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
	    strcmp(v->row.asked_base, c->row.asked_base) != 0 || !view_is_open(v)) {
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
		r = view_ask(d, call, &c->row, &f);
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
