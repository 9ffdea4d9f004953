/* SPDX-License-Identifier: Apache-2.0 */
/* Directory streams under change; names; figures of the file system. */
#include <dirent.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "posix.h"

enum { MANY = 10000 };

/* Reads on to the end; how many names begin with `first`; each must come once. */
static unsigned int count_names(DIR *d, char first, unsigned char *seen, size_t n)
{
	unsigned int count = 0;
	struct dirent *e;

	while ((e = readdir(d))) {
		unsigned int i = (unsigned int)atoi(e->d_name + 1);

		if (e->d_name[0] != first)
			continue;
		count++;
		if (seen && i < n)
			seen[i]++;
	}
	return count;
}

static void plain_names(unsigned int from, unsigned int to, char first)
{
	char name[16];

	for (unsigned int i = from; i < to; i++) {
		(void)snprintf(name, sizeof(name), "d/%c%u", first, i);
		NEED(mknod(name, S_IFREG | 0644, 0));
	}
}

static void types(void)
{
	static const unsigned char want[K_MAX] = {DT_REG, DT_DIR,  DT_DIR, DT_LNK,
						  DT_LNK, DT_FIFO, DT_SOCK};
	unsigned int dots = 0, seen = 0;
	struct dirent *e;
	char name[16];
	DIR *d;

	fresh();
	about("readdir", "names, types and inode numbers");
	for (enum kind k = K_FILE; k < K_NONE; k++) {
		(void)snprintf(name, sizeof(name), "k%u", k);
		make(k, name);
	}
	d = opendir(".");
	while ((e = readdir(d))) {
		unsigned int k = (unsigned int)atoi(e->d_name + 1);

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
			dots++;
			SAME(e->d_type, DT_DIR);
			SAME(e->d_ino, look(e->d_name).st_ino);
			continue;
		}
		if (e->d_name[0] != 'k')
			continue;
		seen |= 1u << k;
		SAME(e->d_type, want[k]);
		SAME(e->d_ino, look(e->d_name).st_ino);
	}
	SAME(dots, 2);
	SAME(seen, (1u << K_NONE) - 1);
	NEED(closedir(d));
	when("an empty folder has . and ..");
	NEED(mkdir("e", 0755));
	d = opendir("e");
	TRUE(readdir(d) != NULL);
	TRUE(readdir(d) != NULL);
	TRUE(readdir(d) == NULL);
	NEED(closedir(d));
	when("of what is no folder");
	FAILS(ENOTDIR, opendir("k0") ? 0 : -1);
	FAILS(ENOENT, opendir("none") ? 0 : -1);
}

static void seeking(void)
{
	struct dirent *e;
	char name[256];
	long at[50];
	DIR *d;

	fresh();
	NEED(mkdir("d", 0755));
	plain_names(0, 50, 'f');
	about("telldir, seekdir", "every position leads to the name behind it");
	d = opendir("d");
	for (unsigned int i = 0; i < 50; i++) {
		at[i] = telldir(d);
		TRUE(readdir(d) != NULL);
	}
	for (unsigned int i = 49; i > 0; i -= 3) {
		seekdir(d, at[i - 1]);
		NEED(readdir(d) ? 0 : -1);
		SAME(telldir(d), at[i]);
		e = readdir(d);
		(void)snprintf(name, sizeof(name), "%s", e ? e->d_name : "");
		seekdir(d, at[i]);
		e = readdir(d);
		TRUE(e && strcmp(e->d_name, name) == 0);
		if (i < 3)
			break;
	}
	when("a position stays good while other names come and go");
	seekdir(d, at[25]);
	e = readdir(d);
	(void)snprintf(name, sizeof(name), "%s", e ? e->d_name : "");
	plain_names(50, 80, 'f');
	for (unsigned int i = 0; i < 50; i++) {
		char gone[16];

		(void)snprintf(gone, sizeof(gone), "d/f%u", i);
		if (strcmp(gone + 2, name) != 0 && i % 2)
			NEED(unlink(gone));
	}
	seekdir(d, at[25]);
	e = readdir(d);
	TRUE(e && strcmp(e->d_name, name) == 0);
	when("rewinddir sees what is there now");
	rewinddir(d);
	SAME(count_names(d, 'f', NULL, 0), name[0] == 'f' && atoi(name + 1) % 2 ? 56 : 55);
	NEED(closedir(d));
}

/* A name that was there all the time comes exactly once, whatever else happens meanwhile. */
static void under_change(unsigned int n, unsigned int every)
{
	unsigned char *seen = calloc(n, 1);
	unsigned int count = 0, twice = 0, missing = 0, made = 0;
	struct dirent *e;
	char name[16];
	DIR *d;

	fresh();
	NEED(mkdir("d", 0755));
	plain_names(0, n, 's');
	plain_names(0, n / every, 'u');
	about("readdir", "%u names stay while others are made and removed", n);
	d = opendir("d");
	while ((e = readdir(d))) {
		if (e->d_name[0] == 's')
			seen[atoi(e->d_name + 1)]++;
		if (count++ % every || made >= n / every)
			continue;
		(void)snprintf(name, sizeof(name), "d/c%u", made);
		NEED(mknod(name, S_IFREG | 0644, 0));
		(void)snprintf(name, sizeof(name), "d/u%u", made++);
		NEED(unlink(name));
	}
	for (unsigned int i = 0; i < n; i++) {
		missing += !seen[i];
		twice += seen[i] > 1;
	}
	SAME(missing, 0);
	SAME(twice, 0);
	TRUE(made > 2);
	when("%u names, read again", n);
	rewinddir(d);
	memset(seen, 0, n);
	SAME(count_names(d, 's', seen, n), n);
	rewinddir(d);
	SAME(count_names(d, 'c', NULL, 0), made);
	rewinddir(d);
	SAME(count_names(d, 'u', NULL, 0), n / every - made);
	NEED(closedir(d));
	free(seen);
}

/* The way rm -r does it: removes what it reads. */
static void remove_while_reading(void)
{
	unsigned int removed = 0;
	struct dirent *e;
	DIR *d;

	fresh();
	NEED(mkdir("d", 0755));
	plain_names(0, 3000, 'r');
	about("readdir", "each name is removed as it comes: all come");
	d = opendir("d");
	while ((e = readdir(d)))
		if (e->d_name[0] == 'r' && unlinkat(dirfd(d), e->d_name, 0) == 0)
			removed++;
	SAME(removed, 3000);
	NEED(closedir(d));
	OK(rmdir("d"));
}

static void rename_while_reading(void)
{
	unsigned char seen[500] = {0};
	unsigned int missing = 0;
	struct dirent *e;
	char to[32];
	DIR *d;

	fresh();
	NEED(mkdir("d", 0755));
	NEED(mkdir("out", 0755));
	plain_names(0, 500, 'm');
	about("readdir", "each name is moved out as it comes: all come");
	d = opendir("d");
	while ((e = readdir(d))) {
		if (e->d_name[0] != 'm')
			continue;
		seen[atoi(e->d_name + 1)]++;
		(void)snprintf(to, sizeof(to), "out/m%.8s", e->d_name + 1);
		NEED(renameat(dirfd(d), e->d_name, AT_FDCWD, to));
	}
	for (unsigned int i = 0; i < 500; i++)
		missing += seen[i] != 1;
	SAME(missing, 0);
	NEED(closedir(d));
	OK(rmdir("d"));
}

static void two_streams(void)
{
	DIR *a, *b;

	fresh();
	NEED(mkdir("d", 0755));
	plain_names(0, 200, 'f');
	about("readdir", "two streams of one folder do not disturb each other");
	a = opendir("d");
	b = opendir("d");
	for (unsigned int i = 0; i < 10; i++)
		NEED(readdir(a) ? 0 : -1);
	SAME(count_names(b, 'f', NULL, 0), 200);
	TRUE(count_names(a, 'f', NULL, 0) >= 190);
	NEED(closedir(a));
	NEED(closedir(b));
	when("fdopendir and closedir");
	{
		int fd = open("d", O_RDONLY | O_DIRECTORY);

		a = fdopendir(fd);
		TRUE(a != NULL);
		SAME(count_names(a, 'f', NULL, 0), 200);
		OK(closedir(a));
		FAILS(EBADF, close(fd));
	}
}

void area_dirstream(void)
{
	types();
	seeking();
	under_change(300, 7);
	under_change(MANY, 100);
	remove_while_reading();
	rename_while_reading();
	two_streams();
}

/* --- statfs --- */

void area_statfs(void)
{
	struct statvfs sv;
	struct statfs sf;
	int fd;

	path_conditions();
	fresh();
	about("statvfs", "figures that fit together");
	OK(statvfs(".", &sv));
	SAME(sv.f_namemax, 255);
	TRUE(sv.f_bsize > 0);
	TRUE(sv.f_frsize > 0);
	TRUE(sv.f_bfree <= sv.f_blocks);
	TRUE(sv.f_bavail <= sv.f_bfree);
	TRUE(sv.f_ffree <= sv.f_files);
	TRUE(!(sv.f_flag & ST_RDONLY));
	OK(statfs(".", &sf));
	SAME(sf.f_namelen, 255);
	TRUE(sf.f_type != 0);
	about("fstatfs", "by a descriptor");
	fd = open(".", O_RDONLY);
	OK(fstatfs(fd, &sf));
	SAME(pathconf(".", _PC_NAME_MAX), 255);
	SAME(fpathconf(fd, _PC_PATH_MAX), PATH_MAX);
	NEED(close(fd));
	FAILS(EBADF, fstatfs(fd, &sf));
	about("statfs", "a bad pointer for the answer");
	FAILS(EFAULT, statfs(".", (struct statfs *)(uintptr_t)BAD_POINTER) < 0 ? -1 : 0);
}

/* --- names --- */

static void odd_names(void)
{
	static const char *const odd[] = {
		" ",	    "  x ",  "\n",   "\t\x01\x1b", "\xff\xfe",	   "\xc3\x28",
		"a\\b",	    "*",     "?",    "[a]",	   "-rf",	   "--",
		"~",	    "$HOME", "\"'`", "...",	   "..x",	   ".x.",
		"x.",	    "CON",   "nul:", "a:b",	   "\xe2\x82\xac", "e\xcc\x81",
		"\xc3\xa9",
	};
	struct dirent *e;
	unsigned int n = 0;
	DIR *d;

	fresh();
	about("open", "odd names");
	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		put(odd[i], "odd");
		TRUE(holds(odd[i], "odd"));
	}
	d = opendir(".");
	while ((e = readdir(d)))
		for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++)
			n += strcmp(e->d_name, odd[i]) == 0;
	NEED(closedir(d));
	SAME(n, sizeof(odd) / sizeof(*odd));
	when("upper and lower case are two names");
	put("case", "lower");
	put("CASE", "upper");
	TRUE(holds("case", "lower"));
	TRUE(holds("CASE", "upper"));
	when("odd names are renamed and removed");
	for (size_t i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
		OK(rename(odd[i], "plain"));
		OK(unlink("plain"));
	}
}

/* Folders of 255-byte names until no path reaches the end; steps still do. */
static void deep(void)
{
	char name[256], path[PATH_MAX + 300];
	unsigned int depth = 0;

	fresh();
	memset(name, 'd', 255);
	name[255] = '\0';
	about("mkdir", "20 folders of 255-byte names, one in the other");
	for (; depth < 20; depth++) {
		OK(mkdir(name, 0755));
		NEED(chdir(name));
	}
	put("x", "deep");
	TRUE(holds("x", "deep"));
	about("getcwd", "a path longer than PATH_MAX");
	FAILS(ENAMETOOLONG, syscall(SYS_getcwd, path, sizeof(path)));
	about("stat", "the longest way that a path of 4095 bytes goes");
	NEED(chdir(case_dir()));
	path[0] = '\0';
	for (unsigned int i = 0; i < 15; i++) {
		(void)strcat(path, name);
		(void)strcat(path, "/");
	}
	OK(access(path, F_OK));
	(void)strcat(path, name);
	SAME(strlen(path), 4095);
	OK(access(path, F_OK));
	(void)strcat(path, "/");
	FAILS(ENAMETOOLONG, access(path, F_OK));
	for (unsigned int i = 0; i < depth; i++)
		NEED(chdir(name));
	about("rmdir", "20 folders of 255-byte names, one in the other");
	OK(unlink("x"));
	for (; depth > 0; depth--) {
		NEED(chdir(".."));
		OK(rmdir(name));
	}
}

static void dots(void)
{
	fresh();
	about("stat", "., .. and slashes");
	NEED(mkdir("d", 0755));
	put("d/x", "x");
	SAME(look("d/.").st_ino, look("d").st_ino);
	SAME(look("d/..").st_ino, look(".").st_ino);
	TRUE(holds("./d//./../d///x", "x"));
	TRUE(holds("d/../d/x", "x"));
	FAILS(ENOENT, access("none/../d", F_OK));
	FAILS(ENOTDIR, access("d/x/..", F_OK));
	FAILS(ENOTDIR, access("d/x/.", F_OK));
	OK(access("d/.", F_OK));
	OK(access("d///", F_OK));
	when("a folder is found by its new name at once, and no more by the old");
	NEED(rename("d", "e"));
	FAILS(ENOENT, access("d", F_OK));
	FAILS(ENOENT, access("d/x", F_OK));
	TRUE(holds("e/x", "x"));
	NEED(mkdir("d", 0755));
	FAILS(ENOENT, access("d/x", F_OK));
}

void area_names(void)
{
	path_conditions();
	odd_names();
	deep();
	dots();
}
