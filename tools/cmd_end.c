/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of a view: its next task, the states it goes through, its end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"
#include "cmd.h"
#include "json.h"
#include "out.h"

static int run_next(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	_cleanup_free_ char *agent = NULL;
	const char *task = args_get(&c->args, "task");
	const json_t *v;
	int r = 0;

	if (!task)
		return ctl_usage(c,
				 "--task TASK is missing: what is the agent's next task called?");
	agent = ctl_agent(c, 0, &r);
	if (!agent)
		return r;
	r = client_call(c, "Next",
			json_pack("{s:s, s:s, s:o*, s:s*}", "agent", agent, "task", task, "scope",
				  args_list(&c->args, "scope"), "base", args_get(&c->args, "base")),
			&reply);
	if (r != 0)
		return r;
	ctl_notes(c, reply, "notes");
	if (c->json)
		return ctl_json(reply);
	v = json_object_get(reply, "view");
	printf("%s: now at task ", agent);
	out_text(stdout, jstr(v, "task"));
	printf(" on branch ");
	out_text(stdout, jstr(v, "branch"));
	ctl_print_scope(v);
	(void)putchar('\n');
	return CTL_OK;
}

const struct command cmd_next = {
	.name = "next",
	.group = "Views",
	.args = "[AGENT]",
	.help = "commit a view's work and move it on to a new task",
	.about = "Materializes the view, keeps its branch, and goes on in the same mounted "
		 "folder on a new "
		 "branch that starts where the old one ends.",
	.example = "agentfsctl next alice --task logout",
	.opts =
		(const struct opt[]){
			{"task", 0, "TASK", "the new task (required)"},
			{"base", 0, "REV", "start the new task on this commit or branch instead"},
			{"scope", 0, "PATTERN", "the new task's scope (gitignore pattern)", NULL,
			 .repeat = true},
			{0}},
	.run = run_next,
};

static const char restore_note[] = "kept; bring it back with: ";

/* Takes the note that says how to bring the work back out of the reply: it comes last. The caller frees. */
static char *take_restore(json_t *reply)
{
	json_t *notes = json_object_get(reply, "notes"), *note;
	char *command = NULL;
	size_t i;

	json_array_foreach (notes, i, note) {
		const char *text = json_string_value(note);

		if (!text || strncmp(text, restore_note, strlen(restore_note)) != 0)
			continue;
		command = strdup(text + strlen(restore_note));
		if (command)
			(void)json_array_remove(notes, i);
		break;
	}
	return command;
}

/* One preserved ref and, with `repo`, the command that brings it back. */
static void print_preserved(const char *ref, const char *repo, const char *agent)
{
	(void)fputs("kept for 14 days: ", stdout);
	out_text(stdout, ref);
	(void)putchar('\n');
	if (!repo || strncmp(ref, "refs/", 5) != 0)
		return;
	(void)fputs("bring it back:    git -C ", stdout);
	out_quoted(stdout, *repo ? repo : ".");
	(void)fputs(" branch ", stdout);
	out_text(stdout, agent);
	(void)fputs("-restored ", stdout);
	out_quoted(stdout, ref);
	(void)putchar('\n');
}

static int take_down(struct ctl *c, const char *method, const char *before, const char *after)
{
	_cleanup_(json_decrefp) json_t *reply = NULL, *shown = NULL;
	_cleanup_free_ char *agent = NULL, *restore = NULL;
	const json_t *v;
	const char *repo;
	json_t *ref;
	size_t i;
	int r = 0;

	agent = ctl_agent(c, 0, &r);
	if (!agent)
		return r;
	r = client_call(c, "Show", json_pack("{s:s}", "agent", agent), &shown);
	if (r != 0)
		return r;
	v = json_object_get(shown, "view");
	r = client_call(
		c, method,
		json_pack("{s:s, s:o*}", "agent", agent, "force", args_true(&c->args, "force")),
		&reply);
	if (r != 0)
		return r;
	if (!c->json)
		restore = take_restore(reply);
	ctl_notes(c, reply, "notes");
	if (c->json)
		return ctl_json(reply);
	printf("%s: %s ", agent, before);
	out_text(stdout, jstr(v, "branch"));
	printf(" %s\n", after);
	repo = restore ? NULL : jstr(v, "repository");
	json_array_foreach (json_object_get(reply, "preserved"), i, ref) {
		if (json_is_string(ref))
			print_preserved(json_string_value(ref), repo, agent);
	}
	if (restore) {
		(void)fputs("bring it back:    ", stdout);
		out_text(stdout, restore);
		(void)putchar('\n');
	}
	return CTL_OK;
}

static int run_rollback(struct ctl *c)
{
	return take_down(c, "Rollback", "the view and its branch", "are gone");
}

static int run_destroy(struct ctl *c)
{
	return take_down(c, "Destroy", "the view is gone, its branch", "stays");
}

static const struct opt force_opts[] = {
	{"force", 0, NULL, "also a view that is in use"},
	{0},
};

const struct command cmd_rollback = {
	.name = "rollback",
	.group = "Undo",
	.args = "[AGENT]",
	.help = "undo an agent's work: view and branch go",
	.about = "Work that is not merged is first kept under refs/agentfs/preserved/ for 14 "
		 "days, and the "
		 "command that brings it back is printed.",
	.example = "agentfsctl rollback alice",
	.opts = force_opts,
	.run = run_rollback,
};

const struct command cmd_destroy = {
	.name = "destroy",
	.group = "Undo",
	.args = "[AGENT]",
	.help = "take a view down; its branch stays",
	.about = "Work that is not on the branch is first kept under refs/agentfs/preserved/ "
		 "for 14 days, and "
		 "the command that brings it back is printed.",
	.example = "agentfsctl destroy alice",
	.opts = force_opts,
	.run = run_destroy,
};

static int wait_reply(struct ctl *c, const json_t *reply, void *arg)
{
	json_decref(*(json_t **)arg);
	*(json_t **)arg = json_incref((json_t *)reply);
	return 0;
}

static int run_wait(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	_cleanup_free_ char *agent = NULL;
	const char *state = args_get(&c->args, "for");
	long timeout = args_number(&c->args, "timeout", -1);
	int r = 0;

	if (!state)
		return ctl_usage(c, "--for STATE is missing: which state shall be waited for?");
	agent = c->args.n_words ? strdup(c->args.words[0]) : ctl_agent(c, 0, &r);
	if (!agent)
		return r;
	r = client_more(c, "Wait",
			json_pack("{s:s, s:s, s:o*}", "target", agent, "state", state, "timeout",
				  timeout < 0 ? NULL : json_integer(timeout)),
			wait_reply, &reply);
	if (r != 0)
		return r;
	if (c->json)
		return ctl_json(reply);
	printf("%s: %s\n", agent, state);
	return CTL_OK;
}

const struct command cmd_wait = {
	.name = "wait",
	.group = "Views",
	.args = "[AGENT|REQUEST]",
	.help = "wait until a view or a merge request is in a state",
	.about =
		"Ends when the view is in the state, or fails after --timeout. A merge request (a number of "
		"queue list) is pending, merging, verifying, ready, merged, conflict or failed; where it ends "
		"as another than the one waited for, the command fails.",
	.example = "agentfsctl wait alice --for closed --timeout 60",
	.opts =
		(const struct opt[]){
			{"for", 0, "STATE", "the state (required)",
			 "creating|live|frozen|stale|closed|pending|merging|verifying|ready|merged|"
			 "conflict|failed"},
			{"timeout", 0, "SECONDS", "give up after so long (default: never)", NULL,
			 .number = true},
			{0}},
	.run = run_wait,
};
