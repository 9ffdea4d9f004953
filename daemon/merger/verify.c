/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of one verification:
 *
 *     ask (worker) ──► no command: skipped
 *       │ command, and approved where it is the repository's own
 *       ▼
 *     take a scratch view ──► there is one: reset (worker) ──► verify (worker) ──► give it back ──► next
 *                        └──► none: make it ───────────────────────▲   │
 *                                     ▲                                 │ it does not hold the commit, once
 *                                     └──────── take it away ◄──────────┘
 *
 * The workers are not counted among those that run in parallel: how many there are is the caller's. They end
 * with all that they started when the daemon does.
 */
#include "verify.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "config.h"
#include "io.h"
#include "log.h"
#include "sys.h"
#include "verify_scratch.h"
#include "view_make.h"

enum { LOGS_KEPT_S = 14 * 24 * 3600 };

struct verify {
	char *repository, *target, *commit;
	op_step next;
	struct config own; /* of the repository's .agentfs.yaml */
	bool has_own;
	char *command;
	unsigned timeout_s, processes;
	bool network;
	uid_t owner;
	gid_t group;
	char name[SCRATCH_NAME_MAX]; /* of the scratch view that is ours; "": none */
	bool fresh, again;	     /* it was made for this; it was tried once already */
	bool go;		     /* the view is to be taken away at the end */
	json_t *result;
	struct fault why;
};

static void verify_free(void *p)
{
	struct verify *y = p;

	if (!y)
		return;
	free(y->repository);
	free(y->target);
	free(y->commit);
	free(y->command);
	if (y->has_own)
		config_release(&y->own);
	json_decref(y->result);
	fault_release(&y->why);
	free(y);
}

/* The child has ended: the caller goes on. */
static void on_verified(struct op *child, json_t *reply, struct fault *f)
{
	struct verify *y = child->data;

	y->next(child->parent, reply, f);
}

/* ---- the end ---- */

static void finish(struct op *op)
{
	struct verify *y = op->data;

	if (y->why.id)
		op_end(op, NULL, &y->why);
	else
		op_end(op, TAKE_PTR(y->result), NULL);
}

static void on_gone(struct op *child, json_t *reply, struct fault *f)
{
	if (!reply)
		log_warning(0, "a scratch view stays: %s", f->message ? f->message : "?");
	finish(child->parent);
}

static void give_back(struct op *op)
{
	struct verify *y = op->data;
	struct view *v = views_get(op->d->views, y->name);

	y->go |= scratch_give_back(op->d, y->name);
	if (!v || !y->go) {
		finish(op);
		return;
	}
	if (view_unmake(op, v, on_gone) < 0)
		finish(op);
}

static void give_up(struct op *op, struct fault *f)
{
	struct verify *y = op->data;

	fault_move(&y->why, f);
	give_back(op);
}

/* ---- the command ---- */

static void make_scratch(struct op *op);

static void on_taken_away(struct op *child, json_t *reply, struct fault *f)
{
	if (!reply)
		give_up(child->parent, f);
	else
		make_scratch(child->parent);
}

/* The scratch view is of no use: another is made, once. */
static void anew(struct op *op, struct fault *f)
{
	struct verify *y = op->data;
	struct view *v = views_get(op->d->views, y->name);

	if (y->fresh || y->again) {
		y->go = true;
		give_up(op, f);
		return;
	}
	log_notice("the scratch view '%s' is made anew: %s", y->name,
		   f->message ? f->message : "?");
	y->again = true;
	fault_release(f);
	if (!v)
		make_scratch(op);
	else if (view_unmake(op, v, on_taken_away) < 0)
		op_fail(op, "Internal", "the daemon has no memory for this");
}

static void on_ran(struct op *op, json_t *ok, struct fault *f)
{
	struct verify *y = op->data;

	if (!ok && json_is_true(json_object_get(f->details, "again"))) {
		anew(op, f);
		return;
	}
	if (!ok) {
		give_up(op, f);
		return;
	}
	(void)json_object_update(y->result, ok);
	give_back(op);
}

/* Output is kept as long as what is preserved of a view. */
static void forget_old_logs(struct daemon *d)
{
	int fd = openat(d->state_fd, "verify", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const time_t before = time(NULL) - LOGS_KEPT_S;
	const struct dirent *e;
	struct stat st;

	if (!dir) {
		(void)safe_close(fd);
		return;
	}
	while ((e = readdir(dir)))
		if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
		    st.st_mtime < before)
			(void)unlinkat(fd, e->d_name, 0); /* the next time, else */
	(void)closedir(dir);
}

/* STATE/verify/<random>.log */
static int log_path(struct op *op, char *ret, size_t size)
{
	unsigned char id[8];
	int n = snprintf(ret, size, "%s/verify/", op->d->paths.state);
	int r = io_mkdir(op->d->state_fd, "verify", 0700);

	if (r < 0 && r != -EEXIST)
		return r;
	forget_old_logs(op->d);
	if (n < 0 || (size_t)n + 2 * sizeof(id) + 5 > size)
		return -ENAMETOOLONG;
	if (getrandom(id, sizeof(id), 0) != sizeof(id))
		return -EIO;
	for (size_t i = 0; i < sizeof(id); i++)
		(void)snprintf(ret + n + 2 * i, 3, "%02x", id[i]);
	(void)strcat(ret, ".log");
	return 0;
}

/* Whoever asked does not want to know any more. */
static bool unwanted(struct op *op)
{
	struct fault f = FAULT_INIT;

	if (!op->interrupted)
		return false;
	(void)fault_set(&f, "Cancelled", "the verification was cancelled");
	give_up(op, &f);
	return true;
}

static void run_command(struct op *op)
{
	struct verify *y = op->data;
	struct view *v = views_get(op->d->views, y->name);
	char log[4200];
	json_t *q;
	int r;

	if (unwanted(op))
		return;
	r = v ? log_path(op, log, sizeof(log)) : -ENOENT;

	if (r < 0) {
		struct fault f = FAULT_INIT;

		(void)fault_set(&f, fault_id(r), "cannot keep the output of a verify command: %s",
				strerror(-r));
		give_up(op, &f);
		return;
	}
	q = op_view_request(op, "verify", v);
	(void)json_object_update_new(q, json_pack("{s:s,s:s,s:s,s:s,s:I,s:b}", "command",
						  y->command, "commit", y->commit, "target",
						  y->target, "log", log, "timeout",
						  (json_int_t)y->timeout_s, "network", y->network));
	(void)json_object_set_new(q, "processes", json_integer((json_int_t)y->processes));
	(void)json_object_set_new(y->result, "log", json_string(log));
	op_follow(op, q, on_ran);
}

/* ---- the scratch view ---- */

static void on_reset(struct op *op, json_t *ok, struct fault *f)
{
	if (ok)
		run_command(op);
	else if (f->id && strcmp(f->id, "Cancelled") == 0)
		give_up(op, f);
	else
		anew(op, f);
}

/* What lies outside of the overlay, or is kept in it in its stead: a build goes on with it. */
static json_t *kept(const struct op *op)
{
	const struct verify *y = op->data;
	const struct config_list *l = config_redirect(&op->d->config, y->repository);
	json_t *a = json_array();

	for (size_t i = 0; i < l->n; i++)
		(void)json_array_append_new(a, json_string(l->v[i].text));
	return a;
}

static void reset(struct op *op, const struct view *v)
{
	const struct verify *y = op->data;
	json_t *q = op_request(op, "verify_reset");

	(void)json_object_update_new(q, json_pack("{s:s,s:s,s:s,s:o}", "repo", y->repository,
						  "mount", v->row.mount, "commit", y->commit,
						  "keep", kept(op)));
	op_follow(op, q, on_reset);
}

static void on_made(struct op *child, json_t *reply, struct fault *f)
{
	struct op *op = child->parent;

	if (reply)
		run_command(op);
	else
		give_up(op, f);
}

static void make_scratch(struct op *op)
{
	struct verify *y = op->data;
	const struct scratch_facts facts = {.name = y->name,
					    .repository = y->repository,
					    .commit = y->commit,
					    .uid = y->owner,
					    .gid = y->group};
	struct view_row row;
	struct fault f = FAULT_INIT;
	int r = scratch_row(op->d, &facts, &row);

	y->fresh = true;
	if (r == 0)
		r = view_make(op, &row, on_made);
	if (r < 0) {
		(void)fault_set(&f, fault_id(r), "cannot make a scratch view: %s", strerror(-r));
		give_up(op, &f);
	}
}

static void with_command(struct op *op)
{
	struct verify *y = op->data;
	int r = scratch_take(op->d, y->repository, y->target, y->name);
	struct view *v;

	if (r < 0) {
		op_fail(op, fault_id(r),
			"too many commits of '%s' are verified at once: try again "
			"when one is done",
			y->target);
		return;
	}
	y->result = json_pack("{s:b,s:s}", "skipped", 0, "command", y->command);
	v = views_get(op->d->views, y->name);
	if (v && v->phase == PHASE_LIVE)
		reset(op, v);
	else if (v && view_unmake(op, v, on_taken_away) < 0)
		op_fail(op, "Internal", "the daemon has no memory for this");
	else if (!v)
		make_scratch(op);
}

/* ---- which command ---- */

/* A copy: the configuration may be read anew meanwhile. 1, or set in f. */
static int take(struct verify *y, const struct config_verify *c, struct fault *f)
{
	y->command = sys_strdup(c->command);
	y->timeout_s = c->timeout_s;
	y->processes = c->processes;
	y->network = c->network;
	return y->command ? 1 : fault_set(f, "Internal", "the daemon has no memory for this");
}

/* The repository's own, of which the exact text must have been approved. 1: there is one. */
static int own_command(struct op *op, const char *yaml, struct fault *f)
{
	struct verify *y = op->data;
	_cleanup_(err_release) struct err e = ERR_INIT;
	_cleanup_free_ char *text = NULL;
	const struct config_verify *c;
	int r = verify_own_text(yaml, &y->own, &text, f);

	if (r < 0)
		return r;
	y->has_own = true;
	c = config_verify_find(&y->own, NULL, y->target);
	if (!c)
		return 0;
	r = state_approval_has(op->d->db, y->repository, text, &e);
	if (r < 0)
		return fault_from_err(f, &e, NULL);
	if (r == 0) {
		(void)fault_set(f, "Denied",
				"the verify command in '.agentfs.yaml' of '%s' is not approved, so "
				"nothing lands there",
				y->target);
		(void)fault_remedy(f, "read and approve it with: agentfsctl approve '%s'",
				   y->repository);
		return -EACCES;
	}
	return take(y, c, f);
}

static int choose_command(struct op *op, json_t *facts, struct fault *f)
{
	struct verify *y = op->data;
	const char *worktree = json_string_value(json_object_get(facts, "worktree"));
	const char *yaml = json_string_value(json_object_get(facts, "text"));
	const struct config_verify *c =
		config_verify_find(&op->d->config, worktree ? worktree : y->repository, y->target);

	if (c)
		return take(y, c, f);
	return yaml ? own_command(op, yaml, f) : 0;
}

static void on_asked(struct op *op, json_t *ok, struct fault *f)
{
	struct verify *y = op->data;
	const char *common = json_string_value(json_object_get(ok, "repository"));
	struct fault g = FAULT_INIT;
	int r;

	if (!ok || !common) {
		op_end(op, NULL, f);
		return;
	}
	if (view_row_set(&y->repository, common) < 0) {
		op_fail(op, "Internal", "the daemon has no memory for this");
		return;
	}
	y->owner = (uid_t)json_integer_value(json_object_get(ok, "owner_uid"));
	y->group = (gid_t)json_integer_value(json_object_get(ok, "owner_gid"));
	r = choose_command(op, ok, &g);
	if (r < 0)
		op_end(op, NULL, &g);
	else if (r == 0)
		op_end(op, json_pack("{s:b,s:b}", "ok", 1, "skipped", 1), NULL);
	else
		with_command(op);
}

static void ask(struct op *op)
{
	const struct verify *y = op->data;
	json_t *q = op_request(op, "verify_ask");

	(void)json_object_set_new(q, "repo", json_string(y->repository));
	(void)json_object_set_new(q, "target", json_string(y->target));
	op_task(op, q, on_asked);
}

void verify_start(struct op *op, const char *repository, const char *target, const char *commit,
		  op_step next)
{
	struct op *child = op_new(op->d, NULL, NULL, "verify");
	struct verify *y = child ? sys_calloc(1, sizeof(*y)) : NULL;
	struct fault f = FAULT_INIT;

	if (child) {
		child->data = y;
		child->data_free = verify_free;
	}
	if (!y) {
		free(child);
		(void)fault_set(&f, "Internal", "the daemon has no memory for this");
		next(op, NULL, &f);
		fault_release(&f);
		return;
	}
	y->next = next;
	child->parent = op;
	child->uid = op->uid;
	child->gid = op->gid;
	child->done = on_verified;
	y->repository = sys_strdup(repository);
	y->target = sys_strdup(target);
	y->commit = sys_strdup(commit);
	if (!y->repository || !y->target || !y->commit)
		op_fail(child, "Internal", "the daemon has no memory for this");
	else
		op_begin(child, ask);
}
