/* SPDX-License-Identifier: Apache-2.0 */
/* Verify: what would be run before something lands, run on a commit that is there. */
#include <string.h>

#include "methods.h"
#include "op.h"
#include "verify.h"

static void on_verified(struct op *op, json_t *ok, struct fault *f)
{
	op_end(op, ok ? json_incref(ok) : NULL, f);
}

static void on_commit(struct op *op, json_t *ok, struct fault *f)
{
	const char *commit = json_string_value(json_object_get(ok, "commit"));
	const char *repository = json_string_value(json_object_get(ok, "repository"));
	const char *target = arg_str(op->call, "target");

	if (!target)
		target = json_string_value(json_object_get(ok, "head"));
	if (!ok)
		op_end(op, NULL, f);
	else if (!target || !*target || !repository || !commit)
		op_fail(op, "Invalid",
			"the repository has no branch checked out: say which with "
			"--target");
	else
		verify_start(op, repository, target, commit, on_verified);
}

static void verify_begin(struct op *op)
{
	json_t *q = op_request(op, "repository");
	const char *target = arg_str(op->call, "target"), *commit = arg_str(op->call, "commit");

	(void)json_object_set_new(q, "repo", json_string(arg_str(op->call, "repository")));
	(void)json_object_set_new(q, "rev",
				  json_string(commit   ? commit
					      : target ? target
						       : "HEAD"));
	op_task(op, q, on_commit);
}

void method_verify(struct daemon *d, struct call *c)
{
	struct op *op = op_new(d, c, NULL, "verify");

	if (op)
		op_begin(op, verify_begin);
}
