/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes and access control lists. */
#include <sys/xattr.h>

#include "posix.h"

static void values(void)
{
	static const size_t sizes[] = {0, 1, 2, 255, 256, 1000};
	char value[4096], got[4096];
	struct stat before;

	for (unsigned int dir = 0; dir < 2; dir++) {
		fresh();
		make(dir ? K_DIR : K_FILE, "x");
		about("setxattr", "values of a %s", dir ? "folder" : "file");
		for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
			memset(value, 'a' + (int)i, sizes[i]);
			OK(setxattr("x", "user.a", value, sizes[i], 0));
			SAME(getxattr("x", "user.a", got, sizeof(got)), sizes[i]);
			TRUE(memcmp(got, value, sizes[i]) == 0);
			SAME(getxattr("x", "user.a", NULL, 0), sizes[i]);
		}
		when("a buffer that is too small");
		FAILS(ERANGE, getxattr("x", "user.a", got, 10));
		when("binary values");
		OK(setxattr("x", "user.b", "\0\1\0\xff", 4, 0));
		SAME(getxattr("x", "user.b", got, sizeof(got)), 4);
		TRUE(memcmp(got, "\0\1\0\xff", 4) == 0);
		when("XATTR_CREATE and XATTR_REPLACE");
		FAILS(EEXIST, setxattr("x", "user.a", "v", 1, XATTR_CREATE));
		FAILS(ENODATA, setxattr("x", "user.new", "v", 1, XATTR_REPLACE));
		OK(setxattr("x", "user.new", "v", 1, XATTR_CREATE));
		OK(setxattr("x", "user.new", "w", 1, XATTR_REPLACE));
		FAILS(EINVAL, setxattr("x", "user.new", "w", 1, 77));
		SAME(getxattr("x", "user.a", NULL, 0), 1000);
		when("time stamps");
		before = look("x");
		tick();
		OK(setxattr("x", "user.a", "v", 1, 0));
		stamps(&before, "x", S_C);
		before = look("x");
		tick();
		SAME(getxattr("x", "user.a", got, sizeof(got)), 1);
		FAILS(ENODATA, getxattr("x", "user.none", got, sizeof(got)));
		FAILS(ENODATA, removexattr("x", "user.none"));
		stamps(&before, "x", 0);
		OK(removexattr("x", "user.a"));
		stamps(&before, "x", S_C);
		FAILS(ENODATA, getxattr("x", "user.a", got, sizeof(got)));
		FAILS(ENODATA, removexattr("x", "user.a"));
	}
}

/* Is the name in the list? The list's length in *ret_n. */
static bool listed(const char *path, const char *name, ssize_t *ret_n)
{
	char list[8192];
	ssize_t n = llistxattr(path, list, sizeof(list));

	*ret_n = n;
	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(list + at) + 1)
		if (strcmp(list + at, name) == 0)
			return true;
	return false;
}

static void lists(void)
{
	static const char big[65537];
	char name[300], list[16];
	ssize_t n, empty;

	fresh();
	put("x", "x");
	about("listxattr", "names come and go");
	(void)listed("x", "", &empty);
	OK(empty);
	OK(setxattr("x", "user.one", "1", 1, 0));
	OK(setxattr("x", "user.two", "2", 1, 0));
	TRUE(listed("x", "user.one", &n));
	TRUE(listed("x", "user.two", &n));
	SAME(n, empty + 18);
	SAME(listxattr("x", NULL, 0), empty + 18);
	FAILS(ERANGE, listxattr("x", list, 5));
	OK(removexattr("x", "user.one"));
	TRUE(!listed("x", "user.one", &n));
	SAME(n, empty + 9);
	when("they belong to the file, not to the name");
	NEED(link("x", "y"));
	TRUE(listed("y", "user.two", &n));
	NEED(rename("x", "z"));
	TRUE(listed("z", "user.two", &n));
	about("setxattr", "names of 255 and 256 bytes");
	memset(name, 'n', sizeof(name));
	memcpy(name, "user.", 5);
	name[255] = '\0';
	OK(setxattr("y", name, "long", 4, 0));
	SAME(getxattr("y", name, NULL, 0), 4);
	name[255] = 'n';
	name[256] = '\0';
	FAILS(ERANGE, setxattr("y", name, "v", 1, 0));
	when("names that are none");
	FAILS(ERANGE, setxattr("y", "", "v", 1, 0));
	FAILS(EINVAL, setxattr("y", "user.", "v", 1, 0));
	FAILS(EOPNOTSUPP, setxattr("y", "nothing.x", "v", 1, 0));
	FAILS(EOPNOTSUPP, getxattr("y", "nothing.x", NULL, 0));
	FAILS(EOPNOTSUPP, setxattr("y", "x", "v", 1, 0));
	when("a value that is too large for anybody");
	FAILS(E2BIG, setxattr("y", "user.big", big, sizeof(big), 0));
	when("many names");
	for (unsigned int i = 0; i < 30; i++) {
		(void)snprintf(name, sizeof(name), "user.n%02u", i);
		OK(setxattr("z", name, name, 8, 0));
	}
	for (unsigned int i = 0; i < 30; i++) {
		(void)snprintf(name, sizeof(name), "user.n%02u", i);
		TRUE(listed("z", name, &n));
	}
}

/* user.* is for files and folders only. */
static void kinds(void)
{
	static const enum kind refuse[] = {K_LINK, K_FIFO, K_SOCKET};

	for (size_t i = 0; i < 3; i++) {
		fresh();
		make(refuse[i], "x");
		about("lsetxattr", "user.* on a %s", kind_names[refuse[i]]);
		FAILS(EPERM, lsetxattr("x", "user.a", "v", 1, 0));
		FAILS(ENODATA, lgetxattr("x", "user.a", NULL, 0));
		FAILS(EPERM, lremovexattr("x", "user.a"));
	}
}

static void trusted(void)
{
	ssize_t n;

	fresh();
	put("x", "x");
	NEED(chmod("x", 0666));
	if (suite.root) {
		about("setxattr", "trusted.* by root");
		OK(setxattr("x", "trusted.t", "v", 1, 0));
		SAME(getxattr("x", "trusted.t", NULL, 0), 1);
		TRUE(listed("x", "trusted.t", &n));
		give("x", OWNER);
	}
	about("setxattr", "trusted.* by a user");
	become(OWNER);
	FAILS(EPERM, setxattr("x", "trusted.t", "w", 1, 0));
	FAILS(EPERM, removexattr("x", "trusted.t"));
	about("getxattr", "trusted.* by a user");
	FAILS(ENODATA, getxattr("x", "trusted.t", NULL, 0));
	about("listxattr", "trusted.* are not shown to a user");
	TRUE(!listed("x", "trusted.t", &n));
	myself();
	if (suite.root) {
		about("removexattr", "trusted.* by root");
		OK(removexattr("x", "trusted.t"));
	}
}

/* In a sticky folder's own attributes only its owner writes. */
static void sticky(void)
{
	for (enum who w = 0; suite.root && w < WHO_MAX; w++) {
		fresh();
		about("setxattr", "user.* of a sticky folder by %s", people[w].name);
		NEED(mkdir("d", 0777));
		give("d", OWNER);
		NEED(chmod("d", 01777));
		become(w);
		if (w == OWNER)
			OK(setxattr("d", "user.a", "v", 1, 0));
		else
			FAILS(EPERM, setxattr("d", "user.a", "v", 1, 0));
		myself();
	}
}

static void descriptors(void)
{
	char got[8];
	int fd;

	fresh();
	put("x", "x");
	about("fsetxattr", "by a descriptor");
	fd = open("x", O_RDONLY);
	OK(fsetxattr(fd, "user.f", "val", 3, 0));
	SAME(fgetxattr(fd, "user.f", got, sizeof(got)), 3);
	NEED(unlink("x"));
	when("by a descriptor of a file without a name");
	OK(fsetxattr(fd, "user.g", "val", 3, 0));
	SAME(fgetxattr(fd, "user.g", got, sizeof(got)), 3);
	TRUE(flistxattr(fd, NULL, 0) >= 14);
	OK(fremovexattr(fd, "user.f"));
	FAILS(ENODATA, fgetxattr(fd, "user.f", got, sizeof(got)));
	NEED(close(fd));
	FAILS(EBADF, fgetxattr(fd, "user.f", got, sizeof(got)));
}

void area_xattr(void)
{
	path_conditions();
	values();
	lists();
	kinds();
	trusted();
	sticky();
	descriptors();
}

/* --- access control lists --- */

struct acl_entry {
	uint16_t tag, perm;
	uint32_t id;
};

struct acl {
	uint32_t version;
	struct acl_entry e[5];
};

static const char ACCESS[] = "system.posix_acl_access", DEFAULT[] = "system.posix_acl_default";

/* rw for the owner, rw for one user by name, nothing else, mask rw. */
static const struct acl named = {
	2,
	{{0x01, 6, UINT32_MAX},
	 {0x02, 6, 61004},
	 {0x04, 0, UINT32_MAX},
	 {0x10, 6, UINT32_MAX},
	 {0x20, 0, UINT32_MAX}},
};

static void acl_missing(void)
{
	about("setxattr", "an access control list where there are none");
	FAILS(EOPNOTSUPP, setxattr("x", ACCESS, &named, sizeof(named), 0));
	FAILS(EOPNOTSUPP, getxattr("x", ACCESS, NULL, 0));
	FAILS(EOPNOTSUPP, setxattr("d", DEFAULT, &named, sizeof(named), 0));
	FAILS(EOPNOTSUPP, removexattr("x", ACCESS));
	SAME(look("x").st_mode & 07777, 0600);
}

static void acl_works(void)
{
	struct acl got;
	struct stat st;

	about("setxattr", "an access control list");
	OK(setxattr("x", ACCESS, &named, sizeof(named), 0));
	SAME(getxattr("x", ACCESS, &got, sizeof(got)), sizeof(got));
	TRUE(memcmp(&got, &named, sizeof(got)) == 0);
	SAME(look("x").st_mode & 07777, 0660);
	if (suite.root) {
		for (enum who w = 0; w < WHO_MAX; w++) {
			when("who it lets in: %s", people[w].name);
			become(w);
			(void)expect(w == OWNER || w == OTHER ? 0 : EACCES,
				     open("x", O_RDWR) < 0 ? -1 : 0, "open", __FILE__, __LINE__);
			myself();
		}
	}
	when("chmod changes its mask");
	OK(chmod("x", 0600));
	SAME(getxattr("x", ACCESS, &got, sizeof(got)), sizeof(got));
	SAME(got.e[3].perm, 0);
	when("a list that is none");
	got.e[1].tag = 0x77;
	FAILS(EINVAL, setxattr("x", ACCESS, &got, sizeof(got), 0));
	FAILS(EACCES, setxattr("x", DEFAULT, &named, sizeof(named), 0));
	when("a default list is inherited");
	OK(setxattr("d", DEFAULT, &named, sizeof(named), 0));
	put("d/new", "new");
	SAME(getxattr("d/new", ACCESS, &got, sizeof(got)), sizeof(got));
	SAME(got.e[1].id, 61004);
	NEED(mkdir("d/sub", 0777));
	SAME(getxattr("d/sub", DEFAULT, &got, sizeof(got)), sizeof(got));
	st = look("d/sub");
	SAME(st.st_mode & 0007, 0);
	OK(removexattr("d", DEFAULT));
	FAILS(ENODATA, getxattr("d", DEFAULT, NULL, 0));
}

void area_acl(void)
{
	fresh();
	put("x", "x");
	NEED(mkdir("d", 0755));
	NEED(chmod("x", 0600));
	give("x", OWNER);
	if (getxattr("x", ACCESS, NULL, 0) < 0 && errno == EOPNOTSUPP)
		acl_missing();
	else
		acl_works();
}
