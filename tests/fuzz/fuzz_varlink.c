/* SPDX-License-Identifier: Apache-2.0 */
/* varlink: any bytes in any pieces; what is a message comes back as it went, pieces do not matter. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "varlink.h"

enum { LIMIT = 4096 };

/* How many messages come out when fed in pieces of `step`; their encodings are appended to out. */
static size_t read_all(const uint8_t *data, size_t size, size_t step, struct buf *out)
{
	struct varlink_reader rd = {.max = LIMIT};
	size_t count = 0;
	json_t *msg;
	int r = 0;

	for (size_t i = 0; i < size && r != -EMSGSIZE; i += step) {
		r = varlink_reader_feed(&rd, data + i, size - i < step ? size - i : step);
		while (r == 0 && (r = varlink_reader_next(&rd, &msg)) != 0 && r != -EMSGSIZE) {
			struct varlink_call call;
			struct varlink_reply reply;

			if (r == 1) {
				(void)varlink_call_parse(msg, &call);
				(void)varlink_reply_parse(msg, &reply);
				if (varlink_encode(msg, out) < 0)
					abort();
				json_decref(msg);
				count++;
			}
			r = 0;
		}
		if (rd.buf.len - rd.start > LIMIT + step)
			abort();
	}
	varlink_reader_release(&rd);
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = BUF_INIT, pieces = BUF_INIT, again = BUF_INIT, text = BUF_INIT;
	size_t n = read_all(data, size, size ? size : 1, &whole);
	json_t *s;

	if (size < LIMIT && (read_all(data, size, 3, &pieces) != n || pieces.len != whole.len ||
			     (n && memcmp(pieces.data, whole.data, whole.len) != 0)))
		abort();
	if (n && whole.len < LIMIT &&
	    (read_all((uint8_t *)whole.data, whole.len, 7, &again) != n || again.len != whole.len))
		abort();
	if (varlink_escape(data, size, &text) < 0)
		abort();
	s = json_stringn(text.data ? text.data : "", text.len);
	if (!s)
		abort();
	json_decref(s);
	buf_release(&whole);
	buf_release(&pieces);
	buf_release(&again);
	buf_release(&text);
	return 0;
}
