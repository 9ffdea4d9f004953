/* SPDX-License-Identifier: Apache-2.0 */
/* What a view holds, and its way into a branch, into the target and into a worktree. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "client.h"
#include "cmd.h"
#include "json.h"
#include "out.h"

static const char *files(size_t n)
{
	return n == 1 ? "file" : "files";
}

/* git's --stat: path | n ++++---- */
static void print_stat(const json_t *changes)
{
	long long added, removed, most = 1, total_added = 0, total_removed = 0;
	size_t i, width = 0, w;
	json_t *ch;

	json_array_foreach ((json_t *)changes, i, ch) {
		_cleanup_free_ char *e = out_escape(jstr(ch, "path"));

		w = out_width(e);
		width = w > width ? w : width;
		most = jint(ch, "added") + jint(ch, "removed") > most
			       ? jint(ch, "added") + jint(ch, "removed")
			       : most;
	}
	json_array_foreach ((json_t *)changes, i, ch) {
		_cleanup_free_ char *e = out_escape(jstr(ch, "path"));
		long long scale = most > 40 ? most : 40;

		added = jint(ch, "added");
		removed = jint(ch, "removed");
		total_added += added;
		total_removed += removed;
		printf(" %s%*s | ", e, (int)(width - out_width(e)), "");
		if (json_is_integer(json_object_get(ch, "added"))) {
			printf("%lld %s", added + removed, out_on(OUT_GREEN));
			for (long long k = 0; k < (added * 40 + scale - 1) / scale; k++)
				(void)putchar('+');
			printf("%s%s", out_off(OUT_GREEN), out_on(OUT_RED));
			for (long long k = 0; k < (removed * 40 + scale - 1) / scale; k++)
				(void)putchar('-');
			printf("%s\n", out_off(OUT_RED));
		} else {
			out_text(stdout, jstr(ch, "status"));
			(void)putchar('\n');
		}
	}
	printf(" %zu %s changed", json_array_size(changes), files(json_array_size(changes)));
	if (total_added || !total_removed)
		printf(", %lld insertion%s(+)", total_added, total_added == 1 ? "" : "s");
	if (total_removed || !total_added)
		printf(", %lld deletion%s(-)", total_removed, total_removed == 1 ? "" : "s");
	(void)putchar('\n');
}

/* `word` as a path inside the view mounted at root: absolute ones and, when we stand in the view,
 * those relative to the current folder are made relative to its top. Caller frees. */
static char *path_in_view(const char *root, const char *cwd, const char *word)
{
	size_t n = strlen(root);
	const char *dir;
	char *text = NULL;

	if (n && strncmp(word, root, n) == 0 && (word[n] == '/' || !word[n]))
		return strdup(word[n] ? word + n + 1 : "");
	if (word[0] == '/' || !cwd || !n || strncmp(cwd, root, n) != 0 || cwd[n] != '/')
		return strdup(strncmp(word, "./", 2) == 0 ? word + 2 : word);
	dir = cwd + n + 1;
	if (strcmp(word, ".") == 0)
		return strdup(dir);
	if (asprintf(&text, "%s/%s", dir, strncmp(word, "./", 2) == 0 ? word + 2 : word) < 0)
		return NULL;
	return text;
}

char *ctl_path_in_view(struct ctl *c, const char *agent, const char *word)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	_cleanup_free_ char *cwd = getcwd(NULL, 0);

	/* Without an answer the word goes on as it is: the question itself will say what is wrong.
	 */
	(void)client_try(c, "Show", json_pack("{s:s}", "agent", agent), &reply);
	return path_in_view(jstr(json_object_get(reply, "view"), "path"), cwd, word);
}

size_t ctl_agent_words(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *view = NULL, *shown = NULL;
	_cleanup_free_ char *cwd = NULL;
	const char *word = c->args.n_plain > 0 ? c->args.words[0] : NULL;

	if (!word || !ctl_is_name(word))
		return 0;
	/* In a view "Makefile" may be a file of it; anywhere else the word can only be an agent. */
	cwd = getcwd(NULL, 0);
	if (!cwd || client_try(c, "Which", json_pack("{s:s}", "path", cwd), &view) < 0)
		return 1;
	return client_try(c, "Show", json_pack("{s:s}", "agent", word), &shown) < 0 ? 0 : 1;
}

static int run_diff(struct ctl *c)
{
	bool stat = args_has(&c->args, "stat"), names = args_has(&c->args, "name-status");
	_cleanup_(json_decrefp) json_t *reply = NULL, *paths = NULL;
	_cleanup_free_ char *agent = NULL;
	size_t first = ctl_agent_words(c);
	const json_t *changes;
	int r = 0;

	if (stat && names)
		return ctl_usage(c, "--stat and --name-status exclude each other");
	agent = ctl_agent(c, first ? 0 : c->args.n_words, &r);
	if (!agent)
		return r;
	for (size_t i = first; i < c->args.n_words; i++) {
		_cleanup_free_ char *path = ctl_path_in_view(c, agent, c->args.words[i]);

		paths = paths ? paths : json_array();
		(void)json_array_append_new(paths, json_string(path));
	}
	r = client_call(c, "Diff",
			json_pack("{s:s, s:b, s:O*, s:o*}", "agent", agent, "patch",
				  !stat && !names, "paths", paths, "scratch",
				  args_true(&c->args, "scratch")),
			&reply);
	if (r != 0)
		return r;
	if (c->json)
		return ctl_json(reply);
	changes = json_object_get(reply, "changes");
	if (json_array_size(changes) == 0) {
		_cleanup_free_ char *where = paths ? json_dumps(paths, JSON_COMPACT) : NULL;

		ctl_note(c, "%s: no changes%s%s", agent, where ? " in " : "", where ? where : "");
		return CTL_OK;
	}
	out_pager_start();
	if (stat)
		print_stat(changes);
	else if (names || !json_is_string(json_object_get(reply, "patch")))
		for (size_t i = 0; i < json_array_size(changes); i++)
			ctl_print_change(json_array_get(changes, i), "");
	else
		out_patch(jstr(reply, "patch"));
	out_pager_end();
	return CTL_OK;
}

const struct command cmd_diff = {
	.name = "diff",
	.group = "Work",
	.args = "[AGENT] [PATH...]",
	.help = "show what a view changed since its base",
	.about = "A patch, as git shows it, of what materialize would bring to the branch. "
		 "The first word is "
		 "the agent; words after -- are always paths.",
	.example = "agentfsctl diff alice --stat\nagentfsctl diff -- src/main.c",
	.opts =
		(const struct opt[]){
			{"stat", 0, NULL, "only how many lines of each file"},
			{"name-status", 0, NULL, "only the paths, with A, M, D, R or T"},
			{"scratch", 0, NULL, "the scratch files, which materialize leaves out"},
			{0}},
	.run = run_diff,
};

static void print_commit(const json_t *commit, bool patch)
{
	char ago[32];

	printf("%scommit ", out_on(OUT_YELLOW));
	out_text(stdout, jstr(commit, "id"));
	printf("%s\nAuthor: ", out_off(OUT_YELLOW));
	out_text(stdout, jstr(commit, "author"));
	printf("\nDate:   %s\n\n", out_ago(jstr(commit, "time"), ago));
	out_block(stdout, jstr(commit, "subject"), 4);
	if (*jstr(commit, "body")) {
		(void)putchar('\n');
		out_block(stdout, jstr(commit, "body"), 4);
	}
	if (patch && *jstr(commit, "patch")) {
		(void)putchar('\n');
		out_patch(jstr(commit, "patch"));
	}
}

static int run_log(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	bool patch = args_has(&c->args, "patch");
	_cleanup_free_ char *agent = NULL;
	json_t *commit;
	size_t i;
	int r = 0;

	agent = ctl_agent(c, 0, &r);
	if (!agent)
		return r;
	r = client_call(c, "Log", json_pack("{s:s, s:b}", "agent", agent, "patch", patch), &reply);
	if (r != 0)
		return r;
	if (c->json)
		return ctl_json(reply);
	if (json_array_size(json_object_get(reply, "commits")) == 0) {
		ctl_note(c, "%s: no commits since the base", agent);
		return CTL_OK;
	}
	out_pager_start();
	json_array_foreach (json_object_get(reply, "commits"), i, commit) {
		if (i)
			(void)putchar('\n');
		print_commit(commit, patch);
	}
	out_pager_end();
	return CTL_OK;
}

const struct command cmd_log = {
	.name = "log",
	.group = "Work",
	.args = "[AGENT]",
	.help = "list the commits of a view since its base",
	.about = "Newest first, as git log shows them.",
	.example = "agentfsctl log alice -p",
	.opts = (const struct opt[]){{"patch", 'p', NULL, "each with its patch"}, {0}},
	.run = run_log,
};

static int run_materialize(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	_cleanup_free_ char *agent = NULL;
	long long commits;
	int r = 0;

	agent = ctl_agent(c, 0, &r);
	if (!agent)
		return r;
	r = client_call(c, "Materialize",
			json_pack("{s:s, s:s*, s:o*}", "agent", agent, "message",
				  args_get(&c->args, "message"), "force",
				  args_true(&c->args, "force")),
			&reply);
	if (r != 0)
		return r;
	ctl_notes(c, reply, "notes");
	if (c->json)
		return ctl_json(reply);
	commits = jint(reply, "commits");
	if (commits == 0) {
		printf("%s: nothing new for ", agent);
		out_text(stdout, jstr(reply, "branch"));
		(void)putchar('\n');
		return CTL_OK;
	}
	printf("%s: %lld %s on ", agent, commits, commits == 1 ? "commit" : "commits");
	out_text(stdout, jstr(reply, "branch"));
	printf(", now at ");
	out_id(stdout, jstr(reply, "commit"));
	(void)putchar('\n');
	ctl_print_changes(json_object_get(reply, "changes"));
	return CTL_OK;
}

const struct command cmd_materialize = {
	.name = "materialize",
	.group = "Work",
	.args = "[AGENT]",
	.help = "commit a view's work on its branch",
	.about = "Takes a consistent snapshot while the agent goes on: first the agent's own "
		 "commits, each "
		 "judged by the policy, then what is uncommitted. Without changes it makes "
		 "no commit and says so.",
	.example = "agentfsctl materialize alice -m 'login: check the token'",
	.opts = (const struct opt[]){{"message", 'm', "MESSAGE",
				      "of the commit (default: AGENT: TASK (n files))"},
				     {"force", 0, NULL,
				      "also a folder with very many or very large new files"},
				     {0}},
	.run = run_materialize,
};

static int run_apply(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	_cleanup_free_ char *agent = NULL, *cwd = getcwd(NULL, 0);
	size_t n;
	int r = 0;

	agent = ctl_agent(c, 0, &r);
	if (!agent)
		return r;
	/* Without a word the current folder lies in the view itself: the daemon's default is meant
	 * then. */
	r = client_call(
		c, "Apply",
		json_pack("{s:s, s:s*}", "agent", agent, "worktree", c->args.n_words ? cwd : NULL),
		&reply);
	if (r != 0)
		return r;
	ctl_notes(c, reply, "notes");
	if (c->json)
		return ctl_json(reply);
	n = json_array_size(json_object_get(reply, "changes"));
	printf("%s: %zu %s changed in the worktree, uncommitted\n", agent, n, files(n));
	ctl_print_changes(json_object_get(reply, "changes"));
	return CTL_OK;
}

const struct command cmd_apply = {
	.name = "apply",
	.group = "Work",
	.args = "[AGENT]",
	.help = "bring a view's change into your worktree, uncommitted",
	.about = "Into the worktree that contains the current folder. Refused where a path "
		 "that it would "
		 "change is modified or untracked there.",
	.example = "agentfsctl apply alice",
	.run = run_apply,
};
