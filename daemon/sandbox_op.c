/* SPDX-License-Identifier: Apache-2.0 */
/* Worker op "sandbox": can commands be run in one here? */
#include "sandbox.h"
#include "worker_ops.h"
#include "worker_run.h"

int op_sandbox(struct worker *w, json_t *ret, struct err *reterr)
{
	int r = sandbox_check(reterr);

	(void)json_object_set_new(ret, "seccomp", json_boolean(sandbox_has_seccomp()));
	return r;
}
