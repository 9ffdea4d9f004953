/* SPDX-License-Identifier: Apache-2.0 */
/* Defaults for root and for users, and the folders themselves. */
#include "paths.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "sys.h"

static const char *home(void)
{
	const char *h = getenv("HOME");
	const struct passwd *pw;

	if (h && *h == '/')
		return h;
	pw = getpwuid(geteuid());
	return pw ? pw->pw_dir : "/";
}

/* $variable/tail, or HOME/otherwise/tail. */
static char *xdg(const char *variable, const char *otherwise, const char *tail)
{
	const char *base = getenv(variable);
	char *path = NULL;
	int n;

	if (base && *base == '/')
		n = asprintf(&path, "%s/%s", base, tail);
	else
		n = asprintf(&path, "%s/%s/%s", home(), otherwise, tail);
	return n < 0 ? NULL : path;
}

/* Without XDG_RUNTIME_DIR: /tmp/agentfs-UID, which must be ours alone, whoever made it. */
static int own_run_folder(char **ret, struct err *reterr)
{
	struct stat st;
	char path[64];

	(void)snprintf(path, sizeof(path), "/tmp/agentfs-%u", (unsigned)geteuid());
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_set(reterr, -errno, "cannot make '%s'", path);
	if (lstat(path, &st) < 0)
		return err_set(reterr, -errno, "cannot look at '%s'", path);
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
		return err_set_id(reterr, -EPERM, "Denied",
				  "'%s' is not a folder of yours alone: remove it, or give --run",
				  path);
	*ret = sys_strdup(path);
	return *ret ? 0 : -ENOMEM;
}

static int user_run_folder(char **ret, struct err *reterr)
{
	const char *x = getenv("XDG_RUNTIME_DIR");

	if (!x || *x != '/')
		return own_run_folder(ret, reterr);
	return asprintf(ret, "%s/agentfs", x) < 0 ? -ENOMEM : 0;
}

static int absolute(char **path)
{
	_cleanup_free_ char *cwd = NULL;
	char *full;

	if (**path == '/')
		return 0;
	cwd = getcwd(NULL, 0);
	if (!cwd)
		return -errno;
	if (asprintf(&full, "%s/%s", cwd, *path) < 0)
		return -ENOMEM;
	free(*path);
	*path = full;
	return 0;
}

static int complete_root(struct paths *p)
{
	if (!p->config)
		p->config = sys_strdup("/etc/agentfs/agentfs.yaml");
	if (!p->state)
		p->state = sys_strdup("/var/lib/agentfs");
	if (!p->run)
		p->run = sys_strdup("/run/agentfs");
	if (!p->mounts)
		p->mounts = sys_strdup("/agents");
	return 0;
}

static int complete_user(struct paths *p, struct err *reterr)
{
	if (!p->config)
		p->config = xdg("XDG_CONFIG_HOME", ".config", "agentfs/agentfs.yaml");
	if (!p->state)
		p->state = xdg("XDG_STATE_HOME", ".local/state", "agentfs");
	if (!p->mounts && asprintf(&p->mounts, "%s/agents", home()) < 0)
		p->mounts = NULL;
	return p->run ? 0 : user_run_folder(&p->run, reterr);
}

int paths_complete(struct paths *p, struct err *reterr)
{
	char **const all[] = {&p->config, &p->state, &p->run, &p->mounts};
	int r;

	p->config_given = p->config != NULL;
	r = geteuid() == 0 ? complete_root(p) : complete_user(p, reterr);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		r = *all[i] ? absolute(all[i]) : -ENOMEM;
		if (r < 0)
			return err_set(reterr, r, "cannot complete the paths");
	}
	if (asprintf(&p->socket, "%s/agentfsd.sock", p->run) < 0 ||
	    asprintf(&p->db, "%s/agentfs.db", p->state) < 0 ||
	    asprintf(&p->worker_lock, "%s/workers.lock", p->state) < 0)
		return err_set(reterr, -ENOMEM, "cannot complete the paths");
	return 0;
}

static int make_folder(const char *path, const char *below, mode_t mode, struct err *reterr)
{
	_cleanup_free_ char *full = NULL;
	int r = -ENOMEM;

	if (asprintf(&full, "%s%s%s", path, below ? "/" : "", below ? below : "") >= 0)
		r = io_mkdir_p(full, mode);
	else
		full = NULL;
	return r < 0 ? err_set(reterr, r, "cannot make the folder '%s': %s", full ? full : path,
			       strerror(-r))
		     : 0;
}

int paths_make(const struct paths *p, struct err *reterr)
{
	static const char *const below[] = {"views", "images", "content", "closed"};
	bool root = geteuid() == 0;
	int r = make_folder(p->state, NULL, 0700, reterr);

	for (size_t i = 0; i < ARRAY_SIZE(below) && r == 0; i++)
		r = make_folder(p->state, below[i], 0700, reterr);
	if (r == 0)
		r = make_folder(p->run, NULL, root ? 0755 : 0700, reterr);
	if (r == 0)
		r = make_folder(p->run, "views", 0700, reterr);
	if (r == 0)
		r = make_folder(p->mounts, NULL, 0755, reterr);
	return r;
}

void paths_release(struct paths *p)
{
	free(p->config);
	free(p->state);
	free(p->run);
	free(p->mounts);
	free(p->socket);
	free(p->db);
	free(p->worker_lock);
	memset(p, 0, sizeof(*p));
}
