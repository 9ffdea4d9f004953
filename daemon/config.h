/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

/*
 * The configuration: built in, then agentfs.yaml, then its `repositories: PATH:` part, each
 * overriding the one before field by field; last `.agentfs.yaml` of the target branch, which may
 * only narrow. Passed on as const once it was read.
 */

/* A list as it was written, each item with its place ("agentfs.yaml:12"). */
struct config_item {
	char *text;
	char *origin;
};

struct config_list {
	bool set; /* the key was given, perhaps with an empty list */
	struct config_item *v;
	size_t n;
};

enum config_scratch {
	CONFIG_SCRATCH_UNSET,
	CONFIG_SCRATCH_NONE,
	CONFIG_SCRATCH_BESIDE,
	CONFIG_SCRATCH_ALL
};

/* What a view may hold; a number that was not given is asked of the next layer, 0 is no limit. */
struct config_quota {
	bool has_bytes, has_nodes;
	uint64_t bytes, nodes;
};

struct config_role {
	char *name;
	struct config_quota quota;
	struct config_list write, hide; /* gitignore patterns */
	enum config_scratch scratch;
	/* Kept and shown, not enforced: whoever calls, an agent or the person whose uid it runs
	 * under, looks the same to the daemon as long as agents are not started confined. */
	struct config_list may, accepts_from;
};

/* A program that is asked about conflicts (merge: {resolvers: …}). */
enum config_adapter {
	CONFIG_ADAPTER_NONE, /* the command speaks the resolvers' protocol itself */
	CONFIG_ADAPTER_OPENAI,
	CONFIG_ADAPTER_ANTHROPIC,
	CONFIG_ADAPTER_COMMAND, /* it is a command-line agent: prompt in, answer out */
};

struct config_resolver {
	char *name;
	enum config_adapter adapter;
	struct config_list command;  /* words */
	char *model, *url, *key_env; /* NULL: not given */
	unsigned int timeout_s;
	bool network;
	struct config_list languages, paths; /* asked about these alone; unset: all */
	struct config_list read;	     /* folders and files that it sees, read-only */
};

/* What asking may cost; 0: not given. */
struct config_budget {
	int64_t calls, seconds, tokens;
};

enum config_choice { CONFIG_UNSET, CONFIG_YES, CONFIG_NO };

struct config_ai {
	bool has_resolvers;
	struct config_resolver *resolvers;
	size_t nresolvers;
	struct config_budget merge, day; /* of one merge; of 24 hours */
	enum config_choice reimagine;
};

struct config_department {
	char *name;
	struct config_list scope;
	int memory; /* -1: not given */
};

/* What has to succeed before anything lands on a branch. */
struct config_verify {
	char *target; /* branch, or "*" */
	char *command;
	unsigned timeout_s, processes;
	bool network;
};
enum { CONFIG_PROCESSES = 512 }; /* and threads: a verify command, unless given */
/* A truth that may not be given. */
enum config_truth { CONFIG_TRUTH_UNSET, CONFIG_FALSE, CONFIG_TRUE };

/* How a file that programs write is written anew. */
struct config_regenerate {
	char *name; /* fnmatch(3): of a path, or without a slash of a name in any folder */
	char *command;
	unsigned timeout_s;
	bool network;
};

struct config_repository;

struct config {
	char *branch, *mount;	      /* templates; in a part NULL where not given */
	char *user_name, *user_email; /* NULL: the repository's own */
	struct config_role *roles;
	size_t nroles;
	struct config_list iron, redirect;
	struct config_list seed; /* gitignore patterns */
	struct config_quota quota;
	struct config_regenerate *regenerate;
	size_t nregenerate;
	struct config_verify *verify;
	size_t nverify;
	unsigned int radar_every;   /* seconds + 1; 0: not given */
	unsigned int cost_of_wrong; /* of a merge, in conflicts left to a person; 0: not given */
	enum config_truth merge_approval; /* a merge lands only when approved */
	struct config_ai ai;
	struct config_department *departments;
	size_t ndepartments;
	struct config_repository *repositories;
	size_t nrepositories;
};

struct config_repository {
	char *path; /* absolute, without a slash at its end */
	struct config part;
};

/* The built-in configuration. Errors: -ENOMEM. Released with config_release(), as all of these. */
int config_default(struct config *ret);

/* Built in, overridden by YAML text[0..n), which may be hostile; `name` is what errors call it.
 * Errors: -EINVAL with "name:line:column: sentence", -ENOMEM. */
int config_parse(const char *text, size_t n, const char *name, struct config *ret,
		 struct err *reterr);

/* The same from a file. A missing one is the built-in configuration unless must_exist. Errors: also
 * -ENOENT, -EFBIG, -errno. */
int config_read(const char *path, bool must_exist, struct config *ret, struct err *reterr);

/* The `.agentfs.yaml` of a target branch: iron, for roles `!` patterns and hide, and verify, whose
 * commands nobody may run unasked (state_approval_has()); anything else is an error. *ret is of use for
 * config_policy_text() and config_verify_find() alone. Errors: as config_parse(). */
int config_parse_narrow(const char *text, size_t n, const char *name, struct config *ret,
			struct err *reterr);
void config_release(struct config *c);

/* What holds in a repository (any path that `repositories:` may name it by; NULL: none). Borrowed;
 * user name and email may be NULL. */
const char *config_branch(const struct config *c, const char *repository);
const char *config_mount(const struct config *c, const char *repository);
const char *config_user_name(const struct config *c, const char *repository);
const char *config_user_email(const struct config *c, const char *repository);
const struct config_list *config_seed(const struct config *c, const char *repository);

/* Folders that are kept outside a view's overlay: patterns. */
const struct config_list *config_redirect(const struct config *c, const char *repository);

/* What verifies a commit for a target branch: the part's, then the top's; NULL: nothing. Borrowed. */
const struct config_verify *config_verify_find(const struct config *c, const char *repository,
					       const char *target);

/* Calls fn for each of everybody's, then for each of the repository's, which are meant where a name comes twice. */
void config_regenerate_each(const struct config *c, const char *repository,
			    void (*fn)(const struct config_regenerate *g, void *user), void *user);

/* The policy of a scratch view: it may write anything, up to a limit. *ret is freed by the
 * caller. Errors: -ENOMEM. */
int config_policy_scratch(const struct config *c, const char *repository, char **ret,
			  struct err *reterr);

/* How many conflicts left to a person a wrong merge is worth (`merge: {cost-of-wrong: N}`); 5 unless given, 2 where a command has
 * to pass before anything lands (verified). */
unsigned int config_cost_of_wrong(const struct config *c, const char *repository, bool verified);

/* How many seconds apart the radar looks by itself (`radar: {every: N}`, not in a repository's part); 0: never. */
unsigned int config_radar_every(const struct config *c);

/* Does a merge land only when it was approved (`merge: {approval: true}`)? */
bool config_merge_approval(const struct config *c, const char *repository);

/* Who is asked about a repository's conflicts, and what that may cost. What is borrowed stays c's. */
struct config_ai config_ai(const struct config *c, const char *repository);

/* Is there such a role? Does it have `method` in its `may`? Does it take mail from role `from`? An
 * empty accepts-from takes it from all. */
bool config_has_role(const struct config *c, const char *repository, const char *role);
bool config_may(const struct config *c, const char *repository, const char *role,
		const char *method);
bool config_accepts(const struct config *c, const char *repository, const char *role,
		    const char *from);

/* Where a file sets `may` or `accepts-from`, which nothing enforces ("agentfs.yaml:12"), or NULL.
 * Borrowed. */
const char *config_unenforced(const struct config *c);

/* Fills a template. *ret is freed by the caller. Errors: -EINVAL the result is no valid branch name
 * (path), -ENOMEM. */
int config_branch_name(const char *template, const char *agent, const char *task, char **ret,
		       struct err *reterr);
int config_mount_path(const char *template, const char *mounts, const char *agent, char **ret,
		      struct err *reterr);

/* Does any part of it ask for redirected folders? */
bool config_redirects(const struct config *c);

/* The text for policy_parse(): role's rules as they hold in the repository, scope patterns of the
 * task, of the department (NULL: none) where the task has none, and what `narrow` (NULL: none)
 * adds. A task's scope must lie within its department's. *ret is freed by the caller. Errors:
 * -ENOENT unknown role or department, naming the known ones; -EINVAL; -ENOMEM. */
int config_policy_text(const struct config *c, const char *repository, const char *role,
		       const char *const *scopes, size_t nscopes, const char *department,
		       const struct config *narrow, char **ret, struct err *reterr);

/* Is it a name for an agent or a task ("agent", "task": for the sentence)? Errors: -EINVAL. */
int config_check_name(const char *what, const char *name, struct err *reterr);
