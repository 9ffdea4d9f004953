/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The invariants of a resolved file are properties: whatever the three texts are, what the resolvers made
 * of them holds. And each invariant finds the resolver that breaks it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <git2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "invariant.h"
#include "resolve_check.h"

static struct text text(const char *s)
{
	return (struct text){s, strlen(s)};
}

static uint32_t rnd(uint64_t *seed, uint32_t n)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 33) % n;
}

/* --- texts of several kinds --- */

enum { WORDS = 12 };

static const struct kind {
	const char *path;
	const char *line[WORDS];
} kinds[] = {
	{"a.c",
	 {"#include <stdio.h>\n", "#include \"a.h\"\n", "#include <errno.h>\n", "int f(void)\n",
	  "{\n", "}\n", "\treturn 0;\n", "\n", "\tint i = 1;\n", "\tint i = 2;\n", "/* why */\n",
	  "static int g;\n"}},
	{"a.py",
	 {"import os\n", "import sys\n", "from a import b\n", "from a import c, d\n", "def f():\n",
	  "    return 1\n", "    return 2\n", "\n", "class A:\n", "    pass\n", "x = 1.2.3\n",
	  "# note\n"}},
	{"CHANGELOG.md",
	 {"# Changes\n", "\n", "## 1.2.0\n", "## 1.3.0\n", "* one\n", "* two\n", "* three\n",
	  "### Fixed\n", "### Added\n", "- four\n", "## Unreleased\n", "text\n"}},
	{"AUTHORS",
	 {"Ann <a@x>\n", "Bob <b@x>\n", "Cy <c@x>\n", "Di\n", "Ed\n", "\n", "# people\n", "Flo\n",
	  "Gus\n", "Hal\n", "Ida\n", "Jo\n"}},
	{".gitignore",
	 {"*.o\n", "build/\n", "*.a\n", "!keep.o\n", "\n", "# objects\n", "/dist\n", "tmp\n",
	  "*.log\n", "node_modules/\n", "a b\n", "x\n"}},
	{"a.toml",
	 {"[a]\n", "[b]\n", "x = \"1.2.3\"\n", "x = \"1.2.4\"\n", "x = \"1.10.0\"\n", "y = 1\n",
	  "y = 2\n", "\n", "z = [\n", "  1,\n", "]\n", "# c\n"}},
	{"A.java",
	 {"/* Copyright 2012-2019 them */\n", "/* Copyright 2012-2020 them */\n",
	  "/* Copyright 2012-present them */\n", "import a.b.C;\n", "import a.b.D;\n",
	  "import static a.X;\n", "class A {\n", "\tint i;\n", "}\n", "\n", "\tvoid f() {}\n",
	  "\tvoid g() {}\n"}},
	{"a.go",
	 {"package a\n", "import (\n", "\t\"fmt\"\n", "\t\"os\"\n", "\tb \"x/b\"\n", ")\n", "\n",
	  "func f() {\n", "}\n", "\tfmt.Println(1)\n", "\tfmt.Println(2)\n", "// c\n"}},
	{"a.js",
	 {"import { a, b } from 'm'\n", "import { a } from 'm'\n", "import c from 'n';\n",
	  "const x = 1;\n", "const x = 2;\n", "\n", "function f() {\n", "}\n", "  return 1;\n",
	  "// c\n", "export { x };\n", "[1, 2]\n"}},
	{"a.json",
	 {"{\n", "}\n", "  \"a\": 1,\n", "  \"a\": 2,\n", "  \"b\": [1],\n", "  \"c\": {\n",
	  "  },\n", "\n", "  \"v\": \"1.2.3\"\n", "  \"v\": \"1.2.4\"\n", "  \"d\": null,\n",
	  "  \"e\": \"\\u00e9\"\n"}},
	{"a.txt",
	 {"one two\n", "one  two\n", "three\n", "Three\n", "\xc3\xa9t\xc3\xa9\n", "\xff\xfe\n",
	  "\n", "====\n", "four five six\n", "1.2.3\n", "1.2.4\n", "end\n"}},
};

/* Lines of the kind, or another text with some lines changed, dropped, doubled, moved. */
static void make_text(uint64_t *seed, const struct kind *k, const struct lines *from, bool crlf,
		      struct buf *out)
{
	size_t n = from ? from->n : rnd(seed, 10);

	for (size_t i = 0; i < n; i++) {
		uint32_t what = from ? rnd(seed, 9) : 0;

		if (what <= 1)
			assert_int_equal(buf_adds(out, k->line[rnd(seed, WORDS)]), 0);
		if (crlf && what <= 1) {
			out->len--;
			assert_int_equal(buf_adds(out, "\r\n"), 0);
		}
		if (from && what != 1 && what != 2)
			assert_int_equal(buf_add(out, from->v[i].p, from->v[i].n), 0);
	}
	if (rnd(seed, 12) == 0 && out->len && out->data[out->len - 1] == '\n')
		out->len -= out->len > 1 && out->data[out->len - 2] == '\r' ? 2 : 1;
	assert_int_equal(buf_adds(out, ""), 0);
}

/* Every resolver may act, whatever is shipped. */
static const struct records nothing;

static struct records trusted(void)
{
	struct records r = {0};

	for (size_t i = 0; i < resolvers_n; i++)
		assert_int_equal(records_add(&r, resolvers[i].name, "any", PATH_PLAIN,
					     (struct evidence){1000, 1000}),
				 0);
	return r;
}

static unsigned int one_triple(uint64_t seed, const struct records *all)
{
	const struct resolve_options o = {
		.cost_of_wrong = COST_OF_WRONG, .own = all, .shipped = &nothing};
	const struct kind *k = &kinds[rnd(&seed, ARRAY_SIZE(kinds))];
	_cleanup_buf_ struct buf b = BUF_INIT, ours = BUF_INIT, theirs = BUF_INIT;
	bool crlf = rnd(&seed, 8) == 0;
	struct lines base = {0};
	const char *why = NULL;
	struct resolve r;
	unsigned int resolved;
	int broken;

	make_text(&seed, k, NULL, crlf, &b);
	assert_int_equal(lines_split((struct text){b.data, b.len}, &base), 0);
	make_text(&seed, k, &base, crlf, &ours);
	make_text(&seed, k, &base, crlf, &theirs);
	assert_int_equal(resolve_file(k->path, (struct text){b.data, b.len},
				      (struct text){ours.data, ours.len},
				      (struct text){theirs.data, theirs.len}, &o, &r),
			 0);
	resolved = r.n && !r.left;
	broken = resolved ? resolve_check(k->path, &r, &o, NULL, &why) : INVARIANT_NONE;
	if (broken != INVARIANT_NONE)
		print_error("%s: %s (%s)\n--- base\n%s--- ours\n%s--- theirs\n%s--- by %s\n",
			    k->path, invariant_name((enum invariant)broken), why, b.data, ours.data,
			    theirs.data, r.v[0].taken->by->name);
	assert_int_equal(broken, INVARIANT_NONE);
	resolve_release(&r);
	free(base.v);
	return resolved;
}

static void test_invariant__whatever_the_texts_are_they_hold(void **state)
{
	const char *depth = getenv("AGENTFS_DEPTH"), *seed = getenv("AGENTFS_SEED");
	bool deep = depth && strcmp(depth, "long") == 0;
	uint64_t from = seed ? strtoull(seed, NULL, 0) : 1;
	unsigned int n = deep ? 1000000 : 20000, resolved = 0;
	struct records all = trusted();

	(void)state;
	print_message("AGENTFS_SEED=%llu, %u triples\n", (unsigned long long)from, n);
	for (unsigned int i = 0; i < n; i++)
		resolved += one_triple(from * 1000003 + i * 7919u, &all);
	print_message("%u resolved\n", resolved);
	assert_true(resolved > n / 100);
	records_release(&all);
}

/* --- each invariant finds who breaks it --- */

static int answer_with(struct buf *out, const char *s)
{
	return buf_adds(out, s) < 0 ? -1 : 1;
}

static int drops_theirs(const struct conflict *c, struct buf *out)
{
	return buf_add(out, c->text[OURS].p, c->text[OURS].n) < 0 ? -1 : 1;
}

static int keeps_deleted(const struct conflict *c, struct buf *out)
{
	(void)c;
	return answer_with(out, "one\nONE\nTWO\ntwo\n");
}

static int leaves_markers(const struct conflict *c, struct buf *out)
{
	(void)c;
	return answer_with(out, "<<<<<<< ours\nONE\n=======\nTWO\n>>>>>>> theirs\n");
}

static int writes_crlf(const struct conflict *c, struct buf *out)
{
	(void)c;
	return answer_with(out, "ONE\r\nTWO\r\n");
}

static int writes_latin1(const struct conflict *c, struct buf *out)
{
	(void)c;
	return answer_with(out, "ONE\nTWO\xe9\n");
}

static int indents(const struct conflict *c, struct buf *out)
{
	(void)c;
	return answer_with(out, "\tONE\n\tTWO\n");
}

static int drops_end(const struct conflict *c, struct buf *out)
{
	(void)c;
	return answer_with(out, "ONE\nTWO");
}

static int takes_first(const struct conflict *c, struct buf *out)
{
	return answer_with(out,
			   c->text[OURS].n && c->text[OURS].p[0] == 'O' ? "ONE\nTWO\n" : "other\n");
}

static int behaves(const struct conflict *c, struct buf *out)
{
	(void)c;
	return answer_with(out, "ONE\nTWO\n");
}

/* ours made "ONE" of "one", theirs "TWO" of "two". */
static int asked(resolver_fn fn, bool replaces)
{
	const struct resolver r = {.name = "test", .fn = fn, .does = "", .replaces = replaces};
	const struct text t[SIDES] = {text("one\ntwo\n"), text("ONE\ntwo\n"), text("one\nTWO\n")};
	struct conflict c = {.path = "a", .lang = language_of("a")};
	_cleanup_buf_ struct buf out = BUF_INIT;
	int k;

	for (int s = BASE; s < SIDES; s++) {
		c.text[s] = t[s];
		assert_int_equal(lines_split(t[s], &c.lines[s]), 0);
	}
	k = resolver_ask(&r, &c, &out);
	for (int s = BASE; s < SIDES; s++)
		free(c.lines[s].v);
	return k;
}

static void test_invariant__lines_find_a_resolver_that_drops_or_revives_one(void **state)
{
	(void)state;
	assert_int_equal(asked(behaves, false), 1);
	assert_int_equal(asked(drops_theirs, false), 0);
	assert_int_equal(asked(keeps_deleted, false), 0);
}

static void test_invariant__form_finds_markers_ends_encoding_and_indentation(void **state)
{
	const resolver_fn bad[] = {leaves_markers, writes_crlf, writes_latin1, indents, drops_end};

	(void)state;
	assert_int_equal(asked(behaves, true), 1);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(asked(bad[i], true), 0);
}

static void test_invariant__swapped_sides_find_a_resolver_that_goes_by_them(void **state)
{
	(void)state;
	assert_int_equal(asked(takes_first, true), 0);
}

/* --- on the whole file --- */

static int count_x(void *user, const char *path, struct text t)
{
	int n = 0;

	(void)user;
	(void)path;
	for (size_t i = 0; i < t.n; i++)
		n += t.p[i] == '!';
	return n;
}

static void resolved(const struct records *all, struct resolve *r)
{
	const struct resolve_options o = {
		.cost_of_wrong = COST_OF_WRONG, .own = all, .shipped = &nothing};

	assert_int_equal(resolve_file("a.c", text("one\ntwo\n"), text("ONE\ntwo\n"),
				      text("one\nTWO\n"), &o, r),
			 0);
	assert_int_equal(r->left, 0);
}

static int check_with(const struct records *all, const char *answer)
{
	const struct resolve_options o = {
		.cost_of_wrong = COST_OF_WRONG, .own = all, .shipped = &nothing};
	const struct resolve_checker checker = {count_x, NULL};
	const char *why = NULL;
	struct answer mine;
	struct resolve r;
	int broken;

	resolved(all, &r);
	mine = *r.v[0].taken;
	mine.text = (char *)answer;
	mine.len = strlen(answer);
	r.v[0].taken = &mine;
	broken = resolve_check("a.c", &r, &o, &checker, &why);
	r.v[0].taken = NULL;
	resolve_release(&r);
	return broken;
}

static void test_invariant__the_whole_file_is_looked_at_again(void **state)
{
	struct records all = trusted();

	(void)state;
	assert_int_equal(check_with(&all, "ONE\nTWO\n"), INVARIANT_NONE);
	assert_int_equal(check_with(&all, "ONE\n"), INVARIANT_LINES);
	assert_int_equal(check_with(&all, "ONE\none\nTWO\n"), INVARIANT_LINES);
	assert_int_equal(check_with(&all, "TWO\nONE\n"), INVARIANT_NONE);
	assert_int_equal(check_with(&all, "ONE\nTWO"), INVARIANT_FORM);
	assert_int_equal(check_with(&all, "ONE\nTWO\n<<<<<<< a\n"), INVARIANT_LINES);
	records_release(&all);
}

/* A parser's errors count where a resolver may replace lines. */
static void test_invariant__a_file_that_parses_worse_is_found(void **state)
{
	const struct resolve_checker checker = {count_x, NULL};
	struct records all = trusted();
	const struct resolve_options o = {
		.cost_of_wrong = COST_OF_WRONG, .own = &all, .shipped = &nothing};
	struct answer mine;
	struct resolve r;
	const char *why = NULL;

	(void)state;
	assert_int_equal(resolve_file("a.toml", text("v = \"1.2.3\"\n"), text("v = \"1.2.4\"\n"),
				      text("v = \"1.3.0\"\n"), &o, &r),
			 0);
	assert_int_equal(r.left, 0);
	assert_int_equal(resolve_check("a.toml", &r, &o, &checker, &why), INVARIANT_NONE);
	mine = *r.v[0].taken;
	mine.text = (char *)"v = \"1.3.0\"!\n";
	mine.len = strlen(mine.text);
	r.v[0].taken = &mine;
	assert_int_equal(resolve_check("a.toml", &r, &o, &checker, &why), INVARIANT_PARSE);
	mine.text = (char *)"v = \"9.9.9\"\n";
	mine.len = strlen(mine.text);
	assert_int_equal(resolve_check("a.toml", &r, &o, &checker, &why), INVARIANT_SWAP);
	r.v[0].taken = NULL;
	resolve_release(&r);
	records_release(&all);
}

/* Over the time limit nobody acts: the line-wise merge stands. */
static void test_invariant__over_the_time_limit_the_conflict_stays(void **state)
{
	struct records all = trusted();
	struct resolve_options o = {
		.cost_of_wrong = COST_OF_WRONG, .own = &all, .shipped = &nothing};
	_cleanup_buf_ struct buf b = BUF_INIT, ours = BUF_INIT, theirs = BUF_INIT;
	struct resolve r;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		assert_int_equal(buf_addf(&b, "line %d\nnext %d\nlast %d\n", i, i, i), 0);
		assert_int_equal(buf_addf(&ours, "LINE %d\nnext %d\nlast %d\n", i, i, i), 0);
		assert_int_equal(buf_addf(&theirs, "line %d\nNEXT %d\nlast %d\n", i, i, i), 0);
	}
	for (int i = 0; i < 2; i++) {
		o.limit_ms = i == 0 ? 600000 : 1;
		assert_int_equal(resolve_file("a.c", (struct text){b.data, b.len},
					      (struct text){ours.data, ours.len},
					      (struct text){theirs.data, theirs.len}, &o, &r),
				 0);
		assert_int_equal(r.n, 20000);
		assert_int_equal(r.left, i == 0 ? 0 : 20000);
		resolve_release(&r);
	}
	records_release(&all);
}

static int setup(void **state)
{
	(void)state;
	return git_libgit2_init() < 0;
}

static int teardown(void **state)
{
	(void)state;
	return git_libgit2_shutdown() < 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_invariant__lines_find_a_resolver_that_drops_or_revives_one),
		cmocka_unit_test(test_invariant__form_finds_markers_ends_encoding_and_indentation),
		cmocka_unit_test(test_invariant__swapped_sides_find_a_resolver_that_goes_by_them),
		cmocka_unit_test(test_invariant__the_whole_file_is_looked_at_again),
		cmocka_unit_test(test_invariant__a_file_that_parses_worse_is_found),
		cmocka_unit_test(test_invariant__over_the_time_limit_the_conflict_stays),
		cmocka_unit_test(test_invariant__whatever_the_texts_are_they_hold),
	};

	return cmocka_run_group_tests_name("invariant", tests, setup, teardown);
}
