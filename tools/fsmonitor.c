/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsmonitor VERSION TOKEN: git's fsmonitor hook (core.fsmonitor, protocol version 2) in a view. git
 * runs it in the top folder of the working tree; the view itself answers, through a file that is made
 * when it is looked up (overlay/view_changes.c). Any failure is exit 1: git then looks at every file.
 *
 * git 2.32 to 2.42 compare the working tree with a commit wrongly where a monitor vouches for a file:
 * check_removed() in diff-lib.c then reads a struct stat that nothing has filled, and the file may be
 * shown as deleted (by one `git diff HEAD~1` in twenty of 2.39). So the commands that do so
 * (diff and diff-index with a commit, checkout and switch, which list local changes) and those that are
 * not known not to (aliases) get the answer "everything", which makes them look, unless the git that
 * asks is of another version.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NAME_BYTES_MAX = 255, ARGS_BYTES = 65536, ARGS_MAX = 4096, PARENTS = 4 };

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

extern char **environ;

static int copy_out(int fd)
{
	char p[65536];

	for (;;) {
		ssize_t n = read(fd, p, sizeof(p)), k;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0;
		for (ssize_t done = 0; done < n; done += k) {
			k = write(STDOUT_FILENO, p + done, (size_t)(n - done));
			if (k < 0)
				return 1;
		}
	}
}

/* --- who asks --- */

static ssize_t read_proc(pid_t pid, const char *name, char *room, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, room, size - 1);
	(void)close(fd);
	if (n >= 0)
		room[n] = '\0';
	return n;
}

static bool is_git(pid_t pid)
{
	char path[64], exe[4096];
	const char *name;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	if (n <= 0)
		return false;
	exe[n] = '\0';
	name = strrchr(exe, '/');
	return name && strncmp(name + 1, "git", 3) == 0;
}

/* The git that runs us, perhaps by a shell; 0: not found. */
static pid_t find_git(void)
{
	pid_t pid = getppid();

	for (int i = 0; i < PARENTS && pid > 1; i++) {
		char stat[1024];
		const char *p;
		int parent;

		if (is_git(pid))
			return pid;
		if (read_proc(pid, "stat", stat, sizeof(stat)) < 0)
			return 0;
		p = strrchr(stat, ')'); /* pid (name) state ppid … */
		if (!p || sscanf(p + 1, " %*c %d", &parent) != 1)
			return 0;
		pid = parent;
	}
	return 0;
}

/* --- what it does --- */

static bool is_one_of(const char *word, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(word, list[i]) == 0)
			return true;
	return false;
}

/* Place of the subcommand among git's own words, behind its global options. */
static int find_command(char *const *argv, int argc)
{
	static const char *const with_value[] = {"-C",		 "-c",		 "--git-dir",
						 "--work-tree",	 "--namespace",	 "--super-prefix",
						 "--config-env", "--attr-source"};
	int i = 1;

	while (i < argc && argv[i][0] == '-')
		i += is_one_of(argv[i], with_value, ARRAY_SIZE(with_value)) ? 2 : 1;
	return i;
}

/* Words that are no option, before "--": they may be a commit. */
static bool has_plain_word(char *const *argv, int argc)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (argv[i][0] != '-')
			return true;
	return false;
}

static bool has_word(char *const *argv, int argc, const char *const *list, size_t n)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (is_one_of(argv[i], list, n))
			return true;
	return false;
}

/* Does this command never compare unrefreshed files with a commit? */
static bool is_harmless(char *const *argv, int argc)
{
	static const char *const good[] = {
		"add",	       "am",	     "apply",
		"cherry-pick", "clean",	     "commit",
		"describe",    "fetch",	     "gc",
		"grep",	       "ls-files",   "merge",
		"mv",	       "pull",	     "read-tree",
		"rebase",      "reset",	     "restore",
		"revert",      "rm",	     "sparse-checkout",
		"stash",       "status",     "update-index",
		"worktree",    "write-tree",
	};
	static const char *const cached[] = {"--cached", "--staged", "--no-index"};
	static const char *const quiet[] = {"-q", "--quiet"};
	const char *slash = argc ? strrchr(argv[0], '/') : NULL;
	const char *name = !argc ? "" : slash ? slash + 1 : argv[0];
	int at = 0;

	if (strncmp(name, "git-", 4) == 0) {
		name += 4;
	} else {
		at = find_command(argv, argc);
		name = at < argc ? argv[at] : "";
	}
	argv += at + 1;
	argc -= at + 1;
	if (strcmp(name, "diff") == 0)
		return has_word(argv, argc, cached, ARRAY_SIZE(cached)) ||
		       !has_plain_word(argv, argc);
	if (strcmp(name, "diff-index") == 0)
		return has_word(argv, argc, cached, ARRAY_SIZE(cached));
	if (strcmp(name, "checkout") == 0 || strcmp(name, "switch") == 0)
		return has_word(argv, argc, quiet, ARRAY_SIZE(quiet));
	return is_one_of(name, good, ARRAY_SIZE(good));
}

static bool command_is_harmless(pid_t git)
{
	static char text[ARGS_BYTES], *argv[ARGS_MAX];
	ssize_t n = read_proc(git, "cmdline", text, sizeof(text));
	int argc = 0;

	if (n <= 0 || n == ARGS_BYTES - 1)
		return false;
	for (ssize_t i = 0; i < n && argc < ARGS_MAX; i += (ssize_t)strlen(text + i) + 1)
		argv[argc++] = text + i;
	return is_harmless(argv, argc);
}

/* Runs that git once more, for its version. */
static bool version_is_good(pid_t git)
{
	char path[64], said[256] = "";
	char *const argv[] = {(char *)"git", (char *)"--version", NULL};
	posix_spawn_file_actions_t fa;
	unsigned major, minor;
	int fds[2], status = -1, failed;
	ssize_t n;
	pid_t pid;

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", (int)git);
	if (pipe2(fds, O_CLOEXEC) < 0)
		return false;
	failed = posix_spawn_file_actions_init(&fa);
	if (!failed) {
		failed = posix_spawn_file_actions_adddup2(&fa, fds[1], STDOUT_FILENO);
		if (!failed)
			failed = posix_spawn(&pid, path, &fa, NULL, argv, environ);
		(void)posix_spawn_file_actions_destroy(&fa);
	}
	(void)close(fds[1]);
	n = failed ? -1 : read(fds[0], said, sizeof(said) - 1);
	(void)close(fds[0]);
	if (!failed)
		(void)waitpid(pid, &status, 0);
	if (n <= 0 || status != 0 || sscanf(said, "git version %u.%u", &major, &minor) != 2)
		return false;
	return major != 2 || minor < 32 || minor > 42;
}

static bool may_believe(void)
{
	pid_t git = find_git();

	return git && (command_is_harmless(git) || version_is_good(git));
}

int main(int argc, char **argv)
{
	char path[sizeof(".agentfs/control/") + NAME_BYTES_MAX + 1];
	const char *token;
	int n, fd;

	if (argc != 3 || strcmp(argv[1], "2") != 0)
		return 1;
	/* a token of another monitor, or none: "0" is nobody's, and the answer is "everything" */
	token = *argv[2] && !strchr(argv[2], '/') && may_believe() ? argv[2] : "0";
	n = snprintf(path, sizeof(path), ".agentfs/control/changes@%s", token);
	if (n < 0 || (size_t)n >= sizeof(path))
		return 1;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? 1 : copy_out(fd);
}
