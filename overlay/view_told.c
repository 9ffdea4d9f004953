/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel has cached and a new policy makes wrong: write bits of nodes, and names that are
 * hidden now or no longer. Timeouts are a day, so all of it is told.
 *
 * The kernel asks for attributes anew then; that is no refusal by mode bits (view_infer_denial()).
 */
#include <string.h>
#include <sys/stat.h>

#include "view_internal.h"

static int add_name(struct told *t, uint64_t dir, const char *name, size_t len)
{
	uint16_t n = (uint16_t)len;
	int r = buf_reserve(&t->names, sizeof(dir) + sizeof(n) + len);

	if (r < 0)
		return r;
	(void)buf_add(&t->names, &dir, sizeof(dir));
	(void)buf_add(&t->names, &n, sizeof(n));
	return buf_add(&t->names, name, len);
}

/* Names of the folder of which the two policies think differently. */
static int add_hidden(struct view *v, const struct policy *old, uint64_t dir, struct told *t)
{
	struct buf path = BUF_INIT;
	size_t before = t->names.len;
	uint64_t cookie = 0, id;
	const char *name;
	size_t len;
	int r = 0;

	while (r == 0 && tree_readdir(&v->rec.tree, dir, cookie, &cookie, &id, &name, &len) > 0) {
		bool is_dir = tree_is_dir(&v->rec.tree, id);

		buf_clear(&path);
		r = tree_path_child(&v->rec.tree, dir, name, len, &path);
		if (r == 0 && policy_hidden(old, path.data, is_dir) !=
				      policy_hidden(v->policy, path.data, is_dir))
			r = add_name(t, dir, name, len);
	}
	if (t->names.len > before)
		view_note_poke(v, dir, VIEW_POKE_ATTR);
	buf_release(&path);
	return r;
}

/* Watchers hear of those whose write bits come or go. */
static int add_node(struct view *v, struct policy *old, uint64_t id, struct told *t)
{
	int r = buf_add(&t->nodes, &id, sizeof(id));

	view_mark_stale(v, id);
	if (old && view_denied_by(v, old, id) != view_denied_by(v, v->policy, id))
		view_note_poke(v, id, VIEW_POKE_ATTR);
	return r == 0 && tree_is_dir(&v->rec.tree, id) ? add_hidden(v, old, id, t) : r;
}

void view_policy_changed(struct view *v, struct policy *old, struct told *ret)
{
	const struct node *n;
	size_t pos = 0;
	int r;

	if (!v->notify)
		return;
	r = add_node(v, old, NODE_ROOT, ret);
	while (r == 0 && (n = table_next(&v->rec.tree.nodes, &pos)))
		if (n->lookups)
			r = add_node(v, old, n->id, ret);
	for (uint32_t place = 1; r == 0 && place < image_count(v->rec.tree.image); place++)
		if (v->rec.tree.base_lookups[place])
			r = add_node(v, old, tree_number(&v->rec.tree, place), ret);
}

void view_tell(struct view *v, struct told *t)
{
	for (size_t at = 0; v->notify && v->notify->inode && at < t->nodes.len; at += 8) {
		uint64_t id;

		memcpy(&id, t->nodes.data + at, sizeof(id));
		v->notify->inode(id, UINT64_MAX, 0, v->notify->user);
	}
	for (size_t at = 0; v->notify && v->notify->entry && at < t->names.len;) {
		uint64_t dir;
		uint16_t n;

		memcpy(&dir, t->names.data + at, sizeof(dir));
		memcpy(&n, t->names.data + at + sizeof(dir), sizeof(n));
		at += sizeof(dir) + sizeof(n);
		v->notify->entry(dir, t->names.data + at, n, v->notify->user);
		if (v->notify->inode) /* its cached listing */
			v->notify->inode(dir, 0, 0, v->notify->user);
		at += n;
	}
	buf_release(&t->nodes);
	buf_release(&t->names);
}
