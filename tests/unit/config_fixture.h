/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Texts as configurations, and the policies that come of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "config.h"
#include "policy.h"
#include "sys.h"
#include "words.h"

static inline struct config parse(const char *text)
{
	struct config c = {0};
	struct err e = ERR_INIT;

	if (config_parse(text, strlen(text), "/etc/agentfs/agentfs.yaml", &c, &e) < 0)
		fail_msg("%s", err_text(&e));
	return c;
}

static inline struct policy *policy_of(const struct config *c, const char *repository,
				       const char *role, const char *scope, const char *department,
				       const char *narrow)
{
	struct config n = {0};
	struct policy *p = NULL;
	struct err e = ERR_INIT;
	char *text = NULL;

	if (narrow && config_parse_narrow(narrow, strlen(narrow), ".agentfs.yaml", &n, &e) < 0)
		fail_msg("%s", err_text(&e));
	if (config_policy_text(c, repository, role, &scope, scope != NULL, department,
			       narrow ? &n : NULL, &text, &e) < 0)
		fail_msg("%s", err_text(&e));
	assert_int_equal(policy_parse(text, &p, &e), 0);
	assert_string_equal(text, policy_text(p));
	free(text);
	config_release(&n);
	return p;
}

static inline enum policy_result ask(const struct policy *p, const char *path, bool in_base,
				     const char *rule)
{
	struct policy_query q = {
		.op = in_base ? POLICY_WRITE : POLICY_CREATE, .path = path, .in_base = in_base};
	struct policy_verdict v = policy_decide(p, &q);

	if (rule)
		assert_string_equal(policy_rule_text(p, v.rule), rule);
	return v.result;
}
