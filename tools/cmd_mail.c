/* SPDX-License-Identifier: Apache-2.0 */
/* Mail between agents and the daemon. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"
#include "cmd.h"
#include "json.h"
#include "out.h"

static void mail_row(struct out_table *t, const json_t *m)
{
	_cleanup_free_ char *text =
		json_dumps(json_object_get(m, "payload"), JSON_COMPACT | JSON_SORT_KEYS);
	char id[24], ago[32];

	(void)snprintf(id, sizeof(id), "%lld", jint(m, "mail"));
	out_row(t, strcmp(jstr(m, "type"), "merge_failed") == 0 ? OUT_RED : OUT_PLAIN,
		(const char *[]){id, out_ago(jstr(m, "time"), ago), jstr(m, "type"),
				 jstr(m, "from"), jstr(m, "to"), text});
}

static int run_list(struct ctl *c)
{
	static const char *const heads[] = {"MAIL", "SENT", "TYPE", "FROM", "TO", "SAYS"};
	_cleanup_(json_decrefp) json_t *reply = NULL;
	int r = client_call(c, "MailList",
			    json_pack("{s:s*,s:o*}", "agent",
				      c->args.n_words ? c->args.words[0] : NULL, "last",
				      args_get(&c->args, "last")
					      ? json_integer(args_number(&c->args, "last", 0))
					      : NULL),
			    &reply);

	if (r != 0)
		return r;
	if (c->json)
		return ctl_json(reply);
	ctl_table(c, json_object_get(reply, "mails"), "No mail.", heads, ARRAY_SIZE(heads),
		  mail_row);
	return CTL_OK;
}

const struct command cmd_mail_list = {
	.name = "mail list",
	.group = "Queue",
	.args = "[AGENT]",
	.help = "list mail, newest first",
	.about =
		"What agents asked for (merge_ready) and what they were answered (merged, merge_failed), "
		"to and from AGENT or of all. You see the mail of your own agents.",
	.example = "agentfsctl mail list alice",
	.opts = (const struct opt[]){{"last", 0, "N", "how many (default: 50)", .number = true},
				     {0}},
	.run = run_list,
};

static int run_send(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	int r = client_call(
		c, "MailSend",
		json_pack("{s:s,s:s}", "type", c->args.words[0], "payload", c->args.words[1]),
		&reply);

	if (r != 0)
		return r;
	if (c->json)
		return ctl_json(reply);
	printf("Sent: merge request %lld.\n", jint(reply, "request"));
	return CTL_OK;
}

const struct command cmd_mail_send = {
	.name = "mail send",
	.group = "Queue",
	.args = "TYPE PAYLOAD",
	.help = "send mail: merge_ready asks for a merge",
	.about =
		"PAYLOAD is a JSON object. merge_ready has branch, taskId, agentName and filesModified: the "
		"agent's work goes into the merge queue, and the answer is a mail to the agent (merged or "
		"merge_failed).",
	.example =
		"agentfsctl mail send merge_ready '{\"branch\": \"agents/alice/login\", \"taskId\": "
		"\"login\", \"agentName\": \"alice\", \"filesModified\": [\"src/login.c\"]}'",
	.run = run_send,
};
