/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agentfs-resolve-anthropic: a resolver that asks a server of Anthropic's HTTP dialect: POST
 * URL/v1/messages {model, max_tokens, system, messages} → {content: [{type: "text", text}], usage}.
 */
#include <errno.h>
#include <string.h>

#include "http.h"

enum { MAX_TOKENS = 16384 };

static const char default_url[] = "https://api.anthropic.com";
static const char *const headers[] = {"anthropic-version: 2023-06-01", NULL};

static int read_reply(const json_t *reply, struct resolver_call *c, struct err *reterr)
{
	const json_t *usage = json_object_get(reply, "usage"), *part;
	const char *why = json_string_value(json_object_get(reply, "stop_reason"));
	json_int_t tokens = json_integer_value(json_object_get(usage, "input_tokens")) +
			    json_integer_value(json_object_get(usage, "output_tokens"));
	size_t i;
	int r = 0;

	c->tokens = tokens > 0 ? (uint64_t)tokens : 0;
	if (why && strcmp(why, "max_tokens") == 0)
		return http_cut_off(reterr);
	json_array_foreach (json_object_get(reply, "content"), i, part) {
		const char *text = json_string_value(json_object_get(part, "text"));

		if (text && r == 0)
			r = buf_adds(&c->said, text);
	}
	if (r == 0 && !c->said.len)
		return err_set(reterr, -EBADMSG, "the server's answer has no text");
	return r;
}

static int ask(const struct resolver_args *a, struct resolver_call *c, struct err *reterr)
{
	struct http_request q = {.base = default_url,
				 .path = "/v1/messages",
				 .key_header = "x-api-key: ",
				 .headers = headers};
	json_t *body = json_pack("{s:s*,s:i,s:s,s:[{s:s,s:s}]}", "model", a->model, "max_tokens",
				 (int)(a->max_tokens ? a->max_tokens : MAX_TOKENS), "system",
				 c->system, "messages", "role", "user", "content", c->user.data);

	return http_ask(a, &q, body, read_reply, c, reterr);
}

int main(int argc, char **argv)
{
	return resolver_main(argc, argv, "agentfs-resolve-anthropic", ask);
}
