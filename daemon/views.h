/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>
#include <uthash.h>

#include "buf.h"
#include "reply.h"
#include "state.h"
#include "viewlink.h"

/*
 * The supervisor: one server process (`agentfs`) for each open view, kept running, adopted when it
 * outlived an earlier daemon. States and arrows are drawn at the head of views.c.
 */

enum view_phase {
	PHASE_IDLE,
	PHASE_STARTING,
	PHASE_GREETING,
	PHASE_LIVE,
	PHASE_STALE,
	PHASE_STOPPING,
	PHASE_ENDING,
	PHASE_MAX
};

/* What a view's server last said of itself. */
struct view_stats {
	uint64_t seq, changed, bytes, denied, last_write; /* last_write in ns, 0 = never */
	uint64_t nodes, quota_bytes, quota_nodes;	  /* limits; 0: none */
};

struct views;
struct view;

/* r == 0, or -errno with a sentence in why. */
typedef void (*view_fn)(struct view *v, int r, const char *why, void *user);

struct view {
	struct views *views;
	struct view_row row;
	enum view_phase phase;
	struct view_stats stats;
	struct {
		int64_t ahead, behind;
		uint64_t at; /* monotonic ns; 0: not known */
	} distance;
	unsigned overlaps; /* with other views, worth telling: the radar's */
	json_t *redirects; /* as in the type View; NULL: none known */
	char why[512];	   /* why it is stale */
	/* the rest is views.c's */
	pid_t pid; /* our child, or 0 */
	sd_event_source *child, *ready, *timer;
	struct buf ready_text;
	struct viewlink *link;
	unsigned failures;
	view_fn started, stopped;
	void *started_user, *stopped_user;
	unsigned stop_tries;
	bool stop_asked, stop_force, policy_untold;
	UT_hash_handle hh;
};

struct views_options {
	sd_event *event; /* the rest is borrowed */
	struct state *db;
	const char *state_dir, *run_dir;			       /* absolute */
	const char *program;					       /* agentfs */
	bool system;						       /* root's daemon */
	void (*changed)(struct view *v, const char *what, void *user); /* "live", "stale", … */
	void (*gone)(const char *agent, void *user);		       /* it was dropped */
	void *user;
};

int views_new(const struct views_options *opt, struct views **ret);

/* Forgets them; their servers go on. */
void views_free(struct views *vs);

struct view *views_get(struct views *vs, const char *agent);
struct view *views_next(struct views *vs, struct view *v); /* NULL: the first; NULL at the end */
unsigned views_count(const struct views *vs);

/* Takes up a view: in memory alone (adopt = a row that is in the database) or there too. The row is
 * copied. Errors: -EEXIST the agent has one, -errno with reterr set. */
int views_add(struct views *vs, const struct view_row *row, bool adopt, struct view **ret,
	      struct err *reterr);

/* Writes its row to the database. Errors: -errno. */
int view_save(struct view *v, struct err *reterr);

/* Forgets a view that is idle, and tells so; the database is the caller's. */
void view_drop(struct view *v);

/* The daemon ends: no view is started from now on, whoever asks (-ECANCELED). */
void views_end(struct views *vs);

/* Makes it live: adopts a server that answers, or starts one. `started`, where not NULL, hears once
 * how that ended, and a failure is then final; without it the supervisor tries for ever. */
void view_start(struct view *v, view_fn started, void *user);

/* Unmounts it and ends its server: -EBUSY where it is in use and force is false, it then goes on. */
void view_stop(struct view *v, bool force, view_fn stopped, void *user);

/* Asks a live view. Errors: -ENOTCONN it is not live, -errno; fn is not called. */
int view_call(struct view *v, struct record *msg, unsigned timeout_ms, viewlink_fn fn, void *user);

/* Has its stats brought up to date; fn is called in any case, perhaps from within. */
void view_refresh(struct view *v, view_fn fn, void *user);

/* Is it to be served: live or frozen? */
static inline bool view_is_open(const struct view *v)
{
	return v->row.state == VIEW_LIVE || v->row.state == VIEW_FROZEN;
}

/* "creating", "live", "stale", … as the interface says. */
const char *view_status(const struct view *v);

/* Its folder STATE/views/<agent> and its socket; appended to a path of the caller's. */
int view_dir_path(const struct view *v, char *ret, size_t size);
int view_socket_path(const struct view *v, char *ret, size_t size);
