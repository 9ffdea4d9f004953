/* SPDX-License-Identifier: Apache-2.0 */
/* Errors for people: a code, a name and one sentence. */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void set_text(struct err *e, int r, const char *fmt, va_list ap)
{
	char *text = NULL;

	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	err_release(e);
	e->code = r;
	e->text = text;
}

int err_set(struct err *e, int r, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return r;
	va_start(ap, fmt);
	set_text(e, r, fmt, ap);
	va_end(ap);
	return r;
}

int err_set_id(struct err *e, int r, const char *id, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return r;
	va_start(ap, fmt);
	set_text(e, r, fmt, ap);
	va_end(ap);
	e->id = strdup(id);
	return r;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
	char *prefix = NULL, *text = NULL;
	va_list ap;

	if (!e)
		return -EINVAL;
	va_start(ap, fmt);
	if (vasprintf(&prefix, fmt, ap) < 0)
		prefix = NULL;
	va_end(ap);
	if (prefix && asprintf(&text, "%s: %s", prefix, err_text(e)) >= 0) {
		free(e->text);
		e->text = text;
	}
	free(prefix);
	return e->code;
}

void err_release(struct err *e)
{
	if (!e)
		return;
	free(e->id);
	free(e->text);
	*e = ERR_INIT;
}

const char *err_text(const struct err *e)
{
	if (e->text)
		return e->text;
	return strerror(e->code < 0 ? -e->code : e->code);
}
