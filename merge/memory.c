/* SPDX-License-Identifier: Apache-2.0 */
#include "memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

struct memory_entry {
	char key[HUNK_KEY_SIZE];
	char *path;
	char *text[SIDES + 1]; /* the conflict's, and what was kept */
	size_t len[SIDES + 1];
};
enum { KEPT = SIDES };

struct memory {
	struct memory_entry *v;
	size_t n, cap;
};

int memory_new(struct memory **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

static void entry_release(struct memory_entry *e)
{
	free(e->path);
	for (int i = 0; i <= KEPT; i++)
		free(e->text[i]);
}

void memory_free(struct memory *m)
{
	for (size_t i = 0; m && i < m->n; i++)
		entry_release(&m->v[i]);
	if (m)
		free(m->v);
	free(m);
}

static int room(struct memory *m)
{
	size_t cap = m->cap ? 2 * m->cap : 64;
	struct memory_entry *v;

	if (m->n < m->cap)
		return 0;
	v = realloc(m->v, cap * sizeof(*v));
	if (!v)
		return -ENOMEM;
	m->v = v;
	m->cap = cap;
	return 0;
}

int memory_add(struct memory *m, const char *path, struct text base, struct text ours,
	       struct text theirs, struct text kept)
{
	const struct text t[] = {base, ours, theirs, kept};
	struct memory_entry e = {0};
	int r = hunk_key(base, ours, theirs, e.key);

	if (r == 0)
		r = room(m);
	if (r == 0)
		e.path = strdup(path);
	for (int i = 0; i <= KEPT && r == 0; i++) {
		e.text[i] = malloc(t[i].n + 1);
		e.len[i] = t[i].n;
		if (!e.text[i] || !e.path)
			r = -ENOMEM;
		else if (t[i].n)
			memcpy(e.text[i], t[i].p, t[i].n);
	}
	if (r < 0)
		entry_release(&e);
	else
		m->v[m->n++] = e;
	return r;
}

static struct text text_of(const struct memory_entry *e, int which)
{
	return (struct text){e->text[which], e->len[which]};
}

static bool fits(const struct memory_entry *e, const struct conflict *c)
{
	return hunk_same_indent(text_of(e, BASE), c->text[BASE]) &&
	       ((hunk_same_indent(text_of(e, OURS), c->text[OURS]) &&
		 hunk_same_indent(text_of(e, THEIRS), c->text[THEIRS])) ||
		(hunk_same_indent(text_of(e, OURS), c->text[THEIRS]) &&
		 hunk_same_indent(text_of(e, THEIRS), c->text[OURS])));
}

bool memory_find(const struct memory *m, const struct conflict *c, struct text *ret)
{
	const struct memory_entry *found = NULL;
	char key[HUNK_KEY_SIZE];

	if (!m || !m->n || hunk_key(c->text[BASE], c->text[OURS], c->text[THEIRS], key) < 0)
		return false;
	for (size_t i = 0; i < m->n; i++) {
		const struct memory_entry *e = &m->v[i];

		if (strcmp(e->key, key) != 0 || !fits(e, c))
			continue;
		if (!found || strcmp(found->path, c->path) != 0 || strcmp(e->path, c->path) == 0)
			found = e;
	}
	if (found)
		*ret = text_of(found, KEPT);
	return found != NULL;
}

size_t memory_size(const struct memory *m)
{
	return m ? m->n : 0;
}
