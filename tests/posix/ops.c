/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls that take a path, as one table: what each wants to find there and what it does. Straight
 * system calls, so that a bad pointer or an over-long path reaches the kernel whatever library is between.
 */
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>

#include "posix.h"

static const struct timespec both_fixed[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000001}};

static long closed(long fd)
{
	if (fd >= 0)
		(void)close((int)fd);
	return fd;
}

static long do_chmod(const char *p)
{
	return syscall(SYS_fchmodat, AT_FDCWD, p, 0700);
}

static long do_chown(const char *p)
{
	return syscall(SYS_fchownat, AT_FDCWD, p, -1, -1, 0);
}

static long do_lchown(const char *p)
{
	return syscall(SYS_fchownat, AT_FDCWD, p, -1, -1, AT_SYMLINK_NOFOLLOW);
}

static long do_creat(const char *p)
{
	return closed(syscall(SYS_openat, AT_FDCWD, p, O_CREAT | O_WRONLY | O_TRUNC, 0644));
}

static long do_create_excl(const char *p)
{
	return closed(syscall(SYS_openat, AT_FDCWD, p, O_CREAT | O_EXCL | O_WRONLY, 0644));
}

static long do_link_from(const char *p)
{
	return syscall(SYS_linkat, AT_FDCWD, p, AT_FDCWD, "link-made", 0);
}

static long do_link_to(const char *p)
{
	return syscall(SYS_linkat, AT_FDCWD, "link-source", AT_FDCWD, p, 0);
}

static long do_mkdir(const char *p)
{
	return syscall(SYS_mkdirat, AT_FDCWD, p, 0755);
}

static long do_mkfifo(const char *p)
{
	return syscall(SYS_mknodat, AT_FDCWD, p, S_IFIFO | 0644, 0);
}

static long do_mknod(const char *p)
{
	return syscall(SYS_mknodat, AT_FDCWD, p, S_IFREG | 0644, 0);
}

static long do_mksock(const char *p)
{
	return syscall(SYS_mknodat, AT_FDCWD, p, S_IFSOCK | 0644, 0);
}

static long do_open_r(const char *p)
{
	return closed(syscall(SYS_openat, AT_FDCWD, p, O_RDONLY));
}

static long do_open_w(const char *p)
{
	return closed(syscall(SYS_openat, AT_FDCWD, p, O_WRONLY));
}

static long do_open_dir(const char *p)
{
	return closed(syscall(SYS_openat, AT_FDCWD, p, O_RDONLY | O_DIRECTORY));
}

static long do_open_path(const char *p)
{
	return closed(syscall(SYS_openat, AT_FDCWD, p, O_PATH | O_NOFOLLOW));
}

static long do_rename_from(const char *p)
{
	return syscall(SYS_renameat2, AT_FDCWD, p, AT_FDCWD, "rename-made", 0);
}

static long do_rename_to(const char *p)
{
	return syscall(SYS_renameat2, AT_FDCWD, "rename-source", AT_FDCWD, p, 0);
}

static long do_rename_noreplace(const char *p)
{
	return syscall(SYS_renameat2, AT_FDCWD, "rename-source", AT_FDCWD, p, RENAME_NOREPLACE);
}

static long do_exchange(const char *p)
{
	return syscall(SYS_renameat2, AT_FDCWD, "rename-source", AT_FDCWD, p, RENAME_EXCHANGE);
}

static long do_rmdir(const char *p)
{
	return syscall(SYS_unlinkat, AT_FDCWD, p, AT_REMOVEDIR);
}

static long do_symlink(const char *p)
{
	return syscall(SYS_symlinkat, "anything", AT_FDCWD, p);
}

static long do_readlink(const char *p)
{
	char buf[64];

	return syscall(SYS_readlinkat, AT_FDCWD, p, buf, sizeof(buf));
}

static long do_truncate(const char *p)
{
	return syscall(SYS_truncate, p, 3L);
}

static long do_unlink(const char *p)
{
	return syscall(SYS_unlinkat, AT_FDCWD, p, 0);
}

static long do_utimensat(const char *p)
{
	return syscall(SYS_utimensat, AT_FDCWD, p, both_fixed, 0);
}

static long do_lutimens(const char *p)
{
	return syscall(SYS_utimensat, AT_FDCWD, p, both_fixed, AT_SYMLINK_NOFOLLOW);
}

static long do_stat(const char *p)
{
	struct stat st;

	return fstatat(AT_FDCWD, p, &st, 0);
}

static long do_lstat(const char *p)
{
	struct stat st;

	return fstatat(AT_FDCWD, p, &st, AT_SYMLINK_NOFOLLOW);
}

static long do_access(const char *p)
{
	return syscall(SYS_faccessat2, AT_FDCWD, p, F_OK, AT_EACCESS);
}

static long do_chdir(const char *p)
{
	int back = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	long r = syscall(SYS_chdir, p);
	int err = errno;

	if (r == 0)
		NEED(fchdir(back));
	(void)close(back);
	errno = err;
	return r;
}

static long do_statfs(const char *p)
{
	struct statfs sf;

	return syscall(SYS_statfs, p, &sf);
}

static long do_setxattr(const char *p)
{
	return syscall(SYS_setxattr, p, "user.suite", "v", 1L, 0L);
}

static long do_getxattr(const char *p)
{
	char buf[64];
	long r = syscall(SYS_getxattr, p, "user.suite", buf, sizeof(buf));

	return r < 0 && errno == ENODATA ? 0 : r;
}

static long do_listxattr(const char *p)
{
	char buf[512];

	return syscall(SYS_listxattr, p, buf, sizeof(buf));
}

static long do_removexattr(const char *p)
{
	long r = syscall(SYS_removexattr, p, "user.suite");

	return r < 0 && errno == ENODATA ? 0 : r;
}

const struct path_op path_ops[] = {
	{"chmod", "chmod", do_chmod, K_FILE, OP_FOLLOWS},
	{"chown", "chown", do_chown, K_FILE, OP_FOLLOWS},
	{"chown", "lchown", do_lchown, K_FILE, 0},
	{"create", "creat", do_creat, K_NONE, OP_MAKES | OP_FOLLOWS},
	{"create", "open O_CREAT|O_EXCL", do_create_excl, K_NONE, OP_MAKES | OP_EXCL},
	{"link", "link (old name)", do_link_from, K_FILE, 0},
	{"link", "link (new name)", do_link_to, K_NONE, OP_MAKES | OP_EXCL},
	{"mkdir", "mkdir", do_mkdir, K_NONE, OP_MAKES | OP_EXCL},
	{"mkfifo", "mkfifo", do_mkfifo, K_NONE, OP_MAKES | OP_EXCL},
	{"mknod", "mknod of a file", do_mknod, K_NONE, OP_MAKES | OP_EXCL},
	{"mknod", "mknod of a socket", do_mksock, K_NONE, OP_MAKES | OP_EXCL},
	{"open", "open O_RDONLY", do_open_r, K_FILE, OP_FOLLOWS | OP_READS},
	{"open", "open O_WRONLY", do_open_w, K_FILE, OP_FOLLOWS},
	{"open", "open O_DIRECTORY", do_open_dir, K_DIR, OP_FOLLOWS | OP_READS},
	{"open", "open O_PATH|O_NOFOLLOW", do_open_path, K_FILE, OP_READS},
	{"rename", "rename (old name)", do_rename_from, K_FILE, OP_REMOVES},
	{"rename", "rename (new name)", do_rename_to, K_NONE, OP_MAKES},
	{"rename", "rename NOREPLACE (new)", do_rename_noreplace, K_NONE, OP_MAKES | OP_EXCL},
	{"rename", "rename EXCHANGE (other)", do_exchange, K_FILE, OP_REMOVES},
	{"rmdir", "rmdir", do_rmdir, K_DIR, OP_REMOVES},
	{"symlink", "symlink", do_symlink, K_NONE, OP_MAKES | OP_EXCL},
	{"symlink", "readlink", do_readlink, K_LINK, OP_READS},
	{"truncate", "truncate", do_truncate, K_FILE, OP_FOLLOWS},
	{"unlink", "unlink", do_unlink, K_FILE, OP_REMOVES},
	{"utimensat", "utimensat", do_utimensat, K_FILE, OP_FOLLOWS},
	{"utimensat", "utimensat NOFOLLOW", do_lutimens, K_FILE, 0},
	{"names", "stat", do_stat, K_FILE, OP_FOLLOWS | OP_READS},
	{"names", "lstat", do_lstat, K_FILE, OP_READS},
	{"names", "access F_OK", do_access, K_FILE, OP_FOLLOWS | OP_READS},
	{"names", "chdir", do_chdir, K_DIR, OP_FOLLOWS | OP_READS},
	{"statfs", "statfs", do_statfs, K_FILE, OP_FOLLOWS | OP_READS},
	{"xattr", "setxattr", do_setxattr, K_FILE, OP_FOLLOWS},
	{"xattr", "getxattr", do_getxattr, K_FILE, OP_FOLLOWS | OP_READS},
	{"xattr", "listxattr", do_listxattr, K_FILE, OP_FOLLOWS | OP_READS},
	{"xattr", "removexattr", do_removexattr, K_FILE, OP_FOLLOWS},
};
const size_t path_nops = sizeof(path_ops) / sizeof(*path_ops);
