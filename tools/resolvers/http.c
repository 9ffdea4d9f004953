/* SPDX-License-Identifier: Apache-2.0 */
#include "http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "cleanup.h"

enum { ANSWER_MAX = 8 << 20, TRIES = 3, WAIT_MS = 1000, SAID_MAX = 160 };

struct exchange {
	const struct http_request *q;
	const char *key; /* borrowed from the environment, or NULL */
	CURL *curl;
	struct curl_slist *headers;
	struct buf body; /* of the answer */
	bool too_large;
	char *text; /* what is sent */
	struct timespec end;
};

static void header_free(struct curl_slist *l)
{
	for (struct curl_slist *i = l; i; i = i->next)
		explicit_bzero(i->data, strlen(i->data));
	curl_slist_free_all(l);
}

static long left_ms(const struct exchange *x)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (long)((x->end.tv_sec - now.tv_sec) * 1000 +
		      (x->end.tv_nsec - now.tv_nsec) / 1000000);
}

static size_t take(char *p, size_t size, size_t n, void *user)
{
	struct exchange *x = user;

	if (x->body.len + n * size > ANSWER_MAX) {
		x->too_large = true;
		return 0;
	}
	return buf_add(&x->body, p, n * size) < 0 ? 0 : n * size;
}

/* ---- what may be sent where ---- */

static bool is_loopback(const char *url)
{
	static const char *const hosts[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++) {
		size_t n = strlen(hosts[i]);

		if (strncasecmp(url, hosts[i], n) == 0 &&
		    (url[n] == ':' || url[n] == '/' || !url[n]))
			return true;
	}
	return false;
}

static int find_key(struct exchange *x, struct err *e)
{
	const char *name = x->q->key_env;

	if (!name)
		return 0;
	x->key = getenv(name);
	if (!x->key || !*x->key)
		return err_set(e, -EACCES,
			       "the environment variable %s, which should hold the key, is not set",
			       name);
	for (const char *c = x->key; *c; c++)
		if ((unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f)
			return err_set(e, -EACCES, "the key in %s has bytes that no key has", name);
	if (strncasecmp(x->q->base, "https://", 8) != 0 && !is_loopback(x->q->base))
		return err_set(e, -EACCES,
			       "the key is sent over https only (or to this machine), not to '%s'",
			       x->q->base);
	return 0;
}

static int add_header(struct exchange *x, const char *a, const char *b)
{
	_cleanup_buf_ struct buf line = BUF_INIT;
	struct curl_slist *l;

	if (buf_addf(&line, "%s%s", a, b) < 0)
		return -ENOMEM;
	l = curl_slist_append(x->headers, line.data);
	explicit_bzero(line.data, line.len);
	if (!l)
		return -ENOMEM;
	x->headers = l;
	return 0;
}

static int add_headers(struct exchange *x)
{
	int r = add_header(x, "Content-Type: application/json", "");

	for (size_t i = 0; r == 0 && x->q->headers && x->q->headers[i]; i++)
		r = add_header(x, x->q->headers[i], "");
	return r == 0 && x->key ? add_header(x, x->q->key_header, x->key) : r;
}

static int set_up(struct exchange *x)
{
	_cleanup_buf_ struct buf url = BUF_INIT;
	size_t n = strlen(x->q->base);
	CURLcode rc;

	while (n && x->q->base[n - 1] == '/')
		n--;
	if (buf_add(&url, x->q->base, n) < 0 || buf_adds(&url, x->q->path) < 0)
		return -ENOMEM;
	rc = curl_easy_setopt(x->curl, CURLOPT_URL, url.data);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(x->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(x->curl, CURLOPT_POSTFIELDS, x->text);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(x->curl, CURLOPT_POSTFIELDSIZE, (long)strlen(x->text));
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(x->curl, CURLOPT_HTTPHEADER, x->headers);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(x->curl, CURLOPT_WRITEFUNCTION, take);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(x->curl, CURLOPT_WRITEDATA, x);
	if (rc == CURLE_OK)
		rc = curl_easy_setopt(x->curl, CURLOPT_NOSIGNAL, 1L);
	return rc == CURLE_OK ? 0 : -EINVAL;
}

/* ---- what came back ---- */

/* The server's own words, without the key. */
static void own_words(const struct exchange *x, char *ret, size_t size)
{
	json_t *o = json_loadb(x->body.data ? x->body.data : "", x->body.len, 0, NULL);
	const json_t *error = json_object_get(o, "error");
	const char *said = json_string_value(
		json_is_object(error) ? json_object_get(error, "message") : error);
	size_t n = 0;

	if (said && !(x->key && strstr(said, x->key)))
		for (; n + 1 < size && n < SAID_MAX && said[n]; n++)
			ret[n] = (char)((unsigned char)said[n] < 0x20 ? ' ' : said[n]);
	ret[n] = '\0';
	json_decref(o);
}

/* A server that refuses a key may repeat pieces of it: then its words are not told. */
static int status_error(const struct exchange *x, long status, struct err *e)
{
	char said[SAID_MAX + 1];

	if (status == 401 || status == 403)
		return err_set(e, -EACCES, "the server refuses the key (HTTP %ld)", status);
	own_words(x, said, sizeof(said));
	return err_set(e, -EIO, "%s (HTTP %ld)%s%s",
		       status == 429   ? "the server asks for fewer calls"
		       : status == 404 ? "the server knows no such model or address"
		       : status >= 500 ? "the server failed"
				       : "the server refuses the request",
		       status, *said ? ": " : "", said);
}

static int curl_error(const struct exchange *x, CURLcode rc, struct err *e)
{
	if (x->too_large)
		return err_set(e, -EFBIG, "the server's answer has more than %d bytes", ANSWER_MAX);
	if (rc == CURLE_OPERATION_TIMEDOUT)
		return err_set(e, -ETIMEDOUT, "no answer within %u s", x->q->timeout_ms / 1000);
	return err_set(e, -EIO, "asking '%s': %s", x->q->base, curl_easy_strerror(rc));
}

/* How long to wait before the next try; negative: not at all. */
static long wait_ms(const struct exchange *x, long status, int tries)
{
	curl_off_t after = 0;
	long ms = WAIT_MS * tries;

	if (status != 429 && status < 500)
		return -1;
	if (curl_easy_getinfo(x->curl, CURLINFO_RETRY_AFTER, &after) == CURLE_OK && after > 0)
		ms = after > 3600 ? 3600 * 1000 : (long)after * 1000;
	return tries < TRIES && ms + WAIT_MS < left_ms(x) ? ms : -1;
}

static void nap(long ms)
{
	struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

static int send_it(struct exchange *x, struct err *e)
{
	for (int tries = 1;; tries++) {
		long status = 0, ms = left_ms(x);
		CURLcode rc;

		buf_clear(&x->body);
		(void)curl_easy_setopt(x->curl, CURLOPT_TIMEOUT_MS, ms > 1 ? ms : 1L);
		rc = curl_easy_perform(x->curl);
		if (rc != CURLE_OK)
			return curl_error(x, rc, e);
		(void)curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
		if (status == 200)
			return 0;
		ms = wait_ms(x, status, tries);
		if (ms < 0)
			return status_error(x, status, e);
		nap(ms);
	}
}

static int exchange(struct exchange *x, json_t **ret, struct err *e)
{
	int r = find_key(x, e);

	if (r == 0)
		r = add_headers(x);
	if (r == 0)
		r = set_up(x);
	if (r == -EINVAL)
		return err_set(e, r, "'%s' is no address of a server", x->q->base);
	if (r == 0)
		r = send_it(x, e);
	if (r < 0)
		return r;
	*ret = json_loadb(x->body.data ? x->body.data : "", x->body.len, 0, NULL);
	if (json_is_object(*ret))
		return 0;
	json_decref(*ret);
	*ret = NULL;
	return err_set(e, -EBADMSG, "the server's answer is no JSON object");
}

int http_post(const struct http_request *q, json_t **ret, struct err *reterr)
{
	struct exchange x = {.q = q};
	int r = -ENOMEM;

	(void)clock_gettime(CLOCK_MONOTONIC, &x.end);
	x.end.tv_sec += q->timeout_ms / 1000;
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(reterr, -EIO, "libcurl does not start");
	x.curl = curl_easy_init();
	x.text = json_dumps(q->body, JSON_COMPACT);
	if (x.curl && x.text)
		r = exchange(&x, ret, reterr);
	free(x.text);
	header_free(x.headers);
	if (x.curl)
		curl_easy_cleanup(x.curl);
	curl_global_cleanup();
	buf_release(&x.body);
	return r;
}

int http_ask(const struct resolver_args *a, struct http_request *q, json_t *body,
	     int (*read)(const json_t *reply, struct resolver_call *c, struct err *reterr),
	     struct resolver_call *c, struct err *reterr)
{
	json_t *reply = NULL;
	int r;

	if (a->url)
		q->base = a->url;
	q->key_env = a->key_env;
	q->timeout_ms = a->timeout_ms;
	q->body = body;
	r = !a->model ? err_set(reterr, -EINVAL, "no --model was given")
	    : !body   ? -ENOMEM
		      : http_post(q, &reply, reterr);
	if (r == 0)
		r = read(reply, c, reterr);
	json_decref(reply);
	json_decref(body);
	return r;
}

int http_cut_off(struct err *reterr)
{
	return err_set(reterr, -EFBIG, "the model's answer was cut off at its limit of tokens");
}
