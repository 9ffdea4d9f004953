/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"

/*
 * What the daemon must know after a crash: one SQLite database, STATE/agentfs.db. This header knows
 * no SQL; schema and crash behaviour are at the head of state_sqlite.c. One thread.
 */
struct state;

enum view_state {
	VIEW_CREATING, /* on its way; undone at the next start */
	VIEW_LIVE,
	VIEW_FROZEN,
	VIEW_CLOSING, /* on its way out; finished at the next start */
	VIEW_CLOSED,  /* kept for the audit; its name is free again */
	VIEW_STATE_MAX,
};

/* "creating", "live" …; and back, -EINVAL. */
const char *view_state_name(enum view_state s);
int view_state_parse(const char *name);

/* Facts of one view. All text is owned by the row and never NULL after state_view_init(). */
struct view_row {
	char *id; /* 128 random bits in hex */
	char *agent, *task, *role, *department, *branch, *target;
	char *repository;		     /* common git folder */
	char *worktree;			     /* main worktree or "" */
	char *asked_repository, *asked_base; /* as the caller of create gave them */
	char *base, *tree;		     /* hex */
	char *image, *index;		     /* names in STATE/images */
	char *scope;			     /* patterns, one a line */
	char *user, *mount, *git;
	uint32_t uid, gid;  /* whose files the view shows */
	uint32_t owner_uid; /* whose the repository is */
	bool mount_made;    /* the mount point is the daemon's own, to be removed */
	bool branch_made;   /* create made the branch */
	bool delete_branch; /* VIEW_CLOSING: it is a rollback */
	enum view_state state;
	uint64_t created, closed; /* ns */
};

/* All texts empty. Errors: -ENOMEM. */
int view_row_init(struct view_row *v);
void view_row_release(struct view_row *v);
int view_row_copy(const struct view_row *v, struct view_row *ret);

/* Replaces a text of a row. Errors: -ENOMEM (unchanged). */
int view_row_set(char **field, const char *text);

/*
 * Opens (or creates) the database `path`. An older one is copied beside (`path`.v<N>) and
 * migrated. Errors: -EPROTONOSUPPORT a newer one, -EBADMSG damaged (it is left as it is), -EBUSY
 * another program holds it, -errno.
 */
int state_open(const char *path, struct state **ret, struct err *reterr);
void state_close(struct state *s);

/* Adds a view. Errors: -EEXIST an open view has that agent's name, -errno; durable on 0. */
int state_view_add(struct state *s, const struct view_row *v, struct err *reterr);

/* Writes all facts of the view with that id. Errors: -ENOENT, -errno; durable on 0. */
int state_view_update(struct state *s, const struct view_row *v, struct err *reterr);

/* Forgets a view that never came to be. */
int state_view_delete(struct state *s, const char *id, struct err *reterr);

/* Calls fn for each view, closed ones too where asked for, in order of creation. A non-zero return
 * of fn ends it and is returned. Rows are borrowed for the call. */
typedef int (*state_view_fn)(const struct view_row *v, void *user);
int state_views(struct state *s, bool closed, state_view_fn fn, void *user, struct err *reterr);

/* How one resolver did in a repository's (common git folder's) own merges, in one language and class of paths ("" for
 * records of before these were told apart). All text is borrowed. */
struct state_record {
	const char *repository, *resolver, *language, *paths;
	uint32_t fired, right;
};

/* Replaces the repository's records. Errors: -errno; durable on 0. */
int state_records_put(struct state *s, const char *repository, uint64_t merges,
		      const struct state_record *v, size_t n, struct err *reterr);

/* Calls fn for each record of each repository; a non-zero return ends it and is returned. */
typedef int (*state_record_fn)(const struct state_record *r, void *user);
int state_records(struct state *s, state_record_fn fn, void *user, struct err *reterr);

/* Commands of a repository (common git folder) that somebody has allowed to run, by their exact text. Errors: -errno;
 * durable on 0. state_approval_has(): 1 or 0. */
int state_approval_add(struct state *s, const char *repository, const char *text, uint32_t uid,
		       struct err *reterr);
int state_approval_has(struct state *s, const char *repository, const char *text,
		       struct err *reterr);
/* Notes that something was told, by a key of the caller's. Returns 1 where it had not been yet, 0 where it had;
 * durable before it returns. Errors: -errno. */
int state_tell(struct state *s, const char *key, struct err *reterr);

/* Forgets what was told long ago. Errors: -errno. */
int state_told_forget(struct state *s, struct err *reterr);

/* What asking resolvers of tiers 3 and 4 costs. */
struct state_cost {
	int64_t calls, ms, tokens;
};

/* Writes down that a merge of a repository may spend so much (now: ns). Errors: -errno; durable on 0. */
int state_ai_reserve(struct state *s, uint64_t now, const char *repository,
		     const struct state_cost *most, int64_t *ret_id, struct err *reterr);

/* The same merge is over, and spent this. Errors: -errno; durable on 0. */
int state_ai_settle(struct state *s, int64_t id, const struct state_cost *spent,
		    struct err *reterr);

/* What was spent, or may still be, since a time (ns). Errors: -errno. */
int state_ai_spent(struct state *s, uint64_t since, struct state_cost *ret, struct err *reterr);

/* Keeps an answer of a resolver that was believed in the merge that reserved `id`; older ones of its kind than the
 * given times (ns) go: `verified` of those that had to be verified. Errors: -errno; durable on 0. */
int state_ai_said_put(struct state *s, int64_t id, uint64_t now, const char *key,
		      const char *answer, bool needs_verify, struct err *reterr);
int state_ai_said_forget(struct state *s, uint64_t before, uint64_t verified, struct err *reterr);

/* Calls fn for each answer kept of a repository, newest first; a non-zero return ends it. Texts are borrowed. */
typedef int (*state_ai_said_fn)(const char *key, const char *answer, void *user);
int state_ai_said(struct state *s, const char *repository, state_ai_said_fn fn, void *user,
		  struct err *reterr);

/* A merge that was tried. All text is borrowed; "" where there is none. */
struct state_merge {
	int64_t id;    /* from 1; set by state_merge_add() */
	uint64_t time; /* ns */
	uint32_t uid;  /* who asked */
	const char *repository, *source, *into, *state, *tier, *commit;
	const char *result; /* type Merged, as JSON */
};

/* Errors: -errno; durable on 0. */
int state_merge_add(struct state *s, struct state_merge *m, struct err *reterr);

/* Calls fn for each, newest first, or for the one with that id (not 0); a non-zero return ends it and is
 * returned. */
typedef int (*state_merge_fn)(const struct state_merge *m, void *user);
int state_merges(struct state *s, int64_t id, state_merge_fn fn, void *user, struct err *reterr);
