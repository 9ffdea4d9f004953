/* SPDX-License-Identifier: Apache-2.0 */
/* rename: each kind onto each kind, plain, NOREPLACE and EXCHANGE; loops; sticky folders; what stays. */
#include <sys/syscall.h>

#include "posix.h"

static int rename2(const char *a, const char *b, unsigned int flags)
{
	return (int)syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, flags);
}

static bool is_dir(enum kind k)
{
	return k == K_DIR || k == K_FULL;
}

/* The errno of the rename of one kind onto another. */
static int verdict(enum kind from, enum kind to, unsigned int flags)
{
	if (from == K_NONE)
		return ENOENT;
	if (flags & RENAME_EXCHANGE)
		return to == K_NONE ? ENOENT : 0;
	if (to == K_NONE)
		return 0;
	if (flags & RENAME_NOREPLACE)
		return EEXIST;
	if (is_dir(from) && !is_dir(to))
		return ENOTDIR;
	if (!is_dir(from) && is_dir(to))
		return EISDIR;
	return to == K_FULL ? ENOTEMPTY : 0;
}

static const char *flag_name(unsigned int flags)
{
	return flags & RENAME_EXCHANGE	  ? "rename EXCHANGE"
	       : flags & RENAME_NOREPLACE ? "rename NOREPLACE"
					  : "rename";
}

static ino_t inode(const char *name)
{
	struct stat st;

	return lstat(name, &st) < 0 ? 0 : st.st_ino;
}

static void after(enum kind from, enum kind to, int err, unsigned int flags, const ino_t was[2])
{
	if (err) {
		TRUE(is_kind(from, "a/x"));
		TRUE(is_kind(to, "b/y"));
		return;
	}
	SAME(inode("b/y"), was[0]);
	TRUE(is_kind(from, "b/y"));
	SAME(inode("a/x"), flags & RENAME_EXCHANGE ? was[1] : 0);
	if (from == K_FILE)
		TRUE(holds("b/y", "a/x"));
	if (from == K_FULL)
		TRUE(holds("b/y/x", "x"));
}

static void pair(enum kind from, enum kind to, unsigned int flags)
{
	int err = verdict(from, to, flags);
	struct stat a, b;
	ino_t was[2];

	fresh();
	about(flag_name(flags), "%s onto %s", kind_names[from], kind_names[to]);
	NEED(mkdir("a", 0755));
	NEED(mkdir("b", 0755));
	put("target", "target");
	make(from, "a/x");
	make(to, "b/y");
	was[0] = inode("a/x");
	was[1] = inode("b/y");
	a = look("a");
	b = look("b");
	(void)expect(err, rename2("a/x", "b/y", flags), "rename", __FILE__, __LINE__);
	after(from, to, err, flags, was);
	if (err || flags)
		return;
	SAME(look("a").st_nlink, a.st_nlink - is_dir(from));
	SAME(look("b").st_nlink, b.st_nlink + is_dir(from) - is_dir(to));
}

static void matrix(void)
{
	static const unsigned int flags[] = {0, RENAME_NOREPLACE, RENAME_EXCHANGE};

	for (size_t f = 0; f < 3; f++)
		for (enum kind from = K_FILE; from <= K_NONE; from++)
			for (enum kind to = K_FILE; to <= K_NONE; to++)
				pair(from, to, flags[f]);
}

static void itself(void)
{
	struct stat before;

	fresh();
	about("rename", "onto itself: nothing happens");
	put("x", "x");
	NEED(link("x", "hard"));
	before = look("x");
	tick();
	OK(rename("x", "x"));
	stamps(&before, "x", 0);
	when("onto another name of the same file: nothing happens");
	OK(rename("x", "hard"));
	stamps(&before, "x", 0);
	TRUE(is_kind(K_FILE, "x") && is_kind(K_FILE, "hard"));
	SAME(look("x").st_nlink, 2);
	when("onto itself, NOREPLACE");
	FAILS(EEXIST, rename2("x", "hard", RENAME_NOREPLACE));
	when("EXCHANGE of two names of the same file");
	OK(rename2("x", "hard", RENAME_EXCHANGE));
	when("onto a name of a file with two: it loses one");
	put("y", "y");
	OK(rename("y", "hard"));
	SAME(look("x").st_nlink, 1);
	TRUE(holds("hard", "y"));
}

static void below(void)
{
	fresh();
	about("rename", "into its own child");
	NEED(mkdir("d", 0755));
	NEED(mkdir("d/e", 0755));
	NEED(mkdir("d/e/f", 0755));
	FAILS(EINVAL, rename("d", "d/x"));
	FAILS(EINVAL, rename("d", "d/e"));
	FAILS(EINVAL, rename("d", "d/e/x"));
	FAILS(EINVAL, rename("d", "d/e/f/x"));
	FAILS(EINVAL, rename2("d", "d/e/x", RENAME_NOREPLACE));
	FAILS(EINVAL, rename2("d", "d/e/f", RENAME_EXCHANGE));
	FAILS(EINVAL, rename2("d/e/f", "d", RENAME_EXCHANGE));
	when("of a child onto its parent");
	FAILS(ENOTEMPTY, rename("d/e", "d"));
	FAILS(ENOTEMPTY, rename("d/e/f", "d"));
	when(". and ..");
	FAILS(EBUSY, rename("d/.", "x"));
	FAILS(EBUSY, rename("d/..", "x"));
	FAILS(EBUSY, rename("d/e", "d/."));
	FAILS(EBUSY, rename("d/e", "d/.."));
	when("flags that are not known, or not together");
	FAILS(EINVAL, rename2("d", "x", 1u << 9));
	FAILS(EINVAL, rename2("d", "x", RENAME_NOREPLACE | RENAME_EXCHANGE));
	TRUE(is_kind(K_DIR, "d/e/f"));
	when("a moved folder's .. is its new parent");
	NEED(mkdir("g", 0755));
	OK(rename("d/e", "g/e"));
	SAME(inode("g/e/.."), inode("g"));
	TRUE(is_kind(K_DIR, "g/e/f"));
	when("a file with a slash behind its name");
	put("file", "file");
	FAILS(ENOTDIR, rename("file/", "x"));
	FAILS(ENOTDIR, rename("file", "x/"));
	when("a folder with slashes behind the names");
	OK(rename("g/", "h/"));
	TRUE(is_kind(K_DIR, "h/e"));
}

static void times(void)
{
	struct stat a, b, x;

	fresh();
	about("rename", "time stamps");
	NEED(mkdir("a", 0755));
	NEED(mkdir("b", 0755));
	put("a/x", "x");
	NEED(mkdir("a/d", 0755));
	NEED(times_set("a", 1000, 1000));
	NEED(times_set("b", 1000, 1000));
	NEED(times_set("a/x", 2000, 2000));
	a = look("a");
	b = look("b");
	x = look("a/x");
	tick();
	OK(rename("a/x", "b/x"));
	stamps(&a, "a", S_M | S_C);
	stamps(&b, "b", S_M | S_C);
	stamps(&x, "b/x", S_C);
	when("time stamps after one that failed");
	a = look("a");
	b = look("b");
	tick();
	FAILS(ENOENT, rename("a/none", "b/x"));
	FAILS(EISDIR, rename("b/x", "a/d"));
	stamps(&a, "a", 0);
	stamps(&b, "b", 0);
}

/* An open file stays what it is, whatever its name becomes. */
static void open_over(void)
{
	char buf[16] = "";
	int fd;

	fresh();
	about("rename", "over a file that is open");
	put("old", "old");
	put("new", "new");
	fd = open("old", O_RDWR);
	OK(rename("new", "old"));
	SAME(pread(fd, buf, sizeof(buf), 0), 3);
	TRUE(memcmp(buf, "old", 3) == 0);
	SAME(pwrite(fd, "OLD", 3, 0), 3);
	TRUE(holds("old", "new"));
	NEED(close(fd));
	when("of a file that is open");
	fd = open("old", O_RDWR);
	OK(rename("old", "other"));
	SAME(pwrite(fd, "via", 3, 0), 3);
	TRUE(holds("other", "via"));
	NEED(close(fd));
}

/* In a sticky folder only the owner of the file, of the folder, or root may take a name away. */
static void sticky(enum who folder, enum who file, enum who w, bool over)
{
	int err = w == folder || w == file ? 0 : EPERM;

	fresh();
	about(over ? "rename onto" : "rename", "sticky folder of %s, file of %s, caller %s",
	      people[folder].name, people[file].name, people[w].name);
	NEED(mkdir("s", 0777));
	put("s/x", "x");
	put("mine", "mine");
	give("s/x", file);
	give("mine", w);
	give("s", folder);
	NEED(chmod("s", 01777));
	become(w);
	if (over)
		(void)expect(err, rename("mine", "s/x"), "rename", __FILE__, __LINE__);
	else
		(void)expect(err, rename("s/x", "moved"), "rename", __FILE__, __LINE__);
	myself();
	TRUE(holds("s/x", err ? "x" : "mine") == (over || err));
}

/* A folder that moves to another parent has its own ".." changed: it must be writable to the caller. */
static void folder_moves(void)
{
	for (enum who w = 0; suite.root && w < WHO_MAX; w++) {
		fresh();
		about("rename", "a folder of mode 0777 less write, %s, to another parent",
		      people[w].name);
		NEED(mkdir("a", 0777));
		NEED(mkdir("b", 0777));
		NEED(mkdir("a/d", 0777));
		give("a/d", OWNER);
		NEED(chmod("a/d", 0777 & ~(02u << people[w].shift)));
		become(w);
		FAILS(EACCES, rename("a/d", "b/d"));
		OK(rename("a/d", "a/e")); /* the same parent: nothing in it changes */
		myself();
		TRUE(is_kind(K_DIR, "a/e"));
	}
}

void area_rename(void)
{
	path_conditions();
	matrix();
	itself();
	below();
	times();
	open_over();
	for (enum who folder = 0; suite.root && folder < WHO_MAX; folder += OTHER)
		for (enum who file = 0; file < WHO_MAX; file++)
			for (enum who w = 0; w < WHO_MAX; w++)
				for (unsigned int over = 0; over < 2; over++)
					sticky(folder, file, w, over);
	folder_moves();
}
