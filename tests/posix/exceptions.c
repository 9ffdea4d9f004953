/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is otherwise in a view: four things, and no more. Each is asserted: what a plain file system does, and what
 * a view answers instead.
 *
 *   mknod of devices   EPERM in a view, for root too, and journaled: an agent has no use for them
 *   security.*         EPERM in a view, for root too: they would grant what the policy does not
 *   O_TMPFILE          EOPNOTSUPP in a view; programs fall back to a name and unlink
 *   atime on reads     stays in a view: reading is not journaled
 */
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "posix.h"

static bool may(int capability)
{
	return syscall(SYS_prctl, 23 /* PR_CAPBSET_READ */, capability) == 1;
}

static void devices(void)
{
	int want = suite.view || !suite.root || !may(27 /* CAP_MKNOD */) ? EPERM : 0;

	fresh();
	about("mknod", "of a device");
	(void)expect(want, mknod("b", S_IFBLK | 0600, makedev(7, 99)), "mknod block", __FILE__,
		     __LINE__);
	(void)expect(want, mknod("c", S_IFCHR | 0600, makedev(1, 3)), "mknod char", __FILE__,
		     __LINE__);
	if (want) {
		TRUE(is_kind(K_NONE, "b"));
		TRUE(is_kind(K_NONE, "c"));
		return;
	}
	TRUE(S_ISBLK(look("b").st_mode) && look("b").st_rdev == makedev(7, 99));
	TRUE(S_ISCHR(look("c").st_mode) && look("c").st_rdev == makedev(1, 3));
}

static void security(void)
{
	int want = suite.view || !suite.root || !may(21 /* CAP_SYS_ADMIN */) ? EPERM : 0;

	fresh();
	put("x", "x");
	about("setxattr", "security.*");
	(void)expect(want, setxattr("x", "security.suite", "v", 1, 0), "setxattr", __FILE__,
		     __LINE__);
	(void)expect(want ? ENODATA : 0, getxattr("x", "security.suite", NULL, 0), "getxattr",
		     __FILE__, __LINE__);
}

static void tmpfile_flag(void)
{
	int fd;

	fresh();
	about("open O_TMPFILE", "in a folder");
	fd = open(".", O_TMPFILE | O_RDWR, 0600);
	if (suite.view) {
		FAILS(EOPNOTSUPP, fd);
		return;
	}
	OK(fd);
	SAME(write(fd, "x", 1), 1);
	NEED(close(fd));
}

static void atime(void)
{
	bool stays = suite.view || (suite.dev_flags & ST_NOATIME);
	struct stat before;

	fresh();
	put("x", "content");
	about("read", "atime");
	/* older than mtime: relatime moves it as well */
	NEED(times_set("x", 1000, 2000));
	before = look("x");
	tick();
	TRUE(holds("x", "content"));
	stamps(&before, "x", stays ? 0 : S_A);
}

void area_exceptions(void)
{
	devices();
	security();
	tmpfile_flag();
	atime();
}
