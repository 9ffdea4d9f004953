/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <errno.h>

/*
 * An error that a person will read. Functions whose failure ends as a sentence on somebody's
 * screen take one as their last parameter; all others return -errno alone.
 */
struct err {
	int code;   /* -errno, 0 while unset */
	char *id;   /* interface name such as "NameTaken", or NULL; owned */
	char *text; /* what was attempted and on what, lower case, no full stop; owned */
};

#define ERR_INIT ((struct err){0})

/* Sets code and text (replacing an earlier one). `e` may be NULL. Returns r, so that
 * `return err_set(e, -EINVAL, "…")` reads well. Never fails: without memory only the code stays. */
int err_set(struct err *e, int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Like err_set(), and names the error as the interface does (docs/ERRORS.md). */
int err_set_id(struct err *e, int r, const char *id, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Puts "prefix: " before the text of an error that a lower layer set. Returns e's code. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Frees the texts and makes it unset again. Takes NULL. */
void err_release(struct err *e);

/* The text, or strerror() of the code where nobody wrote one. Borrowed. */
const char *err_text(const struct err *e);
