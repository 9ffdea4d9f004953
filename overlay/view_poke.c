/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watchers. An invalidation makes the kernel ask anew but wakes nobody who watches a file or folder (inotify), so what
 * the server changes by itself is touched once more by a helper, through the mount: a chmod to the mode that is
 * shown, a truncation to the size that is there.
 *
 * Guarantees: (1) a SETATTR of the helper changes nothing and is not journaled, whatever it asks: an agent's chmod or
 * write in between stands; (2) the helper's rename is the server's own doing, and only of VIEW_PUT_TEMP; (3) more than
 * POKES_MAX touches at once are not made: folders come first, so a watcher of a folder is told to look.
 */
#include <string.h>

#include "view_internal.h"

enum { POKES_MAX = 4096 };

void view_note_poke(struct view *v, uint64_t id, enum view_poke kind)
{
	if (v->making_git || !v->notify) /* nobody can watch yet */
		return;
	if (table_get(&v->pokes, id) != (void *)(uintptr_t)VIEW_POKE_DATA)
		(void)table_put(&v->pokes, id,
				(void *)(uintptr_t)kind); /* told late is no failure */
}

void view_poke(struct view *v, uint64_t id, enum view_poke kind)
{
	pthread_mutex_lock(&v->lock);
	view_note_poke(v, id, kind);
	pthread_mutex_unlock(&v->lock);
}

bool view_is_poker(const struct view *v, const struct view_ctx *ctx)
{
	return v->poker && ctx->pid == v->poker && !ctx->internal;
}

void view_poker(struct view *v, uint32_t pid)
{
	pthread_mutex_lock(&v->lock);
	v->poker = pid;
	pthread_mutex_unlock(&v->lock);
}

static void add(struct view *v, uint64_t id, enum view_poke kind, struct buf *ret)
{
	const char k = (char)kind;
	size_t before = ret->len;
	int r = buf_add(ret, &k, 1);

	if (r == 0)
		r = tree_path(&v->rec.tree, id, ret);
	if (r == 0)
		r = buf_add(ret, "", 1);
	if (r < 0)
		ret->len = before; /* it has no name any more */
}

void view_pokes_take(struct view *v, struct buf *ret)
{
	size_t n = 0;

	pthread_mutex_lock(&v->lock);
	for (unsigned int files = 0; files < 2; files++)
		for (size_t i = 0; i < v->pokes.cap && n < POKES_MAX; i++) {
			const struct table_slot *s = &v->pokes.slots[i];

			if (!s->key || tree_is_dir(&v->rec.tree, s->key) == (files == 1))
				continue;
			add(v, s->key, (enum view_poke)(uintptr_t)s->value, ret);
			n++;
		}
	table_release(&v->pokes);
	v->pokes = (struct table){0};
	pthread_mutex_unlock(&v->lock);
}
