/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "viewconf.h"

struct worker;

/* What ops on a view share: its view.conf, the connection to its server, a snapshot. All of these
 * are opened with privileges (struct worker_op, prepare) and used without. */

/* Reads view.conf into w->conf; where the request says that the view's git is a worktree, opens its
 * administrative folder, if it is there. */
int view_open_conf(struct worker *w, struct err *reterr);

/* Connects (request member sock) and snapshots what the view is now; with the server away, what its
 * files hold. `need_server`: away is an error (Stale). `lock`: first takes the lock of the view's
 * index, waiting up to 5 s for whoever holds it (Locked). */
int view_open_snapshot(struct worker *w, bool need_server, bool lock, struct err *reterr);

/* Replaces a file of the view by the bytes of fd. A path below .git is one of the view's git, wherever
 * that is; refs of a worktree are the repository's own, which have been moved already: nothing to do. */
int view_put(struct worker *w, const char *path, uint32_t mode, int fd, struct err *reterr);
int view_put_text(struct worker *w, const char *path, const char *text, struct err *reterr);

/* Has the view journal a refusal of ours as a denial: op (enum record_op) on path, by which rule, and
 * what was judged. Failing to is no failure: the caller's error stands. */
void view_tell_refusal(struct worker *w, uint32_t op, const char *path, const char *rule,
		       const char *outcome);

/* Frees lock and snapshot; the `finish` of each op that opened one. */
void view_finish(struct worker *w);

/* prepare functions: the snapshot alone (diff, log, preserve, status …), and with lock and server.
 */
int view_prepare_conf(struct worker *w, struct err *reterr);
int view_prepare_read(struct worker *w, struct err *reterr);
int view_prepare_lock(struct worker *w, struct err *reterr);

/* The view id as 32 hex digits, into room[33]. */
void view_id_hex(const struct worker *w, char *room);

/* Has the view's base this path, as a file, symlink or folder? */
bool view_base_has(const struct worker *w, const char *path);

/* Has the server move the view to another base (VIEWCTL_SYNC). *ret_kept: contents of older bases that the
 * view still uses. Errors: -EAGAIN the view has changed since seq, as view_move_base(). */
struct view_move_request {
	const char *image, *commit;
	int64_t time;
	uint64_t seq, actions; /* bytes of actions at the begin of fd */
	int fd;
};
int view_move(struct worker *w, const struct view_move_request *m, uint64_t *ret_kept,
	      struct err *reterr);
