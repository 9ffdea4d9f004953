/* SPDX-License-Identifier: Apache-2.0 */
#include "radar_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "symbol_diff.h"

/* Beyond these a view is at something that names tell little about (generated code, a mass rename). */
enum { PATHS_MAX = 300, TEXT_MAX = 1 << 20 };

struct gather {
	struct radar_names n;
	size_t capgone, capused, capdeclared;
	char **declared; /* in a file of the view, and not in what its base has there */
	size_t ndeclared;
};

static int grow(void **v, size_t n, size_t *cap, size_t size)
{
	size_t more = *cap ? 2 * *cap : 32;
	void *p;

	if (n < *cap)
		return 0;
	p = realloc(*v, more * size);
	if (!p)
		return -ENOMEM;
	*v = p;
	*cap = more;
	return 0;
}

static int add(struct radar_name **v, size_t *n, size_t *cap, const char *name, const char *path,
	       uint32_t line, bool changed)
{
	int r = grow((void **)v, *n, cap, sizeof(**v));
	char *copy = r == 0 ? strdup(name) : NULL;

	if (!copy)
		return -ENOMEM;
	(*v)[(*n)++] = (struct radar_name){copy, path, line, changed};
	return 0;
}

static int add_gone(struct gather *g, const char *path, const struct symbols *before,
		    const struct symbols *now)
{
	struct symbol_gone *v = NULL;
	size_t n = 0;
	int r = symbols_gone(before, now, &v, &n);

	for (size_t i = 0; i < n && r == 0; i++)
		r = add(&g->n.gone, &g->n.ngone, &g->capgone, v[i].was->name, path, v[i].was->from,
			v[i].changed);
	free(v);
	return r;
}

static int add_used(struct gather *g, const char *path, const struct symbols *before,
		    const struct symbols *now)
{
	const struct symbol_use **v = NULL;
	size_t n = 0;
	int r = symbols_newly_used(before, now, &v, &n);

	for (size_t i = 0; i < n && r == 0; i++)
		r = add(&g->n.used, &g->n.nused, &g->capused, v[i]->name, path, v[i]->line, false);
	free(v);
	return r;
}

/* What is new here may be what is gone elsewhere: then it moved. */
static int add_declared(struct gather *g, const struct symbols *before, const struct symbols *now)
{
	struct symbol_gone *v = NULL;
	size_t n = 0;
	int r = symbols_gone(now, before, &v, &n);

	for (size_t i = 0; i < n && r == 0; i++) {
		if (v[i].changed)
			continue;
		r = grow((void **)&g->declared, g->ndeclared, &g->capdeclared, sizeof(char *));
		if (r == 0)
			g->declared[g->ndeclared] = strdup(v[i].was->name);
		if (r == 0 && !g->declared[g->ndeclared++])
			r = -ENOMEM;
	}
	free(v);
	return r;
}

static int symbols_of(struct parser *p, const char *path, struct text t, struct symbols *ret)
{
	*ret = (struct symbols){0};
	return t.n && t.n <= TEXT_MAX ? parser_symbols(p, path, t, ret, NULL) : t.n ? -EFBIG : 0;
}

static int one_path(struct gather *g, struct parser *p, struct radar_path *path, struct text before,
		    struct text now)
{
	struct symbols b = {0}, n = {0};
	int r = symbols_of(p, path->path, before, &b);

	if (r == 0)
		r = symbols_of(p, path->path, now, &n);
	/* Unknown to the parser, or too much for it: no names. */
	if (r < 0 && r != -ENOMEM) {
		symbols_release(&b);
		symbols_release(&n);
		return 0;
	}
	if (r == 0)
		r = add_gone(g, path->path, &b, &n);
	if (r == 0)
		r = add_used(g, path->path, &b, &n);
	if (r == 0)
		r = add_declared(g, &b, &n);
	symbols_release(&b);
	symbols_release(&n);
	return r;
}

static int read_path(git_repository *git, struct parser *p, struct radar_view *v,
		     struct radar_path *path, struct gather *g)
{
	git_blob *blob = NULL;
	struct text before = {0}, now = {0};
	int r = 0;

	if ((path->status != 'D' && !S_ISREG(path->mode)) || path->size > TEXT_MAX)
		return 0;
	if (path->status != 'D')
		r = radar_path_read(v, path);
	if (r == -ENOMEM)
		return r;
	if (r == 0 && path->base_mode && git_blob_lookup(&blob, git, &path->base) == 0)
		before = (struct text){git_blob_rawcontent(blob), (size_t)git_blob_rawsize(blob)};
	if (r == 0 && path->text.len)
		now = (struct text){path->text.data, path->text.len};
	r = r == 0 ? one_path(g, p, path, before, now) : 0;
	git_blob_free(blob);
	return r;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct radar_name *)a)->name, ((const struct radar_name *)b)->name);
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void leave_out_moved(struct gather *g)
{
	size_t n = 0;

	if (g->ndeclared)
		qsort(g->declared, g->ndeclared, sizeof(char *), by_text);
	for (size_t i = 0; i < g->n.ngone; i++) {
		struct radar_name *x = &g->n.gone[i];

		if (g->ndeclared &&
		    bsearch(&x->name, g->declared, g->ndeclared, sizeof(char *), by_text))
			free(x->name);
		else
			g->n.gone[n++] = *x;
	}
	g->n.ngone = n;
}

int radar_names_of(git_repository *git, struct parser *p, struct radar_view *v,
		   struct radar_names *ret)
{
	struct gather g = {0};
	int r = 0;

	for (size_t i = 0; i < v->n && v->n <= PATHS_MAX && r == 0; i++)
		r = read_path(git, p, v, &v->v[i], &g);
	if (r == 0)
		leave_out_moved(&g);
	if (g.n.ngone)
		qsort(g.n.gone, g.n.ngone, sizeof(*g.n.gone), by_name);
	if (g.n.nused)
		qsort(g.n.used, g.n.nused, sizeof(*g.n.used), by_name);
	for (size_t i = 0; i < g.ndeclared; i++)
		free(g.declared[i]);
	free(g.declared);
	if (r < 0)
		radar_names_release(&g.n);
	else
		*ret = g.n;
	return r;
}

void radar_names_release(struct radar_names *n)
{
	for (size_t i = 0; i < n->ngone; i++)
		free(n->gone[i].name);
	for (size_t i = 0; i < n->nused; i++)
		free(n->used[i].name);
	free(n->gone);
	free(n->used);
	*n = (struct radar_names){0};
}

int radar_names_meet(const struct radar_names *gone, const struct radar_names *used,
		     radar_names_fn fn, void *user)
{
	size_t i = 0, k = 0;
	int r = 0;

	while (i < gone->ngone && k < used->nused && r == 0) {
		int order = strcmp(gone->gone[i].name, used->used[k].name);

		if (order == 0)
			r = fn(&gone->gone[i], &used->used[k], user);
		/* One name may be used in several files. */
		i += order < 0;
		k += order >= 0;
	}
	return r;
}
