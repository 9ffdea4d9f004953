/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Growing bytes. Zero-initialised is empty; always NUL-terminated once something was added. */
struct buf {
	char *data;
	size_t len;
	size_t cap;
};

#define BUF_INIT ((struct buf){0})

/* Makes room for n more bytes. Errors: -ENOMEM (unchanged). */
int buf_reserve(struct buf *b, size_t n);

/* Appends. Errors: -ENOMEM (unchanged). */
int buf_add(struct buf *b, const void *p, size_t n);
int buf_adds(struct buf *b, const char *s);
int buf_addc(struct buf *b, char c);
int buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Forgets the content, keeps the memory. */
void buf_clear(struct buf *b);
void buf_release(struct buf *b);

/* Hands the bytes over (caller frees), an empty string where nothing was added; NULL: no memory. */
char *buf_take(struct buf *b);

#define _cleanup_buf_ __attribute__((cleanup(buf_release)))
