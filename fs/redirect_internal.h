/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>
#include <time.h>

#include "buf.h"
#include "redirect.h"

/* What redirect.c (lookups, the list) and redirect_work.c (the thread) share; nobody else includes this. */

enum redirect_state { WANTED, MOUNTED, FAILED, LEAVING, LEFT };

/* A lookup that is kept waiting. */
struct redirect_held {
	struct redirect_held *next;
	fuse_req_t req;
	uint32_t pid;
	struct node_attr attr;
};

struct redirected {
	struct redirected *next;
	uint64_t node;
	enum redirect_state state;
	bool queued;   /* the thread has something to do for it */
	bool fresh;    /* never mounted: it holds nothing */
	time_t failed; /* monotonic s */
	struct redirect_held *held;
};

struct redirects {
	struct fs *fs;
	pthread_t thread;
	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t work, done;
	struct redirected *list;
	pid_t helper;		   /* at work now, or 0: it gets past all of them */
	void (*ready)(void *user); /* NULL: told */
	void *ready_user;
	int mounts_fd;	   /* /proc/self/mountinfo, whose poll() tells of changes */
	struct buf mounts; /* it, as of the last change */
	long tick_ns;	   /* of the kernel's clock for such times */
	bool stop, off_asked, measure_asked, told;
	int off_result;
	time_t measured;
};

/* Monotonic seconds. */
time_t redirect_now(void);

/* --- lock held --- */
struct redirected *redirect_find(struct redirects *rs, uint64_t node);
void redirect_forget(struct redirects *rs, uint64_t node);

/* It gets this state, and the thread something to do. */
void redirect_want(struct redirects *rs, struct redirected *e, enum redirect_state state);

/* Takes the kept lookups out: all, or those of one process. */
struct redirect_held *redirect_take_held(struct redirected *e, uint32_t pid);

/* --- without it --- */

/* Answers and frees them: r as the error, or 0. */
void redirect_answer(struct fs *fs, struct redirect_held *h, int r);

/* Is it mounted, by the kernel's list? True where that cannot be read. */
bool redirect_is_listed(struct redirects *rs, uint64_t node);

/* The thread. */
void *redirect_thread(void *rs);
