/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: layers, places of mistakes, names, files, commands. */
#include "config_fixture.h"

static void test_config__layers_override_field_by_field(void **state)
{
	struct config c =
		parse("branch: \"overstory/{agent}/{task}\"\n"
		      "user: {name: Ada, email: ada@example.org}\n"
		      "roles:\n"
		      "  builder: {write: ['*', '!db/']}\n"
		      "  writer: {write: [docs/], may: [mail], accepts-from: [lead]}\n"
		      "iron: [ci/]\n"
		      "repositories:\n"
		      "  /srv/p/:\n"
		      "    branch: '{agent}'\n"
		      "    user: {name: Bob}\n"
		      "    iron: []\n"
		      "    roles: {builder: {scratch: none}, extra: {write: ['*.txt']}}\n");
	struct policy *p;

	assert_string_equal(config_branch(&c, "/srv/other"), "overstory/{agent}/{task}");
	assert_string_equal(config_branch(&c, "/srv/p"), "{agent}");
	assert_string_equal(config_branch(&c, "/srv/p/.git"), "{agent}");
	assert_string_equal(config_branch(&c, "/srv/pp"), "overstory/{agent}/{task}");
	assert_string_equal(config_user_name(&c, "/srv/p"), "Bob");
	assert_string_equal(config_user_email(&c, "/srv/p"), "ada@example.org");
	p = policy_of(&c, "/srv/q", "builder", NULL, NULL, NULL);
	assert_int_equal(ask(p, "db/x", true, "write !db/ (agentfs.yaml:4)"), POLICY_DENY);
	assert_int_equal(ask(p, "SPRINT.md", true, NULL), POLICY_ALLOW);
	assert_int_equal(ask(p, "ci/x", true, "iron ci/ (agentfs.yaml:6)"), POLICY_DENY);
	assert_non_null(strstr(policy_text(p), "scratch beside\n"));
	policy_free(p);
	p = policy_of(&c, "/srv/p", "builder", NULL, NULL, NULL);
	assert_int_equal(ask(p, "db/x", true, NULL), POLICY_DENY);
	assert_int_equal(ask(p, "ci/x", true, NULL), POLICY_ALLOW);
	assert_non_null(strstr(policy_text(p), "scratch none\n"));
	policy_free(p);
	assert_true(config_has_role(&c, "/srv/p", "extra"));
	assert_false(config_has_role(&c, "/srv/q", "extra"));
	assert_true(config_may(&c, "/srv/q", "builder", "materialize"));
	assert_true(config_accepts(&c, NULL, "writer", "lead"));
	assert_false(config_accepts(&c, NULL, "writer", "scout"));
	assert_non_null(config_unenforced(&c));
	assert_non_null(strstr(config_unenforced(&c), "agentfs.yaml:"));
	assert_true(config_accepts(&c, NULL, "builder", "scout"));
	config_release(&c);
}

/* A role's own, then the repository's, then everybody's; field by field; none lifts one. */
static void test_config__quotas_and_redirects_by_layer(void **state)
{
	static const char text[] = "quotas: {bytes: 2K, nodes: 5}\n"
				   "redirect: [target/]\n"
				   "roles: {lead: {quotas: {nodes: 7}}}\n"
				   "repositories:\n"
				   "  /r:\n"
				   "    quotas: {bytes: none}\n"
				   "    redirect: [a/, b/]\n"
				   "    roles: {lead: {quotas: {bytes: 1M}}}\n";
	static const struct {
		const char *repository, *role;
		uint64_t bytes, nodes;
		const char *redirect;
	} cases[] = {
		{"/x", "builder", 2048, 5, "redirect target/\tf.yaml:2\n"},
		{"/x", "lead", 2048, 7, "redirect target/\tf.yaml:2\n"},
		{"/r", "builder", 0, 5, "redirect a/\tf.yaml:7\nredirect b/\tf.yaml:7\n"},
		{"/r", "lead", 1 << 20, 7, "redirect a/\tf.yaml:7\nredirect b/\tf.yaml:7\n"},
	};
	struct config c = {0};
	struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(config_parse(text, strlen(text), "f.yaml", &c, &e), 0);
	assert_true(config_redirects(&c));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct policy *p = NULL;
		struct policy_quota q;
		char *policy;

		assert_int_equal(config_policy_text(&c, cases[i].repository, cases[i].role, NULL, 0,
						    NULL, NULL, &policy, &e),
				 0);
		assert_non_null(strstr(policy, cases[i].redirect));
		assert_int_equal(policy_parse(policy, &p, &e), 0);
		q = policy_quota(p);
		assert_int_equal(q.bytes, cases[i].bytes);
		assert_int_equal(q.nodes, cases[i].nodes);
		policy_free(p);
		free(policy);
	}
	config_release(&c);
}

static void test_config__mistakes_have_place_and_sentence(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{"brnach: x\n", "f.yaml:1:1: unknown key 'brnach' (did you mean 'branch'?)"},
		{"zzzzzzzz: x\n", "f.yaml:1:1: unknown key 'zzzzzzzz'"},
		{"iron: []\nredirect: x\n", "f.yaml:2:11: expected a list here, not text"},
		{"redirect: ['[a']\n", "a '[' is not closed"},
		{"quotas: 5\n", "f.yaml:1:9: expected a map of bytes and nodes here"},
		{"quotas: {bites: 5}\n",
		 "f.yaml:1:10: unknown key 'bites' (did you mean 'bytes'?)"},
		{"quotas: {bytes: -5}\n", "a number of bytes such as 10G, or none, is expected"},
		{"quotas: {bytes: 5Z}\n", "not '5Z'"},
		{"quotas: {bytes: 9000000T}\n", "not '9000000T'"},
		{"quotas: {bytes: [1]}\n", "is expected here"},
		{"quotas: {nodes: 5K}\n", "a number, or none, is expected here, not '5K'"},
		{"roles: {b: {quotas: {nodes: x}}}\n", "not 'x'"},
		{"shares: {}\n", "'shares' is not supported by this version"},
		{"seed: ['#x']\n", "pattern '#x'"},
		{"verify: []\n", "expected a map of target branches"},
		{"verify: {main: make}\n", "f.yaml:1:16: expected a map with command"},
		{"verify: {main: {}}\n", "f.yaml:1:10: verify of 'main' has no command"},
		{"verify: {main: {command: ' '}}\n", "command is a shell command"},
		{"verify: {main: {command: [make]}}\n", "command is a shell command"},
		{"verify: {main: {comand: make}}\n", "did you mean 'command'"},
		{"verify: {main: {command: make, timeout: 0}}\n", "timeout is a number of seconds"},
		{"verify: {main: {command: make, timeout: 1m}}\n",
		 "timeout is a number of seconds"},
		{"verify: {main: {command: make, network: yes}}\n", "network is true or false"},
		{"verify: {main: {command: make, processes: 15}}\n",
		 "processes is how many it may have, threads too, from 16 to 32768"},
		{"verify: {main: {command: make, processes: 4k}}\n", "processes is how many"},
		{"verify: {'a b': {command: make}}\n", "'a b' is no branch name"},
		{"journal: {}\n", "'journal' is not"},
		{"merge: {resolvers: {}}\n", "f.yaml:1:20: resolvers is a list of at most 8"},
		{"merge: {resolvers: [x]}\n", "f.yaml:1:21: a resolver is a map"},
		{"merge: {resolvers: [{command: x}]}\n", "needs a name"},
		{"merge: {resolvers: [{name: a}]}\n", "'a' needs a command, or an adapter"},
		{"merge: {resolvers: [{name: a b, command: x}]}\n", "'a b' cannot name a resolver"},
		{"merge: {resolvers: [{name: a, command: x}, {name: a, command: y}]}\n",
		 "f.yaml:1:44: there are two resolvers 'a'"},
		{"merge: {resolvers: [{name: a, comand: x}]}\n", "did you mean 'command'"},
		{"merge: {resolvers: [{name: a, adapter: x}]}\n", "openai, anthropic or command"},
		{"merge: {resolvers: [{name: a, adapter: openai, network: true}]}\n",
		 "needs a model"},
		{"merge: {resolvers: [{name: a, adapter: openai, model: m, key-env: K}]}\n",
		 "that needs network: true"},
		{"merge: {resolvers: [{name: a, adapter: openai, model: m, network: true}]}\n",
		 "needs key-env, or the url"},
		{"merge: {resolvers: [{name: a, command: x, model: m}]}\n",
		 "model and url are for"},
		{"merge: {resolvers: [{name: a, adapter: openai, url: 'ftp://x'}]}\n",
		 "url begins with"},
		{"merge: {resolvers: [{name: a, adapter: openai, url: 'https://u:p@x'}]}\n",
		 "no user and password"},
		{"merge: {resolvers: [{name: a, command: x, key: k}]}\n", "a key never stands"},
		{"merge: {resolvers: [{name: a, command: x, api-key: k}]}\n", "a key never stands"},
		{"merge: {resolvers: [{name: a, command: x, key-env: sk-1}]}\n",
		 "is the name of the"},
		{"merge: {resolvers: [{name: a, command: x, key-env: LD_PRELOAD}]}\n",
		 "is the name of the"},
		{"merge: {resolvers: [{name: a, command: x, timeout: 0}]}\n", "from 1 to 3600"},
		{"merge: {resolvers: [{name: a, command: x, timeout: 9999}]}\n", "from 1 to 3600"},
		{"merge: {resolvers: [{name: a, command: x, network: yes}]}\n", "true or false"},
		{"merge: {resolvers: [{name: a, command: x, languages: [klingon]}]}\n",
		 "'klingon': no language is called so"},
		{"merge: {resolvers: [{name: a, command: x, paths: ['[a']}]}\n",
		 "a '[' is not closed"},
		{"merge: {resolvers: [{name: a, command: x, read: [here]}]}\n", "an absolute path"},
		{"merge: {resolvers: [{name: a, command: []}]}\n", "a list of words"},
		{"merge: {budget: 5}\n", "budget is a map of merge and day"},
		{"merge: {budget: {week: {}}}\n", "f.yaml:1:18: unknown key 'week'"},
		{"merge: {budget: {day: {calls: 0}}}\n", "calls is a number from 1"},
		{"merge: {budget: {day: {dollars: 5}}}\n", "calls, seconds and tokens"},
		{"merge: {reimagine: perhaps}\n", "reimagine is true or false"},
		{"merge: {cost-of-wrongs: 2}\n", "did you mean 'cost-of-wrong'"},
		{"merge: {cost-of-wrong: 0}\n", "f.yaml:1:24: cost-of-wrong is a number from 1"},
		{"merge: {cost-of-wrong: 2x}\n", "cost-of-wrong is a number from 1"},
		{"merge: 5\n", "expected a map with cost-of-wrong"},
		{"merge: {regenerate: []}\n", "expected a map of file names"},
		{"merge: {regenerate: {go.sum: []}}\n", "a shell command is expected"},
		{"merge: {regenerate: {go.sum: ''}}\n", "a shell command is expected"},
		{"merge: {regenerate: {go.sum: {}}}\n", "f.yaml:1:22: 'go.sum' has no command"},
		{"merge: {regenerate: {/go.sum: x}}\n", "is no file's name or path"},
		{"merge: {regenerate: {go.sum: {comand: x}}}\n", "unknown key 'comand'"},
		{"merge: {regenerate: {go.sum: {timeout: x}}}\n", "timeout is a number of seconds"},
		{"merge: {regenerate: {go.sum: {network: 1}}}\n", "network is true or false"},
		{"cooldown: {}\n", "'cooldown' is not"},
		{"iron: x\n", "f.yaml:1:7: expected a list here, not text"},
		{"iron:\n", "expected a list here, not text"},
		{"- x\n", "f.yaml:1:1: expected a map of keys here, not a list"},
		{"iron: [a]\niron: [b]\n",
		 "f.yaml:2:1: the key 'iron' was given already, in line 1"},
		{"iron: &a [x]\n", "f.yaml:1:7: anchors are not supported"},
		{"iron: *a\n", "aliases are not supported"},
		{"branch: !!str x\n", "f.yaml:1:9: tags are not supported"},
		{"a: b\n---\nc: d\n", "a second document"},
		{"? [a]\n: b\n", "a key must be a word"},
		{"iron: [\n", "f.yaml:2:1: "},
		{"iron: ['[a']\n", "f.yaml:1:8: pattern '[a': a '[' is not closed"},
		{"iron: [\"a\\nb\"]\n", "control bytes"},
		{"iron: [\"a\\0b\"]\n", "a NUL byte"},
		{"iron: ['']\n", "a value is missing"},
		{"iron: [~]\n", "a value is missing"},
		{"branch: 'x/{agent}/{taks}'\n", "unknown part at '{taks}'"},
		{"branch: x\n", "needs {agent}"},
		{"branch: '{agent}..{task}'\n", "no valid branch name"},
		{"mount: '{agent}'\n", "is not absolute"},
		{"mount: '{mounts}/x'\n", "needs {agent}"},
		{"user: {nmae: x}\n", "f.yaml:1:8: unknown key 'nmae' (did you mean 'name'?)"},
		{"user: {name: 'a <b>'}\n", "'<' and '>'"},
		{"roles: {b: {scratch: some}}\n", "f.yaml:1:22: scratch is none, beside or all"},
		{"roles: {b: {writes: []}}\n", "did you mean 'write'?"},
		{"roles: {b: {may: [fly]}}\n", "no method 'fly'"},
		{"roles: {b: {may: [merg]}}\n", "did you mean 'merge'?"},
		{"roles: {b: {accepts-from: [leed]}}\n", "no role 'leed' (did you mean 'lead'?)"},
		{"roles: {'a b': {}}\n", "f.yaml:1:9: 'a b' cannot name a role"},
		{"departments: {b: {memory: yes}}\n", "memory is true or false"},
		{"repositories: {x: {}}\n", "not the absolute path"},
		{"repositories: {/x: {}, /x/: {}}\n", "given already"},
		{"repositories: {/x: {repositories: {}}}\n", "unknown key 'repositories'"},
		{"repositories: {/x: {verify: []}}\n", "expected a map of target branches"},
		{"\xff\xfe", "f.yaml"},
		{"iron: ['\xc0']\n", "not UTF-8"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct config c = {0};
		struct err e = ERR_INIT;
		int r = config_parse(cases[i].text, strlen(cases[i].text), "f.yaml", &c, &e);

		if (r != -EINVAL || !strstr(err_text(&e), cases[i].says))
			fail_msg("%s gives %d '%s', not '%s'", cases[i].text, r, err_text(&e),
				 cases[i].says);
		err_release(&e);
	}
}

static void test_config__names_and_templates(void **state)
{
	static const char *const good[] = {"a", "A1", "builder-1", "x.y_z", "task.2"};
	static const char *const bad[] = {"",	  ".a",	    "-a",	   "_a",     "a/b",
					  "a b",  "a..b",   "a.",	   "a.lock", "merge",
					  "list", "verify", "caf\xc3\xa9", "a@b"};
	char longest[66], *s = NULL;
	struct err e = ERR_INIT;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(config_check_name("agent", good[i], NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(config_check_name("agent", bad[i], &e), -EINVAL);
		assert_string_equal(e.id, "Invalid");
		err_release(&e);
	}
	memset(longest, 'a', sizeof(longest));
	longest[64] = '\0';
	assert_int_equal(config_check_name("task", longest, NULL), 0);
	longest[64] = 'a';
	longest[65] = '\0';
	assert_int_equal(config_check_name("task", longest, NULL), -EINVAL);
	for (size_t i = 1; i < ARRAY_SIZE(command_words); i++)
		assert_true(strcmp(command_words[i - 1], command_words[i]) < 0);

	assert_int_equal(config_branch_name("agents/{agent}/{task}", "a", "t", &s, &e), 0);
	assert_string_equal(s, "agents/a/t");
	free(s);
	assert_int_equal(config_mount_path("{mounts}/{agent}", "/home/x/agents", "a", &s, &e), 0);
	assert_string_equal(s, "/home/x/agents/a");
	free(s);
	assert_int_equal(config_branch_name("{agent}/{x}", "a", "t", &s, &e), -EINVAL);
	err_release(&e);
	assert_int_equal(config_branch_name("{agent}/{task", "a", "t", &s, &e), -EINVAL);
	err_release(&e);
	assert_int_equal(config_mount_path("{agent}", "/m", "a", &s, &e), -EINVAL);
	err_release(&e);
}

static void test_config__files(void **state)
{
	char path[] = "/tmp/test-config-XXXXXX";
	struct config c = {0};
	struct err e = ERR_INIT;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "iron: [x/]\n", 11), 11);
	(void)close(fd);
	assert_int_equal(config_read(path, true, &c, &e), 0);
	assert_int_equal(c.iron.n, 1);
	config_release(&c);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(config_read(path, true, &c, &e), -ENOENT);
	assert_non_null(strstr(err_text(&e), path));
	err_release(&e);
	assert_int_equal(config_read(path, false, &c, &e), 0);
	assert_int_equal(c.nroles, 8);
	config_release(&c);
}

static int countdown;

static void *failing_malloc(size_t n)
{
	return countdown-- == 0 ? NULL : malloc(n);
}

static void *failing_realloc(void *p, size_t n)
{
	return countdown-- == 0 ? NULL : realloc(p, n);
}

static void test_config__no_memory_leaves_nothing(void **state)
{
	static const char text[] =
		"iron: [a, b/]\nuser: {name: x}\nroles: {w: {write: ['*']}}\n"
		"departments: {d: {scope: [docs/]}}\nrepositories: {/x: {iron: []}}\n";
	struct sys saved = sys;
	int r = -ENOMEM, n = 0;

	sys.malloc = failing_malloc;
	sys.realloc = failing_realloc;
	for (; r < 0; n++) {
		struct config c = {0};
		char *policy = NULL;

		countdown = n;
		r = config_parse(text, strlen(text), "f.yaml", &c, NULL);
		if (r == 0)
			r = config_policy_text(&c, "/x", "w", NULL, 0, "d", NULL, &policy, NULL);
		if (r < 0)
			assert_int_equal(r, -ENOMEM);
		free(policy);
		config_release(&c);
	}
	sys = saved;
	assert_true(n > 50);
}

/* "command timeout network processes" of what verifies for a branch, "-" where nothing does. */
static void verifies(const struct config *c, const char *repository, const char *target,
		     const char *want)
{
	const struct config_verify *v = config_verify_find(c, repository, target);
	char text[128] = "-";

	if (v)
		(void)snprintf(text, sizeof(text), "%s %u %d %u", v->command, v->timeout_s,
			       v->network, v->processes);
	assert_string_equal(text, want);
}

static void test_config__verify_is_by_branch_and_repository(void **state)
{
	struct config c = parse("verify:\n"
				"  main: {command: make check, timeout: 60, processes: 4096}\n"
				"  '*': {command: make, network: true}\n"
				"repositories:\n"
				"  /r: {verify: {main: {command: own}}}\n"
				"  /q: {verify: {'*': {command: any}}}\n");

	verifies(&c, NULL, "main", "make check 60 0 4096");
	verifies(&c, "/elsewhere", "topic/x", "make 600 1 512");
	verifies(&c, "/r", "main", "own 600 0 512");
	verifies(&c, "/r", "other", "make 600 1 512");
	verifies(&c, "/q", "main", "any 600 0 512");
	config_release(&c);
	c = parse("");
	verifies(&c, "/r", "main", "-");
	config_release(&c);
}

static void test_config__a_repositorys_own_file_may_name_verify(void **state)
{
	static const char text[] = "verify: {main: {command: make}}\niron: [x]\n";
	struct config n = {0};
	struct err e = ERR_INIT;

	assert_int_equal(config_parse_narrow(text, strlen(text), "n.yaml", &n, &e), 0);
	verifies(&n, NULL, "main", "make 600 0 512");
	verifies(&n, NULL, "other", "-");
	config_release(&n);
}

static void test_config__resolvers_and_budgets(void **state)
{
	static const char yaml[] =
		"merge:\n"
		"  reimagine: true\n"
		"  budget: {merge: {calls: 7}, day: {tokens: 9}}\n"
		"  resolvers:\n"
		"    - {name: gpt, adapter: openai, model: m, url: 'https://x/v1', key-env: MY_KEY,\n"
		"       network: true, timeout: 5, languages: [c], paths: ['src/**'], read: ['/opt/x']}\n"
		"    - {name: own, command: 'resolve --fast'}\n"
		"repositories:\n"
		"  /r: {merge: {budget: {merge: {seconds: 3}}, resolvers: [], reimagine: false}}\n";
	struct config c;
	struct config_ai ai;

	(void)state;
	assert_int_equal(config_parse(yaml, strlen(yaml), "f.yaml", &c, NULL), 0);
	ai = config_ai(&c, "/other/.git");
	assert_int_equal(ai.nresolvers, 2);
	assert_string_equal(ai.resolvers[0].key_env, "MY_KEY");
	assert_int_equal(ai.resolvers[0].adapter, CONFIG_ADAPTER_OPENAI);
	assert_int_equal(ai.resolvers[0].timeout_s, 5);
	assert_true(ai.resolvers[0].network && !ai.resolvers[1].network);
	assert_string_equal(ai.resolvers[0].languages.v[0].text, "c");
	assert_string_equal(ai.resolvers[1].command.v[2].text, "resolve --fast");
	assert_int_equal(ai.resolvers[1].command.n, 3);
	assert_int_equal(ai.merge.calls, 7);
	assert_int_equal(ai.day.tokens, 9);
	assert_true(ai.merge.seconds > 0 && ai.merge.tokens > 0 && ai.day.calls > 0);
	assert_int_equal(ai.reimagine, CONFIG_YES);
	ai = config_ai(&c, "/r/.git");
	assert_int_equal(ai.nresolvers, 0);
	assert_int_equal(ai.merge.calls, 7);
	assert_int_equal(ai.merge.seconds, 3);
	assert_int_equal(ai.reimagine, CONFIG_NO);
	config_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config__resolvers_and_budgets),
		cmocka_unit_test(test_config__layers_override_field_by_field),
		cmocka_unit_test(test_config__quotas_and_redirects_by_layer),
		cmocka_unit_test(test_config__mistakes_have_place_and_sentence),
		cmocka_unit_test(test_config__names_and_templates),
		cmocka_unit_test(test_config__files),
		cmocka_unit_test(test_config__no_memory_leaves_nothing),
		cmocka_unit_test(test_config__verify_is_by_branch_and_repository),
		cmocka_unit_test(test_config__a_repositorys_own_file_may_name_verify),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
