/* SPDX-License-Identifier: Apache-2.0 */
/* What makes a name: mkdir, mkfifo, mknod, creat, symlink: mode and umask, owner and group, setgid folders,
 * link counts, time stamps of the new node and of its folder. */
#include "posix.h"

struct maker {
	const char *name;
	int (*call)(const char *path, mode_t mode);
	mode_t type;
	bool dir;
};

static int make_dir(const char *path, mode_t mode)
{
	return mkdir(path, mode);
}

static int make_fifo(const char *path, mode_t mode)
{
	return mkfifo(path, mode);
}

static int make_node(const char *path, mode_t mode)
{
	return mknod(path, S_IFREG | mode, 0);
}

static int make_socket_node(const char *path, mode_t mode)
{
	return mknod(path, S_IFSOCK | mode, 0);
}

static int make_file(const char *path, mode_t mode)
{
	int fd = open(path, O_CREAT | O_EXCL | O_RDWR, mode);

	return fd < 0 ? fd : close(fd);
}

static const struct maker maker_dir = {"mkdir", make_dir, S_IFDIR, true};
static const struct maker maker_fifo = {"mkfifo", make_fifo, S_IFIFO, false};
static const struct maker maker_node = {"mknod of a file", make_node, S_IFREG, false};
static const struct maker maker_socket = {"mknod of a socket", make_socket_node, S_IFSOCK, false};
static const struct maker maker_file = {"creat", make_file, S_IFREG, false};

static const mode_t modes[] = {0, 0755, 0151, 0345, 0501, 0777, 01755, 02755, 04755, 07777};
static const mode_t umasks[] = {0, 022, 0501, 077, 0777};

/* mkdir gives no suid and sgid to what it makes; the sticky bit it does. */
static mode_t mode_made(const struct maker *m, mode_t mode, mode_t mask)
{
	if (m->dir)
		return mode & ~mask & 01777;
	return mode & ~mask & 07777;
}

static void modes_of(const struct maker *m)
{
	char name[32];

	fresh();
	for (size_t u = 0; u < sizeof(umasks) / sizeof(*umasks); u++) {
		about(m->name, "umask %04o", umasks[u]);
		for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
			struct stat st;

			(void)snprintf(name, sizeof(name), "n%zu-%zu", u, i);
			(void)umask(umasks[u]);
			OK(m->call(name, modes[i]));
			(void)umask(0);
			st = look(name);
			SAME(st.st_mode, m->type | mode_made(m, modes[i], umasks[u]));
			SAME(st.st_nlink, m->dir ? 2 : 1);
		}
	}
}

/* Who owns what is made: the effective user; the group its effective one, or a setgid folder's. */
static void owners_of(const struct maker *m)
{
	char name[32];
	struct stat st;

	for (enum who w = 0; w < WHO_MAX; w++) {
		if (!can_be(w))
			continue;
		fresh();
		about(m->name, "made by %s", people[w].name);
		NEED(mkdir("d", 0777));
		NEED(mkdir("s", 0777));
		if (suite.root) {
			NEED(chown("d", 0, 62009));
			NEED(chown("s", 0, 62009));
			NEED(chmod("s", 02777));
		}
		become(w);
		for (unsigned int i = 0; i < 2; i++) {
			(void)snprintf(name, sizeof(name), "%s/x", i ? "s" : "d");
			OK(m->call(name, 0755));
			st = look(name);
			SAME(st.st_uid, people[w].uid);
			if (!i || !suite.root)
				SAME(st.st_gid, people[w].gid);
		}
		if (suite.root) {
			when("in a setgid folder, made by %s", people[w].name);
			SAME(st.st_gid, 62009);
			SAME(st.st_mode & 07777, m->dir ? 02755 : 0755);
		}
		myself();
	}
}

/* One who is not in the folder's group cannot make a program that runs as it. */
static void sgid_for_strangers(const struct maker *m)
{
	struct stat st;

	if (!suite.root || m->dir)
		return;
	fresh();
	about(m->name, "mode 02755 in a setgid folder of a foreign group");
	NEED(mkdir("s", 0777));
	NEED(chown("s", 0, 62009));
	NEED(chmod("s", 02777));
	become(OTHER);
	OK(m->call("s/x", 02755));
	myself();
	st = look("s/x");
	SAME(st.st_gid, 62009);
	SAME(st.st_mode & 07777, 0755);
}

static void times_of(const struct maker *m)
{
	struct stat before, dir, now;

	fresh();
	about(m->name, "time stamps");
	NEED(mkdir("d", 0777));
	NEED(times_set("d", 1000, 1000));
	dir = look("d");
	before = look("d");
	tick();
	OK(m->call("d/x", 0755));
	now = look("d/x");
	TRUE(now.st_atim.tv_sec >= before.st_ctim.tv_sec);
	TRUE(now.st_mtim.tv_sec >= before.st_ctim.tv_sec);
	TRUE(now.st_ctim.tv_sec >= before.st_ctim.tv_sec);
	SAME(now.st_mtim.tv_nsec, now.st_ctim.tv_nsec);
	stamps(&dir, "d", S_M | S_C);
	when("time stamps where the name is there already");
	dir = look("d");
	tick();
	FAILS(EEXIST, m->call("d/x", 0755));
	stamps(&dir, "d", 0);
	stamps(&now, "d/x", 0);
	if (m->dir) {
		when("link count of the folder");
		SAME(look("d").st_nlink, 3);
		NEED(rmdir("d/x"));
		SAME(look("d").st_nlink, 2);
	}
}

static void size_of(const struct maker *m)
{
	struct stat st;

	fresh();
	about(m->name, "size of what is made");
	OK(m->call("x", 0644));
	st = look("x");
	if (!m->dir) {
		SAME(st.st_size, 0);
		SAME(st.st_blocks, 0);
	}
	TRUE(st.st_ino != look(".").st_ino);
	TRUE(st.st_dev == look(".").st_dev);
}

static void maker_checks(const struct maker *m)
{
	modes_of(m);
	owners_of(m);
	sgid_for_strangers(m);
	times_of(m);
	size_of(m);
}

void area_mkdir(void)
{
	path_conditions();
	maker_checks(&maker_dir);
	fresh();
	about("mkdir", "with a slash behind the name");
	OK(mkdir("d/", 0755));
	TRUE(is_kind(K_DIR, "d"));
	when("at a path through ..");
	OK(mkdir("d/../e", 0755));
	TRUE(is_kind(K_DIR, "e"));
	when("in a folder that was removed");
	NEED(mkdir("gone", 0755));
	NEED(chdir("gone"));
	NEED(rmdir("../gone"));
	FAILS(ENOENT, mkdir("x", 0755));
	FAILS(ENOENT, mkdir("./x/", 0755));
	NEED(chdir(case_dir()));
}

void area_mkfifo(void)
{
	int r, w;
	char c = 0;

	path_conditions();
	maker_checks(&maker_fifo);
	fresh();
	about("mkfifo", "with a slash behind the name");
	FAILS(ENOENT, mkfifo("f/", 0644));
	when("bytes go through");
	NEED(mkfifo("f", 0644));
	FAILS(ENXIO, open("f", O_WRONLY | O_NONBLOCK));
	r = open("f", O_RDONLY | O_NONBLOCK);
	OK(r);
	w = open("f", O_WRONLY);
	OK(w);
	SAME(write(w, "x", 1), 1);
	SAME(read(r, &c, 1), 1);
	SAME(c, 'x');
	when("no seeking, no truncating");
	FAILS(ESPIPE, lseek(r, 0, SEEK_SET));
	FAILS(EINVAL, ftruncate(w, 0));
	FAILS(EINVAL, truncate("f", 0));
	when("the other end closed");
	NEED(close(w));
	SAME(read(r, &c, 1), 0);
	NEED(close(r));
}

void area_mknod(void)
{
	path_conditions();
	maker_checks(&maker_node);
	maker_checks(&maker_socket);
	fresh();
	about("mknod", "no type is a regular file");
	OK(mknod("plain", 0644, 0));
	TRUE(is_kind(K_FILE, "plain"));
	when("of a folder");
	FAILS(EPERM, mknod("d", S_IFDIR | 0755, 0));
	when("of a symlink");
	FAILS(EINVAL, mknod("l", S_IFLNK | 0777, 0));
	when("of a fifo");
	OK(mknod("f", S_IFIFO | 0644, 0));
	TRUE(is_kind(K_FIFO, "f"));
	when("a socket is not opened");
	OK(mknod("s", S_IFSOCK | 0644, 0));
	FAILS(ENXIO, open("s", O_RDONLY));
	when("with a slash behind the name");
	FAILS(ENOENT, mknod("x/", S_IFREG | 0644, 0));
	if (!suite.root)
		return;
	when("of a device by one who is not root");
	become(OTHER);
	FAILS(EPERM, mknod("b", S_IFBLK | 0644, 0x700));
	FAILS(EPERM, mknod("c", S_IFCHR | 0644, 0x103));
	myself();
}

static void create_over(void)
{
	struct stat before;

	fresh();
	about("creat", "of a file that is there: emptied, the same node");
	put("x", "content");
	NEED(chmod("x", 0640));
	before = look("x");
	tick();
	OK(close(open("x", O_CREAT | O_WRONLY | O_TRUNC, 0777)));
	SAME(look("x").st_size, 0);
	SAME(look("x").st_ino, before.st_ino);
	SAME(look("x").st_mode & 07777, 0640);
	stamps(&before, "x", S_M | S_C);
	when("without O_TRUNC: nothing changes");
	put("y", "content");
	before = look("y");
	tick();
	OK(close(open("y", O_CREAT | O_WRONLY, 0777)));
	stamps(&before, "y", 0);
	TRUE(holds("y", "content"));
	when("of a folder");
	NEED(mkdir("d", 0755));
	FAILS(EISDIR, open("d", O_CREAT | O_WRONLY, 0644));
	FAILS(EISDIR, open("d", O_CREAT, 0644));
	FAILS(EISDIR, open("new/", O_CREAT | O_WRONLY, 0644));
	FAILS(EINVAL, open("d", O_CREAT | O_DIRECTORY, 0644));
	when("through a dangling symlink: the target is made");
	NEED(symlink("made", "l"));
	OK(close(open("l", O_CREAT | O_WRONLY, 0644)));
	TRUE(is_kind(K_FILE, "made"));
	when("through a dangling symlink with O_EXCL");
	NEED(symlink("never", "l2"));
	FAILS(EEXIST, open("l2", O_CREAT | O_EXCL | O_WRONLY, 0644));
	TRUE(is_kind(K_NONE, "never"));
	when("through a symlink with O_NOFOLLOW");
	FAILS(ELOOP, open("l", O_CREAT | O_NOFOLLOW | O_WRONLY, 0644));
}

/* The mode is for later: the one who makes a file may write to it whatever mode it gives it. */
static void create_read_only(void)
{
	int fd;

	for (enum who w = 0; w < WHO_MAX; w++) {
		if (!can_be(w))
			continue;
		fresh();
		about("creat", "a file of mode 0444 or 0 is written by its maker (%s)",
		      people[w].name);
		become(w);
		fd = open("x", O_CREAT | O_EXCL | O_RDWR, 0444);
		OK(fd);
		SAME(write(fd, "abc", 3), 3);
		SAME(ftruncate(fd, 2), 0);
		NEED(close(fd));
		TRUE(holds("x", "ab"));
		fd = open("y", O_CREAT | O_EXCL | O_WRONLY, 0);
		OK(fd);
		SAME(write(fd, "abc", 3), 3);
		NEED(close(fd));
		if (suite.uid || w != OWNER || suite.root)
			FAILS(EACCES, open("x", O_WRONLY));
		FAILS(EACCES, open("y", O_RDONLY));
		myself();
		SAME(look("y").st_size, 3);
	}
}

void area_create(void)
{
	path_conditions();
	maker_checks(&maker_file);
	create_over();
	create_read_only();
}
