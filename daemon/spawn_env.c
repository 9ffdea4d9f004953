/* SPDX-License-Identifier: Apache-2.0 */
/* Starting programs of ours: nothing is inherited that is not named. */
#include "spawn_env.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"

enum { FDS_MAX = 8, ENV_MAX = 16 };

/* Passed on where set: what sanitizers and the tests' fault switches read. */
static const char *const passed_on[] = {"ASAN_OPTIONS",
					"UBSAN_OPTIONS",
					"LSAN_OPTIONS",
					"TSAN_OPTIONS",
#ifdef AGENTFS_FAILPOINTS
					"AGENTFS_FAILPOINT",
#endif
					"TZ"};

static void make_env(char *texts[ENV_MAX], char **env)
{
	size_t n = 0, t = 0;

	env[n++] = (char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	env[n++] = (char *)"LANG=C.UTF-8";
	env[n++] = (char *)"HOME=/";
	for (size_t i = 0; i < ARRAY_SIZE(passed_on); i++) {
		const char *v = getenv(passed_on[i]);

		if (v && asprintf(&texts[t], "%s=%s", passed_on[i], v) >= 0)
			env[n++] = texts[t++];
	}
	env[n] = NULL;
}

/* First to numbers above all of them, then down: no target is another's source any more. */
static int place_fds(posix_spawn_file_actions_t *fa, const int *fds, size_t n)
{
	int r = 0, park = (int)n;

	for (size_t i = 0; i < n; i++)
		if (fds[i] >= park)
			park = fds[i] + 1;
	for (size_t i = 0; i < n && r == 0; i++)
		r = posix_spawn_file_actions_adddup2(fa, fds[i], park + (int)i);
	for (size_t i = 0; i < n && r == 0; i++)
		r = posix_spawn_file_actions_adddup2(fa, park + (int)i, (int)i);
	if (r == 0)
		r = posix_spawn_file_actions_addclosefrom_np(fa, (int)n);
	if (r == 0)
		r = posix_spawn_file_actions_addchdir_np(fa, "/");
	return -r;
}

static int set_attributes(posix_spawnattr_t *at, unsigned flags)
{
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	if (posix_spawnattr_setsigmask(at, &none) || posix_spawnattr_setsigdefault(at, &all))
		return -EINVAL;
	return -posix_spawnattr_setflags(at,
					 (short)(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
						 (flags & SPAWN_SESSION ? POSIX_SPAWN_SETSID : 0)));
}

int spawn_program(const char *program, char *const argv[], const int *fds, size_t n, unsigned flags,
		  pid_t *ret)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	char *texts[ENV_MAX] = {0}, *env[ENV_MAX];
	int r;

	if (n > FDS_MAX)
		return -EINVAL;
	make_env(texts, env);
	if (posix_spawn_file_actions_init(&fa))
		return -ENOMEM;
	if (posix_spawnattr_init(&at)) {
		(void)posix_spawn_file_actions_destroy(&fa);
		return -ENOMEM;
	}
	r = place_fds(&fa, fds, n);
	if (r == 0)
		r = set_attributes(&at, flags);
	if (r == 0)
		r = -posix_spawn(ret, program, &fa, &at, argv, env);
	(void)posix_spawnattr_destroy(&at);
	(void)posix_spawn_file_actions_destroy(&fa);
	for (size_t i = 0; i < ENV_MAX; i++)
		free(texts[i]);
	return r;
}

int spawn_wait(const char *program, char *const argv[], int timeout_ms)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int fds[] = {null, null, null};
	int status, r;
	pid_t pid;

	if (null < 0)
		return -errno;
	r = spawn_program(program, argv, fds, ARRAY_SIZE(fds), 0, &pid);
	if (r < 0)
		return r;
	for (int waited = 0; (r = waitpid(pid, &status, WNOHANG)) == 0; waited += 5) {
		const struct timespec nap = {.tv_nsec = 5 * 1000 * 1000};

		if (waited > timeout_ms) {
			(void)kill(pid, SIGKILL);
			(void)waitpid(pid, &status, 0);
			return -ETIMEDOUT;
		}
		(void)nanosleep(&nap, NULL);
	}
	if (r < 0)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -ECANCELED;
}

static int own_folder(char *ret, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", ret, size - 1);
	char *slash;

	if (n < 0)
		return -errno;
	ret[n] = '\0';
	slash = strrchr(ret, '/');
	if (!slash)
		return -ENOENT;
	*slash = '\0';
	return 0;
}

int spawn_find(const char *name, const char *sibling, const char *installed, char **ret,
	       struct err *reterr)
{
	char folder[4096];
	int r = own_folder(folder, sizeof(folder));

	for (int i = 0; i < 3; i++) {
		_cleanup_free_ char *path = NULL;
		int k = i == 0	 ? asprintf(&path, "%s/%s", folder, name)
			: i == 1 ? asprintf(&path, "%s/../%s/%s", folder, sibling ? sibling : ".",
					    name)
				 : asprintf(&path, "%s/%s", installed, name);

		if (k < 0) {
			path = NULL;
			return err_set(reterr, -ENOMEM, "cannot look for '%s'", name);
		}
		if ((r == 0 || i == 2) && access(path, X_OK) == 0) {
			*ret = TAKE_PTR(path);
			return 0;
		}
	}
	return err_set(reterr, -ENOENT,
		       "the program '%s' is neither beside agentfsd nor in '%s': "
		       "install agentfs whole",
		       name, installed);
}
