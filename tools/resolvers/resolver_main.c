/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver_main.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "io.h"
#include "prompt.h"

enum { REQUEST_MAX = 64 << 20, TIMEOUT_DEFAULT_S = 60, TIMEOUT_MAX_S = 86400 };

static int usage(const char *name)
{
	(void)fprintf(
		stderr,
		"usage: %s [--url URL] [--model NAME] [--key-env VARIABLE] [--timeout SECONDS] "
		"[--max-tokens N] [-- COMMAND [ARG...]]\n"
		"Reads a request of agentfs' resolver protocol on standard input, answers on standard "
		"output.\n",
		name);
	return 2;
}

static int number(const char *text, unsigned int max, unsigned int *ret)
{
	char *end = NULL;
	long n = strtol(text, &end, 10);

	if (n < 1 || (unsigned long)n > max || *end)
		return -EINVAL;
	*ret = (unsigned int)n;
	return 0;
}

static int read_args(int argc, char **argv, struct resolver_args *a)
{
	static const struct option options[] = {{"url", required_argument, NULL, 'u'},
						{"model", required_argument, NULL, 'm'},
						{"key-env", required_argument, NULL, 'k'},
						{"timeout", required_argument, NULL, 't'},
						{"max-tokens", required_argument, NULL, 'n'},
						{0}};
	unsigned int seconds = TIMEOUT_DEFAULT_S;
	int c, r = 0;

	while (r == 0 && (c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (c == 'u')
			a->url = optarg;
		else if (c == 'm')
			a->model = optarg;
		else if (c == 'k')
			a->key_env = optarg;
		else if (c == 't')
			r = number(optarg, TIMEOUT_MAX_S, &seconds);
		else if (c == 'n')
			r = number(optarg, INT_MAX, &a->max_tokens);
		else
			r = -EINVAL;
	}
	a->timeout_ms = seconds * 1000;
	if (optind < argc)
		a->command = argv + optind;
	return r;
}

static int answer(const struct resolver_args *a, resolver_ask_fn ask, struct err *e)
{
	_cleanup_buf_ struct buf in = BUF_INIT;
	struct resolver_call call = {0};
	json_t *request = NULL, *out = NULL;
	int r = io_read_fd(STDIN_FILENO, REQUEST_MAX, &in);

	if (r < 0)
		return err_set(e, r, "reading the request: %s", strerror(-r));
	request = json_loadb(in.data ? in.data : "", in.len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(request) ||
	    json_integer_value(json_object_get(request, "protocol")) != 1)
		r = err_set(e, -EBADMSG, "the request is none of protocol version 1");
	if (r == 0) {
		call.system = prompt_system(request);
		r = prompt_user(request, &call.user);
	}
	if (r == 0)
		r = ask(a, &call, e);
	if (r == 0)
		r = prompt_answer(call.said.data ? call.said.data : "", call.said.len, call.tokens,
				  &out, e);
	if (r == 0 &&
	    (json_dumpf(out, stdout, JSON_COMPACT) < 0 || putchar('\n') < 0 || fflush(stdout) < 0))
		r = err_set(e, -EIO, "writing the answer failed");
	json_decref(out);
	json_decref(request);
	buf_release(&call.user);
	buf_release(&call.said);
	return r;
}

int resolver_main(int argc, char **argv, const char *name, resolver_ask_fn ask)
{
	_cleanup_(err_release) struct err e = ERR_INIT;
	struct resolver_args a = {0};
	int r;

	if (read_args(argc, argv, &a) < 0)
		return usage(name);
	r = answer(&a, ask, &e);
	if (r < 0)
		(void)fprintf(stderr, "%s: %s\n", name, e.code ? err_text(&e) : strerror(-r));
	return r < 0 ? 1 : 0;
}
