/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Approve: the verify commands that a repository's own `.agentfs.yaml` names are allowed to run. What is
 * approved is their exact text, for the repository; any change of it has to be approved anew.
 */
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "config.h"
#include "methods.h"
#include "op.h"
#include "verify.h"

/* A command, its time, its network, its processes where it wants another number: all that says what will run. */
static int write_text(const struct config *c, struct buf *b)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->nverify; i++) {
		const struct config_verify *v = &c->verify[i];

		r = buf_addf(b, "%s: (at most %u seconds, network %s", v->target, v->timeout_s,
			     v->network ? "on" : "off");
		if (r == 0 && v->processes != CONFIG_PROCESSES)
			r = buf_addf(b, ", %u processes", v->processes);
		if (r == 0)
			r = buf_addf(b, ")\n%s\n", v->command);
	}
	return r;
}

int verify_own_text(const char *yaml, struct config *ret_config, char **ret, struct fault *f)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	_cleanup_buf_ struct buf b = BUF_INIT;

	if (config_parse_narrow(yaml, strlen(yaml), ".agentfs.yaml", ret_config, &e) < 0)
		return fault_from_err(f, &e, NULL);
	*ret = write_text(ret_config, &b) == 0 ? buf_take(&b) : NULL;
	if (*ret)
		return 0;
	config_release(ret_config);
	return fault_set(f, "Internal", "the daemon has no memory for this");
}

static void approve_text(struct op *op, json_t *ok, const char *text)
{
	const char *repository = json_string_value(json_object_get(ok, "repository"));
	const char *target = json_string_value(json_object_get(op->result, "target"));
	const char *seen = arg_str(op->call, "text");
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct fault f = FAULT_INIT;
	int r;

	if (seen && strcmp(seen, text) != 0) {
		op_fail(op, "Busy",
			"the commands in '.agentfs.yaml' of '%s' are others by now: read "
			"them again",
			target);
		return;
	}
	r = seen ? state_approval_add(op->d->db, repository, text, op->uid, &e)
		 : state_approval_has(op->d->db, repository, text, &e);
	if (r < 0) {
		(void)fault_from_err(&f, &e, NULL);
		op_end(op, NULL, &f);
		return;
	}
	op_end(op,
	       json_pack("{s:s,s:s,s:s,s:b}", "repository", repository, "target", target, "text",
			 text, "approved", seen || r > 0),
	       NULL);
}

static void on_text(struct op *op, json_t *ok, struct fault *f)
{
	const char *yaml = json_string_value(json_object_get(ok, "text"));
	const char *target = json_string_value(json_object_get(op->result, "target"));
	_cleanup_free_ char *text = NULL;
	struct fault g = FAULT_INIT;
	struct config own;

	if (!ok) {
		op_end(op, NULL, f);
		return;
	}
	if (yaml && verify_own_text(yaml, &own, &text, &g) < 0) {
		op_end(op, NULL, &g);
		return;
	}
	if (yaml)
		config_release(&own);
	if (!text || !*text)
		op_fail(op, "NotFound",
			"'.agentfs.yaml' of '%s' names no verify command: there is "
			"nothing to approve",
			target);
	else
		approve_text(op, ok, text);
}

static void ask(struct op *op, const char *target)
{
	json_t *q = op_request(op, "verify_ask");

	op->result = json_pack("{s:s}", "target", target);
	(void)json_object_set_new(q, "repo", json_string(arg_str(op->call, "repository")));
	(void)json_object_set_new(q, "target", json_string(target));
	op_task(op, q, on_text);
}

static void on_head(struct op *op, json_t *ok, struct fault *f)
{
	const char *head = json_string_value(json_object_get(ok, "head"));

	if (!ok)
		op_end(op, NULL, f);
	else if (!head || !*head)
		op_fail(op, "Invalid",
			"the repository has no branch checked out: say which with "
			"--target");
	else
		ask(op, head);
}

static void approve_start(struct op *op)
{
	const char *target = arg_str(op->call, "target");
	json_t *q;

	if (target) {
		ask(op, target);
		return;
	}
	q = op_request(op, "repository");
	(void)json_object_set_new(q, "repo", json_string(arg_str(op->call, "repository")));
	op_task(op, q, on_head);
}

void method_approve(struct daemon *d, struct call *c)
{
	struct op *op = op_new(d, c, NULL, "approve");

	if (op)
		op_begin(op, approve_start);
}
