/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The room, as arguments of bubblewrap. They are handed over in a descriptor: a command line could be read
 * in the sandbox. Everything that can be written there without a bind is a tmpfs with a size; the root
 * and /dev are read-only once all is in place.
 */
#include "sandbox_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

enum { TMP_DEFAULT = 256 << 20, SMALL_TMP = 16 << 20 };

#define HOME "/home/agentfs"

/* What programs read of /etc and that says nothing of the machine's people. */
static const char *const etc[] = {
	"alternatives",
	"ca-certificates",
	"ca-certificates.conf",
	"debian_version",
	"host.conf",
	"java-11-openjdk",
	"java-17-openjdk",
	"java-21-openjdk",
	"ld.so.cache",
	"ld.so.conf",
	"ld.so.conf.d",
	"localtime",
	"magic",
	"maven",
	"mime.types",
	"nsswitch.conf",
	"os-release",
	"perl",
	"pki",
	"protocols",
	"python3",
	"services",
	"ssl",
	"timezone",
};

/* With the network: names, and where packages come from. */
static const char *const etc_network[] = {"gai.conf", "hosts", "npmrc", "pip.conf", "resolv.conf"};

void sandbox_arg(struct sandbox_args *a, const char *fmt, ...)
{
	va_list ap;
	char *text = NULL;

	if (a->r < 0)
		return;
	va_start(ap, fmt);
	a->r = vasprintf(&text, fmt, ap) < 0 ? -ENOMEM : 0;
	va_end(ap);
	if (a->r < 0)
		return;
	a->r = buf_add(&a->text, text, strlen(text) + 1);
	free(text);
}

static void add_all(struct sandbox_args *a, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sandbox_arg(a, "%s", words[i]);
}

uid_t sandbox_uid(void)
{
	return geteuid() ? geteuid() : SANDBOX_NOBODY;
}

gid_t sandbox_gid(void)
{
	return geteuid() ? getegid() : SANDBOX_NOBODY;
}

static void add_namespaces(struct sandbox_args *a, bool network)
{
	static const char *const words[] = {
		"--unshare-user",   "--unshare-pid", "--unshare-ipc",	  "--unshare-uts",
		"--unshare-cgroup", "--hostname",    "sandbox",		  "--disable-userns",
		"--cap-drop",	    "ALL",	     "--die-with-parent", "--new-session",
	};

	add_all(a, words, ARRAY_SIZE(words));
	sandbox_arg(a, "--uid");
	sandbox_arg(a, "%u", (unsigned)sandbox_uid());
	sandbox_arg(a, "--gid");
	sandbox_arg(a, "%u", (unsigned)sandbox_gid());
	if (!network)
		sandbox_arg(a, "--unshare-net");
}

/* /bin and the like: symlinks into /usr as here, or folders of their own. */
static void add_system(struct sandbox_args *a)
{
	static const char *const tops[] = {"bin", "sbin", "lib", "lib32", "lib64", "libx32"};

	sandbox_arg(a, "--ro-bind");
	sandbox_arg(a, "/usr");
	sandbox_arg(a, "/usr");
	for (size_t i = 0; i < ARRAY_SIZE(tops); i++) {
		char path[16], target[64];
		struct stat st;
		ssize_t n;

		(void)snprintf(path, sizeof(path), "/%s", tops[i]);
		n = readlink(path, target, sizeof(target) - 1);
		if (n > 0) {
			target[n] = 0;
			sandbox_arg(a, "--symlink");
			sandbox_arg(a, "%s", target);
			sandbox_arg(a, "%s", path);
		} else if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
			sandbox_arg(a, "--ro-bind");
			sandbox_arg(a, "%s", path);
			sandbox_arg(a, "%s", path);
		}
	}
}

static void add_etc(struct sandbox_args *a, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		sandbox_arg(a, "--ro-bind-try");
		sandbox_arg(a, "/etc/%s", names[i]);
		sandbox_arg(a, "/etc/%s", names[i]);
	}
}

static void add_data(struct sandbox_args *a, int fd, const char *path)
{
	sandbox_arg(a, "--ro-bind-data");
	sandbox_arg(a, "%d", fd);
	sandbox_arg(a, "%s", path);
}

static void add_tmpfs(struct sandbox_args *a, const char *path, unsigned mode, uint64_t size)
{
	sandbox_arg(a, "--perms");
	sandbox_arg(a, "%04o", mode);
	sandbox_arg(a, "--size");
	sandbox_arg(a, "%llu", (unsigned long long)size);
	sandbox_arg(a, "--tmpfs");
	sandbox_arg(a, "%s", path);
}

static void add_own(struct sandbox_args *a, uint64_t tmp)
{
	static const char *const kernel[] = {"--proc",	  "/proc", "--ro-bind", "/proc/sys",
					     "/proc/sys", "--dev", "/dev"};

	add_all(a, kernel, ARRAY_SIZE(kernel));
	add_tmpfs(a, "/dev/shm", 01777, SMALL_TMP);
	sandbox_arg(a, "--remount-ro");
	sandbox_arg(a, "/dev");
	add_tmpfs(a, "/tmp", 01777, tmp);
	add_tmpfs(a, "/var/tmp", 01777, tmp);
	add_tmpfs(a, "/run", 0755, SMALL_TMP);
	add_tmpfs(a, HOME, 0700, tmp);
}

static void add_binds(struct sandbox_args *a, const struct sandbox_spec *s, bool staged)
{
	for (size_t i = 0; i < s->nbinds; i++) {
		const struct sandbox_bind *b = &s->binds[i];

		sandbox_arg(a, "%s", b->writable ? "--bind" : "--ro-bind");
		if (staged)
			sandbox_arg(a, SANDBOX_STAGED "%zu", i);
		else
			sandbox_arg(a, "%s", b->host);
		sandbox_arg(a, "%s", b->inside ? b->inside : b->host);
	}
}

int sandbox_make_args(const struct sandbox_spec *s, bool staged, const struct sandbox_fds *fds,
		      struct sandbox_args *ret, struct err *reterr)
{
	struct sandbox_args *a = ret;

	for (size_t i = 0; i < s->nbinds; i++) {
		const struct sandbox_bind *b = &s->binds[i];

		if (*b->host != '/' || (b->inside && *b->inside != '/'))
			return err_set(reterr, -EINVAL,
				       "'%s' is no absolute path: it cannot be bound "
				       "into a sandbox",
				       b->host);
		if (access(b->host, F_OK) < 0)
			return err_set(reterr, -errno, "binding '%s' into a sandbox: %s", b->host,
				       strerror(errno));
	}
	add_namespaces(a, s->network);
	add_system(a);
	add_etc(a, etc, ARRAY_SIZE(etc));
	if (s->network)
		add_etc(a, etc_network, ARRAY_SIZE(etc_network));
	add_data(a, fds->passwd, "/etc/passwd");
	add_data(a, fds->group, "/etc/group");
	add_own(a, s->memory_max ? s->memory_max : TMP_DEFAULT);
	add_binds(a, s, staged);
	sandbox_arg(a, "--remount-ro");
	sandbox_arg(a, "/");
	sandbox_arg(a, "--chdir");
	sandbox_arg(a, "%s", s->cwd ? s->cwd : HOME);
	sandbox_arg(a, "--json-status-fd");
	sandbox_arg(a, "%d", fds->status);
	sandbox_arg(a, "--block-fd");
	sandbox_arg(a, "%d", fds->block);
	if (fds->seccomp >= 0) {
		sandbox_arg(a, "--seccomp");
		sandbox_arg(a, "%d", fds->seccomp);
	}
	return a->r < 0 ? err_set(reterr, a->r, "no memory for a sandbox") : 0;
}
