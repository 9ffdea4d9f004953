/* SPDX-License-Identifier: Apache-2.0 */
/* Who may do what: one question to the policy, the rules that touch an agent, the paragraph for its
 * prompt. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"
#include "cmd.h"
#include "json.h"
#include "out.h"

static void print_verdict(const json_t *d)
{
	bool allowed = json_is_true(json_object_get(d, "allowed"));
	enum out_color color = allowed ? OUT_GREEN : OUT_RED;

	printf("%s%s%s", out_on(color), allowed ? "allowed" : "refused", out_off(color));
}

static void print_remedy(const json_t *d)
{
	if (!*jstr(d, "remedy"))
		return;
	printf("what to do: ");
	out_text(stdout, jstr(d, "remedy"));
	(void)putchar('\n');
}

/* The daemon's sentence where it has one; the rule where the sentence does not hold it. */
static void print_decision(const json_t *d)
{
	const char *text = jstr(d, "text"), *rule = jstr(d, "rule");

	print_verdict(d);
	if (*text) {
		printf(": ");
		out_text(stdout, text);
	}
	if (*rule && !strstr(text, rule)) {
		printf(" by rule ");
		out_text(stdout, rule);
	}
	(void)putchar('\n');
	print_remedy(d);
}

static bool same_verdict(const json_t *a, const json_t *b)
{
	return json_equal(json_object_get(a, "allowed"), json_object_get(b, "allowed")) &&
	       strcmp(jstr(a, "result"), jstr(b, "result")) == 0 &&
	       strcmp(jstr(a, "rule"), jstr(b, "rule")) == 0;
}

/* One line for all operations that one rule decides alike: "refused: write, create, unlink by RULE". */
static void print_decisions(const json_t *list)
{
	size_t i, j, n = json_array_size(list);

	for (i = 0; i < n; i = j) {
		const json_t *d = json_array_get(list, i);

		print_verdict(d);
		for (j = i; j < n && same_verdict(d, json_array_get(list, j)); j++) {
			printf("%s", j == i ? ": " : ", ");
			out_text(stdout, jstr(json_array_get(list, j), "op"));
		}
		printf(" by ");
		out_text(stdout, jstr(d, "rule"));
		(void)putchar('\n');
		if (j == n ||
		    strcmp(jstr(d, "remedy"), jstr(json_array_get(list, j), "remedy")) != 0)
			print_remedy(d);
	}
}

static int run_policy_check(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	_cleanup_free_ char *agent = NULL, *path = NULL;
	size_t first = c->args.n_words == 3 ? 1 : 0;
	const json_t *d;
	int r = 0;

	agent = ctl_agent(c, first ? 0 : c->args.n_words, &r);
	if (!agent)
		return r;
	path = ctl_path_in_view(c, agent, c->args.words[first + 1]);
	r = client_call(c, "PolicyCheck",
			json_pack("{s:s, s:s, s:s}", "agent", agent, "op", c->args.words[first],
				  "path", path ? path : ""),
			&reply);
	if (r != 0)
		return r;
	d = json_object_get(reply, "decision");
	if (c->json)
		(void)ctl_json(reply);
	else
		print_decision(d);
	return json_is_true(json_object_get(d, "allowed")) ? CTL_OK : CTL_FAILED;
}

const struct command cmd_policy_check = {
	.name = "policy check",
	.group = "Rules",
	.args = "[AGENT] OP PATH",
	.help = "ask whether an agent may do something to a path",
	.about = "Answers with the rule that decides, and exits 0 when it is allowed, 1 when "
		 "not. OP is one of create, "
		 "mkdir, write, chmod, unlink, rmdir, rename-from, rename-to, link.",
	.example = "agentfsctl policy check alice write SPRINT.md",
	.run = run_policy_check,
};

static int run_policy_reload(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	int r = client_call(c, "PolicyReload", json_object(), &reply);

	if (r != 0)
		return r;
	if (c->json)
		return ctl_json(reply);
	printf("The configuration was read again; it holds in %lld open view%s.\n",
	       jint(reply, "views"), jint(reply, "views") == 1 ? "" : "s");
	return CTL_OK;
}

const struct command cmd_policy_reload = {
	.name = "policy reload",
	.group = "Rules",
	.args = "",
	.help = "have the daemon read agentfs.yaml again",
	.about =
		"Rules, redirects and quotas hold at once in views that are open, also for files that are "
		"open in them; a configuration with a mistake changes nothing. SIGHUP does the same.",
	.example = "agentfsctl policy reload",
	.run = run_policy_reload,
};

static void print_denials(const json_t *denials)
{
	_cleanup_(out_table_release) struct out_table t = {.columns = 5};
	char ago[32];
	json_t *d;
	size_t i;

	json_array_foreach ((json_t *)denials, i, d)
		out_row(&t, OUT_PLAIN,
			(const char *[]){out_ago(jstr(d, "time"), ago), jstr(d, "op"),
					 jstr(d, "path"), jstr(d, "rule"), jstr(d, "command")});
	out_table_print(stdout, &t);
}

static int run_why(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	_cleanup_free_ char *agent = NULL, *path = NULL;
	size_t first = ctl_agent_words(c);
	int r = 0;

	if (c->args.n_words > first + 1)
		return ctl_usage(c, "one PATH at a time, not also '%s'", c->args.words[first + 1]);
	agent = ctl_agent(c, first ? 0 : c->args.n_words, &r);
	if (!agent)
		return r;
	if (c->args.n_words > first)
		path = ctl_path_in_view(c, agent, c->args.words[first]);
	r = client_call(c, "Why", json_pack("{s:s, s:s*}", "agent", agent, "path", path), &reply);
	if (r != 0)
		return r;
	if (c->json)
		return ctl_json(reply);
	if (!path && *jstr(reply, "text"))
		out_block(stdout, jstr(reply, "text"), 0);
	print_decisions(json_object_get(reply, "decisions"));
	if (json_array_size(json_object_get(reply, "denials")) > 0) {
		printf("Refused lately:\n");
		print_denials(json_object_get(reply, "denials"));
	}
	return CTL_OK;
}

const struct command cmd_why = {
	.name = "why",
	.group = "Rules",
	.args = "[AGENT] [PATH]",
	.help = "say which rule refuses or allows, and what was refused lately",
	.about = "With a PATH: what the agent may do there and the rule that decides. "
		 "Without: its role, its "
		 "scope and its latest refusals. Words after -- are always paths.",
	.example = "agentfsctl why alice SPRINT.md",
	.run = run_why,
};

static int run_brief(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	_cleanup_free_ char *agent = NULL;
	int r = 0;

	agent = ctl_agent(c, 0, &r);
	if (!agent)
		return r;
	r = client_call(c, "Brief", json_pack("{s:s}", "agent", agent), &reply);
	if (r != 0)
		return r;
	if (c->json)
		return ctl_json(reply);
	out_block(stdout, jstr(reply, "text"), 0);
	return CTL_OK;
}

const struct command cmd_brief = {
	.name = "brief",
	.group = "Rules",
	.args = "[AGENT]",
	.help = "print the paragraph for an agent's prompt",
	.about = "What the agent should know of its folder, role, scope and branch.",
	.example = "agentfsctl brief alice >> prompt.md",
	.run = run_brief,
};
