/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of a view's own repository. It differs from a clone's in that
 *  - git asks the view what changed (fsmonitor) and keeps an untracked cache;
 *  - gc.auto is off: what the agent makes is small, and everything else lies in the alternate, which no
 *    gc touches;
 *  - `origin` is the shared repository as the view itself shows it (overlay/view_origin.c), so that
 *    fetch and pull need nothing but the view;
 *  - branches that are gone there go with the next fetch: their commits may be gone too, and git stumbles
 *    over a remote-tracking branch without one;
 *  - a push to it is answered, as a remote side may, with the sentence that says what to do instead;
 *  - git lfs leaves pointers as they are, as the base shows them.
 * Nothing is taken from the shared repository's configuration but where its submodules come from.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "create.h"
#include "odb.h"

enum { SUBMODULES_MAX = 1000 };

bool create_fsmonitor(struct buf *ret)
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
		_cleanup_free_ char *real = NULL;

		buf_clear(ret);
		if (buf_addf(ret, "%.*s/%sfsmonitor", (int)(slash - self), self, places[i]) < 0 ||
		    access(ret->data, X_OK) < 0)
			continue;
		real = realpath(ret->data, NULL);
		buf_clear(ret);
		return real && buf_adds(ret, real) == 0 && !strpbrk(real, "'\"\\\n");
	}
	return false;
}

bool create_has_worktree_config(struct repo *repo)
{
	git_config *config = NULL;
	int on = 0;

	if (git_repository_config_snapshot(&config, repo->git) == 0)
		(void)git_config_get_bool(&on, config, "extensions.worktreeconfig");
	git_config_free(config);
	return on != 0;
}

/* A value, or a subsection's name, in quotes. */
static int add_quoted(struct buf *b, const char *s)
{
	int r = buf_addc(b, '"');

	for (; *s && r == 0; s++) {
		if (*s == '"' || *s == '\\')
			r = buf_addc(b, '\\');
		if (r == 0)
			r = *s == '\n' ? buf_adds(b, "\\n") : buf_addc(b, *s);
	}
	return r < 0 ? r : buf_addc(b, '"');
}

static int add_setting(struct buf *b, const char *key, const char *value)
{
	int r = buf_addf(b, "\t%s = ", key);

	if (r == 0)
		r = add_quoted(b, value);
	return r < 0 ? r : buf_addc(b, '\n');
}

static int add_section(struct buf *b, const char *section, const char *name)
{
	int r = buf_addf(b, "[%s ", section);

	if (r == 0)
		r = add_quoted(b, name);
	return r < 0 ? r : buf_adds(b, "]\n");
}

int create_config_branch(const char *branch, const char *target, struct buf *b)
{
	_cleanup_buf_ struct buf merge = BUF_INIT;
	int r = buf_addf(&merge, "refs/heads/%s", target);

	if (r == 0)
		r = add_section(b, "branch", branch);
	if (r == 0)
		r = buf_adds(b, "\tremote = origin\n");
	return r < 0 ? r : add_setting(b, "merge", merge.data);
}

/* git push runs this in place of git receive-pack: an error as the protocol has it, four digits of
 * length before it. git adds the remote's path as a word, which ":" takes. */
static int add_refusal(struct buf *b, const char *agent)
{
	_cleanup_buf_ struct buf said = BUF_INIT, command = BUF_INIT;
	int r = buf_addf(&said,
			 "ERR nothing is pushed from a view: commit here, then agentfsctl "
			 "materialize %s brings your commits to the repository",
			 agent);

	if (r == 0)
		r = buf_addf(&command, "printf %%s '%04zx%s'; :", said.len + 4, said.data);
	return r < 0 ? r : add_setting(b, "receivepack", command.data);
}

static int add_origin(struct buf *b, const struct create_seeds_options *opt)
{
	_cleanup_buf_ struct buf url = BUF_INIT;
	int r = buf_addf(&url, "%s/.agentfs/control/origin.git", opt->mount);

	if (r == 0)
		r = add_section(b, "remote", "origin");
	if (r == 0)
		r = add_setting(b, "url", url.data);
	if (r == 0)
		r = buf_adds(b, "\tfetch = +refs/heads/*:refs/remotes/origin/*\n\tprune = true\n");
	if (r == 0)
		r = add_refusal(b, opt->agent);
	if (r == 0) /* else git push asks for an upstream before it hears of the refusal */
		r = buf_adds(b, "[push]\n\tdefault = current\n");
	if (r == 0 && *opt->target)
		r = create_config_branch(opt->branch, opt->target, b);
	return r;
}

struct submodules {
	struct buf *b;
	unsigned n;
};

static int add_submodule(const git_config_entry *e, void *user)
{
	static const char start[] = "submodule.", end[] = ".url";
	struct submodules *s = user;
	size_t n = strlen(e->name), skip = sizeof(start) - 1, rest = sizeof(end) - 1;
	_cleanup_free_ char *name = NULL;

	if (n <= skip + rest || strncmp(e->name, start, skip) != 0 ||
	    strcmp(e->name + n - rest, end) != 0 || s->n++ >= SUBMODULES_MAX)
		return 0;
	name = strndup(e->name + skip, n - skip - rest);
	if (!name || add_section(s->b, "submodule", name) < 0)
		return -ENOMEM;
	return add_setting(s->b, "url", e->value ? e->value : "");
}

static int add_submodules(struct buf *b, struct repo *repo)
{
	struct submodules s = {.b = b};
	git_config *config = NULL;
	int r = git_repository_config_snapshot(&config, repo->git);

	if (r == 0)
		r = git_config_foreach(config, add_submodule, &s);
	git_config_free(config);
	return r;
}

int create_config(struct repo *repo, const struct create_seeds_options *opt, struct buf *b)
{
	_cleanup_buf_ struct buf monitor = BUF_INIT;
	bool found = !opt->plain && create_fsmonitor(&monitor);
	int r = buf_addf(
		b,
		"[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n"
		"\tlogallrefupdates = true\n\tuntrackedCache = true\n\tfsmonitorHookVersion = 2\n"
		"\tfsmonitor = %s%s%s\n"
		"\tautocrlf = false\n"
		"[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[lfs]\n\tfetchexclude = *\n"
		"[user]\n\tname = %s\n\temail = %s@agentfs.invalid\n",
		found ? "\"'" : "", found ? monitor.data : "false", found ? "'\"" : "", opt->agent,
		opt->agent);

	if (r == 0 && opt->mount)
		r = add_origin(b, opt);
	return r < 0 ? r : add_submodules(b, repo);
}
