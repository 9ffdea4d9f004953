/* SPDX-License-Identifier: Apache-2.0 */
/* Op ignored: does git ignore a path of the main worktree? For mount points inside a repository. */
#include <string.h>

#include "odb.h"
#include "worker_ops.h"
#include "worker_run.h"

int op_ignored(struct worker *w, json_t *ret, struct err *reterr)
{
	const char *path = NULL, *tree = w->repo.worktree;
	size_t n = tree ? strlen(tree) : 0;
	int ignored = 0, r = worker_need_str(w, "path", &path, reterr);

	if (r < 0)
		return r;
	if (tree && strncmp(path, tree, n) == 0 && path[n] == '/') {
		r = git_ignore_path_is_ignored(&ignored, w->repo.git, path + n + 1);
		if (r < 0)
			return git_errno(r, reterr, "asking whether git ignores '%s'", path);
	}
	return json_object_set_new(ret, "ignored", json_boolean(ignored)) < 0 ? -ENOMEM : 0;
}
