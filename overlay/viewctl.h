/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "record.h"

/*
 * Messages between a view's server (agentfs) and agentfsd or its worker, over RUN/views/<agent>.sock:
 * SOCK_SEQPACKET, one message a packet, encoded as a record with chain 0 whose `seq` is the
 * caller's request number (an answer repeats it) and whose `type` is one of these. Descriptors
 * travel as SCM_RIGHTS. An answer has F_RESULT; with a negative one `value` may hold a sentence.
 * The server takes several connections at once and admits only its own uid and root.
 */
enum viewctl_type {
	VIEWCTL_HELLO =
		RECORD_VIEWCTL, /* first on each side: count = VIEWCTL_VERSION, value = view id;
					   the server's also has pid, path = mount point, connection */
	VIEWCTL_STATUS, /* → value = JSON-free "key value\n" lines: seq, durable, changed, deleted, bytes,
			       denied, last-write (ns), last-denied, nodes, journal-bytes, started,
			       quota-bytes and quota-nodes (limits, 0: none), quota-refused … */
	VIEWCTL_SNAPSHOT, /* mapped dirty pages are written out, data and journal synced → offset = seq */
	VIEWCTL_LOCK, /* path: create this file exclusively, as git takes index.lock → 0, -EEXIST */
	VIEWCTL_PUT,	/* path, mode, one descriptor: the file's whole new content, replacing it
			       atomically as rename would; missing folders are made → 0, node, mtime */
	VIEWCTL_UNLINK, /* path → 0, -ENOENT */
	VIEWCTL_POLICY, /* value = policy text: in force from now on, journaled */
	VIEWCTL_STOP, /* unmount and exit once idle; mask = 1: even when files are in use → 0, -EBUSY */
	VIEWCTL_DENIED, /* → value = text as in .agentfs/control/denied */
	VIEWCTL_REFUSED, /* path, op, rule_text, outcome: a commit of the agent's was refused for this path;
			       journaled as a denial */
	VIEWCTL_REBASE_BRANCH, /* name = new branch, value = task: what status.json, role files show */
	VIEWCTL_SYNC, /* name = image, name2 = base commit, mtime = time that what it brings shows, offset =
			     seq of the snapshot that it was prepared on, length = bytes of actions
			     (tree_sync.h), one descriptor: the actions, and at the offsets that they
			     name the bytes of SYNC_PUTs → 0, count = contents of older bases still in
			     use; -EAGAIN the view has changed since */
	VIEWCTL_FREEZE, /* mask = 1: nothing but the server itself changes the view; 0: not any more */
};

enum { VIEWCTL_VERSION = 1, VIEWCTL_MSG_MAX = 128 * 1024, VIEWCTL_FDS_MAX = 4 };

/* Connects to the socket file; its path may be of any length. Returns a descriptor. Errors: -ENOENT, -ECONNREFUSED, -errno. */
int viewctl_connect(const char *path);

/* Binds and listens (replacing a dead socket file), for its own uid alone. Returns a non-blocking
 * descriptor. Errors: -EADDRINUSE somebody serves it, -EEXIST no socket but another file, -errno. */
int viewctl_listen(const char *path);

/* Sends one message with up to VIEWCTL_FDS_MAX borrowed descriptors. Errors: -EAGAIN,
 * -EPIPE, -EMSGSIZE, … */
int viewctl_send(int fd, const struct record *msg, const int *fds, size_t nfds);

/* Receives one message into *ret, which borrows from `b` (cleared first); received descriptors go
 * to fds[VIEWCTL_FDS_MAX] (caller closes), *ret_nfds their number. Errors: -EAGAIN, -ECONNRESET at
 * the end, -EBADMSG. */
int viewctl_recv(int fd, struct buf *b, struct record *ret, int *fds, size_t *ret_nfds);

/* Who is at the other end, for admission. Errors: -errno. */
int viewctl_peer(int fd, uint32_t *ret_uid, uint32_t *ret_pid);

/* A blocking call for workers and tests: sends, waits at most timeout_ms for the answer with the
 * same seq. `b` holds what *ret borrows. Returns the answer's result (0 or more, or its -errno, with
 * the sentence in reterr). Errors: -ETIMEDOUT, -ECONNRESET, … */
int viewctl_call(int fd, const struct record *msg, int send_fd, int timeout_ms, struct buf *b,
		 struct record *ret, struct err *reterr);
