/* SPDX-License-Identifier: Apache-2.0 */
/* policy_pattern: gitignore's own examples, random patterns against git itself, and what is said of
 * names below a folder against the names themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "io.h"
#include "policy_pattern.h"
#include "sys.h"

static uint64_t seed = 20240607;

static unsigned pick(unsigned n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

static struct pattern_path at(const char *path, bool dir)
{
	return (struct pattern_path){.p = path, .n = strlen(path), .dir = dir};
}

static int covers(const char *pattern, const char *path, bool dir)
{
	struct pattern_path a = at(path, dir);
	struct pattern *p = NULL;
	const char *why = NULL;
	int r = pattern_compile(pattern, &p, &why);

	if (r == 0)
		r = pattern_covers(p, &a);
	pattern_free(p);
	return r;
}

static void test_policy_pattern__gitignore_examples(void **state)
{
	static const struct {
		const char *pattern, *path;
		bool dir;
		int want;
	} cases[] = {
		{"*", "a/b", false, 1},
		{"a", "x/a", false, 1},
		{"a", "a/b/c", false, 1},
		{"/a", "x/a", false, 0},
		{"a/b", "x/a/b", false, 0},
		{"a/b", "a/b/c", false, 1},
		{"foo/", "foo", false, 0},
		{"foo/", "foo", true, 1},
		{"foo/", "x/foo/y", false, 1},
		{"**/foo", "foo", false, 1},
		{"**/foo/bar", "a/b/foo/bar", false, 1},
		{"abc/**", "abc", true, 0},
		{"abc/**", "abc/d/e", false, 1},
		{"a/**/b", "a/b", false, 1},
		{"a/**/b", "a/x/y/b", false, 1},
		{"a/**/b", "a/x/y/c", false, 0},
		{"*.c", "src/x.c", false, 1},
		{"src/*.c", "src/sub/x.c", false, 0},
		{"foo/*", "foo/bar/hello.c", false, 1},
		{"f?o", "f/o", false, 0},
		{"[a-c]x", "bx", false, 1},
		{"[!a-c]x", "bx", false, 0},
		{"[]]x", "]x", false, 1},
		{"[[:digit:]]", "7", false, 1},
		{"[a/]b", "ab", false, 1},
		{"[a/]b", "x/ab", false, 0},
		{"\\!x", "!x", false, 1},
		{"\\#x", "#x", false, 1},
		{"x  ", "x", false, 1},
		{"x\\ ", "x ", false, 1},
		{"a\\*b", "a*b", false, 1},
		{"a\\*b", "axb", false, 0},
		{"a**b", "axyb", false, 1},
		{"!x", "x", false, 1},
		{"", "x", false, -EINVAL},
		{"!", "x", false, -EINVAL},
		{"/", "x", false, -EINVAL},
		{"#x", "x", false, -EINVAL},
		{"a//b", "x", false, -EINVAL},
		{"a/../b", "x", false, -EINVAL},
		{"./a", "x", false, -EINVAL},
		{"[a", "x", false, -EINVAL},
		{"[[:nope:]]", "x", false, -EINVAL},
		{"x\\", "x", false, -EINVAL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int got = covers(cases[i].pattern, cases[i].path, cases[i].dir);

		if (got != cases[i].want)
			fail_msg("'%s' on '%s': %d, not %d", cases[i].pattern, cases[i].path, got,
				 cases[i].want);
	}
}

static void test_policy_pattern__too_deep_is_refused(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;

	for (int i = 0; i < 200; i++)
		assert_int_equal(buf_adds(&b, i % 2 ? "**/" : "a/"), 0);
	assert_int_equal(buf_adds(&b, "x"), 0);
	assert_int_equal(covers(b.data, "x", false), -EINVAL);
}

/* Cut off before exponential search: a glob of many stars on a long name. */
static void test_policy_pattern__many_stars_are_quick(void **state)
{
	char name[256];

	memset(name, 'a', 255);
	name[255] = '\0';
	assert_int_equal(covers("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", name, false), 0);
}

/* Names and patterns over a small alphabet, so that they meet often. */
static const char *const names[] = {"a", "b", "ab", "a.c", "b-1", "x y", "[a]", "a*"};

static void random_pattern(char *out, size_t n)
{
	static const char *const atoms[] = {"a",	   "b",	  "*",	"?",   "[ab]", "[!a]",
					    "[a-b]",	   "\\*", ".c", "\\[", "-",    "x y",
					    "[[:alpha:]]", "a",	  "b",	"ab"};
	static const char *const parts[] = {"a", "b", "ab", "*", "**", "a.c", "a*"};
	struct buf b = BUF_INIT;
	unsigned depth = 1 + pick(3);

	if (pick(4) == 0)
		assert_int_equal(buf_adds(&b, "/"), 0);
	for (unsigned i = 0; i < depth; i++) {
		unsigned k = 1 + pick(3);

		if (i)
			assert_int_equal(buf_adds(&b, "/"), 0);
		if (pick(2))
			assert_int_equal(buf_adds(&b, parts[pick(ARRAY_SIZE(parts))]), 0);
		else
			while (k--)
				assert_int_equal(buf_adds(&b, atoms[pick(ARRAY_SIZE(atoms))]), 0);
	}
	if (pick(4) == 0)
		assert_int_equal(buf_adds(&b, "/"), 0);
	assert_true(b.len < n);
	memcpy(out, b.data, b.len + 1);
	buf_release(&b);
}

/* git before 2.46 misreads "x**" + "/": the literal prefix is cut off before it looks at the stars.
 */
static bool git_misreads(const char *s)
{
	for (const char *p = strstr(s, "**"); p; p = strstr(p + 1, "**"))
		if (p > s && p[-1] != '/')
			return true;
	return false;
}

static void make_tree(int dir, int depth)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_close_ int fd = -1;

		if (depth == 0 || i % 2) {
			fd = openat(dir, names[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
			assert_true(fd >= 0);
			continue;
		}
		assert_int_equal(mkdirat(dir, names[i], 0755), 0);
		if (i > 4)
			continue;
		fd = openat(dir, names[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(fd >= 0);
		make_tree(fd, depth - 1);
	}
}

struct sample {
	char *path;
	bool dir;
};

static size_t list_tree(const char *root, struct sample *out, size_t max)
{
	_cleanup_free_ char *cmd = NULL;
	char line[256];
	size_t n = 0;
	FILE *f;

	assert_true(asprintf(&cmd,
			     "cd %s && find . -mindepth 1 -name .git -prune -o "
			     "-mindepth 1 -not -name .gitignore -printf '%%y%%P\\n'",
			     root) > 0);
	f = popen(cmd, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) && n < max) {
		line[strcspn(line, "\n")] = '\0';
		if (strcmp(line + 1, ".git") == 0)
			continue;
		out[n].dir = line[0] == 'd';
		out[n++].path = strdup(line + 1);
	}
	assert_int_equal(pclose(f), 0);
	return n;
}

/* Asks git about all paths at once; out[i] = ignored. */
static void ask_git(const char *root, const char *pattern, const struct sample *s, size_t n,
		    bool *out)
{
	_cleanup_free_ char *cmd = NULL, *file = NULL;
	char line[256];
	FILE *f;

	assert_true(asprintf(&file, "%s/.gitignore", root) > 0);
	f = fopen(file, "we");
	assert_non_null(f);
	assert_true(fprintf(f, "%s\n", pattern) > 0);
	assert_int_equal(fclose(f), 0);
	assert_true(asprintf(&cmd, "cd %s && git check-ignore --no-index --stdin < .git/paths",
			     root) > 0);
	f = popen(cmd, "r");
	assert_non_null(f);
	memset(out, 0, n * sizeof(*out));
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		for (size_t i = 0; i < n; i++)
			out[i] |= strcmp(s[i].path, line) == 0;
	}
	assert_true(WEXITSTATUS(pclose(f)) <= 1);
}

static void write_paths(const char *root, const struct sample *s, size_t n)
{
	_cleanup_free_ char *file = NULL;
	FILE *f;

	assert_true(asprintf(&file, "%s/.git/paths", root) > 0);
	f = fopen(file, "we");
	assert_non_null(f);
	for (size_t i = 0; i < n; i++)
		assert_true(fprintf(f, "%s\n", s[i].path) > 0);
	assert_int_equal(fclose(f), 0);
}

static void test_policy_pattern__equals_git(void **state)
{
	char root[] = "/tmp/test-pattern-XXXXXX", pattern[128];
	static struct sample samples[1000];
	static bool ignored[1000];
	_cleanup_free_ char *init = NULL;
	_cleanup_close_ int fd = -1;
	size_t n, covered = 0;

	if (system("git --version >/dev/null 2>&1") != 0)
		skip();
	print_message("seed %llu\n", (unsigned long long)seed);
	assert_non_null(mkdtemp(root));
	assert_true(asprintf(&init, "git init -q %s", root) > 0);
	assert_int_equal(system(init), 0);
	fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_tree(fd, 2);
	n = list_tree(root, samples, ARRAY_SIZE(samples));
	assert_true(n > 50);
	write_paths(root, samples, n);
	for (int i = 0; i < 250; i++) {
		do
			random_pattern(pattern, sizeof(pattern));
		while (git_misreads(pattern));
		ask_git(root, pattern, samples, n, ignored);
		for (size_t k = 0; k < n; k++) {
			int got = covers(pattern, samples[k].path, samples[k].dir);

			if ((got > 0) != ignored[k])
				fail_msg("'%s' on '%s' (%s): git %d, we %d", pattern,
					 samples[k].path, samples[k].dir ? "folder" : "file",
					 ignored[k], got);
			covered += ignored[k];
		}
	}
	assert_true(covered > 1000);
	for (size_t k = 0; k < n; k++)
		free(samples[k].path);
	assert_int_equal(io_rm_rf(AT_FDCWD, root), 0);
}

static void random_path(char *out, unsigned depth)
{
	*out = '\0';
	for (unsigned i = 0; i < depth; i++) {
		if (i)
			strcat(out, "/");
		strcat(out, pick(6) ? names[pick(ARRAY_SIZE(names))] : "zz");
	}
}

/* What below() says of a folder holds for paths below it; a fresh child likewise; and two patterns
 * that never meet cover no common path. */
static void test_policy_pattern__below_holds_for_samples(void **state)
{
	unsigned said[3] = {0}, apart = 0;

	for (int i = 0; i < 20000; i++) {
		char text[128], text2[128], dir[64], rest[64], path[160];
		struct pattern *p = NULL, *q = NULL;
		struct pattern_path d, x;
		enum pattern_span span;
		const char *why;

		random_pattern(text, sizeof(text));
		random_pattern(text2, sizeof(text2));
		if (pattern_compile(text, &p, &why) < 0 || pattern_compile(text2, &q, &why) < 0) {
			pattern_free(p);
			continue;
		}
		random_path(dir, pick(3));
		d = at(dir, true);
		span = pattern_below(p, &d);
		said[span]++;
		apart += !pattern_meet_below(p, q, &d);
		for (int k = 0; k < 10; k++) {
			random_path(rest, 1 + pick(3));
			(void)snprintf(path, sizeof(path), "%s%s%s", dir, *dir ? "/" : "", rest);
			x = at(path, pick(2));
			if (span == PATTERN_ALL)
				assert_true(pattern_covers(p, &x));
			if (span == PATTERN_NONE)
				assert_false(pattern_covers(p, &x));
			if (pattern_covers(p, &x) && pattern_covers(q, &x) &&
			    !pattern_meet_below(p, q, &d))
				fail_msg("'%s' and '%s' meet at '%s'", text, text2, path);
		}
		x = at(dir, false);
		x.leaf = "zz-fresh";
		x.leaf_n = 8;
		if (pattern_fresh_child(p, &d) == PATTERN_NONE)
			assert_false(pattern_covers(p, &x));
		if (pattern_fresh_child(p, &d) == PATTERN_ALL)
			assert_true(pattern_covers(p, &x));
		pattern_free(p);
		pattern_free(q);
	}
	assert_true(said[PATTERN_ALL] > 100 && said[PATTERN_SOME] > 100 &&
		    said[PATTERN_NONE] > 100);
	assert_true(apart > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policy_pattern__gitignore_examples),
		cmocka_unit_test(test_policy_pattern__too_deep_is_refused),
		cmocka_unit_test(test_policy_pattern__many_stars_are_quick),
		cmocka_unit_test(test_policy_pattern__equals_git),
		cmocka_unit_test(test_policy_pattern__below_holds_for_samples),
	};

	if (getenv("AGENTFS_TEST_SEED"))
		seed = strtoull(getenv("AGENTFS_TEST_SEED"), NULL, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
