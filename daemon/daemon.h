/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "config.h"
#include "control.h"
#include "err.h"
#include "events.h"
#include "keylock.h"
#include "paths.h"
#include "server.h"
#include "state.h"
#include "task.h"
#include "views.h"

struct op;
struct radar;

/* The daemon: its parts, each with one owner, and one thread for all of them. */
struct daemon {
	struct paths paths;
	bool system;	  /* root's */
	uint64_t started; /* ns */
	sd_event *event;
	int state_fd, lock_fd;
	struct config config;
	struct state *db;
	struct control *control;
	struct keylocks *locks;
	struct tasks *tasks;
	struct views *views;
	struct events *events;
	struct radar *radar;
	struct op *ops;	     /* under way */
	struct queue *queue; /* merger/queue_run.h */
	struct server *server;
	json_t *scratches; /* merger/verify_scratch.c's; NULL: none yet */
	char *server_program, *worker_program;
	bool ending;
};

/* Opens STATE (alone: another daemon's lock is an error), takes up the views, listens. Errors:
 * -errno, with a sentence. */
int daemon_open(struct daemon *d, const struct paths *p, sd_event *event, struct err *reterr);

/* Serves until it is ended. Returns the exit status. */
int daemon_run(struct daemon *d);

/* Ends it once nothing is under way (or after 10 s); the views go on. */
void daemon_end(struct daemon *d);

/* Reads the configuration anew and tells the open views; on error the old one stays. (reload.c) */
int daemon_reload(struct daemon *d, struct err *reterr);

/* A view came to life while its policy changed: it is told now. */
void daemon_policy_again(struct daemon *d, struct view *v);

/* A view that became live: is it on the base that its row says? Where a daemon ended in the middle of a sync
 * the row follows the view. */
void daemon_follow_base(struct daemon *d, struct view *v);
void daemon_close(struct daemon *d);

/* discard.c: removes the redirected folders of a closed view, beside the daemon; those of all where an
 * earlier daemon had not done it. */
void discard_redirects(struct daemon *d, const char *view_id);
void discard_leftovers(struct daemon *d);
