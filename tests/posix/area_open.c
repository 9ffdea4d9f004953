/* SPDX-License-Identifier: Apache-2.0 */
/* open: flags; descriptors; O_APPEND; what a mode lets whom do. */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <signal.h>

#include "posix.h"

static void open_flags(void)
{
	char buf[16];
	int fd;

	fresh();
	put("f", "content");
	NEED(mkdir("d", 0755));
	NEED(symlink("f", "l"));
	NEED(symlink("d", "ld"));
	NEED(mkfifo("p", 0644));
	about("open O_EXCL|O_CREAT", "of what is there");
	FAILS(EEXIST, open("f", O_CREAT | O_EXCL | O_RDWR, 0644));
	FAILS(EEXIST, open("l", O_CREAT | O_EXCL | O_RDWR, 0644));
	FAILS(EEXIST, open("d", O_CREAT | O_EXCL, 0644));
	about("open O_NOFOLLOW", "of a symlink");
	FAILS(ELOOP, open("l", O_RDONLY | O_NOFOLLOW));
	FAILS(ELOOP, open("ld", O_RDONLY | O_NOFOLLOW));
	FAILS(ENOTDIR, open("ld", O_RDONLY | O_NOFOLLOW | O_DIRECTORY));
	when("of a file");
	fd = open("f", O_RDONLY | O_NOFOLLOW);
	OK(fd);
	NEED(close(fd));
	about("open O_DIRECTORY", "of what is no folder");
	FAILS(ENOTDIR, open("f", O_RDONLY | O_DIRECTORY));
	FAILS(ENOTDIR, open("p", O_RDONLY | O_DIRECTORY));
	FAILS(ENOTDIR, open("l", O_RDONLY | O_DIRECTORY));
	when("of a symlink to a folder");
	fd = open("ld", O_RDONLY | O_DIRECTORY);
	OK(fd);
	NEED(close(fd));
	about("open", "a folder for writing");
	FAILS(EISDIR, open("d", O_WRONLY));
	FAILS(EISDIR, open("d", O_RDWR));
	FAILS(EISDIR, open("d", O_RDONLY | O_TRUNC));
	about("read", "a folder");
	fd = open("d", O_RDONLY);
	FAILS(EISDIR, read(fd, buf, sizeof(buf)));
	NEED(close(fd));
	about("open O_TRUNC", "empties the file");
	fd = open("f", O_WRONLY | O_TRUNC);
	OK(fd);
	SAME(look("f").st_size, 0);
	SAME(write(fd, "hi", 2), 2);
	NEED(close(fd));
	TRUE(holds("f", "hi"));
}

static void open_modes(void)
{
	char buf[16];
	int fd;

	fresh();
	put("f", "content");
	about("open", "a descriptor does what it was opened for");
	fd = open("f", O_RDONLY);
	FAILS(EBADF, write(fd, "x", 1));
	FAILS(EINVAL, ftruncate(fd, 0));
	SAME(read(fd, buf, 3), 3);
	NEED(close(fd));
	fd = open("f", O_WRONLY);
	FAILS(EBADF, read(fd, buf, 1));
	SAME(write(fd, "C", 1), 1);
	NEED(close(fd));
	fd = open("f", O_PATH);
	FAILS(EBADF, read(fd, buf, 1));
	FAILS(EBADF, write(fd, "x", 1));
	FAILS(EBADF, fchmod(fd, 0600));
	FAILS(EBADF, ftruncate(fd, 0));
	NEED(close(fd));
	FAILS(EBADF, close(fd));
	TRUE(holds("f", "Content"));
	when("offsets: SEEK_SET, SEEK_CUR, SEEK_END");
	fd = open("f", O_RDWR);
	SAME(lseek(fd, 2, SEEK_SET), 2);
	SAME(lseek(fd, 2, SEEK_CUR), 4);
	SAME(lseek(fd, -1, SEEK_END), 6);
	SAME(lseek(fd, 100, SEEK_END), 107);
	FAILS(EINVAL, lseek(fd, -1, SEEK_SET));
	FAILS(EINVAL, lseek(fd, 0, 77));
	SAME(read(fd, buf, 1), 0);
	SAME(write(fd, "!", 1), 1);
	SAME(look("f").st_size, 108);
	SAME(pread(fd, buf, 4, 6), 4);
	TRUE(memcmp(buf, "t\0\0\0", 4) == 0);
	FAILS(EINVAL, pread(fd, buf, 1, -1));
	FAILS(EINVAL, pwrite(fd, buf, 1, -1));
	NEED(lseek(fd, 0, SEEK_SET));
	FAILS(EFAULT, syscall(SYS_read, fd, BAD_POINTER, 4L));
	FAILS(EFAULT, syscall(SYS_write, fd, BAD_POINTER, 4L));
	NEED(close(fd));
	when("shared by dup: one offset");
	fd = open("f", O_RDONLY);
	SAME(read(fd, buf, 2), 2);
	{
		int second = dup(fd);

		SAME(lseek(second, 0, SEEK_CUR), 2);
		SAME(read(second, buf, 1), 1);
		SAME(lseek(fd, 0, SEEK_CUR), 3);
		NEED(close(second));
	}
	NEED(close(fd));
}

static void open_program(void)
{
	int fd, from, status = 0;
	char buf[65536];
	ssize_t k;
	pid_t pid;
	int go[2];

	fresh();
	about("open", "a program that runs, for writing");
	from = open("/bin/sleep", O_RDONLY);
	fd = open("prog", O_CREAT | O_WRONLY, 0755);
	while ((k = read(from, buf, sizeof(buf))) > 0)
		NEED(write(fd, buf, (size_t)k) == k ? 0 : -1);
	NEED(close(from));
	NEED(close(fd));
	NEED(pipe2(go, O_CLOEXEC));
	pid = fork();
	if (pid == 0) {
		(void)execl("./prog", "prog", "100", (char *)NULL);
		_exit(127);
	}
	NEED(close(go[1]));
	SAME(read(go[0], buf, 1), 0); /* the pipe ends when the program runs */
	NEED(close(go[0]));
	FAILS(ETXTBSY, open("prog", O_WRONLY));
	FAILS(ETXTBSY, open("prog", O_RDWR | O_TRUNC));
	FAILS(ETXTBSY, truncate("prog", 0));
	when("a program that runs: unlink and rename");
	OK(rename("prog", "prog2"));
	OK(unlink("prog2"));
	NEED(kill(pid, SIGKILL));
	NEED(waitpid(pid, &status, 0));
	TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void limits(void *arg)
{
	struct rlimit files = {16, 16}, size = {100, 100};
	int fd = -1, last;

	(void)arg;
	about("open", "more files than RLIMIT_NOFILE");
	put("f", "f");
	NEED(setrlimit(RLIMIT_NOFILE, &files));
	do {
		last = fd;
		fd = open("f", O_RDONLY);
	} while (fd >= 0);
	SAME(errno, EMFILE);
	NEED(close(last));
	about("write", "beyond RLIMIT_FSIZE");
	(void)signal(SIGXFSZ, SIG_IGN);
	NEED(setrlimit(RLIMIT_FSIZE, &size));
	fd = open("f", O_WRONLY);
	SAME(pwrite(fd, "12345678901234567890", 20, 90), 10);
	FAILS(EFBIG, pwrite(fd, "x", 1, 100));
	FAILS(EFBIG, ftruncate(fd, 101));
	OK(ftruncate(fd, 100));
	FAILS(EFBIG, truncate("f", 1000));
	SAME(look("f").st_size, 100);
}

void area_open(void)
{
	path_conditions();
	open_flags();
	open_modes();
	open_program();
	fresh();
	in_child(limits, NULL);
}

/* --- O_APPEND --- */

static void append_child(void *arg)
{
	int fd = open("log", O_WRONLY | O_APPEND);
	char line[32];

	for (unsigned int i = 0; i < 100; i++) {
		int n = snprintf(line, sizeof(line), "%s %06u\n", (const char *)arg, i);

		if (write(fd, line, (size_t)n) != n)
			_exit(1);
	}
	_exit(0);
}

static void append_many(void)
{
	static const char *const names[] = {"aaaa", "bbbb", "cccc", "dddd"};
	unsigned int seen[4] = {0}, at;
	char line[32], who[8];
	pid_t pids[4];
	int status;
	FILE *f;

	fresh();
	about("write O_APPEND", "by four processes: no line is lost or torn");
	put("log", "");
	for (unsigned int i = 0; i < 4; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			append_child((void *)names[i]);
	}
	for (unsigned int i = 0; i < 4; i++) {
		NEED(waitpid(pids[i], &status, 0));
		SAME(status, 0);
	}
	SAME(look("log").st_size, 4 * 100 * 12);
	f = fopen("log", "r");
	while (f && fgets(line, sizeof(line), f))
		for (unsigned int i = 0; i < 4; i++)
			if (sscanf(line, "%7s %06u", who, &at) == 2 && strcmp(who, names[i]) == 0 &&
			    at == seen[i])
				seen[i]++;
	if (f)
		(void)fclose(f);
	for (unsigned int i = 0; i < 4; i++)
		SAME(seen[i], 100);
}

void area_append(void)
{
	char buf[16];
	int a, b;

	fresh();
	about("write O_APPEND", "goes to the end, wherever the offset is");
	put("f", "abc");
	a = open("f", O_RDWR | O_APPEND);
	OK(a);
	SAME(lseek(a, 0, SEEK_SET), 0);
	SAME(write(a, "d", 1), 1);
	SAME(lseek(a, 0, SEEK_CUR), 4);
	TRUE(holds("f", "abcd"));
	when("after another descriptor wrote");
	b = open("f", O_WRONLY);
	SAME(pwrite(b, "efgh", 4, 4), 4);
	SAME(write(a, "i", 1), 1);
	TRUE(holds("f", "abcdefghi"));
	when("after another descriptor truncated");
	OK(ftruncate(b, 2));
	SAME(write(a, "z", 1), 1);
	TRUE(holds("f", "abz"));
	when("pread does not mind it");
	SAME(pread(a, buf, 2, 1), 2);
	TRUE(memcmp(buf, "bz", 2) == 0);
	when("pwrite appends as well (Linux)");
	SAME(pwrite(a, "!", 1, 0), 1);
	TRUE(holds("f", "abz!"));
	when("set by fcntl");
	SAME(lseek(b, 0, SEEK_SET), 0);
	OK(fcntl(b, F_SETFL, O_APPEND));
	SAME(write(b, "?", 1), 1);
	TRUE(holds("f", "abz!?"));
	when("and taken away again");
	OK(fcntl(b, F_SETFL, 0));
	SAME(lseek(b, 0, SEEK_SET), 0);
	SAME(write(b, "A", 1), 1);
	TRUE(holds("f", "Abz!?"));
	NEED(close(a));
	NEED(close(b));
	when("with O_TRUNC");
	a = open("f", O_WRONLY | O_APPEND | O_TRUNC);
	SAME(write(a, "1", 1), 1);
	SAME(write(a, "2", 1), 1);
	TRUE(holds("f", "12"));
	NEED(close(a));
	append_many();
}
