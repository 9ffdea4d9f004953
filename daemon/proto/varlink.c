/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Varlink messages: bytes ↔ JSON ↔ calls and replies. No I/O.
 *
 * Guarantees:
 * 1. A reader holds at most `max` bytes of an unfinished message; what a peer sends beyond is an
 *    error at once, not when the NUL arrives.
 * 2. A message is looked at once: scanning starts where the last feed ended, so that a peer that
 *    sends byte by byte costs no more than one that does not.
 * 3. What is accepted is one JSON object at most VARLINK_DEPTH_MAX deep, without keys twice, in
 *    valid UTF-8, with NUL nowhere (jansson refuses \u0000 in strings).
 */
#include "varlink.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "cleanup.h"

static size_t reader_pending(const struct varlink_reader *r)
{
	return r->buf.len - r->start;
}

/* Moves what is left to the front once as much was consumed, so that each byte moves once. */
static void reader_compact(struct varlink_reader *r)
{
	size_t left = reader_pending(r);

	if (r->start == 0 || r->start < left)
		return;
	memmove(r->buf.data, r->buf.data + r->start, left);
	r->buf.len = left;
	r->scanned -= r->start;
	r->start = 0;
}

int varlink_reader_feed(struct varlink_reader *r, const void *p, size_t n)
{
	const char *end = memchr(p, '\0', n);
	size_t first = end ? (size_t)(end - (const char *)p) : n;
	bool open = !memchr(r->buf.data ? r->buf.data + r->scanned : "x", '\0',
			    r->buf.len - r->scanned);

	if (open && reader_pending(r) + first > r->max)
		return -EMSGSIZE;
	reader_compact(r);
	return buf_add(&r->buf, p, n);
}

/* jansson's own limit on depth is 2048: enough for the parser, too much for whoever recurses. */
static bool too_deep(const json_t *v, unsigned depth)
{
	const char *key;
	json_t *child;
	size_t i;

	if (depth > VARLINK_DEPTH_MAX)
		return true;
	if (json_is_object(v)) {
		json_object_foreach ((json_t *)v, key, child)
			if (too_deep(child, depth + 1))
				return true;
	} else if (json_is_array(v)) {
		json_array_foreach (v, i, child)
			if (too_deep(child, depth + 1))
				return true;
	}
	return false;
}

static int parse_object(const char *p, size_t n, json_t **ret)
{
	_cleanup_(json_decrefp) json_t *v = json_loadb(p, n, JSON_REJECT_DUPLICATES, NULL);

	if (!json_is_object(v) || too_deep(v, 1))
		return -EBADMSG;
	*ret = TAKE_PTR(v);
	return 0;
}

int varlink_reader_next(struct varlink_reader *r, json_t **ret)
{
	const char *end;
	size_t start = r->start, n;
	int k;

	if (r->scanned == r->buf.len)
		return 0;
	end = memchr(r->buf.data + r->scanned, '\0', r->buf.len - r->scanned);
	if (!end) {
		r->scanned = r->buf.len;
		if (reader_pending(r) > r->max)
			return -EMSGSIZE;
		return 0;
	}
	n = (size_t)(end - (r->buf.data + start));
	r->start = r->scanned = start + n + 1;
	if (n > r->max)
		return -EMSGSIZE;
	k = parse_object(r->buf.data + start, n, ret);
	return k < 0 ? k : 1;
}

void varlink_reader_release(struct varlink_reader *r)
{
	buf_release(&r->buf);
	r->start = r->scanned = 0;
}

static int get_bool(json_t *msg, const char *key, bool *ret)
{
	json_t *v = json_object_get(msg, key);

	*ret = json_is_true(v);
	return !v || json_is_boolean(v) || json_is_null(v) ? 0 : -EBADMSG;
}

/* The object under "parameters"; an absent one is put there, so that callers need no case for it. */
static int get_parameters(json_t *msg, json_t **ret)
{
	json_t *v = json_object_get(msg, "parameters");

	if (!v || json_is_null(v)) {
		v = json_object();
		if (!v || json_object_set_new(msg, "parameters", v) < 0)
			return -ENOMEM;
	}
	if (!json_is_object(v))
		return -EBADMSG;
	*ret = v;
	return 0;
}

int varlink_call_parse(json_t *msg, struct varlink_call *ret)
{
	struct varlink_call c = {.method = json_string_value(json_object_get(msg, "method"))};
	int r;

	if (!c.method || !strchr(c.method, '.'))
		return -EBADMSG;
	if (get_bool(msg, "more", &c.more) < 0 || get_bool(msg, "oneway", &c.oneway) < 0 ||
	    get_bool(msg, "upgrade", &c.upgrade) < 0)
		return -EBADMSG;
	r = get_parameters(msg, &c.parameters);
	if (r < 0)
		return r;
	*ret = c;
	return 0;
}

int varlink_reply_parse(json_t *msg, struct varlink_reply *ret)
{
	json_t *error = json_object_get(msg, "error");
	struct varlink_reply v = {.error = json_string_value(error)};
	int r;

	if (error && !v.error && !json_is_null(error))
		return -EBADMSG;
	if (get_bool(msg, "continues", &v.continues) < 0)
		return -EBADMSG;
	r = get_parameters(msg, &v.parameters);
	if (r < 0)
		return r;
	*ret = v;
	return 0;
}

static int dump_to_buf(const char *p, size_t n, void *user)
{
	return buf_add(user, p, n) < 0 ? -1 : 0;
}

int varlink_encode(const json_t *msg, struct buf *b)
{
	size_t len = b->len;

	if (!json_is_object(msg))
		return -EINVAL;
	if (json_dump_callback(msg, dump_to_buf, b, JSON_COMPACT) < 0 || buf_addc(b, '\0') < 0) {
		b->len = len;
		if (b->data)
			b->data[len] = '\0';
		return -ENOMEM;
	}
	return 0;
}

/* {"parameters": …} with more fields to come; consumes parameters. */
static json_t *message_new(json_t *parameters)
{
	json_t *msg = json_object();

	if (!parameters)
		parameters = json_object();
	if (!msg || !parameters || json_object_set(msg, "parameters", parameters) < 0) {
		json_decref(msg);
		msg = NULL;
	}
	json_decref(parameters);
	return msg;
}

static json_t *with(json_t *msg, const char *key, json_t *value)
{
	if (!msg) {
		json_decref(value);
		return NULL;
	}
	if (json_object_set_new(msg, key, value) < 0) {
		json_decref(msg);
		return NULL;
	}
	return msg;
}

json_t *varlink_call_new(const char *method, json_t *parameters, unsigned flags)
{
	json_t *msg = with(message_new(parameters), "method", json_string(method));

	if (flags & VARLINK_MORE)
		msg = with(msg, "more", json_true());
	if (flags & VARLINK_ONEWAY)
		msg = with(msg, "oneway", json_true());
	return msg;
}

json_t *varlink_reply_new(json_t *parameters, bool continues)
{
	json_t *msg = message_new(parameters);

	return continues ? with(msg, "continues", json_true()) : msg;
}

json_t *varlink_error_new(const char *id, const char *message, const char *remedy, json_t *details)
{
	json_t *p = with(json_object(), "message", json_string(message));
	char name[128];

	if (remedy)
		p = with(p, "remedy", json_string(remedy));
	if (details)
		p = with(p, "details", details);
	if (!p)
		return NULL;
	if (strchr(id, '.'))
		(void)snprintf(name, sizeof(name), "%s", id);
	else
		(void)snprintf(name, sizeof(name), "%s.%s", VARLINK_INTERFACE, id);
	return with(message_new(p), "error", json_string(name));
}

/* Length of the well-formed UTF-8 sequence at p, or 0. */
static size_t utf8_len(const uint8_t *p, size_t n)
{
	size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
	uint32_t c = p[0] & (len == 1 ? 0x7f : 0xff >> (len + 1));

	if ((p[0] >= 0x80 && p[0] < 0xc2) || p[0] > 0xf4 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if ((len == 3 && (c < 0x800 || (c >= 0xd800 && c < 0xe000))) ||
	    (len == 4 && (c < 0x10000 || c > 0x10ffff)))
		return 0;
	return len;
}

int varlink_escape(const void *data, size_t n, struct buf *b)
{
	const uint8_t *p = data;
	size_t i = 0;
	int r;

	while (i < n) {
		size_t len = utf8_len(p + i, n - i);

		if (len == 0 || p[i] < 0x20 || p[i] == 0x7f || p[i] == '\\') {
			r = buf_addf(b, "\\x%02x", p[i]);
			i++;
		} else {
			r = buf_add(b, p + i, len);
			i += len;
		}
		if (r < 0)
			return r;
	}
	return 0;
}
