/* SPDX-License-Identifier: Apache-2.0 */
/* Branches into their target: the tiers' results for people, and what is known of the resolvers. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "client.h"
#include "cmd.h"
#include "json.h"
#include "merge_out.h"
#include "out.h"

enum { SHOWN_LINES = 6, SHOWN_BYTES = 160, SHOWN_DIFFERENCES = 5 };

/* What an external resolver's answer was believed for. */
static const char *basis_of(const json_t *answer)
{
	static const char *const words[][2] = {{"candidate", "a rule says the same"},
					       {"record", "its record here is good enough"},
					       {"verify", "verified before it landed"},
					       {"samples", "said twice"}};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(jstr(answer, "basis"), words[i][0]) == 0)
			return words[i][1];
	return NULL;
}

static void print_cost(const json_t *cost)
{
	long long calls = jint(cost, "calls"), ms = jint(cost, "ms");

	printf("%lld call%s, %lld.%lld s, %lld tokens", calls, calls == 1 ? "" : "s", ms / 1000,
	       ms % 1000 / 100, jint(cost, "tokens"));
}

void merge_print_record(const json_t *answer)
{
	const char *basis = basis_of(answer);

	if (basis) {
		printf(" (");
		out_text(stdout, jstr(answer, "resolver"));
		printf(": %s; ", basis);
		if (json_is_true(json_object_get(answer, "replayed")))
			printf("said before, ");
		print_cost(json_object_get(answer, "cost"));
		printf(")");
		return;
	}
	printf(" (resolver ");
	out_text(stdout, jstr(answer, "resolver"));
	if (jint(answer, "fired") > 0)
		printf(": right in %lld of %lld past conflicts)", jint(answer, "right"),
		       jint(answer, "fired"));
	else
		printf(": no record yet)");
}

void merge_print_lines(const char *mark, enum out_color color, const char *text)
{
	for (int i = 0; *text; i++) {
		size_t n = strcspn(text, "\n"), shown = out_fit(text, n, SHOWN_BYTES);
		_cleanup_free_ char *line = strndup(text, shown);

		if (i == SHOWN_LINES) {
			printf("      %s …\n", mark);
			return;
		}
		printf("      %s%s ", out_on(color), mark);
		out_line(stdout, line ? line : "");
		printf("%s%s\n", out_off(color), shown < n ? " …" : "");
		text += n + (text[n] == '\n');
	}
}

/* What both sides made of the same lines, and what resolvers would have made of it. */
static void print_hunk(const json_t *hunk)
{
	json_t *answer;
	size_t i;

	printf("    line %lld: < the target's, > the source's\n", jint(hunk, "line"));
	merge_print_lines("<", OUT_RED, jstr(hunk, "ours"));
	merge_print_lines(">", OUT_GREEN, jstr(hunk, "theirs"));
	json_array_foreach (json_object_get(hunk, "candidates"), i, answer) {
		const json_t *before =
			i ? json_array_get(json_object_get(hunk, "candidates"), i - 1) : NULL;
		bool same = before && strcmp(jstr(before, "text"), jstr(answer, "text")) == 0;

		printf(same ? "      so says another"
			    : "    would be, but its record is not good enough");
		merge_print_record(answer);
		printf(same ? "\n" : ":\n");
		if (!same)
			merge_print_lines("=", OUT_PLAIN, jstr(answer, "text"));
	}
	merge_print_rejected(hunk);
}

/* What an external resolver said, and why that was not taken. */
void merge_print_rejected(const json_t *hunk)
{
	json_t *o;
	size_t i;

	json_array_foreach (json_object_get(hunk, "rejected"), i, o) {
		printf("    %s ", json_is_true(json_object_get(o, "declined")) ? "no answer from"
									       : "rejected, by");
		out_text(stdout, jstr(o, "resolver"));
		printf(": ");
		out_text(stdout, jstr(o, "why"));
		(void)putchar('\n');
		if (*jstr(o, "text"))
			merge_print_lines("=", OUT_DIM, jstr(o, "text"));
	}
}

const char *merge_to_do(const char *kind)
{
	static const char *const words[][2] = {
		{"add/add", "git add one file that has both, or each under a name of its own"},
		{"binary", "git add the version that is to stay"},
		{"modify/delete",
		 "git add it to keep it as it was changed, git rm it to have it gone"},
		{"delete/modify",
		 "git add it to keep it as it was changed, git rm it to have it gone"},
		{"rename/rename", "git add it under the name that is to stay, git rm the others"},
		{"rename/delete",
		 "git add it to keep it under its new name, git rm it to have it gone"},
		{"file/folder", "git mv one of them to another name, or git rm it"},
		{"folder rename", "git add the file in the folder where it belongs"},
		{"symlink", "ln -sfn to where it is to lead, then git add it"},
		{"type", "git add the one that is to stay"},
		{"mode", "chmod it as it is to be, then git add it"},
		{"submodule", "git checkout in it the commit that is to be, then git add it"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(words[i][0], kind) == 0)
			return words[i][1];
	return NULL;
}

void merge_print_conflict(const json_t *conflict)
{
	json_t *hunk;
	size_t i;

	printf("  %s", out_on(OUT_RED));
	out_text(stdout, jstr(conflict, "path"));
	printf("%s: ", out_off(OUT_RED));
	out_text(stdout, jstr(conflict, "kind"));
	if (*jstr(conflict, "reason")) {
		printf(" (");
		out_text(stdout, jstr(conflict, "reason"));
		printf(")");
	}
	(void)putchar('\n');
	json_array_foreach (json_object_get(conflict, "hunks"), i, hunk)
		print_hunk(hunk);
	if (!i && merge_to_do(jstr(conflict, "kind")))
		printf("    to do: %s\n", merge_to_do(jstr(conflict, "kind")));
}

/* A file whose conflicts were all resolved: each with who did it, how far that may be believed, and why. */
static void add_resolved(struct out_table *t, const json_t *m, const json_t *file)
{
	json_t *answer;
	size_t i;

	json_array_foreach (json_object_get(file, "conflicts"), i, answer) {
		_cleanup_free_ char *where = NULL, *evidence = NULL;

		if (asprintf(&where, "%s:%lld", jstr(file, "path"), jint(answer, "line")) < 0)
			where = NULL;
		if (basis_of(answer))
			evidence = strdup(basis_of(answer));
		else if (jint(answer, "fired") > 0 &&
			 asprintf(&evidence, "right in %lld of %lld", jint(answer, "right"),
				  jint(answer, "fired")) < 0)
			evidence = NULL;
		out_row(t, OUT_PLAIN,
			(const char *[]){where,
					 *jstr(answer, "tier") ? jstr(answer, "tier")
							       : "auto-resolve",
					 jstr(answer, "resolver"), evidence, jstr(answer, "does")});
	}
}

static void print_resolved(const json_t *m)
{
	_cleanup_(out_table_release) struct out_table t = {.columns = 5};
	const json_t *files = json_object_get(m, "resolved");
	json_t *file;
	size_t i;

	if (!json_array_size(files))
		return;
	out_row(&t, OUT_BOLD, (const char *[]){"RESOLVED", "TIER", "BY", "EVIDENCE", "BECAUSE"});
	json_array_foreach (files, i, file)
		add_resolved(&t, m, file);
	out_table_print(stdout, &t);
}

static const char *merge_state(const char *state)
{
	if (strcmp(state, "up_to_date") == 0)
		return "already up to date";
	if (strcmp(state, "would_merge") == 0)
		return "would merge";
	return state;
}

/* One source: the result in a line, paths or conflicts below. Returns whether it conflicts. */
static bool print_merged(struct ctl *c, const json_t *m)
{
	bool conflict = strcmp(jstr(m, "state"), "conflict") == 0;
	json_t *item;
	size_t i;

	out_text(stdout, jstr(m, "source"));
	printf(" -> ");
	out_text(stdout, jstr(m, "into"));
	printf(": %s", out_on(conflict ? OUT_RED : OUT_GREEN));
	out_text(stdout, merge_state(jstr(m, "state")));
	printf("%s", out_off(conflict ? OUT_RED : OUT_GREEN));
	if (*jstr(m, "commit")) {
		printf(" as ");
		out_id(stdout, jstr(m, "commit"));
	}
	if (json_is_true(json_object_get(m, "fast_forward")))
		printf(", fast-forward");
	if (*jstr(m, "tier")) {
		printf(", ");
		out_text(stdout, jstr(m, "tier"));
	}
	if (jint(m, "merge") > 0)
		printf(" (merge %lld)", jint(m, "merge"));
	(void)putchar('\n');
	if (conflict)
		json_array_foreach (json_object_get(m, "conflicts"), i, item)
			merge_print_conflict(item);
	else
		ctl_print_changes(json_object_get(m, "changes"));
	print_resolved(m);
	if (json_object_get(m, "cost")) {
		printf("Resolvers were asked: ");
		print_cost(json_object_get(m, "cost"));
		printf(".\n");
	}
	ctl_notes(c, m, "notes");
	return conflict;
}

/* What to do about a conflict. A dry run has no number: the real one has to come first. */
static void print_way_out(const json_t *m)
{
	long long number = jint(m, "merge");

	if (!number) {
		printf("Nothing was changed. A merge that is no dry run gets a number, by which it "
		       "can be resolved; or, where the source is checked out: git merge %.12s\n",
		       jstr(m, "target"));
		return;
	}
	printf("Nothing was changed. Next, one of\n"
	       "  agentfsctl merge resolve %lld   puts the conflict into the source's view (--agent NAME: a new one)\n"
	       "  git merge %.12s        by hand, where the source is checked out; then agentfsctl merge again\n"
	       "  agentfsctl merge explain %lld   shows all of it; agentfsctl merge html FILE %lld for a browser\n",
	       number, jstr(m, "target"), number, number);
}

static void print_failed(const json_t *m)
{
	out_text(stdout, jstr(m, "source"));
	printf(": %sfailed%s: ", out_on(OUT_RED), out_off(OUT_RED));
	out_text(stdout, jstr(m, "message"));
	(void)putchar('\n');
}

static void print_asked(const json_t *reply)
{
	json_t *id;
	size_t i;

	json_array_foreach (json_object_get(reply, "requests"), i, id)
		printf("Asked for: merge request %lld.\n", (long long)json_integer_value(id));
}

static int run_merge(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL, *sources = json_array();
	_cleanup_free_ char *agent = NULL, *cwd = getcwd(NULL, 0);
	const char *repo = args_get(&c->args, "repo");
	_cleanup_free_ char *real = repo ? realpath(repo, NULL) : NULL;
	const json_t *stuck = NULL;
	json_t *m;
	size_t i;
	int r = 0;

	for (i = 0; i < c->args.n_words; i++)
		(void)json_array_append_new(sources, json_string(c->args.words[i]));
	if (args_has(&c->args, "all") && c->args.n_words > 0)
		return ctl_usage(c, "--all merges every view: '%s' need not be named",
				 c->args.words[0]);
	if (c->args.n_words == 0 && !args_has(&c->args, "all")) {
		agent = ctl_agent(c, 0, &r);
		if (!agent)
			return r;
		(void)json_array_append_new(sources, json_string(agent));
	}
	r = client_call(
		c, "Merge",
		json_pack("{s:O, s:s*, s:s*, s:o*, s:o*, s:o*, s:o*, s:o*, s:o*, s:o*, s:o*}",
			  "sources", sources, "repository",
			  real	 ? real
			  : repo ? repo
				 : cwd,
			  "into", args_get(&c->args, "into"), "dry_run",
			  args_true(&c->args, "dry-run"), "no_materialize",
			  args_true(&c->args, "no-materialize"), "squash",
			  args_true(&c->args, "squash"), "destroy", args_true(&c->args, "destroy"),
			  "all", args_true(&c->args, "all"), "batch", args_true(&c->args, "batch"),
			  "no_wait", args_true(&c->args, "no-wait"), "ask_models",
			  args_true(&c->args, "ask-models")),
		&reply);
	if (r != 0)
		return r;
	if (c->json)
		(void)ctl_json(reply);
	json_array_foreach (json_object_get(reply, "merges"), i, m) {
		if (c->json ? strcmp(jstr(m, "state"), "conflict") == 0 : print_merged(c, m))
			stuck = m;
	}
	if (stuck && !c->json)
		print_way_out(stuck);
	json_array_foreach (json_object_get(reply, "failed"), i, m)
		if (!c->json)
			print_failed(m);
	if (args_has(&c->args, "no-wait") && !c->json)
		print_asked(reply);
	return stuck || json_array_size(json_object_get(reply, "failed")) > 0 ? CTL_FAILED : CTL_OK;
}

const struct command cmd_merge = {
	.name = "merge",
	.group = "Work",
	.args = "[AGENT|BRANCH...]",
	.help = "merge agents' work into the branch it started from",
	.about =
		"Materializes first, then merges in the object store: fast-forward or a "
		"merge commit. A "
		"conflict changes nothing, lists each path with its kind, and exits 1. A "
		"target that is checked "
		"out is updated as git would. Conflicts of lines that a rule resolves well enough (see merge learn) "
		"are resolved, and told; what no rule resolves is shown to the resolvers that the "
		"configuration names (merge: {resolvers: ...}).",
	.example = "agentfsctl merge alice bob --dry-run\nagentfsctl merge alice --into main",
	.opts =
		(const struct opt[]){
			{"into", 0, "BRANCH",
			 "the target (default: the branch that the base was taken from)"},
			{"dry-run", 0, NULL,
			 "only say what would happen; exits as the real one would"},
			{"ask-models", 0, NULL,
			 "with --dry-run: ask the resolvers that are configured, too, which may cost "
			 "money"},
			{"no-materialize", 0, NULL, "merge the branches as they are"},
			{"squash", 0, NULL, "one commit instead of the agent's own"},
			{"destroy", 0, NULL, "take the views down after a merge that worked"},
			{"all", 0, NULL,
			 "merge every view of the repository, in the queue's order"},
			{"batch", 0, NULL, "all of them land together, or none does"},
			{"no-wait", 0, NULL, "ask for it only: agentfsctl queue list shows it"},
			{"repo", 0, "PATH",
			 "any path in the repository (default: the current folder)", "@dirs"},
			{0}},
	.run = run_merge,
};

/* What one resolver was right in, in all and by language; `o` is its first record. */
static void print_record(const json_t *records, const json_t *o)
{
	long long fired = 0, right = 0, n = 0;
	const json_t *r;
	size_t i;

	json_array_foreach (records, i, r) {
		if (strcmp(jstr(r, "resolver"), jstr(o, "resolver")) != 0)
			continue;
		if (n++ == 0 && r != o)
			return;
		fired += jint(r, "fired");
		right += jint(r, "right");
	}
	if (!fired)
		return;
	printf("  %-10s right in %lld of %lld", jstr(o, "resolver"), right, fired);
	json_array_foreach (records, i, r)
		if (strcmp(jstr(r, "resolver"), jstr(o, "resolver")) == 0)
			printf("%s %s%s%s %lld of %lld", n-- > 0 && r == o ? ":" : ",",
			       jstr(r, "language"),
			       strcmp(jstr(r, "paths"), "plain") == 0 ? "" : " ",
			       strcmp(jstr(r, "paths"), "plain") == 0 ? "" : jstr(r, "paths"),
			       jint(r, "right"), jint(r, "fired"));
	(void)putchar('\n');
}

static void print_learned(const json_t *reply)
{
	const json_t *records = json_object_get(reply, "records");
	long long merges = jint(reply, "merges"), conflicts = jint(reply, "conflicts");
	json_t *o;
	size_t i;

	printf("%lld merge%s replayed, %lld with conflicts of lines", merges,
	       merges == 1 ? "" : "s", jint(reply, "conflicted"));
	if (conflicts)
		printf(" (%lld in all); rules had an answer to %lld", conflicts,
		       jint(reply, "answered"));
	printf(".\n");
	json_array_foreach (records, i, o)
		print_record(records, o);
	if (!jint(reply, "answered"))
		printf("Nothing to learn here yet: rules go by the records they come with.\n");
}

static void print_differences(const json_t *examples)
{
	json_t *o;
	size_t i;

	if (json_array_size(examples) > 0)
		printf("Where the person kept something else (= the resolver's, > the person's):\n");
	json_array_foreach (examples, i, o) {
		if (i == SHOWN_DIFFERENCES) {
			printf("  … and %zu more (--json lists them)\n",
			       json_array_size(examples) - i);
			return;
		}
		printf("  ");
		out_id(stdout, jstr(o, "commit"));
		printf(" ");
		out_text(stdout, jstr(o, "path"));
		printf(", resolver ");
		out_text(stdout, jstr(o, "resolver"));
		printf(": ");
		out_text(stdout, jstr(o, "why"));
		(void)putchar('\n');
		merge_print_lines("=", OUT_RED, jstr(o, "said"));
		merge_print_lines(">", OUT_GREEN, jstr(o, "kept"));
	}
}

static int run_merge_learn(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	_cleanup_free_ char *cwd = getcwd(NULL, 0);
	const char *repo = args_get(&c->args, "repo");
	int r;

	r = client_call(c, "Learn",
			json_pack("{s:s*, s:o*}", "repository", repo ? repo : cwd, "last",
				  args_get(&c->args, "last")
					  ? json_integer(args_number(&c->args, "last", 0))
					  : NULL),
			&reply);
	if (r != 0)
		return r;
	if (c->json)
		return ctl_json(reply);
	print_learned(reply);
	print_differences(json_object_get(reply, "examples"));
	return CTL_OK;
}

const struct command cmd_merge_learn = {
	.name = "merge learn",
	.group = "Work",
	.args = "",
	.help = "replay a repository's merges to see which rules are right in it",
	.about =
		"Makes the last merges of HEAD's history again and compares what each resolver of "
		"conflicts would have said with what the person kept. From then on a resolver acts "
		"alone in this repository only where its record here allows it: where the lower "
		"bound of its precision beats k / (k + 1), k being merge: {cost-of-wrong: 5} of the "
		"configuration. Nothing in the repository changes.",
	.example = "agentfsctl merge learn --last 1000",
	.opts =
		(const struct opt[]){
			{"last", 0, "N", "how many merges (default: 500)", .number = true},
			{"repo", 0, "PATH",
			 "any path in the repository (default: the current folder)", "@dirs"},
			{0}},
	.run = run_merge_learn,
};
