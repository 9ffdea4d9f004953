/* SPDX-License-Identifier: Apache-2.0 */
/* Tier 2 by line: the chunks are git's, resolvers answer where they should and decline where they should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <git2.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "invariant.h"
#include "resolve.h"

static struct text text(const char *s)
{
	return (struct text){s, strlen(s)};
}

/* --- diff3 --- */

static uint32_t rnd(uint64_t *seed, uint32_t n)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*seed >> 33) % n;
}

/* A text of few different lines, changed from another where one is given. */
static void random_text(uint64_t *seed, const char *from, struct buf *out)
{
	static const char *const words[] = {"a\n", "b\n", "c\n", "\n", "d e\n", "x = 1.2\n", "}\n"};
	size_t n = rnd(seed, 12);

	if (!from) {
		for (size_t i = 0; i < n; i++)
			assert_int_equal(buf_adds(out, words[rnd(seed, 7)]), 0);
	} else {
		for (const char *p = from; *p;) {
			const char *end = strchr(p, '\n');
			size_t len = end ? (size_t)(end - p) + 1 : strlen(p);
			uint32_t what = rnd(seed, 8);

			if (what == 0 || what == 1)
				assert_int_equal(buf_adds(out, words[rnd(seed, 7)]), 0);
			if (what != 1 && what != 2)
				assert_int_equal(buf_add(out, p, len), 0);
			p += len;
		}
	}
	if (rnd(seed, 10) == 0)
		assert_int_equal(buf_adds(out, "no end"), 0);
	assert_int_equal(buf_adds(out, ""), 0);
}

/* What libgit2's merge says: true and the text where it is clean. */
static bool git_merge_text(struct text b, struct text o, struct text t, struct buf *out)
{
	git_merge_file_input in[3] = {GIT_MERGE_FILE_INPUT_INIT, GIT_MERGE_FILE_INPUT_INIT,
				      GIT_MERGE_FILE_INPUT_INIT};
	const struct text v[3] = {b, o, t};
	git_merge_file_result r = {0};
	bool clean;

	for (int i = 0; i < 3; i++) {
		in[i].ptr = v[i].p;
		in[i].size = v[i].n;
	}
	assert_int_equal(git_merge_file(&r, &in[0], &in[1], &in[2], NULL), 0);
	clean = r.automergeable;
	if (clean)
		assert_int_equal(buf_add(out, r.ptr ? r.ptr : "", r.len), 0);
	git_merge_file_result_free(&r);
	return clean;
}

static void test_diff3__clean_merges_are_gits(void **state)
{
	const struct resolve_options none = {.cost_of_wrong = 1000};
	uint64_t seed = 20261124;
	unsigned int clean = 0, conflicts = 0;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct buf v[SIDES] = {0}, git = BUF_INIT, mine = BUF_INIT;
		struct text t[SIDES];
		struct resolve r;
		bool by_git;

		random_text(&seed, NULL, &v[BASE]);
		random_text(&seed, v[BASE].data, &v[OURS]);
		random_text(&seed, v[BASE].data, &v[THEIRS]);
		for (int s = BASE; s < SIDES; s++)
			t[s] = (struct text){v[s].data, v[s].len};
		by_git = git_merge_text(t[BASE], t[OURS], t[THEIRS], &git);
		assert_int_equal(resolve_file("f", t[BASE], t[OURS], t[THEIRS], &none, &r), 0);
		assert_int_equal(r.left, r.d.conflicts);
		if (r.left == 0) {
			assert_int_equal(resolve_text(&r, &mine), 0);
			if (by_git) {
				assert_int_equal(mine.len, git.len);
				assert_memory_equal(mine.len ? mine.data : "",
						    git.len ? git.data : "", git.len);
			}
			clean++;
		}
		conflicts += r.left > 0;
		/* Where git is clean, so are we. */
		assert_true(!by_git || r.left == 0);
		resolve_release(&r);
		for (int s = BASE; s < SIDES; s++)
			buf_release(&v[s]);
		buf_release(&git);
		buf_release(&mine);
	}
	assert_true(clean > 2000 && conflicts > 2000);
}

/* Assembled files differ in their conflicts alone, where these stand is found again, and swapping is what
 * comparing the swapped texts gives. */
static void test_diff3__files_are_put_together_and_split(void **state)
{
	uint64_t seed = 77;
	unsigned int found = 0, asked = 0;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		struct buf v[SIDES] = {0};
		struct text t[SIDES];
		struct diff3 d, other, swapped;

		random_text(&seed, NULL, &v[BASE]);
		random_text(&seed, v[BASE].data, &v[OURS]);
		random_text(&seed, v[BASE].data, &v[THEIRS]);
		for (int s = BASE; s < SIDES; s++)
			t[s] = (struct text){v[s].data, v[s].len};
		assert_int_equal(diff3(t[BASE], t[OURS], t[THEIRS], &d), 0);
		assert_int_equal(diff3(t[BASE], t[THEIRS], t[OURS], &other), 0);
		assert_int_equal(diff3_swapped(&d, &swapped), 0);
		assert_int_equal(swapped.conflicts, other.conflicts);
		for (int s = BASE; s < SIDES; s++) {
			struct range at[64], again[64];
			struct buf whole = BUF_INIT, same = BUF_INIT;
			int k;

			assert_true(d.conflicts < 64);
			assert_int_equal(diff3_assemble(&d, (enum side)s, &whole, at), 0);
			assert_int_equal(diff3_assemble(&swapped, s ? (enum side)(SIDES - s) : BASE,
							&same, NULL),
					 0);
			assert_true(text_equal((struct text){whole.data, whole.len},
					       (struct text){same.data, same.len}));
			k = diff3_split(&d, (struct text){whole.data, whole.len}, again);
			asked += d.conflicts > 1;
			found += k > 0 && d.conflicts > 1;
			for (size_t n = 0; k > 0 && n < d.conflicts; n++) {
				assert_int_equal(at[n].from, again[n].from);
				assert_int_equal(at[n].to, again[n].to);
			}
			assert_true(k > 0 || d.conflicts > 1);
			/* A byte more in front is no longer that file. */
			if (d.n && d.v[0].kind != CHUNK_CONFLICT) {
				same.len = 0;
				assert_int_equal(buf_adds(&same, "#"), 0);
				assert_int_equal(buf_add(&same, whole.data, whole.len), 0);
				assert_int_equal(
					diff3_split(&d, (struct text){same.data, same.len}, again),
					0);
			}
			buf_release(&whole);
			buf_release(&same);
		}
		diff3_swapped_release(&swapped);
		diff3_release(&other);
		diff3_release(&d);
		for (int s = BASE; s < SIDES; s++)
			buf_release(&v[s]);
	}
	assert_true(asked > 100 && found > asked / 4);
}

/* Each version's bytes, chunk by chunk, are the version. */
static void test_diff3__chunks_cover_every_version(void **state)
{
	uint64_t seed = 7;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		struct buf v[SIDES] = {0};
		struct text t[SIDES];
		struct diff3 d;

		random_text(&seed, NULL, &v[BASE]);
		random_text(&seed, v[BASE].data, &v[OURS]);
		random_text(&seed, v[BASE].data, &v[THEIRS]);
		for (int s = BASE; s < SIDES; s++)
			t[s] = (struct text){v[s].data, v[s].len};
		assert_int_equal(diff3(t[BASE], t[OURS], t[THEIRS], &d), 0);
		for (int s = BASE; s < SIDES; s++) {
			struct buf all = BUF_INIT;

			for (size_t k = 0; k < d.n; k++) {
				struct text c = diff3_text(&d, &d.v[k], (enum side)s);

				assert_int_equal(buf_add(&all, c.p, c.n), 0);
			}
			assert_int_equal(all.len, t[s].n);
			assert_memory_equal(all.len ? all.data : "", t[s].n ? t[s].p : "", t[s].n);
			buf_release(&all);
		}
		diff3_release(&d);
		for (int s = BASE; s < SIDES; s++)
			buf_release(&v[s]);
	}
}

/* --- resolvers --- */

/* What one resolver says of the only conflict of the file; NULL: it declines. Caller frees. */
static char *answer_of(const char *resolver, const char *path, const char *b, const char *o,
		       const char *t)
{
	const struct resolve_options all = {.cost_of_wrong = 0};
	struct resolve r;
	char *ret = NULL;

	assert_int_equal(resolve_file(path, text(b), text(o), text(t), &all, &r), 0);
	assert_int_equal(r.n, 1);
	for (size_t i = 0; i < r.v[0].n; i++)
		if (strcmp(r.v[0].answers[i].by->name, resolver) == 0)
			ret = strdup(r.v[0].answers[i].text);
	resolve_release(&r);
	return ret;
}

static void says(const char *resolver, const char *path, const char *b, const char *o,
		 const char *t, const char *expected)
{
	char *got = answer_of(resolver, path, b, o, t);

	if (!got || strcmp(got, expected) != 0)
		fail_msg("%s on %s: expected\n%s\ngot\n%s", resolver, path, expected,
			 got ? got : "(declined)");
	free(got);
}

static void declines(const char *resolver, const char *path, const char *b, const char *o,
		     const char *t)
{
	char *got = answer_of(resolver, path, b, o, t);

	if (got)
		fail_msg("%s on %s should decline, said\n%s", resolver, path, got);
}

static void test_resolver__space(void **state)
{
	(void)state;
	says("space", "a.c", "if(a)\nb\n", "if (a)\nB\n", "if(a)\nB\n", "if (a)\n");
	says("space", "a.c", "if(a)\nb\n", "if(a)\nB\n", "if (a)\nB\n", "if (a)\n");
	/* Both wrote the same new line: whose white space is right is not known. */
	declines("space", "a.c", "x\n", "\ta(b);\n", "    a(b);\n");
	declines("space", "a.py", "x\n", "\ta\n", " a\n");
	declines("space", "a.md", "x\n", "a b\n", "a  b\n");
	declines("space", "a.c", "x\n", "ab\n", "ac\n");
}

static void test_resolver__adjacent(void **state)
{
	(void)state;
	says("adjacent", "a.c", "one\ntwo\n", "ONE\ntwo\n", "one\nTWO\n", "ONE\nTWO\n");
	says("adjacent", "a.c", "one\ntwo\nthree\n", "ONE\ntwo\nTHREE\n", "one\nTWO\nthree\n",
	     "ONE\nTWO\nTHREE\n");
	says("adjacent", "a.c", "one\ntwo\n", "two\n", "one\nTWO\n", "TWO\n");
	declines("adjacent", "a.c", "one\ntwo\n", "ONE\ntwo\n", "1\ntwo\n");
	declines("adjacent", "a.c", "one\n", "one\nours\n", "one\ntheirs\n");
	declines("adjacent", "a.c", "one\ntwo\n", "one\nours\ntwo\n", "one\nTWO\n");
	declines("adjacent", "Cargo.lock", "one\ntwo\n", "ONE\ntwo\n", "one\nTWO\n");
}

static void test_resolver__version(void **state)
{
	(void)state;
	says("version", "a.toml", "v = \"1.2.3\"\n", "v = \"1.2.4\"\n", "v = \"1.3.0\"\n",
	     "v = \"1.3.0\"\n");
	says("version", "a.toml", "v = \"1.2\"\n", "v = \"1.10\"\n", "v = \"1.9\"\n",
	     "v = \"1.10\"\n");
	says("version", "a", "v1.0.0\n", "v2.0.0-rc1\n", "v2.0.0\n", "v2.0.0\n");
	says("version", "a", "v1.0.0\n", "v2.0.0-rc.2\n", "v2.0.0-rc.10\n", "v2.0.0-rc.10\n");
	declines("version", "a", "v1.0.0\n", "v2.0.0-alpha\n", "v2.0.0-beta\n");
	declines("version", "a", "1.0 2.0\n", "1.1 2.0\n", "1.0 2.1\n");
	declines("version", "a", "v 1.2.3\n", "v 1.2.4\n", "w 1.3.0\n");
	declines("version", "a", "n = 3\n", "n = 4\n", "n = 5\n");
	declines("version", "yarn.lock", "v 1.2.3\n", "v 1.2.4\n", "v 1.3.0\n");
	declines("version", "a", "at 1.2.3\n", "at 1.2.4\n", "at 1.3.0 now\n");
	/* Put into a list of versions, each its own; a dependency is one. */
	declines("version", "a", "", "    v1.0.1\n", "    v1.0.2\n");
	says("version", "a", "", "x==1.0.1\n", "x==1.0.2\n", "x==1.0.2\n");
}

static void test_resolver__changelog(void **state)
{
	(void)state;
	says("changelog", "CHANGELOG.md", "# Log\n", "# Log\n- ours\n", "# Log\n- theirs\n",
	     "- ours\n- theirs\n");
	says("changelog", "docs/CHANGES.rst", "", "1.1\n===\n- ours\n\n", "1.1\n===\n- theirs\n\n",
	     "- ours\n- theirs\n");
	says("changelog", "NEWS.md", "# Log\n", "# Log\n## A\n- x\n## B\n- y\n",
	     "# Log\n## A\n- z\n## C\n- w\n", "- x\n- z\n## B\n- y\n## C\n- w\n");
	declines("changelog", "CHANGELOG.md", "- a\n", "- b\n", "- c\n");
	declines("changelog", "a.md", "# Log\n", "# Log\n- ours\n", "# Log\n- theirs\n");
}

static void test_resolver__names(void **state)
{
	(void)state;
	says("names", "AUTHORS", "Zed\n", "Zed\nAnn\n", "Zed\nBob\n", "Ann\nBob\n");
	says("names", ".gitignore", "*.o\n", "*.o\nb/\nd/\nf/\n", "*.o\na/\nc/\nd/\nx/\n",
	     "a/\nb/\nc/\nd/\nf/\nx/\n");
	declines("names", ".gitignore", "*.o\n", "*.o\n!keep.o\n", "*.o\n*.a\n");
	declines("names", "AUTHORS", "Ann\n", "Anna\n", "Anne\n");
	declines("names", "list.txt", "Zed\n", "Zed\nAnn\n", "Zed\nBob\n");
}

static void test_resolver__import(void **state)
{
	(void)state;
	says("import", "A.java", "import a.A;\n", "import a.A;\nimport a.B;\n",
	     "import a.A;\nimport a.C;\n", "import a.B;\nimport a.C;\n");
	says("import", "a.py", "from m import a\n", "from m import a, b\n", "from m import a, c\n",
	     "from m import a, b, c\n");
	says("import", "a.py", "from m import a, x\n", "from m import a, b, x\n",
	     "from m import a\n", "from m import a, b\n");
	says("import", "a.ts", "import { a } from 'm';\n", "import { a, b } from 'm';\n",
	     "import { a, c } from 'm';\n", "import { a, b, c } from 'm';\n");
	says("import", "a.rs", "use m::{a};\n", "use m::{a, b};\n", "use m::{a, c};\n",
	     "use m::{a, b, c};\n");
	says("import", "a.c", "#include <a.h>\n", "#include <a.h>\n#include <b.h>\n",
	     "#include <a.h>\n#include <c.h>\n", "#include <b.h>\n#include <c.h>\n");
	/* One removed what the other kept: it stays removed. */
	says("import", "a.go", "\t\"a\"\n\t\"b\"\n", "\t\"a\"\n\t\"c\"\n", "\t\"b\"\n\t\"d\"\n",
	     "\t\"c\"\n\t\"d\"\n");
	declines("import", "A.java", "import a.A;\n", "import a.A;\nimport b.X;\n",
		 "import a.A;\nimport c.X;\n");
	declines("import", "a.py", "from m import a\n", "from m import a\nx = 1\n",
		 "from m import a, c\n");
	declines("import", "a.py", "a\n", "from m import (a,\n", "from m import b\n");
	declines("import", "a.txt", "import a.A;\n", "import a.B;\n", "import a.C;\n");
}

/* --- evidence and the whole file --- */

static void test_evidence__acts_only_where_its_record_allows(void **state)
{
	(void)state;
	assert_true(evidence_lower((struct evidence){0, 0}) == 0);
	/* Wilson: 93 of 102 is at least 0.84, 9 of 10 at least 0.59. */
	assert_true(evidence_lower((struct evidence){102, 93}) > 0.84);
	assert_true(evidence_lower((struct evidence){102, 93}) < 0.85);
	assert_false(evidence_suffices((struct evidence){10, 9}, COST_OF_WRONG));
	assert_true(evidence_suffices((struct evidence){102, 93}, COST_OF_WRONG));
	assert_true(evidence_suffices((struct evidence){155, 116}, COST_VERIFIED));
	assert_false(evidence_suffices((struct evidence){155, 116}, COST_OF_WRONG));
}

static void test_evidence__the_repositorys_own_counts_alone_once_it_is_long(void **state)
{
	struct records shipped = {0}, own = {0};

	(void)state;
	assert_int_equal(records_add(&shipped, "x", "c", PATH_PLAIN, (struct evidence){100, 99}),
			 0);
	assert_int_equal(records_add(&own, "x", "c", PATH_PLAIN, (struct evidence){10, 1}), 0);
	assert_int_equal(evidence_of("x", "c", PATH_PLAIN, &own, &shipped, COST_OF_WRONG).fired,
			 110);
	assert_int_equal(records_add(&own, "x", "c", PATH_PLAIN, (struct evidence){30, 1}), 0);
	assert_int_equal(own.n, 1);
	assert_int_equal(evidence_of("x", "c", PATH_PLAIN, &own, &shipped, COST_OF_WRONG).fired,
			 40);
	assert_int_equal(evidence_of("y", "c", PATH_PLAIN, &own, &shipped, COST_OF_WRONG).fired, 0);
	assert_int_equal(evidence_of("x", "c", PATH_PLAIN, NULL, NULL, COST_OF_WRONG).fired, 0);
	records_release(&own);
	records_release(&shipped);
}

static void test_evidence__what_is_seldom_goes_by_the_wider_record(void **state)
{
	struct records r = {0};

	(void)state;
	assert_int_equal(records_add(&r, "x", "c", PATH_PLAIN, (struct evidence){100, 99}), 0);
	assert_int_equal(records_add(&r, "x", "go", PATH_PLAIN, (struct evidence){40, 4}), 0);
	assert_int_equal(records_add(&r, "x", "go", PATH_NAMES, (struct evidence){2, 2}), 0);
	assert_int_equal(records_add(&r, "x", "rust", PATH_PLAIN, (struct evidence){5, 5}), 0);
	assert_int_equal(evidence_of("x", "c", PATH_PLAIN, NULL, &r, COST_OF_WRONG).right, 99);
	assert_int_equal(evidence_of("x", "go", PATH_PLAIN, NULL, &r, COST_OF_WRONG).right, 4);
	assert_int_equal(evidence_of("x", "go", PATH_NAMES, NULL, &r, COST_OF_WRONG).right, 6);
	assert_int_equal(evidence_of("x", "rust", PATH_PLAIN, NULL, &r, COST_OF_WRONG).right, 110);
	assert_int_equal(evidence_of("x", "rust", PATH_PLAIN, NULL, &r, COST_OF_WRONG).fired, 147);
	records_release(&r);
}

/* A short record does not silence a resolver that the wider one speaks for, unless it is a bad one. */
static void test_evidence__a_short_record_is_no_bad_one(void **state)
{
	struct records r = {0};

	(void)state;
	assert_int_equal(records_add(&r, "x", "toml", PATH_PLAIN, (struct evidence){37, 35}), 0);
	assert_int_equal(records_add(&r, "x", "yaml", PATH_PLAIN, (struct evidence){36, 29}), 0);
	assert_int_equal(records_add(&r, "x", "c", PATH_PLAIN, (struct evidence){400, 385}), 0);
	assert_int_equal(evidence_of("x", "toml", PATH_PLAIN, NULL, &r, COST_OF_WRONG).fired, 473);
	assert_int_equal(evidence_of("x", "yaml", PATH_PLAIN, NULL, &r, COST_OF_WRONG).fired, 36);
	/* At less cost it speaks for itself. */
	assert_int_equal(evidence_of("x", "toml", PATH_PLAIN, NULL, &r, COST_VERIFIED).fired, 37);
	/* The repository's own, too. */
	assert_int_equal(evidence_of("x", "yaml", PATH_PLAIN, &r, NULL, COST_OF_WRONG).fired, 36);
	records_release(&r);
	/* Nobody speaks for it: its own is told. */
	assert_int_equal(records_add(&r, "x", "toml", PATH_PLAIN, (struct evidence){37, 35}), 0);
	assert_int_equal(records_add(&r, "x", "c", PATH_PLAIN, (struct evidence){40, 30}), 0);
	assert_int_equal(evidence_of("x", "toml", PATH_PLAIN, NULL, &r, COST_OF_WRONG).fired, 37);
	assert_int_equal(evidence_of("y", "toml", PATH_PLAIN, NULL, &r, COST_OF_WRONG).fired, 0);
	records_release(&r);
}

static const struct records nothing;

/* Every resolver with that record, in every kind of file, if nothing is shipped. */
static void all_with(struct records *r, struct evidence e)
{
	records_release(r);
	for (size_t i = 0; i < resolvers_n; i++)
		assert_int_equal(records_add(r, resolvers[i].name, "any", PATH_PLAIN, e), 0);
}

static void test_resolve__a_bad_record_leaves_the_conflict_and_a_candidate(void **state)
{
	struct records own = {0};
	struct resolve_options o = {
		.cost_of_wrong = COST_OF_WRONG, .own = &own, .shipped = &nothing};
	struct buf out = BUF_INIT;
	struct resolve r;

	(void)state;
	all_with(&own, (struct evidence){100, 10});
	assert_int_equal(resolve_file("a.c", text("one\ntwo\nx\n"), text("ONE\ntwo\nx\n"),
				      text("one\nTWO\nx\n"), &o, &r),
			 0);
	assert_int_equal(r.left, 1);
	assert_int_equal(r.v[0].n, 1);
	assert_string_equal(r.v[0].answers[0].by->name, "adjacent");
	resolve_release(&r);
	all_with(&own, (struct evidence){100, 99});
	assert_int_equal(resolve_file("a.c", text("one\ntwo\nx\n"), text("ONE\ntwo\nx\n"),
				      text("one\nTWO\nx\n"), &o, &r),
			 0);
	assert_int_equal(r.left, 0);
	assert_int_equal(resolve_text(&r, &out), 0);
	assert_string_equal(out.data, "ONE\nTWO\nx\n");
	buf_release(&out);
	resolve_release(&r);
	records_release(&own);
}

static void test_resolve__generated_files_are_nobodys(void **state)
{
	struct records own = {0};
	struct resolve_options o = {.cost_of_wrong = 0, .own = &own, .generated = true};
	struct resolve r;

	(void)state;
	all_with(&own, (struct evidence){100, 100});
	assert_int_equal(resolve_file("a.c", text("one\ntwo\n"), text("ONE\ntwo\n"),
				      text("one\nTWO\n"), &o, &r),
			 0);
	assert_int_equal(r.left, 1);
	resolve_release(&r);
	records_release(&own);
}

static void test_resolve__line_ends_and_the_last_line_stay(void **state)
{
	(void)state;
	says("adjacent", "a.c", "one\r\ntwo\r\n", "ONE\r\ntwo\r\n", "one\r\nTWO\r\n",
	     "ONE\r\nTWO\r\n");
	says("adjacent", "a.c", "one\ntwo", "ONE\ntwo", "one\nTWO", "ONE\nTWO");
	says("names", "AUTHORS", "Zed\n", "Zed\nAnn", "Zed\nBob", "Ann\nBob");
}

/* Whatever the texts are: what a resolver says holds. */
static void test_resolver__answers_keep_every_line(void **state)
{
	static const char *const paths[] = {"a.c", "CHANGELOG.md", "AUTHORS", ".gitignore", "a.py"};
	const struct resolve_options o = {.cost_of_wrong = COST_OF_WRONG};
	unsigned int answers = 0;
	uint64_t seed = 99;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		struct buf v[SIDES] = {0};
		struct text t[SIDES];
		struct resolve r;

		random_text(&seed, NULL, &v[BASE]);
		random_text(&seed, v[BASE].data, &v[OURS]);
		random_text(&seed, v[BASE].data, &v[THEIRS]);
		for (int s = BASE; s < SIDES; s++)
			t[s] = (struct text){v[s].data, v[s].len};
		assert_int_equal(resolve_file(paths[i % 5], t[BASE], t[OURS], t[THEIRS], &o, &r),
				 0);
		for (size_t k = 0; k < r.n; k++)
			for (size_t a = 0; a < r.v[k].n; a++) {
				const struct answer *x = &r.v[k].answers[a];
				struct conflict c = {0};
				int error = 0;

				for (int s = BASE; s < SIDES; s++) {
					c.text[s] = diff3_text(&r.d, &r.v[k].chunk, (enum side)s);
					assert_int_equal(lines_split(c.text[s], &c.lines[s]), 0);
				}
				if (!x->by->replaces)
					assert_null(invariant_lines(
						&c, (struct text){x->text, x->len}, &error));
				assert_null(invariant_form(&c, (struct text){x->text, x->len}));
				answers++;
				for (int s = BASE; s < SIDES; s++)
					free(c.lines[s].v);
			}
		resolve_release(&r);
		for (int s = BASE; s < SIDES; s++)
			buf_release(&v[s]);
	}
	assert_true(answers > 500);
}

/* A resolver that drops, doubles or resurrects a line is found out. */
static void test_invariant__what_breaks_it_is_found(void **state)
{
	const struct text v[SIDES] = {text("a\nb\n"), text("a\nb\nours\n"), text("b\ntheirs\n")};
	struct conflict c = {.path = "f", .text = {v[0], v[1], v[2]}};
	int error;

	(void)state;
	for (int s = BASE; s < SIDES; s++)
		assert_int_equal(lines_split(v[s], &c.lines[s]), 0);
	assert_null(invariant_lines(&c, text("b\nours\ntheirs\n"), &error));
	assert_non_null(invariant_lines(&c, text("b\nours\n"), &error));
	assert_non_null(invariant_lines(&c, text("a\nb\nours\ntheirs\n"), &error));
	assert_non_null(invariant_lines(&c, text("ours\ntheirs\n"), &error));
	assert_non_null(invariant_lines(&c, text("b\nours\ntheirs\ntheirs\n"), &error));
	assert_non_null(invariant_lines(&c, text("b\nours\ntheirs\nnew\n"), &error));
	assert_non_null(invariant_form(&c, text("b\n<<<<<<< ours\n")));
	assert_non_null(invariant_form(&c, text("b\r\nnew\r\n")));
	assert_non_null(invariant_form(&c, text("b")));
	for (int s = BASE; s < SIDES; s++)
		free(c.lines[s].v);
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
		cmocka_unit_test(test_diff3__clean_merges_are_gits),
		cmocka_unit_test(test_diff3__chunks_cover_every_version),
		cmocka_unit_test(test_diff3__files_are_put_together_and_split),
		cmocka_unit_test(test_resolver__space),
		cmocka_unit_test(test_resolver__adjacent),
		cmocka_unit_test(test_resolver__version),
		cmocka_unit_test(test_resolver__changelog),
		cmocka_unit_test(test_resolver__names),
		cmocka_unit_test(test_resolver__import),
		cmocka_unit_test(test_evidence__acts_only_where_its_record_allows),
		cmocka_unit_test(test_evidence__the_repositorys_own_counts_alone_once_it_is_long),
		cmocka_unit_test(test_evidence__what_is_seldom_goes_by_the_wider_record),
		cmocka_unit_test(test_evidence__a_short_record_is_no_bad_one),
		cmocka_unit_test(test_resolve__a_bad_record_leaves_the_conflict_and_a_candidate),
		cmocka_unit_test(test_resolve__generated_files_are_nobodys),
		cmocka_unit_test(test_resolve__line_ends_and_the_last_line_stay),
		cmocka_unit_test(test_resolver__answers_keep_every_line),
		cmocka_unit_test(test_invariant__what_breaks_it_is_found),
	};

	return cmocka_run_group_tests_name("resolve", tests, setup, teardown);
}
