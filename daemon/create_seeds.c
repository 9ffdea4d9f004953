/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that a view's own .git starts with. It is a whole repository of its own, as a clone's:
 * HEAD on the agent's branch, remote-tracking branches of `origin`, and nothing but the objects shared,
 * by an alternate that the view itself serves (overlay/view_origin.c) and git only reads. The shared
 * repository's hooks are not among them, so they cannot run; its configuration is create_config.c's.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "buf.h"
#include "cleanup.h"
#include "create.h"
#include "io.h"
#include "worker_run.h"

enum { EXCLUDE_MAX = 64 << 10, SHALLOW_MAX = 1 << 20, REFS_MAX = 1 << 20, HEAD_MAX = 4096 };

static void add_seed(json_t *seeds, const char *path, mode_t mode, const char *data, size_t n)
{
	json_t *text = json_stringn(data, n);

	if (text)
		(void)json_array_append_new(seeds, json_pack("{s:s,s:i,s:o}", "path", path, "mode",
							     (int)mode, "data", text));
}

static void add_file(json_t *seeds, const char *path, const struct buf *b)
{
	add_seed(seeds, path, S_IFREG | 0644, b->data ? b->data : "", b->len);
}

/* Where a ref of the shared repository is shown: branches as origin's, tags as they are. */
static int shown_as(const char *name, const char **prefix, const char **rest)
{
	if (strncmp(name, "refs/heads/", 11) == 0) {
		*prefix = "refs/remotes/origin/";
		*rest = name + 11;
		return 0;
	}
	if (strncmp(name, "refs/tags/", 10) == 0) {
		*prefix = "refs/tags/";
		*rest = name + 10;
		return 0;
	}
	return -ENOENT;
}

static int pack_line(struct buf *b, git_repository *git, const char *name, const char *prefix,
		     const char *rest)
{
	char hex[GIT_OID_HEXSZ + 1] = "", peeled[GIT_OID_HEXSZ + 1] = "";
	git_reference *ref = NULL;
	git_object *o = NULL;
	git_oid oid;

	if (git_reference_name_to_id(&oid, git, name) < 0)
		return 0;
	git_oid_tostr(hex, sizeof(hex), &oid);
	if (strcmp(prefix, "refs/tags/") == 0 && git_reference_lookup(&ref, git, name) == 0 &&
	    git_reference_peel(&o, ref, GIT_OBJECT_ANY) == 0 &&
	    !git_oid_equal(git_object_id(o), &oid))
		git_oid_tostr(peeled, sizeof(peeled), git_object_id(o));
	git_object_free(o);
	git_reference_free(ref);
	if (buf_addf(b, "%s %s%s\n", hex, prefix, rest) < 0)
		return -ENOMEM;
	return peeled[0] ? buf_addf(b, "^%s\n", peeled) : 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* packed-refs has to be sorted: refs/heads/<branch>, then origin's, then tags, each by name. */
static int seed_refs(struct repo *repo, json_t *seeds, const char *branch, const git_oid *base,
		     json_t *ret)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	char hex[GIT_OID_HEXSZ + 1];
	git_strarray names = {0};
	int r = buf_adds(&b, "# pack-refs with: peeled fully-peeled sorted \n");

	git_oid_tostr(hex, sizeof(hex), base);
	if (r >= 0)
		r = buf_addf(&b, "%s refs/heads/%s\n", hex, branch);
	if (r >= 0 && git_reference_list(&names, repo->git) < 0)
		names.count = 0;
	if (names.count)
		qsort(names.strings, names.count, sizeof(char *), by_name);
	for (size_t i = 0; r >= 0 && i < names.count; i++) {
		const char *prefix, *rest;

		if (shown_as(names.strings[i], &prefix, &rest) < 0)
			continue;
		if (b.len > REFS_MAX) {
			worker_note(
				ret,
				"only the first %zu refs of the repository are shown in the view's git",
				i);
			break;
		}
		r = pack_line(&b, repo->git, names.strings[i], prefix, rest);
	}
	git_strarray_dispose(&names);
	if (r >= 0)
		add_file(seeds, "packed-refs", &b);
	return r;
}

/* Its HEAD's branch is the one that "origin" alone stands for. */
static int seed_origin_head(struct repo *repo, json_t *seeds)
{
	_cleanup_buf_ struct buf path = BUF_INIT, head = BUF_INIT, b = BUF_INIT;
	static const char start[] = "ref: refs/heads/";
	git_reference *ref = NULL;
	int r = buf_addf(&path, "%s/HEAD", repo->common);

	if (r < 0)
		return r;
	if (io_read_file(AT_FDCWD, path.data, HEAD_MAX, &head) < 0 || !head.data ||
	    strncmp(head.data, start, sizeof(start) - 1) != 0)
		return 0;
	head.data[strcspn(head.data, "\n")] = '\0';
	if (git_reference_lookup(&ref, repo->git, head.data + 5) < 0)
		return 0;
	git_reference_free(ref);
	r = buf_addf(&b, "ref: refs/remotes/origin/%s\n", head.data + sizeof(start) - 1);
	if (r == 0)
		add_file(seeds, "refs/remotes/origin/HEAD", &b);
	return r;
}

/* A file of the shared repository, copied as it is where it is there and not too large. */
static int copy_file(struct repo *repo, json_t *seeds, const char *name, const char *as, size_t max,
		     const char *otherwise)
{
	_cleanup_buf_ struct buf path = BUF_INIT, b = BUF_INIT;

	if (buf_addf(&path, "%s/%s", repo->common, name) < 0)
		return -ENOMEM;
	if (io_read_file(AT_FDCWD, path.data, max, &b) < 0) {
		if (!otherwise)
			return 0;
		buf_clear(&b);
		if (buf_adds(&b, otherwise) < 0)
			return -ENOMEM;
	}
	add_file(seeds, as, &b);
	return 0;
}

int create_seed_link(const char *path, json_t *ret)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	json_t *seeds = json_array();

	(void)json_object_set_new(ret, "seeds", seeds);
	if (buf_addf(&b, "gitdir: %s\n", path) < 0)
		return -ENOMEM;
	add_file(seeds, ".git", &b);
	return 0;
}

int create_seeds(struct repo *repo, const struct create_seeds_options *opt, json_t *ret)
{
	static const char *const folders[] = {"refs/heads", "refs/tags", "objects/pack"};
	/* As git reads it: from the folder `objects` that it lies in. */
	static const char alternates[] = "../../.agentfs/control/origin.git/objects\n";
	_cleanup_buf_ struct buf b = BUF_INIT, config = BUF_INIT;
	json_t *seeds = json_array();
	int r;

	(void)json_object_set_new(ret, "seeds", seeds);
	if (buf_addf(&b, "ref: refs/heads/%s\n", opt->branch) < 0)
		return -ENOMEM;
	add_file(seeds, "HEAD", &b);
	r = create_config(repo, opt, &config);
	if (r == 0)
		add_file(seeds, "config", &config);
	if (r == 0)
		r = seed_refs(repo, seeds, opt->branch, opt->base, ret);
	if (r == 0)
		r = seed_origin_head(repo, seeds);
	if (r == 0)
		r = copy_file(repo, seeds, "info/exclude", "info/exclude", EXCLUDE_MAX, "");
	if (r == 0)
		r = copy_file(repo, seeds, "shallow", "shallow", SHALLOW_MAX, NULL);
	if (r < 0)
		return r;
	add_seed(seeds, "objects/info/alternates", S_IFREG | 0644, alternates,
		 sizeof(alternates) - 1);
	buf_clear(&b);
	if (buf_addf(&b, "the view of agent %s\n", opt->agent) < 0)
		return -ENOMEM;
	add_file(seeds, "description", &b);
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		add_seed(seeds, folders[i], S_IFDIR | 0755, "", 0);
	return 0;
}
