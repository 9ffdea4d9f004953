/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Policy in the view: which path an operation is about, what the policy says, and what is kept of a
 * refusal.
 *
 * Invariants: (1) a refused operation changes nothing and leaves a RECORD_DENIED with the deciding
 * rule; the same refusal again and again is kept as an exact count (RECORD_SUMMARY); (2) a node with several
 * names may be written only if each of them may; (3) an open that the kernel refuses by mode bits
 * reaches us only as a GETATTR for attributes that it had: journaled as inferred, unless the kernel had
 * a reason of its own to ask (its copy was dropped by a read, which touches atime).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <xxhash.h>

#include "apply.h"
#include "cleanup.h"
#include "journal.h"
#include "sys.h"
#include "view_internal.h"
#include "view_seed.h"

/* In place of a rule's number: no rule decided. */
#define RULE_FROZEN (UINT32_MAX - 1)

/* Does the base have this very path? */
bool view_path_in_base(const struct view *v, const char *path)
{
	uint32_t at = 0;

	while (*path) {
		size_t n = strcspn(path, "/");
		int64_t place = image_lookup(v->rec.tree.image, at, path, n);

		if (place < 0)
			return false;
		at = (uint32_t)place;
		path += n;
		if (*path == '/')
			path++;
	}
	return true;
}

static struct policy_verdict ask(const struct view *v, const char *path, enum policy_op op,
				 bool dir, bool exists, bool *ret_in_base)
{
	struct policy_query q = {.op = op, .path = path, .dir = dir};

	q.in_base = view_path_in_base(v, path);
	q.ours = exists && !q.in_base;
	*ret_in_base = q.in_base;
	return policy_decide(v->policy, &q);
}

/* --- what is kept of a refusal --- */

static void keep_denial(struct view *v, const struct record *rec, struct bytes path)
{
	struct denial *d = &v->denials[v->kept++ % DENIED_KEPT];

	free(d->path);
	free(d->rule);
	*d = (struct denial){.time = (int64_t)rec->time, .pid = rec->pid, .op = rec->op};
	if (rec->comm.n) /* a page write has no process to name */
		memcpy(d->comm, rec->comm.p, rec->comm.n < 15 ? rec->comm.n : 15);
	d->path = strndup(path.p ? path.p : "", path.n);
	d->rule = strndup(rec->rule_text.p ? rec->rule_text.p : "", rec->rule_text.n);
}

/* Counts the refusal instead of writing it? Then nothing is left to do. */
static bool flooded(struct view *v, const struct record *rec)
{
	uint64_t hash = XXH3_64bits(rec->path.p, rec->path.n);
	struct flood *f = &v->flood;

	if (f->dir != rec->parent || f->node != rec->node || f->name_hash != hash ||
	    f->pid != rec->pid || f->op != rec->op || f->rule != rec->rule) {
		view_denials_flush(v);
		*f = (struct flood){.dir = rec->parent,
				    .node = rec->node,
				    .name_hash = hash,
				    .pid = rec->pid,
				    .op = rec->op,
				    .rule = rec->rule};
	}
	if (++f->seen <= FLOOD_AFTER)
		return false;
	if (!f->count++)
		f->first = (int64_t)rec->time;
	f->last = (int64_t)rec->time;
	return true;
}

void view_denials_flush(struct view *v)
{
	const struct denial *d = v->kept ? &v->denials[(v->kept - 1) % DENIED_KEPT] : NULL;
	struct flood *f = &v->flood;
	struct record rec = {.type = RECORD_SUMMARY};

	if (!f->count || !d)
		return;
	RECORD_SET(&rec, op, F_OP, f->op);
	RECORD_SET(&rec, pid, F_PID, f->pid);
	RECORD_SET(&rec, connection, F_CONNECTION, v->connection);
	RECORD_SET(&rec, parent, F_PARENT, f->dir);
	RECORD_SET(&rec, node, F_NODE, f->node);
	RECORD_SET(&rec, rule, F_RULE, f->rule);
	RECORD_SET(&rec, count, F_COUNT, f->count);
	RECORD_SET(&rec, atime, F_ATIME, f->first);
	RECORD_SET(&rec, mtime, F_MTIME, f->last);
	RECORD_SET(&rec, path, F_PATH, ((struct bytes){d->path, d->path ? strlen(d->path) : 0}));
	if (apply_prepare(&v->rec.tree, &rec) < 0 || journal_append(v->rec.journal, &rec) < 0)
		return; /* kept, and tried again */
	apply_record(&v->rec.tree, &rec);
	f->count = 0;
	f->seen = 0;
}

static void journal_denial(struct view *v, const struct view_ctx *ctx, enum record_op rop,
			   const struct place *at, uint64_t node, const char *path, uint32_t rule,
			   int result, uint16_t flags)
{
	const char *text = rule == RULE_FROZEN ? "the view is frozen (agentfsctl thaw)"
					       : policy_rule_text(v->policy, rule);
	struct record rec;

	view_record(v, ctx, &rec, rop);
	rec.type = RECORD_DENIED;
	rec.flags |= flags;
	rec.time = sys_now_ns();
	RECORD_SET(&rec, result, F_RESULT, result);
	if (at) {
		RECORD_SET(&rec, parent, F_PARENT, at->dir);
		RECORD_SET(&rec, name, F_NAME, ((struct bytes){at->name, at->len}));
	}
	if (node)
		RECORD_SET(&rec, node, F_NODE, node);
	RECORD_SET(&rec, rule, F_RULE, rule);
	RECORD_SET(&rec, rule_text, F_RULE_TEXT, ((struct bytes){text, strlen(text)}));
	RECORD_SET(&rec, policy_hash, F_POLICY_HASH,
		   ((struct bytes){(const char *)policy_hash(v->policy), 32}));
	RECORD_SET(&rec, path, F_PATH, ((struct bytes){path, strlen(path)}));
	RECORD_SET(&rec, count, F_COUNT, v->denied + 1);
	/* A refusal that cannot be written down is still a refusal. */
	if (!flooded(v, &rec)) {
		if (apply_prepare(&v->rec.tree, &rec) == 0 &&
		    journal_append(v->rec.journal, &rec) == 0)
			apply_record(&v->rec.tree, &rec);
		keep_denial(v, &rec, rec.path);
	}
	v->denied++;
	v->last_denied = (int64_t)rec.time;
}

/* The newest of them after a restart: the journal's last few thousand records are looked through, and
 * each refusal carries its running number. */
int view_denials_load(struct view *v)
{
	uint64_t seq = journal_seq(v->rec.journal);
	struct journal_reader *reader = NULL;
	struct record rec;
	int r;

	r = journal_reader_open(v->rec.journal_dir, seq > DENIED_WINDOW ? seq - DENIED_WINDOW : 0,
				&reader, NULL);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	while ((r = journal_reader_next(reader, &rec, NULL)) > 0) {
		if (RECORD_HAS(&rec, F_COUNT) && rec.type == RECORD_CHECKPOINT)
			v->denied = rec.count;
		if (RECORD_HAS(&rec, F_COUNT) && rec.type == RECORD_SUMMARY &&
		    !RECORD_HAS(&rec, F_RESULT)) /* else of a quota */
			v->denied += rec.count;
		if (rec.type != RECORD_DENIED)
			continue;
		v->denied = RECORD_HAS(&rec, F_COUNT) ? rec.count : v->denied + 1;
		keep_denial(v, &rec, rec.path);
	}
	journal_reader_close(reader);
	return r;
}

static int denial_errno(enum policy_result r)
{
	switch (r) {
	case POLICY_ALLOW:
	case POLICY_SCRATCH:
		return 0;
	case POLICY_DENY:
		return -EACCES;
	case POLICY_DENY_RO:
		return -EROFS;
	}
	return -EACCES;
}

int view_check(struct view *v, const struct view_ctx *ctx, struct check *c)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	struct policy_verdict verdict;
	bool in_base;
	int r;

	c->scratch = false;
	if (ctx->internal)
		return 0;
	r = tree_path_child(&v->rec.tree, c->at.dir, c->at.name, c->at.len, &path);
	if (r == -ENOENT) /* in a folder that was removed: nothing can be made there anyway */
		return 0;
	if (r < 0)
		return r;
	if (v->frozen) {
		journal_denial(v, ctx, c->rop, &c->at, c->node, path.data, RULE_FROZEN, -EROFS, 0);
		return -EROFS;
	}
	verdict = ask(v, path.data, c->op, c->dir, c->node != 0, &in_base);
	c->scratch = verdict.result == POLICY_SCRATCH;
	r = denial_errno(verdict.result);
	if (r < 0)
		journal_denial(v, ctx, c->rop, &c->at, c->node, path.data, verdict.rule, r, 0);
	return r;
}

struct names {
	struct view *v;
	const struct view_ctx *ctx;
	uint64_t id;
	enum policy_op op;
	enum record_op rop;
};

static int check_name(uint64_t dir, const char *name, size_t len, void *user)
{
	struct names *n = user;
	struct check c = {
		.op = n->op,
		.rop = n->rop,
		.at = {dir, name, len},
		.node = n->id,
		.dir = tree_is_dir(&n->v->rec.tree, n->id),
	};

	return view_check(n->v, n->ctx, &c);
}

int view_check_node(struct view *v, const struct view_ctx *ctx, uint64_t id, enum policy_op op,
		    enum record_op rop)
{
	struct names n = {v, ctx, id, op, rop};
	struct policy_verdict verdict;
	bool in_base;
	int r;

	if (ctx->internal)
		return 0;
	if (v->frozen && id == NODE_ROOT) {
		journal_denial(v, ctx, rop, NULL, id, "", RULE_FROZEN, -EROFS, 0);
		return -EROFS;
	}
	if (id != NODE_ROOT)
		return tree_each_name(&v->rec.tree, id, check_name, &n);
	verdict = ask(v, "", op, true, true, &in_base);
	r = denial_errno(verdict.result);
	if (r < 0)
		journal_denial(v, ctx, rop, NULL, id, "", verdict.rule, r, 0);
	return r;
}

/* --- whole folders --- */

struct walk {
	struct view *v;
	const struct view_ctx *ctx;
	struct buf from, to; /* paths of the folder at hand on both sides */
	unsigned int depth;  /* the walk is on our stack, which an agent may not exhaust */
};

static int walk_dir(struct walk *w, uint64_t dir);

static int walk_name(struct walk *w, uint64_t dir, uint64_t id, const char *name, size_t len)
{
	size_t from = w->from.len, to = w->to.len;
	bool is_dir = tree_is_dir(&w->v->rec.tree, id), in_base;
	struct policy_verdict verdict;
	struct place at = {dir, name, len};
	const char *path;
	int r = 0;

	if (buf_addc(&w->from, '/') < 0 || buf_add(&w->from, name, len) < 0 ||
	    buf_addc(&w->to, '/') < 0 || buf_add(&w->to, name, len) < 0)
		return -ENOMEM;
	path = w->from.data;
	verdict = ask(w->v, path, POLICY_RENAME_FROM, is_dir, true, &in_base);
	if (!denial_errno(verdict.result)) {
		path = w->to.data;
		verdict = ask(w->v, path, POLICY_RENAME_TO, is_dir, false, &in_base);
	}
	r = denial_errno(verdict.result);
	if (r < 0)
		journal_denial(w->v, w->ctx, OP_RENAME, &at, id, path, verdict.rule, r, 0);
	else if (is_dir)
		r = walk_dir(w, id);
	w->from.len = from;
	w->from.data[from] = '\0';
	w->to.len = to;
	w->to.data[to] = '\0';
	return r;
}

static int walk_dir(struct walk *w, uint64_t dir)
{
	uint64_t cookie = 0, id;
	enum policy_result a, b;
	const char *name;
	size_t len;
	int r = 0;

	if (policy_uniform_below(w->v->policy, w->from.data, &a) && a == POLICY_ALLOW &&
	    policy_uniform_below(w->v->policy, w->to.data, &b) && b == POLICY_ALLOW)
		return 0;
	if (w->depth == TREE_DEPTH_MAX || w->to.len > TREE_PATH_MAX)
		return -ENAMETOOLONG;
	if (view_seed_unread(w->v, dir))
		return -EAGAIN;
	w->depth++;
	while (r == 0 && tree_readdir(&w->v->rec.tree, dir, cookie, &cookie, &id, &name, &len) > 0)
		r = walk_name(w, dir, id, name, len);
	w->depth--;
	return r;
}

int view_check_subtree(struct view *v, const struct view_ctx *ctx, uint64_t dir,
		       const struct place *from, const struct place *to)
{
	struct walk w = {.v = v, .ctx = ctx};
	int r;

	if (ctx->internal)
		return 0;
	r = tree_path_child(&v->rec.tree, from->dir, from->name, from->len, &w.from);
	if (r == 0)
		r = tree_path_child(&v->rec.tree, to->dir, to->name, to->len, &w.to);
	if (r == 0)
		r = walk_dir(&w, dir);
	buf_release(&w.from);
	buf_release(&w.to);
	return r;
}

/* --- what the role sees --- */

struct seen {
	struct view *v;
	uint64_t id;
	bool dir, denied;
};

static bool path_denied(const struct view *v, const char *path, bool dir)
{
	bool in_base;

	if (dir)
		return !policy_may_make_in(v->policy, path);
	return denial_errno(ask(v, path, POLICY_WRITE, false, true, &in_base).result) != 0;
}

static int see_name(uint64_t dir, const char *name, size_t len, void *user)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	struct seen *s = user;

	if (tree_path_child(&s->v->rec.tree, dir, name, len, &path) == 0)
		s->denied |= path_denied(s->v, path.data, s->dir);
	return s->denied;
}

static bool node_denied(struct view *v, uint64_t id, bool dir)
{
	struct seen s = {v, id, dir, false};

	if (id == NODE_ROOT)
		return path_denied(v, "", true);
	(void)tree_each_name(&v->rec.tree, id, see_name, &s);
	return s.denied;
}

bool view_hidden(struct view *v, const struct place *at, bool dir)
{
	_cleanup_buf_ struct buf path = BUF_INIT;

	return tree_path_child(&v->rec.tree, at->dir, at->name, at->len, &path) == 0 &&
	       policy_hidden(v->policy, path.data, dir);
}

void view_mask_attr(struct view *v, struct node_attr *a, const struct place *at)
{
	bool dir = S_ISDIR(a->mode), denied;

	if (S_ISLNK(a->mode))
		return;
	if (at && a->nlink <= 1 && !dir) {
		_cleanup_buf_ struct buf path = BUF_INIT;

		denied = tree_path_child(&v->rec.tree, at->dir, at->name, at->len, &path) == 0 &&
			 path_denied(v, path.data, false);
	} else {
		denied = node_denied(v, a->id, dir);
	}
	if (denied)
		a->mode &= ~0222u;
}

bool view_denied_by(struct view *v, struct policy *p, uint64_t id)
{
	struct policy *now = v->policy;
	bool denied;

	v->policy = p;
	denied = node_denied(v, id, tree_is_dir(&v->rec.tree, id));
	v->policy = now;
	return denied;
}

/* Only where it can matter: a mark for everything that is read would cost 2 MiB on 50,000 files. */
void view_mark_stale(struct view *v, uint64_t id)
{
	if (!node_denied(v, id, tree_is_dir(&v->rec.tree, id)))
		return;
	(void)table_put(&v->stale, id, v); /* without memory one refusal too many is inferred */
}

void view_infer_denial(struct view *v, const struct view_ctx *ctx, uint64_t id)
{
	_cleanup_buf_ struct buf path = BUF_INIT;
	bool dir = tree_is_dir(&v->rec.tree, id), in_base;
	struct policy_verdict verdict;
	const char *name = "";
	struct place at = {0};
	size_t len = 0;
	int r;

	if (view_is_poker(v, ctx) || table_remove(&v->stale, id) || !ctx->uid || !ctx->pid ||
	    ctx->internal || !node_denied(v, id, dir))
		return;
	if (id != NODE_ROOT && tree_parent(&v->rec.tree, id, &at.dir, &name, &len) < 0)
		return;
	at.name = name;
	at.len = len;
	if (tree_path(&v->rec.tree, id, &path) < 0)
		return;
	verdict = ask(v, path.data, dir ? POLICY_ATTR : POLICY_WRITE, dir, true, &in_base);
	r = denial_errno(verdict.result);
	journal_denial(v, ctx, OP_OPEN, id == NODE_ROOT ? NULL : &at, id, path.data, verdict.rule,
		       r ? r : -EACCES, RECORD_F_INFERRED);
}

int view_note_refusal(struct view *v, enum record_op op, const char *path, const char *rule_text,
		      const char *outcome)
{
	const struct view_ctx self = {.uid = v->conf.uid, .gid = v->conf.gid, .internal = true};
	struct record rec;
	int r;

	pthread_mutex_lock(&v->lock);
	view_record(v, &self, &rec, op);
	rec.type = RECORD_DENIED;
	rec.time = sys_now_ns();
	RECORD_SET(&rec, result, F_RESULT, -EACCES);
	RECORD_SET(&rec, path, F_PATH, ((struct bytes){path, strlen(path)}));
	RECORD_SET(&rec, rule_text, F_RULE_TEXT, ((struct bytes){rule_text, strlen(rule_text)}));
	RECORD_SET(&rec, outcome, F_OUTCOME, ((struct bytes){outcome, strlen(outcome)}));
	RECORD_SET(&rec, policy_hash, F_POLICY_HASH,
		   ((struct bytes){(const char *)policy_hash(v->policy), 32}));
	RECORD_SET(&rec, count, F_COUNT, v->denied + 1);
	r = view_commit(v, &rec);
	if (r == 0) {
		keep_denial(v, &rec, rec.path);
		v->denied++;
		v->last_denied = (int64_t)rec.time;
	}
	pthread_mutex_unlock(&v->lock);
	return r;
}

/* --- shown in .agentfs/control/denied --- */

static int add_denial(const struct denial *d, struct buf *b)
{
	time_t when = (time_t)(d->time / 1000000000);
	char text[32];
	struct tm tm;

	gmtime_r(&when, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return buf_addf(b, "%s %s %s pid %u (%s): %s\n", text, record_op_name(d->op),
			d->path ? d->path : "?", d->pid, d->comm, d->rule ? d->rule : "?");
}

int view_denied_list(const struct view *v, struct buf *ret)
{
	uint64_t first = v->kept > DENIED_KEPT ? v->kept - DENIED_KEPT : 0;
	int r = 0;

	if (v->denied > v->kept - first)
		r = buf_addf(ret, "# %" PRIu64 " refusals in all; the rest is in the journal\n",
			     v->denied);
	for (uint64_t i = first; i < v->kept && r == 0; i++)
		r = add_denial(&v->denials[i % DENIED_KEPT], ret);
	return r;
}

int view_denied_text(struct view *v, struct buf *ret)
{
	int r;

	pthread_mutex_lock(&v->lock);
	r = view_denied_list(v, ret);
	pthread_mutex_unlock(&v->lock);
	return r;
}

void view_denials_release(struct view *v)
{
	for (size_t i = 0; i < DENIED_KEPT; i++) {
		free(v->denials[i].path);
		free(v->denials[i].rule);
	}
}
