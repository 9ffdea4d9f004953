/* SPDX-License-Identifier: Apache-2.0 */
/* A merge's conflicts in a view, for a person or a merger agent, and back. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "client.h"
#include "cmd.h"
#include "io.h"
#include "json.h"
#include "merge_out.h"
#include "out.h"

enum { FILE_MAX = 64 << 20 };

struct resolve {
	struct ctl *c;
	long long merge;
	json_t *explained; /* MergeExplain */
	const json_t *record, *conflicts;
	char *agent; /* whose view it is resolved in */
	char *view;  /* where that is */
};

static void resolve_release(struct resolve *r)
{
	json_decref(r->explained);
	free(r->agent);
	free(r->view);
}

static int fail(struct resolve *r, const char *remedy, const char *what)
{
	return ctl_fail(r->c, CTL_FAILED, "Invalid", remedy, "merge %lld %s", r->merge, what);
}

/* The path as a pattern that only it fits. Caller frees. */
static char *as_pattern(const char *path)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	int r = buf_addc(&b, '/');

	for (const char *p = path; *p && r == 0; p++) {
		if (strchr("*?[\\ ", *p))
			r = buf_addc(&b, '\\');
		r = r < 0 ? r : buf_addc(&b, *p);
	}
	return r < 0 ? NULL : buf_take(&b);
}

/* What the conflict touches: all that the source changed, as the merge writes it. */
static json_t *scope_of(const struct resolve *r)
{
	json_t *touched = json_object_get(json_object_get(r->explained, "result"), "touched");
	json_t *scope = json_array(), *o;
	size_t i;

	json_array_foreach (touched, i, o) {
		_cleanup_free_ char *pattern = as_pattern(json_string_value(o));

		(void)json_array_append_new(scope, json_string(pattern ? pattern : ""));
	}
	return scope;
}

/* Begins the merge in a view that was made just now: nobody but the daemon has configured its git. Returns whether git
 * could be asked. */
static bool begin_merge(const struct resolve *r, const char *commit, const char *style)
{
	_cleanup_buf_ struct buf how = BUF_INIT;
	pid_t pid;
	int status = 0;

	if (buf_addf(&how, "merge.conflictStyle=%s", style) < 0)
		return false;
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		if (null >= 0) /* it says what conflicts: so do we */
			(void)dup2(null, STDOUT_FILENO);
		(void)execlp("git", "git", "-C", r->view, "-c", "core.hooksPath=/dev/null", "-c",
			     how.data, "merge", "--quiet", "--no-ff", "--no-commit", commit,
			     (char *)NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return false;
	return WIFEXITED(status) && WEXITSTATUS(status) <= 1; /* 1: it conflicts, as it should */
}

/* A view on the target in which the source is being merged; it may write what the source changed, and nothing else. */
static int make_view(struct resolve *r, const char *name, const char *style)
{
	const char *commit = jstr(json_object_get(r->explained, "result"), "source_commit");
	_cleanup_(json_decrefp) json_t *reply = NULL, *scope = scope_of(r);
	char task[40];
	int q;

	if (!json_array_size(scope) || !*commit)
		return fail(r, "Resolve it in the source's own view: leave --agent out.",
			    "changes too many paths for a view of its own");
	(void)snprintf(task, sizeof(task), "merge-%lld", r->merge);
	q = client_call(r->c, "Create",
			json_pack("{s:s, s:s, s:s, s:s, s:s, s:O}", "agent", name, "repository",
				  jstr(r->record, "repository"), "role", "merger", "task", task,
				  "base", jstr(r->record, "into"), "scope", scope),
			&reply);
	if (q != 0)
		return q;
	if (!json_is_true(json_object_get(reply, "created")))
		return fail(r, "Name another agent, or mend what that view has.",
			    "has a view of that name already");
	r->agent = strdup(name);
	r->view = strdup(jstr(json_object_get(reply, "view"), "path"));
	if (!r->agent || !r->view)
		return fail(r, NULL, "needs more memory");
	return begin_merge(r, commit, style)
		       ? 0
		       : fail(r,
			      "git merge in that view says more; agentfsctl destroy takes it down.",
			      "has a view now, but git could not begin the merge in it");
}

/* The view of agent `name`, without a word where there is none. */
static bool find_view(struct resolve *r, const char *name)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;

	if (client_try(r->c, "Show", json_pack("{s:s}", "agent", name), &reply) < 0 || !reply)
		return false;
	r->agent = strdup(name);
	r->view = strdup(jstr(json_object_get(reply, "view"), "path"));
	return r->agent && r->view;
}

/* The view that an earlier `merge resolve --agent` made for this merge. */
static bool find_merger(struct resolve *r)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	char task[40];
	json_t *v;
	size_t i;

	(void)snprintf(task, sizeof(task), "merge-%lld", r->merge);
	if (client_try(r->c, "List", json_object(), &reply) < 0)
		return false;
	json_array_foreach (json_object_get(reply, "views"), i, v)
		if (strcmp(jstr(v, "task"), task) == 0 && strcmp(jstr(v, "role"), "merger") == 0)
			return find_view(r, jstr(v, "agent"));
	return false;
}

static int read_merge(struct resolve *r)
{
	int q = merge_number(r->c, 0, &r->merge);

	if (q == CTL_OK)
		q = client_call(r->c, "MergeExplain",
				json_pack("{s:I}", "merge", (json_int_t)r->merge), &r->explained);
	if (q != CTL_OK)
		return q;
	r->record = json_object_get(r->explained, "record");
	r->conflicts = json_object_get(json_object_get(r->explained, "result"), "conflicts");
	if (strcmp(jstr(r->record, "state"), "conflict") != 0)
		return fail(r, "agentfsctl merge history lists the merges with their states.",
			    "has no conflict to resolve");
	return CTL_OK;
}

static void print_left(const struct resolve *r, const json_t *conflicts)
{
	json_t *o;
	size_t i;

	printf("%s has the conflicts of merge %lld with ", r->agent, r->merge);
	out_text(stdout, jstr(r->record, "into"));
	printf(":\n");
	json_array_foreach (conflicts, i, o) {
		const char *to_do = merge_to_do(jstr(o, "kind"));

		printf("  %s", out_on(OUT_RED));
		out_text(stdout, r->view);
		(void)putchar('/');
		out_text(stdout, jstr(o, "path"));
		printf("%s: ", out_off(OUT_RED));
		out_text(stdout, jstr(o, "kind"));
		if (to_do && *jstr(o, "reason")) {
			printf(" (");
			out_text(stdout, jstr(o, "reason"));
			printf(")");
		}
		if (to_do)
			printf("\n    to do: %s", to_do);
		(void)putchar('\n');
	}
	printf("Mend them there, git add them and git commit, then: agentfsctl merge resolve %lld "
	       "--done\n",
	       r->merge);
}

/* The source agent's own view moves to the target, which leaves its git in a merge where commits conflict. */
static int move_view(struct resolve *r, const char *style, json_t **ret)
{
	_cleanup_(json_decrefp) json_t *made = NULL;
	int q;

	if (!find_view(r, jstr(r->record, "source")))
		return fail(
			r, "Name one with --agent NAME: it is made, with role merger.",
			"is of a branch that no view shows, so that there is none to resolve it in");
	q = client_call(r->c, "Materialize", json_pack("{s:s}", "agent", r->agent), &made);
	return q ? q
		 : client_call(r->c, "Sync",
			       json_pack("{s:s, s:s, s:b, s:s}", "agent", r->agent, "to",
					 jstr(r->record, "into"), "markers", true, "style", style),
			       ret);
}

static int leave(struct resolve *r)
{
	const char *name = args_get(&r->c->args, "agent"), *style = args_get(&r->c->args, "style");
	_cleanup_(json_decrefp) json_t *synced = NULL;
	const json_t *conflicts = r->conflicts;
	int q;

	style = style ? style : "zdiff3";
	q = name ? make_view(r, name, style) : move_view(r, style, &synced);
	if (q != 0)
		return q;
	if (synced)
		conflicts = json_object_get(synced, "conflicts");
	if (r->c->json) {
		_cleanup_(json_decrefp) json_t *o =
			json_pack("{s:s, s:s, s:O}", "agent", r->agent, "path", r->view,
				  "conflicts", (json_t *)conflicts);

		return ctl_json(o);
	}
	if (json_array_size(conflicts))
		print_left(r, conflicts);
	else
		printf("Nothing conflicts any more: agentfsctl merge resolve %lld --done merges it.\n",
		       r->merge);
	return CTL_OK;
}

/* The number of the first line with a conflict marker of git's; 0: none, or no text that we can read. */
static size_t marker_line(const char *view, const char *path)
{
	_cleanup_buf_ struct buf b = BUF_INIT, name = BUF_INIT;
	size_t line = 1;

	if (buf_addf(&name, "%s/%s", view, path) < 0 ||
	    io_read_file(AT_FDCWD, name.data, FILE_MAX, &b) < 0)
		return 0;
	for (const char *p = b.data, *end = b.data + b.len; p && p < end; line++) {
		if (end - p > 7 &&
		    (strncmp(p, "<<<<<<< ", 8) == 0 || strncmp(p, ">>>>>>> ", 8) == 0))
			return line;
		p = memchr(p, '\n', (size_t)(end - p));
		p = p ? p + 1 : NULL;
	}
	return 0;
}

static int check_markers(struct resolve *r)
{
	json_t *o;
	size_t i;

	json_array_foreach (r->conflicts, i, o) {
		size_t line = marker_line(r->view, jstr(o, "path"));

		if (line)
			return ctl_fail(r->c, CTL_FAILED, "Conflict",
					"Mend it there, git add it and git commit.",
					"'%s' of %s still has a conflict marker in line %zu",
					jstr(o, "path"), r->agent, line);
	}
	return CTL_OK;
}

static size_t kept(const json_t *explained)
{
	json_t *hunk, *said;
	size_t n = 0, i, k;

	json_array_foreach (json_object_get(explained, "hunks"), i, hunk)
		json_array_foreach (json_object_get(hunk, "said"), k, said)
			n += strcmp(jstr(said, "who"), "person") == 0;
	return n;
}

static int print_done(struct resolve *r, const json_t *merged)
{
	_cleanup_(json_decrefp) json_t *now = NULL;
	size_t n;

	/* Asking for it is what makes the daemon look for the resolution. */
	if (client_try(r->c, "MergeExplain", json_pack("{s:I}", "merge", (json_int_t)r->merge),
		       &now) < 0)
		now = NULL;
	n = kept(now);
	printf("%s -> ", r->agent);
	out_text(stdout, jstr(merged, "into"));
	printf(": %s%s%s", out_on(OUT_GREEN), jstr(merged, "state"), out_off(OUT_GREEN));
	if (*jstr(merged, "commit")) {
		printf(" as ");
		out_id(stdout, jstr(merged, "commit"));
	}
	printf(" (merge %lld); %zu resolved conflict%s remembered\n", jint(merged, "merge"), n,
	       n == 1 ? "" : "s");
	return CTL_OK;
}

static int take_back(struct resolve *r)
{
	const char *name = args_get(&r->c->args, "agent");
	_cleanup_(json_decrefp) json_t *reply = NULL;
	const json_t *merged;
	int q;

	if (!(name ? find_view(r, name)
		   : find_merger(r) || find_view(r, jstr(r->record, "source"))))
		return fail(r, "Name the view with --agent NAME.", "is being resolved in no view");
	q = check_markers(r);
	if (q != CTL_OK)
		return q;
	q = client_call(
		r->c, "Merge",
		json_pack("{s:[s], s:s}", "sources", r->agent, "into", jstr(r->record, "into")),
		&reply);
	if (q != 0)
		return q;
	merged = json_array_get(json_object_get(reply, "merges"), 0);
	if (r->c->json)
		q = ctl_json(reply);
	if (strcmp(jstr(merged, "state"), "conflict") == 0) {
		if (!r->c->json)
			return fail(r, "Run merge resolve of the new merge in the same view.",
				    "was resolved, but the target has moved and conflicts again");
		return CTL_FAILED;
	}
	return r->c->json ? q : print_done(r, merged);
}

static int run_merge_resolve(struct ctl *c)
{
	_cleanup_(resolve_release) struct resolve r = {.c = c};
	const char *style = args_get(&c->args, "style");
	int q;

	if (style && strcmp(style, "merge") != 0 && strcmp(style, "diff3") != 0 &&
	    strcmp(style, "zdiff3") != 0)
		return ctl_usage(c, "--style is merge, diff3 or zdiff3, not '%s'", style);
	q = read_merge(&r);
	if (q != CTL_OK)
		return q;
	return args_has(&c->args, "done") ? take_back(&r) : leave(&r);
}

const struct command cmd_merge_resolve = {
	.name = "merge resolve",
	.group = "Work",
	.args = "MERGE",
	.help = "put a merge's conflicts into a view, and take the result back",
	.about =
		"The source agent's view moves to the target as sync does, and files that conflict get "
		"markers; its git is in a merge then. With --agent a view on the target is made for it, in "
		"which role merger may write what the source changed and nothing else. Once the files are mended, "
		"added and committed there, --done merges the view's branch into the target, as merge "
		"does, and what was kept of each conflict is remembered: the same conflict has an answer "
		"from then on.",
	.example = "agentfsctl merge resolve 12 --agent mona\nagentfsctl merge resolve 12 --done",
	.opts =
		(const struct opt[]){
			{"agent", 0, "NAME", "make this agent's view for it"},
			{"style", 0, "STYLE", "markers: merge, diff3 or zdiff3 (default)",
			 "merge|diff3|zdiff3"},
			{"done", 0, NULL, "it is resolved: merge it, and remember how"},
			{0}},
	.run = run_merge_resolve,
};
