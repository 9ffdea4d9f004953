/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the base of a checkpoint, where a sync has moved the view off its first one. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "checkpoint_impl.h"
#include "sys.h"

int checkpoint_load_base(struct tree *t, const struct record *rec)
{
	char name[256];
	int r;

	if (t->image_opened || t->nodes.used || rec->count < 2 || rec->count > NODE_LAYERS_MAX ||
	    !rec->name.n || rec->name.n >= sizeof(name) || memchr(rec->name.p, '/', rec->name.n) ||
	    memchr(rec->name.p, '\0', rec->name.n) || !rec->name2.n || !t->images.open)
		return -EBADMSG;
	memcpy(name, rec->name.p, rec->name.n);
	name[rec->name.n] = '\0';
	r = t->images.open(name, &t->image, t->images.user);
	if (r < 0)
		return r;
	t->image_opened = true;
	t->layer = (uint32_t)rec->count;
	t->image_name = sys_strdup(name);
	t->base_commit = strndup(rec->name2.p, rec->name2.n);
	base_map_release(&t->base);
	return t->image_name && t->base_commit ? 0 : -ENOMEM;
}

int checkpoint_load_runs(struct tree *t, const struct record *rec)
{
	int r = t->image_opened && !t->base.by_id && rec->value.n % CKPT_RUN_SIZE == 0 ? 0
										       : -EBADMSG;

	for (size_t at = 0; r == 0 && at < rec->value.n; at += CKPT_RUN_SIZE) {
		struct base_run run;
		uint64_t v[3];

		memcpy(v, rec->value.p + at, sizeof(v));
		run = (struct base_run){.place = (uint32_t)le64toh(v[0]),
					.len = (uint32_t)(le64toh(v[0]) >> 32),
					.id = le64toh(v[1]),
					.time = (int64_t)le64toh(v[2])};
		if (run.id >> NODE_LAYER_SHIFT > t->layer)
			return -EBADMSG;
		r = base_map_add(&t->base, &run);
	}
	if (r == 0 && t->base.n) {
		const struct base_run *last = &t->base.runs[t->base.n - 1];

		if (last->place + last->len == image_count(t->image))
			r = base_map_finish(&t->base, image_count(t->image));
	}
	return r;
}

int checkpoint_load_kept(struct tree *t, const struct record *rec)
{
	struct kept *k;
	int r;

	if (!t->image_opened || rec->node <= EXTENT_INDEX || rec->node >> NODE_LAYER_SHIFT == 0 ||
	    rec->node >> NODE_LAYER_SHIFT > t->layer || rec->size > INT64_MAX ||
	    rec->value.n != sizeof(k->oid) || table_get(&t->kept, rec->node))
		return -EBADMSG;
	k = sys_calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->id = rec->node;
	k->size = rec->size;
	memcpy(k->oid, rec->value.p, sizeof(k->oid));
	r = table_put(&t->kept, k->id, k);
	if (r < 0)
		free(k);
	return r;
}

/* The number, and what the base says of it. */
bool checkpoint_number_ok(const struct tree *t, const struct node *n)
{
	const struct image_node *b = tree_base(t, n->id);
	struct base_content c;

	if (n->flags & NODE_F_BASE_TARGET && (!S_ISLNK(n->mode) || tree_content(t, n->id, &c) < 0))
		return false;
	if (b && n->flags & NODE_F_SEED)
		return false;
	if (b && (n->mode & S_IFMT) != (node_base_mode(b) & S_IFMT))
		return false;
	if (!b && n->flags & NODE_F_BASE_NAME)
		return false;
	if (n->id >> NODE_LAYER_SHIFT) /* a base's, this one's or an earlier one's */
		return b || (t->layer > 1 && n->id >> NODE_LAYER_SHIFT <= t->layer);
	return n->id == NODE_ROOT ||
	       (n->id < t->next_upper && (n->id >= NODE_UPPER_FIRST || n->id == NODE_AGENTFS));
}
