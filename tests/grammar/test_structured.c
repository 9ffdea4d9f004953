/* SPDX-License-Identifier: Apache-2.0 */
/* Structured merges, language by language: what they answer, what they leave alone, and what always holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <git2.h>
#include <time.h>

#include "grammar.h"

static struct text text(const char *s)
{
	return (struct text){s, strlen(s)};
}

/* The merged file where every conflict is answered; *worst: the riskiest class. False: something is left. */
static bool merge(struct parser *p, const char *path, const struct text v[SIDES], struct buf *out,
		  enum parser_class *worst)
{
	struct parser_answer *a;
	struct diff3 d;
	size_t k = 0;
	bool all = true;

	assert_int_equal(diff3(v[BASE], v[OURS], v[THEIRS], &d), 0);
	a = calloc(d.conflicts + 1, sizeof(*a));
	assert_non_null(a);
	*worst = PARSER_NONE;
	assert_int_equal(parser_merge(p, path, &d, a, NULL), 0);
	assert_int_equal(buf_adds(out, ""), 0);
	for (size_t i = 0; i < d.n; i++) {
		const struct chunk *c = &d.v[i];
		struct text t = diff3_text(&d, c, c->kind == CHUNK_THEIRS ? THEIRS : OURS);

		if (c->kind == CHUNK_CONFLICT) {
			all = all && a[k].class != PARSER_NONE;
			*worst = a[k].class > *worst ? a[k].class : *worst;
			t = (struct text){a[k].text.data, a[k].text.len};
			k++;
		}
		assert_int_equal(buf_add(out, t.p, t.n), 0);
	}
	for (size_t i = 0; i < d.conflicts; i++)
		buf_release(&a[i].text);
	free(a);
	diff3_release(&d);
	return all;
}

/* want NULL: it has to stay a conflict. */
static const struct {
	const char *path, *base, *ours, *theirs;
	enum parser_class class;
	const char *want;
} cases[] = {
	/* Both add declarations at one place: both stay, ours first. */
	{"a.c", "int a(void)\n{\n}\n", "int a(void)\n{\n}\n\nint b(void)\n{\n\treturn 1;\n}\n",
	 "int a(void)\n{\n}\n\nint c(void)\n{\n\treturn 2;\n}\n", PARSER_ADD,
	 "int a(void)\n{\n}\n\nint b(void)\n{\n\treturn 1;\n}\n\nint c(void)\n{\n\treturn 2;\n}\n"},
	{"a.cpp", "class C {\n};\n", "class C {\n\tvoid a(int x) {}\n};\n",
	 "class C {\n\tvoid a(long x) {}\n};\n", PARSER_ADD,
	 "class C {\n\tvoid a(int x) {}\n\tvoid a(long x) {}\n};\n"},
	{"a.py", "class C:\n    def a(self):\n        pass\n",
	 "class C:\n    def a(self):\n        pass\n\n    @deco\n    def b(self):\n        return 1\n",
	 "class C:\n    def a(self):\n        pass\n\n    def c(self):\n        return 2\n",
	 PARSER_ADD,
	 "class C:\n    def a(self):\n        pass\n\n    @deco\n    def b(self):\n        return 1\n"
	 "\n    def c(self):\n        return 2\n"},
	{"a.js", "function a() {\n}\n", "function a() {\n}\n\nfunction b() {\n  x();\n}\n",
	 "function a() {\n}\n\n// c\nfunction c() {\n  y();\n}\n", PARSER_ADD,
	 "function a() {\n}\n\nfunction b() {\n  x();\n}\n\n// c\nfunction c() {\n  y();\n}\n"},
	{"a.ts", "interface I {\n  a: string;\n}\n",
	 "interface I {\n  a: string;\n  b: number;\n}\n",
	 "interface I {\n  a: string;\n  c: boolean;\n}\n", PARSER_ADD,
	 "interface I {\n  a: string;\n  b: number;\n  c: boolean;\n}\n"},
	{"a.tsx", "class A {\n  a() {}\n}\n", "class A {\n  a() {}\n  b() {}\n}\n",
	 "class A {\n  a() {}\n  c() { return <p/>; }\n}\n", PARSER_ADD,
	 "class A {\n  a() {}\n  b() {}\n  c() { return <p/>; }\n}\n"},
	{"a.go", "package m\n", "package m\n\nfunc b() {\n\tx()\n}\n",
	 "package m\n\nfunc c() {\n\ty()\n}\n", PARSER_ADD,
	 "package m\n\nfunc b() {\n\tx()\n}\n\nfunc c() {\n\ty()\n}\n"},
	{"a.rs", "fn a() {}\n", "fn a() {}\n\n#[test]\nfn b() {}\n",
	 "fn a() {}\n\n#[cfg(x)]\nfn c() {}\n", PARSER_ADD,
	 "fn a() {}\n\n#[test]\nfn b() {}\n\n#[cfg(x)]\nfn c() {}\n"},
	{"A.java", "class A {\n}\n", "class A {\n  /** b */\n  void b() {\n  }\n}\n",
	 "class A {\n  /** c */\n  void c() {\n  }\n}\n", PARSER_ADD,
	 "class A {\n  /** b */\n  void b() {\n  }\n  /** c */\n  void c() {\n  }\n}\n"},
	{"a.cs", "class A {\n}\n", "class A {\n  void B() {\n  }\n}\n",
	 "class A {\n  int C { get; set; }\n}\n", PARSER_ADD,
	 "class A {\n  void B() {\n  }\n  int C { get; set; }\n}\n"},
	{"a.rb", "class A\n  def a\n  end\nend\n",
	 "class A\n  def a\n  end\n\n  def b\n    1\n  end\nend\n",
	 "class A\n  def a\n  end\n\n  def c\n    2\n  end\nend\n", PARSER_ADD,
	 "class A\n  def a\n  end\n\n  def b\n    1\n  end\n\n  def c\n    2\n  end\nend\n"},
	{"a.php", "<?php\nclass A {\n}\n", "<?php\nclass A {\n  function b() {\n  }\n}\n",
	 "<?php\nclass A {\n  function c() {\n  }\n}\n", PARSER_ADD,
	 "<?php\nclass A {\n  function b() {\n  }\n  function c() {\n  }\n}\n"},
	{"a.sh", "a() {\n\tx\n}\n", "a() {\n\tx\n}\n\nb() {\n\ty\n}\n",
	 "a() {\n\tx\n}\n\nc() {\n\tz\n}\n", PARSER_ADD,
	 "a() {\n\tx\n}\n\nb() {\n\ty\n}\n\nc() {\n\tz\n}\n"},
	{"a.yaml", "a: 1\n", "a: 1\nb: 2\n", "a: 1\nc: 3\n", PARSER_ADD, "a: 1\nb: 2\nc: 3\n"},
	{"a.toml", "[a]\nx = 1\n", "[a]\nx = 1\n\n[b]\ny = 2\n", "[a]\nx = 1\n\n[c]\nz = 3\n",
	 PARSER_ADD, "[a]\nx = 1\n\n[b]\ny = 2\n\n[c]\nz = 3\n"},
	/* Each changed a declaration of its own, side by side. */
	{"a.c", "int a(void) { return 1; }\nint b(void) { return 1; }\n",
	 "int a(void) { return 2; }\nint b(void) { return 1; }\n",
	 "int a(void) { return 1; }\nint b(void) { return 3; }\n", PARSER_DECL,
	 "int a(void) { return 2; }\nint b(void) { return 3; }\n"},
	/* One took a function away, the other changed its neighbour. */
	{"a.go", "package m\nfunc a() {}\nfunc b() { x() }\n", "package m\nfunc b() { x() }\n",
	 "package m\nfunc a() {}\nfunc b() { y() }\n", PARSER_BLOCK,
	 "package m\nfunc b() { y() }\n"},
	/* Each its own part of one line. */
	{"a.js", "f(a, b);\n", "f(x, b);\n", "f(a, y);\n", PARSER_TOKEN, "f(x, y);\n"},
	{"a.css", ".a { color: red; top: 1px }\n", ".a { color: blue; top: 1px }\n",
	 ".a { color: red; top: 2px }\n", PARSER_BLOCK, ".a { color: blue; top: 2px }\n"},
	{"a.json", "{\"a\": 1, \"b\": 2}\n", "{\"a\": 3, \"b\": 2}\n", "{\"a\": 1, \"b\": 4}\n",
	 PARSER_TOKEN, "{\"a\": 3, \"b\": 4}\n"},
	{"a.html", "<p><b>a</b><i>b</i></p>\n", "<p><b>x</b><i>b</i></p>\n",
	 "<p><b>a</b><i>y</i></p>\n", PARSER_BLOCK, "<p><b>x</b><i>y</i></p>\n"},

	/* The traps. Both add one signature with different bodies. */
	{"a.c", "int x;\n", "int x;\nint f(void)\n{\n\treturn 1;\n}\n",
	 "int x;\nint f(void)\n{\n\treturn 2;\n}\n", PARSER_NONE, NULL},
	{"A.java", "class A {\n}\n", "class A {\n  void b(int x) {\n    p();\n  }\n}\n",
	 "class A {\n  void b(int y) {\n    q();\n  }\n}\n", PARSER_NONE, NULL},
	/* Fields, enumerators, initializers, statements, attributes, cases: order means something. */
	{"a.c", "struct s {\n\tint a;\n};\n", "struct s {\n\tint a;\n\tint b;\n};\n",
	 "struct s {\n\tint a;\n\tint c;\n};\n", PARSER_NONE, NULL},
	{"a.c", "enum e {\n\tA,\n};\n", "enum e {\n\tA,\n\tB,\n};\n", "enum e {\n\tA,\n\tC,\n};\n",
	 PARSER_NONE, NULL},
	{"a.c", "int a[] = {\n\t1,\n};\n", "int a[] = {\n\t1,\n\t2,\n};\n",
	 "int a[] = {\n\t1,\n\t3,\n};\n", PARSER_NONE, NULL},
	{"a.py", "a = 1\n", "a = 1\nf()\n", "a = 1\ng()\n", PARSER_NONE, NULL},
	{"a.py", "@a\ndef f():\n    pass\n", "@a\n@b\ndef f():\n    pass\n",
	 "@a\n@c\ndef f():\n    pass\n", PARSER_NONE, NULL},
	{"a.rs", "#[derive(A)]\nstruct S;\n", "#[derive(A, B)]\nstruct S;\n",
	 "#[derive(A, C)]\nstruct S;\n", PARSER_NONE, NULL},
	{"a.c", "void f(void)\n{\n\tswitch (x) {\n\tcase 1:\n\t\ta();\n\t}\n}\n",
	 "void f(void)\n{\n\tswitch (x) {\n\tcase 1:\n\t\ta();\n\tcase 2:\n\t\tb();\n\t}\n}\n",
	 "void f(void)\n{\n\tswitch (x) {\n\tcase 1:\n\t\ta();\n\tcase 3:\n\t\tc();\n\t}\n}\n",
	 PARSER_NONE, NULL},
	{"a.ts", "enum E {\n  A,\n}\n", "enum E {\n  A,\n  B,\n}\n", "enum E {\n  A,\n  C,\n}\n",
	 PARSER_NONE, NULL},
	{"A.java", "enum E {\n  A\n}\n", "enum E {\n  A,\n  B\n}\n", "enum E {\n  A,\n  C\n}\n",
	 PARSER_NONE, NULL},
	{"a.css", ".a {}\n", ".a {}\n.b {}\n", ".a {}\n.c {}\n", PARSER_NONE, NULL},
	/* Deleted by one, changed by the other. */
	{"a.go", "package m\n\nfunc a() {\n\tx()\n}\n", "package m\n",
	 "package m\n\nfunc a() {\n\ty()\n}\n", PARSER_NONE, NULL},
	/* Both changed the same word. */
	{"a.js", "f(a);\n", "f(b);\n", "f(c);\n", PARSER_NONE, NULL},
	/* A block scalar of YAML is one text. */
	{"a.yaml", "a: |\n  x\n", "a: |\n  x\n  y\n", "a: |\n  x\n  z\n", PARSER_NONE, NULL},
	/* Broken syntax where it would have to be understood. */
	{"a.c", "int a(void) {\n", "int a(void) { +\nint b(\n", "int a(void) { -\nint c(\n",
	 PARSER_NONE, NULL},
};

static void swap(struct text v[SIDES])
{
	struct text ours = v[OURS];

	v[OURS] = v[THEIRS];
	v[THEIRS] = ours;
}

static void test_structured__golden_cases(void **state)
{
	struct parser *p = grammar_parser();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct text v[SIDES] = {text(cases[i].base), text(cases[i].ours),
					text(cases[i].theirs)};
		_cleanup_buf_ struct buf out = BUF_INIT, other = BUF_INIT;
		enum parser_class class;
		bool all = merge(p, cases[i].path, v, &out, &class);

		if (!cases[i].want) {
			if (all)
				fail_msg("case %zu (%s) was merged: %s", i, cases[i].path,
					 out.data);
			continue;
		}
		if (!all || strcmp(out.data, cases[i].want) != 0)
			fail_msg("case %zu (%s): %d, class %d:\n%s", i, cases[i].path, all, class,
				 out.data);
		assert_int_equal(class, cases[i].class);
		swap(v);
		assert_true(merge(p, cases[i].path, v, &other, &class));
		assert_int_equal(other.len, out.len);
	}
	parser_free(p);
}

/* --- what always holds --- */

static uint32_t rnd(uint64_t *seed, uint32_t n)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 33) % n;
}

/* A file of functions f0 … f9, each perhaps there, perhaps changed: what two sides make of one differs. */
static void random_file(uint64_t *seed, const uint32_t *base, uint32_t side, uint32_t *now,
			struct buf *out)
{
	assert_int_equal(buf_adds(out, "int first;\n"), 0);
	for (uint32_t i = 0; i < 10; i++) {
		now[i] = base ? base[i] : rnd(seed, 2);
		if (base && rnd(seed, 5) == 0)
			now[i] = now[i] ? rnd(seed, 2) * (4 + side) : 4 + side;
		if (now[i])
			assert_int_equal(
				buf_addf(
					out,
					"\nint f%u(void)\n{\n\tint v%u = %u;\n\n\treturn v%u;\n}\n",
					i, i, now[i], i),
				0);
	}
}

static unsigned int occurrences(const char *s, const char *what)
{
	unsigned int n = 0;

	for (const char *at = strstr(s, what); at; at = strstr(at + 1, what))
		n++;
	return n;
}

/* Of random changes to ten functions a merge keeps what either changed, drops what either dropped, and
 * parses. */
static void test_structured__random_merges_hold(void **state)
{
	struct parser *p = grammar_parser();
	const char *s = getenv("AGENTFS_SEED");
	uint64_t seed = s ? strtoull(s, NULL, 10) : 1;
	unsigned int merged = 0;

	(void)state;
	(void)printf("seed %llu\n", (unsigned long long)seed);
	for (int i = 0; i < 400; i++) {
		_cleanup_buf_ struct buf b = BUF_INIT, o = BUF_INIT, t = BUF_INIT, out = BUF_INIT;
		uint32_t have[SIDES][10];
		enum parser_class class;
		unsigned int errors;

		random_file(&seed, NULL, BASE, have[BASE], &b);
		random_file(&seed, have[BASE], OURS, have[OURS], &o);
		random_file(&seed, have[BASE], THEIRS, have[THEIRS], &t);
		{
			const struct text v[SIDES] = {
				{b.data, b.len}, {o.data, o.len}, {t.data, t.len}};

			if (!merge(p, "a.c", v, &out, &class) || class == PARSER_NONE)
				continue;
		}
		merged++;
		assert_int_equal(
			parser_check(p, "a.c", (struct text){out.data, out.len}, &errors, NULL), 0);
		assert_int_equal(errors, 0);
		for (uint32_t k = 0; k < 10; k++) {
			uint32_t nb = have[BASE][k], no = have[OURS][k], nt = have[THEIRS][k];
			uint32_t want = no == nb ? nt : no;
			_cleanup_buf_ struct buf name = BUF_INIT, whole = BUF_INIT;

			assert_true(no == nt || no == nb || nt == nb);
			assert_int_equal(buf_addf(&name, "int f%u(", k), 0);
			assert_int_equal(
				buf_addf(&whole,
					 "int f%u(void)\n{\n\tint v%u = %u;\n\n\treturn v%u;\n}\n",
					 k, k, want, k),
				0);
			assert_int_equal(occurrences(out.data, name.data), want != 0);
			assert_int_equal(occurrences(out.data, whole.data), want != 0);
		}
	}
	assert_true(merged > 20);
	parser_free(p);
}

/* --- speed --- */

static int compare_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* 50 KB: figures for people (a sanitized build is slower); the limit is the parser's own. */
static void test_structured__a_large_file_is_merged(void **state)
{
	struct parser *p = grammar_parser();
	struct buf v[SIDES] = {0};
	double ms[20];

	(void)state;
	for (size_t run = 0; run < ARRAY_SIZE(ms); run++) {
		_cleanup_buf_ struct buf out = BUF_INIT;
		struct text t[SIDES];
		struct timespec a, z;
		enum parser_class class;

		for (int s = BASE; s < SIDES; s++) {
			buf_clear(&v[s]);
			for (int i = 0; i < 500; i++)
				assert_int_equal(
					buf_addf(
						&v[s],
						"static int function_%d(struct thing *t, int n)\n{\n"
						"\tif (t->count > %d)\n\t\treturn call(t, n + 1);\n"
						"\treturn %d;\n}\n\n",
						i, i, (int)run),
					0);
			assert_int_equal(buf_addf(&v[s],
						  "static int added_%d(void)\n{\n\treturn 0;\n}\n",
						  s),
					 0);
			t[s] = (struct text){v[s].data, v[s].len};
		}
		(void)clock_gettime(CLOCK_MONOTONIC, &a);
		(void)merge(p, "a.c", t, &out, &class);
		(void)clock_gettime(CLOCK_MONOTONIC, &z);
		ms[run] =
			(double)(z.tv_sec - a.tv_sec) * 1e3 + (double)(z.tv_nsec - a.tv_nsec) / 1e6;
	}
	qsort(ms, ARRAY_SIZE(ms), sizeof(*ms), compare_double);
	(void)printf("structured merge of %zu KB: median %.1f ms, p95 %.1f ms\n", v[OURS].len >> 10,
		     ms[ARRAY_SIZE(ms) / 2], ms[ARRAY_SIZE(ms) * 95 / 100 - 1]);
	for (int s = BASE; s < SIDES; s++)
		buf_release(&v[s]);
	parser_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_structured__golden_cases),
		cmocka_unit_test(test_structured__random_merges_hold),
		cmocka_unit_test(test_structured__a_large_file_is_merged),
	};

	int failed;

	if (!grammars_are_there())
		return 77;
	(void)git_libgit2_init();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	(void)git_libgit2_shutdown();
	return failed;
}
