/* SPDX-License-Identifier: Apache-2.0 */
/* unlink, rmdir, link: link counts, what is open, sticky folders, time stamps. */
#include <sys/syscall.h>

#include "posix.h"

static void sticky(enum who folder, enum who thing, enum who w, bool dir)
{
	int err = w == folder || w == thing ? 0 : EPERM;

	fresh();
	about(dir ? "rmdir" : "unlink", "sticky folder of %s, %s of %s, caller %s",
	      people[folder].name, dir ? "folder" : "file", people[thing].name, people[w].name);
	NEED(mkdir("s", 0777));
	make(dir ? K_DIR : K_FILE, "s/x");
	give("s/x", thing);
	give("s", folder);
	NEED(chmod("s", 01777));
	become(w);
	(void)expect(err, dir ? rmdir("s/x") : unlink("s/x"), "remove", __FILE__, __LINE__);
	myself();
	TRUE(is_kind(err ? (dir ? K_DIR : K_FILE) : K_NONE, "s/x"));
}

static void sticky_all(bool dir)
{
	for (enum who folder = 0; suite.root && folder < WHO_MAX; folder += OTHER)
		for (enum who thing = 0; thing < WHO_MAX; thing++)
			for (enum who w = 0; w < WHO_MAX; w++)
				sticky(folder, thing, w, dir);
}

static void unlink_kinds(void)
{
	struct stat dir;

	for (enum kind k = K_FILE; k < K_NONE; k++) {
		if (k == K_DIR || k == K_FULL)
			continue;
		fresh();
		about("unlink", "of a %s", kind_names[k]);
		NEED(mkdir("d", 0755));
		NEED(chdir("d"));
		make(k, "x");
		NEED(chdir(".."));
		NEED(times_set("d", 1000, 1000));
		dir = look("d");
		tick();
		OK(unlink("d/x"));
		TRUE(is_kind(K_NONE, "d/x"));
		stamps(&dir, "d", S_M | S_C);
		FAILS(ENOENT, unlink("d/x"));
		if (k == K_LINK)
			TRUE(holds("d/target", "target"));
	}
	fresh();
	about("unlink", "of a folder");
	NEED(mkdir("d", 0755));
	FAILS(EISDIR, unlink("d"));
	FAILS(EISDIR, unlink("d/."));
	FAILS(EISDIR, unlink("."));
	FAILS(EISDIR, unlink(".."));
	when("a file with a slash behind its name");
	put("f", "f");
	FAILS(ENOTDIR, unlink("f/"));
	TRUE(is_kind(K_FILE, "f"));
	about("unlinkat", "flags that are not known");
	FAILS(EINVAL, unlinkat(AT_FDCWD, "f", 0x1000000));
	when("AT_REMOVEDIR on a file");
	FAILS(ENOTDIR, unlinkat(AT_FDCWD, "f", AT_REMOVEDIR));
	when("AT_REMOVEDIR on a folder");
	OK(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
}

static void unlink_links(void)
{
	struct stat before;

	fresh();
	about("unlink", "of one name of several");
	put("a", "a");
	NEED(link("a", "b"));
	NEED(link("a", "c"));
	SAME(look("a").st_nlink, 3);
	before = look("a");
	tick();
	OK(unlink("b"));
	SAME(look("a").st_nlink, 2);
	stamps(&before, "a", S_C);
	OK(unlink("a"));
	SAME(look("c").st_nlink, 1);
	TRUE(holds("c", "a"));
	OK(unlink("c"));
	when("what was read only goes as well: the folder decides");
	put("r", "r");
	NEED(chmod("r", 0));
	OK(unlink("r"));
}

void area_unlink(void)
{
	path_conditions();
	unlink_kinds();
	unlink_links();
	sticky_all(false);
}

/* --- rmdir --- */

void area_rmdir(void)
{
	struct stat up;

	path_conditions();
	for (enum kind k = K_FILE; k < K_NONE; k++) {
		fresh();
		about("rmdir", "of a %s", kind_names[k]);
		make(k, "x");
		(void)expect(k == K_DIR	   ? 0
			     : k == K_FULL ? ENOTEMPTY
					   : ENOTDIR,
			     rmdir("x"), "rmdir", __FILE__, __LINE__);
		TRUE(is_kind(k == K_DIR ? K_NONE : k, "x"));
	}
	fresh();
	about("rmdir", ". and ..");
	NEED(mkdir("d", 0755));
	NEED(mkdir("d/e", 0755));
	FAILS(EINVAL, rmdir("d/e/."));
	FAILS(ENOTEMPTY, rmdir("d/e/.."));
	FAILS(EINVAL, rmdir("."));
	when("link counts and time stamps of the parent");
	NEED(times_set("d", 1000, 1000));
	up = look("d");
	SAME(up.st_nlink, 3);
	tick();
	OK(rmdir("d/e"));
	SAME(look("d").st_nlink, 2);
	stamps(&up, "d", S_M | S_C);
	when("that only had hidden names");
	NEED(mkdir("h", 0755));
	put("h/.x", "x");
	FAILS(ENOTEMPTY, rmdir("h"));
	NEED(unlink("h/.x"));
	OK(rmdir("h"));
	when("filled and emptied again");
	NEED(mkdir("f", 0755));
	for (unsigned int i = 0; i < 3; i++) {
		put("f/x", "x");
		NEED(rename("f/x", "f/y"));
		FAILS(ENOTEMPTY, rmdir("f"));
		NEED(unlink("f/y"));
	}
	OK(rmdir("f"));
	when("with a slash behind the name");
	NEED(mkdir("g", 0755));
	OK(rmdir("g/"));
	sticky_all(true);
}

/* --- link --- */

static void link_kinds(void)
{
	for (enum kind k = K_FILE; k < K_NONE; k++) {
		struct stat dir, st;

		fresh();
		about("link", "to a %s", kind_names[k]);
		make(k, "x");
		NEED(mkdir("d", 0755));
		NEED(times_set("d", 1000, 1000));
		st = look("x");
		dir = look("d");
		tick();
		if (k == K_DIR || k == K_FULL) {
			FAILS(EPERM, link("x", "d/y"));
			TRUE(is_kind(K_NONE, "d/y"));
			stamps(&dir, "d", 0);
			stamps(&st, "x", 0);
			continue;
		}
		OK(link("x", "d/y"));
		SAME(look("d/y").st_ino, st.st_ino);
		SAME(look("x").st_nlink, 2);
		SAME(look("d/y").st_nlink, 2);
		SAME(look("d/y").st_mode, st.st_mode);
		stamps(&st, "x", S_C);
		stamps(&dir, "d", S_M | S_C);
		OK(unlink("x"));
		SAME(look("d/y").st_nlink, 1);
		OK(unlink("d/y"));
	}
}

static void link_same(void)
{
	char name[16];
	int fd;

	fresh();
	about("link", "what is changed by one name is seen by the other");
	put("a", "a");
	NEED(link("a", "b"));
	NEED(chmod("b", 0600));
	SAME(look("a").st_mode & 07777, 0600);
	put("b", "changed");
	TRUE(holds("a", "changed"));
	NEED(truncate("a", 3));
	TRUE(holds("b", "cha"));
	SAME(look("b").st_size, 3);
	when("many names");
	for (unsigned int i = 0; i < 50; i++) {
		(void)snprintf(name, sizeof(name), "n%u", i);
		OK(link("a", name));
		SAME(look(name).st_nlink, i + 3);
	}
	when("AT_SYMLINK_FOLLOW");
	NEED(symlink("a", "l"));
	OK(linkat(AT_FDCWD, "l", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
	SAME(look("followed").st_ino, look("a").st_ino);
	when("with a slash behind the new name");
	FAILS(ENOENT, link("a", "new/"));
	when("of a file without a name");
	put("gone", "gone");
	fd = open("gone", O_RDONLY);
	NEED(unlink("gone"));
	(void)snprintf(name, sizeof(name), "%d", fd);
	FAILS(ENOENT, syscall(SYS_linkat, fd, "", AT_FDCWD, "back", AT_EMPTY_PATH));
	NEED(close(fd));
	when("flags that are not known");
	FAILS(EINVAL, linkat(AT_FDCWD, "a", AT_FDCWD, "z", 0x4000000));
}

void area_link(void)
{
	path_conditions();
	link_kinds();
	link_same();
}

/* --- files that are open and have no name --- */

static void unlinked_file(void)
{
	struct stat st;
	char buf[16];
	int fd;

	fresh();
	about("unlink", "of an open file: it lives until it is closed");
	put("x", "hello world");
	fd = open("x", O_RDWR);
	OK(unlink("x"));
	OK(fstat(fd, &st));
	SAME(st.st_nlink, 0);
	SAME(st.st_size, 11);
	SAME(pread(fd, buf, 5, 6), 5);
	TRUE(memcmp(buf, "world", 5) == 0);
	SAME(pwrite(fd, "WORLD", 5, 6), 5);
	SAME(pread(fd, buf, 5, 6), 5);
	TRUE(memcmp(buf, "WORLD", 5) == 0);
	OK(ftruncate(fd, 3));
	OK(fchmod(fd, 0600));
	OK(fstat(fd, &st));
	SAME(st.st_size, 3);
	SAME(st.st_mode & 07777, 0600);
	OK(ftruncate(fd, 8192));
	SAME(pread(fd, buf, 5, 8000), 5);
	TRUE(memcmp(buf, "\0\0\0\0\0", 5) == 0);
	OK(fsync(fd));
	OK(futimens(fd, NULL));
	when("the name is free for another");
	put("x", "another");
	SAME(pread(fd, buf, 3, 0), 3);
	TRUE(memcmp(buf, "hel", 3) == 0);
	TRUE(look("x").st_ino != st.st_ino || look("x").st_dev != st.st_dev);
	OK(close(fd));
	TRUE(holds("x", "another"));
}

static void unlinked_many(void)
{
	int fds[20];
	char c, name[16];

	fresh();
	about("unlink", "of twenty open files");
	for (unsigned int i = 0; i < 20; i++) {
		(void)snprintf(name, sizeof(name), "f%u", i);
		put(name, name);
		fds[i] = open(name, O_RDONLY);
		OK(unlink(name));
	}
	for (unsigned int i = 0; i < 20; i++) {
		SAME(pread(fds[i], &c, 1, 1), 1);
		SAME(c, '0' + (int)(i < 10 ? i : i / 10));
		OK(close(fds[i]));
	}
}

static void unlinked_folder(void)
{
	int d;

	fresh();
	about("rmdir", "of a folder that is open");
	NEED(mkdir("d", 0755));
	d = open("d", O_RDONLY | O_DIRECTORY);
	OK(rmdir("d"));
	FAILS(ENOENT, openat(d, "x", O_CREAT | O_WRONLY, 0644));
	FAILS(ENOENT, mkdirat(d, "x", 0755));
	FAILS(ENOENT, symlinkat("x", d, "x"));
	FAILS(ENOENT, faccessat(d, "x", F_OK, 0));
	OK(close(d));
	when("of a folder that somebody stands in");
	NEED(mkdir("here", 0755));
	NEED(chdir("here"));
	OK(rmdir("../here"));
	FAILS(ENOENT, open("x", O_CREAT | O_WRONLY, 0644));
	NEED(chdir(case_dir()));
}

void area_unlinked(void)
{
	unlinked_file();
	unlinked_many();
	unlinked_folder();
}
