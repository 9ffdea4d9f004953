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
	_cleanup_(out_table_release) struct out_table t = {.columns = 6};
	json_t *m;
	size_t i;
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
	if (json_array_size(json_object_get(reply, "merges")) == 0) {
		ctl_note(c, "No merge of these was tried yet.");
		return CTL_OK;
	}
	out_row(&t, OUT_BOLD,
		(const char *[]){"MERGE", "WHEN", "BRANCHES", "STATE", "TIER",
				 "RESOLVED OR CONFLICTING"});
	json_array_foreach (json_object_get(reply, "merges"), i, m)
		history_row(&t, m);
	out_table_print(stdout, &t);
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

/* One conflict that a rule resolved: the sides, what it became, why, and what else was said. */
static void print_resolution(const char *path, const json_t *o)
{
	json_t *other;
	size_t i;

	printf("  ");
	out_text(stdout, path);
	printf(":%lld: ", jint(o, "line"));
	out_text(stdout, jstr(o, "does"));
	merge_print_record(o);
	(void)putchar('\n');
	merge_print_lines("<", OUT_RED, jstr(o, "ours"));
	merge_print_lines(">", OUT_GREEN, jstr(o, "theirs"));
	merge_print_lines("=", OUT_BOLD, jstr(o, "text"));
	json_array_foreach (json_object_get(o, "candidates"), i, other) {
		printf("    also said, and not taken");
		merge_print_record(other);
		printf(":\n");
		merge_print_lines("=", OUT_DIM, jstr(other, "text"));
	}
}

static void print_explained(const json_t *record, const json_t *result)
{
	json_t *file, *o;
	char when[40];
	size_t i, k;

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
	if (json_array_size(json_object_get(result, "resolved")) > 0)
		printf("Resolved by rule (< the target's, > the source's, = what it became):\n");
	json_array_foreach (json_object_get(result, "resolved"), i, file)
		json_array_foreach (json_object_get(file, "conflicts"), k, o)
			print_resolution(jstr(file, "path"), o);
	if (json_array_size(json_object_get(result, "conflicts")) > 0)
		printf("Conflicts:\n");
	json_array_foreach (json_object_get(result, "conflicts"), i, o)
		merge_print_conflict(o);
	json_array_foreach (json_object_get(result, "notes"), i, o) {
		printf("note: ");
		out_text(stdout, json_string_value(o));
		(void)putchar('\n');
	}
	if (json_array_size(json_object_get(result, "changes")) > 0)
		printf("Changed in the target:\n");
	ctl_print_changes(json_object_get(result, "changes"));
}

static int run_merge_explain(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	const char *word = c->args.words[0];
	char *end;
	long long id = strtoll(word, &end, 10);
	int r;

	if (id < 1 || *end)
		return ctl_usage(c, "MERGE is a number of merge history, not '%s'", word);
	r = client_call(c, "MergeExplain", json_pack("{s:I}", "merge", (json_int_t)id), &reply);
	if (r != 0)
		return r;
	if (c->json)
		return ctl_json(reply);
	print_explained(json_object_get(reply, "record"), json_object_get(reply, "result"));
	return CTL_OK;
}

const struct command cmd_merge_explain = {
	.name = "merge explain",
	.group = "Work",
	.args = "MERGE",
	.help = "say what a merge did, conflict by conflict, and why",
	.about =
		"For each conflict: both sides' lines, what it became, which rule said so and how often "
		"that rule was right, and what was said and not taken. MERGE is the number that merge "
		"printed and merge history lists.",
	.example = "agentfsctl merge explain 12",
	.run = run_merge_explain,
};
