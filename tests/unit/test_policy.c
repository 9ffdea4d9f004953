/* SPDX-License-Identifier: Apache-2.0 */
/* policy: the documented examples as a table, the text's round trip, and what is said of a whole
 * folder against random names in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "policy.h"
#include "sys.h"

#define HEAD "agentfs-policy 1\n"
#define BUILDER_RULES                                                                              \
	"scratch beside\niron .github/workflows/**\tagentfs.yaml:3\nwrite *\nwrite !SPRINT.md\n"   \
	"write !FEATURES.md\nwrite !.agentfs/**\n"
#define BUILDER HEAD "role builder\n" BUILDER_RULES
#define SCOPED	BUILDER "scope src/auth/**\nscope docs/one.md\n"
#define ARCHITECT                                                                                  \
	HEAD "role architect\nscratch beside\nwrite /SPRINT.md\nwrite /FEATURES.md\n"              \
	     "write .agentfs/plan/**\n"
#define REVIEWER HEAD "role reviewer\nscratch all\niron .github/workflows/**\n"
#define SCOUT	 HEAD "role scout\nscratch none\niron .github/**\n"
#define MERGER	 HEAD "role merger\nscratch beside\n"
#define HIDING	 HEAD "role r\nhide secrets/**\nhide !secrets/open.txt\nwrite *\n"
#define ISLAND	 HEAD "role r\nscratch none\nwrite *\nwrite !docs/\nwrite docs/api/\n"

enum { DIR = 1, BASE = 2, OURS = 4 };

static struct policy *parse(const char *text)
{
	struct err e = ERR_INIT;
	struct policy *p = NULL;

	if (policy_parse(text, &p, &e) < 0)
		fail_msg("%s", err_text(&e));
	return p;
}

static struct policy_verdict decide(const struct policy *p, enum policy_op op, const char *path,
				    int flags)
{
	struct policy_query q = {.op = op,
				 .path = path,
				 .dir = flags & DIR,
				 .in_base = flags & BASE,
				 .ours = flags & OURS};

	return policy_decide(p, &q);
}

static const struct {
	const char *policy;
	enum policy_op op;
	const char *path;
	int flags;
	enum policy_result want;
	const char *rule; /* part of the rule's text, or NULL */
} examples[] = {
	{BUILDER, POLICY_WRITE, "src/x.c", BASE, POLICY_ALLOW, "write *"},
	{BUILDER, POLICY_CREATE, "new", 0, POLICY_ALLOW, "write *"},
	{BUILDER, POLICY_MKDIR, "src/new", DIR, POLICY_ALLOW, NULL},
	{BUILDER, POLICY_WRITE, "SPRINT.md", BASE, POLICY_DENY, "write !SPRINT.md"},
	{BUILDER, POLICY_CREATE, "docs/SPRINT.md", 0, POLICY_DENY, "write !SPRINT.md"},
	{BUILDER, POLICY_RENAME_TO, "FEATURES.md", 0, POLICY_DENY, "write !FEATURES.md"},
	{BUILDER, POLICY_RENAME_FROM, "SPRINT.md", BASE, POLICY_DENY, "SPRINT"},
	{BUILDER, POLICY_CREATE, ".agentfs/plan/a", 0, POLICY_DENY, "write !.agentfs/**"},
	{BUILDER, POLICY_MKDIR, ".agentfs", DIR, POLICY_DENY, "built in: .agentfs/control"},
	{BUILDER, POLICY_WRITE, ".github/workflows/ci.yml", BASE, POLICY_DENY,
	 "iron .github/workflows/** (agentfs.yaml:3)"},
	{BUILDER, POLICY_UNLINK, ".github/workflows/ci.yml", BASE, POLICY_DENY, "iron"},
	{BUILDER, POLICY_RENAME_FROM, ".github/workflows/ci.yml", BASE, POLICY_DENY, "iron"},
	{BUILDER, POLICY_LINK, ".github/workflows/x", 0, POLICY_DENY, "iron"},
	{BUILDER, POLICY_CREATE, ".github/workflows/x", OURS, POLICY_DENY, "iron"},
	{BUILDER, POLICY_WRITE, ".github/dependabot.yml", BASE, POLICY_ALLOW, NULL},
	{BUILDER, POLICY_ATTR, "", DIR | BASE, POLICY_ALLOW, NULL},
	{BUILDER, POLICY_WRITE, ".agentfs/control/role", 0, POLICY_DENY,
	 "built in: .agentfs/control"},
	/* the view's own .git */
	{BUILDER, POLICY_CREATE, ".git/index.lock", 0, POLICY_ALLOW, "own .git"},
	{SCOUT, POLICY_CREATE, ".git/index.lock", 0, POLICY_ALLOW, "own .git"},
	{SCOUT, POLICY_ATTR, ".git", DIR | OURS, POLICY_ALLOW, NULL},
	{BUILDER, POLICY_RENAME_FROM, ".git", DIR | OURS, POLICY_DENY, "may not be removed"},
	{BUILDER, POLICY_RENAME_TO, ".git", DIR, POLICY_DENY, "may not be removed"},
	{BUILDER, POLICY_RMDIR, ".git", DIR | OURS, POLICY_DENY, "may not be removed"},
	{BUILDER, POLICY_UNLINK, ".git", OURS, POLICY_DENY, "may not be removed"},
	{SCOUT, POLICY_CREATE, ".gitignore", 0, POLICY_DENY_RO, NULL},
	{SCOUT, POLICY_CREATE, "sub/.git/x", 0, POLICY_DENY_RO, NULL},
	/* who writes nothing */
	{SCOUT, POLICY_CREATE, "x", 0, POLICY_DENY_RO, "role scout writes nothing"},
	{SCOUT, POLICY_ATTR, "", DIR | BASE, POLICY_DENY_RO, NULL},
	{SCOUT, POLICY_WRITE, ".github/x", BASE, POLICY_DENY_RO, NULL},
	{SCOUT, POLICY_WRITE, ".agentfs/control/role", 0, POLICY_DENY_RO, NULL},
	{MERGER, POLICY_CREATE, "x", 0, POLICY_DENY, "no rule of role merger allows it"},
	{MERGER, POLICY_WRITE, "x", BASE, POLICY_DENY, NULL},
	{MERGER, POLICY_MKDIR, "x", DIR, POLICY_DENY, NULL},
	/* architects plan */
	{ARCHITECT, POLICY_WRITE, "SPRINT.md", BASE, POLICY_ALLOW, "write /SPRINT.md"},
	{ARCHITECT, POLICY_CREATE, ".agentfs/plan/a/b", 0, POLICY_ALLOW, NULL},
	{ARCHITECT, POLICY_MKDIR, ".agentfs", DIR, POLICY_ALLOW, ".agentfs/plan/**"},
	{ARCHITECT, POLICY_MKDIR, ".agentfs/plan", DIR, POLICY_ALLOW, ".agentfs/plan/**"},
	{ARCHITECT, POLICY_CREATE, ".agentfs", 0, POLICY_DENY, "built in"},
	{ARCHITECT, POLICY_RENAME_FROM, ".agentfs", DIR | OURS, POLICY_DENY, "built in"},
	{ARCHITECT, POLICY_CREATE, ".agentfs/other", 0, POLICY_DENY, NULL},
	{ARCHITECT, POLICY_WRITE, "src/x.c", BASE, POLICY_DENY, "no rule of role architect"},
	{ARCHITECT, POLICY_CREATE, "src/x.c", 0, POLICY_DENY, "no rule of role architect"},
	{ARCHITECT, POLICY_MKDIR, "src/new", DIR, POLICY_DENY, NULL},
	{ARCHITECT, POLICY_ATTR, "src", DIR | BASE, POLICY_DENY, NULL},
	{ARCHITECT, POLICY_WRITE, "README.md", BASE, POLICY_DENY, NULL},
	/* scratch beside: sed -i, vim, NAME.tmp + rename on what may be written */
	{ARCHITECT, POLICY_CREATE, "sedXy12", 0, POLICY_SCRATCH, "scratch beside"},
	{ARCHITECT, POLICY_WRITE, "sedXy12", OURS, POLICY_SCRATCH, NULL},
	{ARCHITECT, POLICY_UNLINK, "sedXy12", OURS, POLICY_SCRATCH, NULL},
	{ARCHITECT, POLICY_RENAME_FROM, "sedXy12", OURS, POLICY_SCRATCH, NULL},
	{ARCHITECT, POLICY_RENAME_TO, "SPRINT.md", BASE, POLICY_ALLOW, NULL},
	{ARCHITECT, POLICY_RENAME_TO, "README.md", BASE, POLICY_DENY, NULL},
	{ARCHITECT, POLICY_RENAME_TO, "SPRINT.md~", 0, POLICY_SCRATCH, NULL},
	{ARCHITECT, POLICY_WRITE, "stranger", 0, POLICY_DENY, NULL},
	{REVIEWER, POLICY_CREATE, "deep/in/cache.pyc", 0, POLICY_SCRATCH, "scratch all"},
	{REVIEWER, POLICY_MKDIR, "src/__pycache__", DIR, POLICY_SCRATCH, NULL},
	{REVIEWER, POLICY_RMDIR, "src/__pycache__", DIR | OURS, POLICY_SCRATCH, NULL},
	{REVIEWER, POLICY_WRITE, "src/x.c", BASE, POLICY_DENY, NULL},
	{REVIEWER, POLICY_UNLINK, "src/x.c", BASE, POLICY_DENY, NULL},
	{REVIEWER, POLICY_CREATE, "src/x.c", BASE, POLICY_DENY, NULL},
	{REVIEWER, POLICY_RENAME_TO, "src/x.c", BASE, POLICY_DENY, NULL},
	{REVIEWER, POLICY_CREATE, ".github/workflows/x", 0, POLICY_DENY, "iron"},
	{REVIEWER, POLICY_MKDIR, ".agentfs", DIR, POLICY_SCRATCH, NULL},
	/* scopes */
	{SCOPED, POLICY_WRITE, "src/auth/login.c", BASE, POLICY_ALLOW, NULL},
	{SCOPED, POLICY_MKDIR, "src", DIR, POLICY_ALLOW, "scope src/auth/**"},
	{SCOPED, POLICY_MKDIR, "src/auth", DIR, POLICY_ALLOW, "scope src/auth/**"},
	{SCOPED, POLICY_MKDIR, "src/auth/deep", DIR, POLICY_ALLOW, NULL},
	{SCOPED, POLICY_MKDIR, "src/other", DIR, POLICY_DENY, "outside the scope"},
	{SCOPED, POLICY_CREATE, "src/x.c", 0, POLICY_DENY,
	 "built in: outside the scope of the task: "
	 "src/auth/**, docs/one.md"},
	{SCOPED, POLICY_CREATE, "src/auth", 0, POLICY_DENY, NULL},
	{SCOPED, POLICY_WRITE, "README.md", BASE, POLICY_DENY, "outside the scope"},
	{SCOPED, POLICY_CREATE, "src/auth/SPRINT.md", 0, POLICY_DENY, "SPRINT"},
	{SCOPED, POLICY_CREATE, "docs/one.md.tmp", 0, POLICY_SCRATCH, NULL},
	{SCOPED, POLICY_CREATE, "docs/SPRINT.md", 0, POLICY_DENY, "SPRINT"},
	{SCOPED, POLICY_WRITE, "docs/two.md", BASE, POLICY_DENY, NULL},
	{SCOPED, POLICY_CREATE, "x.tmp", 0, POLICY_DENY, NULL},
	{SCOPED, POLICY_ATTR, "src", DIR | BASE, POLICY_ALLOW, NULL},
	{SCOPED, POLICY_ATTR, "lib", DIR | BASE, POLICY_DENY, NULL},
	{BUILDER "scope src/\nscope !src/gen/\n", POLICY_CREATE, "src/gen/x", 0, POLICY_DENY,
	 "scope !src/gen/"},
	/* hidden */
	{HIDING, POLICY_CREATE, "secrets/key", 0, POLICY_DENY, "hide secrets/**"},
	{HIDING, POLICY_WRITE, "secrets/open.txt", BASE, POLICY_ALLOW, NULL},
	/* "!" below what was excluded */
	{ISLAND, POLICY_WRITE, "docs/x", BASE, POLICY_DENY, "write !docs/"},
	{ISLAND, POLICY_WRITE, "docs/api/x", BASE, POLICY_ALLOW, "write docs/api/"},
	{ISLAND, POLICY_MKDIR, "docs", DIR, POLICY_ALLOW, "write docs/api/"},
	{ISLAND, POLICY_WRITE, "docs", BASE, POLICY_ALLOW, "write *"},
};

static void test_policy__decides_the_examples(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(examples); i++) {
		struct policy *p = parse(examples[i].policy);
		struct policy_verdict v =
			decide(p, examples[i].op, examples[i].path, examples[i].flags);
		const char *text = policy_rule_text(p, v.rule);

		if (v.result != examples[i].want)
			fail_msg("%s: %s '%s': %s (%s), not %s", policy_role(p),
				 policy_op_name(examples[i].op), examples[i].path,
				 policy_result_name(v.result), text,
				 policy_result_name(examples[i].want));
		if (examples[i].rule && !strstr(text, examples[i].rule))
			fail_msg("%s '%s': '%s' is not '%s'", policy_op_name(examples[i].op),
				 examples[i].path, text, examples[i].rule);
		policy_free(p);
	}
}

static void test_policy__hidden(void **state)
{
	struct policy *p = parse(HIDING);

	assert_true(policy_hidden(p, "secrets/key", false));
	assert_false(policy_hidden(p, "secrets", true));
	assert_false(policy_hidden(p, "secrets/open.txt", false));
	assert_false(policy_hidden(p, "", true));
	policy_free(p);
	p = parse(HEAD "role r\nhide *\n");
	assert_true(policy_hidden(p, "src", true));
	assert_false(policy_hidden(p, ".git/HEAD", false));
	assert_false(policy_hidden(p, ".agentfs/control/role", false));
	policy_free(p);
}

static void test_policy__folders_of_builtin_roles(void **state)
{
	struct policy *builder = parse(BUILDER), *scoped = parse(SCOPED), *plan = parse(ARCHITECT);
	struct policy *scout = parse(SCOUT), *reviewer = parse(REVIEWER);
	enum policy_result r;

	assert_true(policy_may_make_in(builder, ""));
	assert_true(policy_may_make_in(builder, "src"));
	assert_false(policy_may_make_in(builder, ".agentfs"));
	assert_false(policy_may_make_in(builder, ".github/workflows"));
	assert_true(policy_uniform_below(builder, ".agentfs/plan", &r) && r == POLICY_DENY);
	assert_true(policy_uniform_below(builder, ".github/workflows", &r) && r == POLICY_DENY);
	assert_true(policy_uniform_below(builder, ".git", &r) && r == POLICY_ALLOW);
	assert_false(policy_uniform_below(builder, "src", &r)); /* SPRINT.md may be there */
	assert_false(policy_uniform_below(builder, "", &r));
	assert_true(policy_may_make_in(scoped, ""));
	assert_true(policy_may_make_in(scoped, "src"));
	assert_false(policy_may_make_in(scoped, "lib"));
	assert_true(policy_uniform_below(scoped, "lib", &r) && r == POLICY_DENY);
	assert_true(policy_may_make_in(plan, ""));
	assert_false(policy_may_make_in(plan, "src"));
	assert_true(policy_uniform_below(plan, ".agentfs/plan", &r) && r == POLICY_ALLOW);
	assert_true(policy_uniform_below(plan, "src", &r) && r == POLICY_DENY);
	assert_true(policy_read_only(scout));
	assert_false(policy_may_make_in(scout, ""));
	assert_true(policy_may_make_in(scout, ".git/refs"));
	assert_true(policy_uniform_below(scout, "src", &r) && r == POLICY_DENY_RO);
	assert_false(policy_read_only(reviewer));
	assert_true(policy_may_make_in(reviewer, "src"));
	assert_false(policy_uniform_below(reviewer, "src", &r));
	policy_free(builder);
	policy_free(scoped);
	policy_free(plan);
	policy_free(scout);
	policy_free(reviewer);
}

static void test_policy__text_is_canonical(void **state)
{
	struct policy *p, *q;

	p = parse(HEAD "\n# a comment\nwrite *  \trole: \"x\"\nrole my role\n"
		       "hide \"a\\011b \\\"\\\\\\\\ \\001\"\niron i\nwrite \" lead\"\n");
	q = parse(policy_text(p));
	assert_string_equal(policy_text(p), policy_text(q));
	assert_memory_equal(policy_hash(p), policy_hash(q), 32);
	assert_string_equal(policy_text(p), HEAD "role my role\nscratch beside\niron i\n"
						 "hide \"a\\011b \\\"\\\\\\\\ \\001\"\n"
						 "write *\trole: \"x\"\nwrite \" lead\"\n");
	assert_int_equal(decide(p, POLICY_WRITE, " lead", BASE).result, POLICY_ALLOW);
	policy_free(p);
	policy_free(q);
}

/* The folder itself must be named: what is in one that is named, or in .git, is no redirect. */
static void test_policy__redirects_and_quotas(void **state)
{
	struct policy *p = parse(HEAD "role b\nredirect node_modules/\tf:1\nredirect target\n"
				      "redirect !/docs/target\nredirect /x/*/out/\n"
				      "quota nodes 5\nquota bytes 0\nwrite *\n");
	static const struct {
		const char *path, *rule; /* NULL: none */
	} cases[] = {
		{"node_modules", "redirect node_modules/ (f:1)"},
		{"a/b/node_modules", "redirect node_modules/ (f:1)"},
		{"node_modules/x", NULL},
		{"node_modules/a/node_modules", NULL},
		{"target", "redirect target"},
		{"docs/target", NULL},
		{"docs/target/node_modules", "redirect node_modules/ (f:1)"},
		{"x/y/out", "redirect /x/*/out/"},
		{"out", NULL},
		{"", NULL},
		{".git/target", NULL},
		{".agentfs/target", NULL},
	};

	(void)state;
	assert_string_equal(policy_text(p), HEAD "role b\nscratch beside\nquota nodes 5\nwrite *\n"
						 "redirect node_modules/\tf:1\nredirect target\n"
						 "redirect !/docs/target\nredirect /x/*/out/\n");
	assert_int_equal(policy_quota(p).nodes, 5);
	assert_int_equal(policy_quota(p).bytes, 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t rule = UINT32_MAX;
		bool got = policy_redirects(p, cases[i].path, &rule);

		if (got != (cases[i].rule != NULL))
			fail_msg("'%s': %d", cases[i].path, got);
		if (got)
			assert_string_equal(policy_rule_text(p, rule), cases[i].rule);
	}
	policy_free(p);
}

static void test_policy__bad_texts_are_refused(void **state)
{
	static const struct {
		const char *text;
		int r;
		const char *says;
	} cases[] = {
		{"", -EINVAL, "line 1"},
		{"agentfs-policy 2\nrole x\n", -EPROTONOSUPPORT, "newer"},
		{"agentfs-policy x\nrole x\n", -EINVAL, "must begin"},
		{HEAD, -EINVAL, "role is missing"},
		{HEAD "role a\nrole b\n", -EINVAL, "line 3"},
		{HEAD "role \n", -EINVAL, "empty"},
		{HEAD "role a\nscratch some\n", -EINVAL, "none, beside or all"},
		{HEAD "role a\nscratch all\nscratch all\n", -EINVAL, "already"},
		{HEAD "role a\nwrites *\n", -EINVAL, "line 3"},
		{HEAD "role a\nquota bytes 1\nquota bytes 1\n", -EINVAL, "already"},
		{HEAD "role a\nquota bytes\n", -EINVAL, "bytes"},
		{HEAD "role a\nquota bytes \n", -EINVAL, "a number"},
		{HEAD "role a\nquota pages 1\n", -EINVAL, "'nodes'"},
		{HEAD "role a\nquota bytes 99999999999999999999\n", -EINVAL, "not one"},
		{HEAD "role a\nredirect [\n", -EINVAL, "redirect pattern"},
		{HEAD "role a\nwrite\n", -EINVAL, "one space"},
		{HEAD "role a\nwrite [a\tagentfs.yaml:7\n", -EINVAL, "agentfs.yaml:7"},
		{HEAD "role a\nwrite \"x\n", -EINVAL, "not closed"},
		{HEAD "role a\nwrite \"x\"y\n", -EINVAL, "TAB"},
		{HEAD "role a\nwrite \"\\012\"\n", -EINVAL, "newline"},
		{HEAD "role a\nwrite \"\\000\"\n", -EINVAL, "NUL"},
		{HEAD "role a\nwrite \n", -EINVAL, "empty"},
		{HEAD "role a\nwrite x\ty\tz\n", -EINVAL, "control byte"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = ERR_INIT;
		struct policy *p = NULL;

		assert_int_equal(policy_parse(cases[i].text, &p, &e), cases[i].r);
		assert_null(p);
		if (!strstr(err_text(&e), cases[i].says))
			fail_msg("'%s' does not say '%s'", err_text(&e), cases[i].says);
		err_release(&e);
	}
}

static void test_policy__names_of_operations(void **state)
{
	for (int op = POLICY_CREATE; op <= POLICY_LINK; op++)
		assert_int_equal(policy_op_parse(policy_op_name((enum policy_op)op)), op);
	assert_int_equal(policy_op_parse("rename"), POLICY_RENAME_FROM);
	assert_int_equal(policy_op_parse("fly"), -EINVAL);
}

/* Random policies over a small alphabet. */
static uint64_t seed = 7;

static unsigned pick(unsigned n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

static const char *const names[] = {"a", "b", "ab", "a.c", "b.c", ".agentfs", "zz"};

static void random_policy(struct buf *b)
{
	static const char *const patterns[] = {
		"*",	 "a",	   "b",	      "/a",	  "a/",	   "/b/",    "*.c",
		"a/b",	 "a/**",   "**/b",    "a/*",	  "a/*.c", "a/**/b", "a/b/**",
		"/a.c",	 "a/b/ab", "[ab]",    "/*/",	  "b/?",   "**/a/",  ".agentfs/**",
		"ab/**", "/*",	   "a/b/a.c", "b/**/a.c",
	};
	static const char *const kinds[] = {"iron", "hide", "write", "scope"};
	static const char *const scratches[] = {"none", "beside", "all"};

	buf_clear(b);
	assert_int_equal(buf_addf(b, HEAD "role r\nscratch %s\n", scratches[pick(3)]), 0);
	for (unsigned k = 0; k < 4; k++) {
		unsigned n = k < 2 ? (pick(3) == 0) : k == 2 ? pick(4) : pick(2) * pick(3);

		while (n--)
			assert_int_equal(buf_addf(b, "%s %s%s\n", kinds[k], pick(3) ? "" : "!",
						  patterns[pick(ARRAY_SIZE(patterns))]),
					 0);
	}
}

static void random_path(char *out, const char *dir, unsigned depth)
{
	strcpy(out, dir);
	for (unsigned i = 0; i < depth; i++) {
		if (*out)
			strcat(out, "/");
		strcat(out, names[pick(ARRAY_SIZE(names))]);
	}
}

static void check_folder(const struct policy *p, const char *dir, unsigned *uniform,
			 unsigned *closed)
{
	enum policy_result all = POLICY_ALLOW;
	bool one = policy_uniform_below(p, dir, &all), may = policy_may_make_in(p, dir);

	*uniform += one;
	*closed += !may;
	for (int k = 0; k < 25; k++) {
		enum policy_op op = (enum policy_op)pick(POLICY_LINK + 1);
		unsigned depth = 1 + pick(3);
		struct policy_verdict v;
		char path[128];

		random_path(path, dir, depth);
		v = decide(p, op, path, (int)pick(8));
		if (one && v.result != all)
			fail_msg("below '%s' all is %s, but %s '%s' is %s, with\n%s", dir,
				 policy_result_name(all), policy_op_name(op), path,
				 policy_result_name(v.result), policy_text(p));
		random_path(path, dir, 1);
		op = pick(2) ? POLICY_CREATE : POLICY_MKDIR;
		v = decide(p, op, path, op == POLICY_MKDIR);
		if (!may && v.result <= POLICY_SCRATCH)
			fail_msg("nothing may be made in '%s', but '%s' is %s, with\n%s", dir, path,
				 policy_result_name(v.result), policy_text(p));
	}
}

static void test_policy__answers_for_folders_hold_for_samples(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	unsigned uniform = 0, closed = 0;

	print_message("seed %llu\n", (unsigned long long)seed);
	for (int i = 0; i < 6000; i++) {
		struct policy *p;

		random_policy(&b);
		p = parse(b.data);
		for (int k = 0; k < 4; k++) {
			char dir[64];

			random_path(dir, "", pick(4));
			check_folder(p, dir, &uniform, &closed);
		}
		policy_free(p);
	}
	assert_true(uniform > 1000 && closed > 1000);
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

static void test_policy__no_memory_leaves_nothing(void **state)
{
	struct sys saved = sys;
	struct policy *p = NULL;
	int r = -ENOMEM, n = 0;

	sys.malloc = failing_malloc;
	sys.realloc = failing_realloc;
	for (; r < 0; n++) {
		countdown = n;
		r = policy_parse(SCOPED "hide \"a\\011\"\torigin:1\n", &p, NULL);
		if (r < 0) {
			assert_int_equal(r, -ENOMEM);
			assert_null(p);
		}
	}
	sys = saved;
	policy_free(p);
	assert_true(n > 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policy__decides_the_examples),
		cmocka_unit_test(test_policy__hidden),
		cmocka_unit_test(test_policy__folders_of_builtin_roles),
		cmocka_unit_test(test_policy__text_is_canonical),
		cmocka_unit_test(test_policy__redirects_and_quotas),
		cmocka_unit_test(test_policy__bad_texts_are_refused),
		cmocka_unit_test(test_policy__names_of_operations),
		cmocka_unit_test(test_policy__answers_for_folders_hold_for_samples),
		cmocka_unit_test(test_policy__no_memory_leaves_nothing),
	};

	if (getenv("AGENTFS_TEST_SEED"))
		seed = strtoull(getenv("AGENTFS_TEST_SEED"), NULL, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
