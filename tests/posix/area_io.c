/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing in all ways: vectors, O_DIRECT, O_SYNC, sendfile, splice, statx, execution, sockets. */
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "posix.h"

enum { BIG = 3 * 1024 * 1024 + 777, PAGE = 4096 };

static void vectors(void)
{
	char a[4] = "", b[6] = "";
	struct iovec out[3] = {{(void *)"one", 3}, {(void *)"", 0}, {(void *)"three", 5}};
	struct iovec in[2] = {{a, 3}, {b, 5}};
	int fd;

	fresh();
	about("writev", "three vectors, one of them empty");
	fd = open("f", O_RDWR | O_CREAT, 0644);
	SAME(writev(fd, out, 3), 8);
	TRUE(holds("f", "onethree"));
	about("preadv", "two vectors");
	SAME(preadv(fd, in, 2, 0), 8);
	TRUE(memcmp(a, "one", 3) == 0 && memcmp(b, "three", 5) == 0);
	about("pwritev2", "RWF_APPEND");
	SAME(pwritev2(fd, out, 1, 0, RWF_APPEND), 3);
	TRUE(holds("f", "onethreeone"));
	when("RWF_DSYNC");
	SAME(pwritev2(fd, out, 1, 8, RWF_DSYNC), 3);
	when("flags that are not known");
	FAILS(EOPNOTSUPP, pwritev2(fd, out, 1, 0, 1 << 30));
	about("writev", "vectors that are none");
	FAILS(EINVAL, syscall(SYS_writev, fd, out, -1L));
	FAILS(EINVAL, syscall(SYS_writev, fd, out, 2000L));
	NEED(close(fd));
}

/* Every byte of a large file comes back, whatever the pieces in which it was written. */
static void large(size_t piece)
{
	unsigned char *p = malloc(BIG), *q = malloc(BIG);
	size_t done = 0;
	int fd;

	fresh();
	about("write", "3 MiB in pieces of %zu bytes", piece);
	for (size_t i = 0; p && i < BIG; i++)
		p[i] = (unsigned char)((i * 2654435761u) >> 13);
	fd = open("f", O_RDWR | O_CREAT, 0644);
	for (; p && done < BIG;) {
		size_t k = BIG - done < piece ? BIG - done : piece;

		if (write(fd, p + done, k) != (ssize_t)k)
			break;
		done += k;
	}
	SAME(done, BIG);
	SAME(look("f").st_size, BIG);
	NEED(fsync(fd));
	SAME(pread(fd, q, BIG, 0), BIG);
	TRUE(p && q && memcmp(p, q, BIG) == 0);
	when("3 MiB in pieces of %zu bytes, a part written over", piece);
	SAME(pwrite(fd, p, 100000, 1000001), 100000);
	SAME(pread(fd, q, BIG, 0), BIG);
	TRUE(p && q && memcmp(p, q, 1000001) == 0);
	TRUE(p && q && memcmp(p, q + 1000001, 100000) == 0);
	TRUE(p && q && memcmp(p + 1100001, q + 1100001, BIG - 1100001) == 0);
	NEED(close(fd));
	free(p);
	free(q);
}

static void syncs(void)
{
	static const int flags[] = {O_SYNC, O_DSYNC, O_RDWR};
	int fd, d;

	fresh();
	for (size_t i = 0; i < 3; i++) {
		about("write", "%s", i == 0 ? "O_SYNC" : i == 1 ? "O_DSYNC" : "fsync behind it");
		fd = open("f", O_RDWR | O_CREAT | O_TRUNC | flags[i], 0644);
		SAME(write(fd, "synced", 6), 6);
		OK(fsync(fd));
		OK(fdatasync(fd));
		OK(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
		NEED(close(fd));
		TRUE(holds("f", "synced"));
	}
	about("fsync", "of a folder, and by a descriptor for reading");
	d = open(".", O_RDONLY | O_DIRECTORY);
	OK(fsync(d));
	OK(syncfs(d));
	NEED(close(d));
	fd = open("f", O_RDONLY);
	OK(fsync(fd));
	NEED(close(fd));
	FAILS(EBADF, fsync(fd));
}

static void direct(void)
{
	char *p = NULL, *q = NULL;
	int fd;

	fresh();
	about("open O_DIRECT", "aligned writes and reads");
	NEED(posix_memalign((void **)&p, PAGE, 4 * PAGE) ? -1 : 0);
	NEED(posix_memalign((void **)&q, PAGE, 4 * PAGE) ? -1 : 0);
	if (!p || !q) /* NEED() has ended it: for compilers that cannot see that */
		abort();
	memset(p, 'd', 4 * PAGE);
	fd = open("f", O_RDWR | O_CREAT | O_DIRECT, 0644);
	if (fd < 0) { /* tmpfs before 6.6, for one */
		FAILS(EINVAL, fd);
	} else {
		SAME(write(fd, p, 4 * PAGE), 4 * PAGE);
		SAME(pread(fd, q, 4 * PAGE, 0), 4 * PAGE);
		TRUE(memcmp(p, q, 4 * PAGE) == 0);
		when("what was written so is read through the cache, and back");
		TRUE(look("f").st_size == 4 * PAGE);
		NEED(close(fd));
		fd = open("f", O_RDWR);
		SAME(pwrite(fd, "cached", 6, PAGE), 6);
		NEED(close(fd));
		fd = open("f", O_RDONLY | O_DIRECT);
		SAME(pread(fd, q, PAGE, PAGE), PAGE);
		TRUE(memcmp(q, "cachedd", 7) == 0);
		NEED(close(fd));
	}
	free(p);
	free(q);
}

static void between_files(void)
{
	int a, b, p[2];
	off_t at = 2;

	fresh();
	about("sendfile", "from file to file");
	put("a", "0123456789");
	a = open("a", O_RDONLY);
	b = open("b", O_RDWR | O_CREAT, 0644);
	SAME(sendfile(b, a, &at, 5), 5);
	SAME(at, 7);
	TRUE(holds("b", "23456"));
	about("splice", "file to pipe to file");
	NEED(pipe(p));
	SAME(splice(a, NULL, p[1], NULL, 10, 0), 10);
	SAME(splice(p[0], NULL, b, NULL, 10, 0), 10);
	TRUE(holds("b", "234560123456789"));
	NEED(close(a));
	NEED(close(b));
	NEED(close(p[0]));
	NEED(close(p[1]));
}

static void statx_fields(void)
{
	struct statx x = {0};
	struct stat st;

	fresh();
	put("f", "content");
	st = look("f");
	about("statx", "agrees with stat");
	OK(statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS, &x));
	SAME(x.stx_mask & STATX_BASIC_STATS, STATX_BASIC_STATS);
	SAME(x.stx_ino, st.st_ino);
	SAME(x.stx_size, 7);
	SAME(x.stx_nlink, 1);
	SAME(x.stx_mode, st.st_mode);
	SAME(x.stx_mtime.tv_sec, st.st_mtim.tv_sec);
	SAME(x.stx_mtime.tv_nsec, st.st_mtim.tv_nsec);
	when("AT_STATX_FORCE_SYNC and DONT_SYNC");
	OK(statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC, STATX_SIZE, &x));
	SAME(x.stx_size, 7);
	OK(statx(AT_FDCWD, "f", AT_STATX_DONT_SYNC, STATX_SIZE, &x));
	SAME(x.stx_size, 7);
	when("AT_EMPTY_PATH, and flags that exclude each other");
	OK(statx(AT_FDCWD, "", AT_EMPTY_PATH, STATX_SIZE, &x));
	FAILS(EINVAL,
	      statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC | AT_STATX_DONT_SYNC, STATX_SIZE, &x));
	about("stat", "blocks of a file with data");
	fill("big", 100000, 'x');
	{
		int fd = open("big", O_RDONLY);

		NEED(fsync(fd));
		NEED(close(fd));
	}
	TRUE(look("big").st_blocks * 512 >= 100000);
	TRUE(look("big").st_blocks * 512 < 300000);
	TRUE(look("big").st_blksize > 0);
}

static void sockets(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "sock"};
	int s = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_STREAM, 0);
	int taken = socket(AF_UNIX, SOCK_STREAM, 0), got;
	char buf[4] = "";

	fresh();
	about("bind", "a socket in the folder");
	OK(bind(s, (struct sockaddr *)&addr, sizeof(addr)));
	TRUE(is_kind(K_SOCKET, "sock"));
	when("a name that is taken");
	FAILS(EADDRINUSE, bind(taken, (struct sockaddr *)&addr, sizeof(addr)));
	about("connect", "nobody listens");
	FAILS(ECONNREFUSED, connect(c, (struct sockaddr *)&addr, sizeof(addr)));
	when("bytes go through");
	OK(listen(s, 1));
	OK(connect(c, (struct sockaddr *)&addr, sizeof(addr)));
	got = accept(s, NULL, NULL);
	SAME(write(c, "hi", 2), 2);
	SAME(read(got, buf, 4), 2);
	when("under another name");
	NEED(close(got));
	NEED(close(c));
	c = socket(AF_UNIX, SOCK_STREAM, 0);
	NEED(rename("sock", "moved"));
	FAILS(ENOENT, connect(c, (struct sockaddr *)&addr, sizeof(addr)));
	(void)strcpy(addr.sun_path, "moved");
	OK(connect(c, (struct sockaddr *)&addr, sizeof(addr)));
	when("the name is gone");
	NEED(unlink("moved"));
	FAILS(ENOENT, connect(taken, (struct sockaddr *)&addr, sizeof(addr)));
	NEED(close(c));
	NEED(close(s));
	NEED(close(taken));
}

/* What is fresh in one process is fresh in the other. */
static void writer(void *arg)
{
	int fd = open("shared", O_RDWR);

	(void)arg;
	TRUE(fd >= 0);
	SAME(pwrite(fd, "child", 5, 0), 5);
	OK(ftruncate(fd, 5));
	NEED(close(fd));
	OK(rename("before", "after"));
	OK(mkdir("made", 0755));
	OK(chmod("shared", 0600));
	OK(unlink("gone"));
}

static void coherence(void)
{
	char buf[16] = "";
	struct stat st;
	int fd;

	fresh();
	about("fork", "what one process does the other sees at once");
	put("shared", "parent writes");
	put("before", "b");
	put("gone", "g");
	TRUE(is_kind(K_NONE, "made"));
	TRUE(is_kind(K_NONE, "after"));
	fd = open("shared", O_RDONLY);
	SAME(pread(fd, buf, sizeof(buf), 0), 13);
	in_child(writer, NULL);
	SAME(pread(fd, buf, sizeof(buf), 0), 5);
	TRUE(memcmp(buf, "child", 5) == 0);
	OK(fstat(fd, &st));
	SAME(st.st_size, 5);
	SAME(st.st_mode & 07777, 0600);
	TRUE(is_kind(K_DIR, "made"));
	TRUE(holds("after", "b"));
	TRUE(is_kind(K_NONE, "before"));
	TRUE(is_kind(K_NONE, "gone"));
	NEED(close(fd));
}

void area_io(void)
{
	static const size_t pieces[] = {977, 4096, 65536, 131073, 1 << 20};

	vectors();
	for (size_t i = 0; i < sizeof(pieces) / sizeof(*pieces); i++)
		large(pieces[i]);
	syncs();
	direct();
	between_files();
	statx_fields();
	sockets();
	coherence();
}
