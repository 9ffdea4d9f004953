/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>

#include "content.h"
#include "odb.h"
#include "recent.h"
#include "record.h"
#include "recover.h"
#include "view.h"

/* What the view_*.c files share and nobody else sees. */

enum {
	DENIED_KEPT = 64,
	CHANGES_SLOTS = 16,
	ORIGIN_SLOTS = 4,
	FLOOD_AFTER = 32,     /* the same refusal in a row is written this often, then counted */
	DENIED_WINDOW = 6000, /* records; more than between two checkpoints */
	CHECKPOINT_EVERY = 5000,
	BASE_LOOKUPS_STICKY = UINT16_MAX,
};

/* A refusal that comes again and again: counted instead of written, once there were a few. */
struct flood {
	uint64_t dir, node, name_hash;
	uint32_t pid, op, rule;
	uint64_t seen;	     /* the same one in a row */
	uint64_t count;	     /* of these, not in the journal yet */
	int64_t first, last; /* ns */
};

/* A data segment of which nothing is live since `seq`. */
struct retired {
	uint64_t number, seq;
};

/* Refusals by quota (view_quota.c). */
struct quota_refusals {
	uint32_t pid, op;
	const char *what;      /* which quota: one of two literals */
	uint64_t total, count; /* in all; of these not in the journal yet */
	int64_t first, last;   /* ns; last 0: none yet */
	uint64_t held;	       /* bytes of writes under way */
};

/* The last denials, for .agentfs/control/denied. */
struct denial {
	int64_t time;
	uint32_t pid, op;
	char comm[16];
	char *path, *rule;
};

struct view {
	pthread_mutex_t lock; /* guards all below but what says otherwise */
	pthread_mutex_t checkpoint_lock;
	pthread_mutex_t seed_lock; /* one look at the main worktree at a time (view_seed.c) */
	uint64_t seed_wanted;	 /* a folder whose names an operation needs (view_seed_unread()) */
	struct viewconf conf;	 /* const after open */
	struct recovered rec;	 /* rec.data, rec.journal have locks of their own */
	struct odb *odb;	 /* thread-safe */
	struct content *content; /* thread-safe */
	int content_dir;
	int index_fd; /* the prepared git index, or -1; read-only */
	int state_dir;
	const struct view_notify *notify;
	struct policy *policy;
	uint64_t connection;
	struct table stale; /* denied nodes whose cached attributes the kernel dropped by itself */
	struct table redirects; /* struct redirect by node */
	int view_dir, redirect_dir;
	bool can_redirect;    /* the server can mount */
	struct table written; /* nodes written since the last snapshot */
	struct table pokes;   /* node → enum view_poke */
	uint32_t poker;	      /* the helper that touches them, or 0 */
	struct denial denials[DENIED_KEPT];
	uint64_t denied; /* in all; `kept` of them were put into the list */
	uint64_t kept;
	struct flood flood;
	struct quota_refusals quota;
	uint64_t control_lookups;
	struct buf changes[CHANGES_SLOTS]; /* answers that were looked up and may be read now */
	struct origin *origin;		   /* thread-safe */
	struct origin_slot {
		uint64_t id, used; /* 0: free; when it was looked up last, ns */
		struct buf text;
	} origin_texts[ORIGIN_SLOTS]; /* the same of origin.git */
	struct recent recent;
	int64_t last_write, last_denied, started;
	uint64_t last_checkpoint, last_full, full_bytes, delta_bytes;
	uint64_t
		kept_full; /* where the oldest chain of checkpoints that is kept begins; 0: not known */
	struct buf retired; /* struct retired: segments to be removed; guarded by checkpoint_lock */
	int64_t compacted;  /* ns, when the compactor last made a full checkpoint; same */
	int64_t first_unsynced; /* ns; 0: all synced */
	uint64_t last_op;	/* number of the last record that changed the tree */
	bool frozen;
	bool making_git; /* only while opening */
	bool failed;	 /* a sync did: nothing is written any more, reads go on */
	struct comm_cache *comms;
	uint64_t damage_told[8]; /* nodes whose damaged content is in the log already */
	unsigned int ndamage;
};

/* --- view_policy.c: called with the lock held --- */

/* A name that an operation is about, as the policy sees it. */
struct place {
	uint64_t dir;
	const char *name;
	size_t len;
};

struct check {
	enum policy_op op;
	enum record_op rop;
	struct place at;
	uint64_t node; /* 0: does not exist yet */
	bool dir;
	bool scratch; /* out: allowed as scratch */
};

/* May it? 0 or -EACCES, -EROFS; a refusal is journaled. */
int view_check(struct view *v, const struct view_ctx *ctx, struct check *c);

/* Does the base have this very path? */
bool view_path_in_base(const struct view *v, const char *path);

/* The same for something done to a node by number, under all its names. */
int view_check_node(struct view *v, const struct view_ctx *ctx, uint64_t id, enum policy_op op,
		    enum record_op rop);

/* A rename or link moves whole folders: is what is below allowed on both sides? -EAGAIN: nobody has
 * looked into v->seed_wanted yet. */
int view_check_subtree(struct view *v, const struct view_ctx *ctx, uint64_t dir,
		       const struct place *from, const struct place *to);

/* Attributes as the role may see them: no write bits where it may not write. */
void view_mask_attr(struct view *v, struct node_attr *a, const struct place *at);

/* Would that policy show the node without write bits? */
bool view_denied_by(struct view *v, struct policy *p, uint64_t id);

/* Is the name hidden from this role? */
bool view_hidden(struct view *v, const struct place *at, bool dir);

/* The kernel asked for attributes that it has: a refusal by mode bits. */
void view_infer_denial(struct view *v, const struct view_ctx *ctx, uint64_t id);
void view_mark_stale(struct view *v, uint64_t id);
/* After recovery: the last refusals from the journal. Errors: -ENOMEM, -errno. */
int view_denials_load(struct view *v);

/* Writes down what was only counted; lock held. */
void view_denials_flush(struct view *v);

/* The last refusals as text; lock held. */
int view_denied_list(const struct view *v, struct buf *ret);
void view_denials_release(struct view *v);
bool view_in_git(const struct view *v, uint64_t dir, const char *name, size_t len);

/* --- view.c --- */

/* Fills who and what connection; `comm` is looked up. */
void view_record(struct view *v, const struct view_ctx *ctx, struct record *rec, enum record_op op);

/* prepare → append → apply, with the lock held. */
int view_commit(struct view *v, struct record *rec);

/* Writes a checkpoint where more than `every` records came since the last. */
int view_checkpoint(struct view *v, uint64_t every);

/* Writes one now, with checkpoint_lock held; `full`: not what changed but everything. */
int view_checkpoint_write(struct view *v, bool full);
bool view_is_git_node(const struct view *v, uint64_t id);

/* Command name of a process, at most 15 bytes, "" where it is gone. Cached briefly. */
struct comm_cache;
struct comm_cache *comm_cache_new(void);
void comm_cache_free(struct comm_cache *c);
struct bytes comm_lookup(struct comm_cache *c, uint32_t pid, uint64_t *ret_cgroup);

/* --- view_name.c, lock held --- */

/* Something may be made in the folder: it is one, and has a name. Errors: -ENOENT, -ENOTDIR. */
int view_check_dir(struct view *v, uint64_t dir);

/* /.agentfs is shown even where nobody made it; the first thing made in it makes it real. */
int view_make_real(struct view *v, const struct view_ctx *ctx, uint64_t dir);

/* A node without names lives as long as the kernel holds it, and no longer. */
void view_drop_if_unheld(struct view *v, uint64_t id);
void view_count_lookup(struct view *v, uint64_t id);

/* --- view_git.c --- */

/* Makes /.git from the seeds unless it is there. */
int view_make_git(struct view *v, struct err *reterr);

/* --- view_poke.c, lock held --- */
void view_note_poke(struct view *v, uint64_t id, enum view_poke kind);
bool view_is_poker(const struct view *v, const struct view_ctx *ctx);

/* --- view_told.c --- */

/* What the kernel is to be told once the lock is let go. */
struct told {
	struct buf nodes, names;
};

/* Everything that it may have cached and that the new policy shows otherwise; lock held. */
void view_policy_changed(struct view *v, struct policy *old, struct told *ret);

/* Tells and frees; without the lock. */
void view_tell(struct view *v, struct told *t);

/* --- view_control.c: the virtual files of /.agentfs/control --- */
bool control_is(const struct view *v, uint64_t id);
int control_lookup(struct view *v, uint64_t parent, const char *name, struct node_attr *ret);
int control_attr(struct view *v, uint64_t id, struct node_attr *ret);
ssize_t control_read(struct view *v, uint64_t id, uint64_t off, void *buf, size_t n);
int control_readdir(struct view *v, uint64_t id, uint64_t cookie, view_dir_fn fn, void *user);
/* Does (parent, name) name something of ours that nobody may make or remove? */
bool control_reserved(const struct view *v, uint64_t parent, const char *name);

/* --- view_origin.c: /.agentfs/control/origin.git; without the lock --- */
bool origin_is(uint64_t id);
void view_origin_root(struct view *v, struct node_attr *ret);
int view_origin_lookup(struct view *v, const struct view_ctx *ctx, uint64_t parent,
		       const char *name, struct node_attr *ret);
int view_origin_attr(struct view *v, uint64_t id, struct node_attr *ret);
int view_origin_readlink(struct view *v, uint64_t id, struct buf *ret);
ssize_t view_origin_read(struct view *v, uint64_t id, uint64_t off, void *p, size_t n);
/* Forgets texts and closes files that nobody has asked for in a minute. */
void view_origin_trim(struct view *v);
int view_origin_readdir(struct view *v, uint64_t id, uint64_t cookie, view_dir_fn fn, void *user);

/* --- view_changes.c, lock held --- */

/* Appends the answer of git's fsmonitor since `token`. Errors: -ENOMEM. */
int view_changes(struct view *v, const char *token, struct buf *ret);

/* An applied record changed names: noted for later answers. */
void view_note_change(struct view *v, const struct record *rec);

/* --- view_redirect.c, lock held --- */

enum { VIEW_REDIRECTS_MAX = 4096 };

struct redirect {
	uint64_t node, place, bytes;
	enum view_redirect_state state;
};

bool view_redirected(const struct view *v, uint64_t id);

/* Something is asked of the inside of folder `dir`: -ESTALE where that lies elsewhere. */
int view_redirect_inside(struct view *v, uint64_t dir);

/* Has the folder that was just made (*a, which is told) redirected where a rule names it. */
void view_redirect_make(struct view *v, const struct view_ctx *ctx, const struct place *at,
			struct node_attr *a);

/* The node is to be removed: its plain folder goes first. Errors: -ENOTEMPTY. */
int view_redirect_before_rmdir(struct view *v, uint64_t node);
void view_redirect_forget(struct view *v, uint64_t node);

/* After recovery, and at the end. Errors: -ENOMEM, -errno. */
int view_redirects_load(struct view *v);
void view_redirects_release(struct view *v);

/* --- view_quota.c, lock held --- */

/* May one more node be? 0 or -EDQUOT; a refusal is journaled. */
int view_quota_node(struct view *v, const struct view_ctx *ctx, enum record_op op,
		    const struct place *at);

/* A range of a file that gets bytes of the view's own: all of it, or those of the source's range. */
struct quota_range {
	uint64_t off, len;
	uint64_t src, src_off; /* 0: all of it */
};

/* May it? 0 or -EDQUOT. *ret_held is to be given back (v->quota.held) once they are in the tree, or
 * will not come. */
int view_quota_bytes(struct view *v, const struct view_ctx *ctx, uint64_t id, enum record_op op,
		     const struct quota_range *at, uint64_t *ret_held);

/* Bytes that the files' extents refer to. */
uint64_t view_live_bytes(const struct view *v);

/* Writes down what was only counted. */
void view_quota_flush(struct view *v);

/* --- view_attr.c --- */
uint32_t view_killed_mode(uint32_t mode);
