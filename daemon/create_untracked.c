/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files of the main worktree a new view shows though git does not track them: what matches
 * `seed:` of the configuration or the main worktree's .worktreeinclude *and* git ignores. The answer
 * is paths, files and whole folders; what they promise from there on is at the head of
 * overlay/seed.c.
 *
 * .worktreeinclude is what other tools know by that name: lines in the syntax of .gitignore, at the
 * top of the main worktree; a file is taken if it matches and is ignored, so nothing tracked is ever
 * replaced. The patterns of the configuration come first, the file's behind them: the last that
 * matches decides, "!" takes nothing.
 *
 * The search is bounded. A folder that matches and is ignored is one path, whatever is in it. A pattern
 * without a slash (".env") is looked for in each folder that the base has, since nothing else of a
 * worktree is in a view: where no other kind of pattern leads, by asking for that name, without
 * listing the folder. Only a pattern with a slash ("build/local.conf") leads into folders that git ignores
 * or that the base lacks; folders that are another repository or a mount point are never entered, and
 * after SCAN_MAX names the search ends, and says so.
 *
 * Called as the repository's owner. Symlinks are never followed.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "create.h"
#include "image.h"
#include "io.h"
#include "odb.h"
#include "policy_pattern.h"
#include "sys.h"
#include "worker_run.h"

enum {
	INCLUDE_MAX = 256 << 10,
	PATTERNS_MAX = 1000,
	PATHS_MAX = 4096,
	SCAN_MAX = 400000,
	DEPTH_MAX = 100,
	NAMED_MAX = 8, /* paths in the note; patterns that are told to be of no use */
	GITLINK = 0160000,
};

static const char INCLUDE[] = ".worktreeinclude";

struct rule {
	struct pattern *pattern;
	char *text;
	bool anchored, from_file;
	size_t name_len; /* a plain name at any depth: so many bytes of text */
	bool again;	 /* one before it has the same name */
	size_t taken;
	char *tracked, *not_ignored; /* a path that it matches and that cannot be taken */
};

struct search {
	struct repo *repo;
	git_repository *git; /* of the main worktree, whatever worktree was named */
	const struct image *img;
	struct rule *rules;
	size_t nrules;
	struct found {
		char *path; /* a folder's ends in '/' */
		struct rule *by;
	} * found;
	size_t nfound;
	int root; /* the main worktree */
	struct buf path;
	size_t scanned;
	unsigned int depth;
	bool cut;
	json_t *ret;
};

/* --- patterns --- */

/* "a/b" and "/a" are at one place; "a", "a/" and "**" in front are looked for at any depth. */
static bool is_anchored(const char *text)
{
	const char *slash;

	text += *text == '!';
	slash = strchr(text, '/');
	return slash && slash[1] && strncmp(text, "**/", 3) != 0;
}

/* "name" and "name/", without a glob: how long the name is; else 0. */
static size_t plain_name(const char *text)
{
	size_t n = strcspn(text, "/");

	if (*text == '!' || (text[n] && text[n + 1]) || memchr(text, '\\', n) ||
	    strcspn(text, "*?[ ") < n || strncasecmp(text, ".git", n > 4 ? n : 4) == 0)
		return 0;
	return n;
}

static int add_rule(struct search *s, const char *text, bool from_file)
{
	const char *why = "";
	struct rule r = {.anchored = is_anchored(text),
			 .from_file = from_file,
			 .name_len = plain_name(text)};
	struct rule *v;
	int q;

	if (s->nrules == PATTERNS_MAX)
		return 0;
	q = pattern_compile(text, &r.pattern, &why);
	if (q == -EINVAL) {
		worker_note(s->ret, "pattern '%s' of %s: %s", text, INCLUDE, why);
		return 0;
	}
	if (q < 0)
		return q;
	r.text = sys_strdup(text);
	v = r.text ? sys.realloc(s->rules, (s->nrules + 1) * sizeof(*v)) : NULL;
	if (!v) {
		pattern_free(r.pattern);
		free(r.text);
		return -ENOMEM;
	}
	s->rules = v;
	for (size_t i = 0; i < s->nrules; i++)
		r.again |= v[i].name_len && v[i].name_len == r.name_len &&
			   memcmp(v[i].text, r.text, r.name_len) == 0;
	s->rules[s->nrules++] = r;
	return 0;
}

static int add_lines(struct search *s, char *text)
{
	char *save = NULL;
	int r = 0;

	for (char *line = strtok_r(text, "\n", &save); line && r == 0;
	     line = strtok_r(NULL, "\n", &save)) {
		size_t n = strlen(line);

		if (n && line[n - 1] == '\r')
			line[--n] = '\0';
		if (n && *line != '#' && strspn(line, " \t") != n)
			r = add_rule(s, line, true);
	}
	return r;
}

static int read_rules(struct search *s, const json_t *config)
{
	_cleanup_close_ int dir =
		open(s->repo->worktree, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	_cleanup_buf_ struct buf b = BUF_INIT;
	struct stat st;
	int r = 0;

	for (size_t i = 0; r == 0 && i < json_array_size(config); i++) {
		const char *text = json_string_value(json_array_get(config, i));

		r = text ? add_rule(s, text, false) : 0;
	}
	if (r < 0 || dir < 0 || fstatat(dir, INCLUDE, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !S_ISREG(st.st_mode))
		return r;
	r = io_read_file(dir, INCLUDE, INCLUDE_MAX, &b);
	if (r < 0) {
		worker_note(s->ret, "%s cannot be read: %s", INCLUDE, strerror(-r));
		return 0;
	}
	return b.data ? add_lines(s, b.data) : 0;
}

/* The rule that decides about the path at hand; NULL: none takes it. */
static struct rule *decides(struct search *s, bool dir)
{
	struct pattern_path at = {.p = s->path.data, .n = s->path.len, .dir = dir};

	for (size_t i = s->nrules; i-- > 0;)
		if (pattern_covers(s->rules[i].pattern, &at))
			return pattern_negated(s->rules[i].pattern) ? NULL : &s->rules[i];
	return NULL;
}

/* The rule that takes all that is in the folder at hand, though not the folder itself; or NULL. */
static struct rule *takes_all_in(struct search *s)
{
	struct pattern_path at = {.p = s->path.data, .n = s->path.len, .dir = true};

	for (size_t i = s->nrules; i-- > 0;) {
		enum pattern_span span = pattern_below(s->rules[i].pattern, &at);

		if (span != PATTERN_NONE)
			return span == PATTERN_ALL && !pattern_negated(s->rules[i].pattern)
				       ? &s->rules[i]
				       : NULL;
	}
	return NULL;
}

static bool leads_below(const struct search *s, bool only_anchored)
{
	struct pattern_path at = {.p = s->path.data, .n = s->path.len, .dir = true};

	for (size_t i = 0; i < s->nrules; i++)
		if (!pattern_negated(s->rules[i].pattern) &&
		    (s->rules[i].anchored || !only_anchored) &&
		    pattern_below(s->rules[i].pattern, &at) != PATTERN_NONE)
			return true;
	return false;
}

/* --- the search --- */

static int ignored(struct search *s, bool *ret)
{
	int is = 0, r = git_ignore_path_is_ignored(&is, s->git, s->path.data);

	*ret = r == 0 && is;
	return r < 0 ? git_errno(r, NULL, "asking whether git ignores '%s'", s->path.data) : 0;
}

static int take(struct search *s, struct rule *rule, bool dir)
{
	struct found *v;
	char *path;

	if (s->nfound == PATHS_MAX) {
		s->cut = true;
		return 0;
	}
	v = sys.realloc(s->found, (s->nfound + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	s->found = v;
	path = sys.malloc(s->path.len + 2);
	if (!path)
		return -ENOMEM;
	memcpy(path, s->path.data, s->path.len + 1);
	if (dir)
		memcpy(path + s->path.len, "/", 2);
	rule->taken++;
	s->found[s->nfound++] = (struct found){path, rule};
	return 0;
}

static void cannot(const struct search *s, char **why)
{
	if (!*why)
		*why = sys_strdup(s->path.data);
}

static int visit(struct search *s, int64_t place);

/* The path at hand, in the main worktree and on its file system, no symlink on the way. */
static int open_path(const struct search *s, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned int)(flags | O_NOFOLLOW | O_CLOEXEC),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
			   RESOLVE_NO_XDEV,
	};

	return (int)syscall(SYS_openat2, s->root, s->path.len ? s->path.data : ".", &how,
			    sizeof(how));
}

static int see_folder(struct search *s, int64_t place)
{
	struct rule *rule = decides(s, true);
	bool is = false;
	int r;

	if (place >= 0) {
		if ((image_node(s->img, (uint32_t)place)->mode & 0170000) == GITLINK)
			return 0;
		return rule || leads_below(s, false) ? visit(s, place) : 0;
	}
	if (!rule && !leads_below(s, true))
		return 0;
	r = ignored(s, &is);
	if (r < 0)
		return r;
	if (is && !rule)
		rule = takes_all_in(s);
	return is && rule ? take(s, rule, true) : visit(s, -1);
}

static int see_file(struct search *s, int64_t place)
{
	struct rule *rule = decides(s, false);
	bool is;
	int r;

	if (!rule)
		return 0;
	if (place >= 0) {
		cannot(s, &rule->tracked);
		return 0;
	}
	r = ignored(s, &is);
	if (r < 0)
		return r;
	if (is)
		return take(s, rule, false);
	cannot(s, &rule->not_ignored);
	return 0;
}

static int push(struct search *s, const char *name, size_t len, size_t *ret_old)
{
	int r = 0;

	*ret_old = s->path.len;
	if (s->path.len)
		r = buf_addc(&s->path, '/');
	return r < 0 ? r : buf_add(&s->path, name, len);
}

static void pop(struct search *s, size_t old)
{
	s->path.len = old;
	s->path.data[old] = '\0';
}

static bool never(const struct search *s, const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcasecmp(name, ".git") == 0 ||
	       (!s->path.len && strcmp(name, ".agentfs") == 0);
}

/* --- folders that are listed --- */

static int see(struct search *s, int dir, const struct dirent *e, int64_t place)
{
	size_t len = strlen(e->d_name), old;
	unsigned char type = e->d_type;
	struct stat st;
	int r = push(s, e->d_name, len, &old);

	if (type == DT_UNKNOWN && fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		type = IFTODT(st.st_mode);
	if (place >= 0)
		place = image_lookup(s->img, (uint32_t)place, e->d_name, len);
	if (r == 0 && type == DT_DIR)
		r = see_folder(s, place);
	else if (r == 0 && (type == DT_REG || type == DT_LNK))
		r = see_file(s, place);
	pop(s, old);
	return r;
}

/* place: the folder in the base, -1 where it is not there. */
static int list(struct search *s, int64_t place)
{
	int fd = open_path(s, O_RDONLY | O_DIRECTORY), r = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) { /* a mount point, gone, or not ours to read */
		(void)safe_close(fd);
		return 0;
	}
	if (place >= 0 || faccessat(fd, ".git", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		while (r == 0 && !s->cut && (e = readdir(d))) {
			if (never(s, e->d_name))
				continue;
			if (++s->scanned > SCAN_MAX)
				s->cut = true;
			r = see(s, dirfd(d), e, place);
		}
	(void)closedir(d);
	return r;
}

/* --- folders of the base of which only some names are asked for --- */

/* Does something other than a plain name lead into the folder at hand? */
static bool must_list(const struct search *s)
{
	struct pattern_path at = {.p = s->path.data, .n = s->path.len, .dir = true};

	for (size_t i = 0; i < s->nrules; i++) {
		const struct rule *r = &s->rules[i];
		enum pattern_span span =
			pattern_negated(r->pattern) ? PATTERN_NONE : pattern_below(r->pattern, &at);

		if (span == PATTERN_ALL || (span == PATTERN_SOME && !r->name_len))
			return true;
	}
	return false;
}

static int probe_name(struct search *s, const char *name, size_t len, int64_t place)
{
	_cleanup_close_ int fd = -1;
	struct stat st;
	size_t old;
	int r = push(s, name, len, &old);

	place = image_lookup(s->img, (uint32_t)place, name, len);
	if (r == 0 && (place < 0 || !S_ISDIR(image_node(s->img, (uint32_t)place)->mode)))
		fd = open_path(s, O_PATH);
	s->scanned++;
	if (r == 0 && fd >= 0 && fstat(fd, &st) == 0)
		r = S_ISDIR(st.st_mode)				 ? see_folder(s, place)
		    : S_ISREG(st.st_mode) || S_ISLNK(st.st_mode) ? see_file(s, place)
								 : 0;
	pop(s, old);
	return r;
}

static int probe(struct search *s, uint32_t place)
{
	const struct image_node *b = image_node(s->img, place);
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->nrules; i++)
		if (s->rules[i].name_len && !pattern_negated(s->rules[i].pattern) &&
		    !s->rules[i].again)
			r = probe_name(s, s->rules[i].text, s->rules[i].name_len, place);
	for (uint32_t i = 0; r == 0 && !s->cut && i < b->children; i++) {
		const struct image_node *c = image_node(s->img, b->first_child + i);
		const char *name;
		size_t len, old;

		if (!S_ISDIR(c->mode))
			continue;
		name = image_name(s->img, c, &len);
		r = push(s, name, len, &old);
		if (r == 0)
			r = see_folder(s, b->first_child + i);
		pop(s, old);
	}
	return r;
}

static int visit(struct search *s, int64_t place)
{
	int r;

	if (s->depth == DEPTH_MAX)
		return 0;
	s->depth++;
	r = place < 0 || must_list(s) ? list(s, place) : probe(s, (uint32_t)place);
	s->depth--;
	return r;
}

/* --- the answer --- */

static const char *source_name(const struct rule *r)
{
	return r->from_file ? INCLUDE : "seed: in the configuration";
}

static int add_named(struct search *s, bool from_file, struct buf *b)
{
	size_t n = 0;
	int r = 0;

	for (size_t i = 0; i < s->nfound && r == 0; i++) {
		if (s->found[i].by->from_file != from_file)
			continue;
		if (n++ < NAMED_MAX)
			r = buf_addf(b, "%s%s",
				     n > 1    ? ", "
				     : b->len ? "; "
					      : "",
				     s->found[i].path);
	}
	if (r == 0 && n > NAMED_MAX)
		r = buf_addf(b, " and %zu more", n - NAMED_MAX);
	if (r == 0 && n)
		r = buf_addf(b, " (from %s)", from_file ? INCLUDE : "seed: in the configuration");
	return r;
}

static void tell_useless(struct search *s)
{
	size_t told = 0;

	for (size_t i = 0; i < s->nrules && told < NAMED_MAX; i++) {
		const struct rule *r = &s->rules[i];

		if (r->taken || pattern_negated(r->pattern))
			continue;
		told++;
		if (r->not_ignored)
			worker_note(s->ret,
				    "pattern '%s' of %s matches '%s', which git does not ignore: "
				    "not seeded; add it to .gitignore",
				    r->text, source_name(r), r->not_ignored);
		else if (r->tracked)
			worker_note(s->ret,
				    "pattern '%s' of %s matches '%s', which is tracked: the view "
				    "has it from its base",
				    r->text, source_name(r), r->tracked);
		else
			worker_note(
				s->ret,
				"pattern '%s' of %s matches no ignored file of the main worktree",
				r->text, source_name(r));
	}
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct found *)a)->path, ((const struct found *)b)->path);
}

static int answer(struct search *s)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	json_t *list = json_array();
	int r;

	if (s->nfound)
		qsort(s->found, s->nfound, sizeof(*s->found), by_path);
	r = list ? add_named(s, true, &b) : -ENOMEM;
	if (r == 0)
		r = add_named(s, false, &b);
	if (r < 0) {
		json_decref(list);
		return r;
	}
	for (size_t i = 0; i < s->nfound; i++) {
		size_t len = strlen(s->found[i].path);
		json_t *path =
			json_stringn(s->found[i].path, len - (s->found[i].path[len - 1] == '/'));

		if (!path)
			worker_note(s->ret, "a name that is no UTF-8 is not seeded");
		else
			(void)json_array_append_new(list, path);
	}
	if (b.len)
		worker_note(s->ret, "seeded: %s", b.data);
	if (s->cut)
		worker_note(s->ret, "the search for files to seed ended early: name folders, or "
				    "paths with a slash");
	tell_useless(s);
	(void)json_object_set_new(s->ret, "seed_from", json_string(s->repo->worktree));
	return json_object_set_new(s->ret, "seed_paths", list) < 0 ? -ENOMEM : 0;
}

static void search_release(struct search *s)
{
	for (size_t i = 0; i < s->nrules; i++) {
		pattern_free(s->rules[i].pattern);
		free(s->rules[i].text);
		free(s->rules[i].tracked);
		free(s->rules[i].not_ignored);
	}
	for (size_t i = 0; i < s->nfound; i++)
		free(s->found[i].path);
	free(s->rules);
	free(s->found);
	buf_release(&s->path);
	if (s->git != s->repo->git)
		git_repository_free(s->git);
	(void)safe_close(s->root);
}

int create_untracked(struct repo *repo, const struct image *img, const json_t *config, json_t *ret)
{
	_cleanup_(search_release) struct search s = {
		.repo = repo, .git = repo->git, .img = img, .root = -1, .ret = ret};
	int r;

	if (!repo->worktree)
		return 0;
	r = read_rules(&s, config);
	if (r == 0 && s.nrules && git_repository_is_worktree(repo->git))
		r = git_repository_open(&s.git, repo->common) < 0 ? -EIO : 0;
	if (r < 0 || !s.nrules)
		return r;
	s.root = open(repo->worktree, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (s.root < 0)
		return 0;
	r = buf_adds(&s.path, "");
	r = r < 0 ? r : visit(&s, 0);
	return r < 0 ? r : answer(&s);
}
