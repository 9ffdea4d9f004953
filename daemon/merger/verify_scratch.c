/* SPDX-License-Identifier: Apache-2.0 */
/* Which scratch views there are, and which of them is in use. */
#include "verify_scratch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "sys.h"
#include "view_ask.h"

enum { SLOTS = 16, USES_MAX = 64, KEPT_MAX = 8, NOBODY = 65534 };

bool scratch_is(const char *agent)
{
	return agent[0] == '.';
}

/* FNV-1a: names of the same repository and target are alike, and short: a socket's path is. */
static uint32_t hash_text(uint32_t h, const char *s)
{
	do
		h = (h ^ (unsigned char)*s) * 16777619u;
	while (*s++);
	return h;
}

/* {name: {"busy": bool, "uses": int}}; one that has gone and comes again counts on. */
static json_t *entry(struct daemon *d, const char *name)
{
	json_t *o;

	if (!d->scratches)
		d->scratches = json_object();
	o = json_object_get(d->scratches, name);
	if (!o && json_object_set_new(d->scratches, name,
				      json_pack("{s:b,s:i}", "busy", 0, "uses", 0)) == 0)
		o = json_object_get(d->scratches, name);
	return o;
}

int scratch_take(struct daemon *d, const char *repository, const char *target, char *room)
{
	uint32_t h = hash_text(hash_text(2166136261u, repository), target);

	for (unsigned slot = 0; slot < SLOTS; slot++) {
		json_t *o;

		(void)snprintf(room, SCRATCH_NAME_MAX, ".verify-%08x-%u", h, slot);
		o = entry(d, room);
		if (!o)
			return -ENOMEM;
		if (json_is_true(json_object_get(o, "busy")))
			continue;
		(void)json_object_set_new(o, "busy", json_true());
		return 0;
	}
	return -EBUSY;
}

bool scratch_give_back(struct daemon *d, const char *name)
{
	json_t *o = entry(d, name);
	json_int_t uses = json_integer_value(json_object_get(o, "uses")) + 1;
	unsigned kept = 0;
	bool go;

	for (struct view *v = views_next(d->views, NULL); v; v = views_next(d->views, v))
		kept += scratch_is(v->row.agent);
	go = kept > KEPT_MAX || uses >= USES_MAX;
	(void)json_object_set_new(o, "uses", json_integer(go ? 0 : uses));
	(void)json_object_set_new(o, "busy", json_false());
	return go;
}

int scratch_row(struct daemon *d, const struct scratch_facts *facts, struct view_row *ret)
{
	_cleanup_free_ char *mount = NULL;
	const char *texts[][2] = {
		{facts->name, (char *)&ret->agent},
		{"verify", (char *)&ret->task},
		{"verify", (char *)&ret->role},
		{"verify", (char *)&ret->branch},
		{"private", (char *)&ret->git},
		{facts->repository, (char *)&ret->asked_repository},
		{facts->commit, (char *)&ret->asked_base},
		{NULL, (char *)&ret->mount},
	};
	int r = view_row_init(ret);

	if (r < 0)
		return r;
	if (asprintf(&mount, "%s/.verify/%s", d->paths.mounts, facts->name + 1) < 0) {
		mount = NULL;
		r = -ENOMEM;
	}
	texts[ARRAY_SIZE(texts) - 1][0] = mount;
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(texts); i++)
		r = view_row_set((char **)(void *)texts[i][1], texts[i][0]);
	if (r == 0)
		r = view_ask_id(ret);
	/* A sandbox never runs as root: neither do its files belong to it. */
	ret->uid = facts->uid ? facts->uid : NOBODY;
	ret->gid = facts->uid ? facts->gid : NOBODY;
	if (r < 0)
		view_row_release(ret);
	return r;
}
