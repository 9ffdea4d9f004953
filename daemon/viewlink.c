/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to a view's server. Every call has its own timer; an answer for which nobody waits
 * is dropped. What the server sends is checked: it serves an agent, and may be out of its mind.
 */
#include "viewlink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <utlist.h>

#include "cleanup.h"
#include "sys.h"
#include "viewctl.h"

enum { HELLO_TIMEOUT_MS = 10000 };

struct link_call {
	struct viewlink *link;
	uint64_t seq;
	viewlink_fn fn;
	void *user;
	sd_event_source *timer;
	struct link_call *prev, *next;
};

struct viewlink {
	sd_event *event;
	sd_event_source *io;
	int fd;
	uint32_t pid;
	uint64_t seq;
	char view_id[33];
	viewlink_fn hello;
	void (*lost)(void *user);
	void *user;
	struct link_call *calls;
};

static void call_end(struct link_call *c, int r, const struct record *rec)
{
	struct viewlink *l = c->link;
	viewlink_fn fn = c->fn;
	void *user = c->user;
	char text[512] = "";

	if (rec && RECORD_HAS(rec, F_VALUE) && r < 0)
		(void)snprintf(text, sizeof(text), "%.*s", (int)rec->value.n, rec->value.p);
	DL_DELETE(l->calls, c);
	(void)sd_event_source_disable_unref(c->timer);
	free(c);
	fn(r, rec, text, user);
}

static int on_timeout(sd_event_source *s, uint64_t usec, void *user)
{
	call_end(user, -ETIMEDOUT, NULL);
	return 0;
}

static int bin_to_hex(const char *p, size_t n, char out[33])
{
	if (n != 16)
		return -EBADMSG;
	for (size_t i = 0; i < n; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", (unsigned char)p[i]);
	return 0;
}

/* Does the greeting name our view? Its id comes as 16 bytes or as 32 hex digits. */
static int check_hello(const struct viewlink *l, const struct record *rec)
{
	char hex[33];

	if (!RECORD_HAS(rec, F_VALUE))
		return -EBADMSG;
	if (rec->count != VIEWCTL_VERSION)
		return -EPROTONOSUPPORT;
	if (rec->value.n == 32)
		return strncmp(rec->value.p, l->view_id, 32) == 0 ? 0 : -ENOTUNIQ;
	if (bin_to_hex(rec->value.p, rec->value.n, hex) < 0)
		return -EBADMSG;
	return strcmp(hex, l->view_id) == 0 ? 0 : -ENOTUNIQ;
}

static void on_hello(int r, const struct record *rec, const char *text, void *user)
{
	struct viewlink *l = user;

	if (r >= 0)
		r = check_hello(l, rec);
	l->hello(r, rec, text, l->user);
}

/* The connection has ended: everything under way fails, then its owner hears of it. */
static void link_lost(struct viewlink *l)
{
	bool greeted = true;
	struct link_call *c, *tmp;
	void (*lost)(void *user) = l->lost;
	void *user = l->user;

	l->io = sd_event_source_disable_unref(l->io);
	DL_FOREACH (l->calls, c)
		if (c->fn == on_hello)
			greeted = false;
	if (!greeted) {
		/* hello's failure is the news; it closes the link */
		DL_FOREACH_SAFE (l->calls, c, tmp)
			if (c->fn == on_hello) {
				call_end(c, -ECONNRESET, NULL);
				return;
			}
	}
	lost(user);
}

static void take_answer(struct viewlink *l, const struct record *rec)
{
	struct link_call *c;

	DL_FOREACH (l->calls, c)
		if (c->seq == rec->seq) {
			int r = RECORD_HAS(rec, F_RESULT) ? rec->result : 0;

			call_end(c, r, rec); /* may have closed the link */
			return;
		}
}

static int on_io(sd_event_source *s, int fd, uint32_t events, void *user)
{
	struct viewlink *l = user;
	_cleanup_buf_ struct buf b = BUF_INIT;
	int fds[VIEWCTL_FDS_MAX];
	struct record rec;
	size_t nfds = 0;
	int r = viewctl_recv(l->fd, &b, &rec, fds, &nfds);

	if (r == -EAGAIN || r == -EINTR)
		return 0;
	if (r < 0) {
		link_lost(l);
		return 0;
	}
	for (size_t i = 0; i < nfds; i++)
		(void)safe_close(fds[i]); /* nothing that we ask for answers with one */
	take_answer(l, &rec);
	return 0;
}

static int send_hello(struct viewlink *l)
{
	struct record msg = {.type = VIEWCTL_HELLO};
	char id[16];

	for (size_t i = 0; i < sizeof(id); i++) {
		unsigned byte;

		if (sscanf(l->view_id + 2 * i, "%2x", &byte) != 1)
			return -EINVAL;
		id[i] = (char)byte;
	}
	RECORD_SET(&msg, count, F_COUNT, VIEWCTL_VERSION);
	RECORD_SET(&msg, value, F_VALUE, ((struct bytes){id, sizeof(id)}));
	return viewlink_call(l, &msg, HELLO_TIMEOUT_MS, on_hello, l);
}

int viewlink_open(sd_event *event, const char *path, const char *view_id, viewlink_fn hello,
		  void (*lost)(void *user), void *user, struct viewlink **ret)
{
	struct viewlink *l = sys_calloc(1, sizeof(*l));
	uint32_t uid;
	int r;

	if (!l)
		return -ENOMEM;
	l->event = sd_event_ref(event);
	(void)snprintf(l->view_id, sizeof(l->view_id), "%s", view_id);
	l->hello = hello;
	l->lost = lost;
	l->user = user;
	r = l->fd = viewctl_connect(path);
	if (r >= 0)
		r = fcntl(l->fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
	if (r >= 0)
		r = viewctl_peer(l->fd, &uid, &l->pid);
	if (r >= 0)
		r = sd_event_add_io(event, &l->io, l->fd, EPOLLIN, on_io, l);
	if (r >= 0)
		r = send_hello(l);
	if (r < 0) {
		viewlink_close(l);
		return r;
	}
	*ret = l;
	return 0;
}

int viewlink_call(struct viewlink *l, struct record *msg, unsigned timeout_ms, viewlink_fn fn,
		  void *user)
{
	struct link_call *c = sys_calloc(1, sizeof(*c));
	int r = c ? 0 : -ENOMEM;

	if (r == 0)
		r = sd_event_add_time_relative(l->event, &c->timer, CLOCK_MONOTONIC,
					       (uint64_t)timeout_ms * 1000, 10000, on_timeout, c);
	msg->seq = ++l->seq;
	if (r >= 0)
		r = viewctl_send(l->fd, msg, NULL, 0);
	if (r < 0) {
		if (c)
			(void)sd_event_source_disable_unref(c->timer);
		free(c);
		return r == -EPIPE ? -ECONNRESET : r;
	}
	c->link = l;
	c->seq = msg->seq;
	c->fn = fn;
	c->user = user;
	DL_APPEND(l->calls, c);
	return 0;
}

uint32_t viewlink_pid(const struct viewlink *l)
{
	return l->pid;
}

void viewlink_close(struct viewlink *l)
{
	if (!l)
		return;
	while (l->calls) {
		if (l->calls->fn == on_hello) {
			struct link_call *c = l->calls;

			DL_DELETE(l->calls, c);
			(void)sd_event_source_disable_unref(c->timer);
			free(c);
		} else {
			call_end(l->calls, -ECONNRESET, NULL);
		}
	}
	(void)sd_event_source_disable_unref(l->io);
	(void)safe_close(l->fd);
	sd_event_unref(l->event);
	free(l);
}
