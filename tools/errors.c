/* SPDX-License-Identifier: Apache-2.0 */
#include "errors.h"

#include <stddef.h>
#include <string.h>

/* The daemon's own (agentfs.varlink) first, then those that arise before it is asked. */
const struct error_info errors[] = {
	{"Invalid", "An argument is wrong: a name, revision, pattern, path or role.",
	 "Correct the word that the message names.", 1, true},
	{"NotFound", "No such agent, branch, revision, repository, role or path.",
	 "Correct the name that the message gives; `agentfsctl list` shows the agents there are.",
	 1, true},
	{"NameTaken", "The agent's or the branch's name is in use for something else.",
	 "Choose another agent name, another --task, or take the branch as it is with "
	 "--base BRANCH.",
	 1},
	{"BranchElsewhere",
	 "The view's git is not where its work belongs (HEAD is detached, on another branch, or in a "
	 "rebase, merge, cherry-pick, revert or bisection), or a worktree of the repository has the "
	 "view's branch checked out.",
	 "Finish or abort it in the view and check out the view's own branch, or another branch in that "
	 "worktree, then try again.",
	 1, true},
	{"NotFetched",
	 "The repository is partial or shallow, and an object that is needed is not in it.",
	 "Fetch it (git fetch --refetch, or git fetch --unshallow), then try again.", 1},
	{"Dirty",
	 "A path that would be overwritten is modified or untracked in the target's worktree.",
	 "Commit, stash or move the paths that the message names, then try again.", 1},
	{"Stale", "The view's server is away, or the view's state has changed meanwhile.",
	 "Try again; `agentfsctl doctor` says what is wrong if it stays so.", 1},
	{"Locked", "Another git command holds a lock on the index or on a ref.",
	 "Wait for it to end, then try again; remove the .lock file only when no git runs there.",
	 1, true},
	{"Busy", "The view is in use: open files or a process whose current folder is in it.",
	 "End what uses it, or give --force.", 1},
	{"Conflict", "The branches change the same places; nothing was changed.",
	 "Resolve it in the view (git merge COMMIT there, the one that the target stands at, then commit) "
	 "and try again.",
	 1},
	{"Denied", "The role, the policy or the socket's permissions do not allow it.",
	 "`agentfsctl why AGENT PATH` names the rule that decided.", 1, true},
	{"NoSpace", "The disk or the view's quota is full; nothing was half done.",
	 "Free some space, then try again.", 1},
	{"Unsupported", "agentfs does not do this for such a repository, file system or kernel.",
	 "`agentfsctl doctor` says what this machine offers.", 1, true},
	{"Damaged", "Stored data failed its check: a git object, an image or a journal.",
	 "Run git fsck in the repository; `agentfsctl doctor` says what agentfs itself found.", 1},
	{"TooLarge", "More than a limit allows in one go.",
	 "Narrow it down, or give --force where the command has it.", 1},
	{"Timeout", "It was not done in the time allowed.",
	 "Try again, or allow more with --timeout.", 1},
	{"Internal", "A mistake of agentfs itself; the daemon's log has more.",
	 "See the daemon's log (agentfsctl daemon status names it) and report it.", 1},
	{"Usage", "The command line is wrong; nothing was asked or done.",
	 "See `agentfsctl COMMAND --help`.", 2},
	{"DaemonAway", "No daemon answers on the socket, or it went away in the middle.",
	 "Start it with `agentfsctl daemon start`; as root: systemctl start agentfsd.", 3},
	{"DaemonRefused", "The daemon's socket may not be opened.",
	 "Join the group that owns the socket (usermod -aG agentfs USER), or use your own daemon.",
	 3},
	{"DaemonFailed", "The daemon could not be started.",
	 "Put right what the message names; the log that it names may say more.", 3},
	{"DaemonOther", "The daemon does not understand the request, or its answer was no answer.",
	 "agentfsctl and agentfsd are of different versions: restart the daemon (agentfsctl "
	 "daemon stop; agentfsctl daemon start).",
	 3},
	{"Local", "A file, folder or program of the caller's could not be used.",
	 "The message names it.", 1},
	{0},
};

const struct error_info *error_find(const char *id)
{
	const char *dot = strrchr(id, '.');

	for (const struct error_info *e = errors; e->id; e++)
		if (strcmp(e->id, dot ? dot + 1 : id) == 0)
			return e;
	return NULL;
}
