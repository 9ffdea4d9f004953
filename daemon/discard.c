/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a closed view leaves that nobody reads again and that may be large: its redirected folders. They go
 * with their view's files to STATE/closed/<view-id>/redirect and are removed from there by a process of its
 * own; the next start of the daemon goes on with what that had not done.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "daemon.h"
#include "io.h"
#include "log.h"
#include "spawn_env.h"

static int on_gone(sd_event_source *s, const siginfo_t *si, void *user)
{
	(void)si;
	(void)user;
	(void)sd_event_source_set_enabled(s, SD_EVENT_OFF);
	(void)sd_event_source_set_floating(s, 0);
	return 0;
}

static int remove_elsewhere(struct daemon *d, const char *name)
{
	char path[4600];
	char *const argv[] = {(char *)"agentfs", (char *)"--helper-remove", path, NULL};
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const int fds[] = {null, null, null};
	sd_event_source *s = NULL;
	pid_t pid;
	int r;

	if (null < 0 ||
	    snprintf(path, sizeof(path), "%s/%s", d->paths.state, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	r = spawn_program(d->server_program, argv, fds, ARRAY_SIZE(fds), SPAWN_SESSION, &pid);
	if (r < 0)
		return r;
	if (sd_event_add_child(d->event, &s, pid, WEXITED, on_gone, NULL) >= 0)
		(void)sd_event_source_set_floating(s, 1);
	return 0;
}

void discard_redirects(struct daemon *d, const char *view_id)
{
	char name[128];
	int r;

	(void)snprintf(name, sizeof(name), "closed/%s/redirect", view_id);
	if (faccessat(d->state_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return;
	r = remove_elsewhere(d, name);
	if (r < 0)
		r = io_rm_rf(d->state_fd, name);
	if (r < 0)
		log_warning(r, "the redirected folders of closed view %s stay, ignoring", view_id);
}

void discard_leftovers(struct daemon *d)
{
	int fd = openat(d->state_fd, "closed", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;

	if (!dir) {
		(void)safe_close(fd);
		return;
	}
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.')
			discard_redirects(d, e->d_name);
	(void)closedir(dir);
}
