/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: who may write what. */
#include "config_fixture.h"

/* role, existing source file, SPRINT.md, plan file, new name at the top, new name in a folder */
static void test_config__builtin_roles_decide_as_documented(void **state)
{
	static const struct {
		const char *role;
		enum policy_result source, sprint, plan, top, deep;
	} roles[] = {
		{"scout", 3, 3, 3, 3, 3},     {"monitor", 3, 3, 3, 3, 3},
		{"reviewer", 2, 2, 1, 1, 1},  {"builder", 0, 2, 2, 0, 0},
		{"executor", 0, 2, 2, 0, 0},  {"lead", 2, 0, 0, 1, 2},
		{"architect", 2, 0, 0, 1, 2}, {"merger", 2, 2, 2, 2, 2},
	};
	struct config c = parse("");

	assert_int_equal(c.nroles, ARRAY_SIZE(roles));
	for (size_t i = 0; i < ARRAY_SIZE(roles); i++) {
		struct policy *p = policy_of(&c, NULL, roles[i].role, NULL, NULL, NULL);

		assert_int_equal(ask(p, "src/main.c", true, NULL), roles[i].source);
		assert_int_equal(ask(p, "SPRINT.md", true, NULL), roles[i].sprint);
		assert_int_equal(ask(p, ".agentfs/plan/x", false, NULL), roles[i].plan);
		assert_int_equal(ask(p, "new", false, NULL), roles[i].top);
		assert_int_equal(ask(p, "src/new", false, NULL), roles[i].deep);
		policy_free(p);
	}
	assert_string_equal(config_branch(&c, "/x"), "agents/{agent}/{task}");
	assert_string_equal(config_mount(&c, NULL), "{mounts}/{agent}");
	assert_null(config_user_name(&c, NULL));
	assert_true(config_may(&c, NULL, "builder", "materialize"));
	assert_false(config_may(&c, NULL, "scout", "materialize"));
	assert_false(config_may(&c, NULL, "nobody", "mail"));
	assert_null(config_unenforced(&c));
	config_release(&c);
}

static void test_config__repository_file_narrows(void **state)
{
	static const char narrow[] = "iron: [ci/]\nroles:\n  builder:\n    write: ['!docs/']\n"
				     "    hide: [secrets/]\n";
	struct config c = parse("roles: {builder: {write: ['*', 'docs/']}}\n");
	struct policy *p = policy_of(&c, NULL, "builder", NULL, NULL, NULL);

	assert_int_equal(ask(p, "docs/x", true, NULL), POLICY_ALLOW);
	assert_int_equal(ask(p, "ci/x", true, NULL), POLICY_ALLOW);
	assert_false(policy_hidden(p, "secrets/x", false));
	policy_free(p);
	p = policy_of(&c, NULL, "builder", NULL, NULL, narrow);
	assert_int_equal(ask(p, "docs/x", true, "write !docs/ (.agentfs.yaml:4)"), POLICY_DENY);
	assert_int_equal(ask(p, "ci/x", true, "iron ci/ (.agentfs.yaml:1)"), POLICY_DENY);
	assert_int_equal(ask(p, "src/x", true, NULL), POLICY_ALLOW);
	assert_true(policy_hidden(p, "secrets/x", false));
	policy_free(p);
	p = policy_of(&c, NULL, "executor", NULL, NULL, narrow);
	assert_int_equal(ask(p, "docs/x", true, NULL), POLICY_ALLOW);
	assert_int_equal(ask(p, "ci/x", true, NULL), POLICY_DENY);
	policy_free(p);
	config_release(&c);
}

static void test_config__repository_file_never_widens(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"roles: {builder: {write: ['*']}}\n", "n.yaml:1:27: '*' would widen"},
		{"roles: {builder: {hide: ['!x']}}\n", "take back a rule"},
		{"iron: ['!x']\n", "take back a rule"},
		{"roles: {builder: {scratch: all}}\n", "may only narrow"},
		{"roles: {builder: {may: [merge]}}\n", "may only narrow"},
		{"branch: 'x{agent}'\n", "n.yaml:1:9: a repository's own file may only narrow"},
		{"departments: {}\n", "may only narrow"},
		{"repositories: {}\n", "may only narrow"},
		{"merge: {}\n", "'merge' is not supported by this version"},
	};
	struct config c = parse(""), n = {0};
	static const char stranger[] = "roles: {buidler: {write: ['!x']}}\n";
	struct err e = ERR_INIT;
	char *text = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = config_parse_narrow(cases[i].text, strlen(cases[i].text), "n.yaml", &n, &e);

		if (r != -EINVAL || !strstr(err_text(&e), cases[i].says))
			fail_msg("%s gives %d '%s'", cases[i].text, r, err_text(&e));
		err_release(&e);
	}
	assert_int_equal(config_parse_narrow(stranger, strlen(stranger), "n.yaml", &n, &e), 0);
	assert_int_equal(config_policy_text(&c, NULL, "builder", NULL, 0, NULL, &n, &text, &e),
			 -ENOENT);
	assert_non_null(strstr(err_text(&e), "no role 'buidler'; there are: scout, "));
	err_release(&e);
	config_release(&n);
	config_release(&c);
}

static void test_config__scopes_and_departments(void **state)
{
	static const struct {
		const char *scope;
		int r;
	} cases[] = {
		{"src/api/**", 0},	   {"src/api/v1/x.c", 0}, {"/src/api/v1/", 0},
		{"src/api/**/*.c", 0},	   {"src/**", -EINVAL},	  {"*.c", -EINVAL},
		{"lib", -EINVAL},	   {"api/", -EINVAL},	  {"src/api/gen/**", 0},
		{"src/api", -EINVAL},	   {"[a", -EINVAL},	  {"!src/api/x", -EINVAL},
		{"src/api/a\tb", -EINVAL}, {"doc.md", -EINVAL},	  {"/doc.md", 0},
	};
	struct config c = parse("departments:\n  backend: {scope: ['src/api/**', '/doc.md', "
				"'!src/api/gen/'], memory: true}\n  docs: {scope: ['docs/']}\n");
	struct policy *p;
	struct err e = ERR_INIT;
	char *text = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = config_policy_text(&c, NULL, "builder", &cases[i].scope, 1, "backend", NULL,
					   &text, &e);

		if (r != cases[i].r)
			fail_msg("'%s': %d %s", cases[i].scope, r, r ? err_text(&e) : "");
		if (r == 0)
			free(TAKE_PTR(text));
		err_release(&e);
	}
	p = policy_of(&c, NULL, "builder", "src/api/**", "backend", NULL);
	assert_int_equal(ask(p, "src/api/x", true, NULL), POLICY_ALLOW);
	assert_int_equal(ask(p, "src/api/gen/x", true, "scope !src/api/gen/ (agentfs.yaml:2)"),
			 POLICY_DENY);
	policy_free(p);
	p = policy_of(&c, NULL, "builder", NULL, "docs", NULL);
	assert_int_equal(ask(p, "docs/x", true, NULL), POLICY_ALLOW);
	assert_int_equal(ask(p, "src/x", true, NULL), POLICY_DENY);
	policy_free(p);
	p = policy_of(&c, NULL, "builder", "docs/\"a\"/**", NULL, NULL);
	assert_int_equal(ask(p, "docs/\"a\"/x", false, NULL), POLICY_ALLOW);
	policy_free(p);
	assert_int_equal(config_policy_text(&c, NULL, "builder", NULL, 0, "none", NULL, &text, &e),
			 -ENOENT);
	assert_string_equal(err_text(&e), "no department 'none'; there are: backend, docs");
	err_release(&e);
	assert_int_equal(config_policy_text(&c, NULL, "buidler", NULL, 0, NULL, NULL, &text, &e),
			 -ENOENT);
	assert_string_equal(e.id, "NotFound");
	err_release(&e);
	config_release(&c);
}

static void test_config__a_scratch_view_may_write_all_up_to_a_limit(void **state)
{
	struct config c = parse("iron: ['x/**']\nquotas: {bytes: 1M}\n");
	char *text = NULL;

	assert_int_equal(config_policy_scratch(&c, "/r", &text, NULL), 0);
	assert_string_equal(text, "agentfs-policy 1\nrole verify\nscratch all\n"
				  "quota bytes 1048576\nwrite *\n");
	free(text);
	config_release(&c);
	c = parse("redirect: ['target/']\n");
	assert_int_equal(config_policy_scratch(&c, "/r", &text, NULL), 0);
	assert_non_null(strstr(text, "quota bytes 34359738368\n"));
	free(text);
	config_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config__builtin_roles_decide_as_documented),
		cmocka_unit_test(test_config__repository_file_narrows),
		cmocka_unit_test(test_config__repository_file_never_widens),
		cmocka_unit_test(test_config__scopes_and_departments),
		cmocka_unit_test(test_config__a_scratch_view_may_write_all_up_to_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
