/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that a repository brings along are run only once a person has read them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "client.h"
#include "cmd.h"
#include "json.h"
#include "out.h"

/* As the caller means it, absolute; what does not exist is the daemon's to refuse. Caller frees. */
static char *repository(const char *given)
{
	char *path = given ? realpath(given, NULL) : getcwd(NULL, 0);

	return path || !given ? path : strdup(given);
}

static json_t *parameters(struct ctl *c, const char *repo, const char *target, const char *text)
{
	return json_pack("{s:s, s:s*, s:s*}", "repository", repo, "target", target, "text", text);
}

static int run_approve(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *seen = NULL, *done = NULL;
	_cleanup_free_ char *repo = repository(c->args.n_words ? c->args.words[0] : NULL);
	bool dry = args_has(&c->args, "dry-run");
	int r;

	if (!repo)
		return ctl_usage(c, "say which repository");
	r = client_call(c, "Approve", parameters(c, repo, args_get(&c->args, "target"), NULL),
			&seen);
	if (r != 0)
		return r;
	if (!c->json)
		out_block(stdout, jstr(seen, "text"), 0);
	if (!dry) {
		r = client_call(c, "Approve",
				parameters(c, repo, jstr(seen, "target"), jstr(seen, "text")),
				&done);
		if (r != 0)
			return r;
	}
	if (c->json)
		return ctl_json(dry ? seen : done);
	if (!dry)
		ctl_note(c, "approved: this is run before anything lands on %s",
			 jstr(seen, "target"));
	else
		ctl_note(c, "%s",
			 json_is_true(json_object_get(seen, "approved")) ? "approved already"
									 : "not approved");
	return CTL_OK;
}

const struct command cmd_approve = {
	.name = "approve",
	.group = "Rules",
	.args = "[REPO]",
	.help = "allow the verify commands that a repository brings along",
	.about =
		"Prints the commands of verify: in the `.agentfs.yaml` of the target branch and allows "
		"exactly these to run, in a sandbox, before anything lands there. Whatever is changed in "
		"them has to be approved anew. Commands in the daemon's own configuration need no "
		"approval.",
	.example = "agentfsctl approve --dry-run\nagentfsctl approve",
	.opts = (const struct opt[]){{"target", 0, "BRANCH",
				      "whose `.agentfs.yaml` (default: the branch checked out)"},
				     {"dry-run", 0, NULL, "print them, approve nothing"},
				     {0}},
	.run = run_approve,
};

static int run_verify(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	_cleanup_free_ char *repo = repository(args_get(&c->args, "repo"));
	bool ok;
	int r;

	r = client_call(c, "Verify",
			json_pack("{s:s*, s:s*, s:s*}", "repository", repo, "target",
				  args_get(&c->args, "target"), "commit",
				  c->args.n_words ? c->args.words[0] : NULL),
			&reply);
	if (r != 0)
		return r;
	ok = json_is_true(json_object_get(reply, "ok"));
	if (c->json) {
		r = ctl_json(reply);
		return r ? r : ok ? CTL_OK : CTL_FAILED;
	}
	if (json_is_true(json_object_get(reply, "skipped"))) {
		ctl_note(c, "no verify command is configured for this branch");
		return CTL_OK;
	}
	out_block(stdout, jstr(reply, "output"), 0);
	if (ok)
		ctl_note(c, "verified: %s", jstr(reply, "command"));
	else
		ctl_note(c, "%s; the whole output is in '%s'", jstr(reply, "reason"),
			 jstr(reply, "log"));
	return ok ? CTL_OK : CTL_FAILED;
}

const struct command cmd_verify = {
	.name = "verify",
	.group = "Work",
	.args = "[REV]",
	.help = "run a branch's verify command on a commit",
	.about =
		"What has to succeed before anything lands on the branch (verify: in the configuration, or in "
		"its `.agentfs.yaml` once that is approved) is run on REV, or the branch's tip: in a "
		"scratch view, in a sandbox. Redirected folders are kept for the next run. Exits 1 where it "
		"fails.",
	.example = "agentfsctl verify\nagentfsctl verify agents/alice/work --target main",
	.opts =
		(const struct opt[]){
			{"target", 0, "BRANCH", "whose command (default: the branch checked out)"},
			{"repo", 0, "PATH",
			 "any path in the repository (default: the current folder)", "@dirs"},
			{0}},
	.run = run_verify,
};
