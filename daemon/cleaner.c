/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guarantees: (1) only text is taken from the view (ignore and attribute files, bounded in size);
 * nothing is executed: libgit2 has no filters but its own two, line ends and $Id$; (2) cost is that
 * of the folders asked about, and where no file of rules says anything to the question (most
 * .gitattributes name no conversion), no scratch folder is made and libgit2, which looks at each
 * folder anew for each path, is not asked; (3) everything lies in the temporary folder of viewgit_open().
 */
#include "cleaner.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "odb.h"
#include "snapshot.h"
#include "worker_run.h"

enum { RULES_MAX = 1 << 20 };

static const char *const rule_files[] = {".gitignore", ".gitattributes"};

static int read_rules(struct snapshot *s, const char *path, struct buf *b)
{
	struct snapshot_stat st;
	ssize_t k;
	int r = snapshot_lookup(s, path, &st);

	if (r < 0 || !S_ISREG(st.mode) || st.size > RULES_MAX)
		return 0;
	r = buf_reserve(b, st.size + 1);
	if (r < 0)
		return r;
	k = snapshot_read(s, st.node, 0, b->data, st.size);
	if (k < 0)
		return (int)k;
	b->len = (size_t)k;
	b->data[b->len] = 0;
	return 1;
}

/* The view's file of rules; what its git folder has of them stands in a worktree in the repository's.
 * 0: there is none. */
static int read_text(struct cleaner *c, const char *path, struct buf *b)
{
	_cleanup_free_ char *full = NULL;
	int r;

	if (!c->common || strncmp(path, ".git/", 5) != 0)
		return read_rules(c->snapshot, path, b);
	if (asprintf(&full, "%s%s", c->common, path + strlen(".git")) < 0) {
		full = NULL;
		return -ENOMEM;
	}
	r = io_read_file(AT_FDCWD, full, RULES_MAX, b);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	return b->len > 0;
}

/* Could this text change what is stored? Only words are looked for, so it may say yes too often. */
static bool asks_for_conversion(const struct buf *b)
{
	static const char *const words[] = {
		"text", "eol", "crlf", "ident", "filter", "working-tree-encoding", "[attr]"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (memmem(b->data, b->len, words[i], strlen(words[i])))
			return true;
	return false;
}

static bool has_rule(const struct buf *b)
{
	for (const char *p = b->data; *p; p += strcspn(p, "\n"), p += *p == '\n')
		if (*p != '#' && *p != '\n' && *p != '\r')
			return true;
	return false;
}

/* Remembers a file of rules that matters. */
static int note(struct cleaner *c, const char *path)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	bool attributes = strcmp(strrchr(path, '/') ? strrchr(path, '/') + 1 : path, "exclude") &&
			  strstr(path, "attributes");
	int r = read_text(c, path, &b);

	if (r <= 0)
		return r;
	if (attributes ? !asks_for_conversion(&b) : !has_rule(&b))
		return 0;
	c->attributes |= attributes;
	c->ignores |= !attributes;
	return buf_add(&c->rules, path, strlen(path) + 1);
}

/* Writes root/<path> from the view's <path>. */
static int bring(struct cleaner *c, const char *path)
{
	_cleanup_free_ char *to = NULL;
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_close_ int fd = -1;
	char *slash;
	int r = read_text(c, path, &b);

	if (r <= 0)
		return r;
	if (asprintf(&to, "%s/%s", c->root, path) < 0) {
		to = NULL;
		return -ENOMEM;
	}
	slash = strrchr(to, '/');
	*slash = 0;
	r = io_mkdir_p(to, 0700);
	*slash = '/';
	if (r < 0)
		return r;
	fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : io_write_full(fd, b.data, b.len);
}

/* Makes the scratch working folder, which few need. */
static int need_git(struct cleaner *c, struct err *reterr)
{
	git_repository_init_options opt = GIT_REPOSITORY_INIT_OPTIONS_INIT;
	int r;

	if (c->git)
		return 0;
	opt.flags = GIT_REPOSITORY_INIT_MKPATH;
	r = git_repository_init_ext(&c->git, c->root, &opt);
	if (r < 0)
		return git_errno(r, reterr, "making a scratch working folder");
	for (size_t at = 0; at < c->rules.len; at += strlen(c->rules.data + at) + 1) {
		r = bring(c, c->rules.data + at);
		if (r == -ENAMETOOLONG) /* longer than a path of this machine: it says nothing */
			r = 0;
		if (r < 0)
			return err_set(reterr, r, "reading the rules in '%s': %s",
				       c->rules.data + at, strerror(-r));
	}
	return 0;
}

static int note_folder(struct cleaner *c, const char *dir, size_t n)
{
	for (size_t i = 0; i < ARRAY_SIZE(rule_files); i++) {
		_cleanup_free_ char *path = NULL;
		int r;

		if (asprintf(&path, "%.*s%s%s", (int)n, dir, n ? "/" : "", rule_files[i]) < 0) {
			path = NULL;
			return -ENOMEM;
		}
		r = note(c, path);
		if (r < 0)
			return r;
	}
	return 0;
}

int cleaner_open(struct cleaner *c, struct viewgit_objects *o, struct worker *w, struct err *reterr)
{
	int r;

	*c = (struct cleaner){.snapshot = w->snapshot,
			      .common = w->worktree ? w->repo.common : NULL};
	if (asprintf(&c->root, "%s/wt", o->dir) < 0) {
		c->root = NULL;
		return -ENOMEM;
	}
	r = note(c, ".git/info/exclude");
	if (r >= 0)
		r = note(c, ".git/info/attributes");
	if (r >= 0)
		r = note_folder(c, "", 0);
	return r < 0 ? err_set(reterr, r, "reading the view's ignore rules: %s", strerror(-r)) : 0;
}

void cleaner_close(struct cleaner *c)
{
	git_repository_free(c->git);
	free(c->root);
	buf_release(&c->seen);
	buf_release(&c->rules);
	*c = (struct cleaner){0};
}

int cleaner_add(struct cleaner *c, const char *path, struct err *reterr)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0, same = 0;
	int r = 0;

	/* Folders that the last path lies in are known already. */
	for (size_t i = 0; i <= n && i <= c->seen.len; i++) {
		bool end_a = i == n, end_b = i == c->seen.len;

		if ((end_a || path[i] == '/') && (end_b || c->seen.data[i] == '/'))
			same = i;
		if (end_a || end_b || path[i] != c->seen.data[i])
			break;
	}
	for (size_t i = same + 1; r >= 0 && i <= n; i++)
		if (i == n || path[i] == '/')
			r = note_folder(c, path, i);
	buf_clear(&c->seen);
	if (r >= 0)
		r = buf_add(&c->seen, path, n);
	return r < 0 ? err_set(reterr, r, "reading the ignore rules for '%s': %s", path,
			       strerror(-r))
		     : 0;
}

int cleaner_ignored(struct cleaner *c, const char *path, bool *ret, struct err *reterr)
{
	int ignored = 0, r;

	*ret = false;
	if (!c->ignores)
		return 0;
	r = need_git(c, reterr);
	if (r < 0)
		return r;
	r = git_ignore_path_is_ignored(&ignored, c->git, path);
	*ret = ignored != 0;
	return r < 0 ? git_errno(r, reterr, "reading the ignore rules for '%s'", path) : 0;
}

int cleaner_kind(struct cleaner *c, const char *path, enum clean_kind *ret, const char **ret_name,
		 struct err *reterr)
{
	static const char *names[] = {"filter", "working-tree-encoding", "text", "eol", "crlf",
				      "ident"};
	const char *v[ARRAY_SIZE(names)] = {0};
	int r;

	*ret = CLEAN_RAW;
	if (!c->attributes)
		return 0;
	r = need_git(c, reterr);
	if (r < 0)
		return r;
	r = git_attr_get_many(v, c->git, GIT_ATTR_CHECK_FILE_THEN_INDEX, path, ARRAY_SIZE(names),
			      names);
	if (r < 0)
		return git_errno(r, reterr, "reading the attributes of '%s'", path);
	if (git_attr_value(v[0]) == GIT_ATTR_VALUE_STRING) {
		*ret = strcmp(v[0], "lfs") == 0 ? CLEAN_LFS : CLEAN_FILTER;
		*ret_name = v[0];
		return 0;
	}
	if (git_attr_value(v[1]) == GIT_ATTR_VALUE_STRING && strcasecmp(v[1], "UTF-8") != 0) {
		*ret = CLEAN_FILTER;
		*ret_name = v[1];
		return 0;
	}
	for (size_t i = 2; i < ARRAY_SIZE(names); i++)
		if (git_attr_value(v[i]) == GIT_ATTR_VALUE_TRUE ||
		    git_attr_value(v[i]) == GIT_ATTR_VALUE_STRING)
			*ret = CLEAN_CONVERT;
	return 0;
}

static bool is_auto(struct cleaner *c, const char *path)
{
	const char *text = NULL;

	return git_attr_get(&text, c->git, GIT_ATTR_CHECK_FILE_THEN_INDEX, path, "text") == 0 &&
	       git_attr_value(text) == GIT_ATTR_VALUE_STRING && strcmp(text, "auto") == 0;
}

int cleaner_convert(struct cleaner *c, const char *path, const struct buf *in, bool had_crlf,
		    struct buf *out, struct err *reterr)
{
	git_filter_list *filters = NULL;
	git_buf cleaned = {0};
	int r;

	if (had_crlf && is_auto(c, path))
		return buf_add(out, in->data ? in->data : "", in->len);
	r = git_filter_list_load(&filters, c->git, NULL, path, GIT_FILTER_TO_ODB,
				 GIT_FILTER_DEFAULT);
	if (r == 0)
		r = git_filter_list_apply_to_buffer(&cleaned, filters, in->data ? in->data : "",
						    in->len);
	git_filter_list_free(filters);
	if (r < 0)
		return git_errno(r, reterr, "converting '%s' as its attributes ask", path);
	r = buf_add(out, cleaned.ptr ? cleaned.ptr : "", cleaned.size);
	git_buf_dispose(&cleaned);
	return r;
}

bool cleaner_is_lfs_pointer(const char *p, size_t n)
{
	static const char head[] = "version https://git-lfs.github.com/spec/v1\n";

	return n < 1024 && n >= sizeof(head) - 1 && memcmp(p, head, sizeof(head) - 1) == 0;
}
