/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changed since a token: the view's answer to git's fsmonitor (hook protocol 2), so that a status
 * costs what changed. Read as /.agentfs/control/changes@TOKEN; the answer is a new token and paths, each
 * ended by NUL; a path that ends in '/' means everything below it, the path "/" everything.
 *
 * Tokens: "agentfs1:base", the state of the base image (what a prepared index says), answered from the
 * tree at any time; "agentfs1:CONNECTION:SEQ", answered from recent.h while the connection lives and
 * reaches back that far. Anything else is answered with "/": slower, never wrong.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "image_build.h"
#include "recent.h"
#include "view_internal.h"

struct answer {
	struct view *v;
	struct buf *out;
	int r;
};

static void add_path(struct answer *a, uint64_t dir, const char *name, size_t len, bool is_dir)
{
	size_t start = a->out->len;

	if (a->r < 0 || view_in_git(a->v, dir, name, len))
		return;
	a->r = tree_path_child(&a->v->rec.tree, dir, name, len, a->out);
	if (a->r == -ENOENT) { /* its folder is gone, and is noted itself */
		a->out->len = start;
		a->r = 0;
		return;
	}
	if (a->r == 0 && is_dir)
		a->r = buf_addc(a->out, '/');
	if (a->r == 0)
		a->r = buf_addc(a->out, '\0');
}

static int add_note(const struct recent_note *n, void *user)
{
	struct answer *a = user;

	add_path(a, n->dir, n->name, n->len, n->is_dir);
	return a->r;
}

static int add_name(uint64_t dir, const char *name, size_t len, void *user)
{
	struct answer *a = user;

	add_path(a, dir, name, len, false);
	return a->r;
}

/* What came from the main worktree and is unchanged is ignored by git, and no change. (A folder of
 * such that was moved is named itself.) */
static bool is_seed(const struct tree *t, uint64_t id)
{
	const struct node *n = tree_node(t, id);

	return n && (n->flags & NODE_F_SEED);
}

/* Every name that is not as in the base: entries, whiteouts among them, and changed files. */
static void add_all(struct answer *a)
{
	const struct tree *t = &a->v->rec.tree;
	const struct node *n;
	size_t pos = 0;
	uint64_t base;

	for (size_t i = 0; i < t->nbuckets && a->r == 0; i++)
		for (const struct entry *e = t->buckets[i]; e && a->r == 0; e = e->hash_next) {
			if (is_seed(t, e->child))
				continue;
			add_path(a, e->dir, e->name, e->len,
				 (e->child && tree_is_dir(t, e->child)) ||
					 (tree_base_has(t, e->dir, e->name, e->len, &base) &&
					  tree_base(t, base)->children));
		}
	while (a->r == 0 && (n = table_next(&t->nodes, &pos)))
		if (!S_ISDIR(n->mode) && !(n->flags & NODE_F_SEED))
			a->r = tree_each_name(t, n->id, add_name, a);
}

int view_changes(struct view *v, const char *token, struct buf *ret)
{
	struct answer a = {.v = v, .out = ret};
	uint64_t connection, since;
	int end = 0;

	a.r = buf_addf(ret, "agentfs1:%016" PRIx64 ":%" PRIu64, v->connection, v->rec.tree.seq);
	if (a.r == 0)
		a.r = buf_addc(ret, '\0');
	if (a.r < 0)
		return a.r;
	/* A prepared index says what the view began with: nothing of a base that a sync has brought. */
	if (strcmp(token, IMAGE_INDEX_TOKEN) == 0 && v->rec.tree.layer == 1)
		add_all(&a);
	else if (sscanf(token, "agentfs1:%16" SCNx64 ":%" SCNu64 "%n", &connection, &since, &end) ==
			 2 &&
		 end > 0 && !token[end] && connection == v->connection && since >= v->recent.floor)
		(void)recent_each(&v->recent, since, add_note, &a);
	else
		a.r = buf_add(ret, "/", 2);
	return a.r;
}

static int note_name(uint64_t dir, const char *name, size_t len, void *user)
{
	struct view *v = user;

	recent_add(&v->recent, v->rec.tree.seq, dir, name, len, false);
	return 0;
}

void view_note_change(struct view *v, const struct record *rec)
{
	bool is_dir = rec->op == OP_MKDIR || rec->op == OP_RMDIR;

	if (rec->type != RECORD_OP || rec->op == OP_SEED || (rec->flags & RECORD_F_GIT))
		return;
	if (rec->op == OP_RENAME)
		is_dir = tree_is_dir(&v->rec.tree, rec->node) ||
			 (RECORD_HAS(rec, F_NODE2) && tree_is_dir(&v->rec.tree, rec->node2));
	if (RECORD_HAS(rec, F_PARENT))
		recent_add(&v->recent, rec->seq, rec->parent, rec->name.p, rec->name.n, is_dir);
	if (RECORD_HAS(rec, F_PARENT2))
		recent_add(&v->recent, rec->seq, rec->parent2, rec->name2.p, rec->name2.n, is_dir);
	if (!RECORD_HAS(rec, F_PARENT) && !RECORD_HAS(rec, F_PARENT2) &&
	    !tree_is_dir(&v->rec.tree, rec->node))
		(void)tree_each_name(&v->rec.tree, rec->node, note_name, v);
}
