/* SPDX-License-Identifier: Apache-2.0 */
/* YAML, TOML, INI and its like, go.mod, requirements and patterns: by key, what is not understood left alone. */
#include "resolver_fixture.h"

static void check(const char *resolver, const struct resolver_case *v, size_t n)
{
	resolver_check(resolver, v, n);
	resolver_check_swapped(resolver, v, n);
}

static const struct resolver_case yaml[] = {
	{"a.yml", "a: 1\nb: 1\n", "a: 2\nb: 1\n", "a: 1\nb: 2\n", "a: 2\nb: 2\n"},
	{"a.yml", "x:\n  k: 0\n", "x:\n  k: 0\n  o:\n    - 1\n    - 2\n",
	 "x:\n  k: 0\n  t: |\n    # text\n\n    more\n",
	 "x:\n  k: 0\n  o:\n    - 1\n    - 2\n  t: |\n    # text\n\n    more\n"},
	{"a.yml", "---\n# c\na: 1\n# d\nb: 1\n", "---\n# c\na: 2\n# d\nb: 1\n",
	 "---\n# c\na: 1\n# D\nb: 2\n", "---\n# c\na: 2\n# D\nb: 2\n"},
	{"a.yaml", "a: {x: 1}\nb: 'it''s'\n", "a: {x: 2}\nb: 'it''s'\n", "a: {x: 1}\nb: \"q\"\n",
	 "a: {x: 2}\nb: \"q\"\n"},
	{"a.yaml", "a: one\n  two\nb: 1\n", "a: one\n  three\nb: 1\n", "a: one\n  two\nb: 2\n",
	 NULL},
	{"a.yml", "a: 1\r\nb: 1\r\n", "a: 2\r\nb: 1\r\n", "a: 1\r\nb: 2\r\n", "a: 2\r\nb: 2\r\n"},
	{"a.yml", "a: 1\nb: 1", "a: 2\nb: 1", "a: 1\nb: 2", "a: 2\nb: 2"},
	{"a.yml", "a: 1\n", "a: 2\n", "a: 3\n", NULL},
	{"a.yml", "a: &x 1\nb: 1\n", "a: &x 2\nb: 1\n", "a: &x 1\nb: 2\n", NULL},
	{"a.yml", "a: 1\nb: *x\n", "a: 2\nb: *x\n", "a: 1\nb: *y\n", NULL},
	{"a.yml", "a: !t 1\nb: 1\n", "a: !t 2\nb: 1\n", "a: !t 1\nb: 2\n", NULL},
	{"a.yml", "a: 1\nb: 1\n---\nc: 1\n", "a: 2\nb: 1\n---\nc: 1\n", "a: 1\nb: 2\n---\nc: 1\n",
	 NULL},
	{"a.yml", "a: 1\na: 1\n", "a: 2\na: 1\n", "a: 1\na: 2\n", NULL},
	{"a.yml", "- 1\n- 2\n", "- 10\n- 2\n", "- 1\n- 20\n", NULL},
	{"a.yml", "l:\n  - a: 1\n    b: 1\n", "l:\n  - a: 2\n    b: 1\n",
	 "l:\n  - a: 1\n    b: 2\n", NULL},
	{"a.yml", "a:\t1\nb: 1\n", "a:\t2\nb: 1\n", "a:\t1\nb: 2\n", NULL},
	{"a.yml", "a: [1\nb: 1\n", "a: [2\nb: 1\n", "a: [1\nb: 2\n", NULL},
	/* One side goes a level deeper: the other's key stays where it was put. */
	{"a.yml", "t:\n  k: 1\n", "t:\n  u:\n    k: 1\n", "t:\n  k: 1\n  n: 1\n",
	 "t:\n  u:\n    k: 1\n  n: 1\n"},
};

static void test_yaml__by_key(void **state)
{
	(void)state;
	check("yaml", yaml, ARRAY_SIZE(yaml));
}

static const struct resolver_case toml[] = {
	{"Cargo.toml", "[package]\nname = \"x\"\nversion = \"1.0.0\"\n",
	 "[package]\nname = \"y\"\nversion = \"1.0.0\"\n",
	 "[package]\nname = \"x\"\nversion = \"1.1.0\"\n",
	 "[package]\nname = \"y\"\nversion = \"1.1.0\"\n"},
	/* An entry for the open table, and a table behind it. */
	{"Cargo.toml", "[dependencies]\na = \"1\"\n",
	 "[dependencies]\na = \"1\"\nb = { path = \"b\" }\n",
	 "[dependencies]\na = \"1\"\n\n[features]\nx = []\n",
	 "[dependencies]\na = \"1\"\nb = { path = \"b\" }\n\n[features]\nx = []\n"},
	{"pyproject.toml", "[t]\na = 1\n", "[t]\na = 1\no = [\n  1, # ]\n]\n",
	 "[t]\na = 1\nt = \"\"\"\n[x]\n\"\"\"\n",
	 "[t]\na = 1\no = [\n  1, # ]\n]\nt = \"\"\"\n[x]\n\"\"\"\n"},
	{"Cargo.toml", "[[bin]]\nname = \"a\"\npath = \"1\"\n",
	 "[[bin]]\nname = \"a\"\npath = \"1\"\n\n[[bin]]\nname = \"o\"\n",
	 "[[bin]]\nname = \"a\"\npath = \"1\"\n\n[[bin]]\nname = \"t\"\n",
	 "[[bin]]\nname = \"a\"\npath = \"1\"\n\n[[bin]]\nname = \"o\"\n\n[[bin]]\nname = \"t\"\n"},
	{"a.toml", "a = 1\nb = 1\n", "a = 2\nb = 1\n", "a = 3\nb = 1\n", NULL},
	{"a.toml", "a = 1\na = 1\n", "a = 2\na = 1\n", "a = 1\na = 2\n", NULL},
	{"a.toml", "a = 1\n\"a\" = 1\n", "a = 2\n\"a\" = 1\n", "a = 1\n\"a\" = 2\n", NULL},
	{"a.toml", "[[x]]\na = 1\nb = 1\n", "[[x]]\na = 2\nb = 1\n", "[[x]]\na = 1\nb = 2\n", NULL},
	{"a.toml", "a = \"\"\"\nb = 1\n", "a = \"\"\"x\nb = 1\n", "a = \"\"\"\nb = 2\n", NULL},
	/* One crate as an entry and as a table. */
	{"Cargo.toml", "[dependencies]\na = \"1\"\n", "[dependencies]\na = \"1\"\nserde = \"1\"\n",
	 "[dependencies]\na = \"1\"\n[dependencies.serde]\nversion = \"1\"\n", NULL},
	{"Cargo.lock", "[t]\na = 1\nb = 1\n", "[t]\na = 2\nb = 1\n", "[t]\na = 1\nb = 2\n", NULL},
};

static void test_toml__by_key(void **state)
{
	(void)state;
	check("toml", toml, ARRAY_SIZE(toml));
}

static const struct resolver_case ini[] = {
	{"setup.cfg", "[a]\nx = 1\n", "[a]\nx = 2\n", "[a]\nx = 1\ny =\n    1\n\n    2\n",
	 "[a]\nx = 2\ny =\n    1\n\n    2\n"},
	{"tox.ini", "[a]\nx = 1\n", "[a]\nx = 1\ny = 2\n", "[a]\nx = 1\n[b]\nx = 3\n",
	 "[a]\nx = 1\ny = 2\n[b]\nx = 3\n"},
	{"gradle.properties", "a=1.0\nb=1.0\n", "a=1.1\nb=1.0\n", "a=1.2\nb=2.0\n",
	 "a=1.2\nb=2.0\n"},
	{"x.properties", "a=1\n", "a=3\\\n  4\n", "a=1\nb=2\n", "a=3\\\n  4\nb=2\n"},
	{".env", "export A=1\nB='x'\n", "export A=2\nB='x'\n", "export A=1\nB='y'\n",
	 "export A=2\nB='y'\n"},
	{".env", "A=1\nB='x\n", "A=2\nB='x\n", "A=1\nB='y\n", NULL},
	{"x.properties", "a\\=b=1\nb=1\n", "a\\=b=2\nb=1\n", "a\\=b=1\nb=2\n", NULL},
	{"setup.cfg", "[a]\n[a]\nx = 1\ny = 1\n", "[a]\n[a]\nx = 2\ny = 1\n",
	 "[a]\n[a]\nx = 1\ny = 2\n", NULL},
	{"setup.cfg", "[a]\nx = 1\nx = 2\n", "[a]\nx = 3\nx = 2\n", "[a]\nx = 1\nx = 4\n", NULL},
	{"setup.cfg", "x\ny = 1\n", "z\ny = 1\n", "x\ny = 2\n", NULL},
	{"a.ini", "  x = 1\ny = 1\n", "  x = 2\ny = 1\n", "  x = 1\ny = 2\n", NULL},
};

static void test_ini__by_key(void **state)
{
	(void)state;
	check("ini", ini, ARRAY_SIZE(ini));
}

static const struct resolver_case gomod[] = {
	{"go.mod", "module m\n\ngo 1.20\n\nrequire (\n\ta v1.0.0\n\tb v1.0.0 // indirect\n)\n",
	 "module m\n\ngo 1.20\n\nrequire (\n\ta v1.1.0\n\tb v1.0.0 // indirect\n)\n",
	 "module m\n\ngo 1.20\n\nrequire (\n\ta v1.2.0\n\tb v1.3.0 // indirect\n)\n",
	 "module m\n\ngo 1.20\n\nrequire (\n\ta v1.2.0\n\tb v1.3.0 // indirect\n)\n"},
	{"x/go.mod", "module m\nrequire (\n\ta v1.0.0\n)\n",
	 "module m\nrequire (\n\ta v1.0.0\n\to v1.0.0\n)\n",
	 "module m\nrequire (\n\ta v1.0.0\n\tt v1.0.0\n)\n",
	 "module m\nrequire (\n\ta v1.0.0\n\to v1.0.0\n\tt v1.0.0\n)\n"},
	{"go.mod", "module m\nreplace a => b v1\ngo 1.20\n",
	 "module m\nreplace a => c v1\ngo 1.20\n", "module m\nreplace a => b v1\ngo 1.21\n",
	 "module m\nreplace a => c v1\ngo 1.21\n"},
	{"go.mod", "module m\nreplace a => b v1\n", "module m\nreplace a => c v1\n",
	 "module m\nreplace a => d v1\n", NULL},
	{"go.mod", "module m\nrequire a v1.0.0\nrequire a v1.1.0\n",
	 "module m\nrequire a v1.0.1\nrequire a v1.1.0\n",
	 "module m\nrequire a v1.0.0\nrequire a v1.1.1\n", NULL},
	{"go.mod", "module m\nwhat x\ngo 1.20\n", "module m\nwhat y\ngo 1.20\n",
	 "module m\nwhat x\ngo 1.21\n", NULL},
	{"go.mod", "module m\nrequire (\n\ta v1.0.0\n\tb v1.0.0\n",
	 "module m\nrequire (\n\ta v1.0.1\n\tb v1.0.0\n",
	 "module m\nrequire (\n\ta v1.0.0\n\tb v1.0.1\n", NULL},
};

static void test_gomod__by_key(void **state)
{
	(void)state;
	check("gomod", gomod, ARRAY_SIZE(gomod));
}

static const struct resolver_case requirements[] = {
	{"requirements.txt", "a==1.0\nb>=2\n", "a==1.1\nb>=2\n", "a==1.0\nb>=3\n",
	 "a==1.1\nb>=3\n"},
	{"requirements/test.txt", "a==1.0 \\\n  --hash=x\nb==1\n", "a==1.1 \\\n  --hash=y\nb==1\n",
	 "a==1.0 \\\n  --hash=x\nb==2\n", "a==1.1 \\\n  --hash=y\nb==2\n"},
	{"requirements.txt", "a==1.0\n", "a==1.0\nOurs_x==1\n", "a==1.0\n-r x.txt\n",
	 "a==1.0\nOurs_x==1\n-r x.txt\n"},
	{"requirements.txt", "x\n", "x\na_b==1\n", "x\nA-B>=2\n", NULL},
	{"requirements.txt", "a==1\na==1\n", "a==2\na==1\n", "a==1\na==2\n", NULL},
	{"notes.txt", "a==1.0\nb>=2\n", "a==1.1\nb>=2\n", "a==1.0\nb>=3\n", NULL},
};

static void test_requirements__by_project(void **state)
{
	(void)state;
	check("requirements", requirements, ARRAY_SIZE(requirements));
}

static const struct resolver_case ignore[] = {
	{".gitignore", "*.o\n*.a\n", "*.o\n*.a\nb/\n", "*.o\nc/\n", "*.o\nb/\nc/\n"},
	{".gitignore", "*.o\n", "*.o\n# ours\nb/\n", "*.o\n# theirs\nc/\n",
	 "*.o\n# ours\nb/\n# theirs\nc/\n"},
	{".gitignore", "*.o\n", "*.o\n!x.o\n", "*.o\nc/\n", NULL},
	{".gitignore", "*.o\n*.o\n", "*.o\n*.o\nb\n", "*.o\n*.o\nc\n", NULL},
};

static void test_ignore__by_pattern(void **state)
{
	(void)state;
	check("ignore", ignore, ARRAY_SIZE(ignore));
}

/* What no format takes: NUL, invalid UTF-8, files beyond the limit; each in every format. */
static void test_keyed__declines_what_is_no_text(void **state)
{
	static const char *const formats[][4] = {
		{"yaml", "a.yml", ": ", ""},	   {"toml", "a.toml", " = ", ""},
		{"ini", "a.ini", " = ", ""},	   {"requirements", "requirements.txt", "==", ""},
		{"ignore", ".gitignore", "/", ""},
	};
	static const char *const bad[] = {"", "\xc3\x28", "\xed\xa0\x80", "\0"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
		for (size_t k = 0; k <= ARRAY_SIZE(bad); k++) {
			const char *div = formats[i][2];
			struct buf v[SIDES] = {0};
			size_t conflicts = 0;
			char *got;

			for (int s = BASE; s < SIDES; s++) {
				assert_int_equal(buf_adds(&v[s], "# "), 0);
				if (k < ARRAY_SIZE(bad))
					assert_int_equal(
						buf_add(&v[s], bad[k], k == 3 ? 1 : strlen(bad[k])),
						0);
				for (size_t n = 0; k == ARRAY_SIZE(bad) && n < 1 << 19; n++)
					assert_int_equal(buf_adds(&v[s], "12345678 "), 0);
				assert_int_equal(buf_addf(&v[s], "\na%s%d\nb%s%d\n", div,
							  s == OURS ? 2 : 1, div,
							  s == THEIRS ? 2 : 1),
						 0);
			}
			got = resolver_says(formats[i][0], formats[i][1],
					    (struct text){v[BASE].data, v[BASE].len},
					    (struct text){v[OURS].data, v[OURS].len},
					    (struct text){v[THEIRS].data, v[THEIRS].len},
					    &conflicts, NULL);
			assert_int_equal(conflicts, 1);
			if (!got != (k != 0))
				fail_msg("%s, %zu: %s", formats[i][0], k, got ? got : "(declined)");
			free(got);
			for (int s = BASE; s < SIDES; s++)
				buf_release(&v[s]);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_yaml__by_key),
		cmocka_unit_test(test_toml__by_key),
		cmocka_unit_test(test_ini__by_key),
		cmocka_unit_test(test_gomod__by_key),
		cmocka_unit_test(test_requirements__by_project),
		cmocka_unit_test(test_ignore__by_pattern),
		cmocka_unit_test(test_keyed__declines_what_is_no_text),
	};

	return cmocka_run_group_tests_name("resolver_keyed", tests, resolver_setup,
					   resolver_teardown);
}
