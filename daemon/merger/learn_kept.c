/* SPDX-License-Identifier: Apache-2.0 */
#include "learn_kept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "cleanup.h"
#include "hunk_key.h"
#include "language.h"
#include "worker_run.h"

enum { HUNKS_MAX = 300, TEXT_MAX = 4096, BYTES_MAX = 1 << 20, TABLE_MAX = 100000 };

/* A conflict whose older resolution was not met yet. */
struct waiting {
	UT_hash_handle hh;
	char key[HUNK_KEY_SIZE];
	git_oid merge;
	size_t n;
	char kept[];
};

struct learn_kept {
	struct waiting *table;
	json_t *hunks;
	size_t bytes;
};

int learn_kept_new(struct learn_kept **ret)
{
	struct learn_kept *k = calloc(1, sizeof(*k));

	if (k)
		k->hunks = json_array();
	*ret = k;
	return k && k->hunks ? 0 : -ENOMEM;
}

void learn_kept_free(struct learn_kept *k)
{
	struct waiting *w, *next;

	if (!k)
		return;
	HASH_ITER (hh, k->table, w, next) {
		HASH_DEL(k->table, w);
		free(w);
	}
	json_decref(k->hunks);
	free(k);
}

static int wait_for_older(struct learn_kept *k, const char *key, const git_oid *merge,
			  struct text kept)
{
	struct waiting *w;

	if (HASH_COUNT(k->table) >= TABLE_MAX)
		return 0;
	w = calloc(1, sizeof(*w) + kept.n + 1);
	if (!w)
		return -ENOMEM;
	(void)memcpy(w->key, key, sizeof(w->key));
	w->merge = *merge;
	w->n = kept.n;
	if (kept.n)
		(void)memcpy(w->kept, kept.p, kept.n);
	HASH_ADD_STR(k->table, key, w);
	return 0;
}

static json_t *text_json(struct text t)
{
	return worker_text(t.n ? t.p : "", t.n);
}

static int tell(struct learn_kept *k, const git_oid *merge, const char *path, const char *key,
		const struct text t[SIDES], size_t line, struct text kept)
{
	const char *class = hunk_class(t[BASE], t[OURS], t[THEIRS], kept);

	if (!class)
		return -ENOMEM;
	return json_array_append_new(k->hunks,
				     json_pack("{s:s,s:o,s:I,s:o,s:o,s:o,s:o,s:s,s:s,s:s}",
					       "commit", git_oid_tostr_s(merge), "path",
					       worker_text(path, strlen(path)), "line",
					       (json_int_t)line, "base", text_json(t[BASE]), "ours",
					       text_json(t[OURS]), "theirs", text_json(t[THEIRS]),
					       "kept", text_json(kept), "key", key, "language",
					       language_of(path)->name, "class", class)) < 0
		       ? -ENOMEM
		       : 0;
}

int learn_kept_add(struct learn_kept *k, const git_oid *merge, const char *path,
		   const struct diff3 *d, const struct chunk *c, struct text kept,
		   struct evidence *record)
{
	struct text t[SIDES];
	size_t all = kept.n;
	bool fits = kept.n <= TEXT_MAX;
	char key[HUNK_KEY_SIZE];
	struct waiting *newer;
	int r;

	for (int s = BASE; s < SIDES; s++) {
		t[s] = diff3_text(d, c, (enum side)s);
		fits = fits && t[s].n <= TEXT_MAX;
		all += t[s].n;
	}
	if (!fits)
		return 0;
	r = hunk_key(t[BASE], t[OURS], t[THEIRS], key);
	if (r < 0)
		return r;
	HASH_FIND_STR(k->table, key, newer);
	if (newer && git_oid_equal(&newer->merge, merge))
		return 0; /* the same conflict twice in one merge */
	if (newer) {
		record->fired++;
		record->right += text_equal_but_space(kept, (struct text){newer->kept, newer->n});
		HASH_DEL(k->table, newer);
		free(newer);
	}
	r = wait_for_older(k, key, merge, kept);
	if (r < 0 || json_array_size(k->hunks) >= HUNKS_MAX || k->bytes + all > BYTES_MAX)
		return r;
	k->bytes += all;
	return tell(k, merge, path, key, t, c->from[OURS] + 1, kept);
}

json_t *learn_kept_json(const struct learn_kept *k)
{
	return k->hunks;
}
