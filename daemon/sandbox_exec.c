/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between fork and exec of bubblewrap. Invariants: (1) it is executed by a user that is not root: the
 * kernel's uid 0 could write below /proc/sys in spite of dropped capabilities; (2) of our descriptors only
 * the named ones pass.
 *
 * As root the binds' host paths may lie where that user cannot go. So bubblewrap gets a root of our making, in
 * a mount namespace that goes with its last process: the system's folders, and the binds side by side in
 * /b/0, /b/1 … No other mount of the machine is in it, so none is kept busy.
 */
#include "sandbox_parts.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"

enum { SCOPE_ABSTRACT_UNIX_SOCKET = 1, LANDLOCK_SCOPES_SINCE = 6 };

void sandbox_tell(const struct sandbox_exec *x, enum sandbox_step what, int value, size_t index)
{
	const struct sandbox_report rep = {.what = (int)what, .value = value, .index = index};

	(void)!write(x->report, &rep, sizeof(rep)); /* nobody reads: nobody waits */
}

__attribute__((noreturn)) static void fail(const struct sandbox_exec *x, enum sandbox_step what,
					   size_t index)
{
	sandbox_tell(x, what, errno, index);
	_exit(127);
}

/* A file is mounted on a file, a folder on a folder. */
static int make_point(const char *name, int fd)
{
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -1;
	if (S_ISDIR(st.st_mode))
		return mkdir(name, 0755);
	r = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	return r < 0 ? -1 : close(r);
}

static void bind_or_fail(const struct sandbox_exec *x, const char *from, const char *to, size_t i)
{
	if (mount(from, to, NULL, MS_BIND | MS_REC, NULL) < 0)
		fail(x, SANDBOX_STEP_BIND, i);
}

/* The same as here: a symlink into /usr, or a folder. What is not there is left out. */
static void stage_system(const struct sandbox_exec *x)
{
	static const char *const tops[] = {"usr",  "etc", "proc",  "dev",   "bin",
					   "sbin", "lib", "lib32", "lib64", "libx32"};
	char path[16], target[64];

	for (size_t i = 0; i < ARRAY_SIZE(tops); i++) {
		ssize_t n;

		(void)snprintf(path, sizeof(path), "/%s", tops[i]);
		n = readlink(path, target, sizeof(target) - 1);
		if (n > 0) {
			target[n] = 0;
			if (symlink(target, tops[i]) < 0)
				fail(x, SANDBOX_STEP_STAGE, 0);
		} else if (access(path, F_OK) == 0) {
			if (mkdir(tops[i], 0755) < 0 ||
			    mount(path, tops[i], NULL, MS_BIND | MS_REC, NULL) < 0)
				fail(x, SANDBOX_STEP_STAGE, 0);
		}
	}
}

/* The binds' paths are opened first: the tmpfs hides what is below its folder. */
static void stage(const struct sandbox_exec *x)
{
	int fds[SANDBOX_BINDS_MAX];
	char path[32], name[32];

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		fail(x, SANDBOX_STEP_STAGE, 0);
	for (size_t i = 0; i < x->nbinds; i++) {
		fds[i] = open(x->binds[i].host, O_PATH | O_CLOEXEC);
		if (fds[i] < 0)
			fail(x, SANDBOX_STEP_BIND, i);
	}
	(void)umask(022);
	if (mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") < 0 ||
	    chdir("/tmp") < 0 || mkdir("tmp", 0755) < 0 || mkdir("b", 0755) < 0)
		fail(x, SANDBOX_STEP_STAGE, 0);
	stage_system(x);
	for (size_t i = 0; i < x->nbinds; i++) {
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[i]);
		(void)snprintf(name, sizeof(name), SANDBOX_STAGED "%zu", i);
		if (make_point(name + 1, fds[i]) < 0)
			fail(x, SANDBOX_STEP_BIND, i);
		bind_or_fail(x, path, name + 1, i);
		(void)close(fds[i]);
	}
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		fail(x, SANDBOX_STEP_STAGE, 0);
}

static void drop(const struct sandbox_exec *x)
{
	const uid_t id = SANDBOX_NOBODY;

	if (setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0 || setresuid(id, id, id) < 0)
		fail(x, SANDBOX_STEP_DROP, 0);
	errno = EPERM;
	if (geteuid() == 0 || setuid(0) == 0)
		fail(x, SANDBOX_STEP_DROP, 0);
}

/* Abstract sockets belong to a network namespace: where that is shared, the kernel (where it can) keeps those
 * of others away. */
static void scope_sockets(void)
{
	const struct {
		uint64_t fs, net, scoped;
	} attr = {.scoped = SCOPE_ABSTRACT_UNIX_SOCKET};
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, 1);
	long fd;

	if (abi < LANDLOCK_SCOPES_SINCE)
		return;
	fd = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (fd < 0)
		return;
	(void)syscall(SYS_landlock_restrict_self, (int)fd, 0);
	(void)close((int)fd);
}

static void set_limit(int what, uint64_t value)
{
	struct rlimit l;

	if (getrlimit((__rlimit_resource_t)what, &l) < 0)
		return;
	if (l.rlim_max == RLIM_INFINITY || l.rlim_max > value)
		l.rlim_max = value;
	l.rlim_cur = l.rlim_max;
	(void)setrlimit((__rlimit_resource_t)what, &l);
}

/* The three streams become 0, 1, 2; of the rest only `keep` survives the exec. */
static void place_fds(const struct sandbox_exec *x)
{
	for (int i = 0; i < 3; i++)
		if (dup2(x->fds[i], i) < 0)
			fail(x, SANDBOX_STEP_EXEC, 0);
	if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) < 0)
		fail(x, SANDBOX_STEP_EXEC, 0);
	for (const int *k = x->keep; *k >= 0; k++)
		if (fcntl(*k, F_SETFD, 0) < 0)
			fail(x, SANDBOX_STEP_EXEC, 0);
}

static void reset_signals(void)
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	for (int i = 1; i < NSIG; i++)
		(void)signal(i, SIG_DFL);
}

__attribute__((noreturn)) static void execute(const struct sandbox_exec *x, pid_t keeper)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		fail(x, SANDBOX_STEP_DROP, 0);
	if (getppid() != keeper)
		_exit(127);
	set_limit(RLIMIT_CORE, 0);
	if (x->memory_max)
		set_limit(RLIMIT_DATA, x->memory_max);
	if (x->nice)
		(void)!nice(x->nice); /* it runs as well without */
	place_fds(x);
	(void)execve(x->program, x->argv, x->env);
	fail(x, SANDBOX_STEP_EXEC, 0);
}

void sandbox_child(const struct sandbox_exec *x)
{
	pid_t pid, self;

	(void)setsid();
	reset_signals();
	if (x->nbinds > SANDBOX_BINDS_MAX) {
		errno = E2BIG;
		fail(x, SANDBOX_STEP_STAGE, 0);
	}
	if (x->root) {
		stage(x);
		drop(x);
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		fail(x, SANDBOX_STEP_DROP, 0);
	(void)umask(022);
	if (x->scope)
		scope_sockets();
	self = getpid();
	pid = fork();
	if (pid == 0)
		execute(x, self);
	if (pid < 0)
		fail(x, SANDBOX_STEP_EXEC, 0);
	sandbox_keep(x, pid);
}
