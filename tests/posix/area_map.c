/* SPDX-License-Identifier: Apache-2.0 */
/* mmap: shared, private, beyond the end; and locks: flock, fcntl of a process and of an open file. */
#include <setjmp.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "posix.h"

enum { PAGE = 4096 };

static char *map(const char *name, size_t n, int prot, int flags)
{
	int fd = open(name, prot & PROT_WRITE && flags & MAP_SHARED ? O_RDWR : O_RDONLY);
	void *p = mmap(NULL, n, prot, flags, fd, 0);

	NEED(close(fd));
	NEED(p == MAP_FAILED ? -1 : 0);
	return p;
}

static void shared(void)
{
	struct stat before;
	char buf[16], *p;
	int fd;

	fresh();
	about("mmap MAP_SHARED", "a store is seen by read(2) at once");
	fill("f", 3 * PAGE, 'a');
	p = map("f", 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	fd = open("f", O_RDWR);
	memcpy(p + PAGE, "stored", 6);
	SAME(pread(fd, buf, 6, PAGE), 6);
	TRUE(memcmp(buf, "stored", 6) == 0);
	when("a write(2) is seen in the mapping");
	SAME(pwrite(fd, "written", 7, 2 * PAGE), 7);
	TRUE(memcmp(p + 2 * PAGE, "written", 7) == 0);
	when("msync: time stamps move");
	NEED(times_set("f", 1000, 1000));
	before = look("f");
	tick();
	p[0] = 'z';
	OK(msync(p, 3 * PAGE, MS_SYNC));
	stamps(&before, "f", S_M | S_C);
	when("after munmap the file has it");
	OK(munmap(p, 3 * PAGE));
	SAME(pread(fd, buf, 1, 0), 1);
	SAME(buf[0], 'z');
	NEED(close(fd));
	when("of a file without a name");
	p = map("f", PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	fd = open("f", O_RDONLY);
	NEED(unlink("f"));
	memcpy(p, "ghost", 5);
	OK(msync(p, PAGE, MS_SYNC));
	SAME(pread(fd, buf, 5, 0), 5);
	TRUE(memcmp(buf, "ghost", 5) == 0);
	OK(munmap(p, PAGE));
	NEED(close(fd));
}

static void private(void)
{
	char *p;

	fresh();
	about("mmap MAP_PRIVATE", "a store stays private");
	put("f", "content");
	p = map("f", PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	memcpy(p, "CHANGED", 7);
	TRUE(holds("f", "content"));
	OK(munmap(p, PAGE));
	TRUE(holds("f", "content"));
}

static void permissions(void)
{
	int fd;

	fresh();
	fill("f", PAGE, 'a');
	about("mmap", "what the descriptor does not allow");
	fd = open("f", O_RDONLY);
	FAILS(EACCES, mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
	OK(mmap(NULL, PAGE, PROT_WRITE, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0);
	NEED(close(fd));
	fd = open("f", O_WRONLY);
	FAILS(EACCES, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
	FAILS(EACCES, mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
	when("bad lengths and offsets");
	NEED(close(fd));
	fd = open("f", O_RDWR);
	FAILS(EINVAL, mmap(NULL, 0, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
	FAILS(EINVAL, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 17) == MAP_FAILED ? -1 : 0);
	NEED(close(fd));
	when("of a folder");
	NEED(mkdir("d", 0755));
	fd = open("d", O_RDONLY);
	FAILS(ENODEV, mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
	NEED(close(fd));
}

static sigjmp_buf bus_back;

static void on_bus(int sig)
{
	siglongjmp(bus_back, sig);
}

static int touch(const volatile char *p)
{
	if (sigsetjmp(bus_back, 1))
		return SIGBUS;
	return *p * 0;
}

static void beyond(void)
{
	struct sigaction sa = {.sa_handler = on_bus}, old;
	char *p;

	fresh();
	about("mmap", "beyond the end of the file: SIGBUS");
	fill("f", PAGE + 10, 'a');
	NEED(sigaction(SIGBUS, &sa, &old));
	p = map("f", 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	SAME(touch(p), 0);
	SAME(touch(p + PAGE), 0);
	when("the rest of the last page is zeros");
	SAME(p[PAGE + 9], 'a');
	SAME(p[PAGE + 10], 0);
	SAME(p[2 * PAGE - 1], 0);
	when("a page behind the last: SIGBUS");
	SAME(touch(p + 2 * PAGE), SIGBUS);
	SAME(touch(p + 3 * PAGE), SIGBUS);
	when("what is stored behind the end is not in the file");
	p[PAGE + 20] = 'x';
	OK(msync(p, 2 * PAGE, MS_SYNC));
	SAME(look("f").st_size, PAGE + 10);
	when("the file grows: the page is there");
	NEED(truncate("f", 3 * PAGE));
	SAME(touch(p + 2 * PAGE), 0);
	SAME(p[2 * PAGE], 0);
	when("the file shrinks: the page is gone");
	NEED(truncate("f", 10));
	SAME(touch(p + PAGE), SIGBUS);
	SAME(touch(p), 0);
	SAME(p[10], 0);
	OK(munmap(p, 4 * PAGE));
	NEED(sigaction(SIGBUS, &old, NULL));
}

static void two_processes(void)
{
	int status = 0;
	pid_t pid;
	char *p;

	fresh();
	about("mmap MAP_SHARED", "two processes see each other");
	fill("f", PAGE, 0);
	p = map("f", PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	pid = fork();
	if (pid == 0) {
		char *q = map("f", PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

		memcpy(q + 100, "child", 5);
		_exit(0);
	}
	NEED(waitpid(pid, &status, 0));
	TRUE(memcmp(p + 100, "child", 5) == 0);
	OK(munmap(p, PAGE));
}

void area_mmap(void)
{
	shared();
	private();
	permissions();
	beyond();
	two_processes();
}

/* --- locks --- */

struct lock_try {
	int kind; /* 0 flock, 1 fcntl, 2 fcntl of the open file */
	bool exclusive;
	off_t start, len;
};

static int take(int fd, const struct lock_try *t, bool un)
{
	struct flock fl = {.l_whence = SEEK_SET, .l_start = t->start, .l_len = t->len};

	if (t->kind == 0)
		return flock(fd, un ? LOCK_UN : (t->exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB);
	fl.l_type = un ? F_UNLCK : t->exclusive ? F_WRLCK : F_RDLCK;
	return fcntl(fd, t->kind == 1 ? F_SETLK : F_OFD_SETLK, &fl);
}

/* Another process tries; the errno it gets. */
static int other_tries(struct lock_try t)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		int fd = open("f", O_RDWR);

		_exit(fd >= 0 && take(fd, &t, false) == 0 ? 0 : errno);
	}
	NEED(waitpid(pid, &status, 0));
	status = WEXITSTATUS(status);
	return status == EACCES ? EAGAIN : status;
}

static const char *const lock_names[] = {"flock", "fcntl F_SETLK", "fcntl F_OFD_SETLK"};

static void conflicts(int kind)
{
	struct lock_try ex = {kind, true, 0, 0}, sh = {kind, false, 0, 0};
	int fd, copy;

	fresh();
	put("f", "0123456789");
	fd = open("f", O_RDWR);
	about(lock_names[kind], "exclusive against both");
	OK(take(fd, &ex, false));
	SAME(other_tries(ex), EAGAIN);
	SAME(other_tries(sh), EAGAIN);
	when("shared against both");
	OK(take(fd, &sh, false));
	SAME(other_tries(sh), 0);
	SAME(other_tries(ex), EAGAIN);
	when("unlocked");
	OK(take(fd, &sh, true));
	SAME(other_tries(ex), 0);
	when("released by close");
	OK(take(fd, &ex, false));
	SAME(other_tries(sh), EAGAIN);
	NEED(close(fd));
	SAME(other_tries(ex), 0);
	when("a second descriptor of the process is closed");
	fd = open("f", O_RDWR);
	OK(take(fd, &ex, false));
	copy = open("f", O_RDONLY);
	NEED(close(copy));
	/* POSIX: that releases the process's locks; the other two belong to the open file. */
	SAME(other_tries(ex), kind == 1 ? 0 : EAGAIN);
	NEED(close(fd));
	when("a dup of the descriptor is closed");
	fd = open("f", O_RDWR);
	OK(take(fd, &ex, false));
	copy = dup(fd);
	NEED(close(copy));
	SAME(other_tries(ex), kind == 1 ? 0 : EAGAIN);
	NEED(close(fd));
	SAME(other_tries(ex), 0);
	when("two open files of one process");
	fd = open("f", O_RDWR);
	copy = open("f", O_RDWR);
	OK(take(fd, &ex, false));
	if (kind == 1)
		OK(take(copy, &ex, false));
	else
		FAILS(EAGAIN, take(copy, &ex, false));
	NEED(close(copy));
	NEED(close(fd));
	when("of a file without a name");
	fd = open("f", O_RDWR);
	NEED(unlink("f"));
	OK(take(fd, &ex, false));
	OK(take(fd, &ex, true));
	NEED(close(fd));
}

static void ranges(int kind)
{
	struct lock_try mine = {kind, true, 10, 10};
	int fd;

	fresh();
	put("f", "0123456789");
	fd = open("f", O_RDWR);
	about(lock_names[kind], "ranges");
	OK(take(fd, &mine, false));
	SAME(other_tries((struct lock_try){kind, true, 0, 10}), 0);
	SAME(other_tries((struct lock_try){kind, true, 20, 10}), 0);
	SAME(other_tries((struct lock_try){kind, true, 0, 11}), EAGAIN);
	SAME(other_tries((struct lock_try){kind, true, 19, 1}), EAGAIN);
	SAME(other_tries((struct lock_try){kind, true, 0, 0}), EAGAIN);
	when("a range is cut out of the middle");
	OK(take(fd, &(struct lock_try){kind, true, 14, 2}, true));
	SAME(other_tries((struct lock_try){kind, true, 14, 2}), 0);
	SAME(other_tries((struct lock_try){kind, true, 13, 1}), EAGAIN);
	SAME(other_tries((struct lock_try){kind, true, 16, 1}), EAGAIN);
	when("far behind the end of the file");
	OK(take(fd, &(struct lock_try){kind, true, 1LL << 40, 5}, false));
	SAME(other_tries((struct lock_try){kind, true, (1LL << 40) + 4, 1}), EAGAIN);
	SAME(other_tries((struct lock_try){kind, true, (1LL << 40) + 5, 1}), 0);
	NEED(close(fd));
}

static void fcntl_details(void)
{
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct lock_try ex = {1, true, 0, 0};
	int fd, status = 0;
	pid_t pid;

	fresh();
	put("f", "x");
	about("fcntl F_SETLK", "a descriptor that does not allow it");
	fd = open("f", O_RDONLY);
	FAILS(EBADF, take(fd, &ex, false));
	OK(take(fd, &(struct lock_try){1, false, 0, 0}, false));
	NEED(close(fd));
	fd = open("f", O_WRONLY);
	FAILS(EBADF, take(fd, &(struct lock_try){1, false, 0, 0}, false));
	NEED(close(fd));
	about("fcntl F_GETLK", "names the holder");
	fd = open("f", O_RDWR);
	OK(take(fd, &ex, false));
	pid = fork();
	if (pid == 0) {
		int mine = open("f", O_RDWR);

		_exit(fcntl(mine, F_GETLK, &fl) == 0 && fl.l_type == F_WRLCK &&
				      fl.l_pid == getppid()
			      ? 0
			      : 1);
	}
	NEED(waitpid(pid, &status, 0));
	SAME(status, 0);
	about("fcntl F_SETLK", "a child does not inherit it");
	SAME(other_tries(ex), EAGAIN);
	OK(fcntl(fd, F_GETLK, &fl));
	SAME(fl.l_type, F_UNLCK);
	NEED(close(fd));
	when("released when the process is killed");
	pid = fork();
	if (pid == 0) {
		(void)take(open("f", O_RDWR), &ex, false);
		(void)raise(SIGKILL);
	}
	NEED(waitpid(pid, &status, 0));
	SAME(other_tries(ex), 0);
	about("flock", "inherited by fork: released when all have closed");
	fd = open("f", O_RDWR);
	OK(flock(fd, LOCK_EX));
	pid = fork();
	if (pid == 0)
		_exit(0);
	NEED(waitpid(pid, &status, 0));
	SAME(other_tries((struct lock_try){0, true, 0, 0}), EAGAIN);
	NEED(close(fd));
}

/* A lock that is waited for comes when the holder lets go. */
static void waiting(void)
{
	struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int status = 0, fd, ready[2];
	pid_t pid;
	char c;

	fresh();
	put("f", "x");
	about("fcntl F_SETLKW", "waits until the holder unlocks");
	NEED(pipe(ready));
	fd = open("f", O_RDWR);
	OK(fcntl(fd, F_SETLK, &fl));
	pid = fork();
	if (pid == 0) {
		int mine = open("f", O_RDWR);

		(void)!write(ready[1], "x", 1);
		_exit(fcntl(mine, F_SETLKW, &fl) == 0 ? 0 : 1);
	}
	NEED(read(ready[0], &c, 1));
	SAME(waitpid(pid, &status, WNOHANG), 0);
	fl.l_type = F_UNLCK;
	OK(fcntl(fd, F_SETLK, &fl));
	SAME(waitpid(pid, &status, 0), pid);
	SAME(status, 0);
	NEED(close(fd));
	NEED(close(ready[0]));
	NEED(close(ready[1]));
}

void area_locks(void)
{
	for (int kind = 0; kind < 3; kind++)
		conflicts(kind);
	ranges(1);
	ranges(2);
	fcntl_details();
	waiting();
}
