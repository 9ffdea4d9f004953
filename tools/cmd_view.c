/* SPDX-License-Identifier: Apache-2.0 */
/* Views: made, listed, shown, entered. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "client.h"
#include "cmd.h"
#include "io.h"
#include "json.h"
#include "out.h"

/* The folder that a command starts from: --NAME made absolute, or the current one. */
static char *folder_option(struct ctl *c, const char *name, int *ret_status)
{
	const char *given = args_get(&c->args, name);
	char *path = given ? realpath(given, NULL) : getcwd(NULL, 0);

	if (!path)
		*ret_status = ctl_fail(c, CTL_FAILED, "NotFound", "Name a folder that exists.",
				       "cannot open %s '%s': %s", given ? name : "folder",
				       given ? given : ".", strerror(errno));
	return path;
}

/* A path that need not exist yet, made absolute. Caller frees. */
static char *absolute(const char *path)
{
	_cleanup_free_ char *cwd = NULL;
	char *text = NULL;

	if (path[0] == '/')
		return strdup(path);
	cwd = getcwd(NULL, 0);
	if (!cwd || asprintf(&text, "%s/%s", cwd, path) < 0)
		return NULL;
	return text;
}

void ctl_print_scope(const json_t *view)
{
	json_t *list = json_object_get(view, "scope"), *item;
	size_t i;

	json_array_foreach (list, i, item) {
		(void)fputs(i ? " " : ", scope ", stdout);
		out_text(stdout, json_string_value(item));
	}
}

static int run_create(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	_cleanup_free_ char *repo = NULL, *mount = NULL;
	const struct args *a = &c->args;
	const char *name = a->words[0];
	const json_t *v;
	int r = 0;

	if (!ctl_is_name(name))
		return ctl_usage(
			c,
			"'%s' cannot be an agent's name: letters, digits, '.', '_' and '-' only, "
			"at most 64, a letter or digit first",
			name);
	repo = folder_option(c, "repo", &r);
	if (!repo)
		return r;
	if (args_get(a, "mount") && !(mount = absolute(args_get(a, "mount"))))
		return ctl_fail(c, CTL_FAILED, "Local", NULL,
				"the current folder no longer exists");
	r = client_call(
		c, "Create",
		json_pack("{s:s, s:s, s:s*, s:s*, s:s*, s:o*, s:s*, s:s*, s:s*, s:o*, s:s*}",
			  "agent", name, "repository", repo, "role", args_get(a, "role"), "task",
			  args_get(a, "task"), "base", args_get(a, "base"), "scope",
			  args_list(a, "scope"), "mount", mount, "user", args_get(a, "user"), "git",
			  args_get(a, "git"), "after", args_list(a, "after"), "serial",
			  args_get(a, "serial")),
		&reply);
	if (r != 0)
		return r;
	if (json_is_true(json_object_get(reply, "created")))
		ctl_notes(c, reply, "notes"); /* else the answer says itself that it was there */
	if (c->json)
		return ctl_json(reply);
	v = json_object_get(reply, "view");
	printf("%s", out_on(OUT_BOLD));
	out_text(stdout, jstr(v, "path"));
	printf("%s\n%sbranch ", out_off(OUT_BOLD),
	       json_is_true(json_object_get(reply, "created")) ? "" : "already there: ");
	out_text(stdout, jstr(v, "branch"));
	printf(" from ");
	out_id(stdout, jstr(v, "base"));
	if (*jstr(v, "target")) {
		printf(" (");
		out_text(stdout, jstr(v, "target"));
		printf(")");
	}
	printf(", role ");
	out_text(stdout, jstr(v, "role"));
	ctl_print_scope(v);
	printf("\nNext: agentfsctl shell %s, or cd there; agentfsctl merge %s when it is done.\n",
	       name, name);
	return CTL_OK;
}

const struct command cmd_create = {
	.name = "create",
	.group = "Views",
	.args = "AGENT",
	.help = "make a view of a repository for an agent",
	.about =
		"Mounts a copy-on-write view of the repository's base commit as the agent's "
		"working folder. "
		"The repository and its worktree are left as they are. Asked again with the same "
		"repository, task and base it says so and exits 0; a role, scope, mount, user or git "
		"that differs from the view's is refused. With --git worktree the view shares the "
		"repository's git as a git worktree does: branches, stash and log are common, commits "
		"are not judged before they stand in it, its hooks run in the view, and the agent can "
		"move any branch.",
	.example = "agentfsctl create alice --task login --scope 'src/auth/**'",
	.opts =
		(const struct opt[]){
			{"repo", 0, "PATH",
			 "the repository (default: the one that contains the current folder)",
			 "@dirs"},
			{"role", 0, "ROLE", "what the agent may do (default: builder)", "@roles"},
			{"task", 0, "TASK", "names the branch agents/AGENT/TASK (default: work)"},
			{"base", 0, "REV", "the commit to start from (default: HEAD)"},
			{"scope", 0, "PATTERN",
			 "only these paths may be changed (gitignore pattern)", NULL,
			 .repeat = true},
			{"mount", 0, "PATH",
			 "where the view appears (default: the configuration's)", "@dirs"},
			{"user", 0, "NAME", "whose view it is (root only)"},
			{"git", 0, "KIND",
			 "private, or a worktree of the repository (default: private)",
			 "private|worktree"},
			{"after", 0, "TASK", "its merge waits until that task's is done", NULL,
			 .repeat = true},
			{"serial", 0, "NAME",
			 "one of a series: merged one at a time, in the order of creation"},
			{0}},
	.run = run_create,
};

static enum out_color state_color(const char *state)
{
	return strcmp(state, "live") == 0    ? OUT_PLAIN
	       : strcmp(state, "stale") == 0 ? OUT_RED
					     : OUT_YELLOW;
}

static void list_row(struct out_table *t, const json_t *v)
{
	char changed[32], distance[64], ago[32], branch[512];

	(void)snprintf(branch, sizeof(branch), "%s%s", jstr(v, "branch"),
		       strcmp(jstr(v, "git"), "worktree") == 0 ? " (worktree)" : "");
	(void)snprintf(changed, sizeof(changed), "%lld", jint(v, "changed"));
	(void)snprintf(distance, sizeof(distance), "+%lld -%lld", jint(v, "ahead"),
		       jint(v, "behind"));
	out_row(t, state_color(jstr(v, "state")),
		(const char *[]){jstr(v, "agent"), jstr(v, "state"), jstr(v, "role"),
				 jstr(v, "task"), branch, changed, distance,
				 out_ago(json_string_value(json_object_get(v, "last_write")), ago),
				 jstr(v, "path")});
}

/* Is the folder a git repository or worktree, and which path of it does the daemon know? That of a
 * linked worktree is its git folder, which lies in the repository's. Caller frees; NULL: it is none. */
static char *git_folder(const char *dir)
{
	_cleanup_free_ char *git = NULL, *head = NULL, *objects = NULL, *refs = NULL;
	_cleanup_buf_ struct buf link = BUF_INIT;
	_cleanup_free_ char *to = NULL;
	const char *name;

	if (asprintf(&git, "%s/.git", dir) < 0 || asprintf(&head, "%s/HEAD", dir) < 0 ||
	    asprintf(&objects, "%s/objects", dir) < 0 || asprintf(&refs, "%s/refs", dir) < 0)
		return NULL;
	if (io_read_file(AT_FDCWD, git, 8192, &link) == 0 && link.len > 8 &&
	    strncmp(link.data, "gitdir: ", 8) == 0) {
		link.data[strcspn(link.data, "\n")] = 0;
		name = link.data + 8;
		if (asprintf(&to, "%s%s%s", *name == '/' ? "" : dir, *name == '/' ? "" : "/",
			     name) < 0)
			return NULL;
		return realpath(to, NULL);
	}
	if (access(git, F_OK) == 0 ||
	    (access(head, F_OK) == 0 && access(objects, X_OK) == 0 && access(refs, X_OK) == 0))
		return strdup(dir);
	return NULL;
}

/* The repository that the current folder belongs to: in a view its own, not the view's .git. Caller
 * frees; NULL: none. */
static char *current_repository(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	_cleanup_free_ char *dir = getcwd(NULL, 0);
	char *found, *slash;

	if (!dir || dir[0] != '/')
		return NULL;
	if (client_try(c, "Which", json_pack("{s:s}", "path", dir), &reply) == 0)
		return strdup(jstr(json_object_get(reply, "view"), "repository"));
	while (!(found = git_folder(dir)) && (slash = strrchr(dir, '/')) && slash != dir)
		*slash = 0;
	return found;
}

static int ask_list(struct ctl *c, json_t **ret_reply, bool *ret_all)
{
	_cleanup_free_ char *repo = NULL;
	int r = client_connect(c, true, false);

	if (r != CTL_OK)
		return r;
	if (args_get(&c->args, "repo"))
		repo = folder_option(c, "repo", &r);
	else if (!args_has(&c->args, "all"))
		repo = current_repository(c);
	*ret_all = !repo;
	return r == CTL_OK
		       ? client_call(c, "List", json_pack("{s:s*}", "repository", repo), ret_reply)
		       : r;
}

static int run_list(struct ctl *c)
{
	_cleanup_(out_table_release) struct out_table t = {.columns = 9};
	_cleanup_(json_decrefp) json_t *reply = NULL;
	json_t *views, *v;
	bool all = true;
	size_t i;
	int r = ask_list(c, &reply, &all);

	if (r != 0)
		return r;
	if (c->json)
		return ctl_json(reply);
	views = json_object_get(reply, "views");
	if (json_array_size(views) == 0) {
		ctl_note(c, all ? "No views. Make one: agentfsctl create AGENT"
				: "No views of this repository. Make one: agentfsctl create AGENT; "
				  "those of others: agentfsctl list --all");
		return CTL_OK;
	}
	out_row(&t, OUT_BOLD,
		(const char *[]){"AGENT", "STATE", "ROLE", "TASK", "BRANCH", "CHANGED", "COMMITS",
				 "LAST WRITE", "PATH"});
	json_array_foreach (views, i, v)
		list_row(&t, v);
	out_table_print(stdout, &t);
	return CTL_OK;
}

const struct command cmd_list = {
	.name = "list",
	.group = "Views",
	.args = "",
	.help = "list the views",
	.about =
		"One line a view: state, role, task, branch, changed paths, commits ahead "
		"of and behind the "
		"target, last write, path. --json has all fields. Without --repo those of "
		"the repository that contains the current folder, or of every repository where none "
		"does.",
	.example = "agentfsctl list --json",
	.opts = (const struct opt[]){{"repo", 0, "PATH", "only views of this repository", "@dirs"},
				     {"all", 0, NULL, "the views of every repository"},
				     {0}},
	.run = run_list,
};

static void show_line(struct out_table *t, const char *key, const char *value)
{
	if (value && *value)
		out_row(t, OUT_PLAIN, (const char *[]){key, value});
}

/* Used of allowed, where something is limited. */
static void show_quota(struct out_table *t, const json_t *v)
{
	char text[160], used[32], limit[32];

	if (json_object_get(v, "quota_bytes")) {
		(void)snprintf(text, sizeof(text), "%s of %s", out_bytes(jint(v, "bytes"), used),
			       out_bytes(jint(v, "quota_bytes"), limit));
		show_line(t, "quota", text);
	}
	if (json_object_get(v, "quota_nodes")) {
		(void)snprintf(text, sizeof(text), "%lld of %lld nodes", jint(v, "nodes"),
			       jint(v, "quota_nodes"));
		show_line(t, json_object_get(v, "quota_bytes") ? "" : "quota", text);
	}
}

static void show_redirects(struct out_table *t, const json_t *v)
{
	json_t *list = json_object_get(v, "redirects"), *r;
	size_t i;

	json_array_foreach (list, i, r) {
		char text[4300], bytes[32];

		(void)snprintf(text, sizeof(text), "%s (%s%s%s)", jstr(r, "path"),
			       out_bytes(jint(r, "bytes"), bytes),
			       strcmp(jstr(r, "state"), "mounted") == 0 ? "" : ", ",
			       strcmp(jstr(r, "state"), "mounted") == 0 ? "" : jstr(r, "state"));
		show_line(t, i ? "" : "redirected", text);
	}
}

static void show_form(const json_t *v)
{
	static const char *const plain[] = {"state",  "path", "repository", "branch",
					    "target", "base", "git",	    "role",
					    "task",   "user", "id"};
	_cleanup_(out_table_release) struct out_table t = {.columns = 2};
	char text[160], number[32];
	json_t *s;
	size_t i;

	show_line(&t, "agent", jstr(v, "agent"));
	for (i = 0; i < ARRAY_SIZE(plain); i++)
		show_line(&t, plain[i], jstr(v, plain[i]));
	json_array_foreach (json_object_get(v, "scope"), i, s)
		show_line(&t, i ? "" : "scope", json_string_value(s));
	(void)snprintf(text, sizeof(text), "%lld path%s, %s", jint(v, "changed"),
		       jint(v, "changed") == 1 ? "" : "s", out_bytes(jint(v, "bytes"), number));
	show_line(&t, "changed", text);
	show_quota(&t, v);
	show_redirects(&t, v);
	(void)snprintf(text, sizeof(text), "%lld ahead, %lld behind", jint(v, "ahead"),
		       jint(v, "behind"));
	show_line(&t, "commits", text);
	(void)snprintf(text, sizeof(text), "%lld", jint(v, "denied"));
	show_line(&t, "denied", text);
	show_line(&t, "started", out_ago(jstr(v, "started"), number));
	show_line(&t, "last write",
		  out_ago(json_string_value(json_object_get(v, "last_write")), number));
	out_table_print(stdout, &t);
}

/* Asks for one view. *ret_view is borrowed from *ret_reply. */
static int ask_view(struct ctl *c, json_t **ret_reply, const json_t **ret_view)
{
	_cleanup_free_ char *agent = NULL;
	int r = 0;

	agent = ctl_agent(c, 0, &r);
	if (!agent)
		return r;
	r = client_call(c, "Show", json_pack("{s:s}", "agent", agent), ret_reply);
	if (r == 0)
		*ret_view = json_object_get(*ret_reply, "view");
	return r;
}

static int run_show(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	const json_t *v = NULL;
	json_t *d;
	char ago[32];
	size_t i;
	int r;

	r = ask_view(c, &reply, &v);
	if (r != 0)
		return r;
	if (c->json)
		return ctl_json(reply);
	show_form(v);
	json_array_foreach (json_object_get(reply, "denials"), i, d) {
		printf("%srefused: ", i ? "" : "\n");
		out_text(stdout, jstr(d, "op"));
		printf(" ");
		out_text(stdout, jstr(d, "path"));
		printf(" (");
		out_text(stdout, jstr(d, "rule"));
		printf("), %s\n", out_ago(jstr(d, "time"), ago));
	}
	ctl_notes(c, reply, "notes");
	return CTL_OK;
}

const struct command cmd_show = {
	.name = "show",
	.group = "Views",
	.args = "[AGENT]",
	.help = "show all about one view",
	.about = "Every field of the view and its latest refused operations.",
	.example = "agentfsctl show alice",
	.run = run_show,
};

static int run_path(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL, *o = NULL;
	const json_t *v = NULL;
	int r;

	r = ask_view(c, &reply, &v);
	if (r != 0)
		return r;
	o = json_pack("{s:s}", "path", jstr(v, "path"));
	if (c->json)
		return ctl_json(o);
	if (isatty(STDOUT_FILENO))
		out_text(stdout, jstr(v, "path"));
	else
		(void)fputs(jstr(v, "path"), stdout); /* for cd "$(…)": as it is */
	(void)putchar('\n');
	return CTL_OK;
}

const struct command cmd_path = {
	.name = "path",
	.group = "Views",
	.args = "[AGENT]",
	.help = "print the folder of a view",
	.about = "Only the path, for use in scripts.",
	.example = "cd \"$(agentfsctl path alice)\"",
	.run = run_path,
};

static int set_environment(struct ctl *c, const json_t *v)
{
	_cleanup_free_ char *control = NULL;

	if (asprintf(&control, "%s/.agentfs/control", jstr(v, "path")) < 0)
		return -ENOMEM;
	if (setenv("AGENTFS_AGENT", jstr(v, "agent"), 1) < 0 ||
	    setenv("AGENTFS_TASK", jstr(v, "task"), 1) < 0 ||
	    setenv("AGENTFS_ROLE", jstr(v, "role"), 1) < 0 ||
	    setenv("AGENTFS_CONTROL", control, 1) < 0 ||
	    setenv("AGENTFS_SOCKET", c->socket, 1) < 0 || setenv("PWD", jstr(v, "path"), 1) < 0)
		return -errno;
	return 0;
}

static int run_shell(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	const char *shell = getenv("SHELL");
	const json_t *v = NULL;
	int r;

	r = ask_view(c, &reply, &v);
	if (r != 0)
		return r;
	if (!shell || !*shell)
		shell = "/bin/sh";
	if (chdir(jstr(v, "path")) < 0)
		return ctl_fail(c, CTL_FAILED, "Stale", NULL, "cannot enter '%s': %s",
				jstr(v, "path"), strerror(errno));
	r = set_environment(c, v);
	if (r < 0)
		return ctl_fail(c, CTL_FAILED, "Local", NULL, "cannot set the environment: %s",
				strerror(-r));
	ctl_note(c, "In the view of %s (%s). Leave with exit.", jstr(v, "agent"),
		 jstr(v, "branch"));
	(void)fflush(NULL);
	(void)execl(shell, shell, (char *)NULL);
	return ctl_fail(c, CTL_FAILED, "Local", "Set $SHELL to a shell that exists.",
			"cannot run '%s': %s", shell, strerror(errno));
}

const struct command cmd_shell = {
	.name = "shell",
	.group = "Views",
	.args = "[AGENT]",
	.help = "start a shell in a view",
	.about = "Runs $SHELL in the view's folder with AGENTFS_AGENT, AGENTFS_TASK, AGENTFS_ROLE, "
		 "AGENTFS_CONTROL and AGENTFS_SOCKET set.",
	.example = "agentfsctl shell alice",
	.run = run_shell,
};
