/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>
#include <systemd/sd-event.h>

#include "record.h"

/*
 * The daemon's connection to one view's server (viewctl.h), on the event loop: calls that answer
 * later, and the news of its end.
 */
struct viewlink;

/* r < 0: it failed (the answer's result, -ETIMEDOUT, -ECONNRESET); text is a sentence or "". The
 * record is borrowed, NULL where there was no answer. */
typedef void (*viewlink_fn)(int r, const struct record *rec, const char *text, void *user);

/* Connects and greets; hello is called once with the answer (refused: -ENOTUNIQ where it serves
 * another view than view_id), lost once when the connection ends after that. Neither is called from
 * within this function. Errors: -ENOENT, -ECONNREFUSED, -errno. */
int viewlink_open(sd_event *event, const char *path, const char *view_id, viewlink_fn hello,
		  void (*lost)(void *user), void *user, struct viewlink **ret);

/* Sends a message of that type (fields as set in `msg`, seq is given) and calls fn once, never from
 * within. Errors: -ENOMEM, -ECONNRESET: fn is not called. */
int viewlink_call(struct viewlink *l, struct record *msg, unsigned timeout_ms, viewlink_fn fn,
		  void *user);

/* The server's process as the kernel knows it; 0 unknown. */
uint32_t viewlink_pid(const struct viewlink *l);

/* Ends it: calls under way get -ECONNRESET, neither hello nor lost is called. Takes NULL. */
void viewlink_close(struct viewlink *l);
