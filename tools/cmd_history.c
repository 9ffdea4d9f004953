/* SPDX-License-Identifier: Apache-2.0 */
/* Merges that were tried: a line each, or everything about one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"
#include "cmd.h"
#include "json.h"
#include "merge_out.h"
#include "out.h"

static void history_row(struct out_table *t, const json_t *m)
{
	const json_t *paths = json_object_get(m, "paths");
	const char *first = json_string_value(json_array_get(paths, 0));
	char number[24], ago[32], more[16] = "";
	_cleanup_free_ char *branches = NULL, *where = NULL;

	(void)snprintf(number, sizeof(number), "%lld", jint(m, "merge"));
	if (json_array_size(paths) > 1)
		(void)snprintf(more, sizeof(more), " +%zu", json_array_size(paths) - 1);
	if (asprintf(&branches, "%s -> %s", jstr(m, "source"), jstr(m, "into")) < 0)
		branches = NULL;
	if (asprintf(&where, "%s%s", first ? first : "", more) < 0)
		where = NULL;
	out_row(t, strcmp(jstr(m, "state"), "conflict") == 0 ? OUT_RED : OUT_PLAIN,
		(const char *[]){number, out_ago(jstr(m, "time"), ago), branches, jstr(m, "state"),
				 *jstr(m, "tier") ? jstr(m, "tier") : NULL,
				 where && *where ? where : NULL});
}

static int run_merge_history(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	const char *repo = args_get(&c->args, "repo");
	_cleanup_free_ char *real = repo ? realpath(repo, NULL) : NULL;
	static const char *const heads[] = {"MERGE", "WHEN", "BRANCHES",
					    "STATE", "TIER", "RESOLVED OR CONFLICTING"};
	int r;

	r = client_call(c, "MergeHistory",
			json_pack("{s:s*, s:s*, s:o*}", "repository", real ? real : repo, "path",
				  c->args.n_words ? c->args.words[0] : NULL, "last",
				  args_get(&c->args, "last")
					  ? json_integer(args_number(&c->args, "last", 0))
					  : NULL),
			&reply);
	if (r != 0)
		return r;
	if (c->json)
		return ctl_json(reply);
	ctl_table(c, json_object_get(reply, "merges"), "No merge of these was tried yet.", heads,
		  ARRAY_SIZE(heads), history_row);
	return CTL_OK;
}

const struct command cmd_merge_history = {
	.name = "merge history",
	.group = "Work",
	.args = "[PATH]",
	.help = "list the merges that were tried, newest first",
	.about =
		"One line a merge: number, when, branches, what became of it, by which tier, and the "
		"paths that a rule resolved or that conflict. With PATH (from the top of the "
		"repository) only merges in which that path is one of these.",
	.example = "agentfsctl merge history\nagentfsctl merge history src/main.c --last 5",
	.opts = (const struct opt[]){{"last", 0, "N", "how many (default: 50)", .number = true},
				     {"repo", 0, "PATH", "only merges in this repository", "@dirs"},
				     {0}},
	.run = run_merge_history,
};

static const char *verdict_text(const json_t *said)
{
	const char *verdict = jstr(said, "verdict");

	return strcmp(verdict, "wrong") == 0   ? "; it was wrong, by what people made of it"
	       : strcmp(verdict, "right") == 0 ? "; it was right, by what people made of it"
					       : "";
}

/* Who said what of a conflict, and why; below it the text. */
static void print_said(const json_t *said)
{
	bool taken = json_is_true(json_object_get(said, "taken"));
	bool person = strcmp(jstr(said, "who"), "person") == 0;

	printf("    %s", taken ? "" : "not taken: ");
	if (person) {
		out_text(stdout, jstr(said, "name"));
		printf(" kept (%s, commit ", jstr(said, "class"));
		out_id(stdout, jstr(said, "reason"));
		printf("):\n");
	} else {
		out_text(stdout, jstr(said, "reason"));
		printf(strcmp(jstr(said, "who"), "ai") == 0 ? " (" : " (resolver ");
		out_text(stdout, jstr(said, "name"));
		if (jint(said, "fired") > 0)
			printf(": right in %lld of %lld past conflicts%s):\n", jint(said, "right"),
			       jint(said, "fired"), verdict_text(said));
		else
			printf(": no record here yet%s):\n", verdict_text(said));
	}
	if (*jstr(said, "text"))
		merge_print_lines("=", taken ? OUT_BOLD : OUT_DIM, jstr(said, "text"));
	else
		printf("      = (nothing)\n");
}

static void print_hunk(const json_t *hunk)
{
	json_t *said;
	size_t i;

	printf("  %s", out_on(OUT_BOLD));
	out_text(stdout, jstr(hunk, "path"));
	printf(":%lld%s", jint(hunk, "line"), out_off(OUT_BOLD));
	if (*jstr(hunk, "declaration")) {
		printf(", in ");
		out_text(stdout, jstr(hunk, "declaration"));
	}
	(void)putchar('\n');
	merge_print_lines("<", OUT_RED, jstr(hunk, "ours"));
	merge_print_lines(">", OUT_GREEN, jstr(hunk, "theirs"));
	json_array_foreach (json_object_get(hunk, "said"), i, said)
		print_said(said);
	if (!i)
		printf("    no rule had an answer\n");
}

/* A path that was left; its lines only where they are not told already. */
static void print_unresolved(const json_t *conflict, bool told)
{
	json_t *copy = json_copy((json_t *)conflict);

	if (told)
		(void)json_object_del(copy, "hunks");
	merge_print_conflict(copy);
	json_decref(copy);
}

/* Every call of an external resolver, with its cost. */
static void print_asked(const json_t *asked)
{
	json_t *o;
	size_t i;

	if (json_array_size(asked) > 0)
		printf("Resolvers that were asked:\n");
	json_array_foreach (asked, i, o) {
		printf("  ");
		out_text(stdout, jstr(o, "path"));
		printf(":%lld ", jint(o, "line"));
		out_text(stdout, jstr(o, "resolver"));
		printf(", for a %s, try %lld%s, %lld ms, %lld tokens: ", jstr(o, "ask"),
		       jint(o, "attempt"), jint(o, "sample") > 1 ? " of another sample" : "",
		       jint(o, "ms"), jint(o, "tokens"));
		out_text(stdout, jstr(o, "result"));
		(void)putchar('\n');
	}
}

/* What they said of conflicts (in `key` of the files), why it was believed, or not. */
static void print_said_outside(const json_t *files, const char *key)
{
	json_t *file, *o;
	size_t i, k;

	json_array_foreach (files, i, file)
		json_array_foreach (json_object_get(file, key), k, o) {
			if (!json_object_get(o, "basis") && !json_object_get(o, "rejected"))
				continue;
			printf("  ");
			out_text(stdout, jstr(file, "path"));
			printf(":%lld", jint(o, "line"));
			if (json_object_get(o, "basis"))
				merge_print_record(o);
			(void)putchar('\n');
			if (*jstr(o, "reason")) {
				printf("    it says: ");
				out_text(stdout, jstr(o, "reason"));
				(void)putchar('\n');
			}
			merge_print_rejected(o);
		}
}

static void print_explained(const json_t *record, const json_t *result, const json_t *hunks)
{
	json_t *o;
	char when[40];
	size_t i;

	printf("merge %lld, %s: ", jint(record, "merge"), out_clock(jstr(record, "time"), when));
	out_text(stdout, jstr(record, "source"));
	printf(" -> ");
	out_text(stdout, jstr(record, "into"));
	printf(": ");
	out_text(stdout, jstr(record, "state"));
	if (*jstr(record, "commit")) {
		printf(" as ");
		out_id(stdout, jstr(record, "commit"));
	}
	if (*jstr(record, "tier")) {
		printf(", ");
		out_text(stdout, jstr(record, "tier"));
	}
	printf("\nin ");
	out_text(stdout, jstr(record, "repository"));
	(void)putchar('\n');
	if (json_array_size(hunks) > 0)
		printf("Conflicts of lines (< the target's, > the source's, = what was said):\n");
	json_array_foreach (hunks, i, o)
		print_hunk(o);
	if (json_array_size(json_object_get(result, "conflicts")) > 0)
		printf("Left as conflicts:\n");
	json_array_foreach (json_object_get(result, "conflicts"), i, o)
		print_unresolved(o, json_array_size(hunks) > 0);
	json_array_foreach (json_object_get(result, "notes"), i, o) {
		printf("note: ");
		out_text(stdout, json_string_value(o));
		(void)putchar('\n');
	}
	print_asked(json_object_get(result, "asked"));
	print_said_outside(json_object_get(result, "resolved"), "conflicts");
	print_said_outside(json_object_get(result, "conflicts"), "hunks");
	if (json_array_size(json_object_get(result, "changes")) > 0)
		printf("Changed in the target:\n");
	ctl_print_changes(json_object_get(result, "changes"));
}

int merge_number(struct ctl *c, size_t at, long long *ret)
{
	const char *word = c->args.words[at];
	char *end;

	*ret = strtoll(word, &end, 10);
	return *ret < 1 || *end ? ctl_usage(c, "MERGE is a number of merge history, not '%s'", word)
				: CTL_OK;
}

static int run_merge_explain(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	long long id;
	int r = merge_number(c, 0, &id);

	if (r != CTL_OK)
		return r;
	r = client_call(c, "MergeExplain", json_pack("{s:I}", "merge", (json_int_t)id), &reply);
	if (r != 0)
		return r;
	if (c->json)
		return ctl_json(reply);
	print_explained(json_object_get(reply, "record"), json_object_get(reply, "result"),
			json_object_get(reply, "hunks"));
	return CTL_OK;
}

const struct command cmd_merge_explain = {
	.name = "merge explain",
	.group = "Work",
	.args = "MERGE",
	.help = "say what a merge did, conflict by conflict, and why",
	.about =
		"For each conflict: both sides' lines, what it became, which rule said so and how often "
		"that rule was right, what was said and not taken, and what a person made of it later. MERGE is the number that merge "
		"printed and merge history lists.",
	.example = "agentfsctl merge explain 12",
	.run = run_merge_explain,
};

static int run_merge_undo(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	long long id;
	int r = merge_number(c, 0, &id);

	if (r != CTL_OK)
		return r;
	r = client_call(c, "MergeUndo", json_pack("{s:I}", "merge", (json_int_t)id), &reply);
	if (r != 0)
		return r;
	if (c->json)
		return ctl_json(reply);
	printf("merge %lld, ", id);
	out_text(stdout, jstr(reply, "source"));
	printf(" -> ");
	out_text(stdout, jstr(reply, "into"));
	printf(": %sundone%s as ", out_on(OUT_GREEN), out_off(OUT_GREEN));
	out_id(stdout, jstr(reply, "commit"));
	(void)putchar('\n');
	ctl_print_changes(json_object_get(reply, "changes"));
	return CTL_OK;
}

const struct command cmd_merge_undo = {
	.name = "merge undo",
	.group = "Work",
	.args = "MERGE",
	.help = "take a merge back, in a new commit on its target",
	.about =
		"What the merge changed is reverted on top of the target as it is now; what came later "
		"stays, and a target that is checked out is updated. Refused where later commits changed "
		"the same lines. What rules resolved in that merge counts as wrong from then on. For "
		"git the branch stays merged: git revert of the new commit brings its changes back.",
	.example = "agentfsctl merge undo 12",
	.run = run_merge_undo,
};
