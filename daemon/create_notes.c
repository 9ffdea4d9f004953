/* SPDX-License-Identifier: Apache-2.0 */
/* What a person should know of a base before working on it: read from its image and attributes. */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "create.h"
#include "image.h"
#include "odb.h"
#include "worker_run.h"

enum { ATTRIBUTES_MAX = 1 << 20, ATTRIBUTES_FILES_MAX = 1000, GITLINK = 0160000 };

enum converts {
	CONVERT_EOL = 1,
	CONVERT_IDENT = 2,
	CONVERT_LFS = 4,
	CONVERT_FILTER = 8,
	CONVERT_ENCODING = 16
};

static bool word_is(const char *w, size_t n, const char *what)
{
	return n == strlen(what) && memcmp(w, what, n) == 0;
}

static bool word_starts(const char *w, size_t n, const char *what)
{
	return n >= strlen(what) && memcmp(w, what, strlen(what)) == 0;
}

static unsigned word_converts(const char *w, size_t n)
{
	if (word_is(w, n, "filter=lfs"))
		return CONVERT_LFS;
	if (word_starts(w, n, "filter="))
		return CONVERT_FILTER;
	/* Plain `text` shows stored bytes as a checkout on this system would. */
	if (word_is(w, n, "eol=crlf"))
		return CONVERT_EOL;
	if (word_is(w, n, "ident"))
		return CONVERT_IDENT;
	return word_starts(w, n, "working-tree-encoding=") ? CONVERT_ENCODING : 0;
}

static unsigned scan_attributes(const char *p, size_t n)
{
	unsigned found = 0;
	bool comment = false, first = true;

	for (size_t i = 0; i < n;) {
		size_t from = i;

		if (p[i] == '\n') {
			comment = false;
			first = true;
			i++;
			continue;
		}
		if (isspace((unsigned char)p[i])) {
			i++;
			continue;
		}
		while (i < n && !isspace((unsigned char)p[i]))
			i++;
		if (first && p[from] == '#')
			comment = true;
		if (!first && !comment)
			found |= word_converts(p + from, i - from);
		first = false;
	}
	return found;
}

static unsigned read_attributes(git_repository *git, const struct image_node *n)
{
	git_blob *blob = NULL;
	git_oid oid;
	unsigned found = 0;

	memcpy(oid.id, n->oid, sizeof(oid.id));
	if (n->size > ATTRIBUTES_MAX || git_blob_lookup(&blob, git, &oid) < 0)
		return 0;
	found = scan_attributes(git_blob_rawcontent(blob), (size_t)git_blob_rawsize(blob));
	git_blob_free(blob);
	return found;
}

/* An index that a merge could not update (checkout_index.c): by what git leaves beside it, since
 * reading a large one for a note would cost more than the view. */
static bool has_other_index(const struct repo *repo)
{
	_cleanup_free_ char *path = NULL;
	git_config *config = NULL;
	DIR *d = opendir(repo->git_dir);
	struct dirent *e;
	bool found = false;
	int sparse = 0;

	while (d && !found && (e = readdir(d)))
		found = strncmp(e->d_name, "sharedindex.", 12) == 0;
	if (d)
		(void)closedir(d);
	if (asprintf(&path, "%s/config.worktree", repo->git_dir) < 0) {
		path = NULL;
		return found;
	}
	if (!found && access(path, R_OK) == 0 && git_config_open_ondisk(&config, path) == 0 &&
	    git_config_get_bool(&sparse, config, "index.sparse") == 0)
		found = sparse;
	git_config_free(config);
	return found;
}

int create_notes(struct repo *repo, const struct image *img, json_t *ret)
{
	static const struct {
		unsigned bit;
		const char *what;
	} words[] = {
		{CONVERT_EOL, "line ends (eol=crlf)"}, {CONVERT_IDENT, "$Id$ (ident)"},
		{CONVERT_LFS, "Git LFS pointers"},     {CONVERT_FILTER, "filters"},
		{CONVERT_ENCODING, "encodings"},
	};
	unsigned found = 0, modules = 0, files = 0;

	for (uint32_t i = 1; i < image_count(img); i++) {
		const struct image_node *n = image_node(img, i);
		size_t len = 0;
		const char *name = image_name(img, n, &len);

		if (n->mode == GITLINK)
			modules++;
		else if (word_is(name, len, ".gitattributes") && files++ < ATTRIBUTES_FILES_MAX)
			found |= read_attributes(repo->git, n);
	}
	if (modules)
		worker_note(ret,
			    "%u submodule%s: shown as empty folder%s until git submodule update "
			    "--init in the view",
			    modules, modules == 1 ? "" : "s", modules == 1 ? "" : "s");
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (found & words[i].bit)
			worker_note(ret, ".gitattributes asks for %s: files show the stored bytes",
				    words[i].what);
	if (has_other_index(repo))
		worker_note(ret,
			    "the repository's index is split or sparse: a merge into a branch that "
			    "its worktree has checked out is refused (git update-index "
			    "--no-split-index and git sparse-checkout reapply --no-sparse-index "
			    "there make it plain)");
	return 0;
}

static int is_partial_entry(const git_config_entry *entry, void *user)
{
	const char *end = entry->name + strlen(entry->name);

	if (strcmp(entry->name, "extensions.partialclone") == 0 ||
	    (end - entry->name > 9 && strcmp(end - 9, ".promisor") == 0))
		*(bool *)user = true;
	return 0;
}

int create_check_fetched(struct repo *repo, const struct image *img, json_t *ret,
			 struct err *reterr)
{
	git_config *config = NULL;
	git_odb *odb = NULL;
	bool partial = false;
	int r = git_repository_config_snapshot(&config, repo->git);

	if (r == 0)
		r = git_config_foreach(config, is_partial_entry, &partial);
	git_config_free(config);
	if (r == 0 && partial)
		r = git_repository_odb(&odb, repo->git);
	if (r < 0)
		return git_errno(r, reterr, "reading the configuration of '%s'", repo->common);
	if (partial)
		worker_note(
			ret,
			"the repository is a partial clone: what it has not fetched of other "
			"commits cannot be read in the view (git fetch --refetch there brings it)");
	for (uint32_t i = 1; partial && i < image_count(img); i++) {
		const struct image_node *n = image_node(img, i);
		git_oid oid;

		memcpy(oid.id, n->oid, sizeof(oid.id));
		if (n->mode == GITLINK || git_odb_exists_ext(odb, &oid, GIT_ODB_LOOKUP_NO_REFRESH))
			continue;
		git_odb_free(odb);
		return err_set_id(
			reterr, -ENOENT, "NotFetched",
			"the partial clone '%s' lacks object %s of the base: fetch it with git "
			"checkout of that revision",
			repo->common, git_oid_tostr_s(&oid));
	}
	git_odb_free(odb);
	return 0;
}
