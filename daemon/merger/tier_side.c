/* SPDX-License-Identifier: Apache-2.0 */
/* Who changed a path on either side, and what they said about it: from the commits since the merge base. */
#include <string.h>

#include "cleanup.h"
#include "tier_parts.h"

enum { COMMITS_LOOK = 300, MESSAGES_MAX = 5, MESSAGE_MAX = 2000 };

static int entry_of(const git_commit *c, const char *path, git_oid *ret)
{
	git_tree_entry *e = NULL;
	git_tree *t = NULL;
	int r = git_commit_tree(&t, c);

	memset(ret, 0, sizeof(*ret));
	if (r == 0 && git_tree_entry_bypath(&e, t, path) == 0)
		git_oid_cpy(ret, git_tree_entry_id(e));
	git_tree_entry_free(e);
	git_tree_free(t);
	return r;
}

/* Does the commit change the path, against its first parent? Merges do not. */
static bool changes(const git_commit *c, const char *path)
{
	git_commit *parent = NULL;
	git_oid now, before;
	bool differs = false;

	if (git_commit_parentcount(c) != 1 || git_commit_parent(&parent, c, 0) < 0)
		return false;
	if (entry_of(c, path, &now) == 0 && entry_of(parent, path, &before) == 0)
		differs = !git_oid_equal(&now, &before);
	git_commit_free(parent);
	return differs;
}

static json_t *message_json(const git_commit *c)
{
	const char *text = git_commit_message(c);
	size_t n = text ? strlen(text) : 0;

	return worker_text(text ? text : "", n < MESSAGE_MAX ? n : MESSAGE_MAX);
}

/* Messages of the commits of `tip` that `other` lacks and that change the path, newest first. */
static json_t *messages(const struct tier_ai *t, const char *path, const git_oid *tip,
			const git_oid *other)
{
	git_repository *git = t->w->repo.git;
	json_t *all = json_array();
	git_revwalk *walk = NULL;
	git_oid id;
	int r = git_revwalk_new(&walk, git);

	if (r == 0)
		r = git_revwalk_push(walk, tip);
	if (r == 0)
		r = git_revwalk_hide(walk, other);
	for (int i = 0; r == 0 && i < COMMITS_LOOK && json_array_size(all) < MESSAGES_MAX; i++) {
		git_commit *c = NULL;

		if (git_revwalk_next(&id, walk) < 0 || git_commit_lookup(&c, git, &id) < 0)
			break;
		if (changes(c, path))
			(void)json_array_append_new(all, message_json(c));
		git_commit_free(c);
	}
	git_revwalk_free(walk);
	return all;
}

/* The value of a trailer in the newest message that has it, appended to `keep`; NULL. */
static const char *trailer(json_t *list, const char *key, json_t *keep)
{
	size_t n = strlen(key), i;
	json_t *m;

	json_array_foreach (list, i, m)
		for (const char *l = json_string_value(m); l && *l;) {
			size_t len = strcspn(l, "\n");

			if (len > n + 2 && strncmp(l, key, n) == 0 && l[n] == ':') {
				json_t *value = json_stringn(l + n + 2, len - n - 2);

				(void)json_array_append_new(keep, value);
				return json_string_value(value);
			}
			l += len + (l[len] == '\n');
		}
	return NULL;
}

void tier_sides(const struct tier_ai *t, const char *path, struct ai_side side[SIDES],
		json_t **keep)
{
	json_t *ours = messages(t, path, &t->ours, &t->theirs),
	       *theirs = messages(t, path, &t->theirs, &t->ours), *all = json_array();

	(void)json_array_append_new(all, ours);
	(void)json_array_append_new(all, theirs);
	side[OURS] = (struct ai_side){.branch = t->into,
				      .agent = trailer(ours, "Agent", all),
				      .task = trailer(ours, "Task", all),
				      .messages = ours};
	side[THEIRS] = (struct ai_side){.branch = t->source,
					.agent = worker_str(t->w, "agent"),
					.role = worker_str(t->w, "role"),
					.task = worker_str(t->w, "task"),
					.messages = theirs};
	*keep = all;
}
