/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "reply.h"
#include "varlink.h"

/*
 * The control socket: connections, their limits, who is at the other end, calls and replies. What
 * the methods do is methods.c's.
 */
struct server;
struct conn;

/*
 * A call under way. It belongs to its handler until one of call_reply(), call_fault() is called,
 * which end it; a peer that goes away meanwhile changes nothing but that nobody hears the answer.
 */
struct call {
	struct conn *conn; /* NULL: the peer is gone */
	json_t *msg;
	struct varlink_call in; /* borrows from msg */
	uid_t uid;
	gid_t gid;
	pid_t pid;
	void (*gone)(struct call *c, void *user); /* set by streams: the peer went away */
	void (*drained)(struct call *c,
			void *user); /* set by streams: what was queued is written */
	void *user;
	void (*ended)(struct call *c, const struct fault *f,
		      void *user); /* set by the dispatcher */
	void *ended_user;
};

struct server_options {
	sd_event *event;
	uid_t uid; /* the daemon's; 0 serves every user */
	/* A message came in; the callee owns the call. */
	void (*dispatch)(struct call *c, void *user);
	void *user;
};

int server_new(const struct server_options *opt, struct server **ret);

/* Takes over a listening socket (of systemd) / makes one at path: 0600, or 0660 and group agentfs for
 * root. A dead socket file is replaced. Errors: -EADDRINUSE somebody answers there, -errno. */
int server_adopt(struct server *s, int fd, struct err *reterr);
int server_listen(struct server *s, const char *path, struct err *reterr);

/* No new connections. */
void server_close_listeners(struct server *s);
void server_free(struct server *s);

/* Ends the call with a reply; parameters (consumed) may be NULL. */
void call_reply(struct call *c, json_t *parameters);

/* One of several replies; the call goes on. */
void call_reply_more(struct call *c, json_t *parameters);

/* Ends the call with an error; the fault is emptied. */
void call_fault(struct call *c, struct fault *f);

/* Ends it with an error of org.varlink.service: "MethodNotFound", its one parameter and value. */
void call_service_error(struct call *c, const char *id, const char *key, const char *value);

/* Bytes that wait for a slow peer. */
size_t call_pending(const struct call *c);
