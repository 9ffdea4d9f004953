/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "buf.h"
#include "lines.h"

/*
 * What agentfs-parser reads and writes. A frame is its length (without these four bytes) and as many bytes; numbers
 * are u32, least byte first; a blob is its length and its bytes. A request is an operation (u32), the path
 * (blob) and
 *
 *   PARSER_MERGE    texts of base, ours, theirs (blobs); n; n times three ranges, from and to: the conflicts; n + 1 times
 *                   what stands around them, merged by line (blob)
 *   PARSER_SYMBOLS  text (blob)
 *   PARSER_CHECK    text (blob)
 *
 * An answer is a status (0, or an errno) and, for status 0,
 *
 *   PARSER_MERGE    n; n times: class (enum parser_class), text (blob)
 *   PARSER_SYMBOLS  n; n times: kind, name, params (blobs), from line, to line, enclosing + 1;
 *                   m; m times: name (blob), declaration + 1, line
 *   PARSER_CHECK    number of error nodes
 *
 * else a sentence (blob).
 */
enum parser_op { PARSER_MERGE = 1, PARSER_SYMBOLS, PARSER_CHECK };

enum { PARSER_FRAME_MAX = 64 << 20 };

static inline int wire_put(struct buf *b, uint32_t n)
{
	const unsigned char v[4] = {(unsigned char)n, (unsigned char)(n >> 8),
				    (unsigned char)(n >> 16), (unsigned char)(n >> 24)};

	return buf_add(b, v, sizeof(v));
}

static inline int wire_put_blob(struct buf *b, struct text t)
{
	int r = t.n > PARSER_FRAME_MAX ? -EFBIG : wire_put(b, (uint32_t)t.n);

	return r < 0 || !t.n ? r : buf_add(b, t.p, t.n);
}

/* A reader: after a short frame all that follows is zero, and bad is set. */
struct wire {
	const unsigned char *p;
	size_t n;
	bool bad;
};

static inline uint32_t wire_get(struct wire *w)
{
	uint32_t v;

	if (w->n < 4) {
		w->bad = true;
		w->n = 0;
		return 0;
	}
	v = (uint32_t)w->p[0] | (uint32_t)w->p[1] << 8 | (uint32_t)w->p[2] << 16 |
	    (uint32_t)w->p[3] << 24;
	w->p += 4;
	w->n -= 4;
	return v;
}

static inline struct text wire_get_blob(struct wire *w)
{
	uint32_t n = wire_get(w);
	struct text t = {(const char *)w->p, n};

	if (n > w->n) {
		w->bad = true;
		w->n = 0;
		return (struct text){"", 0};
	}
	w->p += n;
	w->n -= n;
	return t;
}
