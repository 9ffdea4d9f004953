/* SPDX-License-Identifier: Apache-2.0 */
#include "verify.h"

__attribute__((weak)) void verify_start(struct op *op, const char *repository, const char *target,
					const char *commit, op_step next)
{
	json_t *ok = json_pack("{s:b,s:b}", "ok", 1, "skipped", 1);

	next(op, ok, NULL);
	json_decref(ok);
}
