/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers that were believed, for the same conflict again: a queue merges anew after every landing, and a target
 * that moved meanwhile is merged anew, too; nobody is paid twice for that. Guarantees: (1) the same means the same path and the
 * same bytes in all three versions; (2) nothing is replayed after a verification failed.
 */
#include <string.h>

#include "cleanup.h"
#include "tier_ai.h"
#include "tier_parts.h"

void tier_memo_key(const char *path, const struct conflict *c, char ret[GIT_OID_HEXSZ + 1])
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	git_oid id;
	int r = buf_add(&b, path, strlen(path) + 1);

	for (int s = BASE; s < SIDES && r == 0; s++) {
		r = buf_addf(&b, "%zu:", c->text[s].n);
		if (r == 0)
			r = buf_add(&b, c->text[s].n ? c->text[s].p : "", c->text[s].n);
	}
	*ret = '\0';
	if (r == 0 && git_odb_hash(&id, b.data, b.len, GIT_OBJECT_BLOB) == 0)
		(void)git_oid_tostr(ret, GIT_OID_HEXSZ + 1, &id);
}

const json_t *tier_memo_find(const struct tier_ai *t, const char *key)
{
	return *key && !worker_str(t->w, "verify_output")
		       ? json_object_get(json_object_get(t->settings, "said"), key)
		       : NULL;
}

void tier_memo_keep(struct tier_ai *t, const char *key, json_t *answer)
{
	static const char *const places[] = {"said", "fresh"};

	for (size_t i = 0; i < ARRAY_SIZE(places) && *key; i++) {
		json_t *all = json_object_get(t->settings, places[i]);

		if (!all) {
			all = json_object();
			(void)json_object_set_new(t->settings, places[i], all);
		}
		(void)json_object_set(all, key, answer);
	}
	json_decref(answer);
}

void tier_ai_refused(struct tier_ai *t, const char *path, const struct resolve *r)
{
	for (size_t i = 0; i < r->n; i++) {
		char key[GIT_OID_HEXSZ + 1] = "";
		struct conflict c;

		if (conflict_of(path, &r->d, &r->v[i].chunk, &c) == 0)
			tier_memo_key(path, &c, key);
		conflict_release(&c);
		(void)json_object_del(json_object_get(t->settings, "said"), key);
		(void)json_object_del(json_object_get(t->settings, "fresh"), key);
	}
}
