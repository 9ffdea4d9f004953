/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"
#include "policy.h"
#include "record.h"
#include "tree.h"
#include "viewconf.h"

/*
 * One view: what fs/ calls, one function per operation: policy → bytes → append → apply → reply.
 * All functions are thread-safe; each returns 0 or more, or -errno for the caller to hear. An operation
 * that fails has changed nothing; one that succeeded is in the journal.
 *
 * Locks. view->lock guards the tree, the order of appends, policy, lookup counts and denials. Under it:
 * no git, no inflating, no sync, no notification of the kernel; the append (a write to the page cache)
 * is. data.c, content.c and journal_sync() have locks of their own, taken with or without it, never
 * the other way round. checkpoint_lock serialises checkpoints; it is taken before view->lock.
 * seed_lock serialises looks at the main worktree (view_seed.c); it is taken before view->lock, and
 * neither with nor before checkpoint_lock.
 */
struct view;

/* Who asks. */
struct view_ctx {
	uint32_t pid, uid, gid;
	uint64_t unique; /* FUSE unique */
	bool page;	 /* a page write: pid is not known */
	bool internal;	 /* the server itself: no policy */
	bool nowait;	 /* view_read(): -EAGAIN where a disk or git would be waited for */
	bool kill_priv;	 /* the kernel asks that suid and sgid go (HANDLE_KILLPRIV_V2) */
};

/* Told after the lock is let go, to keep the kernel's caches right. All may be NULL. */
struct view_notify {
	void (*entry)(uint64_t parent, const char *name, size_t len,
		      void *user); /* the name changed */
	void (*inode)(uint64_t node, uint64_t off, int64_t len,
		      void *user); /* content; off -1: attributes only */
	void (*attr)(uint64_t node,
		     void *user); /* attributes, before it returns; waits for nothing */
	void (*slow)(void *user); /* this thread is about to wait for a disk that is not ours */
	/* something was asked of the inside of a redirected folder; called with the lock held */
	void (*inside)(uint64_t node, void *inside_user);
	void *user, *inside_user;
};

struct view_info {
	uint64_t seq, durable, connection;
	uint64_t changed, deleted, nodes,
		bytes; /* files that differ, names covered, changed nodes, live bytes */
	uint64_t denied;
	uint64_t quota_bytes, quota_nodes,
		quota_refused;			  /* 0: no limit; refusals since it was opened */
	int64_t last_write, last_denied, started; /* ns, 0 = never */
	uint64_t journal_bytes, data_bytes;
	uint64_t replayed, dropped, checkpoint_seq;
	unsigned int bad_checkpoints;
};

/* Opens (recovers) the view in STATE/views/<agent>, begins a connection, and on first use makes the
 * view's .git from view.conf's seeds. `notify` is borrowed. Errors: as recover_open(), with a
 * sentence. */
int view_open(int view_dir, int state_dir, const struct view_notify *notify, struct view **ret,
	      struct err *reterr);

/* Syncs, writes a checkpoint, frees. */
void view_close(struct view *v);

const struct viewconf *view_conf(const struct view *v);
void view_info(struct view *v, struct view_info *ret);

/* Called about once a second: syncs what is older than 5 s, writes due checkpoints, flushes denial
 * summaries. */
void view_tick(struct view *v);

/* Data and journal up to now on disk. Errors: -EIO, -EROFS. */
int view_sync(struct view *v);

/* --- names. Entry-making calls count a lookup of the node they return. --- */
int view_lookup(struct view *v, const struct view_ctx *ctx, uint64_t parent, const char *name,
		struct node_attr *ret);
void view_forget(struct view *v, uint64_t id, uint64_t n);
int view_mknod(struct view *v, const struct view_ctx *ctx, uint64_t parent, const char *name,
	       uint32_t mode, uint32_t rdev, struct node_attr *ret);
int view_mkdir(struct view *v, const struct view_ctx *ctx, uint64_t parent, const char *name,
	       uint32_t mode, struct node_attr *ret);
int view_symlink(struct view *v, const struct view_ctx *ctx, uint64_t parent, const char *name,
		 const char *target, struct node_attr *ret);
int view_link(struct view *v, const struct view_ctx *ctx, uint64_t id, uint64_t parent,
	      const char *name, struct node_attr *ret);
int view_unlink(struct view *v, const struct view_ctx *ctx, uint64_t parent, const char *name);
int view_rmdir(struct view *v, const struct view_ctx *ctx, uint64_t parent, const char *name);
int view_rename(struct view *v, const struct view_ctx *ctx, uint64_t parent, const char *name,
		uint64_t parent2, const char *name2, unsigned int flags);

/* Lists behind `cookie`; fn gets "." and ".." too and ends the listing with a non-zero return. With
 * `count`, a lookup is counted for each name but these for which fn returned 0. */
typedef int (*view_dir_fn)(const char *name, uint64_t cookie, const struct node_attr *attr,
			   void *user);
int view_readdir(struct view *v, const struct view_ctx *ctx, uint64_t id, uint64_t cookie,
		 bool count, view_dir_fn fn, void *user);

/* --- attributes --- */
enum view_set {
	VIEW_SET_MODE = 1 << 0,
	VIEW_SET_UID = 1 << 1,
	VIEW_SET_GID = 1 << 2,
	VIEW_SET_SIZE = 1 << 3,
	VIEW_SET_ATIME = 1 << 4,
	VIEW_SET_MTIME = 1 << 5,
};
struct view_setattr {
	unsigned int set; /* enum view_set */
	uint32_t mode, uid, gid;
	uint64_t size;
	int64_t atime, mtime; /* ns; VIEW_TIME_NOW: the time of the record */
};
#define VIEW_TIME_NOW INT64_MIN

int view_getattr(struct view *v, const struct view_ctx *ctx, uint64_t id, struct node_attr *ret);
int view_setattr(struct view *v, const struct view_ctx *ctx, uint64_t id,
		 const struct view_setattr *set, struct node_attr *ret);
int view_getxattr(struct view *v, uint64_t id, const char *name, struct buf *ret);
int view_listxattr(struct view *v, const struct view_ctx *ctx, uint64_t id, struct buf *ret);
int view_setxattr(struct view *v, const struct view_ctx *ctx, uint64_t id, const char *name,
		  const void *value, size_t n, int flags);
int view_removexattr(struct view *v, const struct view_ctx *ctx, uint64_t id, const char *name);

/* --- data --- */
int view_readlink(struct view *v, uint64_t id, struct buf *ret);
ssize_t view_read(struct view *v, const struct view_ctx *ctx, uint64_t id, uint64_t off, void *buf,
		  size_t n);
ssize_t view_write(struct view *v, const struct view_ctx *ctx, uint64_t id, uint64_t off,
		   const void *buf, size_t n);
int view_fallocate(struct view *v, const struct view_ctx *ctx, uint64_t id, int mode, uint64_t off,
		   uint64_t len);
int64_t view_lseek(struct view *v, uint64_t id, uint64_t off, int whence);
ssize_t view_copy(struct view *v, const struct view_ctx *ctx, uint64_t src, uint64_t src_off,
		  uint64_t dst, uint64_t dst_off, size_t len);
struct statvfs;
int view_statfs(struct view *v, struct statvfs *ret);

/* --- redirected folders (view_redirect.c), for the server that mounts them --- */
enum view_redirect_state {
	VIEW_REDIRECT_WANTED,  /* to be mounted */
	VIEW_REDIRECT_MOUNTED, /* it was */
	VIEW_REDIRECT_FAILED,  /* it could not be: what it holds cannot be reached */
};
struct view_redirect {
	uint64_t node;
	enum view_redirect_state state;
	uint64_t bytes; /* on disk, as last measured */
};

/* From now on folders that a rule names are redirected. Without it they stay in the overlay. */
void view_redirect_enable(struct view *v);

/* All there are; caller frees. Errors: -ENOMEM. */
int view_redirects(struct view *v, struct view_redirect **ret, size_t *ret_n);

/* Its path from the root; a descriptor of its plain folder. Errors: -ENOENT it is none (any more). */
int view_redirect_path(struct view *v, uint64_t node, struct buf *ret);
int view_redirect_open(struct view *v, uint64_t node);

void view_redirect_set(struct view *v, uint64_t node, enum view_redirect_state state);
void view_redirect_set_bytes(struct view *v, uint64_t node, uint64_t bytes);

/* It cannot be mounted and holds nothing: an ordinary folder from now on. Errors: -ENOTEMPTY, -errno. */
int view_redirect_drop(struct view *v, uint64_t node);

/* The same for one that was just emptied and taken off, where a newer base has something in it: that comes to
 * light. Errors: also -ENODATA it has nothing. */
int view_redirect_uncover(struct view *v, uint64_t node);

/* Sees to it that the view's git ignores it: the rule's pattern is in .git/info/exclude. Errors: -errno. */
int view_redirect_exclude(struct view *v, uint64_t node);

/* --- for the control socket: paths from the root, the server itself acts --- */
int view_path_lock(struct view *v, const char *path);

/* `move` is asked, once all is written, to rename VIEW_PUT_TEMP in the path's folder onto the path through the mount,
 * so that whoever watches that folder sees it come; where it cannot (or is NULL), the server renames it
 * itself. */
#define VIEW_PUT_TEMP ".agentfs-put"
int view_path_put(struct view *v, const char *path, uint32_t mode, int fd,
		  int (*move)(const char *path, void *user), void *user, struct node_attr *ret);
int view_path_unlink(struct view *v, const char *path);
int view_set_policy(struct view *v, const char *text, struct err *reterr);

/* Moves it to another base image (tree_sync.h): `image` in STATE/images, sought out by whoever looked at
 * the view as it was after record `seq`; time: what changed files show. The places of `actions` are
 * offsets in fd. *ret_kept: contents of older bases that the view still uses. Errors: -EAGAIN the view
 * has changed since, -ENOENT no such image, -E2BIG, -EFBIG, -EBADMSG, -EMLINK, -ENOSPC, -errno: nothing has happened. */
struct view_move {
	const char *image, *commit;
	int64_t time;
	uint64_t seq;
};
int view_move_base(struct view *v, const struct view_move *m, int fd, struct bytes actions,
		   uint64_t *ret_kept);

/* The base image and commit that it is on; appended. */
void view_base(struct view *v, struct buf *ret_image, struct buf *ret_commit);

/* A frozen view refuses every change but the server's own (-EROFS), and journals each refusal. */
void view_freeze(struct view *v, bool frozen);

/* What changed behind the kernel's back wakes no watcher (inotify) when the kernel is told of it. It is noted, and
 * a helper touches it through the mount: that is heard, and changes nothing. */
enum view_poke {
	VIEW_POKE_ATTR = 'a', /* IN_ATTRIB */
	VIEW_POKE_DATA = 'm', /* IN_MODIFY */
	VIEW_POKE_MOVE = 'r', /* VIEW_PUT_TEMP beside the path is renamed onto it */
};
void view_poke(struct view *v, uint64_t id, enum view_poke kind);

/* Appends what was noted since the last call, at most POKES_MAX, folders first: kind, path, NUL each. Nothing
 * where there is nothing, or no memory. */
void view_pokes_take(struct view *v, struct buf *ret);

/* The process that touches: what it sets changes nothing, what it moves is no agent's doing. 0: none. */
void view_poker(struct view *v, uint32_t pid);

/* The view moved to another task: what /.agentfs/control shows from now on. */
int view_set_task(struct view *v, const char *branch, const char *task);

/* Somebody else judged by this view's policy (materialize, a commit): journaled as a denial. All texts
 * are borrowed for the call; `outcome` says what was judged. Errors: -errno. */
int view_note_refusal(struct view *v, enum record_op op, const char *path, const char *rule_text,
		      const char *outcome);
int view_denied_text(struct view *v, struct buf *ret);

/* Before a snapshot: what the agent moved among its seeds is the view's own, so that the view's files
 * tell all. Takes no lock of the caller's. Errors: -ENOMEM, -ENOSPC, -EROFS. */
int view_seed_settle(struct view *v);

/* Numbers of the files that were written since they were last named here: a snapshot has their mapped
 * pages written out first. Caller frees. */
int view_written_nodes(struct view *v, uint64_t **ret, size_t *ret_n);
