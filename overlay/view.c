/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A view's life: opening, committing records, syncing, checkpoints, closing. Its operations are in
 * view_name.c, view_attr.c, view_data.c; moving its base in view_base.c; policy in view_policy.c; /.agentfs/control in
 * view_control.c.
 *
 * Invariants: (1) what was answered with success is in the journal; (2) the tree in memory is always
 * what replaying the journal gives; (3) the first record of a connection is RECORD_MOUNT with its id,
 * before the first request is served.
 */
#include "view.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apply.h"
#include "cleanup.h"
#include "io.h"
#include "log.h"
#include "origin.h"
#include "sys.h"
#include "view_compact.h"
#include "view_internal.h"
#include "view_seed.h"

enum { SYNC_FDS = 64 };

/* What the view keeps of bytes that were overwritten or deleted, and how hard it works at the rest. */
static const struct compact_limits compact_limits = {
	.history = UINT64_C(256) << 20,
	.copy = UINT64_C(16) << 20,
	.worth = UINT64_C(1) << 20,
	.full_every = INT64_C(60000000000),
};
#define SYNC_AFTER_NS  INT64_C(4000000000)
#define FLOOD_WRITE_NS INT64_C(1000000000)

void view_record(struct view *v, const struct view_ctx *ctx, struct record *rec, enum record_op op)
{
	uint64_t cgroup;

	*rec = (struct record){.type = RECORD_OP};
	RECORD_SET(rec, op, F_OP, op);
	RECORD_SET(rec, pid, F_PID, ctx->pid);
	RECORD_SET(rec, uid, F_UID, ctx->uid);
	RECORD_SET(rec, gid, F_GID, ctx->gid);
	RECORD_SET(rec, connection, F_CONNECTION, v->connection);
	RECORD_SET(rec, unique, F_UNIQUE, ctx->unique);
	if (ctx->page)
		rec->flags |= RECORD_F_PAGE;
	if (!ctx->pid)
		return;
	RECORD_SET(rec, comm, F_COMM, comm_lookup(v->comms, ctx->pid, &cgroup));
	if (cgroup)
		RECORD_SET(rec, cgroup, F_CGROUP, cgroup);
}

int view_commit(struct view *v, struct record *rec)
{
	int r;

	if (v->failed)
		return -EROFS;
	r = apply_prepare(&v->rec.tree, rec);
	if (r == -EBADMSG) /* our own checks let something through */
		return log_error(-EIO, "operation %s does not fit the tree",
				 record_op_name(rec->op));
	if (r == 0)
		r = journal_append(v->rec.journal, rec);
	if (r < 0)
		return r;
	apply_record(&v->rec.tree, rec);
	view_note_change(v, rec);
	if (rec->type == RECORD_OP || rec->type == RECORD_SYNC)
		v->last_op = rec->seq;
	if (!v->first_unsynced)
		v->first_unsynced = (int64_t)rec->time;
	return 0;
}

/* --- syncing --- */

/* Never tried again: the kernel may have dropped what it could not write. */
static int sync_failed(struct view *v)
{
	bool told;

	pthread_mutex_lock(&v->lock);
	told = v->failed;
	v->failed = true;
	pthread_mutex_unlock(&v->lock);
	if (!told)
		(void)log_error(-EIO,
				"write the journal or data of view '%s' to the disk: the view is "
				"read-only from now on; see to the disk, then close and reopen "
				"the view",
				v->conf.agent);
	return -EIO;
}

int view_sync(struct view *v)
{
	int fds[SYNC_FDS], n, r;
	uint64_t token = 0, seq;
	int64_t since;
	bool failed;

	pthread_mutex_lock(&v->lock);
	failed = v->failed;
	since = v->first_unsynced;
	v->first_unsynced = 0;
	seq = journal_seq(v->rec.journal);
	pthread_mutex_unlock(&v->lock);
	if (failed)
		return -EIO;
	n = r = data_dirty_fds(v->rec.data, fds, SYNC_FDS, &token);
	if (n >= 0)
		r = journal_sync_until(v->rec.journal, seq, fds, (size_t)n);
	for (int i = 0; i < n; i++)
		(void)safe_close(fds[i]);
	if (r == 0)
		data_synced(v->rec.data, token);
	if (r == -EIO || r == -EROFS)
		return sync_failed(v);
	if (r < 0) { /* memory, descriptors: still to be done */
		pthread_mutex_lock(&v->lock);
		if (!v->first_unsynced || since < v->first_unsynced)
			v->first_unsynced = since;
		pthread_mutex_unlock(&v->lock);
	}
	return r;
}

/* Deltas are folded into a full checkpoint once they outweigh it. checkpoint_lock is held. */
int view_checkpoint_write(struct view *v, bool full)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct checkpoint_mark mark;
	struct record rec = {.type = RECORD_CHECKPOINT};
	uint64_t seq;
	int r;

	pthread_mutex_lock(&v->lock);
	full = full || !v->last_checkpoint || v->rec.tree.notes_lost ||
	       v->delta_bytes > v->full_bytes + 65536;
	mark = checkpoint_mark(&v->rec.tree);
	seq = v->rec.tree.seq;
	r = checkpoint_collect(&v->rec.tree, v->conf.view_id, v->last_checkpoint, full, &b);
	pthread_mutex_unlock(&v->lock);
	if (r == 0)
		r = view_sync(v); /* never a checkpoint ahead of the journal */
	if (r == 0)
		r = checkpoint_write(v->rec.checkpoint_dir, seq, &b);
	if (r < 0)
		return r;
	pthread_mutex_lock(&v->lock);
	checkpoint_done(&v->rec.tree, mark);
	v->last_checkpoint = seq;
	RECORD_SET(&rec, length, F_LENGTH, seq);
	RECORD_SET(&rec, count, F_COUNT, v->denied);
	r = view_commit(v, &rec);
	pthread_mutex_unlock(&v->lock);
	if (!full) {
		v->delta_bytes += checkpoint_disk_bytes(b.len);
		return r;
	}
	if (v->last_full) /* the chain before the last stays, should this one be damaged */
		checkpoint_prune(v->rec.checkpoint_dir, v->last_full);
	v->kept_full = v->last_full;
	v->last_full = seq;
	v->full_bytes = b.len;
	v->delta_bytes = 0;
	return r;
}

int view_checkpoint(struct view *v, uint64_t every)
{
	uint64_t seq;
	int r = 0;

	pthread_mutex_lock(&v->checkpoint_lock);
	pthread_mutex_lock(&v->lock);
	seq = v->rec.tree.seq;
	pthread_mutex_unlock(&v->lock);
	if (seq > v->last_checkpoint + every)
		r = view_checkpoint_write(v, false);
	pthread_mutex_unlock(&v->checkpoint_lock);
	return r;
}

void view_tick(struct view *v)
{
	int64_t since;
	bool failed;
	int r;

	view_origin_trim(v);
	if (odb_rest(v->odb))
		(void)malloc_trim(0);
	pthread_mutex_lock(&v->lock);
	if (v->flood.count && (int64_t)sys_now_ns() - v->flood.first > FLOOD_WRITE_NS)
		view_denials_flush(v);
	if (v->quota.count && (int64_t)sys_now_ns() - v->quota.first > FLOOD_WRITE_NS)
		view_quota_flush(v);
	since = v->first_unsynced;
	failed = v->failed;
	pthread_mutex_unlock(&v->lock);
	if (failed)
		return;
	if (since && (int64_t)sys_now_ns() - since > SYNC_AFTER_NS) {
		r = view_sync(v);
		if (r < 0 && r != -EIO) /* that one is told already */
			(void)log_warning(r, "sync the journal, trying again");
	}
	r = view_checkpoint(v, CHECKPOINT_EVERY);
	if (r < 0 && r != -EIO)
		(void)log_warning(r, "write a checkpoint, ignoring: the journal holds everything");
	r = view_compact(v, &compact_limits);
	if (r < 0 && r != -EIO && r != -ENOSPC)
		(void)log_warning(r, "reclaim data that nothing refers to, trying again");
}

/* --- opening --- */

static int append_policy(struct view *v, const char *text)
{
	struct record rec = {.type = RECORD_POLICY};

	RECORD_SET(&rec, policy_hash, F_POLICY_HASH,
		   ((struct bytes){(const char *)policy_hash(v->policy), 32}));
	RECORD_SET(&rec, value, F_VALUE, ((struct bytes){text, strlen(text)}));
	return view_commit(v, &rec);
}

int view_set_policy(struct view *v, const char *text, struct err *reterr)
{
	struct policy *p = NULL, *old;
	struct told told = {BUF_INIT, BUF_INIT};
	char *copy;
	int r = policy_parse(text, &p, reterr);

	if (r < 0)
		return r;
	copy = sys_strdup(policy_text(p));
	if (!copy) {
		policy_free(p);
		return -ENOMEM;
	}
	pthread_mutex_lock(&v->lock);
	old = v->policy;
	v->policy = p;
	r = append_policy(v, copy);
	if (r < 0) {
		v->policy = old;
		old = p;
		free(copy);
	} else {
		free(v->rec.tree.policy);
		v->rec.tree.policy = copy;
		view_policy_changed(v, old, &told);
	}
	pthread_mutex_unlock(&v->lock);
	policy_free(old);
	view_tell(v, &told);
	return r < 0 ? err_set(reterr, r, "journal the policy") : 0;
}

int view_set_task(struct view *v, const char *branch, const char *task)
{
	char *b = sys_strdup(branch), *t = sys_strdup(task);

	if (!b || !t) {
		free(b);
		free(t);
		return -ENOMEM;
	}
	pthread_mutex_lock(&v->lock);
	free(v->conf.branch);
	free(v->conf.task);
	v->conf.branch = b;
	v->conf.task = t;
	pthread_mutex_unlock(&v->lock);
	return 0;
}

static int begin_connection(struct view *v)
{
	struct record rec = {.type = RECORD_MOUNT};
	int r;

	randombytes_buf(&v->connection, sizeof(v->connection));
	RECORD_SET(&rec, connection, F_CONNECTION, v->connection);
	RECORD_SET(&rec, pid, F_PID, (uint32_t)getpid());
	RECORD_SET(&rec, path, F_PATH, ((struct bytes){v->conf.mount, strlen(v->conf.mount)}));
	r = journal_reserve(v->rec.journal, 4096);
	return r < 0 ? r : view_commit(v, &rec);
}

static int open_parts(struct view *v, int view_dir, struct err *reterr)
{
	_cleanup_close_ int images = -1;
	int r;

	r = viewconf_read(view_dir, &v->conf, reterr);
	if (r < 0)
		return r;
	images = openat(v->state_dir, "images", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (images < 0)
		return err_set(reterr, -errno, "open the folder of base images: %s",
			       strerror(errno));
	if (v->conf.index && *v->conf.index)
		v->index_fd = openat(images, v->conf.index, O_RDONLY | O_CLOEXEC);
	r = origin_new(v->conf.repository ? v->conf.repository : "", v->conf.objects, v->conf.uid,
		       v->conf.gid, &v->origin);
	if (r < 0)
		return err_set(reterr, r, "open the view");
	(void)io_mkdir(v->state_dir, "content", 0700);
	v->content_dir = openat(v->state_dir, "content", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = odb_open(v->conf.objects, &v->odb, reterr);
	if (r == 0)
		r = content_open(v->content_dir, v->odb, &v->content, reterr);
	if (r == 0)
		r = policy_parse(v->conf.policy, &v->policy, reterr);
	if (r < 0)
		return r;
	return recover_open(view_dir, images, &v->conf, &v->rec, reterr);
}

static struct view *view_new(void)
{
	struct view *v = sys_calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	pthread_mutex_init(&v->lock, NULL);
	pthread_mutex_init(&v->checkpoint_lock, NULL);
	pthread_mutex_init(&v->seed_lock, NULL);
	v->content_dir = v->index_fd = v->state_dir = v->view_dir = v->redirect_dir = -1;
	v->rec.journal_dir = v->rec.data_dir = v->rec.checkpoint_dir = v->rec.images_dir = -1;
	v->started = (int64_t)sys_now_ns();
	return v;
}

static void view_free(struct view *v)
{
	if (!v)
		return;
	recovered_release(&v->rec);
	content_close(v->content);
	odb_close(v->odb);
	policy_free(v->policy);
	viewconf_release(&v->conf);
	view_denials_release(v);
	comm_cache_free(v->comms);
	buf_release(&v->retired);
	recent_release(&v->recent);
	for (size_t i = 0; i < CHANGES_SLOTS; i++)
		buf_release(&v->changes[i]);
	for (size_t i = 0; i < ORIGIN_SLOTS; i++)
		buf_release(&v->origin_texts[i].text);
	origin_free(v->origin);
	table_release(&v->stale);
	table_release(&v->written);
	table_release(&v->pokes);
	(void)safe_close(v->content_dir);
	(void)safe_close(v->index_fd);
	(void)safe_close(v->state_dir);
	(void)safe_close(v->view_dir);
	view_redirects_release(v);
	pthread_mutex_destroy(&v->lock);
	pthread_mutex_destroy(&v->checkpoint_lock);
	pthread_mutex_destroy(&v->seed_lock);
	free(v);
}

DEFINE_CLEANUP(struct view *, view_free);

int view_open(int view_dir, int state_dir, const struct view_notify *notify, struct view **ret,
	      struct err *reterr)
{
	_cleanup_(view_freep) struct view *v = view_new();
	int r;

	if (!v || sodium_init() < 0)
		return err_set(reterr, -ENOMEM, "open the view");
	v->notify = notify;
	v->state_dir = fcntl(state_dir, F_DUPFD_CLOEXEC, 3);
	v->view_dir = fcntl(view_dir, F_DUPFD_CLOEXEC, 3);
	r = open_parts(v, view_dir, reterr);
	if (r < 0)
		return r;
	v->frozen = faccessat(view_dir, "frozen", F_OK, 0) == 0;
	v->comms = comm_cache_new();
	v->rec.tree.base_lookups =
		calloc(image_count(v->rec.tree.image), sizeof(*v->rec.tree.base_lookups));
	if (!v->comms || !v->rec.tree.base_lookups)
		return err_set(reterr, -ENOMEM, "open the view");
	v->last_checkpoint = v->rec.checkpoint_seq;
	v->last_full = v->rec.checkpoint.full_seq;
	v->full_bytes = v->rec.checkpoint.full_bytes;
	v->delta_bytes = v->rec.checkpoint.delta_bytes;
	recent_reset(&v->recent, journal_seq(v->rec.journal)); /* what was before is not known */
	r = view_denials_load(v);
	if (r == 0)
		r = view_redirects_load(v);
	if (r < 0)
		return err_set(reterr, r, "take up what the view's files hold: %s", strerror(-r));
	r = begin_connection(v);
	if (r < 0)
		return err_set(reterr, r, "journal the new connection: %s", strerror(-r));
	if (!v->rec.tree.policy || strcmp(v->rec.tree.policy, policy_text(v->policy)) != 0)
		r = view_set_policy(v, v->conf.policy, reterr);
	if (r == 0)
		r = view_seed_plant(v, reterr);
	if (r == 0)
		r = view_make_git(v, reterr);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(v);
	return 0;
}

void view_close(struct view *v)
{
	int r;

	if (!v)
		return;
	pthread_mutex_lock(&v->lock);
	view_denials_flush(v);
	view_quota_flush(v);
	pthread_mutex_unlock(&v->lock);
	r = view_checkpoint(v, 16);
	if (r == 0 || r == -ENOSPC || r == -EDQUOT)
		r = view_sync(v);
	if (r < 0 && r != -EIO)
		(void)log_warning(
			r, "write the last checkpoint, ignoring: the journal holds everything");
	view_free(v);
}

const struct viewconf *view_conf(const struct view *v)
{
	return &v->conf;
}

/* --- facts --- */

/* Under its old name, with the old bytes, and as executable as it was? */
static bool same_as_base(const struct tree *t, const struct node *n)
{
	const struct image_node *b = tree_base(t, n->id);

	if (!b || !(n->flags & NODE_F_BASE_NAME))
		return false;
	if (S_ISLNK(n->mode))
		return true;
	return !(n->mode & 0100) == !(b->mode & 0100) && tree_has_base_content(t, n);
}

/* Counts what differs from the base, the view's own .git left out: by number, not by content. What
 * came from the main worktree and is unchanged does not count. */
static void count_changes(struct view *v, struct view_info *ret)
{
	const struct tree *t = &v->rec.tree;
	const struct node *n;
	size_t pos = 0;

	while ((n = table_next(&t->nodes, &pos))) {
		if (S_ISDIR(n->mode) || !n->nlink || (n->flags & NODE_F_SEED) ||
		    view_is_git_node(v, n->id) || same_as_base(t, n))
			continue;
		ret->changed++;
	}
	for (size_t i = 0; i < t->nbuckets; i++)
		for (const struct entry *e = t->buckets[i]; e; e = e->hash_next) {
			uint64_t base;

			if (e->child || !tree_base_has(t, e->dir, e->name, e->len, &base))
				continue;
			n = tree_node(t, base);
			ret->deleted += !n || !n->nlink;
		}
}

void view_info(struct view *v, struct view_info *ret)
{
	pthread_mutex_lock(&v->lock);
	*ret = (struct view_info){
		.seq = journal_seq(v->rec.journal),
		.durable = journal_durable(v->rec.journal),
		.connection = v->connection,
		.nodes = v->rec.tree.nodes.used - v->rec.tree.nseeds,
		.bytes = view_live_bytes(v),
		.denied = v->denied,
		.quota_bytes = policy_quota(v->policy).bytes,
		.quota_nodes = policy_quota(v->policy).nodes,
		.quota_refused = v->quota.total,
		.last_write = v->last_write,
		.last_denied = v->last_denied,
		.started = v->started,
		.journal_bytes = journal_bytes(v->rec.journal),
		.data_bytes = data_disk_bytes(v->rec.data),
		.replayed = v->rec.replayed,
		.dropped = v->rec.dropped,
		.checkpoint_seq = v->last_checkpoint,
		.bad_checkpoints = v->rec.checkpoint.bad,
	};
	count_changes(v, ret);
	pthread_mutex_unlock(&v->lock);
}

int view_written_nodes(struct view *v, uint64_t **ret, size_t *ret_n)
{
	uint64_t *ids;
	size_t n = 0;

	pthread_mutex_lock(&v->lock);
	ids = sys_calloc(v->written.used + 1, sizeof(*ids));
	for (size_t i = 0; ids && i < v->written.cap; i++)
		if (v->written.slots[i].key)
			ids[n++] = v->written.slots[i].key;
	if (ids)
		table_release(&v->written);
	pthread_mutex_unlock(&v->lock);
	if (!ids)
		return -ENOMEM;
	*ret = ids;
	*ret_n = n;
	return 0;
}
