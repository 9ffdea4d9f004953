/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Op radar: which views of a repository work on the same, and what would become of it.
 *
 * Guarantees: (1) views are read as their files have them, no server is asked and nothing is written; (2) cost grows with what
 * the views have changed, not with the repository; only paths that two views have both changed are read;
 * (3) only pairs with a view that is named in `changed` are compared; (4) a pair's path is told once. What cannot be
 * compared (binary, too large, damaged) is told as such, and costs only itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "odb.h"
#include "overlap.h"
#include "radar_names.h"
#include "radar_view.h"
#include "treewalk.h"
#include "worker_ops.h"
#include "worker_run.h"

enum { VIEWS_MAX = 1000, OVERLAPS_MAX = 5000, BINARY_LOOK = 8000 };

struct radar {
	struct radar_view *v;
	size_t n;
};

/* One path of two views under comparison. */
struct meeting {
	struct worker *w;
	struct radar_view *view[2];
	struct radar_path *path[2];
	struct buf base;
	bool has_base;
	const struct resolve_options *options;
	json_t *overlaps;
};

static int open_one(struct worker *w, struct radar *ra, const json_t *o, struct err *reterr)
{
	const char *agent = json_string_value(json_object_get(o, "agent"));
	const char *path = json_string_value(json_object_get(o, "dir"));
	_cleanup_close_ int dir = -1;
	int r;

	if (!agent || !path)
		return err_set_id(reterr, -EINVAL, "Invalid", "each of 'views' has agent and dir");
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 && errno == ENOENT)
		return 0; /* closed since the daemon looked */
	if (dir < 0)
		return err_set(reterr, -errno, "opening '%s': %s", path, strerror(errno));
	r = radar_view_open(dir, w->state_fd, agent, &ra->v[ra->n], reterr);
	if (r == 0)
		ra->n++;
	return r;
}

int radar_prepare(struct worker *w, struct err *reterr)
{
	json_t *views = json_object_get(w->req, "views"), *o;
	size_t i, n = json_array_size(views);

	if (n > VIEWS_MAX)
		return err_set_id(reterr, -E2BIG, "TooLarge", "more than %d views", VIEWS_MAX);
	w->radar = calloc(1, sizeof(*w->radar));
	if (w->radar)
		w->radar->v = calloc(n + 1, sizeof(*w->radar->v));
	if (!w->radar || !w->radar->v)
		return -ENOMEM;
	json_array_foreach (views, i, o) {
		struct err e = ERR_INIT;

		/* One that is damaged is out of sight; the others are not. */
		if (open_one(w, w->radar, o, &e) == -EINVAL) {
			*reterr = e;
			return -EINVAL;
		}
		err_release(&e);
	}
	return 0;
}

void radar_finish(struct worker *w)
{
	if (!w->radar)
		return;
	for (size_t i = 0; w->radar->v && i < w->radar->n; i++)
		radar_view_release(&w->radar->v[i]);
	free(w->radar->v);
	free(TAKE_PTR(w->radar));
}

/* ---- one path of two views ---- */

static int read_blob(struct meeting *m, const git_oid *oid)
{
	git_blob *b = NULL;
	int r = git_blob_lookup(&b, m->w->repo.git, oid);

	if (r < 0)
		return -EIO;
	r = buf_add(&m->base, git_blob_rawcontent(b), (size_t)git_blob_rawsize(b));
	git_blob_free(b);
	return r;
}

/* What both come from: the base's file, or where the bases differ, that of their merge base. */
static int read_base(struct meeting *m)
{
	struct radar_path *a = m->path[0], *b = m->path[1];
	struct tree_entry e = {0};
	git_commit *c = NULL;
	git_oid base;
	int r = 0;

	if (a->base_mode && b->base_mode && git_oid_equal(&a->base, &b->base)) {
		m->has_base = true;
		return read_blob(m, &a->base);
	}
	if (!a->base_mode && !b->base_mode)
		return 0;
	if (git_merge_base(&base, m->w->repo.git, &m->view[0]->commit, &m->view[1]->commit) < 0)
		return 0; /* unrelated: as if both had added it */
	if (git_commit_lookup(&c, m->w->repo.git, &base) < 0)
		return -EIO;
	r = tree_get(m->w->repo.git, git_commit_tree_id(c), a->path, &e);
	git_commit_free(c);
	if (r < 0 || !e.mode)
		return r;
	m->has_base = true;
	return read_blob(m, &e.oid);
}

static bool is_binary(const struct buf *b)
{
	return b->len && memchr(b->data, 0, b->len < BINARY_LOOK ? b->len : BINARY_LOOK);
}

static struct text text_of(const struct buf *b)
{
	return (struct text){b->len ? b->data : "", b->len};
}

static json_t *range(size_t from, size_t to)
{
	return json_pack("{s:I,s:I}", "from", (json_int_t)from + 1, "to",
			 (json_int_t)(to > from ? to : from + 1));
}

static json_t *places(const struct overlap *o)
{
	json_t *all = json_array();

	for (size_t i = 0; i < o->n; i++) {
		const struct overlap_place *p = &o->place[i];

		(void)json_array_append_new(
			all,
			json_pack("{s:o,s:o,s:o,s:b}", "declaration",
				  worker_text(p->declaration.n ? p->declaration.p : "",
					      p->declaration.n < 200 ? p->declaration.n : 200),
				  "first", range(p->from[OURS], p->to[OURS]), "second",
				  range(p->from[THEIRS], p->to[THEIRS]), "by_rule", p->resolved));
	}
	return all;
}

static int tell(struct meeting *m, const char *kind, const char *tier, double clean, json_t *where)
{
	const char *path = m->path[0]->path;

	return json_array_append_new(
		m->overlaps,
		json_pack("{s:[s,s],s:o,s:s,s:s?,s:f,s:o}", "agents", m->view[0]->agent,
			  m->view[1]->agent, "path", worker_text(path, strlen(path)), "kind", kind,
			  "tier", tier, "clean", clean, "places", where ? where : json_array()));
}

static int tell_texts(struct meeting *m)
{
	struct text t[SIDES] = {text_of(&m->base), text_of(&m->path[0]->text),
				text_of(&m->path[1]->text)};
	static const char *const kinds[] = {[OVERLAP_FILE] = "file",
					    [OVERLAP_DECLARATION] = "declaration",
					    [OVERLAP_LINES] = "lines"};
	struct overlap o;
	int r = overlap_texts(m->path[0]->path, t, m->options, &o);

	if (r < 0 || o.kind == OVERLAP_NONE)
		return r;
	return tell(m, kinds[o.kind],
		    !o.conflicts ? "clean-merge"
		    : o.left	 ? NULL
				 : "auto-resolve",
		    o.clean, places(&o));
}

static int compare(struct meeting *m)
{
	struct radar_path *a = m->path[0], *b = m->path[1];
	int r;

	if (a->status == 'D' && b->status == 'D')
		return 0;
	if (a->status == 'D' || b->status == 'D')
		return tell(m, "deleted", NULL, 0, NULL);
	r = radar_path_read(m->view[0], a);
	if (r == 0)
		r = radar_path_read(m->view[1], b);
	if (r == -EFBIG || r == -EIO)
		return tell(m, "binary", NULL, 0, NULL);
	if (r == 0 && text_equal(text_of(&a->text), text_of(&b->text)))
		return 0;
	if (r == 0)
		r = read_base(m);
	if (r == -EIO || (r == 0 && (!S_ISREG(a->mode) || !S_ISREG(b->mode) ||
				     is_binary(&a->text) || is_binary(&b->text))))
		return tell(m, S_ISREG(a->mode) && S_ISREG(b->mode) ? "binary" : "type", NULL, 0,
			    NULL);
	return r < 0 ? r : tell_texts(m);
}

/* Both made it, where git ignores it: caches and build output of each. */
static bool is_ignored(struct meeting *m)
{
	int ignored = 0;

	return m->path[0]->status == 'A' && m->path[1]->status == 'A' &&
	       git_ignore_path_is_ignored(&ignored, m->w->repo.git, m->path[0]->path) == 0 &&
	       ignored;
}

static int meet(struct worker *w, struct radar_view *a, struct radar_view *b,
		const struct resolve_options *options, json_t *overlaps)
{
	size_t i = 0, k = 0;
	int r = 0;

	while (i < a->n && k < b->n && r == 0) {
		int order = strcmp(a->v[i].path, b->v[k].path);

		if (order == 0) {
			struct meeting m = {.w = w,
					    .view = {a, b},
					    .path = {&a->v[i], &b->v[k]},
					    .options = options,
					    .overlaps = overlaps};

			if (json_array_size(overlaps) < OVERLAPS_MAX && !is_ignored(&m))
				r = compare(&m);
			buf_release(&m.base);
		}
		i += order <= 0;
		k += order >= 0;
	}
	return r;
}

/* ---- names ---- */

struct naming {
	const char *remover, *user;
	json_t *overlaps;
};

static int tell_name(const struct radar_name *gone, const struct radar_name *used, void *user)
{
	struct naming *n = user;
	size_t len = strlen(used->path);

	if (json_array_size(n->overlaps) >= OVERLAPS_MAX)
		return 0;
	return json_array_append_new(
		n->overlaps,
		json_pack("{s:[s,s],s:o,s:s,s:s,s:f,s:o,s:o,s:b,s:[{s:o,s:o,s:o,s:b}]}", "agents",
			  n->remover, n->user, "path", worker_text(used->path, len), "kind", "use",
			  "tier", "clean-merge", "clean", 1.0, "name",
			  worker_text(used->name, strlen(used->name)), "declared_in",
			  worker_text(gone->path, strlen(gone->path)), "changed", gone->changed,
			  "places", "declaration", worker_text(used->name, strlen(used->name)),
			  "first", range(gone->line - 1, gone->line), "second",
			  range(used->line - 1, used->line), "by_rule", 0));
}

/* What one view removes and another newly uses; nothing where there are no grammars. */
static int meet_names(struct worker *w, struct radar *ra, json_t *overlaps)
{
	struct parser *p = parser_new(&(struct parser_options){0}, NULL);
	struct radar_names *names = p ? calloc(ra->n + 1, sizeof(*names)) : NULL;
	int r = p && !names ? -ENOMEM : 0;

	for (size_t i = 0; names && i < ra->n && r == 0; i++)
		r = radar_names_of(w->repo.git, p, &ra->v[i], &names[i]);
	for (size_t i = 0; names && i < ra->n && r == 0; i++)
		for (size_t k = 0; k < ra->n && r == 0; k++) {
			struct naming n = {ra->v[i].agent, ra->v[k].agent, overlaps};

			if (i != k && (ra->v[i].fresh || ra->v[k].fresh))
				r = radar_names_meet(&names[i], &names[k], tell_name, &n);
		}
	for (size_t i = 0; names && i < ra->n; i++)
		radar_names_release(&names[i]);
	free(names);
	parser_free(p);
	return r;
}

/* ---- all of them ---- */

static void mark_fresh(struct worker *w)
{
	json_t *changed = json_object_get(w->req, "changed"), *s;
	size_t k;

	for (size_t i = 0; i < w->radar->n; i++) {
		struct radar_view *v = &w->radar->v[i];

		v->fresh = !changed;
		json_array_foreach (changed, k, s)
			v->fresh |= strcmp(v->agent,
					   json_string_value(s) ? json_string_value(s) : "") == 0;
	}
}

static int add_views(struct worker *w, json_t *views)
{
	for (size_t i = 0; i < w->radar->n; i++) {
		struct radar_view *v = &w->radar->v[i];

		if (json_array_append_new(views,
					  json_pack("{s:s,s:I,s:I}", "agent", v->agent, "seq",
						    (json_int_t)snapshot_seq(v->snapshot), "paths",
						    (json_int_t)v->n)) < 0)
			return -ENOMEM;
	}
	return 0;
}

int op_radar(struct worker *w, json_t *ret, struct err *reterr)
{
	struct resolve_options options = {
		.cost_of_wrong = (unsigned int)worker_int(w, "cost_of_wrong", COST_OF_WRONG)};
	struct radar *ra = w->radar;
	json_t *overlaps = json_array(), *views = json_array();
	int r = 0;

	(void)json_object_set_new(ret, "overlaps", overlaps);
	(void)json_object_set_new(ret, "views", views);
	mark_fresh(w);
	for (size_t i = 0; i < ra->n && r == 0; i++)
		r = radar_view_list(&ra->v[i], reterr);
	if (r == 0)
		r = add_views(w, views);
	for (size_t i = 0; i < ra->n && r == 0; i++)
		for (size_t k = i + 1; k < ra->n && r == 0; k++)
			if (ra->v[i].fresh || ra->v[k].fresh)
				r = meet(w, &ra->v[i], &ra->v[k], &options, overlaps);
	return r == 0 && ra->n > 1 ? meet_names(w, ra, overlaps) : r;
}
