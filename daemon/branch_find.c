/* SPDX-License-Identifier: Apache-2.0 */
/* A branch by name, and what a misspelt one may have meant. */
#include "branch_find.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "odb.h"

enum { NAME_MAX_NEAR = 256, NEAR_MAX = 3 };

/* Edits from a to b; names that are too long are simply far. */
static size_t edits(const char *a, const char *b)
{
	size_t row[NAME_MAX_NEAR + 1], n = strlen(b);

	if (n > NAME_MAX_NEAR || strlen(a) > NAME_MAX_NEAR)
		return NAME_MAX_NEAR;
	for (size_t k = 0; k <= n; k++)
		row[k] = k;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t k = 1; k <= n; k++) {
			size_t up = row[k], best = diagonal + (a[i - 1] != b[k - 1]);

			if (up + 1 < best)
				best = up + 1;
			if (row[k - 1] + 1 < best)
				best = row[k - 1] + 1;
			row[k] = best;
			diagonal = up;
		}
	}
	return row[n];
}

static int near_names(git_repository *git, const char *name, struct buf *b)
{
	git_branch_iterator *it = NULL;
	git_reference *ref = NULL;
	git_branch_t type;
	size_t found = 0;
	int r = git_branch_iterator_new(&it, git, GIT_BRANCH_LOCAL);

	while (r == 0 && found < NEAR_MAX && git_branch_next(&ref, &type, it) == 0) {
		const char *s = git_reference_shorthand(ref);

		if (strstr(s, name) || edits(name, s) <= strlen(name) / 4 + 1)
			r = buf_addf(b, "%s'%s'", found++ ? ", " : "; near it: ", s);
		git_reference_free(ref);
	}
	git_branch_iterator_free(it);
	return r;
}

static int look_up(git_repository *git, const char *prefix, const char *name, git_oid *ret)
{
	_cleanup_buf_ struct buf full = BUF_INIT;
	git_object *o = NULL, *commit = NULL;
	git_oid id;
	int r = buf_addf(&full, "%s%s", prefix, name);

	if (r == 0)
		r = git_reference_name_to_id(&id, git, full.data);
	if (r == 0)
		r = git_object_lookup(&o, git, &id, GIT_OBJECT_ANY);
	if (r == 0)
		r = git_object_peel(&commit, o, GIT_OBJECT_COMMIT);
	if (r == 0)
		git_oid_cpy(ret, git_object_id(commit));
	git_object_free(o);
	git_object_free(commit);
	return r;
}

int branch_find(struct repo *r, const char *name, bool remote, git_oid *ret, struct err *reterr)
{
	_cleanup_buf_ struct buf names = BUF_INIT;
	int q = look_up(r->git, "refs/heads/", name, ret);

	if (remote && (q == GIT_ENOTFOUND || q == GIT_EINVALIDSPEC))
		q = look_up(r->git, "refs/remotes/", name, ret);
	if (q == 0)
		return 0;
	if (q != GIT_ENOTFOUND && q != GIT_EINVALIDSPEC)
		return git_errno(q, reterr, "reading the branch '%s'", name);
	(void)near_names(r->git, name, &names);
	return err_set_id(reterr, -ENOENT, "NotFound", "no branch '%s' in the repository '%s'%s",
			  name, r->common, names.data ? names.data : "");
}
