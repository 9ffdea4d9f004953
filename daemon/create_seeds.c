/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files that a view's own .git starts with. It is a whole repository of its own: HEAD on the
 * agent's branch, nothing but the objects shared (alternates, which git only reads). The shared
 * repository's hooks and configuration are not among them, so they cannot run. gc.auto is off: what
 * the agent makes is small, and everything else lies in the alternates, which no gc touches.
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

enum { EXCLUDE_MAX = 64 << 10, SHALLOW_MAX = 1 << 20, REFS_MAX = 1 << 20 };

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

/* The fsmonitor helper: beside this program, or in the build folder. False where there is none that the
 * view's git could run (a quote in its path would need quoting by a shell's rules and git's). */
static bool find_fsmonitor(struct buf *ret)
{
	static const char *const places[] = {"", "../tools/"};
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	if (n <= 0)
		return false;
	self[n] = '\0';
	slash = strrchr(self, '/');
	for (size_t i = 0; slash && i < ARRAY_SIZE(places); i++) {
		buf_clear(ret);
		if (buf_addf(ret, "%.*s/%sfsmonitor", (int)(slash - self), self, places[i]) == 0 &&
		    access(ret->data, X_OK) == 0)
			return !strpbrk(ret->data, "'\"\\\n");
	}
	return false;
}

static int seed_config(json_t *seeds, const char *agent)
{
	_cleanup_buf_ struct buf b = BUF_INIT, monitor = BUF_INIT;
	bool found = find_fsmonitor(&monitor);
	int r = buf_addf(
		&b,
		"[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n"
		"\tlogallrefupdates = true\n\tuntrackedCache = true\n\tfsmonitorHookVersion = 2\n"
		"\tfsmonitor = %s%s%s\n"
		"\tautocrlf = false\n"
		"[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n"
		"[user]\n\tname = %s\n\temail = %s@agentfs.invalid\n",
		found ? "\"'" : "", found ? monitor.data : "false", found ? "'\"" : "", agent,
		agent);

	if (r >= 0)
		add_file(seeds, "config", &b);
	return r;
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

int create_seeds(struct repo *repo, const char *agent, const char *branch, const git_oid *base,
		 json_t *ret)
{
	static const char *const folders[] = {"refs/heads", "refs/tags", "objects/pack"};
	_cleanup_buf_ struct buf b = BUF_INIT;
	json_t *seeds = json_array();
	int r;

	(void)json_object_set_new(ret, "seeds", seeds);
	if (buf_addf(&b, "ref: refs/heads/%s\n", branch) < 0)
		return -ENOMEM;
	add_file(seeds, "HEAD", &b);
	r = seed_config(seeds, agent);
	if (r >= 0)
		r = seed_refs(repo, seeds, branch, base, ret);
	if (r >= 0)
		r = copy_file(repo, seeds, "info/exclude", "info/exclude", EXCLUDE_MAX, "");
	if (r >= 0)
		r = copy_file(repo, seeds, "shallow", "shallow", SHALLOW_MAX, NULL);
	if (r < 0)
		return r;
	buf_clear(&b);
	if (buf_addf(&b, "%s/objects\n", repo->common) < 0)
		return -ENOMEM;
	add_file(seeds, "objects/info/alternates", &b);
	buf_clear(&b);
	if (buf_addf(&b, "the view of agent %s\n", agent) < 0)
		return -ENOMEM;
	add_file(seeds, "description", &b);
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		add_seed(seeds, folders[i], S_IFDIR | 0755, "", 0);
	return 0;
}
