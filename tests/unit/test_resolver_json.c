/* SPDX-License-Identifier: Apache-2.0 */
/* JSON by key: what is merged still parses, every byte that nobody touched stays, and what is not understood is
 * left alone. */
#include "resolver_fixture.h"

#include <jansson.h>

#define P "package.json"

static const struct resolver_case merged[] = {
	/* Neighbouring keys, each changed on one side. */
	{P, "{\n  \"a\": 1,\n  \"b\": 2\n}\n", "{\n  \"a\": 10,\n  \"b\": 2\n}\n",
	 "{\n  \"a\": 1,\n  \"b\": 20\n}\n", "{\n  \"a\": 10,\n  \"b\": 20\n}\n"},
	/* Both add at the end: ours first, commas as they have to be. */
	{P, "{\n  \"a\": 1\n}\n", "{\n  \"a\": 1,\n  \"o\": [1, 2]\n}\n",
	 "{\n  \"a\": 1,\n  \"t\": \"x, y\"\n}\n",
	 "{\n  \"a\": 1,\n  \"o\": [1, 2],\n  \"t\": \"x, y\"\n}\n"},
	/* At any depth, lists of several lines as a whole. */
	{P, "{\n\t\"d\": {\n\t\t\"x\": {\n\t\t\t\"k\": 0\n\t\t}\n\t}\n}\n",
	 "{\n\t\"d\": {\n\t\t\"x\": {\n\t\t\t\"k\": 0,\n\t\t\t\"o\": {\n\t\t\t\t\"y\": true\n\t\t\t}\n\t\t}\n\t}\n}\n",
	 "{\n\t\"d\": {\n\t\t\"x\": {\n\t\t\t\"k\": 0,\n\t\t\t\"t\": [\n\t\t\t\tnull\n\t\t\t]\n\t\t}\n\t}\n}\n",
	 "{\n\t\"d\": {\n\t\t\"x\": {\n\t\t\t\"k\": 0,\n\t\t\t\"o\": {\n\t\t\t\t\"y\": true\n\t\t\t},\n\t\t\t\"t\": "
	 "[\n\t\t\t\tnull\n\t\t\t]\n\t\t}\n\t}\n}\n"},
	/* One deletes, one changes the neighbour; the last entry loses its comma. */
	{P, "{\n  \"a\": 1,\n  \"b\": 2,\n  \"c\": 3\n}\n", "{\n  \"a\": 1,\n  \"b\": 5\n}\n",
	 "{\n  \"a\": 7,\n  \"b\": 2,\n  \"c\": 3\n}\n", "{\n  \"a\": 7,\n  \"b\": 5\n}\n"},
	/* Two versions of one key: the greater; its neighbour is theirs' alone. */
	{P, "{\n  \"a\": \"^1.2.0\",\n  \"b\": \"1.0.0\"\n}\n",
	 "{\n  \"a\": \"^1.10.0\",\n  \"b\": \"1.0.0\"\n}\n",
	 "{\n  \"a\": \"^1.9.0\",\n  \"b\": \"1.1.0\"\n}\n",
	 "{\n  \"a\": \"^1.10.0\",\n  \"b\": \"1.1.0\"\n}\n"},
	{P, "{\r\n  \"a\": 1\r\n}\r\n", "{\r\n  \"a\": 1,\r\n  \"o\": 1\r\n}\r\n",
	 "{\r\n  \"a\": 1,\r\n  \"t\": 1\r\n}\r\n",
	 "{\r\n  \"a\": 1,\r\n  \"o\": 1,\r\n  \"t\": 1\r\n}\r\n"},
	{P, "{\n  \"a\": 1,\n  \"b\": 2\n}", "{\n  \"a\": 10,\n  \"b\": 2\n}",
	 "{\n  \"a\": 1,\n  \"b\": 20\n}", "{\n  \"a\": 10,\n  \"b\": 20\n}"},
};

static const struct resolver_case declined[] = {
	/* One key, two values; one that is deleted and changed. */
	{P, "{\n  \"a\": 1\n}\n", "{\n  \"a\": 2\n}\n", "{\n  \"a\": 3\n}\n", NULL},
	{P, "{\n  \"a\": 1,\n  \"b\": 1\n}\n", "{\n  \"b\": 2\n}\n",
	 "{\n  \"a\": 3,\n  \"b\": 1\n}\n", NULL},
	{P, "{\n  \"x\": 0\n}\n", "{\n  \"x\": 0,\n  \"n\": 1\n}\n",
	 "{\n  \"x\": 0,\n  \"n\": 2\n}\n", NULL},
	/* A table that one side deletes and the other adds to. */
	{P, "{\n  \"d\": {\n    \"k\": 1\n  },\n  \"e\": 1\n}\n", "{\n  \"e\": 1\n}\n",
	 "{\n  \"d\": {\n    \"k\": 1,\n    \"n\": 1\n  },\n  \"e\": 1\n}\n", NULL},
	/* A list is one value. */
	{P, "{\n  \"l\": [\n    1\n  ]\n}\n", "{\n  \"l\": [\n    1,\n    2\n  ]\n}\n",
	 "{\n  \"l\": [\n    1,\n    3\n  ]\n}\n", NULL},
	/* Keys twice, also in two spellings; comments; several entries on a line; what is no JSON. */
	{P, "{\n  \"a\": 1,\n  \"a\": 2\n}\n", "{\n  \"a\": 10,\n  \"a\": 2\n}\n",
	 "{\n  \"a\": 1,\n  \"a\": 20\n}\n", NULL},
	{P, "{\n  \"a\": 1,\n  \"\\u0061\": 2\n}\n", "{\n  \"a\": 10,\n  \"\\u0061\": 2\n}\n",
	 "{\n  \"a\": 1,\n  \"\\u0061\": 20\n}\n", NULL},
	{P, "{\n  // x\n  \"a\": 1,\n  \"b\": 2\n}\n", "{\n  // x\n  \"a\": 10,\n  \"b\": 2\n}\n",
	 "{\n  // x\n  \"a\": 1,\n  \"b\": 20\n}\n", NULL},
	{P, "{\n\"a\": 1,\n\"b\": 2, \"c\": 3\n}\n", "{\n\"a\": 10,\n\"b\": 2, \"c\": 3\n}\n",
	 "{\n\"a\": 1,\n\"b\": 20, \"c\": 3\n}\n", NULL},
	{P, "{\n  \"a\": 01,\n  \"b\": 2\n}\n", "{\n  \"a\": 010,\n  \"b\": 2\n}\n",
	 "{\n  \"a\": 01,\n  \"b\": 20\n}\n", NULL},
	{P, "[\n  1,\n  2\n]\n", "[\n  10,\n  2\n]\n", "[\n  1,\n  20\n]\n", NULL},
	{P, "{\n  \"a\": \"\xff\",\n  \"b\": 2\n}\n", "{\n  \"a\": \"\xff\xff\",\n  \"b\": 2\n}\n",
	 "{\n  \"a\": \"\xff\",\n  \"b\": 20\n}\n", NULL},
	{P, "{\n  \"a\": 1,\n  \"b\": 2\n", "{\n  \"a\": 10,\n  \"b\": 2\n",
	 "{\n  \"a\": 1,\n  \"b\": 20\n", NULL},
	{"package-lock.json", "{\n  \"a\": 1,\n  \"b\": 2\n}\n", "{\n  \"a\": 10,\n  \"b\": 2\n}\n",
	 "{\n  \"a\": 1,\n  \"b\": 20\n}\n", NULL},
	{"a.txt", "{\n  \"a\": 1,\n  \"b\": 2\n}\n", "{\n  \"a\": 10,\n  \"b\": 2\n}\n",
	 "{\n  \"a\": 1,\n  \"b\": 20\n}\n", NULL},
};

static void test_json__merges_by_key(void **state)
{
	(void)state;
	resolver_check("json", merged, ARRAY_SIZE(merged));
	resolver_check_swapped("json", merged, ARRAY_SIZE(merged));
	for (size_t i = 0; i < ARRAY_SIZE(merged); i++) {
		json_t *doc = json_loads(merged[i].expected, JSON_REJECT_DUPLICATES, NULL);

		assert_non_null(doc);
		json_decref(doc);
	}
}

static void test_json__declines_what_it_does_not_understand(void **state)
{
	(void)state;
	resolver_check("json", declined, ARRAY_SIZE(declined));
	resolver_check_swapped("json", declined, ARRAY_SIZE(declined));
}

/* The key with two values is left, the others are answered. */
static void test_json__one_key_in_conflict_leaves_that_conflict_alone(void **state)
{
	static const char pad[] = "  \"p\": 0,\n  \"q\": 0,\n  \"r\": 0,\n";
	struct buf v[SIDES] = {0};
	static const char *const abc[SIDES][3] = {
		{"1", "1", "1"}, {"2", "2", "1"}, {"3", "1", "2"}};
	size_t conflicts = 0, answers = 0;

	(void)state;
	for (int s = BASE; s < SIDES; s++)
		assert_int_equal(buf_addf(&v[s],
					  "{\n  \"a\": %s,\n%s  \"b\": %s,\n  \"c\": %s\n}\n",
					  abc[s][0], pad, abc[s][1], abc[s][2]),
				 0);
	assert_null(resolver_says("json", P, text_cstr(v[BASE].data), text_cstr(v[OURS].data),
				  text_cstr(v[THEIRS].data), &conflicts, &answers));
	assert_int_equal(conflicts, 2);
	assert_int_equal(answers, 1);
	for (int s = BASE; s < SIDES; s++)
		buf_release(&v[s]);
}

/* "{", n times something, and two keys at the end that the sides change, one each. */
static bool answered(const char *front, size_t n, const char *one, const char *back)
{
	static const char *const tail[SIDES] = {
		"\"a\": 1,\n\"b\": 1\n}\n", "\"a\": 2,\n\"b\": 1\n}\n", "\"a\": 1,\n\"b\": 2\n}\n"};
	struct buf v[SIDES] = {0};
	char *got;

	for (int s = BASE; s < SIDES; s++) {
		assert_int_equal(buf_adds(&v[s], front), 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(buf_adds(&v[s], one), 0);
		assert_int_equal(buf_adds(&v[s], back), 0);
		assert_int_equal(buf_adds(&v[s], tail[s]), 0);
	}
	got = resolver_says("json", P, (struct text){v[BASE].data, v[BASE].len},
			    (struct text){v[OURS].data, v[OURS].len},
			    (struct text){v[THEIRS].data, v[THEIRS].len}, NULL, NULL);
	free(got);
	for (int s = BASE; s < SIDES; s++)
		buf_release(&v[s]);
	return got;
}

static void test_json__has_limits(void **state)
{
	(void)state;
	assert_true(answered("{\n\"x\": ", 60, "[",
			     "1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]],\n"));
	assert_false(answered("{\n\"x\": ", 100000, "[", "1"));
	assert_false(answered("{\n", 1000, "\"x\": {\n", ""));
	assert_true(answered("{\n\"x\": \"", 100000, "0123456789", "\",\n"));
	assert_false(answered("{\n\"x\": \"", 1 << 20, "0123456789", "\",\n"));
}

static void test_json__nul_is_no_text(void **state)
{
	static const char b[] = "{\n\"a\": \"x\0\",\n\"b\": 1\n}\n",
			  o[] = "{\n\"a\": \"y\0\",\n\"b\": 1\n}\n",
			  t[] = "{\n\"a\": \"x\0\",\n\"b\": 2\n}\n";
	size_t conflicts = 0;

	(void)state;
	assert_null(resolver_says("json", P, (struct text){b, sizeof(b) - 1},
				  (struct text){o, sizeof(o) - 1}, (struct text){t, sizeof(t) - 1},
				  &conflicts, NULL));
	assert_int_equal(conflicts, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json__merges_by_key),
		cmocka_unit_test(test_json__declines_what_it_does_not_understand),
		cmocka_unit_test(test_json__one_key_in_conflict_leaves_that_conflict_alone),
		cmocka_unit_test(test_json__has_limits),
		cmocka_unit_test(test_json__nul_is_no_text),
	};

	return cmocka_run_group_tests_name("resolver_json", tests, resolver_setup,
					   resolver_teardown);
}
