/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

/*
 * Varlink: one JSON object a message, each ended by a NUL byte, on a stream socket. A call is
 * {"method", "parameters", "more", "oneway", "upgrade"}, a reply {"parameters", "error",
 * "continues"}. The first half of this header is pure (bytes in, bytes out); the second is a
 * blocking client for the command line and tests.
 */

enum {
	VARLINK_CALL_MAX = 1 << 20,    /* what the daemon takes from a peer */
	VARLINK_REPLY_MAX = 256 << 20, /* what a client takes from the daemon */
	VARLINK_DEPTH_MAX = 64,	       /* arrays and objects within each other */
};

#define VARLINK_INTERFACE "org.agentfs"
#define VARLINK_SERVICE	  "org.varlink.service"

/* The text of agentfs.varlink and of org.varlink.service, for GetInterfaceDescription. */
extern const char varlink_agentfs_text[];
extern const char varlink_service_text[];

/* Takes bytes as they come and gives messages. Zero-initialised but for `max`. */
struct varlink_reader {
	struct buf buf;
	size_t start;	/* where the next message begins */
	size_t scanned; /* no NUL before here */
	size_t max;	/* bytes of one message */
};

/* Appends n received bytes. Errors: -EMSGSIZE a message longer than max (the connection is lost:
 * close it), -ENOMEM. */
int varlink_reader_feed(struct varlink_reader *r, const void *p, size_t n);

/* 1: *ret is the next message (caller json_decref()s), 0: not complete yet. Errors: -EBADMSG no
 * JSON object, too deep, or keys twice (it has been skipped), -ENOMEM. */
int varlink_reader_next(struct varlink_reader *r, json_t **ret);
void varlink_reader_release(struct varlink_reader *r);

struct varlink_call {
	const char *method; /* "org.agentfs.List"; borrowed from the message */
	json_t *parameters; /* an object, never NULL; borrowed */
	bool more, oneway, upgrade;
};

/* Reads a message as a call; `msg` must outlive *ret. Errors: -EBADMSG fields missing or of the
 * wrong type. */
int varlink_call_parse(json_t *msg, struct varlink_call *ret);

struct varlink_reply {
	const char *error;  /* NULL or "org.agentfs.NotFound"; borrowed */
	json_t *parameters; /* an object, never NULL; borrowed */
	bool continues;
};

/* Reads a message as a reply. Errors: -EBADMSG. */
int varlink_reply_parse(json_t *msg, struct varlink_reply *ret);

/* Appends the bytes of a message, the NUL included. Text that is no UTF-8 must have been escaped
 * before. Errors: -ENOMEM, -EINVAL it is no object; `b` unchanged. */
int varlink_encode(const json_t *msg, struct buf *b);

enum varlink_call_flags {
	VARLINK_MORE = 1 << 0,
	VARLINK_ONEWAY = 1 << 1,
};

/* Messages to be encoded. `parameters` may be NULL (empty) and is consumed, also on failure.
 * NULL: no memory. */
json_t *varlink_call_new(const char *method, json_t *parameters, unsigned flags);
json_t *varlink_reply_new(json_t *parameters, bool continues);

/* An error reply of org.agentfs: id without the interface ("NotFound"), or a full name when it
 * has a dot. remedy and details (consumed) may be NULL. */
json_t *varlink_error_new(const char *id, const char *message, const char *remedy, json_t *details);

/* Appends text as JSON and people can read it: bytes that are no UTF-8, control characters and the
 * backslash become \xNN. Errors: -ENOMEM. */
int varlink_escape(const void *p, size_t n, struct buf *b);

/* ---- client ---- */

struct varlink; /* a connection; calls one after the other */

/* What went wrong: with an id the daemon said it, without one it could not be asked. */
struct varlink_error {
	char *id;	 /* "org.agentfs.NotFound", or NULL */
	char *message;	 /* one sentence */
	char *remedy;	 /* or NULL */
	json_t *details; /* or NULL */
};
#define VARLINK_ERROR_INIT ((struct varlink_error){0})
void varlink_error_release(struct varlink_error *e);

/* Connects to a unix socket. Errors: -ENOENT, -ECONNREFUSED (nobody listens: the daemon is not
 * running), -EACCES, -ENAMETOOLONG, …, with a sentence in reterr (may be NULL). */
int varlink_connect(const char *path, struct varlink **ret, struct varlink_error *reterr);
void varlink_close(struct varlink *v);

/* The descriptor, to be polled. Borrowed. */
int varlink_fd(const struct varlink *v);

/*
 * Calls method ("List" means org.agentfs.List) and waits for its reply; timeout_ms < 0: for ever.
 * parameters (may be NULL) are consumed in any case. On success *ret (may be NULL) is the reply's
 * parameters, caller json_decref()s.
 * Errors: -EREMOTEIO the daemon answered with an error, which reterr (may be NULL) holds;
 * -ECONNRESET, -ETIMEDOUT, -EBADMSG, -errno it could not be asked: the connection is of no more use.
 */
int varlink_call(struct varlink *v, const char *method, json_t *parameters, int timeout_ms,
		 json_t **ret, struct varlink_error *reterr);

/* The same with `more`: fn is called for each reply, the last with continues = false. `parameters`
 * is borrowed. A non-zero return of fn ends it (close the connection then) and is returned. */
typedef int (*varlink_reply_fn)(json_t *parameters, bool continues, void *user);
int varlink_call_more(struct varlink *v, const char *method, json_t *parameters,
		      varlink_reply_fn fn, void *user, struct varlink_error *reterr);
