/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "err.h"
#include "reply.h"

/*
 * Runs of agentfs-worker (worker.h), asynchronously: some at a time, the rest in line. A run that
 * crashes answers Internal and costs only itself.
 */
struct tasks;
struct task;

/* program and lock_path are borrowed. Every worker holds a shared flock on lock_path, so that the
 * next daemon can wait for those of a killed one (tasks_wait_orphans()). Errors: -ENOMEM. */
int tasks_new(sd_event *event, const char *program, const char *lock_path, unsigned parallel,
	      struct tasks **ret);
void tasks_free(struct tasks *t); /* running ones lose their pipes, no callback is called */

/* Waits until no worker of an earlier daemon runs. Errors: -ETIMEDOUT, -errno. */
int tasks_wait_orphans(const char *lock_path, int timeout_ms, struct err *reterr);

/* How many run or wait. */
unsigned tasks_count(const struct tasks *t);

struct task_callbacks {
	/* Exactly once unless cancelled: `ok` (borrowed) or, where it is NULL, the fault (borrowed,
	 * may be moved from). The task is gone when it returns. */
	void (*done)(json_t *ok, struct fault *fault, void *user);
	/* A batch of records (borrowed array); or NULL. */
	void (*records)(json_t *records, void *user);
	/* Progress; or NULL. */
	void (*progress)(const char *text, int64_t n, int64_t total, void *user);
};

enum task_flags {
	TASK_FOLLOW = 1 << 0, /* goes on until cancelled: its input stays open, and it counts not
				 among those that run in parallel */
};

/* Starts (or puts in line) a request, which is consumed in any case. *ret (may be NULL) is valid
 * until done was called. Errors: -ENOMEM; done is not called. */
int task_start(struct tasks *t, json_t *request, const struct task_callbacks *cb, void *user,
	       unsigned flags, struct task **ret);

/* Stops reading what it writes, and goes on: for a peer that reads slowly. */
void task_pause(struct task *t, bool paused);

/* Ends the input of one that goes on until cancelled: it ends as it does when the daemon ends, and done is called. */
void task_hang_up(struct task *t);

/* No callback any more; a running worker is left to end for itself but hears the end of its input,
 * and finds nobody reading. */
void task_cancel(struct task *t);
