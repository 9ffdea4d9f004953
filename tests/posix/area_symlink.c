/* SPDX-License-Identifier: Apache-2.0 */
/* Symlinks: what they hold, who owns them, that only what names them directly touches them. */
#include "posix.h"

static void contents(void)
{
	static const size_t lengths[] = {1, 2, 59, 60, 61, 255, 256, 1023, 4094, 4095};
	char target[PATH_MAX + 1], got[PATH_MAX + 1], name[32];

	fresh();
	about("symlink", "targets of 1 to 4095 bytes");
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		size_t n = lengths[i];

		memset(target, 'a' + (int)i, n);
		target[n] = '\0';
		(void)snprintf(name, sizeof(name), "l%zu", n);
		OK(symlink(target, name));
		SAME(readlink(name, got, sizeof(got)), n);
		TRUE(memcmp(got, target, n) == 0);
		SAME(look(name).st_size, n);
	}
	when("a target of 4096 bytes");
	memset(target, 'x', PATH_MAX);
	target[PATH_MAX] = '\0';
	FAILS(ENAMETOOLONG, symlink(target, "long"));
	when("an empty target");
	FAILS(ENOENT, symlink("", "empty"));
	when("a bad pointer as target");
	FAILS(EFAULT, symlink(BAD_POINTER, "bad"));
	when("odd targets are kept as they are");
	OK(symlink("//a/../b/./c//", "odd"));
	SAME(readlink("odd", got, sizeof(got)), 14);
	OK(symlink("\xff\x01 \n", "bytes"));
	SAME(readlink("bytes", got, sizeof(got)), 4);
	TRUE(memcmp(got, "\xff\x01 \n", 4) == 0);
}

static void reading(void)
{
	char buf[16];

	fresh();
	about("readlink", "a short buffer is filled");
	NEED(symlink("0123456789", "l"));
	SAME(readlink("l", buf, 4), 4);
	TRUE(memcmp(buf, "0123", 4) == 0);
	when("a buffer of no bytes");
	FAILS(EINVAL, readlink("l", buf, 0));
	when("of what is no symlink");
	put("f", "f");
	NEED(mkdir("d", 0755));
	NEED(mkfifo("p", 0644));
	FAILS(EINVAL, readlink("f", buf, sizeof(buf)));
	FAILS(EINVAL, readlink("d", buf, sizeof(buf)));
	FAILS(EINVAL, readlink("p", buf, sizeof(buf)));
	FAILS(EINVAL, readlink(".", buf, sizeof(buf)));
}

static void owners(void)
{
	struct stat st, dir;

	for (enum who w = 0; w < WHO_MAX; w++) {
		if (!can_be(w))
			continue;
		fresh();
		about("symlink", "made by %s", people[w].name);
		NEED(mkdir("s", 0777));
		if (suite.root) {
			NEED(chown("s", 0, 62009));
			NEED(chmod("s", 02777));
		}
		NEED(times_set("s", 1000, 1000));
		dir = look("s");
		tick();
		become(w);
		(void)umask(077);
		OK(symlink("anything", "l"));
		OK(symlink("anything", "s/l"));
		(void)umask(0);
		myself();
		st = look("l");
		SAME(st.st_uid, people[w].uid);
		SAME(st.st_gid, people[w].gid);
		SAME(st.st_mode, S_IFLNK | 0777);
		SAME(st.st_nlink, 1);
		stamps(&dir, "s", S_M | S_C);
		if (suite.root)
			SAME(look("s/l").st_gid, 62009);
	}
}

/* Calls on the link itself, which leave its target alone. */
static void itself(void)
{
	struct stat target;

	fresh();
	about("symlink", "what is done to it leaves its target alone");
	put("t", "t");
	NEED(symlink("t", "l"));
	target = look("t");
	tick();
	OK(times_set("l", 1234, 5678));
	SAME(look("l").st_mtim.tv_sec, 5678);
	OK(rename("l", "m"));
	OK(linkat(AT_FDCWD, "m", AT_FDCWD, "n", 0));
	TRUE(is_kind(K_LINK, "n"));
	SAME(look("n").st_nlink, 2);
	OK(unlink("m"));
	OK(unlink("n"));
	stamps(&target, "t", 0);
	TRUE(holds("t", "t"));
	when("rmdir of a symlink to a folder");
	NEED(mkdir("d", 0755));
	NEED(symlink("d", "ld"));
	FAILS(ENOTDIR, rmdir("ld"));
	FAILS(ENOTDIR, rmdir("ld/"));
	when("a slash behind it goes to the folder");
	NEED(mkdir("ld/x", 0755));
	TRUE(is_kind(K_DIR, "d/x"));
	OK(access("ld/", F_OK));
	when("its mode cannot be changed");
	FAILS(EOPNOTSUPP, fchmodat(AT_FDCWD, "ld", 0700, AT_SYMLINK_NOFOLLOW));
	SAME(look("ld").st_mode & 07777, 0777);
	when("with a slash behind the new name");
	FAILS(ENOENT, symlink("x", "new/"));
}

void area_symlink(void)
{
	path_conditions();
	contents();
	reading();
	owners();
	itself();
}
