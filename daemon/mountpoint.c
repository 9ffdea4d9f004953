/* SPDX-License-Identifier: Apache-2.0 */
/* Mount points: looking at them from outside, making them, clearing them. */
#include "mountpoint.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "log.h"
#include "spawn_env.h"
#include "sys.h"

/* fuse.agentfs is what our server calls itself. */
static const char ours[] = "fuse.agentfs";

/* Undoes mountinfo's \ooo in place. */
static void unescape(char *s)
{
	char *o = s;

	for (; *s; s++)
		if (s[0] == '\\' && s[1] && s[2] && s[3]) {
			*o++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*o++ = *s;
		}
	*o = '\0';
}

/* Mount point and type of one line; false where it is none. Cuts the line up. */
static bool parse_line(char *line, char **ret_path, char **ret_type)
{
	char *save, *dash = strstr(line, " - "), *tok;
	int field = 0;

	if (!dash)
		return false;
	*dash = '\0';
	*ret_type = strtok_r(dash + 3, " \n", &save);
	for (tok = strtok_r(line, " ", &save); tok; tok = strtok_r(NULL, " ", &save))
		if (field++ == 4) {
			unescape(tok);
			*ret_path = tok;
			return *ret_type != NULL;
		}
	return false;
}

static int each_mount(bool (*fn)(const char *path, const char *type, void *user), void *user)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t cap = 0;
	char *path, *type;

	if (!f)
		return -errno;
	while (getline(&line, &cap, f) > 0)
		if (parse_line(line, &path, &type) && !fn(path, type, user))
			break;
	return ferror(f) ? -EIO : 0;
}

struct search {
	const char *path;
	size_t longest;
	bool found;
	char type[64];
};

static bool match_exact(const char *path, const char *type, void *user)
{
	struct search *s = user;

	if (strcmp(path, s->path) != 0)
		return true;
	s->found = true; /* the last line of a path is the one on top */
	(void)snprintf(s->type, sizeof(s->type), "%s", type);
	return true;
}

int mountpoint_is_mounted(const char *path, char **ret_fstype)
{
	struct search s = {.path = path};
	int r = each_mount(match_exact, &s);

	if (r < 0)
		return r;
	if (s.found && ret_fstype) {
		*ret_fstype = sys_strdup(s.type);
		if (!*ret_fstype)
			return -ENOMEM;
	}
	return s.found;
}

bool path_is_below(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	if (strcmp(folder, "/") == 0)
		return true;
	return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static bool match_view(const char *path, const char *type, void *user)
{
	struct search *s = user;

	if (!path_is_below(s->path, path))
		return true;
	if (strcmp(type, ours) == 0) {
		s->found = true;
		s->longest = strlen(path);
	} else if (s->found && strlen(path) <= s->longest) {
		s->found =
			false; /* something is mounted over the view; what is in it counts as the view */
	}
	return true;
}

int mountpoint_in_view(const char *path)
{
	struct search s = {.path = path};
	int r = each_mount(match_view, &s);

	return r < 0 ? r : s.found;
}

static int detach_once(const char *path, bool system)
{
	static const char *const tools[] = {"/usr/bin/fusermount3", "/bin/fusermount3",
					    "/usr/local/bin/fusermount3"};
	char *const argv[] = {(char *)"fusermount3", (char *)"-u", (char *)"-z", (char *)path,
			      NULL};

	if (system)
		return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;
	for (size_t i = 0; i < ARRAY_SIZE(tools); i++)
		if (access(tools[i], X_OK) == 0) {
			int r = spawn_wait(tools[i], argv, 5000);

			return r > 0 ? -EBUSY : r;
		}
	return -ENOENT;
}

int mountpoint_detach(const char *path, bool system)
{
	for (int i = 0; i < 8; i++) {
		_cleanup_free_ char *type = NULL;
		int r = mountpoint_is_mounted(path, &type);

		if (r <= 0 || strcmp(type, ours) != 0)
			return r < 0 ? r : 0;
		r = detach_once(path, system);
		if (r < 0)
			return r;
	}
	return -EBUSY;
}

char *mountpoint_clean(const char *path)
{
	char *out, *o;

	if (*path != '/')
		return NULL;
	o = out = sys.malloc(strlen(path) + 2);
	if (!out)
		return NULL;
	while (*path) {
		size_t n;

		path += strspn(path, "/");
		n = strcspn(path, "/");
		if (n == 0 || (n == 1 && path[0] == '.')) {
			path += n;
			continue;
		}
		if (n == 2 && path[0] == '.' && path[1] == '.') {
			while (o > out && *--o != '/')
				;
		} else {
			*o++ = '/';
			memcpy(o, path, n);
			o += n;
		}
		path += n;
	}
	if (o == out)
		*o++ = '/';
	*o = '\0';
	return out;
}

static int check_empty(const char *path, struct fault *f)
{
	DIR *d = opendir(path);
	const struct dirent *e;
	bool empty = true;

	if (!d)
		return fault_set(f, fault_id(-errno), "cannot use the mount point '%s': %s", path,
				 strerror(errno));
	while (empty && (e = readdir(d)))
		empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
	(void)closedir(d);
	if (!empty) {
		(void)fault_set(f, "Invalid", "the mount point '%s' is not empty", path);
		return fault_remedy(f, "empty it, or choose another with --mount");
	}
	return 0;
}

/* The deepest existing folder of path, resolved, with the rest behind it. Looks inside no view: the
 * caller has asked mountpoint_in_view() for path and it is asked again for the result. */
static int resolve(const char *path, char **ret)
{
	_cleanup_free_ char *head = sys_strdup(path), *real = NULL;
	char *slash;

	if (!head)
		return -ENOMEM;
	while (!(real = realpath(head, NULL))) {
		if (errno != ENOENT)
			return -errno;
		slash = strrchr(head, '/');
		if (!slash || slash == head)
			return -ENOENT;
		*slash = '\0';
	}
	if (asprintf(ret, "%s%s", strcmp(real, "/") == 0 ? "" : real, path + strlen(head)) < 0)
		return -ENOMEM;
	return 0;
}

static int not_in_view(const char *path, struct fault *f)
{
	int r = mountpoint_in_view(path);

	if (r < 0)
		return fault_set(f, "Internal", "cannot read the list of mounts: %s", strerror(-r));
	if (r > 0) {
		(void)fault_set(f, "Invalid", "the mount point '%s' is or lies in a view", path);
		return fault_remedy(f, "choose another with --mount");
	}
	return 0;
}

int mountpoint_prepare(const char *path, uid_t uid, gid_t gid, char **ret_path, bool *ret_made,
		       struct fault *f)
{
	_cleanup_free_ char *real = NULL;
	struct stat st;
	int r = not_in_view(path, f);

	if (r < 0)
		return r;
	r = resolve(path, &real);
	if (r == 0)
		r = not_in_view(real, f);
	else
		r = fault_set(f, fault_id(r), "cannot use the mount point '%s': %s", path,
			      strerror(-r));
	if (r < 0)
		return r;
	*ret_made = false;
	if (lstat(real, &st) == 0) {
		if (!S_ISDIR(st.st_mode))
			return fault_set(f, "Invalid", "the mount point '%s' is no folder", real);
		r = check_empty(real, f);
	} else {
		r = io_mkdir_p(real, 0755);
		if (r < 0)
			return fault_set(f, fault_id(r), "cannot make the mount point '%s': %s",
					 real, strerror(-r));
		if (geteuid() == 0 && lchown(real, uid, gid) < 0)
			log_warning(-errno, "the mount point '%s' stays root's, ignoring", real);
		/* What is written while no view is there is refused, not hidden by the next mount. */
		if (chmod(real, 0555) < 0)
			log_warning(-errno, "the mount point '%s' may be written to, ignoring",
				    real);
		*ret_made = true;
	}
	if (r == 0)
		*ret_path = TAKE_PTR(real);
	return r;
}
