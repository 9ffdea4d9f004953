/* SPDX-License-Identifier: Apache-2.0 */
/* utimensat and its kin; which call moves which time stamp. */
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <time.h>

#include "posix.h"

static const enum kind kinds[] = {K_FILE, K_DIR, K_LINK, K_FIFO, K_SOCKET};

static void values(void)
{
	static const struct timespec all[] = {
		{0, 0},
		{1, 1},
		{-1, 0},
		{-86400, 500000000},
		{1000000000, 999999999},
		{2147483647, 123456789},
		{2147483648, 0},
		{4294967295, 999999999},
		{4294967296, 1},
		{-2147483648LL, 0},
	};

	for (size_t k = 0; k < sizeof(kinds) / sizeof(*kinds); k++) {
		fresh();
		make(kinds[k], "x");
		for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
			struct timespec t[2] = {all[i], all[sizeof(all) / sizeof(*all) - 1 - i]};
			struct stat st;

			about("utimensat", "of a %s, to the nanosecond, 1901 to 2106",
			      kind_names[kinds[k]]);
			OK(utimensat(AT_FDCWD, "x", t, AT_SYMLINK_NOFOLLOW));
			st = look("x");
			SAME(st.st_atim.tv_sec, t[0].tv_sec);
			SAME(st.st_atim.tv_nsec, t[0].tv_nsec);
			SAME(st.st_mtim.tv_sec, t[1].tv_sec);
			SAME(st.st_mtim.tv_nsec, t[1].tv_nsec);
		}
	}
}

static void omit_and_now(void)
{
	struct timespec t[2] = {{1000, 5}, {2000, 6}};
	struct timespec now;
	struct stat before;

	fresh();
	put("x", "x");
	about("utimensat", "UTIME_OMIT");
	OK(utimensat(AT_FDCWD, "x", t, 0));
	before = look("x");
	tick();
	t[0].tv_nsec = UTIME_OMIT;
	t[1] = (struct timespec){3000, 7};
	OK(utimensat(AT_FDCWD, "x", t, 0));
	SAME(look("x").st_atim.tv_sec, 1000);
	SAME(look("x").st_atim.tv_nsec, 5);
	SAME(look("x").st_mtim.tv_sec, 3000);
	stamps(&before, "x", S_M | S_C);
	t[0] = (struct timespec){4000, 8};
	t[1].tv_nsec = UTIME_OMIT;
	OK(utimensat(AT_FDCWD, "x", t, 0));
	SAME(look("x").st_atim.tv_sec, 4000);
	SAME(look("x").st_mtim.tv_sec, 3000);
	SAME(look("x").st_mtim.tv_nsec, 7);
	when("UTIME_OMIT twice: nothing happens");
	before = look("x");
	tick();
	t[0].tv_nsec = t[1].tv_nsec = UTIME_OMIT;
	OK(utimensat(AT_FDCWD, "x", t, 0));
	stamps(&before, "x", 0);
	when("UTIME_NOW, one of them");
	t[0].tv_nsec = UTIME_NOW;
	OK(utimensat(AT_FDCWD, "x", t, 0));
	stamps(&before, "x", S_A | S_C);
	when("UTIME_NOW, both, and no times at all");
	t[1].tv_nsec = UTIME_NOW;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	OK(utimensat(AT_FDCWD, "x", t, 0));
	TRUE(look("x").st_mtim.tv_sec >= now.tv_sec - 1);
	SAME(look("x").st_mtim.tv_nsec, look("x").st_atim.tv_nsec);
	OK(times_set("x", 5, 5));
	OK(utimensat(AT_FDCWD, "x", NULL, 0));
	TRUE(look("x").st_mtim.tv_sec >= now.tv_sec - 1);
	TRUE(look("x").st_atim.tv_sec >= now.tv_sec - 1);
	when("nanoseconds that are none");
	t[0] = (struct timespec){0, 1000000000};
	FAILS(EINVAL, utimensat(AT_FDCWD, "x", t, 0));
	t[0].tv_nsec = -1;
	FAILS(EINVAL, utimensat(AT_FDCWD, "x", t, 0));
	when("flags that are not known");
	FAILS(EINVAL, utimensat(AT_FDCWD, "x", NULL, 0x4000000));
	when("a bad pointer to times");
	FAILS(EFAULT, syscall(SYS_utimensat, AT_FDCWD, "x", BAD_POINTER, 0));
}

static void descriptors(void)
{
	const struct timeval tv[2] = {{100, 7}, {200, 8}};
	int fd;

	fresh();
	put("x", "x");
	about("futimens", "a descriptor for reading");
	fd = open("x", O_RDONLY);
	OK(times_set("x", 5, 5));
	OK(futimens(fd, NULL));
	TRUE(look("x").st_mtim.tv_sec > 5);
	about("utimes", "microseconds");
	OK(utimes("x", tv));
	SAME(look("x").st_atim.tv_nsec, 7000);
	SAME(look("x").st_mtim.tv_nsec, 8000);
	SAME(look("x").st_mtim.tv_sec, 200);
	NEED(close(fd));
	about("futimens", "a closed descriptor");
	FAILS(EBADF, futimens(fd, NULL));
}

/* Times of one's choice: the owner. The present: whoever may write. */
static void permissions(void)
{
	const struct timespec fixed[2] = {{1000, 0}, {2000, 0}};
	const struct timespec half[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
	const struct timespec none[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};

	for (enum who w = 0; suite.root && w < WHO_MAX; w++)
		for (unsigned int writable = 0; writable < 2; writable++) {
			int may_touch = w == OWNER || writable ? 0 : EACCES;
			struct stat before;

			fresh();
			put("x", "x");
			give("x", OWNER);
			NEED(chmod("x", writable ? 0666 : 0444));
			about("utimensat", "times given, by %s, the file is %s", people[w].name,
			      writable ? "writable" : "read-only");
			before = look("x");
			tick();
			become(w);
			if (w == OWNER)
				OK(utimensat(AT_FDCWD, "x", fixed, 0));
			else
				FAILS(EPERM, utimensat(AT_FDCWD, "x", fixed, 0));
			myself();
			SAME(look("x").st_mtim.tv_sec, w == OWNER ? 2000 : before.st_mtim.tv_sec);
			when("one of them now, by %s, the file is %s", people[w].name,
			     writable ? "writable" : "read-only");
			become(w);
			if (w == OWNER)
				OK(utimensat(AT_FDCWD, "x", half, 0));
			else
				FAILS(EPERM, utimensat(AT_FDCWD, "x", half, 0));
			when("both omitted, by %s, the file is %s", people[w].name,
			     writable ? "writable" : "read-only");
			OK(utimensat(AT_FDCWD, "x", none, 0));
			when("now, by %s, the file is %s", people[w].name,
			     writable ? "writable" : "read-only");
			(void)expect(may_touch, utimensat(AT_FDCWD, "x", NULL, 0), "utimensat NULL",
				     __FILE__, __LINE__);
			myself();
		}
}

void area_utimensat(void)
{
	path_conditions();
	values();
	omit_and_now();
	descriptors();
	permissions();
}

/* --- which call moves what --- */

struct mover {
	const char *name;
	long (*call)(void); /* works on "x" (a file), "d" (a folder) */
	unsigned int file, dir;
};

static long with_fd(int flags, long (*fn)(int fd))
{
	int fd = open("x", flags, 0644), err;
	long r;

	if (fd < 0)
		return fd;
	r = fn(fd);
	err = errno;
	(void)close(fd);
	errno = err;
	return r;
}

static long fd_write(int fd)
{
	return write(fd, "new", 3) == 3 ? 0 : -1;
}

static long fd_write_none(int fd)
{
	return write(fd, "", 0);
}

static long fd_sync(int fd)
{
	return fsync(fd) < 0 || fdatasync(fd) < 0 ? -1 : 0;
}

static long fd_lseek(int fd)
{
	return lseek(fd, 0, SEEK_END);
}

static long m_write(void)
{
	return with_fd(O_WRONLY, fd_write);
}

static long m_append(void)
{
	return with_fd(O_WRONLY | O_APPEND, fd_write);
}

static long m_sync_write(void)
{
	return with_fd(O_WRONLY | O_SYNC, fd_write);
}

static long m_write_none(void)
{
	return with_fd(O_WRONLY, fd_write_none);
}

static long m_fsync(void)
{
	return with_fd(O_RDONLY, fd_sync);
}

static long m_lseek(void)
{
	return with_fd(O_RDONLY, fd_lseek);
}

static long m_chmod(void)
{
	return chmod("x", 0640);
}

static long m_chown(void)
{
	return chown("x", (uid_t)-1, suite.gid);
}

static long m_open(void)
{
	int fd = open("x", O_RDWR);

	return fd < 0 ? fd : close(fd);
}

static long m_open_trunc(void)
{
	int fd = open("x", O_RDWR | O_TRUNC);

	return fd < 0 ? fd : close(fd);
}

static long m_truncate(void)
{
	return truncate("x", 1);
}

static long m_stat(void)
{
	struct stat st;

	return stat("x", &st) < 0 || access("x", R_OK) < 0 ? -1 : 0;
}

static long m_link(void)
{
	return link("x", "d/l");
}

static long m_rename_in(void)
{
	return rename("x", "d/x") < 0 ? -1 : link("d/x", "x");
}

static long m_make(void)
{
	return mknod("d/n", S_IFREG | 0644, 0);
}

static long m_mkdir(void)
{
	return mkdir("d/m", 0755);
}

static long m_symlink(void)
{
	return symlink("x", "d/s");
}

static long m_unlink(void)
{
	return unlink("d/there");
}

static long m_unlink_fails(void)
{
	return unlink("d/none") < 0 && errno == ENOENT ? 0 : -1;
}

static long m_rmdir_fails(void)
{
	return rmdir("d") < 0 && errno == ENOTEMPTY ? 0 : -1;
}

static long m_mkdir_fails(void)
{
	return mkdir("d/there", 0755) < 0 && errno == EEXIST ? 0 : -1;
}

static long m_rename_within(void)
{
	return rename("d/there", "d/elsewhere");
}

static long m_write_below(void)
{
	int fd = open("d/there", O_WRONLY);
	long r;

	if (fd < 0)
		return fd;
	r = fd_write(fd);
	(void)close(fd);
	return r;
}

static long m_chmod_below(void)
{
	return chmod("d/there", 0600);
}

static long m_chmod_dir(void)
{
	return chmod("d", 0700);
}

static long m_setxattr(void)
{
	return setxattr("x", "user.t", "v", 1, 0);
}

static const struct mover movers[] = {
	{"write", m_write, S_M | S_C, 0},
	{"write O_APPEND", m_append, S_M | S_C, 0},
	{"write O_SYNC", m_sync_write, S_M | S_C, 0},
	{"write of no bytes", m_write_none, 0, 0},
	{"fsync", m_fsync, 0, 0},
	{"lseek", m_lseek, 0, 0},
	{"chmod", m_chmod, S_C, 0},
	{"chown", m_chown, S_C, 0},
	{"open", m_open, 0, 0},
	{"open O_TRUNC", m_open_trunc, S_M | S_C, 0},
	{"truncate", m_truncate, S_M | S_C, 0},
	{"stat and access", m_stat, 0, 0},
	{"link", m_link, S_C, S_M | S_C},
	{"rename into a folder", m_rename_in, S_C, S_M | S_C},
	{"mknod in a folder", m_make, 0, S_M | S_C},
	{"mkdir in a folder", m_mkdir, 0, S_M | S_C},
	{"symlink in a folder", m_symlink, 0, S_M | S_C},
	{"unlink in a folder", m_unlink, 0, S_M | S_C},
	{"rename within a folder", m_rename_within, 0, S_M | S_C},
	{"unlink that fails", m_unlink_fails, 0, 0},
	{"rmdir that fails", m_rmdir_fails, 0, 0},
	{"mkdir that fails", m_mkdir_fails, 0, 0},
	{"write to a file in a folder", m_write_below, 0, 0},
	{"chmod of a file in a folder", m_chmod_below, 0, 0},
	{"chmod of a folder", m_chmod_dir, 0, S_C},
	{"setxattr", m_setxattr, S_C, 0},
};

void area_times(void)
{
	for (size_t i = 0; i < sizeof(movers) / sizeof(*movers); i++) {
		struct stat file, dir;

		fresh();
		about(movers[i].name, "time stamps of a file and of a folder");
		put("x", "content");
		NEED(mkdir("d", 0755));
		put("d/there", "there");
		NEED(times_set("x", 1000, 1000));
		NEED(times_set("d", 1000, 1000));
		file = look("x");
		dir = look("d");
		tick();
		OK(movers[i].call());
		stamps(&file, "x", movers[i].file);
		stamps(&dir, "d", movers[i].dir);
	}
}
