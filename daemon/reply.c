/* SPDX-License-Identifier: Apache-2.0 */
/* Errors on their way to a peer. */
#include "reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sys.h"
#include "varlink.h"

const char *fault_id(int r)
{
	switch (-r) {
	case ENOENT:
	case ESRCH:
		return "NotFound";
	case EINVAL:
	case ENOTDIR:
	case EISDIR:
	case ENAMETOOLONG:
	case ELOOP:
		return "Invalid";
	case EEXIST:
		return "NameTaken";
	case EACCES:
	case EPERM:
	case EROFS:
		return "Denied";
	case ENOSPC:
	case EDQUOT:
		return "NoSpace";
	case EBUSY:
	case EAGAIN:
		return "Busy";
	case EBADMSG:
		return "Damaged";
	case EPROTONOSUPPORT:
	case EOPNOTSUPP:
	case ENOSYS:
		return "Unsupported";
	case E2BIG:
	case EFBIG:
	case EMSGSIZE:
		return "TooLarge";
	case ETIMEDOUT:
		return "Timeout";
	default:
		return "Internal";
	}
}

static char *escaped(const char *s)
{
	struct buf b = BUF_INIT;

	if (varlink_escape(s, strlen(s), &b) < 0) {
		buf_release(&b);
		return NULL;
	}
	return buf_take(&b);
}

static char *format(const char *fmt, va_list ap)
{
	char *text = NULL, *clean;

	if (vasprintf(&text, fmt, ap) < 0)
		return NULL;
	clean = escaped(text);
	free(text);
	return clean;
}

int fault_set(struct fault *f, const char *id, const char *fmt, ...)
{
	va_list ap;

	if (!f)
		return -EREMOTEIO;
	fault_release(f);
	f->id = sys_strdup(id);
	va_start(ap, fmt);
	f->message = format(fmt, ap);
	va_end(ap);
	return -EREMOTEIO;
}

int fault_remedy(struct fault *f, const char *fmt, ...)
{
	va_list ap;

	if (!f)
		return -EREMOTEIO;
	free(f->remedy);
	va_start(ap, fmt);
	f->remedy = format(fmt, ap);
	va_end(ap);
	return -EREMOTEIO;
}

int fault_from_err(struct fault *f, struct err *e, const char *prefix)
{
	int r = e->code;

	(void)fault_set(f, e->id ? e->id : fault_id(r), "%s%s%s", prefix ? prefix : "",
			prefix ? ": " : "", err_text(e));
	err_release(e);
	return -EREMOTEIO;
}

int fault_from_json(struct fault *f, json_t *o)
{
	const char *id = json_string_value(json_object_get(o, "id"));
	const char *text = json_string_value(json_object_get(o, "message"));
	const char *remedy = json_string_value(json_object_get(o, "remedy"));
	json_t *details = json_object_get(o, "details");

	(void)fault_set(f, "Internal", "%s", "");
	free(f->id);
	free(f->message);
	f->id = sys_strdup(id && *id ? id : "Internal");
	f->message = sys_strdup(text && *text ? text : "the worker gave no reason");
	f->remedy = remedy ? sys_strdup(remedy) : NULL;
	f->details = json_is_object(details) ? json_incref(details) : NULL;
	return -EREMOTEIO;
}

void fault_move(struct fault *to, struct fault *from)
{
	fault_release(to);
	*to = *from;
	*from = FAULT_INIT;
}

void fault_release(struct fault *f)
{
	if (!f)
		return;
	free(f->id);
	free(f->message);
	free(f->remedy);
	json_decref(f->details);
	*f = FAULT_INIT;
}
