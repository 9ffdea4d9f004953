/* SPDX-License-Identifier: Apache-2.0 */
/* varlink: framing against hostile bytes and limits, messages there and back, the client. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "varlink.h"

/* Feeds one message with its NUL; returns what next() says and keeps the message. */
static int one(const char *text, size_t n, size_t max, json_t **ret)
{
	struct varlink_reader rd = {.max = max};
	int r = varlink_reader_feed(&rd, text, n);

	if (r == 0)
		r = varlink_reader_next(&rd, ret);
	varlink_reader_release(&rd);
	return r;
}

static void test_varlink__any_split_gives_the_same_messages(void **state)
{
	static const char text[] = "{\"method\":\"a.B\"}\0{\"method\":\"a.C\",\"more\":true}\0"
				   "{\"method\":\"a.D\",\"parameters\":{\"x\":[1,2]}}";
	static const char *const want[] = {"a.B", "a.C", "a.D"};

	for (size_t step = 1; step <= sizeof(text); step++) {
		struct varlink_reader rd = {.max = 64};
		size_t got = 0;

		for (size_t i = 0; i < sizeof(text); i += step) {
			size_t n = sizeof(text) - i < step ? sizeof(text) - i : step;
			json_t *msg;

			assert_int_equal(varlink_reader_feed(&rd, text + i, n), 0);
			while (varlink_reader_next(&rd, &msg) == 1) {
				struct varlink_call c;

				assert_int_equal(varlink_call_parse(msg, &c), 0);
				assert_string_equal(c.method, want[got]);
				assert_int_equal(c.more, got == 1);
				assert_true(json_is_object(c.parameters));
				got++;
				json_decref(msg);
			}
		}
		assert_int_equal(got, 3);
		varlink_reader_release(&rd);
	}
}

static void test_varlink__over_the_limit_is_refused_before_its_end(void **state)
{
	struct varlink_reader rd = {.max = 100};
	char x[64];
	json_t *msg;

	memset(x, ' ', sizeof(x));
	assert_int_equal(varlink_reader_feed(&rd, x, sizeof(x)), 0);
	assert_int_equal(varlink_reader_next(&rd, &msg), 0);
	assert_int_equal(varlink_reader_feed(&rd, x, sizeof(x)), -EMSGSIZE);
	assert_int_equal(rd.buf.len, sizeof(x));
	varlink_reader_release(&rd);
	assert_int_equal(one("{\"a\":\"bbbbbbbbbbbbbbbbbbbbbbb\"}", 31, 8, &msg), -EMSGSIZE);
}

static void test_varlink__hostile_bytes_are_bad_messages(void **state)
{
	static const char *const bad[] = {
		"",
		"x",
		"[]",
		"1",
		"null",
		"\"a\"",
		"{",
		"{}x",
		"{\"a\":1,\"a\":2}",
		"{\"a\":\"\\u0000\"}",
		"{\"a\":\"\xff\xfe\"}",
		"{\"a\":1e999}",
		"{\"a\":\"\\ud800\"}",
		"\xef\xbb\xbf{}",
	};
	json_t *msg;
	_cleanup_free_ char *deep = malloc(4096);

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(one(bad[i], strlen(bad[i]) + 1, 4096, &msg), -EBADMSG);
	memset(deep, '[', 4096);
	memcpy(deep, "{\"a\":", 5);
	memset(deep + 5 + 80, ']', 80);
	memcpy(deep + 5 + 160, "}", 2);
	assert_int_equal(one(deep, strlen(deep) + 1, 8192, &msg), -EBADMSG);
	memset(deep + 5 + 60, ']', 60);
	memcpy(deep + 5 + 120, "}", 2);
	assert_int_equal(one(deep, strlen(deep) + 1, 8192, &msg), 1);
	json_decref(msg);
}

static void test_varlink__after_a_bad_message_the_next_is_read(void **state)
{
	struct varlink_reader rd = {.max = 4096};
	json_t *msg;

	assert_int_equal(varlink_reader_feed(&rd, "nonsense\0{\"k\":1}", 17), 0);
	assert_int_equal(varlink_reader_next(&rd, &msg), -EBADMSG);
	assert_int_equal(varlink_reader_next(&rd, &msg), 1);
	json_decref(msg);
	assert_int_equal(varlink_reader_next(&rd, &msg), 0);
	varlink_reader_release(&rd);
}

static void test_varlink__fields_of_a_wrong_type_are_refused(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{\"method\":1}",
		"{\"method\":\"nodot\"}",
		"{\"method\":\"a.B\",\"more\":1}",
		"{\"method\":\"a.B\",\"parameters\":[]}",
		"{\"method\":\"a.B\",\"oneway\":\"yes\"}",
	};
	struct varlink_call c;
	struct varlink_reply rep;
	json_t *msg;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(one(bad[i], strlen(bad[i]) + 1, 4096, &msg), 1);
		assert_int_equal(varlink_call_parse(msg, &c), -EBADMSG);
		json_decref(msg);
	}
	msg = json_pack("{s:i}", "error", 1);
	assert_int_equal(varlink_reply_parse(msg, &rep), -EBADMSG);
	json_decref(msg);
}

static void test_varlink__messages_come_back_as_they_went(void **state)
{
	json_t *err = varlink_error_new("NotFound", "no view 'x'", "agentfsctl list",
					json_pack("{s:s}", "agent", "x"));
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct varlink_reply rep;
	json_t *msg;

	assert_non_null(err);
	assert_int_equal(varlink_encode(err, &b), 0);
	json_decref(err);
	assert_int_equal(b.data[b.len - 1], '\0');
	assert_int_equal(one(b.data, b.len, b.len, &msg), 1);
	assert_int_equal(varlink_reply_parse(msg, &rep), 0);
	assert_string_equal(rep.error, "org.agentfs.NotFound");
	assert_string_equal(json_string_value(json_object_get(rep.parameters, "remedy")),
			    "agentfsctl list");
	json_decref(msg);
}

static void test_varlink__escape_makes_utf8_of_any_bytes(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	char all[256];

	assert_int_equal(varlink_escape("a\xc3\xa4\xff\n\\", 6, &b), 0);
	assert_string_equal(b.data, "a\xc3\xa4\\xff\\x0a\\x5c");
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (char)i;
	buf_clear(&b);
	assert_int_equal(varlink_escape(all, sizeof(all), &b), 0);
	json_t *s = json_stringn(b.data, b.len);
	assert_non_null(s);
	json_decref(s);
	buf_clear(&b);
	assert_int_equal(varlink_escape("\xed\xa0\x80\xf4\x90\x80\x80\xc0\xaf", 9, &b), 0);
	assert_int_equal(b.len, 9 * 4);
}

static void test_varlink__the_interfaces_are_embedded(void **state)
{
	assert_non_null(strstr(varlink_agentfs_text, "\ninterface org.agentfs\n"));
	assert_non_null(strstr(varlink_agentfs_text, "error Internal (message: string"));
	assert_non_null(strstr(varlink_service_text, "method GetInfo()"));
}

/* A peer that answers each received byte sequence up to NUL with fixed bytes. */
struct peer {
	int listen, n;
	const char *answer;
	size_t len;
};

static void *peer_main(void *arg)
{
	struct peer *p = arg;
	char c;
	int fd = accept(p->listen, NULL, NULL);

	while (fd >= 0 && read(fd, &c, 1) == 1)
		if (c == '\0') {
			if (p->answer)
				(void)!write(fd, p->answer, p->len);
			if (p->len)
				break;
		}
	if (fd >= 0)
		close(fd);
	return NULL;
}

static int count_reply(json_t *parameters, bool continues, void *user)
{
	(*(int *)user)++;
	return 0;
}

static void client_against(const char *answer, size_t len, int want, int *replies)
{
	char dir[] = "/tmp/agentfs-test.XXXXXX", path[64];
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct varlink_error e = VARLINK_ERROR_INIT;
	struct peer p = {.answer = answer, .len = len};
	struct varlink *v;
	pthread_t t;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	assert_int_equal(varlink_connect(path, &v, &e), -ENOENT);
	assert_null(e.id);
	assert_non_null(strstr(e.message, path));
	varlink_error_release(&e);
	strcpy(sa.sun_path, path);
	p.listen = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(p.listen, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(p.listen, 1), 0);
	pthread_create(&t, NULL, peer_main, &p);
	assert_int_equal(varlink_connect(path, &v, &e), 0);
	if (replies)
		assert_int_equal(varlink_call_more(v, "Events", NULL, count_reply, replies, &e),
				 want);
	else
		assert_int_equal(varlink_call(v, "List", NULL, 200, NULL, &e), want);
	assert_int_equal(want < 0, e.message != NULL);
	assert_int_equal(want == -EREMOTEIO, e.id != NULL);
	varlink_error_release(&e);
	varlink_close(v);
	pthread_join(t, NULL);
	close(p.listen);
	unlink(path);
	rmdir(dir);
}

static void test_varlink__client_tells_each_failure_apart(void **state)
{
	static const char ok[] = "{\"parameters\":{}}";
	static const char err[] =
		"{\"error\":\"org.agentfs.Denied\",\"parameters\":{\"message\":\"no\"}}";
	static const char service[] = "{\"error\":\"org.varlink.service.MethodNotFound\","
				      "\"parameters\":{\"method\":\"x\"}}";
	static const char more[] = "{\"continues\":true}\0{\"continues\":true}\0{}";
	int n = 0;

	client_against(ok, sizeof(ok), 0, NULL);
	client_against(err, sizeof(err), -EREMOTEIO, NULL);
	client_against(service, sizeof(service), -EREMOTEIO, NULL);
	client_against("garbage", 8, -EBADMSG, NULL);
	client_against("{\"unended\"", 10, -ECONNRESET, NULL);
	client_against(NULL, 0, -ETIMEDOUT, NULL);
	client_against(more, sizeof(more), 0, &n);
	assert_int_equal(n, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_varlink__any_split_gives_the_same_messages),
		cmocka_unit_test(test_varlink__over_the_limit_is_refused_before_its_end),
		cmocka_unit_test(test_varlink__hostile_bytes_are_bad_messages),
		cmocka_unit_test(test_varlink__after_a_bad_message_the_next_is_read),
		cmocka_unit_test(test_varlink__fields_of_a_wrong_type_are_refused),
		cmocka_unit_test(test_varlink__messages_come_back_as_they_went),
		cmocka_unit_test(test_varlink__escape_makes_utf8_of_any_bytes),
		cmocka_unit_test(test_varlink__the_interfaces_are_embedded),
		cmocka_unit_test(test_varlink__client_tells_each_failure_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
