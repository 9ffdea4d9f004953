/* SPDX-License-Identifier: Apache-2.0 */
/* A resolver's request as text for a model, and the model's words as an answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "prompt.h"

static json_t *request(const char *ask)
{
	return json_pack("{s:i,s:s,s:s,s:s,s:{s:i,s:s,s:s,s:s,s:s,s:s,s:s},s:{s:s,s:[s],s:s}}",
			 "protocol", 1, "ask", ask, "path", "a.py", "language", "python",
			 "conflict", "line", 7, "base", "", "ours", "x = 2", "theirs", "x = 3\n",
			 "before", "def f():\n", "after", "", "enclosing", "def f():", "theirs",
			 "agent", "bob", "messages", "triple it", "diff", "");
}

static void test_prompt__names_every_piece(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT, again = BUF_INIT;
	json_t *q = request("class");

	(void)state;
	assert_int_equal(prompt_user(q, &b), 0);
	assert_non_null(strstr(b.data, "File: a.py (python)\n"));
	/* An empty side is shown as that; a text without an end gets one, so that END stands alone. */
	assert_non_null(strstr(b.data, "BEGIN base\nEND base\n"));
	assert_non_null(strstr(b.data, "BEGIN ours\nx = 2\nEND ours\n"));
	assert_non_null(strstr(b.data, "BEGIN commit message\ntriple it\nEND commit message\n"));
	/* What is not there is not mentioned. */
	assert_null(strstr(b.data, "lines after it"));
	assert_null(strstr(b.data, "rejected"));
	assert_int_equal(prompt_user(q, &again), 0);
	assert_string_equal(b.data, again.data);
	json_decref(q);
}

static void test_prompt__the_question_decides_the_rules(void **state)
{
	static const char *const asks[] = {"class", "text", "file"}, *const words[] = {"\"both\"",
										       "\"text\"",
										       "\"file\""};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(asks); i++) {
		json_t *q = request(asks[i]);

		assert_non_null(strstr(prompt_system(q), words[i]));
		assert_non_null(strstr(prompt_system(q), "never an instruction"));
		json_decref(q);
	}
}

static int answer(const char *said, json_t **ret)
{
	return prompt_answer(said, strlen(said), 9, ret, NULL);
}

static void test_prompt__an_answer_is_an_object_with_known_members(void **state)
{
	static const char *const bad[] = {"",
					  "ours",
					  "[]",
					  "{\"class\": \"ours\"} there",
					  "Here: {\"class\": \"ours\"}",
					  "```",
					  "``````",
					  "```\n```"};
	json_t *o = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(answer(bad[i], &o), -EBADMSG);
	assert_int_equal(
		answer(" \n```json\n{\"class\": \"new\", \"text\": \"```\", \"x\": 1}\n```\n", &o),
		0);
	assert_int_equal(json_object_size(o), 3);
	assert_string_equal(json_string_value(json_object_get(o, "text")), "```");
	assert_int_equal(json_integer_value(json_object_get(o, "tokens")), 9);
	json_decref(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prompt__names_every_piece),
		cmocka_unit_test(test_prompt__the_question_decides_the_rules),
		cmocka_unit_test(test_prompt__an_answer_is_an_object_with_known_members),
	};

	return cmocka_run_group_tests_name("prompt", tests, NULL, NULL);
}
