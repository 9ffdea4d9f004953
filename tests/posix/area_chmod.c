/* SPDX-License-Identifier: Apache-2.0 */
/* chmod, chown: who may, what it changes, what it takes away (suid, sgid), time stamps. */
#include "posix.h"

static const enum kind kinds[] = {K_FILE, K_DIR, K_FIFO, K_SOCKET};

enum { NKINDS = sizeof(kinds) / sizeof(*kinds) };

static void chmod_modes(void)
{
	static const mode_t modes[] = {0,     01,    0111,  0222,  0444, 0644,
				       01777, 04711, 06711, 02770, 07777};
	struct stat before;

	for (size_t k = 0; k < NKINDS; k++) {
		fresh();
		make(kinds[k], "x");
		about("chmod", "of a %s, each mode", kind_names[kinds[k]]);
		for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
			OK(chmod("x", modes[i]));
			SAME(look("x").st_mode & 07777, modes[i]);
		}
		when("of a %s, time stamps", kind_names[kinds[k]]);
		before = look("x");
		tick();
		OK(chmod("x", 0711));
		stamps(&before, "x", S_C);
		OK(chmod("x", 0700));
	}
}

static void chmod_descriptors(void)
{
	int fd;

	fresh();
	about("fchmod", "by a descriptor");
	put("x", "x");
	fd = open("x", O_RDONLY);
	OK(fchmod(fd, 0600));
	SAME(look("x").st_mode & 07777, 0600);
	when("a closed descriptor");
	NEED(close(fd));
	FAILS(EBADF, fchmod(fd, 0644));
	about("fchmodat", "relative to a folder");
	NEED(mkdir("d", 0755));
	put("d/y", "y");
	fd = open("d", O_RDONLY | O_DIRECTORY);
	OK(fchmodat(fd, "y", 0640, 0));
	SAME(look("d/y").st_mode & 07777, 0640);
	NEED(close(fd));
}

static void chmod_who(void)
{
	struct stat before;

	for (size_t k = 0; suite.root && k < NKINDS; k++)
		for (enum who w = 0; w < WHO_MAX; w++) {
			fresh();
			make(kinds[k], "x");
			NEED(chmod("x", 0666));
			give("x", OWNER);
			before = look("x");
			tick();
			about("chmod", "of a %s by %s", kind_names[kinds[k]], people[w].name);
			become(w);
			if (w == OWNER)
				OK(chmod("x", 0751));
			else
				FAILS(EPERM, chmod("x", 0751));
			myself();
			SAME(look("x").st_mode & 07777, w == OWNER ? 0751 : 0666);
			stamps(&before, "x", w == OWNER ? S_C : 0);
		}
}

/* sgid for a group that the owner is not in is dropped; sticky of a file stays on Linux. */
static void chmod_special(void)
{
	if (!suite.root)
		return;
	fresh();
	about("chmod", "sgid by an owner who is not in the group");
	put("x", "x");
	NEED(mkdir("d", 0755));
	NEED(chown("x", people[OWNER].uid, 62009));
	NEED(chown("d", people[OWNER].uid, 62009));
	become(OWNER);
	OK(chmod("x", 02755));
	OK(chmod("d", 02755));
	SAME(look("x").st_mode & 07777, 0755);
	SAME(look("d").st_mode & 07777, 0755);
	when("suid by the owner");
	OK(chmod("x", 04755));
	SAME(look("x").st_mode & 07777, 04755);
	when("the sticky bit by the owner");
	OK(chmod("d", 01777));
	SAME(look("d").st_mode & 07777, 01777);
	myself();
	when("sgid by an owner who is in the group");
	NEED(chown("x", people[OWNER].uid, people[OWNER].gid));
	become(OWNER);
	OK(chmod("x", 02755));
	SAME(look("x").st_mode & 07777, 02755);
	myself();
	when("sgid by an owner who is in the group by a supplementary one");
	NEED(chown("x", people[EXTRA].uid, people[EXTRA].groups[1]));
	become(EXTRA);
	OK(chmod("x", 02711));
	SAME(look("x").st_mode & 07777, 02711);
	myself();
}

/* A write, a truncation and a change of owner take suid and sgid away from a program. */
static void killed_by(const char *what, mode_t mode, mode_t want, int (*change)(const char *))
{
	fresh();
	about(what, "mode %04o becomes %04o", mode, want);
	put("x", "content");
	give("x", OWNER);
	NEED(chmod("x", mode));
	become(OWNER);
	SAME(look("x").st_mode & 07777, mode);
	OK(change("x"));
	SAME(look("x").st_mode & 07777, want);
	myself();
}

static int change_write(const char *p)
{
	int fd = open(p, O_WRONLY), r;

	if (fd < 0)
		return -1;
	r = write(fd, "x", 1) == 1 ? 0 : -1;
	return close(fd) < 0 ? -1 : r;
}

static int change_append(const char *p)
{
	int fd = open(p, O_WRONLY | O_APPEND), r;

	if (fd < 0)
		return -1;
	r = write(fd, "x", 1) == 1 ? 0 : -1;
	return close(fd) < 0 ? -1 : r;
}

static int change_truncate(const char *p)
{
	return truncate(p, 2);
}

static int change_grow(const char *p)
{
	return truncate(p, 200);
}

static int change_open_trunc(const char *p)
{
	return close(open(p, O_WRONLY | O_TRUNC));
}

static int change_group(const char *p)
{
	return chown(p, (uid_t)-1, suite.root ? people[OWNER].gid : suite.gid);
}

static void killed(void)
{
	static const struct {
		const char *name;
		int (*call)(const char *);
	} changes[] = {
		{"write", change_write},
		{"append", change_append},
		{"truncate", change_truncate},
		{"truncate, growing", change_grow},
		{"open O_TRUNC", change_open_trunc},
		{"chown", change_group},
	};

	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		killed_by(changes[i].name, 04777, 0777, changes[i].call);
		killed_by(changes[i].name, 06777, 0777, changes[i].call);
		killed_by(changes[i].name, 02777, 0777, changes[i].call);
		killed_by(changes[i].name, 0777, 0777, changes[i].call);
		killed_by(changes[i].name, 04711, 0711, changes[i].call);
		killed_by(changes[i].name, 01777, 01777, changes[i].call);
	}
}

static void kept(void)
{
	fresh();
	about("read", "takes no suid or sgid away");
	put("x", "content");
	NEED(chmod("x", 06755));
	TRUE(holds("x", "content"));
	SAME(look("x").st_mode & 07777, 06755);
	when("a folder keeps sgid on chown");
	NEED(mkdir("d", 0755));
	NEED(chmod("d", 02775));
	OK(chown("d", (uid_t)-1, suite.gid));
	SAME(look("d").st_mode & 07777, 02775);
	if (!suite.root)
		return;
	about("write", "by root takes no suid or sgid away");
	OK(change_write("x"));
	SAME(look("x").st_mode & 07777, 06755);
	about("chown", "by root takes suid and sgid away");
	OK(chown("x", 61001, 62001));
	SAME(look("x").st_mode & 07777, 0755);
	when("by root, nothing given: suid and sgid go as well");
	NEED(chmod("x", 06755));
	OK(chown("x", (uid_t)-1, (gid_t)-1));
	SAME(look("x").st_mode & 07777, 0755);
}

void area_chmod(void)
{
	path_conditions();
	chmod_modes();
	chmod_descriptors();
	chmod_who();
	chmod_special();
	killed();
	kept();
}

/* --- chown --- */

static void chown_root(void)
{
	struct stat before;
	int fd;

	if (!suite.root)
		return;
	for (size_t k = 0; k < NKINDS; k++) {
		fresh();
		make(kinds[k], "x");
		before = look("x");
		tick();
		about("chown", "of a %s by root", kind_names[kinds[k]]);
		OK(chown("x", 123, 456));
		SAME(look("x").st_uid, 123);
		SAME(look("x").st_gid, 456);
		stamps(&before, "x", S_C);
		when("of a %s by root, one of the two", kind_names[kinds[k]]);
		OK(chown("x", (uid_t)-1, 457));
		SAME(look("x").st_uid, 123);
		SAME(look("x").st_gid, 457);
		OK(chown("x", 124, (gid_t)-1));
		SAME(look("x").st_uid, 124);
		SAME(look("x").st_gid, 457);
		when("of a %s by root, large numbers", kind_names[kinds[k]]);
		OK(chown("x", 4000000000u, 4000000001u));
		SAME(look("x").st_uid, 4000000000u);
		SAME(look("x").st_gid, 4000000001u);
	}
	fresh();
	put("x", "x");
	NEED(symlink("x", "l"));
	about("lchown", "of a symlink");
	OK(lchown("l", 123, 456));
	SAME(look("l").st_uid, 123);
	SAME(look("x").st_uid, 0);
	about("chown", "of a symlink: its target");
	OK(chown("l", 125, 126));
	SAME(look("l").st_uid, 123);
	SAME(look("x").st_uid, 125);
	about("fchown", "by a descriptor");
	fd = open("x", O_RDONLY);
	OK(fchown(fd, 127, 128));
	SAME(look("x").st_gid, 128);
	NEED(close(fd));
}

/* Row by row: who asks for what, on a file of OWNER's in group `gid`. */
static void chown_who(void)
{
	static const struct {
		enum who w;
		int uid, gid, err;
		const char *what;
	} rows[] = {
		{OWNER, -1, 62001, 0, "the owner, to a group of its own"},
		{OWNER, 61001, -1, 0, "the owner, to itself"},
		{OWNER, 61001, 62001, 0, "the owner, to itself and a group of its own"},
		{OWNER, -1, -1, 0, "the owner, nothing"},
		{OWNER, 61002, -1, EPERM, "the owner, to another user"},
		{OWNER, -1, 62004, EPERM, "the owner, to a foreign group"},
		{OWNER, 61001, 62004, EPERM, "the owner, to itself and a foreign group"},
		{GROUP, -1, 62001, EPERM, "a member of the group, to that group"},
		{GROUP, 61002, -1, EPERM, "a member of the group, to itself"},
		{EXTRA, 61003, 62003, EPERM, "a supplementary member, to itself"},
		{OTHER, 61004, -1, EPERM, "another, to itself"},
		{OTHER, -1, 62004, EPERM, "another, to its group"},
		{OTHER, 61001, -1, EPERM, "another, to the owner it has"},
	};
	struct stat before;

	for (size_t i = 0; suite.root && i < sizeof(rows) / sizeof(*rows); i++) {
		fresh();
		put("x", "x");
		NEED(chown("x", 61001, 62009));
		before = look("x");
		tick();
		about("chown", "%s", rows[i].what);
		become(rows[i].w);
		(void)expect(rows[i].err, chown("x", (uid_t)rows[i].uid, (gid_t)rows[i].gid),
			     "chown", __FILE__, __LINE__);
		myself();
		SAME(look("x").st_uid, 61001);
		SAME(look("x").st_gid, !rows[i].err && rows[i].gid == 62001 ? 62001 : 62009);
		stamps(&before, "x", rows[i].err ? 0 : S_C);
	}
	if (!suite.root) {
		fresh();
		put("x", "x");
		about("chown", "a user, to itself");
		OK(chown("x", suite.uid, suite.gid));
		when("a user, to another");
		FAILS(EPERM, chown("x", suite.uid + 1, (gid_t)-1));
		FAILS(EPERM, chown("x", 0, 0));
		SAME(look("x").st_uid, suite.uid);
	}
	when("supplementary groups are the owner's to give");
	for (unsigned int i = 0; suite.root && i < 2; i++) {
		fresh();
		put("x", "x");
		give("x", EXTRA);
		become(EXTRA);
		OK(chown("x", (uid_t)-1, people[EXTRA].groups[i]));
		SAME(look("x").st_gid, people[EXTRA].groups[i]);
		myself();
	}
}

void area_chown(void)
{
	path_conditions();
	chown_root();
	chown_who();
}
