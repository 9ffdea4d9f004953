/* SPDX-License-Identifier: Apache-2.0 */
/* Policy texts: any is refused or compiled; the canonical form parses to itself, and every answer
 * about a handful of paths is given without harm and with a text for its rule. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "policy.h"

static void ask(const struct policy *p, const char *path)
{
	for (int i = 0; i <= POLICY_LINK * 8 + 7; i++) {
		struct policy_query q = {.op = (enum policy_op)(i / 8),
					 .path = path,
					 .dir = i & 1,
					 .in_base = i & 2,
					 .ours = i & 4};
		struct policy_verdict v = policy_decide(p, &q);
		enum policy_result all;

		if (!policy_rule_text(p, v.rule))
			abort();
		if (policy_uniform_below(p, "src", &all) && strncmp(path, "src/", 4) == 0 &&
		    all != v.result)
			abort();
	}
	(void)policy_may_make_in(p, path);
	(void)policy_hidden(p, path, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const paths[] = {"",
					    "a",
					    "src/auth/x.c",
					    "src/x",
					    ".agentfs/plan/1",
					    ".git",
					    ".agentfs",
					    "src/deep/er/still/more.c"};
	char *text = malloc(size + 1);
	struct policy *p = NULL, *again = NULL;
	struct err e = ERR_INIT;

	if (!text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	if (policy_parse(text, &p, &e) == 0) {
		if (policy_parse(policy_text(p), &again, &e) < 0 ||
		    strcmp(policy_text(p), policy_text(again)) != 0 ||
		    memcmp(policy_hash(p), policy_hash(again), 32) != 0)
			abort();
		for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
			ask(p, paths[i]);
	}
	policy_free(p);
	policy_free(again);
	err_release(&e);
	free(text);
	return 0;
}
