/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guarantees: git is asked once, about as little as it needs (merge_reduced.h), and not at all where each result is
 * certain. Where no attribute counts for any of the files, their paths mean nothing, and they stand in one folder under their
 * numbers: a folder on the way costs three objects.
 */
#include "merge_second.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "merge_reduced.h"

int merge_note(struct merge_notes *notes, const char *fmt, ...)
{
	char **v = realloc(notes->v, (notes->n + 1) * sizeof(*v));
	va_list ap;
	int n;

	if (!v)
		return -ENOMEM;
	notes->v = v;
	va_start(ap, fmt);
	n = vasprintf(&v[notes->n], fmt, ap);
	va_end(ap);
	if (n < 0)
		return -ENOMEM;
	notes->n++;
	return 0;
}

static bool is_asked_about(const struct merge_file *mine)
{
	return mine->by_line && !mine->certain;
}

struct name {
	char s[24];
};

/* What the file is called in what git is asked. In order as the files are. */
static const char *name_of(const struct merge_second *s, const struct merge_both *files, size_t i,
			   struct name *room)
{
	if (!s->numbered)
		return files[i].path;
	(void)snprintf(room->s, sizeof(room->s), "%010zu", i);
	return room->s;
}

void merge_second_start(struct merge_second *s, struct merge_private *p,
			const struct merge_both *files, const struct merge_file *mine, size_t n)
{
	_cleanup_free_ struct merge_both *some = calloc(n + 1, sizeof(*some));
	_cleanup_free_ struct name *names = calloc(n + 1, sizeof(*names));
	git_oid ours, theirs;
	size_t k = 0;
	int r = some && names ? 0 : -ENOMEM;

	s->numbered = p->plain;
	for (size_t i = 0; i < n && r == 0; i++) {
		if (!is_asked_about(&mine[i]))
			continue;
		some[k] = files[i];
		some[k++].path = (char *)name_of(s, files, i, &names[i]);
	}
	if (k)
		r = merge_reduced(p, some, k, &ours, &theirs, &s->none);
	if (k && r == 0)
		r = merge_git_start(p, &ours, &theirs, &s->run, &s->none);
	if (r < 0 && !s->none.code)
		(void)err_set(&s->none, r, "asking git: %s", strerror(-r));
	s->asked = k && r == 0;
}

static bool conflicts(const struct merge_git *g, const char *path)
{
	for (size_t i = 0; i < g->conflicts.n; i++)
		if (strcmp(g->conflicts.v[i].path, path) == 0)
			return true;
	return false;
}

static int only_ours(const char *path, struct merge_notes *notes)
{
	return merge_note(
		notes,
		"'%s': merged by comparing lines one way (Myers); git's own (histogram) sees a "
		"conflict",
		path);
}

static int only_gits(const char *path, struct merge_notes *notes)
{
	return merge_note(
		notes,
		"'%s': merged by git's way of comparing lines (histogram); the other (Myers) "
		"sees a conflict",
		path);
}

static int compare(struct merge_second *s, struct merge_private *p, const char *path,
		   const char *name, struct merge_file *mine, struct merge_notes *notes,
		   struct err *reterr)
{
	struct tree_entry gits = {0};
	int r;

	if (conflicts(&s->said, name))
		return mine->to.mode ? only_ours(path, notes) : 0;
	r = tree_get(p->git, &s->said.tree, name, &gits);
	if (r < 0 || !gits.mode)
		return err_set(reterr, r < 0 ? r : -EBADMSG, "reading git's merge of '%s'", path);
	if (!mine->to.mode) {
		r = merge_git_copy(p, &gits.oid, reterr);
		mine->to = gits;
		return r < 0 ? r : only_gits(path, notes);
	}
	if (git_oid_equal(&gits.oid, &mine->to.oid))
		return 0;
	mine->to.mode = 0;
	mine->kind = "content";
	mine->why =
		"merges to two different texts, by which way lines are compared (Myers, histogram)";
	return 0;
}

int merge_second_finish(struct merge_second *s, struct merge_private *p,
			const struct merge_both *files, struct merge_file *mine, size_t n,
			struct merge_notes *notes, struct err *reterr)
{
	bool any = false;
	int r = 0;

	for (size_t i = 0; i < n; i++)
		any |= is_asked_about(&mine[i]);
	if (!any)
		return 0;
	if (s->asked)
		r = merge_private_open(p, reterr); /* before the wait */
	if (r < 0)
		return r;
	if (s->asked)
		(void)merge_git_finish(&s->run, &s->said, &s->none);
	if (merge_private_is_full(p, s->none.code))
		return s->none.code;
	if (s->none.code)
		return merge_note(notes,
				  "files changed on both sides were merged without a second "
				  "opinion: %s",
				  err_text(&s->none));
	for (size_t i = 0; r == 0 && i < n; i++) {
		struct name room;

		if (is_asked_about(&mine[i]))
			r = compare(s, p, files[i].path, name_of(s, files, i, &room), &mine[i],
				    notes, reterr);
	}
	return r;
}

void merge_second_release(struct merge_second *s)
{
	merge_git_drop(&s->run);
	merge_git_release(&s->said);
	err_release(&s->none);
	*s = (struct merge_second){0};
}
