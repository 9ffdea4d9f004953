/* SPDX-License-Identifier: Apache-2.0 */
/* Declarations and uses, language by language: every profile opens, and finds what it says it does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "grammar.h"

/* "kind name(params)@from-to<enclosing" for each declaration, one blank between. */
static const struct {
	const char *path, *text, *want;
} samples[] = {
	{"a.c",
	 "/* doc */\nstatic int *foo(int a, char *b)\n{\n\tint x = 1;\n\n\treturn bar(x);\n}\n"
	 "struct s {\n\tint a;\n};\nenum e { A };\n#define X 1\ntypedef struct { int q; } T;\n",
	 "function foo(int,char,)@2-7 variable x()@4-4<foo struct s()@8-10 field a()@9-9<s "
	 "enum e()@11-11 enumerator A()@11-11<e macro X()@12-12 type T()@13-13 field q()@13-13<T"},
	{"a.cpp",
	 "namespace n {\nclass C {\n\tvoid f(int a) const;\n\tint g() { return 1; }\n};\n}\n"
	 "template <class T> T id(T t) { return t; }\nvoid C::f(int a) const {}\n",
	 "namespace n()@1-6 class C()@2-5<n field f(int,)@3-3<C function g()@4-4<C "
	 "function id(T,)@7-7 function C::f(int,)@8-8"},
	{"a.py", "@deco\ndef f(a):\n    return b\nclass C(D):\n    def m(self): pass\n",
	 "function f()@2-3 class C()@4-5 function m()@5-5<C"},
	{"a.js",
	 "export function f(a) { return 1 }\nexport const g = () => 2;\nclass C { x = 1; m(a) {} }\n",
	 "function f()@1-1 variable g()@2-2 class C()@3-3 field x()@3-3<C method m()@3-3<C"},
	{"a.jsx", "function f() { return <a b={1}>x</a> }\n", "function f()@1-1"},
	{"a.ts",
	 "export interface I { a: string }\nabstract class C { private x: number = 1; m<T>(a: T): void {} }\n"
	 "type T = string\nenum E { A }\n",
	 "interface I()@1-1 field a()@1-1<I class C()@2-2 field x()@2-2<C method m()@2-2<C "
	 "type T()@3-3 enum E()@4-4"},
	{"a.tsx", "export const F = (p: P) => <div>{p.x}</div>\n", "variable F()@1-1"},
	{"a.go",
	 "package main\ntype T struct { a int }\nfunc (t *T) M(a int) error { return nil }\nfunc f() {}\nvar x = 1\n",
	 "type T()@2-2 field a()@2-2<T method M(*T,)@3-3 function f()@4-4 variable x()@5-5"},
	{"a.rs",
	 "#[derive(Debug)]\npub struct S { a: i32 }\nimpl Display for S { fn fmt(&self) {} }\nenum E { A }\n",
	 "struct S()@2-2 field a()@2-2<S impl S(Display)@3-3 function fmt()@3-3<S enum E()@4-4 variant "
	 "A()@4-4<E"},
	{"A.java",
	 "class A<T> {\n  private int f = 1;\n  @Test public void m(final int a, List<String> b) { }\n"
	 "  A() {}\n  enum E { X }\n}\n",
	 "class A()@1-6 field f()@2-2<A method m(int,List<String>,)@3-3<A constructor A()@4-4<A enum "
	 "E()@5-5<A constant X()@5-5<E"},
	{"a.cs",
	 "namespace N { class C : D { private int f; public int P { get; set; } void M(int a) {} } }\n",
	 "namespace N()@1-1 class C()@1-1<N field f()@1-1<C property P()@1-1<C method M(int,)@1-1<C"},
	{"a.rb", "module M\n  class C\n    def m; end\n    def self.s; end\n  end\nend\n",
	 "module M()@1-6 class C()@2-5<M method m()@3-3<C method s(self)@4-4<C"},
	{"a.php",
	 "<?php\nclass D { const X = 1; private $y; function m(int $a) {} }\nfunction f() {}\n",
	 "class D()@2-2 constant X()@2-2<D property $y()@2-2<D method m()@2-2<D function f()@3-3"},
	{"a.sh", "x=1\nf() {\n\techo $x\n}\n", "variable x()@1-1 function f()@2-4"},
	{"a.json", "{\"a\": 1, \"b\": {\"c\": [1]}}\n",
	 "key \"a\"()@1-1 key \"b\"()@1-1 key \"c\"()@1-1<\"b\""},
	{"a.yaml", "a: 1\nb:\n  c: 2\n", "key a()@1-1 key b()@2-3 key c()@3-3<b"},
	{"a.toml", "[a]\nb = 1\n[[e]]\n", "table a()@1-2 key b()@2-2<a table e()@3-3"},
	{"a.css", ".a { color: red; }\n", "rule .a()@1-1 property color()@1-1<.a"},
	{"a.html", "<p class=\"x\">a</p>\n", ""},
	{"a.md", "# T\n\ntext\n\n## U\n", "section T()@1-5 section U()@5-5<T"},
};

static void describe(const struct symbols *s, struct buf *out)
{
	assert_int_equal(buf_adds(out, ""), 0);
	for (size_t i = 0; i < s->n; i++) {
		const struct symbol *x = &s->v[i];

		assert_int_equal(buf_addf(out, "%s%s %s(%s)@%u-%u", i ? " " : "", x->kind, x->name,
					  x->params, x->from, x->to),
				 0);
		if (x->enclosing != SYMBOL_NONE)
			assert_int_equal(buf_addf(out, "<%s", s->v[x->enclosing].name), 0);
	}
}

static void test_symbols__each_language_lists_its_declarations(void **state)
{
	struct parser *p = grammar_parser();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		_cleanup_buf_ struct buf out = BUF_INIT;
		struct err e = ERR_INIT;
		struct symbols s;
		unsigned int errors = 99;
		struct text t = {samples[i].text, strlen(samples[i].text)};

		if (parser_symbols(p, samples[i].path, t, &s, &e) < 0)
			fail_msg("%s", e.text);
		describe(&s, &out);
		assert_string_equal(out.data, samples[i].want);
		symbols_release(&s);
		assert_int_equal(parser_check(p, samples[i].path, t, &errors, &e), 0);
		assert_int_equal(errors, 0);
	}
	parser_free(p);
}

static void test_symbols__uses_name_their_declaration(void **state)
{
	static const char text[] = "int a;\nvoid f(void)\n{\n\tg(a);\n\tg(a);\n}\nint b = c;\n";
	struct parser *p = grammar_parser();
	struct symbols s;
	unsigned int in_f = 0, g = 0;

	(void)state;
	assert_int_equal(parser_symbols(p, "a.c", (struct text){text, strlen(text)}, &s, NULL), 0);
	for (size_t i = 0; i < s.nuses; i++) {
		const struct symbol_use *u = &s.uses[i];

		in_f += u->in != SYMBOL_NONE && strcmp(s.v[u->in].name, "f") == 0;
		if (strcmp(u->name, "g") == 0) {
			g++;
			assert_string_equal(s.v[u->in].name, "f");
			assert_int_equal(u->line, 4);
		}
		if (strcmp(u->name, "c") == 0)
			assert_string_equal(s.v[u->in].name, "b");
	}
	assert_int_equal(g, 1);
	assert_int_equal(in_f, 3); /* f, g, a: each once */
	symbols_release(&s);
	parser_free(p);
}

static void test_symbols__foreign_bytes_do_no_harm(void **state)
{
	static const char *const paths[] = {"a.c",  "a.py",   "a.js",	"a.rb",	 "a.yaml",
					    "a.md", "a.html", "a.bash", "a.php", "a.rs"};
	struct parser *p = grammar_parser();
	uint64_t seed = 7;
	char junk[4096];

	(void)state;
	for (size_t i = 0; i < 200; i++) {
		struct symbols s;
		size_t n = 0;

		while (n < sizeof(junk)) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			junk[n++] = i % 2 ? (char)(seed >> 56)
					  : "(){}[]<>\n\t #'\"`:;,=-ab0\\$%"[(seed >> 40) % 29];
		}
		if (parser_symbols(p, paths[i % 10], (struct text){junk, n}, &s, NULL) == 0)
			symbols_release(&s);
	}
	parser_free(p);
}

static void test_check__counts_error_nodes(void **state)
{
	struct parser *p = grammar_parser();
	unsigned int n = 0;

	(void)state;
	assert_int_equal(parser_check(p, "a.c", (struct text){"int f( {\n", 9}, &n, NULL), 0);
	assert_true(n > 0);
	parser_free(p);
}

/* What was parsed before is not parsed again, but what is asked about is what is answered: in turn, more texts than are
 * kept, of one length, in two languages. */
static void test_check__a_tree_that_is_kept_is_that_of_the_text(void **state)
{
	enum { TEXTS = 20, TURNS = 3 };
	struct parser *p = grammar_parser();
	char text[32];
	unsigned int n;

	(void)state;
	for (int i = 0; i < TURNS * TEXTS; i++) {
		int k = i % TEXTS;
		bool good = k % 3 != 0;

		(void)snprintf(text, sizeof(text), "int f%02d(void)%s\n", k, good ? " {}" : " {{");
		assert_int_equal(
			parser_check(p, "a.c", (struct text){text, strlen(text)}, &n, NULL), 0);
		assert_true(good == (n == 0));
		assert_int_equal(
			parser_check(p, "a.py", (struct text){text, strlen(text)}, &n, NULL), 0);
		assert_true(n > 0);
	}
	parser_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_symbols__each_language_lists_its_declarations),
		cmocka_unit_test(test_symbols__uses_name_their_declaration),
		cmocka_unit_test(test_symbols__foreign_bytes_do_no_harm),
		cmocka_unit_test(test_check__counts_error_nodes),
		cmocka_unit_test(test_check__a_tree_that_is_kept_is_that_of_the_text),
	};

	return grammars_are_there() ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
}
