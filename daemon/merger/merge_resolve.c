/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tiers 2 to 4 on git's objects. Guarantees: (1) a file is resolved wholly or not at all; (2) each conflict
 * that was resolved is told with who did it and its record, each that was not with its lines and what
 * the resolvers would have said; (3) a higher tier sees only what the lower ones left; (4) no answer is believed before
 * the whole file was looked at under the invariants (resolve_check.h), whoever gave it: one that breaks them is a conflict
 * again, which says so.
 */
#include "merge_resolve.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "odb.h"
#include "resolve_check.h"
#include "tier_ai.h"
#include "worker_run.h"

/* For people and their programs: not whole files. */
enum { HUNKS_MAX = 50, TEXT_MAX = 8192 };
static const size_t file_max = (size_t)16 << 20;

static json_t *text_json(struct text t)
{
	return worker_text(t.n ? t.p : "", t.n < TEXT_MAX ? t.n : TEXT_MAX);
}

static json_t *answer_json(const struct answer *a)
{
	return json_pack("{s:s,s:s,s:i,s:i,s:o}", "resolver", a->by->name, "does", a->by->does,
			 "fired", (int)a->evidence.fired, "right", (int)a->evidence.right, "text",
			 text_json((struct text){a->text, a->len}));
}

/* Its key, its language and, where it was resolved, what that is to it: for the history. */
static void add_kind(json_t *o, const struct resolve *r, const char *path,
		     const struct resolved_conflict *c)
{
	struct text t[SIDES];
	char key[HUNK_KEY_SIZE];

	for (int s = BASE; s < SIDES; s++)
		t[s] = diff3_text(&r->d, &c->chunk, (enum side)s);
	if (hunk_key(t[BASE], t[OURS], t[THEIRS], key) == 0)
		(void)json_object_set_new(o, "key", json_string(key));
	(void)json_object_set_new(o, "language", json_string(language_of(path)->name));
	if (c->taken && !r->left)
		(void)json_object_set_new(
			o, "class",
			json_string(hunk_class(t[BASE], t[OURS], t[THEIRS],
					       (struct text){c->taken->text, c->taken->len})));
}

/* A conflict with its lines; `candidates`: what was said of it and not taken. */
static json_t *hunk_json(const struct resolve *r, const char *path,
			 const struct resolved_conflict *c)
{
	json_t *candidates = json_array(), *o;

	for (size_t i = 0; i < c->n; i++)
		if (&c->answers[i] != c->taken && &c->answers[i] != c->refused)
			(void)json_array_append_new(candidates, answer_json(&c->answers[i]));
	o = json_pack("{s:I,s:o,s:o,s:o,s:o}", "line", (json_int_t)c->chunk.from[OURS] + 1, "base",
		      text_json(diff3_text(&r->d, &c->chunk, BASE)), "ours",
		      text_json(diff3_text(&r->d, &c->chunk, OURS)), "theirs",
		      text_json(diff3_text(&r->d, &c->chunk, THEIRS)), "candidates", candidates);
	add_kind(o, r, path, c);
	return o;
}

/* What external resolvers said of a conflict: why the answer that was taken is believed, what was rejected. */
static void add_ai(json_t *o, const struct resolved_conflict *c, const struct ai_outcome *ai)
{
	if (ai->rejected)
		(void)json_object_set(o, "rejected", ai->rejected);
	if (ai->has_answer && c->taken == &ai->answer)
		(void)json_object_update_missing(o, ai->told);
	else if (ai->has_answer && c->refused != &ai->answer)
		(void)json_array_append_new(json_object_get(o, "candidates"),
					    answer_json(&ai->answer));
}

/* An answer that was taken until its file broke an invariant. */
static void add_refused(json_t *o, const struct resolve *r, const struct answer *a)
{
	_cleanup_buf_ struct buf why = BUF_INIT;
	json_t *had = json_object_get(o, "rejected");
	json_t *all = had ? json_copy(had) : json_array();

	if (buf_addf(&why, "breaks the invariant '%s': %s", r->broken, r->why) == 0)
		(void)json_array_append_new(
			all, json_pack("{s:s,s:s,s:o}", "resolver", a->by->name, "why", why.data,
				       "text", text_json((struct text){a->text, a->len})));
	(void)json_object_set_new(o, "rejected", all);
}

static void tell(const struct resolve *r, const char *path, const struct ai_file *ai,
		 struct merge_resolved *out)
{
	json_t *all = json_array();

	for (size_t i = 0; i < r->n && i < HUNKS_MAX; i++) {
		const struct resolved_conflict *c = &r->v[i];
		json_t *o;

		if (r->left && c->taken)
			continue;
		o = hunk_json(r, path, c);
		if (i < ai->n)
			add_ai(o, c, &ai->v[i]);
		if (c->refused)
			add_refused(o, r, c->refused);
		if (!r->left)
			(void)json_object_update_new(o, answer_json(c->taken));
		(void)json_array_append_new(all, o);
	}
	if (r->left)
		(void)json_object_set_new(out->hunks, path, all);
	else
		(void)json_array_append_new(out->files, json_pack("{s:o,s:o}", "path",
								  worker_text(path, strlen(path)),
								  "conflicts", all));
}

static int put_blob(git_repository *git, const struct buf *b, git_oid *ret)
{
	return git_blob_create_from_buffer(ret, git, b->len ? b->data : "", b->len);
}

/* Tier 4: returns 1 and the file's blob, told in out->files; 0; -errno. */
static int reimagine(git_repository *git, const char *path, const struct text t[SIDES],
		     const struct resolve_options *o, struct merge_resolved *out, git_oid *ret)
{
	_cleanup_buf_ struct buf text = BUF_INIT;
	json_t *resolved = NULL;
	int k = tier_reimagine(o->ai, path, t, o->generated, &text, &resolved);

	if (k <= 0) {
		tier_ai_give_up(o->ai);
		return k;
	}
	k = put_blob(git, &text, ret);
	if (k == 0)
		k = json_array_append(out->files, resolved);
	if (k == 0 && json_object_get(out->hunks, path))
		(void)json_object_del(out->hunks, path);
	json_decref(resolved);
	return k < 0 ? k : 1;
}

static uint64_t now_ns(void)
{
	struct timespec t = {0};

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Whoever listens to the merge hears of the file. */
static int be_seen(const char *path, const struct resolve *r, const struct resolve_options *o,
		   struct merge_resolved *out)
{
	uint64_t start = now_ns();
	int k = o->seen ? o->seen(o->user, path, r) : 0;

	out->seen_ns += now_ns() - start;
	return k;
}

static int resolve_texts(git_repository *git, const char *path, const struct text t[SIDES],
			 const struct resolve_options *options, struct merge_resolved *out,
			 git_oid *ret)
{
	_cleanup_buf_ struct buf merged = BUF_INIT;
	struct ai_file ai = {0};
	struct resolve r;
	int k = resolve_file(path, t[BASE], t[OURS], t[THEIRS], options, &r);

	if (k < 0)
		return k;
	if (r.left && options->ai)
		k = tier_ai_resolve(options->ai, path, t, options->generated, &r, &ai);
	if (k == 0)
		k = resolve_believe(path, &r, options);
	if (k > 0 && options->ai)
		tier_ai_refused(options->ai, path, &r);
	k = k < 0 ? k : 0;
	/* No conflict by our own comparison, but one by git's: not ours to decide. */
	if (k == 0 && r.n)
		tell(&r, path, &ai, out);
	if (k == 0 && r.n)
		k = be_seen(path, &r, options, out);
	if (k == 0 && r.n && !r.left) {
		k = resolve_text(&r, &merged);
		if (k == 0)
			k = put_blob(git, &merged, ret);
		k = k < 0 ? k : 1;
	} else if (k == 0 && r.left && options->ai) {
		k = reimagine(git, path, t, options, out, ret);
	}
	resolve_release(&r);
	ai_file_release(&ai);
	return k;
}

int merge_resolve(git_repository *git, git_repository *from, const struct merge_both *file,
		  const struct resolve_options *options, struct merge_resolved *out, git_oid *ret,
		  struct err *reterr)
{
	const struct tree_entry *e[SIDES] = {&file->base, &file->ours, &file->theirs};
	git_blob *b[SIDES] = {0};
	struct text t[SIDES] = {0};
	int r = 0;

	if (!out->files) {
		out->files = json_array();
		out->hunks = json_object();
	}
	for (int s = BASE; s < SIDES && r == 0; s++) {
		r = git_blob_lookup(&b[s], from, &e[s]->oid);
		if (r == 0 && git_blob_rawsize(b[s]))
			t[s] = (struct text){git_blob_rawcontent(b[s]),
					     (size_t)git_blob_rawsize(b[s])};
	}
	if (r < 0)
		r = git_errno(r, reterr, "reading '%s'", file->path);
	else if (t[BASE].n <= file_max && t[OURS].n <= file_max && t[THEIRS].n <= file_max)
		r = resolve_texts(git, file->path, t, options, out, ret);
	if (r < 0 && reterr && !reterr->code)
		(void)err_set(reterr, r, "resolving '%s': %s", file->path, strerror(-r));
	for (int s = BASE; s < SIDES; s++)
		git_blob_free(b[s]);
	return r;
}

void merge_resolved_release(struct merge_resolved *r)
{
	json_decref(r->files);
	json_decref(r->hunks);
	*r = (struct merge_resolved){0};
}
