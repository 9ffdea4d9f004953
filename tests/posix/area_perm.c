/* SPDX-License-Identifier: Apache-2.0 */
/* What the nine bits of a mode let whom do: every class with every combination of its bits. */
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "posix.h"

struct act {
	const char *name;
	long (*call)(const char *path);
	unsigned int needs; /* 4 read, 2 write, 1 execute */
	enum kind kind;
	int err;
};

static long shut(int fd)
{
	return fd < 0 ? fd : close(fd);
}

static long open_r(const char *p)
{
	return shut(open(p, O_RDONLY));
}

static long open_w(const char *p)
{
	return shut(open(p, O_WRONLY));
}

static long open_rw(const char *p)
{
	return shut(open(p, O_RDWR));
}

static long open_trunc(const char *p)
{
	return shut(open(p, O_WRONLY | O_TRUNC));
}

static long open_fifo(const char *p)
{
	return shut(open(p, O_RDONLY | O_NONBLOCK));
}

static long do_truncate(const char *p)
{
	return truncate(p, 1);
}

static long do_exec(const char *p)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		(void)execl(p, p, (char *)NULL);
		_exit(errno);
	}
	if (waitpid(pid, &status, 0) < 0)
		return -1;
	errno = WEXITSTATUS(status);
	return errno ? -1 : 0;
}

/* With the effective user's rights. */
static long can(const char *p, int mode)
{
	return syscall(SYS_faccessat2, AT_FDCWD, p, mode, AT_EACCESS);
}

static long can_r(const char *p)
{
	return can(p, R_OK);
}

static long can_w(const char *p)
{
	return can(p, W_OK);
}

static long can_x(const char *p)
{
	return can(p, X_OK);
}

static long can_rw(const char *p)
{
	return can(p, R_OK | W_OK);
}

static long set_value(const char *p)
{
	return setxattr(p, "user.x", "v", 1, 0);
}

static long get_value(const char *p)
{
	long r = getxattr(p, "user.x", NULL, 0);

	return r < 0 && errno == ENODATA ? 0 : r;
}

static long list_dir(const char *p)
{
	return shut(open(p, O_RDONLY | O_DIRECTORY));
}

static long below(const char *p, const char *name, int how)
{
	int d = open(p, O_PATH | O_DIRECTORY);
	long r;
	int err;

	if (d < 0)
		return d;
	r = how == 0   ? syscall(SYS_faccessat2, d, name, F_OK, AT_EACCESS)
	    : how == 1 ? mkdirat(d, name, 0755)
		       : unlinkat(d, name, 0);
	err = errno;
	(void)close(d);
	errno = err;
	return r;
}

static long search_dir(const char *p)
{
	return below(p, "x", 0);
}

static long make_in_dir(const char *p)
{
	return below(p, "new", 1);
}

static long remove_in_dir(const char *p)
{
	return below(p, "x", 2);
}

static const struct act acts[] = {
	{"open O_RDONLY", open_r, 4, K_FILE, EACCES},
	{"open O_WRONLY", open_w, 2, K_FILE, EACCES},
	{"open O_RDWR", open_rw, 6, K_FILE, EACCES},
	{"open O_WRONLY|O_TRUNC", open_trunc, 2, K_FILE, EACCES},
	{"open of a fifo", open_fifo, 4, K_FIFO, EACCES},
	{"truncate", do_truncate, 2, K_FILE, EACCES},
	{"access R_OK", can_r, 4, K_FILE, EACCES},
	{"access W_OK", can_w, 2, K_FILE, EACCES},
	{"access X_OK", can_x, 1, K_FILE, EACCES},
	{"access R_OK|W_OK", can_rw, 6, K_FILE, EACCES},
	{"setxattr user.*", set_value, 2, K_FILE, EACCES},
	{"getxattr user.*", get_value, 4, K_FILE, EACCES},
	{"open of a folder", list_dir, 4, K_FULL, EACCES},
	{"a name in a folder", search_dir, 1, K_FULL, EACCES},
	{"mkdir in a folder", make_in_dir, 3, K_FULL, EACCES},
	{"unlink in a folder", remove_in_dir, 3, K_FULL, EACCES},
};

/* The class has `bits`, all others have the opposite: only the caller's class counts. */
static void one(const struct act *a, enum who w, unsigned int bits)
{
	mode_t mode = 0777 & ~(07u << people[w].shift);
	bool may = (bits & a->needs) == a->needs;

	mode = (mode & ~0777u) | (bits << people[w].shift);
	for (unsigned int s = 0; s <= 6; s += 3)
		if (s != people[w].shift)
			mode |= (~bits & 7u) << s;
	fresh();
	about(a->name, "%s has %c%c%c: %s", people[w].name, bits & 4 ? 'r' : '-',
	      bits & 2 ? 'w' : '-', bits & 1 ? 'x' : '-', may ? "allowed" : "refused");
	make(a->kind, "t");
	give("t", OWNER);
	NEED(chmod("t", mode));
	become(w);
	(void)expect(may ? 0 : a->err, a->call("t"), a->name, __FILE__, __LINE__);
	myself();
	SAME(look("t").st_mode & 07777, mode);
	NEED(chmod("t", 0700));
}

static void execution(void)
{
	for (enum who w = 0; w < WHO_MAX; w++)
		for (unsigned int bits = 0; can_be(w) && bits < 8; bits++) {
			fresh();
			about("execve", "%s has %c%c%c: %s", people[w].name, bits & 4 ? 'r' : '-',
			      bits & 2 ? 'w' : '-', bits & 1 ? 'x' : '-',
			      bits & 1 ? "allowed" : "refused");
			put("t", "#!/bin/true\n");
			give("t", OWNER);
			NEED(chmod("t", (bits | 4) << people[w].shift));
			become(w);
			if (bits & 1)
				OK(do_exec("./t"));
			else
				FAILS(EACCES, do_exec("./t"));
			myself();
		}
}

/* Root reads and writes whatever the bits say, and executes where anybody may. */
static void root(void)
{
	fresh();
	about("open", "by root, mode 0");
	put("t", "t");
	NEED(chown("t", 61001, 62001));
	NEED(chmod("t", 0));
	OK(open_r("t"));
	OK(open_rw("t"));
	OK(can_rw("t"));
	FAILS(EACCES, can_x("t"));
	about("execve", "by root, no x bit at all");
	FAILS(EACCES, do_exec("./t"));
	when("by root, one x bit");
	put("u", "#!/bin/true\n");
	NEED(chmod("u", 0001));
	OK(can_x("u"));
	NEED(mkdir("d", 0));
	about("mkdir", "by root, in a folder of mode 0");
	OK(mkdir("d/x", 0755));
	OK(rmdir("d/x"));
}

/* access() asks for the real user, not the effective one. */
static void real_user(void)
{
	fresh();
	about("access", "asks for the real user");
	put("t", "t");
	NEED(chmod("t", 0));
	become(OTHER);
	OK(access("t", R_OK | W_OK)); /* the real user is root still */
	FAILS(EACCES, can_rw("t"));
	myself();
}

void area_permission(void)
{
	for (size_t i = 0; i < sizeof(acts) / sizeof(*acts); i++)
		for (enum who w = 0; w < WHO_MAX; w++)
			for (unsigned int bits = 0; can_be(w) && bits < 8; bits++)
				one(&acts[i], w, bits);
	execution();
	if (!suite.root)
		return;
	root();
	real_user();
}
