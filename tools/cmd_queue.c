/* SPDX-License-Identifier: Apache-2.0 */
/* The merge queue: what is in it, its order, and what a person may do with it. */
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

static int number(struct ctl *c, const char *word, long long *ret)
{
	char *end;

	*ret = strtoll(word, &end, 10);
	if (*ret < 1 || *end)
		return ctl_usage(c, "REQUEST is a number of queue list, not '%s'", word);
	return CTL_OK;
}

static enum out_color color_of(const char *state)
{
	if (strcmp(state, "merged") == 0 || strcmp(state, "ready") == 0)
		return OUT_GREEN;
	return strcmp(state, "conflict") == 0 || strcmp(state, "failed") == 0 ? OUT_RED : OUT_PLAIN;
}

static void queue_row(struct out_table *t, const json_t *r)
{
	_cleanup_free_ char *branches = NULL;
	char id[24], ago[32], paths[24] = "";

	(void)snprintf(id, sizeof(id), "%lld", jint(r, "request"));
	if (jint(r, "paths") > 0)
		(void)snprintf(paths, sizeof(paths), "%lld", jint(r, "paths"));
	if (asprintf(&branches, "%s -> %s", jstr(r, "source"), jstr(r, "into")) < 0)
		branches = NULL;
	out_row(t, color_of(jstr(r, "state")),
		(const char *[]){
			id, out_ago(jstr(r, "time"), ago), branches,
			json_is_true(json_object_get(r, "landing")) ? "landing" : jstr(r, "state"),
			*paths ? paths : NULL, *jstr(r, "waits") ? jstr(r, "waits") : NULL});
}

static int print_list(struct ctl *c, const json_t *reply)
{
	static const char *const heads[] = {"REQUEST", "ASKED", "BRANCHES",
					    "STATE",   "PATHS", "WAITS FOR"};

	if (c->json)
		return ctl_json(reply);
	if (json_is_true(json_object_get(reply, "paused")))
		printf("Paused: agentfsctl queue resume lets it go on.\n");
	ctl_table(c, json_object_get(reply, "requests"), "Nothing waits to be merged.", heads,
		  ARRAY_SIZE(heads), queue_row);
	return CTL_OK;
}

static int run_list(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	const char *repo = args_get(&c->args, "repo");
	_cleanup_free_ char *real = repo ? realpath(repo, NULL) : NULL;
	int r = client_call(c, "QueueList", json_pack("{s:s*}", "repository", real ? real : repo),
			    &reply);

	return r != 0 ? r : print_list(c, reply);
}

static const struct opt repo_opts[] = {
	{"repo", 0, "PATH", "only of this repository", "@dirs"},
	{0},
};

const struct command cmd_queue_list = {
	.name = "queue list",
	.group = "Queue",
	.args = "",
	.help = "list the merges that are under way or wait, in the order of their turns",
	.about =
		"One line a request: number, when it was asked for, branches, state (pending, merging, "
		"verifying, ready, landing), how many paths it changes, and what it waits for.",
	.example = "agentfsctl queue list",
	.opts = repo_opts,
	.run = run_list,
};

static void print_step(const json_t *s)
{
	char when[40];

	printf("  %s  %-9s %-9s ", out_clock(jstr(s, "time"), when), jstr(s, "event"),
	       jstr(s, "state"));
	out_text(stdout, jstr(s, "text"));
	(void)putchar('\n');
}

static void print_request(const json_t *reply)
{
	const json_t *r = json_object_get(reply, "request");
	json_t *o;
	size_t i;

	printf("request %lld: ", jint(r, "request"));
	out_text(stdout, jstr(r, "source"));
	printf(" -> ");
	out_text(stdout, jstr(r, "into"));
	printf(": %s", jstr(r, "state"));
	if (*jstr(r, "waits")) {
		printf(", waits for: ");
		out_text(stdout, jstr(r, "waits"));
	}
	printf("\nin ");
	out_text(stdout, jstr(r, "repository"));
	if (*jstr(r, "tree")) {
		printf(", tree ");
		out_id(stdout, jstr(r, "tree"));
	}
	if (*jstr(r, "error")) {
		printf("\n");
		out_text(stdout, jstr(r, "error"));
	}
	printf("\nSteps:\n");
	json_array_foreach (json_object_get(reply, "steps"), i, o)
		print_step(o);
	json_array_foreach (json_object_get(json_object_get(reply, "result"), "conflicts"), i, o)
		merge_print_conflict(o);
}

static int run_show(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	long long id;
	int r = number(c, c->args.words[0], &id);

	if (r == 0)
		r = client_call(c, "QueueShow", json_pack("{s:I}", "request", (json_int_t)id),
				&reply);
	if (r != 0)
		return r;
	if (c->json)
		return ctl_json(reply);
	print_request(reply);
	return CTL_OK;
}

const struct command cmd_queue_show = {
	.name = "queue show",
	.group = "Queue",
	.args = "REQUEST",
	.help = "say what became of a merge request, step by step",
	.about = "Every step that the request took, when, and what led to it; also of one that is "
		 "over.",
	.example = "agentfsctl queue show 12",
	.run = run_show,
};

static int run_pause(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	const char *repo = args_get(&c->args, "repo");
	_cleanup_free_ char *real = repo ? realpath(repo, NULL) : NULL;
	bool resume = strcmp(c->cmd->name, "queue resume") == 0;
	int r = client_call(
		c, "QueuePause",
		json_pack("{s:s*,s:b}", "repository", real ? real : repo, "resume", resume),
		&reply);

	if (r != 0)
		return r;
	if (c->json)
		return ctl_json(reply);
	printf("The merge queue %s.\n", resume ? "goes on" : "is paused: what is under way ends");
	return CTL_OK;
}

const struct command cmd_queue_pause = {
	.name = "queue pause",
	.group = "Queue",
	.args = "",
	.help = "let no further merge begin",
	.about =
		"Merges that are under way go on to their end; the others wait, also over restarts, "
		"until queue resume.",
	.example = "agentfsctl queue pause --repo .",
	.opts = repo_opts,
	.run = run_pause,
};

const struct command cmd_queue_resume = {
	.name = "queue resume",
	.group = "Queue",
	.args = "",
	.help = "let merges begin again",
	.about = "Ends what queue pause began.",
	.example = "agentfsctl queue resume --repo .",
	.opts = repo_opts,
	.run = run_pause,
};

static int run_reorder(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	long before = args_number(&c->args, "before", 0);
	long long id;
	int r = number(c, c->args.words[0], &id);

	if (r == 0)
		r = client_call(c, "QueueReorder",
				json_pack("{s:I,s:o*}", "request", (json_int_t)id, "before",
					  before > 0 ? json_integer(before) : NULL),
				&reply);
	return r != 0 ? r : print_list(c, reply);
}

const struct command cmd_queue_reorder = {
	.name = "queue reorder",
	.group = "Queue",
	.args = "REQUEST",
	.help = "put a merge request in front of the others",
	.about =
		"By itself the order is: small ones that are in nobody's way first, and who waits long "
		"before who came later. What a request waits for holds all the same.",
	.example = "agentfsctl queue reorder 12 --before 9",
	.opts = (const struct opt[]){{"before", 0, "REQUEST",
				      "in front of this one (default: of all)", NULL,
				      .number = true},
				     {0}},
	.run = run_reorder,
};

static int run_by_hand(struct ctl *c, const char *method, const char *tree, const char *done)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	long long id;
	int r = number(c, c->args.words[0], &id);

	if (r == 0)
		r = client_call(c, method,
				json_pack("{s:I,s:s*}", "request", (json_int_t)id, "tree", tree),
				&reply);
	if (r != 0)
		return r;
	if (c->json)
		return ctl_json(reply);
	printf("Request %lld %s.\n", id, done);
	return CTL_OK;
}

static int run_cancel(struct ctl *c)
{
	return run_by_hand(c, "QueueCancel", NULL, "is cancelled");
}

const struct command cmd_queue_cancel = {
	.name = "queue cancel",
	.group = "Queue",
	.args = "REQUEST",
	.help = "take a merge request out of the queue",
	.about =
		"Whoever waits for it hears that it failed; a verify command that runs for it is ended. One "
		"that is landing cannot be cancelled any more.",
	.example = "agentfsctl queue cancel 12",
	.run = run_cancel,
};

static int run_approve(struct ctl *c)
{
	return run_by_hand(c, "QueueApprove", args_get(&c->args, "tree"), "is approved");
}

const struct command cmd_queue_approve = {
	.name = "queue approve",
	.group = "Queue",
	.args = "REQUEST",
	.help = "let a merge that is ready land",
	.about =
		"Where the configuration says merge: {approval: true}, a merge that was made and verified "
		"waits until it is approved. What is approved is a tree, the one that queue show names: "
		"where the merge would make another one by then, it is asked again.",
	.example = "agentfsctl queue approve 12",
	.opts = (const struct opt[]){{"tree", 0, "ID", "only if it is this tree"}, {0}},
	.run = run_approve,
};
