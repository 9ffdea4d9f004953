/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agentfs-resolve-openai: a resolver that asks a server of OpenAI's HTTP dialect, which many other servers
 * speak as well: POST URL/chat/completions {model, messages} → {choices: [{message: {content}}], usage}.
 */
#include <errno.h>
#include <string.h>

#include "http.h"

static const char default_url[] = "https://api.openai.com/v1";

static json_t *body_of(const struct resolver_args *a, const struct resolver_call *c)
{
	json_t *o =
		json_pack("{s:s,s:[{s:s,s:s},{s:s,s:s}]}", "model", a->model, "messages", "role",
			  "system", "content", c->system, "role", "user", "content", c->user.data);

	if (o && a->max_tokens)
		(void)json_object_set_new(o, "max_tokens", json_integer(a->max_tokens));
	return o;
}

static int read_reply(const json_t *reply, struct resolver_call *c, struct err *reterr)
{
	const json_t *choice = json_array_get(json_object_get(reply, "choices"), 0);
	const char *said =
		json_string_value(json_object_get(json_object_get(choice, "message"), "content"));
	const char *why = json_string_value(json_object_get(choice, "finish_reason"));
	json_int_t tokens = json_integer_value(
		json_object_get(json_object_get(reply, "usage"), "total_tokens"));

	c->tokens = tokens > 0 ? (uint64_t)tokens : 0;
	if (why && strcmp(why, "length") == 0)
		return http_cut_off(reterr);
	if (!said)
		return err_set(reterr, -EBADMSG, "the server's answer has no message");
	return buf_adds(&c->said, said);
}

static int ask(const struct resolver_args *a, struct resolver_call *c, struct err *reterr)
{
	struct http_request q = {.base = default_url,
				 .path = "/chat/completions",
				 .key_header = "Authorization: Bearer "};

	return http_ask(a, &q, body_of(a, c), read_reply, c, reterr);
}

int main(int argc, char **argv)
{
	return resolver_main(argc, argv, "agentfs-resolve-openai", ask);
}
