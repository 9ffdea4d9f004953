/* SPDX-License-Identifier: Apache-2.0 */
#include "radar_view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

enum { TEXT_MAX = 4 << 20 };

int radar_view_open(int dir, int state, const char *agent, struct radar_view *ret,
		    struct err *reterr)
{
	struct radar_view v = {.agent = strdup(agent)};
	int r = v.agent ? snapshot_open(dir, state, 0, &v.snapshot, reterr) : -ENOMEM;

	if (r == 0 && git_oid_fromstr(&v.commit, snapshot_base_commit(v.snapshot)) < 0)
		r = err_set(reterr, -EBADMSG, "the view of %s names no base commit", agent);
	if (r < 0)
		radar_view_release(&v);
	else
		*ret = v;
	return r;
}

void radar_view_release(struct radar_view *v)
{
	for (size_t i = 0; i < v->n; i++) {
		free(v->v[i].path);
		buf_release(&v->v[i].text);
	}
	free(v->v);
	free(v->agent);
	if (v->snapshot)
		snapshot_close(v->snapshot);
	*v = (struct radar_view){0};
}

static int add(const struct snapshot_change *c, void *user)
{
	struct radar_view *v = user;
	struct radar_path *p;

	if (c->scratch || (c->status != 'D' && c->st.seed))
		return 0;
	if (v->n == v->cap) {
		size_t cap = v->cap ? 2 * v->cap : 64;

		p = realloc(v->v, cap * sizeof(*p));
		if (!p)
			return -ENOMEM;
		v->v = p;
		v->cap = cap;
	}
	p = &v->v[v->n];
	*p = (struct radar_path){.path = strdup(c->path), .status = c->status};
	if (!p->path)
		return -ENOMEM;
	v->n++;
	if (c->status != 'D') {
		p->mode = c->st.mode;
		p->node = c->st.node;
		p->size = c->st.size;
	}
	if (c->base) {
		memcpy(p->base.id, c->base->oid, GIT_OID_RAWSZ);
		p->base_mode = c->base->mode;
	}
	return 0;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct radar_path *)a)->path, ((const struct radar_path *)b)->path);
}

int radar_view_list(struct radar_view *v, struct err *reterr)
{
	int r = snapshot_changes(v->snapshot, add, v);

	if (r < 0)
		return err_set(reterr, r, "listing what %s has changed: %s", v->agent,
			       strerror(-r));
	if (v->n)
		qsort(v->v, v->n, sizeof(*v->v), by_path);
	return 0;
}

int radar_path_read(struct radar_view *v, struct radar_path *p)
{
	int r;

	if (p->read)
		return 0;
	if (p->size > TEXT_MAX)
		return -EFBIG;
	r = buf_reserve(&p->text, p->size + 1);
	while (r == 0 && p->text.len < p->size) {
		ssize_t k = snapshot_read(v->snapshot, p->node, p->text.len,
					  p->text.data + p->text.len, p->size - p->text.len);

		if (k <= 0)
			return k < 0 ? (int)k : -EIO;
		p->text.len += (size_t)k;
	}
	p->read = r == 0;
	return r;
}
