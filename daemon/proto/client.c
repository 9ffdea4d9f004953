/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The blocking Varlink client. A connection carries one call at a time; after any error but an
 * answered one it may be out of step with the daemon and is only good for varlink_close().
 */
#include "varlink.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "cleanup.h"
#include "sys.h"

struct varlink {
	int fd;
	char *path;
	struct varlink_reader reader;
};

DEFINE_CLEANUP(struct varlink *, varlink_close);

void varlink_error_release(struct varlink_error *e)
{
	if (!e)
		return;
	free(e->id);
	free(e->message);
	free(e->remedy);
	json_decref(e->details);
	*e = VARLINK_ERROR_INIT;
}

/* A failure on this side: a sentence, no id. */
static int fail(struct varlink_error *e, int r, const char *remedy, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int fail(struct varlink_error *e, int r, const char *remedy, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	if (!e)
		return r;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	varlink_error_release(e);
	e->message = sys_strdup(text);
	e->remedy = remedy ? sys_strdup(remedy) : NULL;
	return r;
}

static int connect_error(const char *path, int r, struct varlink_error *e)
{
	switch (-r) {
	case ENOENT:
	case ECONNREFUSED:
		return fail(e, r, "start it with: agentfsctl daemon start",
			    "no daemon listens on '%s'", path);
	case EACCES:
	case EPERM:
		return fail(e, r, "ask as its owner, or join the group agentfs",
			    "you may not use the daemon's socket '%s'", path);
	default:
		return fail(e, r, NULL, "cannot connect to '%s': %s", path, strerror(-r));
	}
}

int varlink_connect(const char *path, struct varlink **ret, struct varlink_error *reterr)
{
	_cleanup_(varlink_closep) struct varlink *v = sys_calloc(1, sizeof(*v));
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	if (!v)
		return fail(reterr, -ENOMEM, NULL, "no memory");
	v->reader.max = VARLINK_REPLY_MAX;
	v->fd = -1;
	if (strlen(path) >= sizeof(sa.sun_path))
		return fail(reterr, -ENAMETOOLONG, "choose a shorter --socket or --run",
			    "the socket path '%s' is longer than %zu bytes", path,
			    sizeof(sa.sun_path) - 1);
	memcpy(sa.sun_path, path, strlen(path));
	v->path = sys_strdup(path);
	v->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (v->fd < 0)
		return connect_error(path, -errno, reterr);
	while (connect(v->fd, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		if (errno != EINTR)
			return connect_error(path, -errno, reterr);
	*ret = TAKE_PTR(v);
	return 0;
}

void varlink_close(struct varlink *v)
{
	if (!v)
		return;
	(void)safe_close(v->fd);
	varlink_reader_release(&v->reader);
	free(v->path);
	free(v);
}

int varlink_fd(const struct varlink *v)
{
	return v->fd;
}

static int send_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Waits for bytes until `deadline` (< 0: for ever) and feeds them. Errors: -ETIMEDOUT, -ECONNRESET
 * at the end, -errno. */
static int receive_some(struct varlink *v, int64_t deadline)
{
	struct pollfd p = {.fd = v->fd, .events = POLLIN};
	char chunk[65536];
	ssize_t n;

	for (;;) {
		int64_t left = deadline < 0 ? -1 : deadline - now_ms();
		int k = poll(&p, 1, deadline < 0 ? -1 : left < 0 ? 0 : (int)left);

		if (k > 0)
			break;
		if (k == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
	n = recv(v->fd, chunk, sizeof(chunk), 0);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	return varlink_reader_feed(&v->reader, chunk, (size_t)n);
}

static int receive(struct varlink *v, int64_t deadline, json_t **ret, struct varlink_error *e)
{
	int r;

	while ((r = varlink_reader_next(&v->reader, ret)) == 0) {
		r = receive_some(v, deadline);
		if (r < 0)
			break;
	}
	if (r > 0)
		return 0;
	if (r == -ETIMEDOUT)
		return fail(e, r, NULL, "the daemon on '%s' did not answer in time", v->path);
	if (r == -ECONNRESET)
		return fail(e, r, "its log may say why: agentfsctl daemon status",
			    "the daemon on '%s' closed the connection", v->path);
	if (r == -EBADMSG || r == -EMSGSIZE)
		return fail(e, r, NULL, "what answers on '%s' does not speak Varlink", v->path);
	return fail(e, r, NULL, "cannot read from '%s': %s", v->path, strerror(-r));
}

static char *dup_field(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? sys_strdup(s) : NULL;
}

/* Keeps a daemon's error. org.varlink.service's errors have no message: one is made. */
static int remote_error(const struct varlink_reply *rep, struct varlink_error *e)
{
	char text[512];
	const char *what;

	if (!e)
		return -EREMOTEIO;
	varlink_error_release(e);
	e->id = sys_strdup(rep->error);
	e->message = dup_field(rep->parameters, "message");
	e->remedy = dup_field(rep->parameters, "remedy");
	e->details = json_incref(json_object_get(rep->parameters, "details"));
	if (e->message)
		return -EREMOTEIO;
	what = json_string_value(json_object_get(rep->parameters, "method"));
	if (!what)
		what = json_string_value(json_object_get(rep->parameters, "parameter"));
	(void)snprintf(text, sizeof(text), "the daemon answered %s%s%s", rep->error,
		       what ? ": " : "", what ? what : "");
	e->message = sys_strdup(text);
	return -EREMOTEIO;
}

/* Sends the call; consumes parameters. */
static int start_call(struct varlink *v, const char *method, json_t *parameters, unsigned flags,
		      struct varlink_error *e)
{
	_cleanup_(json_decrefp) json_t *msg = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT;
	char name[160];
	int r;

	(void)snprintf(name, sizeof(name), "%s%s", strchr(method, '.') ? "" : VARLINK_INTERFACE ".",
		       method);
	msg = varlink_call_new(name, parameters, flags);
	if (!msg || varlink_encode(msg, &out) < 0)
		return fail(e, -ENOMEM, NULL, "no memory for the call of %s", method);
	if (out.len > VARLINK_CALL_MAX)
		return fail(e, -EMSGSIZE, "give fewer or shorter arguments",
			    "the call of %s has %zu bytes, more than the daemon takes", method,
			    out.len);
	r = send_all(v->fd, out.data, out.len);
	return r < 0 ? fail(e, r, NULL, "cannot write to '%s': %s", v->path, strerror(-r)) : 0;
}

/* Receives one reply into *ret_msg (owned), from which *ret borrows. */
static int next_reply(struct varlink *v, int64_t deadline, json_t **ret_msg,
		      struct varlink_reply *ret, struct varlink_error *e)
{
	int r = receive(v, deadline, ret_msg, e);

	if (r < 0)
		return r;
	r = varlink_reply_parse(*ret_msg, ret);
	if (r < 0)
		return fail(e, r, NULL, "what answers on '%s' does not speak Varlink", v->path);
	return ret->error ? remote_error(ret, e) : 0;
}

int varlink_call(struct varlink *v, const char *method, json_t *parameters, int timeout_ms,
		 json_t **ret, struct varlink_error *reterr)
{
	_cleanup_(json_decrefp) json_t *msg = NULL;
	struct varlink_reply rep;
	int r = start_call(v, method, parameters, 0, reterr);

	if (r < 0)
		return r;
	r = next_reply(v, timeout_ms < 0 ? -1 : now_ms() + timeout_ms, &msg, &rep, reterr);
	if (r < 0)
		return r;
	if (ret)
		*ret = json_incref(rep.parameters);
	return 0;
}

int varlink_call_more(struct varlink *v, const char *method, json_t *parameters,
		      varlink_reply_fn fn, void *user, struct varlink_error *reterr)
{
	int r = start_call(v, method, parameters, VARLINK_MORE, reterr);

	while (r == 0) {
		_cleanup_(json_decrefp) json_t *msg = NULL;
		struct varlink_reply rep;

		r = next_reply(v, -1, &msg, &rep, reterr);
		if (r < 0)
			return r;
		r = fn(rep.parameters, rep.continues, user);
		if (r == 0 && !rep.continues)
			return 0;
	}
	return r;
}
