/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration: any text is refused or understood, and every role of what is understood makes a
 * policy that compiles. The same text is tried as a
 * repository's own narrowing file. */
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "fuzz.h"
#include "policy.h"

static void make_policies(const struct config *c, const char *repository,
			  const struct config *narrow)
{
	const char *const scope[] = {"src/auth/**"};

	for (size_t i = 0; i < c->nroles; i++) {
		struct err e = ERR_INIT;
		struct policy *p = NULL;
		char *text = NULL;
		int r = config_policy_text(c, repository, c->roles[i].name, scope, i % 2, NULL,
					   narrow, &text, &e);

		if (r == 0 && policy_parse(text, &p, NULL) < 0)
			abort();
		if (r < 0 && !narrow)
			abort();
		policy_free(p);
		free(text);
		err_release(&e);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config c = {0}, narrow = {0};
	struct err e = ERR_INIT, e2 = ERR_INIT;
	int r = config_parse((const char *)data, size, "agentfs.yaml", &c, &e);

	if (r < 0 && !e.text)
		abort();
	if (r == 0) {
		make_policies(&c, NULL, NULL);
		make_policies(&c, "/srv/project", NULL);
	}
	config_release(&c);
	if (config_parse_narrow((const char *)data, size, ".agentfs.yaml", &narrow, &e2) == 0) {
		if (config_default(&c) == 0)
			make_policies(&c, NULL, &narrow);
		config_release(&c);
		config_release(&narrow);
	}
	err_release(&e);
	err_release(&e2);
	return 0;
}
