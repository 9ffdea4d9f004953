/* SPDX-License-Identifier: Apache-2.0 */
/* Moving a view's base, and holding a view still. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"
#include "cmd.h"
#include "json.h"
#include "out.h"

static void print_paths(const json_t *list, const char *mark)
{
	size_t i;
	json_t *p;

	json_array_foreach ((json_t *)list, i, p) {
		printf("  %s\t", mark);
		out_text(stdout, json_string_value(p));
		(void)putchar('\n');
	}
}

static void print_conflicts(struct ctl *c, const json_t *reply, const char *agent)
{
	const json_t *list = json_object_get(reply, "conflicts");
	bool dry = args_has(&c->args, "dry-run");
	size_t i, n = json_array_size(list);
	json_t *k;

	printf("%zu conflict%s%s:\n", n, n == 1 ? "" : "s",
	       dry ? " to be expected"
	       : args_has(&c->args, "markers")
		       ? ", with both versions between markers where the file is text"
		       : ", left as the view has them");
	json_array_foreach ((json_t *)list, i, k) {
		printf("  %s\t", jstr(k, "kind"));
		out_text(stdout, jstr(k, "reason"));
		(void)putchar('\n');
	}
	if (dry)
		return;
	if (json_is_true(json_object_get(reply, "merging")))
		printf("The view's git is in a merge with the new base: resolve the files, git add "
		       "them and git commit there (git checkout --merge FILE shows both versions).\n");
	else
		printf("Nothing is lost: resolve each file in the view and git add it (git checkout "
		       "--merge FILE shows both versions); until then agentfsctl materialize %s "
		       "refuses.\n",
		       agent);
}

static int run_sync(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	_cleanup_free_ char *agent = NULL;
	bool dry = args_has(&c->args, "dry-run");
	size_t conflicts;
	long long n;
	int r = 0;

	agent = ctl_agent(c, 0, &r);
	if (!agent)
		return r;
	r = client_call(c, "Sync",
			json_pack("{s:s, s:s*, s:b, s:b}", "agent", agent, "to",
				  args_get(&c->args, "to"), "markers",
				  args_has(&c->args, "markers"), "dry_run", dry),
			&reply);
	if (r != 0)
		return r;
	ctl_notes(c, reply, "notes");
	n = jint(reply, "files");
	conflicts = json_array_size(json_object_get(reply, "conflicts"));
	if (c->json) {
		r = ctl_json(reply);
		return r != CTL_OK || !conflicts ? r : CTL_FAILED;
	}
	if (dry && strcmp(jstr(reply, "from"), jstr(reply, "to")) != 0)
		printf("%s: would move from %.10s to %.10s, %lld %s\n", agent, jstr(reply, "from"),
		       jstr(reply, "to"), n, n == 1 ? "path differs" : "paths differ");
	else if (json_is_true(json_object_get(reply, "moved")))
		printf("%s: moved from %.10s to %.10s, %lld %s; HEAD is %.10s\n", agent,
		       jstr(reply, "from"), jstr(reply, "to"), n,
		       n == 1 ? "path differs" : "paths differ", jstr(reply, "head"));
	else
		printf("%s: has %.10s already, nothing to do\n", agent, jstr(reply, "to"));
	print_paths(json_object_get(reply, "merged"), "merged");
	if (conflicts)
		print_conflicts(c, reply, agent);
	return conflicts ? CTL_FAILED : CTL_OK;
}

const struct command cmd_sync = {
	.name = "sync",
	.group = "Views",
	.args = "[AGENT]",
	.help = "move a view to a newer base, its changes kept on top",
	.about =
		"The mounted view moves to another base commit at once: files that only the base "
		"changed are new, files that only the view changed stay, files that both changed are "
		"merged by line. Where that cannot be, the view keeps its version, the file is marked "
		"as a conflict in the view's git, and the command lists it and exits with 1. The "
		"view's branch moves along; where it has commits of its own, a merge commit joins "
		"them with the new base. Open files and working folders go on as after git checkout.",
	.example = "agentfsctl sync alice",
	.opts =
		(const struct opt[]){
			{"to", 0, "REV",
			 "commit or branch to move to (default: the tip of the branch "
			 "that the base was taken from)"},
			{"markers", 0, NULL,
			 "put both versions of a conflict into the file, between markers"},
			{"dry-run", 0, NULL, "say what would happen, move nothing"},
			{0}},
	.run = run_sync,
};

static int run_freeze(struct ctl *c)
{
	bool thaw = strcmp(c->cmd->name, "thaw") == 0;
	_cleanup_(json_decrefp) json_t *reply = NULL;
	_cleanup_free_ char *agent = NULL;
	int r = 0;

	agent = ctl_agent(c, 0, &r);
	if (!agent)
		return r;
	r = client_call(c, thaw ? "Thaw" : "Freeze", json_pack("{s:s}", "agent", agent), &reply);
	if (r != 0)
		return r;
	if (c->json)
		return ctl_json(reply);
	printf("%s: %s\n", agent,
	       thaw ? "takes changes again"
		    : "refuses every change until agentfsctl thaw; reading goes on");
	return CTL_OK;
}

const struct command cmd_freeze = {
	.name = "freeze",
	.group = "Views",
	.args = "[AGENT]",
	.help = "let nothing change a view until it is thawed",
	.about = "Every write in the view is refused as on a read-only file system, and journaled; "
		 "reading goes on. It lasts over restarts.",
	.example = "agentfsctl freeze alice",
	.run = run_freeze,
};

const struct command cmd_thaw = {
	.name = "thaw",
	.group = "Views",
	.args = "[AGENT]",
	.help = "let a frozen view be changed again",
	.about = "Ends what freeze began.",
	.example = "agentfsctl thaw alice",
	.run = run_freeze,
};
