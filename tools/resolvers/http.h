/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "resolver_main.h"

/* One POST to a model's HTTP interface. */

struct http_request {
	const char *base, *path;    /* "https://host/v1", "/chat/completions" */
	const char *key_header;	    /* "Authorization: Bearer " or "x-api-key: " */
	const char *const *headers; /* further ones, NULL-ended */
	const char *key_env;	    /* where the key is, or NULL: none is sent */
	const json_t *body;
	unsigned int timeout_ms;
};

/* Sends it, again after 429 and 5xx while the time allows. *ret: the answer's JSON object, of a 200 alone. A key goes
 * over https only, or to this machine. Errors: -ETIMEDOUT, -EACCES, -EFBIG, -EBADMSG, -EIO, each with a sentence
 * that holds neither the key nor what the server echoed of it. */
int http_post(const struct http_request *q, json_t **ret, struct err *reterr);

/* Posts `body` (consumed; NULL: no memory) to the model that `a` names, with its key and time, and has `read` take the
 * answer apart. Errors: as http_post() and `read`; -EINVAL where no model is named. */
int http_ask(const struct resolver_args *a, struct http_request *q, json_t *body,
	     int (*read)(const json_t *reply, struct resolver_call *c, struct err *reterr),
	     struct resolver_call *c, struct err *reterr);

/* The sentence for a model that ended at its limit of tokens. Returns it: -EFBIG. */
int http_cut_off(struct err *reterr);
