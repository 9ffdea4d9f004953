/* SPDX-License-Identifier: Apache-2.0 */
/* Where the cases happen, who acts in them, and what they find there. */
#include <ftw.h>
#include <grp.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <time.h>

#include "posix.h"

static char base[PATH_MAX], here[PATH_MAX];
static unsigned int ncases;

struct person people[WHO_MAX] = {
	[OWNER] = {"owner", 61001, 62001, 1, {62001}, 6},
	[GROUP] = {"group", 61002, 62001, 1, {62001}, 3},
	[EXTRA] = {"supplementary group", 61003, 62003, 2, {62003, 62001}, 3},
	[OTHER] = {"other", 61004, 62004, 1, {62004}, 0},
};

const char *const kind_names[K_MAX] = {
	[K_FILE] = "file",
	[K_DIR] = "empty folder",
	[K_FULL] = "folder with a name",
	[K_LINK] = "symlink",
	[K_DANGLING] = "dangling symlink",
	[K_FIFO] = "fifo",
	[K_SOCKET] = "socket",
	[K_NONE] = "nothing",
};

/* --- folders --- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (type == FTW_DP)
		return rmdir(path);
	if (type == FTW_DNR || type == FTW_D)
		return 0;
	return unlink(path);
}

/* A folder that cannot be listed is given its bits back on the way down. */
static int open_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)ftw;
	if (type == FTW_D || type == FTW_DNR)
		if ((st->st_mode & 0700) != 0700)
			(void)chmod(path, 0700);
	return 0;
}

static void remove_tree(const char *path)
{
	int r = nftw(path, remove_one, 32, FTW_PHYS | FTW_DEPTH);

	for (int i = 0; r != 0 && errno != ENOENT && i < 4; i++) {
		(void)nftw(path, open_one, 32, FTW_PHYS);
		r = nftw(path, remove_one, 32, FTW_PHYS | FTW_DEPTH);
	}
	if (r != 0 && errno != ENOENT)
		fprintf(stderr, "posix-suite: remove '%s': %s\n", path, strerror(errno));
}

void world_init(const char *dir)
{
	struct statvfs sv;
	char real[PATH_MAX / 2];

	if (!realpath(dir, here) || strlen(here) >= sizeof(real)) {
		fprintf(stderr, "posix-suite: '%s': %s\n", dir, strerror(errno));
		exit(2);
	}
	(void)snprintf(real, sizeof(real), "%s", here);
	(void)snprintf(base, sizeof(base), "%s/posix.%d", real, (int)getpid());
	if (statvfs(dir, &sv) < 0 || mkdir(base, 0755) < 0 || chdir(base) < 0) {
		fprintf(stderr, "posix-suite: '%s': %s\n", base, strerror(errno));
		exit(2);
	}
	suite.dev_flags = (uint32_t)sv.f_flag;
	suite.uid = geteuid();
	suite.gid = getegid();
	suite.root = suite.uid == 0;
	if (!suite.root)
		people[OWNER] = (struct person){"owner", suite.uid, suite.gid, 0, {0}, 6};
	(void)umask(0);
}

void fresh(void)
{
	char old[PATH_MAX];

	(void)snprintf(old, sizeof(old), "%s", here);
	do /* a child may have made some */
		(void)snprintf(here, sizeof(here), "%.*s/%u", (int)(sizeof(here) - 16), base,
			       ++ncases);
	while (mkdir(here, 0777) < 0 && errno == EEXIST);
	if (chdir(here) < 0) {
		fprintf(stderr, "posix-suite: '%s': %s\n", here, strerror(errno));
		exit(2);
	}
	if (ncases > 1)
		remove_tree(old);
	(void)chmod(".", 0777);
}

void world_end(void)
{
	if (chdir("/") == 0)
		remove_tree(base);
}

const char *world_dir(void)
{
	return base;
}

const char *case_dir(void)
{
	return here;
}

/* --- people --- */

bool can_be(enum who w)
{
	return suite.root || w == OWNER;
}

void become(enum who w)
{
	const struct person *p = &people[w];

	if (!suite.root)
		return;
	if (setgroups(p->ngroups, p->groups) < 0 || setresgid((gid_t)-1, p->gid, (gid_t)-1) < 0 ||
	    setresuid((uid_t)-1, p->uid, (uid_t)-1) < 0) {
		perror("posix-suite: become another user");
		exit(2);
	}
}

void myself(void)
{
	if (!suite.root)
		return;
	if (setresuid((uid_t)-1, 0, (uid_t)-1) < 0 ||
	    setresgid((gid_t)-1, suite.gid, (gid_t)-1) < 0 || setgroups(0, NULL) < 0) {
		perror("posix-suite: become root again");
		exit(2);
	}
}

void give(const char *name, enum who w)
{
	if (suite.root)
		NEED(lchown(name, people[w].uid, people[w].gid));
}

/* --- things --- */

/* With --pool, what a case finds was there before the suite began (in a view: in the base): files "f<n>", folders
 * "d<n>" that hold a file "keep", symlinks "l<n>" to "target". Where the pool has no more, things are new. */
static bool take(char kind, const char *name)
{
	static unsigned int used[128];
	char from[PATH_MAX];
	struct stat st;

	if (!suite.pool || lstat(name, &st) == 0)
		return false;
	(void)snprintf(from, sizeof(from), "%s/%c%u", suite.pool, kind,
		       used[(unsigned char)kind]++);
	return rename(from, name) == 0;
}

static bool take_folder(const char *name)
{
	char keep[PATH_MAX];

	if (!take('d', name))
		return false;
	(void)snprintf(keep, sizeof(keep), "%s/keep", name);
	NEED(unlink(keep));
	return true;
}

void put(const char *name, const char *content)
{
	bool old = take('f', name);
	int fd = open(name, O_WRONLY | (old ? 0 : O_CREAT) | O_TRUNC, 0644);
	size_t n = strlen(content);

	if (NEED(fd) < 0)
		return;
	NEED(write(fd, content, n) == (ssize_t)n ? 0 : -1);
	NEED(close(fd));
}

void fill(const char *name, size_t size, int byte)
{
	bool old = take('f', name);
	int fd = open(name, O_WRONLY | (old ? 0 : O_CREAT) | O_TRUNC, 0644);
	char buf[4096];

	if (NEED(fd) < 0)
		return;
	memset(buf, byte, sizeof(buf));
	for (size_t done = 0; done < size;) {
		size_t k = size - done < sizeof(buf) ? size - done : sizeof(buf);

		if (NEED(write(fd, buf, k)) <= 0)
			break;
		done += k;
	}
	NEED(close(fd));
}

static void make_socket(const char *name)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", name);
	NEED(bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	(void)close(fd);
}

void make(enum kind k, const char *name)
{
	char below[PATH_MAX];

	switch (k) {
	case K_FILE:
		put(name, name);
		break;
	case K_DIR:
	case K_FULL:
		if (!take_folder(name))
			NEED(mkdir(name, 0755));
		if (k == K_DIR)
			break;
		(void)snprintf(below, sizeof(below), "%s/x", name);
		put(below, "x");
		break;
	case K_LINK:
		if (access("target", F_OK) < 0)
			put("target", "target");
		if (!take('l', name))
			NEED(symlink("target", name));
		break;
	case K_DANGLING:
		NEED(symlink("nowhere", name));
		break;
	case K_FIFO:
		NEED(mkfifo(name, 0644));
		break;
	case K_SOCKET:
		make_socket(name);
		break;
	case K_NONE:
	case K_MAX:
		break;
	}
}

bool is_kind(enum kind k, const char *name)
{
	static const mode_t types[K_MAX] = {S_IFREG, S_IFDIR, S_IFDIR, S_IFLNK,
					    S_IFLNK, S_IFIFO, S_IFSOCK};
	struct stat st;

	if (lstat(name, &st) < 0)
		return k == K_NONE && errno == ENOENT;
	return k != K_NONE && (st.st_mode & S_IFMT) == types[k];
}

bool holds(const char *name, const char *content)
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	size_t n = strlen(content);
	char buf[4096];
	ssize_t k;

	if (fd < 0)
		return false;
	k = read(fd, buf, sizeof(buf));
	(void)close(fd);
	return k == (ssize_t)n && memcmp(buf, content, n) == 0;
}

/* --- time --- */

struct stat look(const char *name)
{
	struct stat st = {0};

	NEED(lstat(name, &st));
	return st;
}

static long long ns_of(struct timespec t)
{
	return (long long)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Time stamps come from the coarse clock, or are newer than it: two ticks of it later all are past. */
void tick(void)
{
	const struct timespec pause = {.tv_nsec = 500000};
	struct timespec t;
	long long start;

	(void)clock_gettime(CLOCK_REALTIME, &t);
	start = ns_of(t);
	do {
		(void)nanosleep(&pause, NULL);
		(void)clock_gettime(CLOCK_REALTIME_COARSE, &t);
	} while (ns_of(t) <= start);
}

int times_set(const char *name, time_t atime, time_t mtime)
{
	const struct timespec t[2] = {{.tv_sec = atime}, {.tv_sec = mtime}};

	return utimensat(AT_FDCWD, name, t, AT_SYMLINK_NOFOLLOW);
}

static void stamp(const char *what, struct timespec was, struct timespec is, bool moves)
{
	long long a = ns_of(was), b = ns_of(is);

	if (moves)
		(void)expect_true(b > a, what, __FILE__, __LINE__);
	else
		(void)expect_same(b - a, 0, what, __FILE__, __LINE__);
}

void stamps(const struct stat *before, const char *name, unsigned int which)
{
	struct stat now = look(name);

	stamp(which & S_A ? "atime moves" : "atime stays", before->st_atim, now.st_atim,
	      which & S_A);
	stamp(which & S_M ? "mtime moves" : "mtime stays", before->st_mtim, now.st_mtim,
	      which & S_M);
	stamp(which & S_C ? "ctime moves" : "ctime stays", before->st_ctim, now.st_ctim,
	      which & S_C);
}
