/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What git's merge says of a conflict, in our words: the kind, and a sentence with what each side did. Git's own
 * sentences name commits for sides and the names that it would give files in a worktree; what is known
 * from the stages of the paths is said from them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "buf.h"
#include "cleanup.h"
#include "merge_git_parts.h"

enum { TARGET_SHOWN = 200 };

static const char *kind_of(const struct git_message *m)
{
	static const struct {
		const char *type, *kind;
	} kinds[] = {
		{"CONFLICT (binary)", "binary"},
		{"CONFLICT (file/directory)", "file/folder"},
		{"CONFLICT (distinct modes)", "type"},
		{"CONFLICT (distinct types)", "type"},
		{"CONFLICT (modify/delete)", "modify/delete"},
		{"CONFLICT (rename/rename)", "rename/rename"},
		{"CONFLICT (rename involved in collision)", "rename/rename"},
		{"CONFLICT (rename/delete)", "rename/delete"},
		{"CONFLICT (directory rename", "folder rename"},
		{"CONFLICT(directory rename", "folder rename"},
		{"CONFLICT (file in way of directory rename)", "folder rename"},
		{"CONFLICT (submodule", "submodule"},
	};

	if (strncmp(m->type, "CONFLICT", strlen("CONFLICT")) != 0)
		return strstr(m->text, "submodule") && strstr(m->text, "ailed") ? "submodule"
										: NULL;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strncmp(m->type, kinds[i].type, strlen(kinds[i].type)) == 0)
			return kinds[i].kind;
	return "content";
}

/* What both sides have at one name says which kind of conflict it is. */
static const char *kind_of_both(const struct merge_stages *s, const char *kind)
{
	const struct tree_entry *b = &s->v[0], *o = &s->v[1], *t = &s->v[2];

	if ((o->mode & S_IFMT) == GIT_FILEMODE_COMMIT || (t->mode & S_IFMT) == GIT_FILEMODE_COMMIT)
		return "submodule";
	if (S_ISLNK(o->mode) && S_ISLNK(t->mode))
		return "symlink";
	if (strcmp(kind, "content") != 0)
		return kind;
	if (o->mode && t->mode && git_oid_equal(&o->oid, &t->oid))
		return "mode";
	return b->mode ? "content" : "add/add";
}

/* Commit names stand where git prints what it was given: people know sides. */
static int say_as_git(struct buf *b, const struct git_message *m)
{
	const char *text = m->text;
	size_t n = strlen(m->ours);
	int r = 0;

	if (strncmp(text, "CONFLICT", strlen("CONFLICT")) == 0) {
		const char *colon = strstr(text, ": ");

		text = colon ? colon + 2 : text;
	}
	/* What git would leave in a worktree is not said: there is none. */
	while (r == 0 && *text && *text != '\n' && strncmp(text, ".  Version ", 11) != 0) {
		bool o = strncmp(text, m->ours, n) == 0, t = strncmp(text, m->theirs, n) == 0;

		r = o || t ? buf_adds(b, o ? "the target" : "the source") : buf_addc(b, *text);
		text += o || t ? n : 1;
	}
	while (b->len && (b->data[b->len - 1] == '.' || b->data[b->len - 1] == ' '))
		b->data[--b->len] = 0;
	return r;
}

/* ---- sentences ---- */

static const char *side_with(const struct merge_stages *s)
{
	return s && s->v[1].mode ? "the target" : "the source";
}

static const char *side_without(const struct merge_stages *s)
{
	return s && s->v[1].mode ? "the source" : "the target";
}

static const char *type_name(uint32_t mode)
{
	return S_ISLNK(mode)				? "symbolic link"
	       : (mode & S_IFMT) == GIT_FILEMODE_COMMIT ? "submodule"
							: "file";
}

/* Where a symbolic link leads; what is long or odd is not shown. */
static void target_of(git_repository *git, const struct tree_entry *e, char *ret, size_t size)
{
	git_blob *blob = NULL;

	(void)snprintf(ret, size, "another place");
	if (git_blob_lookup(&blob, git, &e->oid) == 0) {
		const char *p = git_blob_rawcontent(blob);
		size_t n = (size_t)git_blob_rawsize(blob);

		if (n && n <= TARGET_SHOWN && !memchr(p, 0, n))
			(void)snprintf(ret, size, "'%.*s'", (int)n, p);
	}
	git_blob_free(blob);
}

static int say_link(struct buf *b, git_repository *git, const struct merge_stages *s)
{
	char ours[TARGET_SHOWN + 8], theirs[TARGET_SHOWN + 8];

	target_of(git, &s->v[1], ours, sizeof(ours));
	target_of(git, &s->v[2], theirs, sizeof(theirs));
	return buf_addf(b,
			"the symbolic link '%s' leads to %s in the target and to %s in the source",
			s->path, ours, theirs);
}

static int say_submodule(struct buf *b, const struct merge_stages *s)
{
	char ours[12], theirs[12];

	if (!s->v[1].mode || !s->v[2].mode)
		return buf_addf(b, "the submodule '%s' was changed in %s and deleted in %s",
				s->path, side_with(s), side_without(s));
	if ((s->v[1].mode ^ s->v[2].mode) & S_IFMT)
		return buf_addf(b, "'%s' is a %s in the target and a %s in the source", s->path,
				type_name(s->v[1].mode), type_name(s->v[2].mode));
	return buf_addf(b, "the submodule '%s' is at %s in the target and at %s in the source",
			s->path, git_oid_tostr(ours, 11, &s->v[1].oid),
			git_oid_tostr(theirs, 11, &s->v[2].oid));
}

/* The stages of one file may stand under the names that git gave to each side's. */
static int say_type(struct buf *b, const struct merge_git *g, const struct git_message *m)
{
	uint32_t mode[3] = {0};

	for (size_t i = 0; i < m->n; i++) {
		const struct merge_stages *s = merge_git_stages(g, m->paths[i]);

		for (int k = 1; s && k < 3; k++)
			mode[k] = s->v[k].mode ? s->v[k].mode : mode[k];
	}
	return mode[1] && mode[2] ? buf_addf(b, "'%s' is a %s in the target and a %s in the source",
					     m->paths[0], type_name(mode[1]), type_name(mode[2]))
				  : say_as_git(b, m);
}

static int say_renamed(struct buf *b, const struct git_message *m)
{
	if (m->n != 3 || strstr(m->type, "collision"))
		return say_as_git(b, m);
	return buf_addf(b, "'%s' was renamed to '%s' in the target and to '%s' in the source",
			m->paths[0], m->paths[1], m->paths[2]);
}

static int say(struct buf *b, const struct merge_git *g, const struct git_message *m,
	       const char *kind, const char *path)
{
	const struct merge_stages *s = merge_git_stages(g, m->paths[0]);

	if (strcmp(kind, "content") == 0)
		return buf_addf(b, "'%s' has lines that both sides changed differently", path);
	if (strcmp(kind, "add/add") == 0)
		return buf_addf(b, "'%s' was added on both sides with different content", path);
	if (strcmp(kind, "mode") == 0)
		return buf_addf(b,
				"'%s' was added on both sides alike, but as a program in %s only",
				path, s->v[1].mode & 0100 ? "the target" : "the source");
	if (strcmp(kind, "binary") == 0)
		return buf_addf(b, "'%s' is not text and was changed on both sides", path);
	if (strcmp(kind, "file/folder") == 0)
		return buf_addf(b, "'%s' is a file in %s and a folder in %s", path, side_with(s),
				side_without(s));
	if (strcmp(kind, "rename/rename") == 0)
		return say_renamed(b, m);
	if (strcmp(kind, "rename/delete") == 0 && m->n == 2)
		return buf_addf(b, "'%s' was renamed to '%s' in %s and deleted in %s", m->paths[1],
				m->paths[0], side_with(s), side_without(s));
	if (strcmp(kind, "type") == 0)
		return say_type(b, g, m);
	return say_as_git(b, m);
}

/* Those whose words are the stages' alone. */
static int say_of_stages(struct buf *b, struct merge_git *g, const struct merge_stages *s,
			 const char **kind)
{
	if (strcmp(*kind, "symlink") == 0)
		return say_link(b, g->git, s);
	if (strcmp(*kind, "submodule") == 0)
		return say_submodule(b, s);
	if (strcmp(*kind, "modify/delete") != 0 && strcmp(*kind, "delete/modify") != 0)
		return 0;
	*kind = s->v[1].mode ? "modify/delete" : "delete/modify";
	return s->v[1].mode
		       ? buf_addf(b, "'%s' was changed in the target and deleted in the source",
				  s->path)
		       : buf_addf(b, "'%s' was deleted in the target and changed in the source",
				  s->path);
}

/* Has more than a conflict of content been told of the path? */
static bool is_settled(const struct merge_git *g, const char *path)
{
	for (size_t i = 0; i < g->conflicts.n; i++)
		if (strcmp(g->conflicts.v[i].path, path) == 0 &&
		    strcmp(g->conflicts.v[i].kind, "content") != 0)
			return true;
	for (size_t i = 0; i < g->nmoved; i++)
		if (strcmp(g->moved[i], path) == 0)
			return true;
	return false;
}

/* A name that a conflict already stands for. */
static int add_moved(struct merge_git *g, const char *path)
{
	char **v = realloc(g->moved, (g->nmoved + 1) * sizeof(*v));

	if (!v)
		return -ENOMEM;
	g->moved = v;
	v[g->nmoved] = strdup(path);
	return v[g->nmoved++] ? 0 : -ENOMEM;
}

int merge_git_say(struct merge_git *g, const struct git_message *m)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	const struct merge_stages *s = merge_git_stages(g, m->paths[0]);
	const char *kind = kind_of(m), *path = m->paths[0];
	int r = 0;

	if (!kind)
		return 1;
	if (s && (strcmp(kind, "content") == 0 || strcmp(kind, "binary") == 0))
		kind = kind_of_both(s, kind);
	if (is_settled(g, path))
		return 0;
	/* Git says so of files, too, that the side with the folder has deleted and nobody has changed. */
	if (strcmp(kind, "file/folder") == 0 && !s)
		return 0;
	if (strcmp(kind, "file/folder") == 0 && m->n > 1)
		path = m->paths[1]; /* the first is a name that git made up */
	if (s)
		r = say_of_stages(&b, g, s, &kind);
	if (r == 0 && !b.len)
		r = say(&b, g, m, kind, path);
	if (r == 0)
		r = merge_conflict_add(&g->conflicts, path, kind, "%s", b.data ? b.data : "");
	for (size_t i = 0; r == 0 && i < m->n; i++)
		if (strcmp(m->paths[i], path) != 0)
			r = add_moved(g, m->paths[i]);
	return r;
}

int merge_git_say_rest(struct merge_git *g)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < g->nstages; i++) {
		const char *path = g->stages[i].path;
		bool told = is_settled(g, path);

		for (size_t k = 0; !told && k < g->conflicts.n; k++)
			told = strcmp(g->conflicts.v[k].path, path) == 0;
		if (!told)
			r = merge_conflict_add(&g->conflicts, path, "content",
					       "git could not merge '%s'", path);
	}
	return r;
}
