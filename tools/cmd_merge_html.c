/* SPDX-License-Identifier: Apache-2.0 */
/* Merges as a page in a file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"
#include "cmd.h"
#include "io.h"
#include "json.h"
#include "merge_html.h"
#include "merge_out.h"

enum { MERGES = 20, PAGE_MODE = 0644 };

static int explain(struct ctl *c, long long id, json_t *all)
{
	json_t *reply = NULL;
	int r = client_call(c, "MergeExplain", json_pack("{s:I}", "merge", (json_int_t)id), &reply);

	if (r == 0)
		(void)json_array_append_new(all, reply);
	return r;
}

/* The newest merges in which lines conflicted. */
static int explain_newest(struct ctl *c, json_t *all)
{
	_cleanup_(json_decrefp) json_t *reply = NULL;
	const char *repo = args_get(&c->args, "repo");
	_cleanup_free_ char *real = repo ? realpath(repo, NULL) : NULL;
	json_t *m;
	size_t i;
	int r = client_call(c, "MergeHistory",
			    json_pack("{s:s*}", "repository", real ? real : repo), &reply);

	json_array_foreach (json_object_get(reply, "merges"), i, m)
		if (r == 0 && json_array_size(all) < MERGES &&
		    json_array_size(json_object_get(m, "paths")))
			r = explain(c, jint(m, "merge"), all);
	return r;
}

static int write_page(struct ctl *c, const char *file, const json_t *all)
{
	const char *slash = strrchr(file, '/');
	_cleanup_free_ char *folder =
		slash ? strndup(file, (size_t)(slash - file) + 1) : strdup(".");
	_cleanup_free_ char *page = NULL;
	_cleanup_close_ int dir = -1;
	size_t n = 0;
	FILE *f = open_memstream(&page, &n);
	int r;

	if (!f || !folder)
		return ctl_fail(c, CTL_FAILED, "Internal", NULL, "no memory for the page");
	merge_html(f, all);
	if (fclose(f) != 0)
		return ctl_fail(c, CTL_FAILED, "Internal", NULL, "no memory for the page");
	dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = dir < 0 ? -errno : io_replace_file(dir, slash ? slash + 1 : file, page, n, PAGE_MODE);
	return r < 0 ? ctl_fail(c, CTL_FAILED, "Invalid", "Name a file that you may write.",
				"cannot write '%s': %s", file, strerror(-r))
		     : CTL_OK;
}

static int run_merge_html(struct ctl *c)
{
	_cleanup_(json_decrefp) json_t *all = json_array();
	const char *file = c->args.words[0];
	long long id = 0;
	int r = c->args.n_words > 1 ? merge_number(c, 1, &id) : CTL_OK;

	if (r == CTL_OK)
		r = id ? explain(c, id, all) : explain_newest(c, all);
	if (r == CTL_OK)
		r = write_page(c, file, all);
	if (r != CTL_OK)
		return r;
	if (c->json)
		return ctl_json(all);
	ctl_note(c, "%zu merge%s in %s", json_array_size(all), json_array_size(all) == 1 ? "" : "s",
		 file);
	return CTL_OK;
}

const struct command cmd_merge_html = {
	.name = "merge html",
	.group = "Work",
	.args = "FILE [MERGE]",
	.help = "write a page that shows merges conflict by conflict",
	.about =
		"One file that needs nothing else and asks no network: for each conflict the target's, "
		"the base's and the source's lines side by side, what it became, who said so and why, "
		"with what evidence, and what was not taken. Without MERGE: the newest merges in which "
		"lines conflicted, 20 at most. The keys j and k go from conflict to conflict.",
	.example = "agentfsctl merge html merges.html\nagentfsctl merge html one.html 12",
	.opts = (const struct opt[]){{"repo", 0, "PATH", "only merges in this repository", "@dirs"},
				     {0}},
	.run = run_merge_html,
};
