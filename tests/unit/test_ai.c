/* SPDX-License-Identifier: Apache-2.0 */
/* Tiers 3 and 4, pure: what an external resolver is asked, and which of its answers are fit to be believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <git2.h>
#include <stdlib.h>
#include <string.h>

#include "ai_accept.h"
#include "ai_request.h"
#include "cleanup.h"

static struct text text(const char *s)
{
	return (struct text){s, strlen(s)};
}

/* A file in three versions whose first conflict is looked at. */
struct fixture {
	struct resolve r;
	struct conflict c;
	struct ai_case k;
	struct text whole[SIDES];
};

static void open_case(struct fixture *f, const char *path, const char *base, const char *ours,
		      const char *theirs)
{
	const struct resolve_options none = {.cost_of_wrong = 1000};

	*f = (struct fixture){.whole = {text(base), text(ours), text(theirs)}};
	assert_int_equal(
		resolve_file(path, f->whole[BASE], f->whole[OURS], f->whole[THEIRS], &none, &f->r),
		0);
	assert_true(f->r.n > 0);
	assert_int_equal(conflict_of(path, &f->r.d, &f->r.v[0].chunk, &f->c), 0);
	assert_int_equal(ai_case_init(&f->k, &f->c, f->whole), 0);
}

static void close_case(struct fixture *f)
{
	ai_case_release(&f->k);
	conflict_release(&f->c);
	resolve_release(&f->r);
}

static void accepted(const struct fixture *f, enum ai_class class, const char *answer)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	int r = ai_accept(&f->k, class, text(answer), &e);

	if (r < 0)
		print_error("%s: %s\n", answer, err_text(&e));
	assert_int_equal(r, 0);
}

static void rejected(const struct fixture *f, enum ai_class class, const char *answer,
		     const char *word)
{
	_cleanup_(err_release) struct err e = ERR_INIT;

	assert_int_equal(ai_accept(&f->k, class, text(answer), &e), -EBADMSG);
	if (!strstr(err_text(&e), word))
		print_error("%s: %s, want %s\n", answer, err_text(&e), word);
	assert_non_null(strstr(err_text(&e), word));
}

#define BEFORE	 "int first(void)\n{\n\treturn 1;\n}\n\nint work(int n)\n{\n"
#define AFTER	 "\treturn total;\n}\n"
#define BASE_C	 BEFORE "\tint total = count(n);\n" AFTER
#define OURS_C	 BEFORE "\tint total = count(n, limit);\n" AFTER
#define THEIRS_C BEFORE "\tint total = count(n) + extra;\n" AFTER

static void code_case(struct fixture *f)
{
	open_case(f, "src/a.c", BASE_C, OURS_C, THEIRS_C);
}

static void test_accept__both_intents_in_one_line(void **state)
{
	struct fixture f;

	(void)state;
	code_case(&f);
	accepted(&f, AI_NEW, "\tint total = count(n, limit) + extra;\n");
	accepted(&f, AI_OURS, "\tint total = count(n, limit);\n");
	accepted(&f, AI_BASE, "\tint total = count(n);\n");
	close_case(&f);
}

static void test_accept__what_is_no_text_of_the_file_is_rejected(void **state)
{
	struct fixture f;
	char huge[4096];

	(void)state;
	code_case(&f);
	rejected(&f, AI_NEW, "", "empty");
	rejected(&f, AI_NEW, " \n\n", "empty");
	rejected(&f, AI_NEW, "```c\n\tint total = count(n, limit) + extra;\n```\n", "fence");
	rejected(&f, AI_NEW, "Here is the merged line:\n\tint total = count(n, limit) + extra;\n",
		 "prose");
	rejected(&f, AI_NEW,
		 "\tint total = count(n, limit) + extra;\nBoth sides changed the same line in "
		 "different ways.\n",
		 "prose");
	rejected(&f, AI_NEW, "<<<<<<< ours\n\tint total = count(n, limit) + extra;\n", "marker");
	rejected(&f, AI_NEW, "\tint total = count(n, limit) + extra;\r\n", "line ends");
	rejected(&f, AI_NEW, "\tint total = count(n, limit) + extra;", "no end");
	rejected(&f, AI_NEW, "    int total = count(n, limit) + extra;\n", "indented");
	memset(huge, 'x', sizeof(huge) - 1);
	huge[sizeof(huge) - 2] = '\n';
	huge[sizeof(huge) - 1] = '\0';
	rejected(&f, AI_NEW, huge, "3 times");
	rejected(&f, AI_NEW, "\tint total = count(n, limit) + extra);\n", "brackets");
	close_case(&f);
}

static void test_accept__nothing_that_a_side_added_is_dropped(void **state)
{
	struct fixture f;

	(void)state;
	code_case(&f);
	rejected(&f, AI_NEW, "\tint total = count(n) + extra;\n", "'limit', which the target");
	rejected(&f, AI_NEW, "\tint total = count(n, limit);\n", "'extra', which the source");
	rejected(&f, AI_BOTH, "\tint total = count(n, limit);\n", "missing");
	close_case(&f);
}

static void test_accept__tokens_from_nowhere_only_where_the_class_is_new(void **state)
{
	struct fixture f;

	(void)state;
	code_case(&f);
	rejected(&f, AI_OURS, "\tint total = invented(n, limit);\n",
		 "'invented', which is in neither");
	rejected(&f, AI_BOTH, "\tint total = count(n, limit) + extra * 2;\n", "'*'");
	accepted(&f, AI_NEW, "\tint total = clamp(count(n, limit) + extra);\n");
	close_case(&f);
}

static void test_accept__a_name_that_a_side_renamed_everywhere(void **state)
{
	struct fixture f;

	(void)state;
	open_case(&f, "a.py", "def old(): pass\nx = old(1)\n", "def fresh(): pass\nx = fresh(1)\n",
		  "def old(): pass\nx = old(2, y)\n");
	/* One hunk with both lines: the whole rename is in it. */
	rejected(&f, AI_NEW, "def fresh(): pass\nx = old(2, y)\n", "'old', which the target");
	accepted(&f, AI_NEW, "def fresh(): pass\nx = fresh(2, y)\n");
	close_case(&f);
	open_case(&f, "a.py", "def old(): pass\n\n\n\nkeep = 1\n\n\n\nx = old(1)\n",
		  "def fresh(): pass\n\n\n\nkeep = 1\n\n\n\nx = fresh(1)\n",
		  "def old(): pass\n\n\n\nkeep = 1\n\n\n\nx = old(2)\n");
	/* Choosing the other side brings back a name whose declaration is gone. */
	rejected(&f, AI_THEIRS, "x = old(2)\n", "'old', which the target");
	accepted(&f, AI_OURS, "x = fresh(1)\n");
	close_case(&f);
	/* What one side reworded is no rename: the other may be chosen. */
	open_case(&f, "a.py", "a = 1\nx = first\nb = 2\n", "a = 1\nx = second\nb = 2\n",
		  "a = 1\nx = first + 1\nb = 2\n");
	accepted(&f, AI_THEIRS, "x = first + 1\n");
	close_case(&f);
}

static void test_accept__prose_is_prose_in_prose(void **state)
{
	struct fixture f;

	(void)state;
	open_case(&f, "README.md", "Intro.\n\nIt is slow and it is small.\n",
		  "Intro.\n\nIt is fast and it is small.\n",
		  "Intro.\n\nIt is slow and it is tiny.\n");
	accepted(&f, AI_NEW, "It is fast and it is tiny, as everybody agrees by now.\n");
	rejected(&f, AI_NEW, "Here is the merged text:\nIt is fast and it is tiny.\n", "prose");
	close_case(&f);
}

/* ---- answers ---- */

static int parse(const char *s, struct ai_answer *a, struct err *e)
{
	return ai_answer_parse(s, strlen(s), a, e);
}

static void test_answer__hostile_bytes_are_told_apart(void **state)
{
	static const char *const bad[] = {
		"",
		"Sure, here is the answer.",
		"[]",
		"{}",
		"{\"class\": 7}",
		"{\"class\": \"mine\"}",
		"{\"class\": \"new\", \"text\": 5}",
		"{\"class\": \"ours\", \"confidence\": 7}",
		"{\"class\": \"ours\", \"class\": \"theirs\"}",
		"{\"class\": \"ours\"} and more",
	};
	struct ai_answer a;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_(err_release) struct err e = ERR_INIT;

		assert_int_equal(parse(bad[i], &a, &e), -EBADMSG);
		assert_true(strlen(err_text(&e)) > 5);
	}
	assert_int_equal(parse("{\"class\": \"none\", \"reason\": \"a\\nb\"}", &a, NULL), 0);
	assert_true(a.declined);
	assert_string_equal(a.reason, "a b");
	ai_answer_release(&a);
	assert_int_equal(parse("{\"file\": \"x\", \"tokens\": 12, \"confidence\": 0.5}", &a, NULL),
			 0);
	assert_int_equal(a.class, AI_NEW);
	assert_int_equal(a.tokens, 12);
	assert_true(a.confidence == 0.5);
	ai_answer_release(&a);
}

/* What an answer of that class and text means for the conflict: 1 and the text, 0 or an error. */
static int meant(const struct conflict *c, enum ai_class class, const char *given, char **ret)
{
	struct ai_answer a = {
		.class = class, .text = (char *)given, .len = given ? strlen(given) : 0};
	struct buf b = BUF_INIT;
	int r = ai_answer_text(c, &a, &b, NULL);

	*ret = buf_take(&b);
	return r;
}

static void test_answer__a_class_has_its_text_and_no_other(void **state)
{
	char *got;
	struct fixture f;

	(void)state;
	code_case(&f);
	assert_int_equal(meant(&f.c, AI_THEIRS, NULL, &got), 1);
	assert_string_equal(got, "\tint total = count(n) + extra;\n");
	free(got);
	assert_int_equal(meant(&f.c, AI_BOTH, NULL, &got), 1);
	assert_string_equal(got,
			    "\tint total = count(n, limit);\n\tint total = count(n) + extra;\n");
	free(got);
	assert_int_equal(meant(&f.c, AI_NEW, NULL, &got), 0);
	free(got);
	assert_int_equal(meant(&f.c, AI_NEW, "\tint x;", &got), 1);
	assert_string_equal(got, "\tint x;\n");
	free(got);
	assert_int_equal(meant(&f.c, AI_OURS, "\tint total = count(n, limit);", &got), 1);
	free(got);
	assert_int_equal(meant(&f.c, AI_OURS, "\tint total = other;\n", &got), -EBADMSG);
	free(got);
	close_case(&f);
}

static void test_answer__ends_are_the_files(void **state)
{
	char *got;
	struct fixture f;

	(void)state;
	open_case(&f, "a.txt", "one\r\ntwo", "one\r\nTWO", "one\r\nzwei");
	assert_int_equal(meant(&f.c, AI_NEW, "a\nb\n", &got), 1);
	assert_string_equal(got, "a\r\nb");
	free(got);
	close_case(&f);
}

/* ---- tier 4 ---- */

static void test_file__every_name_that_a_side_added_exists(void **state)
{
	const struct text whole[SIDES] = {text(BASE_C), text(OURS_C), text(THEIRS_C)};
	_cleanup_(err_release) struct err e = ERR_INIT;

	(void)state;
	assert_int_equal(ai_accept_file("a.c", whole,
					text(BEFORE "\tint total = count(n, limit);\n"
						    "\ttotal += extra;\n" AFTER),
					&e),
			 0);
	assert_int_equal(ai_accept_file("a.c", whole, text(OURS_C), &e), -EBADMSG);
	assert_non_null(strstr(err_text(&e), "'extra'"));
	assert_int_equal(ai_accept_file("a.c", whole, text(" \n"), &e), -EBADMSG);
	assert_int_equal(ai_accept_file("a.c", whole,
					text("Here is the file:\n" BEFORE
					     "\tint total = count(n, limit) + extra;\n" AFTER),
					&e),
			 -EBADMSG);
	assert_non_null(strstr(err_text(&e), "prose"));
}

/* ---- requests ---- */

static const char *str(const json_t *o, const char *a, const char *b)
{
	const json_t *v = json_object_get(o, a);

	return json_string_value(b ? json_object_get(v, b) : v);
}

static void test_request__has_all_that_the_protocol_names(void **state)
{
	json_t *messages = json_pack("[s]", "limit what is counted"), *o, *again;
	struct fixture f;
	struct ai_context x = {.path = "src/a.c",
			       .side = {[OURS] = {.branch = "main", .messages = messages},
					[THEIRS] = {.branch = "agents/bob/extra",
						    .agent = "bob",
						    .role = "builder",
						    .task = "extra"}}};
	const struct ai_question q = {
		.ask = AI_ASK_CLASS, .attempt = 2, .sample = 1, .rejected = "it was empty"};

	(void)state;
	code_case(&f);
	for (int s = BASE; s < SIDES; s++)
		x.whole[s] = f.whole[s];
	o = ai_request_conflict(&x, &f.r, 0, &q);
	assert_non_null(o);
	assert_int_equal(json_integer_value(json_object_get(o, "protocol")), 1);
	assert_string_equal(str(o, "ask", NULL), "class");
	assert_string_equal(str(o, "language", NULL), "c");
	assert_string_equal(str(o, "rejected", NULL), "it was empty");
	assert_int_equal(json_array_size(json_object_get(o, "classes")), 5);
	assert_string_equal(str(o, "conflict", "ours"), "\tint total = count(n, limit);\n");
	assert_string_equal(str(o, "conflict", "before"), BEFORE);
	assert_string_equal(str(o, "conflict", "after"), AFTER);
	assert_string_equal(str(o, "conflict", "enclosing"), "int work(int n)");
	assert_string_equal(str(o, "theirs", "agent"), "bob");
	assert_non_null(strstr(str(o, "theirs", "diff"), "+\tint total = count(n) + extra;\n"));
	assert_int_equal(json_array_size(json_object_get(json_object_get(o, "ours"), "messages")),
			 1);
	again = ai_request_conflict(&x, &f.r, 0, &q);
	assert_true(json_equal(o, again));
	json_decref(again);
	json_decref(o);
	o = ai_request_file(&x,
			    &(struct ai_question){.ask = AI_ASK_FILE, .attempt = 1, .sample = 1});
	assert_string_equal(str(o, "files", "theirs"), THEIRS_C);
	json_decref(o);
	json_decref(messages);
	close_case(&f);
}

static void test_request__the_most_similar_past_conflicts(void **state)
{
	json_t *history = json_array(), *picked;
	const struct text now[SIDES] = {text("alpha = one(1)\n"), text("alpha = two(1)\n"),
					text("alpha = one(2)\n")};

	(void)state;
	for (int i = 0; i < 8; i++)
		(void)json_array_append_new(history, json_pack("{s:s,s:s,s:s,s:s,s:s}", "path",
							       i == 6 ? "a.py" : "b.py", "base",
							       "alpha = one(1)\n", "ours",
							       "alpha = three(1)\n", "theirs",
							       "alpha = one(3)\n", "kept", "k"));
	(void)json_array_append_new(history, json_pack("{s:s,s:s,s:s,s:s,s:s}", "path", "a.py",
						       "base", "nothing", "ours", "of", "theirs",
						       "that", "kept", "kind"));
	picked = ai_similar(history, "a.py", now);
	assert_int_equal(json_array_size(picked), AI_SIMILAR_MAX);
	assert_string_equal(str(json_array_get(picked, 0), "path", NULL), "a.py");
	assert_string_equal(str(json_array_get(picked, 0), "kept", NULL), "k");
	json_decref(picked);
	json_decref(history);
	picked = ai_similar(NULL, "a.py", now);
	assert_int_equal(json_array_size(picked), 0);
	json_decref(picked);
}

static void test_request__bytes_that_json_cannot_hold_are_not_asked(void **state)
{
	const struct text latin[SIDES] = {text("a\n"), text("b\n"), text("\xe9\n")};
	const struct text nul[SIDES] = {text("a\n"), {"b\0c", 3}, text("c\n")};
	const struct text good[SIDES] = {text(""), text("b\n"), text("\xc3\xa9\n")};

	(void)state;
	assert_false(ai_askable(latin));
	assert_false(ai_askable(nul));
	assert_true(ai_askable(good));
}

static int set_up(void **state)
{
	(void)state;
	return git_libgit2_init() < 0;
}

static int tear_down(void **state)
{
	(void)state;
	return git_libgit2_shutdown() < 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accept__both_intents_in_one_line),
		cmocka_unit_test(test_accept__what_is_no_text_of_the_file_is_rejected),
		cmocka_unit_test(test_accept__nothing_that_a_side_added_is_dropped),
		cmocka_unit_test(test_accept__tokens_from_nowhere_only_where_the_class_is_new),
		cmocka_unit_test(test_accept__a_name_that_a_side_renamed_everywhere),
		cmocka_unit_test(test_accept__prose_is_prose_in_prose),
		cmocka_unit_test(test_answer__hostile_bytes_are_told_apart),
		cmocka_unit_test(test_answer__a_class_has_its_text_and_no_other),
		cmocka_unit_test(test_answer__ends_are_the_files),
		cmocka_unit_test(test_file__every_name_that_a_side_added_exists),
		cmocka_unit_test(test_request__has_all_that_the_protocol_names),
		cmocka_unit_test(test_request__the_most_similar_past_conflicts),
		cmocka_unit_test(test_request__bytes_that_json_cannot_hold_are_not_asked),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
