/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "policy.h"
#include "policy_pattern.h"

/* What policy.c compiles and policy_decide.c asks. Nobody else includes this. */

enum rule_kind { RULE_IRON, RULE_HIDE, RULE_WRITE, RULE_SCOPE, RULE_REDIRECT, RULE_KINDS };

/* Rules that every policy has, in front of its own; then the texts of decisions without a rule. */
enum builtin_rule {
	BUILTIN_GIT,	 /* the view's own .git is free */
	BUILTIN_GIT_TOP, /* but may not be removed, renamed or replaced */
	BUILTIN_CONTROL, /* .agentfs/control is read-only, .agentfs stays where it is */
	BUILTIN_SCRATCH, /* a new name beside what may be written */
	BUILTIN_SCOPE,	 /* outside the scope of the task */
	BUILTIN_COUNT,
};

enum scratch { SCRATCH_NONE, SCRATCH_BESIDE, SCRATCH_ALL };

struct rule {
	struct pattern *pattern;
	char *source; /* the pattern as written */
	char *text;   /* "write !SPRINT.md (agentfs.yaml:12)" */
};

struct policy {
	char *role;
	enum scratch scratch;
	bool read_only;
	struct policy_quota quota;
	struct rule *rules; /* by kind: rules[first[kind]] to rules[first[kind + 1]] */
	uint32_t first[RULE_KINDS + 1];
	char *builtin[BUILTIN_COUNT];
	char *no_rule;
	char *text;
	uint8_t hash[32];
};
