/* SPDX-License-Identifier: Apache-2.0 */
/* Guarantees: a replay is the merge that the product makes (merge_commits()), and leaves nothing on the disk. */
#include "replay_merge.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "odb.h"

/* Before every backend on the disk. */
enum { FIRST = 1000 };

struct replaying {
	git_repository *git;
	git_oid tree; /* the person's */
	replay_conflict_fn fn;
	void *user;
};

int replay_in_memory(git_repository *git, git_odb_backend **ret_memory, struct err *reterr)
{
	git_odb *odb = NULL;
	int r = git_repository_odb(&odb, git);

	if (r == 0)
		r = git_mempack_new(ret_memory);
	if (r == 0)
		r = git_odb_add_backend(odb, *ret_memory, FIRST);
	git_odb_free(odb);
	return r < 0 ? git_errno(r, reterr, "keeping objects in memory") : 0;
}

static int each_conflict(struct replaying *p, const char *path, const struct resolve *r,
			 const struct replay *kept)
{
	int k = 0;

	for (size_t i = 0; i < r->n && k >= 0; i++) {
		struct replay_conflict c = {.path = path, .r = r, .c = &r->v[i], .file = kept};

		if (kept)
			c.kept = replay_region(kept, &r->v[i].chunk);
		k = p->fn(&c, p->user);
	}
	return k < 0 ? k : 0;
}

static int seen(void *user, const char *path, const struct resolve *r)
{
	struct replaying *p = user;
	struct replay kept = {0};
	struct tree_entry e;
	git_blob *blob = NULL;
	int k = tree_get(p->git, &p->tree, path, &e);

	if (k < 0 || (e.mode & S_IFMT) != S_IFREG)
		return k < 0 ? k : each_conflict(p, path, r, NULL);
	k = git_blob_lookup(&blob, p->git, &e.oid);
	if (k < 0)
		return git_errno(k, NULL, "reading '%s'", path);
	k = replay_open(&r->d,
			(struct text){git_blob_rawsize(blob) ? git_blob_rawcontent(blob) : "",
				      (size_t)git_blob_rawsize(blob)},
			&kept);
	if (k == 0)
		k = each_conflict(p, path, r, &kept);
	replay_release(&kept);
	git_blob_free(blob);
	return k;
}

int replay_merge(git_repository *git, git_commit *merge, const struct resolve_options *options,
		 replay_conflict_fn fn, void *user, struct merge_out *ret, struct err *reterr)
{
	struct replaying p = {git, *git_commit_tree_id(merge), fn, user};
	struct resolve_options o = *options;

	o.seen = seen;
	o.user = &p;
	return merge_commits(git, git_commit_parent_id(merge, 0), git_commit_parent_id(merge, 1),
			     &o, ret, reterr);
}
