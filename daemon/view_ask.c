/* SPDX-License-Identifier: Apache-2.0 */
/* What Create was asked for, checked as far as it needs no repository, into a row. */
#include "view_ask.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "cleanup.h"
#include "mountpoint.h"
#include "op.h"
#include "sys.h"

/* A user that was named by number; one without an entry has the group of the same number. */
static bool user_number(const char *name, uid_t *ret)
{
	uint64_t n = 0;

	for (const char *p = name; *p; p++) {
		if (*p < '0' || *p > '9' || n > UINT32_MAX / 10)
			return false;
		n = n * 10 + (uint64_t)(*p - '0');
	}
	*ret = (uid_t)n;
	return *name && n < UINT32_MAX; /* -1 means "no user" to the kernel */
}

static int check_user(const struct call *call, struct view_row *row, struct fault *f)
{
	const char *name = arg_str(call, "user");
	const struct passwd *pw = name ? getpwnam(name) : getpwuid(call->uid);
	uid_t uid = pw ? pw->pw_uid : call->uid;
	bool known = !name || pw || user_number(name, &uid);
	char number[32];

	if (name && !pw && known)
		pw = getpwuid(uid);
	if (name && call->uid != 0 && (!known || uid != call->uid))
		return fault_set(f, "Denied", "only root may make a view for another user ('%s')",
				 name);
	if (!known)
		return fault_set(f, "NotFound", "there is no user '%s'", name);
	row->uid = uid;
	row->gid = name ? pw ? pw->pw_gid : (gid_t)uid : call->gid;
	(void)snprintf(number, sizeof(number), "%u", (unsigned)row->uid);
	return view_row_set(&row->user, pw ? pw->pw_name : number);
}

int view_ask_mount(struct daemon *d, const struct call *call, struct view_row *row, struct fault *f)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	const char *asked = arg_str(call, "mount");
	_cleanup_free_ char *path = NULL, *clean = NULL;
	struct view *v;
	int r = 0;

	if (!asked)
		r = config_mount_path(config_mount(&d->config, row->asked_repository),
				      d->paths.mounts, row->agent, &path, &e);
	if (r < 0)
		return fault_from_err(f, &e, NULL);
	clean = mountpoint_clean(asked ? asked : path);
	if (!clean)
		return fault_set(f, "Invalid", "the mount point '%s' is no absolute path",
				 asked ? asked : path);
	/* Root would mount for him wherever he can swap a folder for a symlink. */
	if (d->system && call->uid != 0 && !path_is_below(clean, d->paths.mounts)) {
		(void)fault_set(f, "Denied",
				"the system daemon mounts views of users only below '%s'",
				d->paths.mounts);
		return fault_remedy(f, "leave --mount out, or use a daemon of your own");
	}
	for (v = views_next(d->views, NULL); v; v = views_next(d->views, v))
		if (path_is_below(clean, v->row.mount) || path_is_below(v->row.mount, clean))
			return fault_set(f, "Invalid",
					 "the mount point '%s' overlaps the view of agent "
					 "'%s': choose another with --mount",
					 clean, v->row.agent);
	return view_row_set(&row->mount, clean);
}

static int take_scope(const struct call *call, struct view_row *row, struct fault *f)
{
	json_t *a = json_object_get(call->in.parameters, "scope"), *s;
	_cleanup_buf_ struct buf b = BUF_INIT;
	size_t i;

	json_array_foreach (a, i, s) {
		if (strchr(json_string_value(s), '\n') || !*json_string_value(s))
			return fault_set(f, "Invalid",
					 "a scope pattern is empty or has a line's end");
		if (buf_addf(&b, "%s%s", i ? "\n" : "", json_string_value(s)) < 0)
			return -ENOMEM;
	}
	return view_row_set(&row->scope, b.data ? b.data : "");
}

int view_ask_id(struct view_row *row)
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
		if (may_use(v, call->uid) && *v->row.repository &&
		    path_is_below(clean, v->row.mount))
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
	if (git && strcmp(git, "private") != 0 && strcmp(git, "worktree") != 0)
		return fault_set(f, "Invalid", "a view's git is 'private' or 'worktree', not '%s'",
				 git);
	if (config_branch_name(config_branch(&d->config, repo), arg_str(call, "agent"),
			       task ? task : "work", &branch, &e) < 0)
		return fault_from_err(f, &e, NULL);
	if (view_row_set(&row->agent, arg_str(call, "agent")) ||
	    view_row_set(&row->task, task ? task : "work") ||
	    view_row_set(&row->role, role ? role : "builder") ||
	    view_row_set(&row->asked_repository, repo) ||
	    view_row_set(&row->asked_base, base ? base : "") ||
	    view_row_set(&row->branch, branch) || view_row_set(&row->git, git ? git : "private") ||
	    view_ask_id(row) < 0)
		return fault_set(f, "Internal", "the daemon has no memory for this");
	return 0;
}

int view_ask(struct daemon *d, const struct call *call, struct view_row *row, struct fault *f)
{
	int r = check_names(d, call, row, f);

	if (r == 0)
		r = take_scope(call, row, f);
	if (r == 0)
		r = check_user(call, row, f);
	return r;
}

static int differs(struct fault *f, const struct view *v, const char *what, const char *has,
		   const char *asked)
{
	(void)fault_set(f, "NameTaken",
			"the agent '%s' has a view already, with %s '%s' and not '%s'",
			v->row.agent, what, *has ? has : "none", asked);
	return fault_remedy(
		f,
		"a view keeps its %s: leave the option out, choose another name, or first: "
		"agentfsctl destroy %s",
		what, v->row.agent);
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

int view_ask_same(const struct call *call, const struct view_row *asked, const struct view *v,
		  struct fault *f)
{
	const struct view_row *has = &v->row;
	_cleanup_free_ char *mount = NULL;
	const char *words = arg_str(call, "mount");

	if (arg_str(call, "role") && strcmp(has->role, asked->role) != 0)
		return differs(f, v, "role", has->role, asked->role);
	if (*asked->scope && strcmp(has->scope, asked->scope) != 0)
		return differs_in_scope(f, v, asked->scope);
	if (arg_str(call, "git") && strcmp(has->git, asked->git) != 0)
		return differs(f, v, "git", has->git, asked->git);
	if (arg_str(call, "user") && has->uid != asked->uid)
		return differs(f, v, "user", has->user, asked->user);
	mount = words ? mountpoint_clean(words) : NULL;
	if (words && (!mount || strcmp(mount, has->mount) != 0))
		return differs(f, v, "mount", has->mount, words);
	return 0;
}
