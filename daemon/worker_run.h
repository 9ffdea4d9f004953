/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "repo.h"
#include "viewconf.h"

/*
 * One run of agentfs-worker: the request, what was opened for it, and how it answers (worker.h is
 * the contract). An op is one line in the table of worker_main.c and a function in a file of its
 * own.
 */

enum worker_needs {
	WORKER_REPO = 1 << 0, /* run() is called as the repository's owner, w->repo.git is open */
	WORKER_VIEW = 1 << 1, /* w->view_dir is open */
};

struct snapshot;
struct create;
struct radar;

struct worker {
	json_t *req;	   /* the request, an object */
	const char *state; /* STATE, absolute; borrowed from req */
	int state_fd;	   /* its folder */
	int view_dir;	   /* WORKER_VIEW: STATE/views/<agent>; else -1 */
	uid_t peer_uid;
	gid_t peer_gid;
	struct repo repo;     /* WORKER_REPO */
	struct viewconf conf; /* worker_view.h */
	int viewctl;	      /* connection to the view's server, -1: it is away (worker_view.h) */
	uint64_t viewctl_seq;
	bool worktree;		   /* the view's git is a worktree of the repository (gitdir.h) */
	int gitdir;		   /* then its administrative folder; -1: private, or it is gone */
	bool locked;		   /* we hold the view's .git/index.lock */
	int64_t snapshot_s;	   /* when it was taken, seconds */
	uint64_t snapshot_seq;	   /* the journal's last record in it; 0: the server is away */
	struct snapshot *snapshot; /* worker_view.h; NULL unless the op opened it */
	struct create *create;	   /* op create: what was opened with privileges */
	int log;		   /* op verify: where the command's output goes; -1 */
	struct radar *radar;	   /* op radar: the same */
	char *remedy;		   /* worker_remedy() */
	json_t *details;	   /* worker_detail() */
};

struct worker_op {
	const char *name;
	unsigned needs; /* enum worker_needs */
	/* Opens what only the daemon's uid may (STATE, sockets), before privileges are given up; or
	 * NULL. w->repo.common and owner are known, nothing of the repository is open yet. */
	int (*prepare)(struct worker *w, struct err *reterr);
	/* Does it; puts the answer's members into `ret`, which becomes the object of "ok". A
	 * negative result answers with reterr: its id, or one that follows from the code
	 * (worker_error_id()). */
	int (*run)(struct worker *w, json_t *ret, struct err *reterr);
	/* Called in every case once prepare was, also after errors; or NULL. */
	void (*finish)(struct worker *w);
};

/* Members of the request. worker_str(): NULL where absent, null or no string; borrowed.
 * worker_need_str(): that is an error (Invalid). */
const char *worker_str(const struct worker *w, const char *key);
int worker_need_str(const struct worker *w, const char *key, const char **ret, struct err *reterr);
bool worker_bool(const struct worker *w, const char *key);
int64_t worker_int(const struct worker *w, const char *key, int64_t otherwise);

/* Lines of output other than the last. */
void worker_progress(const char *text, uint64_t done, uint64_t total);
void worker_record(json_t *record); /* consumes it; flushed */

/* What to do about the error that is about to be returned, and members of its `details` (consumes
 * value). The last remedy wins. */
void worker_remedy(struct worker *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void worker_detail(struct worker *w, const char *key, json_t *value);

/* Appends a sentence to the array `notes` of the answer, making it. */
void worker_note(json_t *ret, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Bytes → JSON string; bytes that are no UTF-8 come as U+FFFD. For paths and messages. */
json_t *worker_text(const char *p, size_t n);

/* {"error": {…}} as a worker answers it; remedy and details so far go with it. */
json_t *worker_error(struct worker *w, int r, struct err *e);

/* The interface's name of an error: err's own, or what its code means. */
const char *worker_error_id(const struct err *e);

/* Gives up everything but uid and gid, and says no to new privileges; a process that is not root
 * only does the latter. Errors: -EPERM. */
int worker_drop(uid_t uid, gid_t gid, struct err *reterr);

/* Reads a request from `in`, does it, answers on `out`. Returns the program's exit status. */
int worker_run(const struct worker_op *ops, size_t nops, int in, int out);
